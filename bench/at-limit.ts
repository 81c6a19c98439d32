import { startService } from './drain.js';
import { clearTables, hasUnfinished, seedRefunds, type BenchDatabase } from './support/database.js';
import { start } from './support/processes.js';
import { setTimeout as sleep } from 'node:timers/promises';

export interface AtLimitResult {
  /** Requests a second that the gateway got from the serial loop: one after the other, as the latency allows. */
  serialPerSecond: number;
  servicePerSecond: number;
  /** Of the limit, from the first request to the last. */
  shareUsed: number;
  /** Requests that the gateway refused with 429. */
  refused: number;
}

interface GatewayStats {
  requests: number;
  refused: number;
  firstAtMs: number;
  lastAtMs: number;
}

const DUE_LATER_MS = 3_600_000;
const SERIAL_MS = 5_000;

/** A gateway that allows so many requests a second and takes its time: how much of its limit is used, and is it ever exceeded? */
export async function atLimit(
  database: BenchDatabase,
  environment: Record<string, string>,
  { refunds, perSecond, latencyMs }: { refunds: number; perSecond: number; latencyMs: number },
): Promise<AtLimitResult> {
  const gateway = await start('servers/instant-gateway', {
    BENCH_GATEWAY_RATE: String(perSecond),
    BENCH_GATEWAY_LATENCY_MS: String(latencyMs),
  });
  const url = `http://127.0.0.1:${String(gateway.ready['port'])}`;
  const serial = await serialLoop(url);
  await clearTables(database.pool);
  await seedRefunds(database.pool, refunds, new Date(Date.now() + DUE_LATER_MS));
  const service = await startService(environment, url, 128, { BENCH_ACCOUNT_RATE: String(perSecond) });
  await fetch(`${url}/reset`);
  await database.pool.query('UPDATE refund SET nextSyncAt = nextSyncAt - INTERVAL 2 HOUR');
  while (await hasUnfinished(database.pool)) await sleep(100);
  const { requests, refused, firstAtMs, lastAtMs } = (await (await fetch(`${url}/stats`)).json()) as GatewayStats;
  await service.stop();
  await gateway.stop();
  const servicePerSecond = ((requests - 1) * 1_000) / (lastAtMs - firstAtMs);
  return { serialPerSecond: serial, servicePerSecond, shareUsed: servicePerSecond / perSecond, refused };
}

/** What a job that asks about one refund after the other gets out of such a gateway. */
async function serialLoop(url: string): Promise<number> {
  const startedAtMs = performance.now();
  let asked = 0;
  while (performance.now() - startedAtMs < SERIAL_MS) {
    await (await fetch(`${url}/refunds/R${asked}/100`)).json();
    asked += 1;
  }
  return (asked * 1_000) / (performance.now() - startedAtMs);
}
