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

/** The rows of one refund that hangs, of a payment of its own, as the register operation would have left them. */
export function refundRows(number: number, dueAt: Date): { table: string; row: Record<string, unknown> }[] {
  const now = new Date();
  const id = (FIRST_ID + BigInt(number) * 2n).toString();
  const paymentId = (FIRST_ID + BigInt(number) * 2n + 1n).toString();
  const common = {
    appId: 'default',
    channel: 'wechat_pay',
    gatewayAccountId: 'bench',
    outTradeNo: `P${number}`,
    currency: 'CNY',
  };
  const payment = {
    ...{
      id: paymentId,
      businessNo: `P${number}`,
      amount: 1000,
      refundableBalance: 900,
      overRefunded: 0,
      spentBefore: 0,
    },
    ...{ refundedAmount: 0, status: 'success', version: 1, createdAt: now },
  };
  const refund = {
    ...{ id, refundNo: `R${number}`, paymentId, amount: 100, status: 'progress', gatewayRequestNo: `R${number}` },
    ...{ notify: 1, source: 'registered', createState: 'none', createAttempts: 0, reserved: 1 },
    // Spread over a minute, so that the order of the claim matters.
    ...{ nextSyncAt: new Date(dueAt.getTime() - (number % 60_000)), syncAttempts: 0, notFoundCount: 0, version: 0 },
    ...{ createdAt: now, registeredAt: now, statusChangedAt: now },
  };
  return [
    { table: 'payment', row: { ...common, ...payment } },
    { table: 'refund', row: { ...common, ...refund } },
  ];
}

/** Writes refunds that hang. @param dueAt when they are due, at the latest. */
export async function seedRefunds(pool: Pool, count: number, dueAt: Date): Promise<void> {
  const connection = await pool.getConnection();
  try {
    await connection.query('SET SESSION unique_checks = 0');
    for (let start = 0; start < count; start += ROWS_PER_INSERT) {
      const size = Math.min(ROWS_PER_INSERT, count - start);
      const rows = Array.from({ length: size }, (_, index) => refundRows(start + index, dueAt)).flat();
      for (const table of ['payment', 'refund']) {
        const own = rows.filter((row) => row.table === table).map(({ row }) => row);
        await connection.query(`INSERT INTO ${table} (${Object.keys(own[0] ?? {}).join(',')}) VALUES ?`, [
          own.map((row) => Object.values(row)),
        ]);
      }
    }
  } finally {
    connection.release();
  }
}

const DIGITS =
  '(SELECT 0 d UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 UNION ALL SELECT 5 UNION ALL SELECT 6 UNION ALL SELECT 7 UNION ALL SELECT 8 UNION ALL SELECT 9)';
const ROWS_PER_GROWTH = 100_000;
const FIRST_GROWN_ID = 3_000_000_000_000_000_000n;

/** Adds refunds at their end, made by the server itself, until there are so many of them. */
export async function growTo(pool: Pool, ended: number): Promise<void> {
  const [rows] = await pool.query("SELECT COUNT(*) AS count FROM refund WHERE status = 'success'");
  const present = Number((rows as { count: unknown }[])[0]?.count);
  const digits = ['a', 'b', 'c', 'e', 'f'].map((name) => `${DIGITS} ${name}`).join(' CROSS JOIN ');
  for (let from = present; from < ended; from += ROWS_PER_GROWTH) {
    const number = `(${from} + a.d + 10 * b.d + 100 * c.d + 1000 * e.d + 10000 * f.d)`;
    // Numbers with leading zeros: every index grows at its end, as it does in life.
    const text = `LPAD(${number}, 9, '0')`;
    await pool.query(
      `INSERT INTO refund (id,appId,refundNo,paymentId,channel,gatewayAccountId,outTradeNo,amount,currency,status,gatewayRequestNo,gatewayRefundNo,notify,source,createState,createAttempts,reserved,nextSyncAt,syncAttempts,notFoundCount,version,createdAt,registeredAt,statusChangedAt)
       SELECT ${FIRST_GROWN_ID} + ${number}, 'default', CONCAT('Z', ${text}), ${FIRST_GROWN_ID} + ${number}, 'wechat_pay', 'bench', CONCAT('Z', ${text}), 100, 'CNY', 'success', CONCAT('Z', ${text}), CONCAT('Z', ${text}),
              1, 'registered', 'none', 0, 1, NULL, 3, 0, 1, UTC_TIMESTAMP(3), UTC_TIMESTAMP(3), UTC_TIMESTAMP(3)
       FROM ${digits} WHERE ${number} < ${ended} ORDER BY 1`,
    );
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
