import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { atLimit } from './at-limit.js';
import { drain, median, startService, type DrainResult } from './drain.js';
import { embeddedDrain } from './embedded-drain.js';
import { claimGrowth, memoryGrowth } from './growth.js';
import { onDemand } from './on-demand.js';
import { signature } from './signature.js';
import { benchDatabase } from './support/database.js';

/** One line of the table: what was measured, the raw baseline, the service, and the service over the baseline. */
interface Row {
  what: string;
  unit: string;
  raw: number;
  service: number;
}

const quick = process.argv.includes('--quick');
const OUTPUT = 'bench/results/latest.json';

const rows: Row[] = [];
const notes: string[] = [];
const database = await benchDatabase();
const environment = {
  DATABASE_URL: database.url,
  REDIS_URL: process.env.BENCH_REDIS_URL ?? 'redis://127.0.0.1:6379/0',
  REDIS_PREFIX: `bench-${process.pid}`,
  MASTER_KEY: randomBytes(32).toString('base64'),
};
try {
  for (const { name, raw, service } of signature(quick ? 500 : 3_000)) {
    rows.push({ what: `verify ${name}`, unit: 'per second', raw, service });
  }
  // Once, for the schema and the account.
  await (await startService(environment, 'http://127.0.0.1:1', 1)).stop();
  const size = { refunds: quick ? 5_000 : 40_000, concurrency: 256, rounds: quick ? 1 : 3 };
  addDrain('drain, MariaDB and Redis', await drain(database, environment, size));
  addDrain('drain, embedded', await embeddedDrain(environment.MASTER_KEY, { ...size, refunds: size.refunds / 4 }));
  for (const connections of quick ? [64] : [16, 64]) {
    const demanded = await onDemand(database, environment, quick ? 2_000 : 20_000, connections);
    const what = `on demand, ${connections} at once`;
    const [raw, service] = [demanded.raw, demanded.service];
    rows.push({
      what: `${what}: signed syncRefund`,
      unit: 'requests/s',
      raw: raw.requestsPerSecond,
      service: service.requestsPerSecond,
    });
    rows.push({ what: `${what}: p50`, unit: 'ms', raw: raw.p50Ms, service: service.p50Ms });
    rows.push({ what: `${what}: p99`, unit: 'ms', raw: raw.p99Ms, service: service.p99Ms });
  }
  const limited = await atLimit(database, environment, {
    refunds: quick ? 3_000 : 30_000,
    perSecond: 300,
    latencyMs: 200,
  });
  rows.push({
    what: 'at a limit of 300/s, 200 ms: raw is a serial loop',
    unit: 'requests/s',
    raw: limited.serialPerSecond,
    service: limited.servicePerSecond,
  });
  notes.push(
    `at the limit: ${(limited.shareUsed * 100).toFixed(1)} % of it used, ${limited.refused} requests refused with 429`,
  );
  if (!quick) {
    const sizes = await claimGrowth(database, [10_000, 1_000_000, 10_000_000]);
    const [smallest] = sizes;
    for (const { rows: count, claimMs, plan } of sizes) {
      rows.push({
        what: `claim of 500 in ${count} rows: raw is ${smallest?.rows ?? 0} rows`,
        unit: 'ms',
        raw: smallest?.claimMs ?? NaN,
        service: claimMs,
      });
      notes.push(`plan at ${count} rows: ${JSON.stringify(plan)}`);
    }
    const memory = await memoryGrowth(database, environment, [10_000, 1_000_000]);
    const [small] = memory;
    for (const { backlog, rssMb } of memory)
      rows.push({
        what: `RSS, draining a backlog of ${backlog}: raw is ${small?.backlog ?? 0}`,
        unit: 'MB',
        raw: small?.rssMb ?? NaN,
        service: rssMb,
      });
  }
} finally {
  await database.drop();
}
print(rows);
for (const note of notes) process.stdout.write(`${note}\n`);
mkdirSync('bench/results', { recursive: true });
writeFileSync(
  OUTPUT,
  `${JSON.stringify({ at: new Date().toISOString(), quick, node: process.version, cpu: cpus()[0]?.model, cores: cpus().length, rows, notes }, null, 2)}\n`,
);
process.stdout.write(`\nwritten to ${OUTPUT}\n`);

function addDrain(what: string, { raw, service }: DrainResult): void {
  rows.push({ what: `${what}: sweep to end`, unit: 'refunds/s', raw: median(raw), service: median(service) });
}

function print(table: readonly Row[]): void {
  const line = (cells: string[]): string =>
    `${(cells[0] ?? '').padEnd(58)}${(cells[1] ?? '').padEnd(12)}${cells
      .slice(2)
      .map((cell) => cell.padStart(12))
      .join('')}\n`;
  process.stdout.write(line(['what', 'unit', 'raw', 'service', 'ratio']));
  for (const { what, unit, raw, service } of table) {
    process.stdout.write(
      line([
        what,
        unit,
        raw.toFixed(raw < 100 ? 1 : 0),
        service.toFixed(service < 100 ? 1 : 0),
        (service / raw).toFixed(2),
      ]),
    );
  }
}
