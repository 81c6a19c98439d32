import { fastify } from 'fastify';
import { createPool } from 'mysql2/promise';
import { Pool as HttpPool } from 'undici';

/**
 * The baseline of the sync on demand: a bare Fastify handler that reads the refund, asks the gateway, and writes in one transaction what
 * the service writes: refund, sync record and two repair records. No signature, no lease, no queue.
 */
const database = createPool({
  uri: process.env.DATABASE_URL ?? '',
  connectionLimit: 32,
  supportBigNumbers: true,
  bigNumberStrings: true,
  timezone: 'Z',
});
const gateway = new HttpPool(process.env.BENCH_GATEWAY_URL ?? '', { connections: 64, pipelining: 1 });
const server = fastify();
let lastId = 6_000_000_000_000_000_000n;
const nextId = (): string => (lastId += 1n).toString();

server.post('/unipay/syncRefund', async (request) => {
  const { refundNo } = request.body as { refundNo: string };
  const [found] = await database.query('SELECT * FROM refund WHERE appId = ? AND refundNo = ?', ['default', refundNo]);
  const refund = (
    found as { id: string; paymentId: string; status: string; gatewayRequestNo: string; amount: string }[]
  )[0];
  if (!refund) return { code: 20041 };
  const response = await gateway.request({
    method: 'GET',
    path: `/refunds/${refund.gatewayRequestNo}/${refund.amount}`,
  });
  const answer = (await response.body.json()) as { status: string; gatewayRefundNo: string };
  const connection = await database.getConnection();
  try {
    await connection.beginTransaction();
    await connection.query('SELECT * FROM payment WHERE id = ? FOR UPDATE', [refund.paymentId]);
    const [locked] = await connection.query('SELECT * FROM refund WHERE id = ? FOR UPDATE', [refund.id]);
    const changed = (locked as { status: string }[])[0]?.status === 'progress';
    const syncId = nextId();
    await connection.query(
      'INSERT INTO sync_record (id, refundId, source, operation, startedAt, finishedAt, result, effect, statusBefore, statusAfter, explanation, answer) VALUES (?, ?, ?, ?, NOW(3), NOW(3), ?, ?, ?, ?, ?, ?)',
      [
        syncId,
        refund.id,
        'merchant',
        'query',
        'success',
        'changed',
        refund.status,
        'success',
        'the gateway says so',
        JSON.stringify(answer),
      ],
    );
    if (changed) {
      await connection.query(
        'UPDATE refund SET status = ?, gatewayRefundNo = ?, refundTime = NOW(3), nextSyncAt = NULL, version = version + 1 WHERE id = ?',
        ['success', answer.gatewayRefundNo, refund.id],
      );
      await connection.query(
        'UPDATE payment SET refundedAmount = refundedAmount + ?, status = ?, version = version + 1 WHERE id = ?',
        [refund.amount, 'partial_refund', refund.paymentId],
      );
      const repairNo = nextId();
      const repair = (target: string, targetId: string): unknown[] => [
        nextId(),
        repairNo,
        target,
        targetId,
        refund.id,
        'merchant',
        'progress',
        'success',
        900,
        900,
        'the gateway says so',
        syncId,
        new Date(),
      ];
      await connection.query(
        'INSERT INTO repair_record (id, repairNo, target, targetId, refundId, source, statusBefore, statusAfter, balanceBefore, balanceAfter, explanation, syncRecordId, createdAt) VALUES ?',
        [[repair('refund', refund.id), repair('payment', refund.paymentId)]],
      );
    }
    await connection.commit();
  } catch (error) {
    await connection.rollback();
    throw error;
  } finally {
    connection.release();
  }
  return {
    msg: '',
    code: 0,
    data: { gatewayStatus: 'refund_success', success: true, repair: true, repairOrderNo: '', errorMsg: '' },
    sign: '',
    traceId: '',
  };
});

await server.listen({ port: 0, host: '127.0.0.1' });
const address = server.server.address();
if (address !== null && typeof address === 'object') process.send?.({ url: `http://127.0.0.1:${address.port}` });
process.on('disconnect', () => process.exit(0));
