import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { Redis } from 'ioredis';

export const TEST_REDIS_URL = process.env.TEST_REDIS_URL ?? 'redis://127.0.0.1:6379/0';

/** True when something listens. In CI (REQUIRE_SERVICES=1) a missing service is a failure, not a reason to skip. */
async function reachable(what: string, host: string, port: number): Promise<boolean> {
  const open = await new Promise<boolean>((resolve) => {
    const socket = connect({ host, port }, () => resolve(true));
    socket.setTimeout(1_000, () => resolve(false));
    socket.once('error', () => resolve(false));
    socket.once('close', () => resolve(false));
    void Promise.resolve().then(() => socket.unref());
  });
  if (!open && process.env.REQUIRE_SERVICES === '1')
    throw new Error(`${what} is required and not reachable at ${host}:${port}`);
  if (!open) process.stderr.write(`\nSKIPPED: ${what} is not reachable at ${host}:${port}; its tests do not run\n`);
  return open;
}

export function hasRedis(): Promise<boolean> {
  const url = new URL(TEST_REDIS_URL);
  return reachable('Redis', url.hostname, Number(url.port || 6379));
}

export function hasMysql(): Promise<boolean> {
  const url = new URL(process.env.TEST_MYSQL_URL ?? 'mysql://root@127.0.0.1:3306');
  return reachable('MySQL or MariaDB', url.hostname, Number(url.port || 3306));
}

/** A key prefix of this run alone, and the removal of all its keys. */
export function redisPrefix(): { prefix: string; removeKeys: () => Promise<void> } {
  const prefix = `test-${process.pid}-${randomBytes(4).toString('hex')}`;
  return {
    prefix,
    removeKeys: async () => {
      const redis = new Redis(TEST_REDIS_URL);
      for await (const keys of redis.scanStream({ match: `{${prefix}}*`, count: 500 }) as AsyncIterable<string[]>) {
        if (keys.length > 0) await redis.del(...keys);
      }
      await redis.quit();
    },
  };
}
