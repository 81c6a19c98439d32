import { createServer, type AddressInfo, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { startService, type TestService } from './support/service.js';
import { hasMysql, hasRedis, redisPrefix, TEST_REDIS_URL } from './support/services.js';
import { testDatabase } from './support/test-database.js';

interface Ready {
  status: string;
  checks: Record<string, string>;
}

async function ready(service: TestService): Promise<{ httpStatus: number; body: Ready; tookMs: number }> {
  const startedAt = performance.now();
  const response = await fetch(`${service.url}/health/ready`);
  const body = (await response.json()) as Ready;
  return { httpStatus: response.status, body, tookMs: performance.now() - startedAt };
}

describe('a service that is healthy', () => {
  let service: TestService;
  beforeAll(async () => {
    service = await startService();
  });
  afterAll(() => service.close());

  it('is live and ready, each part of it', async () => {
    expect(await (await fetch(`${service.url}/health/live`)).json()).toEqual({ status: 'live' });
    expect(await ready(service)).toMatchObject({
      httpStatus: 200,
      body: { status: 'ready', checks: { database: 'ok', migrations: 'ok', queue: 'ok', sweep: 'ok' } },
    });
  });

  it('says which part is bad, and is live all the same', async () => {
    // The row that is written may be gone, the newest migration not applied, the sweep stand still.
    await service.db.read((manager) => manager.query('DELETE FROM health_probe'));
    const [newest] = await service.db.read((manager) =>
      manager.query<{ id: number; timestamp: unknown; name: string }[]>(
        'SELECT * FROM migrations ORDER BY id DESC LIMIT 1',
      ),
    );
    await service.db.read((manager) => manager.query('DELETE FROM migrations WHERE id = ?', [newest?.id]));
    vi.spyOn(service.sweeper, 'silentForMs').mockReturnValue(4 * 3_600_000);
    try {
      await expect
        .poll(() => ready(service))
        .toMatchObject({
          httpStatus: 503,
          body: {
            status: 'notReady',
            checks: {
              database: 'Error: the row of the probe is gone',
              migrations: 'Error: 1 migrations are not applied',
              queue: 'ok',
              sweep: 'Error: the sweep has got nowhere for 14400 s',
            },
          },
        });
      expect((await fetch(`${service.url}/health/live`)).status).toBe(200);
    } finally {
      vi.restoreAllMocks();
      await service.db.read((manager) => manager.query("INSERT INTO health_probe (id, token) VALUES (1, '')"));
      await service.db.read((manager) =>
        manager.query('INSERT INTO migrations (id, timestamp, name) VALUES (?, ?, ?)', [
          newest?.id,
          newest?.timestamp,
          newest?.name,
        ]),
      );
    }
    await expect.poll(async () => (await ready(service)).httpStatus).toBe(200);
  });

  it('is not ready within two seconds when its database hangs', async () => {
    const hanging = vi.spyOn(service.db, 'read').mockImplementation(() => new Promise(() => undefined));
    try {
      const { httpStatus, body, tookMs } = await vi.waitFor(
        async () => {
          const answer = await ready(service);
          expect(answer.httpStatus).toBe(503);
          return answer;
        },
        { timeout: 10_000 },
      );
      expect(httpStatus).toBe(503);
      expect(body.checks).toMatchObject({ database: 'Error: no answer within 1500 ms', queue: 'ok', sweep: 'ok' });
      expect(tookMs).toBeLessThan(2_000);
    } finally {
      hanging.mockRestore();
    }
  });

  it('writes no more for many who ask at once than for one', async () => {
    await ready(service);
    const reads = vi.spyOn(service.db, 'read');
    await Promise.all(Array.from({ length: 50 }, () => ready(service)));
    expect(reads.mock.calls.length).toBeLessThan(20);
    reads.mockRestore();
  });
});

describe.runIf((await hasRedis()) && (await hasMysql()))('a service with MariaDB and Redis', () => {
  it('asks of an api process no sweep, and says within two seconds that Redis is away', async () => {
    const { prefix, removeKeys } = redisPrefix();
    const database = await testDatabase('mysql');
    const redis = new URL(TEST_REDIS_URL);
    // Redis behind a relay that can be stopped: nothing is cut, it just says nothing any more.
    const sockets: Socket[] = [];
    const { connect } = await import('node:net');
    const relay = createServer((client) => {
      const upstream = connect(Number(redis.port || 6379), redis.hostname);
      sockets.push(client, upstream);
      client.pipe(upstream).pipe(client);
      for (const socket of [client, upstream]) socket.on('error', () => undefined);
    });
    await new Promise<void>((resolve) => relay.listen(0, '127.0.0.1', resolve));
    const { port } = relay.address() as AddressInfo;
    const service = await startService({
      database,
      env: {
        ...database.env,
        ROLE: 'api',
        REDIS_URL: `redis://127.0.0.1:${port}${redis.pathname}`,
        REDIS_PREFIX: prefix,
      },
    });
    try {
      expect((await ready(service)).body).toEqual({
        status: 'ready',
        checks: { database: 'ok', migrations: 'ok', queue: 'ok' },
        refunds: { silent: 0, stuck: 0 },
      });
      for (const socket of sockets) socket.pause();
      const { body, tookMs } = await vi.waitFor(
        async () => {
          const answer = await ready(service);
          expect(answer.httpStatus).toBe(503);
          return answer;
        },
        { timeout: 10_000 },
      );
      expect(body.checks).toMatchObject({ database: 'ok', queue: 'Error: no answer within 1500 ms' });
      expect(tookMs).toBeLessThan(2_000);
      for (const socket of sockets) socket.resume();
      await expect.poll(async () => (await ready(service)).httpStatus).toBe(200);
    } finally {
      for (const socket of sockets) socket.resume();
      await service.close();
      for (const socket of sockets) socket.destroy();
      relay.close();
      await database.drop();
      await removeKeys();
    }
  });
});
