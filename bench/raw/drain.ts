import { createPool, type PoolConnection } from 'mysql2/promise';
import { Pool as HttpPool } from 'undici';

/**
 * The baseline of the drain: what a good engineer writes in an afternoon. One select, one HTTP query and one transaction (update and
 * insert) per refund, with the same concurrency; no lease, no balance, no repair records, no outbox, no queue.
 */
const concurrency = Number(process.env.BENCH_CONCURRENCY);
const database = createPool({
  uri: process.env.DATABASE_URL ?? '',
  connectionLimit: Math.min(concurrency, 32),
  supportBigNumbers: true,
  bigNumberStrings: true,
  timezone: 'Z',
});
const gateway = new HttpPool(process.env.BENCH_GATEWAY_URL ?? '', { connections: concurrency, pipelining: 1 });

process.send?.({ ready: true });
process.on('message', (message) => {
  if (message === 'go') void drain().then((done) => process.send?.({ done }));
});
process.on('disconnect', () => process.exit(0));

async function drain(): Promise<number> {
  const [rows] = await database.query(
    "SELECT id FROM refund WHERE nextSyncAt <= NOW(3) AND status = 'progress' ORDER BY nextSyncAt, id",
  );
  const ids = (rows as { id: string }[]).map(({ id }) => id);
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
  const [rows] = await database.query('SELECT * FROM refund WHERE id = ?', [id]);
  const refund = (rows as { gatewayRequestNo: string; amount: string }[])[0];
  if (!refund) return;
  const response = await gateway.request({
    method: 'GET',
    path: `/refunds/${refund.gatewayRequestNo}/${refund.amount}`,
  });
  const answer = (await response.body.json()) as { status: string; gatewayRefundNo: string };
  if (answer.status !== 'SUCCESS') return;
  const connection: PoolConnection = await database.getConnection();
  try {
    await connection.beginTransaction();
    await connection.query(
      'UPDATE refund SET status = ?, gatewayRefundNo = ?, refundTime = NOW(3), nextSyncAt = NULL, version = version + 1 WHERE id = ?',
      ['success', answer.gatewayRefundNo, id],
    );
    await connection.query(
      'INSERT INTO sync_record (id, refundId, source, operation, startedAt, finishedAt, result, effect, statusBefore, statusAfter, explanation, answer) VALUES (?, ?, ?, ?, NOW(3), NOW(3), ?, ?, ?, ?, ?, ?)',
      [
        (BigInt(id) + 4_000_000_000_000_000_000n).toString(),
        id,
        'sweep',
        'query',
        'success',
        'changed',
        'progress',
        'success',
        'the gateway says so',
        JSON.stringify(answer),
      ],
    );
    await connection.commit();
  } catch (error) {
    await connection.rollback();
    throw error;
  } finally {
    connection.release();
  }
}
