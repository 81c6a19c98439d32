import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { CLOSED_LOOK_FOR_MS } from '../src/refund/look-schedule.js';
import { DAY_MS, HOUR_MS, MINUTE_MS } from '../src/shared/clock.js';
import { knownPayment, stuckRefund, uniqueNo, type StuckRefund } from './support/builders.js';
import { FakeClock } from './support/fake-clock.js';
import {
  callbackUrl,
  callbacksWorkedOn,
  changeAccount,
  clearFaults,
  fault,
  Meddler,
  setTruth,
  settings,
  storedCallbacks,
  truth,
  unsigned,
  untilAsked,
  type WireAnswer,
} from './support/gateway.js';
import { assertInvariants } from './support/invariants.js';
import { startService, type TestService } from './support/service.js';

const ENGLISH = { 'accept-language': 'en' };
const CANNOT_BELIEVE = 'the sync did not succeed: the gateway cannot be reached or its answer cannot be believed';

/** The parts of a refund and its payment that a failed look must leave alone. */
async function standing(service: TestService, { id, paymentId }: StuckRefund) {
  const { status, reserved, version, gatewayRefundNo, refundTime, errorCode, errorMsg, createState } =
    await service.refund(id);
  const { refundableBalance, refundedAmount, status: paymentStatus } = await service.payment(paymentId);
  return {
    refund: { status, reserved, version, gatewayRefundNo, refundTime, errorCode, errorMsg, createState },
    payment: { refundableBalance, refundedAmount, status: paymentStatus },
  };
}

/** A merchant's sync that must end in 20000, be recorded as a failed attempt, plan the next look, and change nothing. */
async function expectFailedLook(
  service: TestService,
  refund: StuckRefund,
  wanted: { errorKind: string; msg: string; code?: string | RegExp },
): Promise<void> {
  const before = await standing(service, refund);
  const recorded = (await service.history(refund.id)).syncs.length;

  const answer = await service.merchant.syncRefund({ refundNo: refund.refundNo }, ENGLISH);

  expect(answer).toMatchObject({ httpStatus: 200, code: 20000, msg: wanted.msg, data: null });
  const { syncs, repairs, notifications } = await service.history(refund.id);
  expect(syncs).toHaveLength(recorded + 1);
  expect(syncs.at(-1)).toMatchObject({
    source: 'merchant',
    operation: 'query',
    result: 'error',
    errorKind: wanted.errorKind,
    gatewayStatus: null,
    effect: 'unchanged',
    statusBefore: before.refund.status,
    statusAfter: before.refund.status,
    repairNo: null,
  });
  if (wanted.code !== undefined) expect(syncs.at(-1)?.answer?.code).toMatch(wanted.code);
  expect(syncs.at(-1)?.explanation).toMatch(/the gateway could not be asked .*: nothing is concluded/);
  expect([repairs, notifications]).toEqual([[], []]);
  expect(await standing(service, refund)).toEqual(before);
  expect(await service.refund(refund.id)).toMatchObject({ leaseToken: null, leaseUntil: null });
}

async function pauseUntilNextLookMs(service: TestService, id: string, now = new Date()): Promise<number> {
  const { nextSyncAt } = await service.refund(id);
  return (nextSyncAt?.getTime() ?? NaN) - now.getTime();
}

async function expectRepaired(service: TestService, refund: StuckRefund, status: 'success' | 'fail'): Promise<void> {
  const answer = await service.merchant.syncRefund({ refundNo: refund.refundNo }, ENGLISH);
  expect(answer).toMatchObject({ code: 0, data: { gatewayStatus: `refund_${status}`, success: true, repair: true } });
  expect(await service.refund(refund.id)).toMatchObject({ status, nextSyncAt: null });
}

describe('a gateway that fails while it is asked', () => {
  let service: TestService;
  beforeAll(async () => {
    service = await startService({ policy: { timeoutMs: 400 }, env: { SYNC_WAIT_MS: '2000' } });
  });
  afterEach(() => clearFaults(service));
  afterAll(() => service.close());

  it.each([
    ['timeout', 'unavailable', 'timeout'],
    ['reset', 'unavailable', 'reset'],
    ['http500', 'unavailable', 'SYSTEM_ERROR'],
    ['malformed', 'unavailable', 'malformed'],
    ['badSignature', 'unavailable', 'bad_signature'],
  ])('%s: nothing is concluded, the next look is planned, and it ends right', async (kind, errorKind, code) => {
    const refund = await stuckRefund(service, { gateway: 'success' });
    await fault(service, kind, { outRefundNo: refund.refundNo });

    await expectFailedLook(service, refund, { errorKind, msg: CANNOT_BELIEVE, code });

    const pauseMs = await pauseUntilNextLookMs(service, refund.id);
    expect(pauseMs).toBeGreaterThan(0);
    expect(pauseMs).toBeLessThan(1.2 * MINUTE_MS);
    await clearFaults(service);
    await expectRepaired(service, refund, 'success');
  });

  it('http429: it is told apart, and the gateway is left alone for at least a minute', async () => {
    const refund = await stuckRefund(service, { gateway: 'failed' });
    await fault(service, 'http429', { outRefundNo: refund.refundNo });

    await expectFailedLook(service, refund, {
      errorKind: 'rateLimited',
      msg: 'the sync did not succeed: the gateway wants fewer requests',
      code: 'FREQUENCY_LIMITED',
    });

    expect(await pauseUntilNextLookMs(service, refund.id)).toBeGreaterThan(MINUTE_MS - 2_000);
    await clearFaults(service);
    await expectRepaired(service, refund, 'fail');
  });

  it('says it in Chinese to those who ask for nothing else', async () => {
    const refund = await stuckRefund(service, { gateway: 'success' });
    await fault(service, 'reset', { outRefundNo: refund.refundNo });
    expect(await service.merchant.syncRefund({ refundNo: refund.refundNo })).toMatchObject({
      code: 20000,
      msg: '同步失败: 支付网关无法访问或应答不可信',
    });
  });

  it('slow: an answer within the time-out is an answer', async () => {
    const refund = await stuckRefund(service, { gateway: 'success' });
    await fault(service, 'slow', { outRefundNo: refund.refundNo, slowMs: 200 });
    const askedAt = performance.now();
    await expectRepaired(service, refund, 'success');
    expect(performance.now() - askedAt).toBeGreaterThanOrEqual(200);
  });

  it('slow beyond the time-out: the late answer is nobody’s, whatever it says', async () => {
    const refund = await stuckRefund(service, { gateway: 'success' });
    await fault(service, 'slow', { outRefundNo: refund.refundNo, slowMs: 700, count: 1 });
    await expectFailedLook(service, refund, { errorKind: 'unavailable', msg: CANNOT_BELIEVE, code: 'timeout' });
    await new Promise((resolve) => setTimeout(resolve, 450));
    expect(await service.refund(refund.id)).toMatchObject({ status: 'progress', version: 0 });
    await expectRepaired(service, refund, 'success');
  });

  it('the operator reads the same: the attempt, its reason, the refund as it was', async () => {
    const refund = await stuckRefund(service, { gateway: 'success' });
    await fault(service, 'http500', { outRefundNo: refund.refundNo });
    const { httpStatus, body } = await service.admin<{
      state: string;
      refund: { status: string };
      records: { errorKind: string; source: string }[];
    }>('POST', `/admin/refunds/${refund.id}/sync`);
    expect([httpStatus, body.state, body.refund.status]).toEqual([200, 'done', 'progress']);
    expect(body.records).toMatchObject([{ errorKind: 'unavailable', source: 'operator', result: 'error' }]);
  });

  it('the sweep’s look is recorded too, and the refund is due again by its schedule', async () => {
    const refund = await stuckRefund(service, { gateway: 'success' });
    await fault(service, 'malformed', { outRefundNo: refund.refundNo });
    await service.queue.submitMany([{ refundId: refund.id, source: 'sweep' }]);
    await service.idle();
    const { syncs } = await service.history(refund.id);
    expect(syncs).toMatchObject([{ source: 'sweep', result: 'error', errorKind: 'unavailable' }]);
    expect(await pauseUntilNextLookMs(service, refund.id)).toBeGreaterThan(10_000);
  });

  it('a gateway that is gone altogether is no failed refund', async () => {
    const refund = await stuckRefund(service, { gateway: 'success' });
    await changeAccount(service, { config: { baseUrl: 'http://127.0.0.1:1' } });
    await expectFailedLook(service, refund, { errorKind: 'unavailable', msg: CANNOT_BELIEVE, code: 'unreachable' });
    await changeAccount(service, {});
    await expectRepaired(service, refund, 'success');
  });

  it('settings that are wrong say so, and are not asked again every minute', async () => {
    const refund = await stuckRefund(service, { gateway: 'success' });
    await changeAccount(service, { config: { serialNo: '0123456789ABCDEF0123456789ABCDEF01234567' } });
    await expectFailedLook(service, refund, {
      errorKind: 'badConfig',
      msg: 'the sync did not succeed: the gateway account is not configured rightly',
      code: 'SIGN_ERROR',
    });
    expect(await pauseUntilNextLookMs(service, refund.id)).toBeGreaterThan(9 * MINUTE_MS);
    await changeAccount(service, {});
    await expectRepaired(service, refund, 'success');
  });

  it('a refund that has ended is not touched by a look that fails', async () => {
    const refund = await stuckRefund(service, { gateway: 'failed' });
    await expectRepaired(service, refund, 'fail');
    const before = await standing(service, refund);
    await fault(service, 'timeout', { outRefundNo: refund.refundNo });
    expect(await service.merchant.syncRefund({ refundNo: refund.refundNo })).toMatchObject({ code: 20000 });
    expect(await standing(service, refund)).toEqual(before);
    expect(await service.refund(refund.id)).toMatchObject({ nextSyncAt: null });
  });

  it('a callback’s hint outlives a look that fails: the contradiction is looked at again', async () => {
    const refund = await stuckRefund(service, { callbackUrl: callbackUrl(service) });
    await setTruth(service, refund, 'failed');
    await expect.poll(async () => (await service.refund(refund.id)).status).toBe('fail');
    await callbacksWorkedOn(service);
    await fault(service, 'http500', { outRefundNo: refund.refundNo, operation: 'query' });

    // The gateway says now that the money went out after all; just then it cannot be asked.
    await setTruth(service, refund, 'success');
    await expect.poll(async () => (await service.history(refund.id)).syncs.at(-1)?.result).toBe('error');
    await callbacksWorkedOn(service);

    const { status, nextSyncAt } = await service.refund(refund.id);
    expect(status).toBe('fail');
    expect(nextSyncAt).not.toBeNull();
    await clearFaults(service);
    await service.syncs.sync({ refundId: refund.id, source: 'sweep' });
    expect(await service.refund(refund.id)).toMatchObject({ status: 'review', statusBeforeReview: 'fail' });
  });

  it('when the wait runs out, the answer says that the sync goes on, and it does', async () => {
    const impatient = await startService({ beside: service, env: { SYNC_WAIT_MS: '100' } });
    const refund = await stuckRefund(service, { gateway: 'success' });
    await fault(service, 'slow', { outRefundNo: refund.refundNo, slowMs: 400 });
    const answer = await impatient.merchant.syncRefund({ refundNo: refund.refundNo }, ENGLISH);
    expect(answer).toMatchObject({
      code: 20000,
      msg: 'the sync did not succeed: the wait ran out, the sync goes on in the background',
    });
    expect(await service.refund(refund.id)).toMatchObject({ status: 'progress' });
    await impatient.idle();
    expect(await service.refund(refund.id)).toMatchObject({ status: 'success' });
    await impatient.close();
  });

  it('leaves every invariant standing', () => assertInvariants(service));
});

describe('a gateway whose answers are believed and wrong', () => {
  let service: TestService;
  beforeAll(async () => {
    service = await startService();
  });
  afterEach(() => clearFaults(service));
  afterAll(() => service.close());

  it('wrongAmount: a person must look, nothing is filled in, and no later answer repairs it by itself', async () => {
    const refund = await stuckRefund(service, { gateway: 'success' });
    await fault(service, 'wrongAmount', { outRefundNo: refund.refundNo });

    const answer = await service.merchant.syncRefund({ refundNo: refund.refundNo }, ENGLISH);

    expect(answer).toMatchObject({
      code: 0,
      data: {
        gatewayStatus: 'refund_progress',
        success: false,
        repair: false,
        repairOrderNo: null,
        errorMsg: 'the refund needs a person, who is on it',
      },
    });
    expect(await service.refund(refund.id)).toMatchObject({
      status: 'review',
      reserved: true,
      gatewayRefundNo: null,
      refundTime: null,
      reviewReason: 'the gateway refunded 101 CNY, but 100 CNY was asked for',
    });
    expect(await service.payment(refund.paymentId)).toMatchObject({ refundableBalance: 900, refundedAmount: 0 });
    await clearFaults(service);
    const again = await service.merchant.syncRefund({ refundNo: refund.refundNo });
    expect(again).toMatchObject({ code: 0, data: { gatewayStatus: 'refund_progress', success: false, repair: false } });
    expect(await service.refund(refund.id)).toMatchObject({ status: 'review' });
  });

  it('successThenFailed: WeChat announces no such thing, so a person settles it, and no money is given out twice', async () => {
    const refund = await stuckRefund(service, { gateway: 'success' });
    await fault(service, 'successThenFailed', { outRefundNo: refund.refundNo });
    await expectRepaired(service, refund, 'success');

    const second = await service.merchant.syncRefund({ refundNo: refund.refundNo });

    expect(second).toMatchObject({ code: 0, data: { gatewayStatus: 'refund_progress', success: false, repair: true } });
    expect(await service.refund(refund.id)).toMatchObject({
      status: 'review',
      statusBeforeReview: 'success',
      reserved: true,
    });
    expect(await service.payment(refund.paymentId)).toMatchObject({ refundableBalance: 900, refundedAmount: 0 });
  });

  it('notFoundThenFound: not found is never failed, and it ends right once the gateway finds it', async () => {
    const refund = await stuckRefund(service, { gateway: 'success' });
    await fault(service, 'notFoundThenFound', { outRefundNo: refund.refundNo, count: 3 });
    for (let look = 1; look <= 3; look += 1) {
      const answer = await service.merchant.syncRefund({ refundNo: refund.refundNo });
      expect(answer).toMatchObject({ code: 0, data: { gatewayStatus: 'pay_not_found', success: true, repair: false } });
      expect(await service.refund(refund.id)).toMatchObject({
        status: 'progress',
        notFoundCount: look,
        reserved: true,
      });
    }
    await expectRepaired(service, refund, 'success');
    expect(await service.refund(refund.id)).toMatchObject({ notFoundCount: 0, notFoundSince: null });
  });

  it('leaves every invariant standing', () => assertInvariants(service));
});

describe('a gateway that late fails by declaration', () => {
  let service: TestService;
  beforeAll(async () => {
    service = await startService({
      policy: { lateFailure: true, verifyAfterEnd: { scheduleMs: [HOUR_MS, DAY_MS], forMs: 30 * DAY_MS } },
    });
  });
  afterAll(() => service.close());

  it('successThenFailed: the end is looked at again, and the amount comes back once', async () => {
    const refund = await stuckRefund(service, { gateway: 'success' });
    await fault(service, 'successThenFailed', { outRefundNo: refund.refundNo });
    await service.merchant.syncRefund({ refundNo: refund.refundNo });
    expect(await pauseUntilNextLookMs(service, refund.id)).toBeGreaterThan(0.8 * HOUR_MS);

    const second = await service.merchant.syncRefund({ refundNo: refund.refundNo });
    const third = await service.merchant.syncRefund({ refundNo: refund.refundNo });

    expect(second).toMatchObject({ code: 0, data: { gatewayStatus: 'refund_fail', success: true, repair: true } });
    expect(third).toMatchObject({ code: 0, data: { gatewayStatus: 'refund_fail', success: true, repair: false } });
    expect(await service.refund(refund.id)).toMatchObject({ status: 'fail', reserved: false });
    expect(await service.payment(refund.paymentId)).toMatchObject({
      refundableBalance: 1000,
      refundedAmount: 0,
      status: 'success',
    });
    const { notifications } = await service.history(refund.id);
    expect(notifications.map(({ refundStatus }) => refundStatus)).toEqual(['success', 'fail']);
  });

  it('leaves every invariant standing', () => assertInvariants(service));
});

describe('an answer that the gateway did not sign', () => {
  let service: TestService;
  let meddler: Meddler;
  const clock = new FakeClock();
  beforeAll(async () => {
    service = await startService({ clock });
    meddler = await Meddler.between(service);
  });
  afterEach(() => {
    meddler.meddle = (answer) => answer;
    return clearFaults(service);
  });
  afterAll(async () => {
    await service.close();
    await meddler.close();
  });

  const forgeries: [string, (answer: WireAnswer) => WireAnswer, string][] = [
    ['no signature', unsigned, 'its signature headers are not complete'],
    ['another body', (answer) => ({ ...answer, body: `${answer.body} ` }), 'its signature is wrong'],
    ['a serial nobody knows', header('wechatpay-serial', 'AAAAAAAAAAAAAAAA'), 'a key that is not configured'],
    ['an old time', header('wechatpay-timestamp', '1700000000'), 'more than 300 s away'],
    ['a time that is none', header('wechatpay-timestamp', 'abc'), 'signature'],
    ['another nonce', header('wechatpay-nonce', '0'.repeat(32)), 'its signature is wrong'],
    ['an empty signature', header('wechatpay-signature', ''), 'signature'],
  ];

  function header(name: string, value: string): (answer: WireAnswer) => WireAnswer {
    return (answer) => ({ ...answer, headers: { ...answer.headers, [name]: value } });
  }

  it.each(['success', 'failed'] as const)('%s is believed through an honest wire', async (status) => {
    const refund = await stuckRefund(service, { gateway: status });
    await expectRepaired(service, refund, status === 'success' ? 'success' : 'fail');
    expect(meddler.seen.at(-1)?.headers['wechatpay-signature']).toBeTypeOf('string');
  });

  for (const [what, meddle, reason] of forgeries) {
    it.each(['success', 'failed'] as const)(`%s with ${what} is not believed`, async (status) => {
      const refund = await stuckRefund(service, { gateway: status });
      meddler.meddle = meddle;
      await expectFailedLook(service, refund, { errorKind: 'unavailable', msg: CANNOT_BELIEVE, code: 'bad_signature' });
      expect((await service.history(refund.id)).syncs.at(-1)?.explanation).toContain(reason);
      meddler.meddle = (answer) => answer;
      await expectRepaired(service, refund, status === 'success' ? 'success' : 'fail');
    });
  }

  it('a genuine answer about another refund ends neither', async () => {
    const other = await stuckRefund(service, { gateway: 'success' });
    const refund = await stuckRefund(service, { gateway: 'processing' });
    await service.merchant.syncRefund({ refundNo: other.refundNo });
    const replayed = meddler.seen.at(-1);
    if (!replayed) throw new Error('nothing was seen on the wire');
    meddler.meddle = () => replayed;

    const answer = await service.merchant.syncRefund({ refundNo: refund.refundNo });

    expect(answer).toMatchObject({
      code: 0,
      data: { gatewayStatus: 'refund_progress', success: false, repair: false },
    });
    expect(await service.refund(refund.id)).toMatchObject({
      status: 'review',
      gatewayRefundNo: null,
      refundTime: null,
    });
    expect((await service.refund(refund.id)).reviewReason).toContain(`but ours is ${refund.refundNo}`);
    expect(await service.refund(other.id)).toMatchObject({ status: 'success' });
  });

  it.each([
    ['without', () => settings(service, { signErrors: false })],
    ['with a wrong', () => fault(service, 'badSignature')],
  ])('not found %s signature never closes a refund, whatever the account’s policy', async (_how, spoil) => {
    await changeAccount(service, { config: { baseUrl: meddler.url }, notFoundPolicy: 'close' });
    const refund = await stuckRefund(service, { gateway: 'unknown' });
    await spoil();
    for (let look = 1; look <= 6; look += 1) {
      expect(await service.syncs.sync({ refundId: refund.id, source: 'sweep' })).toMatchObject({
        record: { result: 'notFound' },
      });
      clock.advance(5 * HOUR_MS);
    }
    expect(await service.refund(refund.id)).toMatchObject({
      status: 'review',
      reserved: true,
      lastEvidence: { kind: 'notFound', authenticated: false },
    });
    await settings(service, { signErrors: true });
  });

  it('not found under its signature does close it by that policy, so the test above proves something', async () => {
    await changeAccount(service, { config: { baseUrl: meddler.url }, notFoundPolicy: 'close' });
    const refund = await stuckRefund(service, { gateway: 'unknown' });
    for (let look = 1; look <= 6; look += 1) {
      await service.syncs.sync({ refundId: refund.id, source: 'sweep' });
      clock.advance(5 * HOUR_MS);
    }
    expect(await service.refund(refund.id)).toMatchObject({ status: 'close', reserved: false });
    expect(CLOSED_LOOK_FOR_MS).toBe(30 * DAY_MS);
  });

  it('a refusal of a create is believed only under its signature', async () => {
    const { businessNo } = await knownPayment(service);
    await fault(service, 'refused', { operation: 'create' });
    meddler.meddle = unsigned;
    const refundNo = uniqueNo('R');

    const { code, data } = await service.merchant.call<{ refundId: string; status: string }>('/unipay/refund', {
      businessNo,
      refundAll: true,
      refundNo,
      reqTime: Math.floor(clock.now().getTime() / 1000),
    });

    expect([code, data?.status]).toEqual([0, 'progress']);
    const id = data?.refundId ?? '';
    expect(await service.refund(id)).toMatchObject({ status: 'progress', reserved: true, createState: 'unknown' });
  });

  it('leaves every invariant standing', () => assertInvariants(service, { now: clock.now() }));
});

describe('callbacks that go wrong', () => {
  let service: TestService;
  beforeAll(async () => {
    service = await startService();
    await settings(service, { callbackTimeScale: 0.001 });
  });
  afterEach(() => clearFaults(service));
  afterAll(() => service.close());

  it('dropCallback: the next look finds out', async () => {
    const refund = await stuckRefund(service, { callbackUrl: callbackUrl(service) });
    await fault(service, 'dropCallback', { outRefundNo: refund.refundNo });
    await setTruth(service, refund, 'success');
    await expect.poll(async () => (await truth(service, refund.refundNo)).callbacksDropped).toBe(1);
    expect(await service.refund(refund.id)).toMatchObject({ status: 'progress' });
    await service.queue.submitMany([{ refundId: refund.id, source: 'sweep' }]);
    await service.idle();
    expect(await service.refund(refund.id)).toMatchObject({ status: 'success' });
    expect(await storedCallbacks(service, { gatewayRequestNo: refund.refundNo })).toEqual([]);
  });

  it('duplicateCallback: one record, one repair, one notification', async () => {
    const refund = await stuckRefund(service, { callbackUrl: callbackUrl(service) });
    await fault(service, 'duplicateCallback', { outRefundNo: refund.refundNo });
    await setTruth(service, refund, 'success');
    await expect.poll(async () => (await truth(service, refund.refundNo)).callbacksAcknowledged).toBe(2);
    await callbacksWorkedOn(service);
    expect(await storedCallbacks(service, { gatewayRequestNo: refund.refundNo })).toMatchObject([
      { state: 'done', deliveries: 2, refundId: refund.id },
    ]);
    const { repairs, notifications } = await service.history(refund.id);
    expect([repairs.length, notifications.length]).toEqual([2, 1]);
  });

  it('lateCallback: what a look has repaired meanwhile stays as it is', async () => {
    const refund = await stuckRefund(service, { callbackUrl: callbackUrl(service) });
    await fault(service, 'lateCallback', { outRefundNo: refund.refundNo, delayMs: 300 });
    await setTruth(service, refund, 'success');
    await expectRepaired(service, refund, 'success');
    const before = await standing(service, refund);
    await expect.poll(async () => (await truth(service, refund.refundNo)).callbacksAcknowledged).toBe(1);
    await callbacksWorkedOn(service);
    expect(await standing(service, refund)).toEqual(before);
    const { syncs, repairs } = await service.history(refund.id);
    expect(repairs).toHaveLength(2);
    expect(syncs.filter(({ operation }) => operation === 'callback')).toMatchObject([{ effect: 'unchanged' }]);
  });

  it('reorderCallbacks: the older news comes last and undoes nothing', async () => {
    const refund = await stuckRefund(service, { callbackUrl: callbackUrl(service) });
    await fault(service, 'reorderCallbacks', { outRefundNo: refund.refundNo, delayMs: 2_000 });
    await setTruth(service, refund, 'abnormal');
    await setTruth(service, refund, 'success');
    await expect
      .poll(async () => (await truth(service, refund.refundNo)).callbacksAcknowledged, { timeout: 4_000 })
      .toBe(2);
    await callbacksWorkedOn(service);
    expect(
      (await storedCallbacks(service, { gatewayRequestNo: refund.refundNo })).map(({ eventType }) => eventType),
    ).toEqual(['REFUND.SUCCESS', 'REFUND.ABNORMAL']);
    expect(await service.refund(refund.id)).toMatchObject({ status: 'success', version: 1 });
  });

  it.each(['badSignature', 'malformed'])('%s: refused, and the genuine one that follows is taken', async (kind) => {
    const refund = await stuckRefund(service, { callbackUrl: callbackUrl(service) });
    await fault(service, kind, { outRefundNo: refund.refundNo, operation: 'callback', count: 1 });
    await setTruth(service, refund, 'success');
    await expect.poll(async () => (await service.refund(refund.id)).status).toBe('success');
    expect(await truth(service, refund.refundNo)).toMatchObject({
      callbacksSent: 2,
      callbacksAcknowledged: 1,
      queries: 0,
    });
    expect(await storedCallbacks(service, { gatewayRequestNo: refund.refundNo })).toMatchObject([{ deliveries: 1 }]);
  });

  it('a callback beside a look that hangs: the callback wins, the look is recorded and repeated', async () => {
    const refund = await stuckRefund(service, { callbackUrl: callbackUrl(service) });
    await fault(service, 'slow', { outRefundNo: refund.refundNo, slowMs: 300, count: 1 });
    const slow = service.merchant.syncRefund({ refundNo: refund.refundNo });
    await untilAsked(service, refund.refundNo);
    await setTruth(service, refund, 'success');
    await expect.poll(async () => (await service.refund(refund.id)).status).toBe('success');
    expect(await slow).toMatchObject({ code: 0, data: { gatewayStatus: 'refund_success', repair: false } });
  });

  it('leaves every invariant standing', () => assertInvariants(service));
});
