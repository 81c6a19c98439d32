import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import Database from 'better-sqlite3';
import { startService, type DrainOptions, type DrainResult } from './drain.js';
import { refundRows } from './support/database.js';
import { start } from './support/processes.js';

const DUE_LATER_MS = 3_600_000;

/** The drain on the embedded profile: SQLite and the queue in the process, beside a raw loop on the same file. */
export async function embeddedDrain(masterKey: string, options: DrainOptions): Promise<DrainResult> {
  const gateway = await start('servers/instant-gateway', {});
  const gatewayUrl = `http://127.0.0.1:${String(gateway.ready['port'])}`;
  const result: DrainResult = { raw: [], service: [] };
  for (let round = 0; round < options.rounds; round += 1) {
    result.raw.push(await inFolder((folder) => rawRound(folder, masterKey, gatewayUrl, options)));
    result.service.push(await inFolder((folder) => serviceRound(folder, masterKey, gatewayUrl, options)));
  }
  await gateway.stop();
  return result;
}

async function rawRound(
  folder: string,
  masterKey: string,
  gatewayUrl: string,
  { refunds, concurrency }: DrainOptions,
): Promise<number> {
  // The service makes the schema.
  await (await startService({ DATA_DIR: folder, MASTER_KEY: masterKey }, gatewayUrl, 1)).stop();
  seed(folder, refunds, new Date());
  const raw = await start('raw/drain-embedded', {
    BENCH_SQLITE_FILE: fileIn(folder),
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
  folder: string,
  masterKey: string,
  gatewayUrl: string,
  { refunds, concurrency }: DrainOptions,
): Promise<number> {
  const environment = { DATA_DIR: folder, MASTER_KEY: masterKey };
  await (await startService(environment, gatewayUrl, 1)).stop();
  seed(folder, refunds, new Date(Date.now() + DUE_LATER_MS));
  const service = await startService(environment, gatewayUrl, concurrency);
  const database = new Database(fileIn(folder), { timeout: 10_000 });
  database.prepare("UPDATE refund SET nextSyncAt = '2020-01-01 00:00:00.000'").run();
  const startedAtMs = performance.now();
  const unfinished = database.prepare("SELECT 1 FROM refund WHERE status = 'progress' LIMIT 1");
  while (unfinished.get() !== undefined) await sleep(20);
  const perSecond = (refunds * 1000) / (performance.now() - startedAtMs);
  database.close();
  await service.stop();
  return perSecond;
}

function seed(folder: string, count: number, dueAt: Date): void {
  const database = new Database(fileIn(folder));
  database.pragma('synchronous = OFF');
  database.transaction(() => {
    const inserts = new Map<string, Database.Statement>();
    for (let number = 0; number < count; number += 1) {
      for (const { table, row } of refundRows(number, dueAt)) {
        const names = Object.keys(row);
        let insert = inserts.get(table);
        if (!insert) {
          insert = database.prepare(
            `INSERT INTO ${table} (${names.join(',')}) VALUES (${names.map(() => '?').join(',')})`,
          );
          inserts.set(table, insert);
        }
        insert.run(Object.values(row).map(sqliteValue));
      }
    }
  })();
  database.close();
}

function sqliteValue(value: unknown): unknown {
  return value instanceof Date ? value.toISOString().replace('T', ' ').replace('Z', '') : value;
}

function fileIn(folder: string): string {
  return join(folder, 'refund-sync.db');
}

async function inFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'refund-sync-bench-'));
  try {
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
