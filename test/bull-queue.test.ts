import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Redis } from 'ioredis';
import { stuckRefund } from './support/builders.js';
import { startService, type TestService } from './support/service.js';
import { hasMysql, hasRedis, redisPrefix, TEST_REDIS_URL } from './support/services.js';
import { testDatabase, type TestDatabase } from './support/test-database.js';

const available = (await hasRedis()) && (await hasMysql());

describe.runIf(available)('two services on one MariaDB and one Redis', () => {
  const { prefix, removeKeys } = redisPrefix();
  let database: TestDatabase;
  let first: TestService;
  let second: TestService;

  beforeAll(async () => {
    database = await testDatabase('mysql');
    const env = { ...database.env, REDIS_URL: TEST_REDIS_URL, REDIS_PREFIX: prefix };
    first = await startService({ env, database });
    second = await startService({ env: { ...env, ROLE: 'worker' }, database, sandbox: first.sandbox });
  });
  afterAll(async () => {
    await second.close();
    await first.close();
    await database.drop();
    await removeKeys();
  });

  async function queueKeys(): Promise<string[]> {
    const redis = new Redis(TEST_REDIS_URL);
    const keys = await redis.keys(`{${prefix}}:refund-sync:*`);
    await redis.quit();
    return keys;
  }

  it('sync one refund for many callers at once: one question to the gateway, one repair', async () => {
    const { id, refundNo } = await stuckRefund(first, { gateway: 'success' });

    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, index) => (index % 2 === 0 ? first : second).merchant.syncRefund({ refundNo })),
    );

    for (const { code } of answers) expect([0, 10007]).toContain(code);
    expect(answers.some(({ code }) => code === 0)).toBe(true);
    const truth = await first.control<{ maxConcurrentQueries: number }>(`/control/refunds/wechat_pay/${refundNo}`);
    expect(truth.maxConcurrentQueries).toBe(1);
    expect((await first.history(id)).repairs).toHaveLength(2);
  });

  it('answer at once while a sync is running, and leave no job behind', async () => {
    const { refundNo } = await stuckRefund(first, { gateway: 'success' });
    await first.control('/control/faults', {
      channel: 'wechat_pay',
      kind: 'slow',
      rate: 1,
      count: 1,
      outRefundNo: refundNo,
    });

    const slow = first.merchant.syncRefund({ refundNo });
    await expect
      .poll(
        async () =>
          (await first.control<{ activeCalls: number }>(`/control/refunds/wechat_pay/${refundNo}`)).activeCalls,
      )
      .toBe(1);
    const meanwhile = await second.merchant.syncRefund({ refundNo });

    expect(meanwhile).toMatchObject({ code: 10007, data: null, msg: '支付同步处理中，请勿重复操作' });
    expect(await slow).toMatchObject({ code: 0, data: { gatewayStatus: 'refund_success', repair: true } });
    expect((await queueKeys()).filter((key) => /\d{19}$/.test(key))).toEqual([]);
  });

  it('sweep what is due, whoever claims it, and lose nothing when Redis is emptied', async () => {
    const refunds = await Promise.all(Array.from({ length: 20 }, () => stuckRefund(first, { gateway: 'success' })));
    await new Promise((resolve) => setTimeout(resolve, 1_200));

    const claimed = await Promise.all([first.sweeper.sweep(), second.sweeper.sweep()]);

    expect(claimed[0] + claimed[1]).toBeGreaterThanOrEqual(20);
    for (const { id } of refunds) {
      await expect.poll(async () => (await first.refund(id)).status, { timeout: 10_000 }).toBe('success');
      expect((await first.history(id)).repairs).toHaveLength(2);
    }
    await removeKeys();
    const { refundNo } = await stuckRefund(first, { gateway: 'failed' });
    expect(await first.merchant.syncRefund({ refundNo })).toMatchObject({
      code: 0,
      data: { gatewayStatus: 'refund_fail' },
    });
  });

  it('say that they are ready only while Redis answers', async () => {
    const response = await fetch(`${first.url}/health/ready`);
    expect(await response.json()).toMatchObject({ status: 'ready', checks: { database: 'ok', queue: 'ok' } });
  });
});
