import { randomBytes } from 'node:crypto';
import { createConnection } from 'mysql2/promise';

export interface TestDatabase {
  /** What the service must find in its environment to use it. */
  env: Record<string, string>;
  drop(): Promise<void>;
}

const SERVER_URL = process.env.TEST_MYSQL_URL ?? 'mysql://root@127.0.0.1:3306';

/** SQLite, or with TEST_DATABASE=mysql a database of its own on the MySQL or MariaDB server at TEST_MYSQL_URL. */
export async function testDatabase(kind = process.env.TEST_DATABASE): Promise<TestDatabase> {
  if (kind !== 'mysql') return { env: {}, drop: () => Promise.resolve() };
  const name = `refund_sync_test_${process.pid}_${randomBytes(4).toString('hex')}`;
  await onServer(`CREATE DATABASE ${name} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin`);
  return {
    env: { DATABASE_URL: `${SERVER_URL}/${name}`, MASTER_KEY: randomBytes(32).toString('base64') },
    drop: () => onServer(`DROP DATABASE IF EXISTS ${name}`),
  };
}

async function onServer(sql: string): Promise<void> {
  const connection = await createConnection(SERVER_URL);
  try {
    await connection.query(sql);
  } finally {
    await connection.end();
  }
}
