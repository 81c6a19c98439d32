import { setTimeout as sleep } from 'node:timers/promises';
import { clearTables, hasUnfinished, seedRefunds, type BenchDatabase } from './support/database.js';
import { start, type BenchProcess } from './support/processes.js';

export interface DrainOptions {
  refunds: number;
  concurrency: number;
  rounds: number;
}

/** Refunds a second, one figure a round. */
export interface DrainResult {
  raw: number[];
  service: number[];
}

const DUE_LATER_MS = 3_600_000;

/** Refunds a second that the sweep path brings to their end, beside the raw loop, in turns on the same machine. */
export async function drain(
  database: BenchDatabase,
  environment: Record<string, string>,
  options: DrainOptions,
): Promise<DrainResult> {
  const gateway = await start('servers/instant-gateway', {});
  const gatewayUrl = `http://127.0.0.1:${String(gateway.ready['port'])}`;
  const rawPerSecond: number[] = [];
  const servicePerSecond: number[] = [];
  for (let round = 0; round < options.rounds; round += 1) {
    rawPerSecond.push(await rawRound(database, gatewayUrl, options));
    servicePerSecond.push(await serviceRound(database, environment, gatewayUrl, options));
  }
  await gateway.stop();
  return { raw: rawPerSecond, service: servicePerSecond };
}

async function rawRound(
  database: BenchDatabase,
  gatewayUrl: string,
  { refunds, concurrency }: DrainOptions,
): Promise<number> {
  await clearTables(database.pool);
  await seedRefunds(database.pool, refunds, new Date());
  const raw = await start('raw/drain', {
    DATABASE_URL: database.url,
    BENCH_GATEWAY_URL: gatewayUrl,
    BENCH_CONCURRENCY: String(concurrency),
  });
  const startedAtMs = performance.now();
  await raw.ask('go');
  const perSecond = (refunds * 1000) / (performance.now() - startedAtMs);
  await raw.stop();
  return perSecond;
}

async function serviceRound(
  database: BenchDatabase,
  environment: Record<string, string>,
  gatewayUrl: string,
  { refunds, concurrency }: DrainOptions,
): Promise<number> {
  await clearTables(database.pool);
  await seedRefunds(database.pool, refunds, new Date(Date.now() + DUE_LATER_MS));
  const service = await startService(environment, gatewayUrl, concurrency);
  // Made due while the service runs: its start is not measured.
  await database.pool.query('UPDATE refund SET nextSyncAt = nextSyncAt - INTERVAL 2 HOUR');
  const startedAtMs = performance.now();
  while (await hasUnfinished(database.pool)) await sleep(20);
  const perSecond = (refunds * 1000) / (performance.now() - startedAtMs);
  await service.stop();
  return perSecond;
}

export function startService(
  environment: Record<string, string>,
  gatewayUrl: string,
  concurrency: number,
  more: Record<string, string> = {},
): Promise<BenchProcess> {
  return start(
    'servers/service',
    {
      ...environment,
      BENCH_GATEWAY_URL: gatewayUrl,
      SYNC_CONCURRENCY: String(concurrency),
      SWEEP_INTERVAL_MS: '100',
      PORT: '0',
      LOG_LEVEL: 'info',
      SIGN_SECRET: 'bench-secret',
      ADMIN_TOKEN: 'bench-admin-token',
      ...more,
    },
    process.env.BENCH_CPU_PROFILE
      ? ['--max-semi-space-size=64', '--cpu-prof', '--cpu-prof-dir', process.env.BENCH_CPU_PROFILE]
      : ['--max-semi-space-size=64'],
  );
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? NaN;
}
