import { randomBytes } from 'node:crypto';
import { drain } from './drain.js';
import { benchDatabase } from './support/database.js';
import { startService } from './drain.js';

const quick = process.argv.includes('--quick');
const database = await benchDatabase();
const environment = {
  DATABASE_URL: database.url,
  REDIS_URL: process.env.BENCH_REDIS_URL ?? 'redis://127.0.0.1:6379/0',
  REDIS_PREFIX: `bench-${process.pid}`,
  MASTER_KEY: randomBytes(32).toString('base64'),
};
try {
  const once = await startService(environment, 'http://127.0.0.1:1', 1);
  await once.stop();
  const result = await drain(database, environment, { refunds: quick ? 5_000 : 20_000, concurrency: 64, rounds: quick ? 1 : 3 });
  process.stdout.write(`${JSON.stringify(result)}\n`);
} finally {
  await database.drop();
}
