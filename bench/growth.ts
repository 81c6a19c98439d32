import { setTimeout as sleep } from 'node:timers/promises';
import { median, startService } from './drain.js';
import { clearTables, growTo, hasUnfinished, seedRefunds, type BenchDatabase } from './support/database.js';
import { start } from './support/processes.js';

/** Milliseconds of one claim of 500 due refunds in a table of so many rows, and the plan of its query. */
export interface ClaimFigures {
  rows: number;
  claimMs: number;
  plan: Record<string, unknown>;
}

export interface MemoryFigures {
  backlog: number;
  /** Megabytes, the most that was seen. */
  rssMb: number;
}

const CLAIM = 500;
const CLAIMS = 20;
const DUE_LATER_MS = 3_600_000;
const WATCH_MS = 30_000;
const SAMPLE_MS = 250;
const MB = 1_048_576;
/** The query of DueRefundService.claim(), as it is sent; the test of the claim's plan asserts that it still is. */
const CLAIM_QUERY = `SELECT id, nextSyncAt FROM refund WHERE gatewayAccountId = 'bench' AND nextSyncAt <= UTC_TIMESTAMP(3) ORDER BY nextSyncAt, id LIMIT ${CLAIM} FOR UPDATE SKIP LOCKED`;

/** The time of a claim while the table grows around it: what is due stays as much as it was. */
export async function claimGrowth(database: BenchDatabase, sizes: readonly number[]): Promise<ClaimFigures[]> {
  await clearTables(database.pool);
  const due = CLAIM * CLAIMS;
  await seedRefunds(database.pool, due, new Date(Date.now() + DUE_LATER_MS));
  const figures: ClaimFigures[] = [];
  for (const rows of sizes) {
    await growTo(database.pool, rows - due);
    await database.pool.query('ANALYZE TABLE refund');
    figures.push({ rows, ...(await claims(database)) });
  }
  return figures;
}

async function claims(database: BenchDatabase): Promise<{ claimMs: number; plan: Record<string, unknown> }> {
  await database.pool.query(
    "UPDATE refund SET nextSyncAt = TIMESTAMPADD(SECOND, -60 - id % 60, UTC_TIMESTAMP(3)) WHERE status = 'progress'",
  );
  const connection = await database.pool.getConnection();
  try {
    await connection.query('SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED');
    const [plan] = await connection.query(`EXPLAIN ${CLAIM_QUERY}`);
    const times: number[] = [];
    for (let claim = 0; claim < CLAIMS; claim += 1) {
      const startedAtMs = performance.now();
      await connection.beginTransaction();
      const [rows] = await connection.query(CLAIM_QUERY);
      const ids = (rows as { id: string }[]).map(({ id }) => id);
      if (ids.length !== CLAIM) throw new Error(`a claim found ${ids.length} of ${CLAIM}`);
      await connection.query(
        `UPDATE refund SET nextSyncAt = TIMESTAMPADD(SECOND, 600, UTC_TIMESTAMP(3)) WHERE id IN (${ids.join(',')})`,
      );
      await connection.commit();
      times.push(performance.now() - startedAtMs);
    }
    // The first one finds nothing in the buffer pool.
    return { claimMs: median(times.slice(1)), plan: (plan as Record<string, unknown>[])[0] ?? {} };
  } finally {
    connection.release();
  }
}

/** Memory of the whole service while it drains a backlog: bounded, however large the backlog is. */
export async function memoryGrowth(
  database: BenchDatabase,
  environment: Record<string, string>,
  backlogs: readonly number[],
): Promise<MemoryFigures[]> {
  const gateway = await start('servers/instant-gateway', {});
  const url = `http://127.0.0.1:${String(gateway.ready['port'])}`;
  const figures: MemoryFigures[] = [];
  for (const backlog of backlogs) {
    await clearTables(database.pool);
    await seedRefunds(database.pool, backlog, new Date(Date.now() + DUE_LATER_MS));
    const service = await startService(environment, url, 128);
    await database.pool.query('UPDATE refund SET nextSyncAt = nextSyncAt - INTERVAL 2 HOUR');
    let rss = 0;
    for (let watchedMs = 0; watchedMs < WATCH_MS && (await hasUnfinished(database.pool)); watchedMs += SAMPLE_MS) {
      rss = Math.max(rss, Number((await service.ask('rss'))['rss']));
      await sleep(SAMPLE_MS);
    }
    await service.stop();
    figures.push({ backlog, rssMb: rss / MB });
  }
  await gateway.stop();
  return figures;
}
