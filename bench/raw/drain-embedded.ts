import Database from 'better-sqlite3';
import { Pool as HttpPool } from 'undici';

/** The baseline of the drain on SQLite: one select, one HTTP query and one transaction (update and insert) per refund. */
const concurrency = Number(process.env.BENCH_CONCURRENCY);
const database = new Database(process.env.BENCH_SQLITE_FILE ?? '');
database.pragma('journal_mode = WAL');
database.pragma('synchronous = FULL');
const gateway = new HttpPool(process.env.BENCH_GATEWAY_URL ?? '', { connections: concurrency, pipelining: 1 });

const select = database.prepare('SELECT * FROM refund WHERE id = ?');
const update = database.prepare(
  "UPDATE refund SET status = 'success', gatewayRefundNo = ?, refundTime = ?, nextSyncAt = NULL, version = version + 1 WHERE id = ?",
);
const insert = database.prepare(
  "INSERT INTO sync_record (id, refundId, source, operation, startedAt, finishedAt, result, effect, statusBefore, statusAfter, explanation, answer) VALUES (?, ?, 'sweep', 'query', ?, ?, 'success', 'changed', 'progress', 'success', 'the gateway says so', ?)",
);
const end = database.transaction((id: string, gatewayRefundNo: string, answer: string) => {
  const now = new Date().toISOString();
  update.run(gatewayRefundNo, now, id);
  insert.run((BigInt(id) + 4_000_000_000_000_000_000n).toString(), id, now, now, answer);
});

process.send?.({ ready: true });
process.on('message', (message) => {
  if (message === 'go') void drain().then((done) => process.send?.({ done }));
});
process.on('disconnect', () => process.exit(0));

async function drain(): Promise<number> {
  const ids = database
    .prepare("SELECT id FROM refund WHERE status = 'progress' ORDER BY nextSyncAt, id")
    .pluck()
    .all() as string[];
  let position = 0;
  await Promise.all(
    Array.from({ length: concurrency }, async () => {
      while (position < ids.length) {
        const id = ids[position] as string;
        position += 1;
        await one(id);
      }
    }),
  );
  return ids.length;
}

async function one(id: string): Promise<void> {
  const refund = select.get(id) as { gatewayRequestNo: string; amount: number | string } | undefined;
  if (!refund) return;
  const response = await gateway.request({
    method: 'GET',
    path: `/refunds/${refund.gatewayRequestNo}/${refund.amount}`,
  });
  const answer = (await response.body.json()) as { status: string; gatewayRefundNo: string };
  if (answer.status === 'SUCCESS') end(id, answer.gatewayRefundNo, JSON.stringify(answer));
}
