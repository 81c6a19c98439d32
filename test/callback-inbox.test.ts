import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { CallbackQueryService } from '../src/callback/callback-query.service.js';
import { CallbackRefusals } from '../src/callback/callback-refusals.service.js';
import { GatewayAccountService } from '../src/gateway/gateway-account.service.js';
import { DAY_MS, HOUR_MS, SECOND_MS } from '../src/shared/clock.js';
import { knownPayment, stuckRefund, uniqueNo } from './support/builders.js';
import { FakeClock } from './support/fake-clock.js';
import {
  callBack,
  callbacksWorkedOn,
  callbackUrl,
  caughtCallback,
  changeAccount,
  CHANNEL,
  clearFaults,
  deliver,
  fault,
  setTruth,
  settings,
  storedCallbacks,
  truth,
  untilAsked,
  wechatSettings,
} from './support/gateway.js';
import { assertInvariants } from './support/invariants.js';
import { startService, WECHAT_ACCOUNT, type TestService } from './support/service.js';

describe('the inbox', () => {
  const clock = new FakeClock();
  let service: TestService;
  let url: string;
  beforeAll(async () => {
    service = await startService({ clock });
    url = callbackUrl(service);
    await settings(service, { autoCallback: false });
  });
  afterEach(() => clearFaults(service));
  afterAll(() => service.close());

  async function calledBackEarly(status = 'success'): Promise<{ refundNo: string; businessNo: string }> {
    const known = { refundNo: uniqueNo('R'), businessNo: uniqueNo('P') };
    await setTruth(service, known, status);
    expect(await callBack(service, known.refundNo)).toMatchObject({ acknowledged: true });
    await callbacksWorkedOn(service);
    return known;
  }

  async function register({ refundNo, businessNo }: { refundNo: string; businessNo: string }): Promise<string> {
    const payment = { businessNo, amount: 1000 };
    const { body } = await service.admin<{ id: string }>('POST', '/admin/refunds', {
      ...{ refundNo, channel: CHANNEL, amount: 100, payment },
    });
    return body.id;
  }

  /** As the interval does it, once what was claimed is free again. */
  async function nextRound(): Promise<number> {
    clock.advance(11 * SECOND_MS);
    await service.callbacks.expireUnmatched();
    const worked = await service.callbacks.processAppeared();
    await service.idle();
    return worked;
  }

  describe('keeps a callback that came before its refund', () => {
    it('and works on it when the refund is registered', async () => {
      const known = await calledBackEarly();
      expect(await nextRound()).toBe(0);
      const id = await register(known);
      expect(await nextRound()).toBe(1);
      expect(await service.refund(id)).toMatchObject({ status: 'success', version: 1 });
      expect(await storedCallbacks(service, { refundId: id })).toMatchObject([{ state: 'done', deliveries: 1 }]);
      const { syncs } = await service.history(id);
      expect(syncs).toMatchObject([{ operation: 'callback', effect: 'changed' }]);
      expect(await truth(service, known.refundNo)).toMatchObject({ queries: 0 });
      expect(await nextRound()).toBe(0);
    });

    it('and works on it once, though every process finds it', async () => {
      const known = await calledBackEarly();
      const id = await register(known);
      const second = await startService({ beside: service, clock });
      clock.advance(11 * SECOND_MS);
      const worked = await Promise.all([service.callbacks.processAppeared(), second.callbacks.processAppeared()]);
      await service.idle();
      await second.close();
      expect(worked.toSorted()).toEqual([0, 1]);
      expect((await service.history(id)).syncs).toHaveLength(1);
    });

    it('and works on it when the service itself makes the refund, whose id nobody knew before', async () => {
      await settings(service, { defaultScript: [{ afterMs: 0, status: 'processing' }] });
      const { businessNo } = await knownPayment(service);
      const { data } = await service.merchant.call<{ refundId: string }>('/unipay/refund', {
        ...{ businessNo, refundAll: true, refundNo: uniqueNo('R') },
      });
      const id = data?.refundId ?? '';
      const callback = await caughtCallback(service, id, { status: 'success' });
      // As if the gateway had been quicker than our own commit.
      await service.db.read((manager) =>
        manager.query(`UPDATE refund SET gatewayAccountId = 'elsewhere' WHERE id = '${id}'`),
      );
      expect(await deliver(url, callback)).toMatchObject({ status: 200 });
      await callbacksWorkedOn(service);
      expect(await storedCallbacks(service, { gatewayRequestNo: id })).toMatchObject([{ state: 'unmatched' }]);
      await service.db.read((manager) =>
        manager.query(`UPDATE refund SET gatewayAccountId = '${WECHAT_ACCOUNT}' WHERE id = '${id}'`),
      );
      expect(await nextRound()).toBe(1);
      expect(await service.refund(id)).toMatchObject({ status: 'success', createState: 'acknowledged' });
    });

    it('for a day, and no longer', async () => {
      const known = await calledBackEarly();
      const stored = () => storedCallbacks(service, { gatewayRequestNo: known.refundNo });
      // Instances whose clocks are ahead: with this one's moved so far, no signature would be young enough.
      const later = (ms: number) =>
        startService({ beside: service, clock: { now: () => new Date(clock.now().getTime() + ms) } });
      const sameDay = await later(DAY_MS - HOUR_MS);
      await sameDay.callbacks.expireUnmatched();
      expect(await stored()).toMatchObject([{ state: 'unmatched' }]);
      const nextDay = await later(DAY_MS + HOUR_MS);
      expect(await nextDay.callbacks.expireUnmatched()).toBeGreaterThanOrEqual(1);
      expect(await stored()).toMatchObject([
        { state: 'expired', refundId: null, outcome: expect.stringContaining('24 hours') as string },
      ]);
      await Promise.all([sameDay.close(), nextDay.close()]);
      const id = await register(known);
      expect(await nextRound()).toBe(0);
      expect(await stored()).toMatchObject([{ state: 'expired' }]);
      // Asking finds out all the same.
      await service.merchant.syncRefund({ refundId: id });
      expect(await service.refund(id)).toMatchObject({ status: 'success' });
    });

    it('and of another payment with the same number, never takes it', async () => {
      const known = await calledBackEarly();
      const id = await register({ ...known, businessNo: uniqueNo('P') });
      expect(await nextRound()).toBe(0);
      expect(await service.refund(id)).toMatchObject({ status: 'progress' });
    });
  });

  describe('takes a callback that is late or out of order as a reason to ask', () => {
    it('after the end: nothing changes that a query would not change', async () => {
      const refund = await stuckRefund(service, { gateway: 'success' });
      await service.merchant.syncRefund({ refundId: refund.id });
      const { queries } = await truth(service, refund.refundNo);
      expect(await callBack(service, refund.refundNo, { status: 'closed' })).toMatchObject({ acknowledged: true });
      await callbacksWorkedOn(service);
      expect(await service.refund(refund.id)).toMatchObject({ status: 'success', version: 1 });
      expect(await truth(service, refund.refundNo)).toMatchObject({ queries: queries + 1 });
      expect((await service.history(refund.id)).repairs).toHaveLength(2);
    });

    it('the older event last', async () => {
      const refund = await stuckRefund(service, { gateway: 'closed' });
      const older = await caughtCallback(service, refund.refundNo, { status: 'success' });
      const newer = await caughtCallback(service, refund.refundNo);
      for (const callback of [newer, older]) {
        await deliver(url, callback);
        await callbacksWorkedOn(service);
      }
      expect(await service.refund(refund.id)).toMatchObject({ status: 'fail', version: 1 });
      expect(await storedCallbacks(service, { refundId: refund.id })).toMatchObject([
        { state: 'done' },
        { state: 'done', outcome: expect.stringContaining('asking now') as string },
      ]);
    });
  });

  it('and a sync of the same refund at the same time: one wins, both are recorded', async () => {
    const refund = await stuckRefund(service, { gateway: 'success' });
    await fault(service, 'slow', { slowMs: 500, count: 1, operation: 'query', outRefundNo: refund.refundNo });
    const sync = service.merchant.syncRefund({ refundId: refund.id });
    await untilAsked(service, refund.refundNo);
    expect(await callBack(service, refund.refundNo)).toMatchObject({ acknowledged: true });
    await callbacksWorkedOn(service);
    await sync;
    expect(await service.refund(refund.id)).toMatchObject({ status: 'success', version: 1, leaseToken: null });
    const { syncs, repairs, notifications } = await service.history(refund.id);
    expect(syncs.slice(0, 2)).toMatchObject([
      { operation: 'callback', effect: 'changed' },
      { operation: 'query', effect: 'superseded' },
    ]);
    expect([repairs.length, notifications.length]).toEqual([2, 1]);
    expect(await storedCallbacks(service, { refundId: refund.id })).toMatchObject([{ state: 'done' }]);
  });

  it('refuses under a key that was rotated away what it took before, and calls it no new event while both hold', async () => {
    const { publicKeyId, publicKey, platformCertificates } = wechatSettings(service) as Record<string, never>;
    await settings(service, { callbackKey: 'certificate' });
    const refund = await stuckRefund(service, { gateway: 'success' });
    const callback = await caughtCallback(service, refund.refundNo);
    await settings(service, { callbackKey: 'auto' });
    expect(await deliver(url, callback)).toMatchObject({ status: 200 });
    expect(await deliver(url, callback)).toMatchObject({ status: 200 });
    await callbacksWorkedOn(service);
    const stored = await storedCallbacks(service, { refundId: refund.id });
    expect(stored).toMatchObject([{ state: 'done', deliveries: 2 }]);

    const config = { ...wechatSettings(service), platformCertificates: undefined };
    await service.app.get(GatewayAccountService).put('rotated', { channel: CHANNEL, config, appId: 'somebody-else' });
    expect([publicKeyId, publicKey, platformCertificates].every((setting) => setting !== undefined)).toBe(true);
    expect(await deliver(callbackUrl(service, 'rotated'), callback)).toMatchObject({ status: 401 });
    expect(await storedCallbacks(service, { gatewayAccountId: 'rotated' })).toEqual([]);
  });

  it('counts what it refuses, per account, and keeps nothing that was claimed', async () => {
    const refund = await stuckRefund(service, { gateway: 'success' });
    const refusals = service.app.get(CallbackRefusals);
    const of = async (id: string) =>
      (await refusals.list()).find(({ gatewayAccountId }) => gatewayAccountId === id) ?? { count: 0 };
    const { count } = await of(WECHAT_ACCOUNT);
    const callback = await caughtCallback(service, refund.refundNo);
    const forged = { headers: { ...callback.headers, 'wechatpay-nonce': 'forged-nonce' }, body: callback.body };
    for (let times = 0; times < 3; times += 1) await deliver(url, forged);
    expect(await of(WECHAT_ACCOUNT)).toMatchObject({
      count: count + 3,
      gateway: 'wechat',
      lastReason: expect.stringMatching(/signature/i) as string,
      lastSample: {
        bytes: Buffer.byteLength(callback.body),
        contentType: expect.stringContaining('json') as string,
        headerNames: expect.arrayContaining(['wechatpay-nonce', 'wechatpay-signature']) as string[],
      },
    });
    expect(JSON.stringify(await of(WECHAT_ACCOUNT))).not.toMatch(/forged-nonce|ciphertext/);
    expect(await storedCallbacks(service, { gatewayRequestNo: refund.refundNo })).toEqual([]);
    expect(await truth(service, refund.refundNo)).toMatchObject({ queries: 0 });
  });

  it('loses no count when it cannot be written at once', async () => {
    const refusals = service.app.get(CallbackRefusals);
    const counts = async () => (await refusals.list()).find(({ gatewayAccountId }) => gatewayAccountId === 'busy');
    const raw = { headers: {}, body: Buffer.from('x'), receivedAt: clock.now() };
    refusals.count('wechat', 'busy', 'first', raw);
    const broken = vi.spyOn(service.db, 'transaction').mockRejectedValue(new Error('the database is away'));
    expect(await counts()).toBeUndefined();
    broken.mockRestore();
    refusals.count('wechat', 'busy', 'second', raw);
    expect(await counts()).toMatchObject({ count: 2, lastReason: 'second' });
    expect(await counts()).toMatchObject({ count: 2 });
  });

  it('lists what came, the newest first, by page and by filter', async () => {
    const inbox = service.app.get(CallbackQueryService);
    const since = clock.now();
    const refund = await stuckRefund(service, { gateway: 'success' });
    for (let event = 0; event < 3; event += 1) await callBack(service, refund.refundNo);
    const early = await calledBackEarly();
    await callbacksWorkedOn(service);
    const first = await inbox.list({ refundId: refund.id, limit: 2 });
    const rest = await inbox.list({ refundId: refund.id, limit: 2, cursor: first[1]?.id ?? '' });
    expect([first.length, rest.length]).toEqual([2, 1]);
    const ids = [...first, ...rest].map(({ id }) => id);
    expect(ids).toEqual(ids.toSorted().toReversed());
    expect(first[0]).toMatchObject({ told: 'success', raw: { code: 'SUCCESS' }, state: 'done', gateway: 'wechat' });
    const unmatched = await inbox.list({ state: 'unmatched', gatewayRequestNo: early.refundNo, limit: 10 });
    expect(unmatched).toMatchObject([{ refundId: null }]);
    const to = new Date(clock.now().getTime() + 1);
    const listed = (window: { from?: Date; to?: Date }) => inbox.list({ refundId: refund.id, ...window, limit: 9 });
    expect(await listed({ from: to })).toEqual([]);
    expect(await listed({ from: since, to })).toHaveLength(3);
    expect(await listed({ to: since })).toEqual([]);
    expect(await inbox.list({ gateway: 'stripe', limit: 9 })).toEqual([]);
    expect(await inbox.list({ gatewayAccountId: 'nobody', limit: 9 })).toEqual([]);
  });

  it('stores what a callback tells without the account’s secrets', async () => {
    const secret = String((wechatSettings(service) as { apiV3Key: string }).apiV3Key);
    const refund = await stuckRefund(service, { gateway: 'success' });
    const accounts = service.app.get(GatewayAccountService);
    const { gateway } = await accounts.resolve(WECHAT_ACCOUNT);
    const original = gateway.callback?.receive.bind(gateway.callback);
    if (!gateway.callback || !original) throw new Error('WeChat Pay has callbacks');
    const leaky = vi.spyOn(gateway.callback, 'receive').mockImplementation((raw, config) => {
      const message = original(raw, config);
      if (message) message.observation.raw.message = `leaked ${secret}`;
      return message;
    });
    await callBack(service, refund.refundNo);
    leaky.mockRestore();
    await callbacksWorkedOn(service);
    const [stored] = await storedCallbacks(service, { refundId: refund.id });
    expect(stored?.observation.raw.message).toBe('leaked ***');
    expect(JSON.stringify((await service.history(refund.id)).syncs)).not.toContain(secret);
  });

  it.each([
    ['an event key', 'eventKey', 'E'.repeat(300)],
    ['a number of the refund', 'gatewayRefundNo', 'G'.repeat(200)],
    ['a number of ours', 'gatewayRequestNo', 'R'.repeat(200)],
  ])('takes %s of any length', async (_what, field, text) => {
    const refund = await stuckRefund(service, { gateway: 'success' });
    const { gateway } = await service.app.get(GatewayAccountService).resolve(WECHAT_ACCOUNT);
    const original = gateway.callback?.receive.bind(gateway.callback);
    if (!gateway.callback || !original) throw new Error('WeChat Pay has callbacks');
    const long = vi.spyOn(gateway.callback, 'receive').mockImplementation((raw, config) => {
      const message = original(raw, config);
      return message && { ...message, [field]: text };
    });
    for (let times = 0; times < 2; times += 1)
      expect(await callBack(service, refund.refundNo)).toMatchObject({ acknowledged: true });
    long.mockRestore();
    await callbacksWorkedOn(service);
    const stored = await storedCallbacks(service, { outTradeNo: refund.businessNo });
    expect(stored).toHaveLength(field === 'eventKey' ? 1 : 2);
    for (const { eventKey, gatewayRefundNo, gatewayRequestNo } of stored) {
      expect(eventKey.length).toBeLessThanOrEqual(128);
      for (const number of [gatewayRefundNo, gatewayRequestNo]) expect(number?.length ?? 0).toBeLessThanOrEqual(64);
    }
  });

  it('leaves every invariant standing', async () => {
    await changeAccount(service, {});
    await assertInvariants(service, { now: clock.now() });
  });
});
