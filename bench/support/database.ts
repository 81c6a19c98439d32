import { randomBytes } from 'node:crypto';
import { createConnection, createPool, type Connection, type Pool } from 'mysql2/promise';

const SERVER_URL = process.env.BENCH_MYSQL_URL ?? 'mysql://root@127.0.0.1:3306';

export interface BenchDatabase {
  url: string;
  pool: Pool;
  drop(): Promise<void>;
}

/** A database of its own for one run. */
export async function benchDatabase(): Promise<BenchDatabase> {
  const name = `refund_sync_bench_${process.pid}_${randomBytes(3).toString('hex')}`;
  await onServer((connection) => connection.query(`CREATE DATABASE ${name} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin`));
  const url = `${SERVER_URL}/${name}`;
  const pool = createPool({
    uri: url,
    connectionLimit: 4,
    supportBigNumbers: true,
    bigNumberStrings: true,
    timezone: 'Z',
  });
  return {
    url,
    pool,
    drop: async () => {
      await pool.end();
      await onServer((connection) => connection.query(`DROP DATABASE IF EXISTS ${name}`));
    },
  };
}

async function onServer(work: (connection: Connection) => Promise<unknown>): Promise<void> {
  const connection = await createConnection(SERVER_URL);
  try {
    await work(connection);
  } finally {
    await connection.end();
  }
}

const FIRST_ID = 2_000_000_000_000_000_000n;
const ROWS_PER_INSERT = 2_000;

/**
 * Writes `count` refunds that hang, each of a payment of its own, as the register operation would have left them.
 *
 * @param dueAt when they are due; null: at their end, never due again (rows that only make the table large).
 * @param startAt number of the first one.
 */
export async function seedRefunds(pool: Pool, count: number, dueAt: Date | null, startAt = 0): Promise<void> {
  const now = new Date();
  const status = dueAt === null ? 'success' : 'progress';
  const connection = await pool.getConnection();
  try {
    await connection.query('SET SESSION unique_checks = 0');
    for (let start = 0; start < count; start += ROWS_PER_INSERT) {
      const size = Math.min(ROWS_PER_INSERT, count - start);
      const payments: unknown[][] = [];
      const refunds: unknown[][] = [];
      for (let index = 0; index < size; index += 1) {
        const number = startAt + start + index;
        const id = (FIRST_ID + BigInt(number) * 2n).toString();
        const paymentId = (FIRST_ID + BigInt(number) * 2n + 1n).toString();
        payments.push([
          paymentId,
          'default',
          `P${number}`,
          'wechat_pay',
          'bench',
          `P${number}`,
          1000,
          'CNY',
          900,
          0,
          0,
          dueAt ? 0 : 100,
          dueAt ? 'success' : 'partial_refund',
          1,
          now,
        ]);
        // Spread over a minute, so that the order of the claim matters.
        const due = dueAt === null ? null : new Date(dueAt.getTime() - (number % 60_000));
        refunds.push([
          id,
          'default',
          `R${number}`,
          paymentId,
          'wechat_pay',
          'bench',
          `P${number}`,
          100,
          'CNY',
          status,
          `R${number}`,
          1,
          'registered',
          'none',
          0,
          1,
          due,
          0,
          0,
          0,
          now,
          now,
          now,
        ]);
      }
      if (dueAt !== null) {
        await connection.query(
          'INSERT INTO payment (id,appId,businessNo,channel,gatewayAccountId,outTradeNo,amount,currency,refundableBalance,overRefunded,spentBefore,refundedAmount,status,version,createdAt) VALUES ?',
          [payments],
        );
      }
      await connection.query(
        'INSERT INTO refund (id,appId,refundNo,paymentId,channel,gatewayAccountId,outTradeNo,amount,currency,status,gatewayRequestNo,notify,source,createState,createAttempts,reserved,nextSyncAt,syncAttempts,notFoundCount,version,createdAt,registeredAt,statusChangedAt) VALUES ?',
        [refunds],
      );
    }
  } finally {
    connection.release();
  }
}

/** Takes everything back that a run changed, so that the next one starts equal. */
export async function clearTables(pool: Pool): Promise<void> {
  for (const table of ['refund', 'payment', 'sync_record', 'repair_record', 'notification'])
    await pool.query(`TRUNCATE TABLE ${table}`);
}

/** Cheap, however many there are: what watches must not be what is measured. */
export async function hasUnfinished(pool: Pool): Promise<boolean> {
  const [rows] = await pool.query("SELECT 1 FROM refund WHERE status = 'progress' LIMIT 1");
  return (rows as unknown[]).length > 0;
}
