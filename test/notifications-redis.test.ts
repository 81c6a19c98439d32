import { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { NotificationRelay } from '../src/notification/notification.relay.js';
import {
  attemptsOf,
  endedRefund,
  laterNotification,
  notificationOf,
  type EndedRefund,
} from './support/notifications.js';
import { accept, Receiver } from './support/receiver.js';
import { startService, type TestService } from './support/service.js';
import { hasMysql, hasRedis, redisPrefix, TEST_REDIS_URL } from './support/services.js';
import { testDatabase, type TestDatabase } from './support/test-database.js';

const available = (await hasRedis()) && (await hasMysql());

describe.runIf(available)('notifications of two services on one MariaDB and one Redis', () => {
  const { prefix, removeKeys } = redisPrefix();
  let database: TestDatabase;
  let first: TestService;
  let second: TestService;
  let receiver: Receiver;

  beforeAll(async () => {
    database = await testDatabase('mysql');
    const env = { ...database.env, REDIS_URL: TEST_REDIS_URL, REDIS_PREFIX: prefix };
    first = await startService({ env, database });
    second = await startService({ env: { ...env, ROLE: 'worker' }, database, sandbox: first.sandbox });
    receiver = await Receiver.start();
  });
  beforeEach(() => {
    receiver.otherwise = accept;
  });
  afterAll(async () => {
    await second.close();
    await first.close();
    await receiver.close();
    await database.drop();
    await removeKeys();
  });

  const ended = (path?: string): Promise<EndedRefund> => endedRefund(first, { notifyUrl: receiver.url(path) });
  const relay = (service: TestService): Promise<number> => service.app.get(NotificationRelay).relay();
  const delivered = (refunds: readonly EndedRefund[]): Promise<void> =>
    expect
      .poll(
        async () => {
          const rows = refunds.map(({ notificationId }) => notificationOf(first, notificationId));
          return (await Promise.all(rows)).filter(({ state }) => state !== 'delivered').length;
        },
        { timeout: 20_000, interval: 50 },
      )
      .toBe(0);

  it('are delivered once each, whoever relays, by whoever works; Redis holds ids alone', async () => {
    const refunds: EndedRefund[] = [];
    for (let count = 0; count < 30; count += 1) refunds.push(await ended());
    await Promise.all([relay(first), relay(second), relay(first), relay(second)]);
    await delivered(refunds);
    for (const { refundNo, notificationId } of refunds) {
      expect(receiver.of(refundNo)).toHaveLength(1);
      expect(await attemptsOf(first, notificationId)).toMatchObject([{ fault: null }]);
    }
  });

  it('keep their order and come one at a time, over all processes', async () => {
    receiver.otherwise = async (response) => {
      await new Promise((resolve) => setTimeout(resolve, 30));
      response.end('SUCCESS');
    };
    const refund = await ended('/in-order');
    const later: string[] = [];
    for (let count = 0; count < 4; count += 1) later.push(await laterNotification(first, refund.refundId));
    await expect
      .poll(
        async () => {
          await Promise.all([relay(first), relay(second)]);
          return receiver.of(refund.refundNo).map(({ headers }) => headers['webhook-id']);
        },
        { timeout: 20_000, interval: 50 },
      )
      .toEqual([refund.notificationId, ...later]);
    expect(receiver.mostAtOnce.get('/in-order')).toBe(1);
  });

  it('are not lost when Redis is emptied while they wait', async () => {
    let release: () => void = () => undefined;
    const released = new Promise<void>((resolve) => (release = resolve));
    receiver.otherwise = async (response) => {
      await released;
      response.end('SUCCESS');
    };
    const refunds: EndedRefund[] = [];
    for (let count = 0; count < 12; count += 1) refunds.push(await ended('/emptied'));
    await relay(first);
    await expect.poll(() => receiver.mostAtOnce.get('/emptied') ?? 0).toBeGreaterThanOrEqual(4);
    const redis = new Redis(TEST_REDIS_URL);
    const jobs = (await redis.keys(`{${prefix}}:refund-notify:*`)).filter((key) => /:\d+$/.test(key));
    expect(jobs).toHaveLength(12);
    expect(await redis.hget(jobs[0] ?? '', 'data')).toMatch(/^\{"notificationId":"\d{19}"\}$/);
    await redis.quit();
    await removeKeys();
    release();
    await expect
      .poll(
        async () => {
          await relay(second);
          const rows = refunds.map(({ notificationId }) => notificationOf(first, notificationId));
          return (await Promise.all(rows)).filter(({ state }) => state === 'delivered').length;
        },
        { timeout: 20_000, interval: 100 },
      )
      .toBe(12);
    for (const { refundNo } of refunds) expect(receiver.of(refundNo).length).toBeGreaterThanOrEqual(1);
  });
});
