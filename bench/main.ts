import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { drain, median, startService } from './drain.js';
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
  const drained = await drain(database, environment, {
    refunds: quick ? 5_000 : 20_000,
    concurrency: 64,
    rounds: quick ? 1 : 3,
  });
  rows.push({
    what: 'drain: sweep, queue, query, decide, apply',
    unit: 'refunds/s',
    raw: median(drained.raw),
    service: median(drained.service),
  });
  const demanded = await onDemand(database, environment, quick ? 2_000 : 20_000, 32);
  rows.push({
    what: 'on demand: signed syncRefund',
    unit: 'requests/s',
    raw: demanded.raw.requestsPerSecond,
    service: demanded.service.requestsPerSecond,
  });
  rows.push({ what: 'on demand: p50', unit: 'ms', raw: demanded.raw.p50Ms, service: demanded.service.p50Ms });
  rows.push({ what: 'on demand: p99', unit: 'ms', raw: demanded.raw.p99Ms, service: demanded.service.p99Ms });
} finally {
  await database.drop();
}
print(rows);
mkdirSync('bench/results', { recursive: true });
writeFileSync(
  OUTPUT,
  `${JSON.stringify({ at: new Date().toISOString(), quick, node: process.version, cpu: cpus()[0]?.model, cores: cpus().length, rows }, null, 2)}\n`,
);
process.stdout.write(`\nwritten to ${OUTPUT}\n`);

function print(table: readonly Row[]): void {
  const line = (cells: string[]): string =>
    `${(cells[0] ?? '').padEnd(44)}${(cells[1] ?? '').padEnd(12)}${cells
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
