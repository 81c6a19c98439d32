import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createSandbox, type Sandbox } from '../sandbox/server.js';
import { exchange, newPaceState, type CallOutcome, type PaceRequest } from '../src/gateway/pacing/pace.js';
import { GatewayPacing, type AccountPacing } from '../src/gateway/pacing/gateway-pacing.service.js';
import { RedisPacer } from '../src/gateway/pacing/redis.pacer.js';
import { stuckRefund, uniqueNo, type StuckRefund } from './support/builders.js';
import { clearFaults, fault, settings, truth } from './support/gateway.js';
import { startService, WECHAT_ACCOUNT, type TestService } from './support/service.js';
import { hasMysql, hasRedis, redisPrefix, TEST_REDIS_URL } from './support/services.js';
import { testDatabase, type TestDatabase } from './support/test-database.js';

const redisThere = await hasRedis();
const bothThere = redisThere && (await hasMysql());

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

function pacingOf(service: TestService, accountId = WECHAT_ACCOUNT): AccountPacing {
  const found = service.app
    .get(GatewayPacing)
    .snapshot()
    .find((account) => account.accountId === accountId);
  if (!found) throw new Error(`${accountId} has not been called`);
  return found;
}

async function queries(service: TestService): Promise<number> {
  return (await service.control<{ queries: number }>('/control/stats')).queries;
}

describe.runIf(redisThere)('the pace in Redis', () => {
  const { prefix, removeKeys } = redisPrefix();
  let redis: Redis;
  beforeAll(() => {
    redis = new Redis(TEST_REDIS_URL);
  });
  afterAll(async () => {
    await redis.quit();
    await removeKeys();
  });

  const outcome: fc.Arbitrary<CallOutcome> = fc.oneof(
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('answered' as const), probe: fc.boolean() }) },
    { weight: 6, arbitrary: fc.record({ kind: fc.constant('failed' as const), probe: fc.boolean() }) },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constant('limited' as const),
        probe: fc.boolean(),
        retryAfterMs: fc.constantFrom(0, 120, 1_000, 60_000, 3_600_000),
        askedAtMs: fc.double({ min: 1_700_000_000_000, max: 1_700_000_060_000, noNaN: true }),
      }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('unused' as const), probe: fc.constant(true as const) }) },
  );
  const step = fc.record({
    process: fc.constantFrom('a', 'b', 'c'),
    /** Now and then the clock of Redis is set back. */
    waitMs: fc.oneof(
      { weight: 8, arbitrary: fc.double({ min: 0, max: 40, noNaN: true }) },
      { weight: 2, arbitrary: fc.integer({ min: 0, max: 30_000 }) },
      { weight: 1, arbitrary: fc.constantFrom(-3_600_000, 3_600_000) },
    ),
    held: fc.integer({ min: 0, max: 4 }),
    wanted: fc.integer({ min: 0, max: 6 }),
    outcomes: fc.array(outcome, { maxLength: 6 }),
    horizonMs: fc.constantFrom(0, 10, 20, 150, 2_000),
    holdMs: fc.constantFrom(5_000, 20_000),
  });
  const limits = fc.record({
    perSecond: fc.oneof(fc.double({ min: 0.05, max: 20, noNaN: true }), fc.integer({ min: 21, max: 2_000 })),
    concurrency: fc.integer({ min: 1, max: 12 }),
  });

  it('is the pace as it was thought out: the script and the pure functions answer the same, digit for digit', async () => {
    let run = 0;
    await fc.assert(
      fc.asyncProperty(limits, fc.array(step, { minLength: 1, maxLength: 25 }), async (accountLimits, steps) => {
        run += 1;
        let nowMs = 1_700_000_000_000;
        const state = newPaceState();
        const pacers = new Map(['a', 'b', 'c'].map((name) => [name, new RedisPacer(redis, prefix, () => nowMs)]));
        for (const { process, waitMs, ...request } of steps) {
          nowMs += waitMs;
          const wanted: PaceRequest = { ...request, process };
          const thought = exchange(state, accountLimits, wanted, nowMs);
          const account = { id: `run-${run}`, limits: accountLimits };
          const { offsetMs: _offset, ...stored } = (await pacers.get(process)?.exchange(account, request)) ?? {};
          expect(stored).toEqual(thought);
        }
      }),
      { numRuns: 150 },
    );
  });

  it('goes by the clock of Redis, and is forgotten when nobody calls', async () => {
    const [first, second] = [new RedisPacer(redis, prefix), new RedisPacer(redis, prefix)];
    const account = { id: 'shared', limits: { perSecond: 50, concurrency: 5 } };
    const request = { held: 0, wanted: 3, outcomes: [], horizonMs: 1_000, holdMs: 5_000 };
    const replies = [await first.exchange(account, request), await second.exchange(account, request)];
    expect(replies).toMatchObject([
      { granted: 3, inFlight: 3 },
      { granted: 2, inFlight: 5, refusal: 'full' },
    ]);
    const [{ nowMs, offsetMs, firstAtMs } = replies[0] as never, after] = replies;
    expect(Math.abs(nowMs - Date.now())).toBeLessThan(5_000);
    expect(Math.abs(nowMs - offsetMs - performance.now())).toBeLessThan(1_000);
    expect(after?.firstAtMs).toBeCloseTo(firstAtMs + 60, 6);
    expect(await redis.pttl(`{${prefix}}:pace:shared`)).toBeGreaterThan(60_000);
  });
});

describe.runIf(bothThere)('two processes that share a MariaDB and a Redis', () => {
  const { prefix, removeKeys } = redisPrefix();
  let database: TestDatabase;
  let first: TestService;
  let second: TestService;
  let healthy: Sandbox;

  beforeAll(async () => {
    database = await testDatabase('mysql');
    healthy = await createSandbox();
    const env = { ...database.env, REDIS_URL: TEST_REDIS_URL, REDIS_PREFIX: prefix, SWEEP_INTERVAL_MS: '200' };
    first = await startService({ env, database });
    second = await startService({ env: { ...env, ROLE: 'worker' }, database, sandbox: first.sandbox });
    const config = healthy.accounts().find(({ gateway }) => gateway === 'wechat')?.config;
    const put = await first.admin('PUT', '/admin/gateway-accounts/healthy', {
      channel: 'wechat_pay',
      config: { ...config, notifyUrl: 'https://shop.example/callback' },
    });
    expect(put.httpStatus).toBe(200);
  });
  afterEach(() => clearFaults(first));
  afterAll(async () => {
    await second.close();
    await first.close();
    await healthy.close();
    await database.drop();
    await removeKeys();
  });

  /** Not due before `makeDue()`. */
  async function refunds(count: number, gatewayAccountId: string): Promise<StuckRefund[]> {
    const atHealthy = gatewayAccountId === 'healthy';
    const made: StuckRefund[] = [];
    for (let index = 0; index < count; index += 1) {
      const businessNo = uniqueNo('P');
      const refund = await stuckRefund(first, {
        businessNo,
        gateway: atHealthy ? 'unknown' : 'success',
        more: { gatewayAccountId },
      });
      if (atHealthy)
        await fetch(`${healthy.url}/control/refunds`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({
            ...{ channel: 'wechat_pay', outRefundNo: refund.refundNo, outTradeNo: businessNo, amount: 100 },
            ...{ paymentAmount: 1_000, currency: 'CNY', script: [{ afterMs: 0, status: 'success' }] },
          }),
        });
      await hold();
      made.push(refund);
    }
    return made;
  }

  const sql = (text: string) => first.db.read((manager) => manager.query(text));
  const hold = () => sql('UPDATE refund SET nextSyncAt = UTC_TIMESTAMP(3) + INTERVAL 1 HOUR');
  const makeDue = () => sql("UPDATE refund SET nextSyncAt = UTC_TIMESTAMP(3) WHERE status = 'progress'");
  const succeeded = async (known: readonly StuckRefund[]): Promise<number> => {
    const rows = await Promise.all(known.map(({ id }) => first.refund(id)));
    return rows.filter(({ status }) => status === 'success').length;
  };

  it('leave a gateway alone that is down, and find out one call at a time when it is back; other accounts go on', async () => {
    const down = await refunds(60, WECHAT_ACCOUNT);
    const up = await refunds(20, 'healthy');
    await fault(first, 'http500');
    const untouched = down.at(-1) as StuckRefund;
    const before = await queries(first);
    await makeDue();

    await expect.poll(() => succeeded(up), { timeout: 15_000 }).toBe(20);
    await expect
      .poll(() => pacingOf(first).circuit === 'open' || pacingOf(second).circuit === 'open', { timeout: 15_000 })
      .toBe(true);
    const whenOpen = (await queries(first)) - before;
    const openedAt = performance.now();

    const answers = await Promise.all(
      [first, second].map(async (service) => {
        const askedAt = performance.now();
        const answer = await service.merchant.syncRefund({ refundNo: untouched.refundNo });
        return { ...answer, tookMs: performance.now() - askedAt };
      }),
    );
    const told = answers.find(({ code }) => code === 20000);
    expect(told?.msg).toBe('同步失败: 支付网关近期无应答，已暂停调用，稍后自动同步');
    await sleep(Math.max(0, openedAt + 6_500 - performance.now()));
    const whileOpen = (await queries(first)) - before - whenOpen;
    const { syncs } = await first.history(untouched.id);
    const unasked = syncs.filter(({ answer }) => answer?.code === 'circuit_open');
    expect(unasked[0]).toMatchObject({
      source: 'merchant',
      result: 'error',
      errorKind: 'unavailable',
      effect: 'unchanged',
    });
    const row = await first.refund(untouched.id);
    expect(row).toMatchObject({ status: 'progress', leaseToken: null, syncAttempts: syncs.length - unasked.length });

    await clearFaults(first);
    const clearedAt = performance.now();
    await makeDue();
    const again = setInterval(() => void makeDue(), 1_000);
    await expect.poll(() => succeeded(down), { timeout: 30_000 }).toBe(60);
    clearInterval(again);
    const figures = {
      callsUntilOpen: whenOpen,
      callsIn6sWhileOpen: whileOpen,
      merchantToldAfterMs: Math.round(told?.tookMs ?? NaN),
      allEndedAfterMs: Math.round(performance.now() - clearedAt),
    };
    process.stdout.write(`[pacing: gateway down] ${JSON.stringify(figures)}\n`);
    // 60 were due, 32 jobs may run in each of two processes.
    expect(whenOpen).toBeLessThan(30);
    // A probe after 2 s, one after 4 s more.
    expect(whileOpen).toBeLessThanOrEqual(3);
    expect(pacingOf(first).circuit).toBe('closed');
  });

  it('slow down together after a 429 that one of them got', async () => {
    const [refused, next, other] = await refunds(3, WECHAT_ACCOUNT);
    if (!refused || !next || !other) throw new Error('no refunds');
    await first.merchant.syncRefund({ refundNo: other.refundNo });
    const perSecond = pacingOf(first).perSecond;
    await fault(first, 'http429', { outRefundNo: refused.refundNo, count: 1 });

    const answer = await first.merchant.syncRefund({ refundNo: refused.refundNo });
    expect(answer).toMatchObject({ code: 20000, msg: '同步失败: 支付网关限流' });
    const refusedAt = performance.now();
    const healthyAnswer = await second.merchant.syncRefund({ refundNo: next.refundNo });
    const tookMs = performance.now() - refusedAt;

    expect(healthyAnswer).toMatchObject({ code: 0, data: { repair: true } });
    const paces = [first, second].map((service) => pacingOf(service).perSecond);
    process.stdout.write(`[pacing: 429] ${JSON.stringify({ perSecond, paces, secondWaitedMs: Math.round(tookMs) })}\n`);
    expect(Math.min(...paces)).toBeLessThan(perSecond * 0.6);
    // Half a second of silence, then half of the rate.
    expect(tookMs).toBeGreaterThan(300);
    expect((await first.refund(refused.id)).nextSyncAt?.getTime()).toBeGreaterThan(Date.now() + 50_000);
  });
});

describe('an account', () => {
  let service: TestService;
  beforeAll(async () => {
    service = await startService({ env: { SYNC_CONCURRENCY: '8', SYNC_WAIT_MS: '3000' } });
  });
  afterEach(() => clearFaults(service));
  afterAll(() => service.close());

  async function account(id: string, limits: Record<string, unknown>): Promise<{ httpStatus: number; body: any }> {
    const config = service.sandbox.accounts().find(({ gateway }) => gateway === 'wechat')?.config;
    return service.admin('PUT', `/admin/gateway-accounts/${id}`, {
      channel: 'wechat_pay',
      config: { ...config, notifyUrl: 'https://shop.example/callback' },
      ...limits,
    });
  }

  it('may allow itself less than its gateway, not more, and takes that back with null', async () => {
    expect(await account('limited', { ratePerSecond: 5, maxConcurrency: 2 })).toMatchObject({
      httpStatus: 200,
      body: { ratePerSecond: 5, maxConcurrency: 2 },
    });
    expect((await account('limited', {})).body).toMatchObject({ ratePerSecond: 5, maxConcurrency: 2 });
    expect((await account('limited', { ratePerSecond: null })).body).toMatchObject({ ratePerSecond: null });
    for (const limits of [
      { ratePerSecond: 101 },
      { maxConcurrency: 21 },
      { ratePerSecond: 0 },
      { ratePerSecond: 1.5 },
    ]) {
      const { httpStatus, body } = await account('limited', limits);
      expect(httpStatus, JSON.stringify(limits)).toBe(400);
      expect(JSON.stringify(body)).toContain(Object.keys(limits)[0]);
    }
  });

  it('with more questions than its rate tells people who cannot be served in time, and asks about the others', async () => {
    await account('narrow', { ratePerSecond: 2 });
    const refunds = [];
    for (let index = 0; index < 8; index += 1)
      refunds.push(await stuckRefund(service, { gateway: 'success', more: { gatewayAccountId: 'narrow' } }));
    const startedAt = performance.now();
    const answers = await Promise.all(refunds.map(({ refundNo }) => service.merchant.syncRefund({ refundNo })));
    const tookMs = performance.now() - startedAt;

    const told = answers.filter(({ code }) => code === 20000);
    expect(answers.length - told.length).toBeGreaterThanOrEqual(2);
    expect(told.length).toBeGreaterThanOrEqual(3);
    for (const { msg } of told) expect(msg).toBe('同步失败: 请求过多，已达支付网关限速，稍后自动同步');
    expect(tookMs).toBeLessThan(3_000);
    for (const { id } of refunds) {
      const row = await service.refund(id);
      const { syncs } = await service.history(id);
      // Waiting is no attempt, and every refund keeps its next look.
      if (row.status === 'progress') expect(row).toMatchObject({ syncAttempts: 0, leaseToken: null });
      if (row.status === 'progress') expect(row.nextSyncAt).not.toBeNull();
      expect(syncs).toHaveLength(1);
    }
  });

  it('that is slow or limited does not keep the places that others need', async () => {
    await account('slow', { ratePerSecond: 1 });
    const slow = [];
    for (let index = 0; index < 30; index += 1)
      slow.push(await stuckRefund(service, { gateway: 'success', more: { gatewayAccountId: 'slow' } }));
    const quick = [];
    for (let index = 0; index < 5; index += 1)
      quick.push(await stuckRefund(service, { gateway: 'success', more: { gatewayAccountId: WECHAT_ACCOUNT } }));
    await sleep(1_100);
    const sweeping = service.sweeper.sweep();
    const startedAt = performance.now();
    for (const { id } of quick)
      await expect
        .poll(async () => (await service.refund(id)).status, { timeout: 5_000, interval: 20 })
        .toBe('success');
    const tookMs = performance.now() - startedAt;
    const slowOnes = await Promise.all(slow.map(({ id }) => service.refund(id)));
    process.stdout.write(`[pacing: fairness] ${JSON.stringify({ quickDoneAfterMs: Math.round(tookMs) })}\n`);
    expect(slowOnes.filter(({ status }) => status === 'success').length).toBeLessThan(10);
    expect(tookMs).toBeLessThan(4_000);
    await service.sweeper.stop();
    await sweeping;
    // Those that wait are in the database, unrecorded and due again.
    for (const { id, nextSyncAt, status } of slowOnes) {
      if (status === 'success') continue;
      expect(nextSyncAt).not.toBeNull();
      expect((await service.history(id)).syncs.length).toBeLessThanOrEqual(1);
    }
  });
});

describe('a refund that could not be sent because of its account’s pace', () => {
  it('is sent later as if for the first time, also where a repeat would not be safe', async () => {
    const service = await startService({
      policy: { createReplay: { mode: 'never' }, rate: { perSecond: 1, concurrency: 1 } },
    });
    try {
      await settings(service, { autoCallback: false });
      const businessNo = `P${randomBytes(6).toString('hex')}`;
      await service.control('/control/payments', {
        ...{ channel: 'wechat_pay', outTradeNo: businessNo, amount: 1_000, currency: 'CNY' },
      });
      await service.admin('POST', '/admin/payments', { businessNo, channel: 'wechat_pay', amount: 1_000 });
      const create = () =>
        service.merchant.call<{ refundId: string; status: string }>('/unipay/refund', {
          ...{ businessNo, refundAll: false, refundNo: uniqueNo('R') },
          refundChannels: [{ channel: 'wechat_pay', amount: 100 }],
        });
      const answers = await Promise.all([create(), create(), create(), create()]);
      expect(answers.map(({ code }) => code)).toEqual([0, 0, 0, 0]);
      const rows = await Promise.all(answers.map(({ data }) => service.refund(data?.refundId ?? '')));
      const unsent = rows.filter(({ createAttempts }) => createAttempts === 0);
      expect(unsent.length).toBeGreaterThanOrEqual(1);
      for (const refund of unsent) {
        expect(refund).toMatchObject({ status: 'progress', createState: 'unknown', reserved: true, leaseToken: null });
        await expect
          .poll(
            async () => {
              await service.syncs.sync({ refundId: refund.id, source: 'operator' });
              return service.refund(refund.id);
            },
            { timeout: 15_000, interval: 1_100 },
          )
          .toMatchObject({ createState: 'acknowledged', createAttempts: 1 });
        expect(await truth(service, refund.id)).toMatchObject({ creates: 1, refundsAtGateway: 1 });
      }
    } finally {
      await service.close();
    }
  });
});
