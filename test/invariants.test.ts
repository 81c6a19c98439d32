import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { Notification } from '../src/refund/notification.entity.js';
import { Refund } from '../src/refund/refund.entity.js';
import { REFUND_STATUSES } from '../src/refund/refund-status.js';
import { HOUR_MS, SECOND_MS } from '../src/shared/clock.js';
import { knownPayment, stuckRefund, uniqueNo } from './support/builders.js';
import { FakeClock } from './support/fake-clock.js';
import {
  callBack,
  callbacksWorkedOn,
  callbackUrl,
  changeAccount,
  CHANNEL,
  clearFaults,
  fault,
  Meddler,
  setTruth,
  settings,
  truth,
  untilAsked,
  wechatSettings,
} from './support/gateway.js';
import { assertInvariants } from './support/invariants.js';
import { walks } from './support/random-walk.js';
import { ADMIN_TOKEN, startService, WECHAT_ACCOUNT, type TestService } from './support/service.js';

interface RefundModel {
  refundId: string;
  status: string;
}

/** POST /unipay/refund of the whole payment, or of a part. */
async function createRefund(
  service: TestService,
  businessNo: string,
  fields: { refundNo: string; amount?: number; notNotify?: boolean },
) {
  const { amount, ...more } = fields;
  const what = amount === undefined ? { refundAll: true } : { refundChannels: [{ channel: CHANNEL, amount }] };
  return service.merchant.call<RefundModel>('/unipay/refund', { businessNo, ...what, ...more });
}

const sync = (service: TestService, id: string) => service.syncs.sync({ refundId: id, source: 'sweep' });

describe('two instances on one database', () => {
  let first: TestService;
  let second: TestService;
  const stolenLeases: string[] = [];
  beforeAll(async () => {
    first = await startService();
    second = await startService({ beside: first });
  });
  afterEach(async () => {
    await clearFaults(first);
    await settings(first, { defaultScript: [{ afterMs: 0, status: 'success' }], autoCallback: true });
  });
  afterAll(async () => {
    await second.close();
    await first.close();
  });

  it('I1: a status changes through apply() alone, with one repair number for each change', async () => {
    const refund = await stuckRefund(first);
    for (const status of ['failed', 'processing', 'success', 'abnormal', 'success']) {
      await setTruth(first, refund, status);
      await sync(first, refund.id);
      await sync(second, refund.id);
    }

    const { repairs, syncs } = await first.history(refund.id);
    const ofRefund = repairs.filter(({ target }) => target === 'refund');
    expect(ofRefund.map(({ statusBefore, statusAfter }) => `${statusBefore} → ${statusAfter}`)).toEqual([
      'progress → fail',
      'fail → progress',
      'progress → success',
      'success → review',
    ]);
    expect(new Set(ofRefund.map(({ repairNo }) => repairNo)).size).toBe(4);
    expect(repairs).toHaveLength(8);
    expect(syncs).toHaveLength(10);
    expect(await first.refund(refund.id)).toMatchObject({ status: 'review', version: 4 });
    await assertInvariants(first, { stolenLeases });
  });

  it('I2: at once, over both instances, no more is given out than the payment has', async () => {
    const { businessNo, id } = await knownPayment(first, { amount: 1000 });
    const answers = await Promise.all(
      Array.from({ length: 16 }, (_, index) =>
        createRefund(index % 2 === 0 ? first : second, businessNo, { refundNo: uniqueNo('R'), amount: 100 }),
      ),
    );

    const taken = answers.filter(({ code }) => code === 0);
    expect(taken).toHaveLength(10);
    for (const { code, msg } of answers)
      if (code !== 0) expect([code, msg]).toEqual([20000, expect.stringContaining('可退余额')]);
    expect(await first.payment(id)).toMatchObject({ refundableBalance: 0, overRefunded: 0 });
    expect((await truth(first, taken[0]?.data?.refundId ?? '')).payment).toEqual({
      refunds: 10,
      refundedAmount: 1000,
      amount: 1000,
      currency: 'CNY',
      transactionId: expect.any(String) as string,
    });
    await assertInvariants(first, { stolenLeases });
  });

  it('I2: refunds of one payment that end together, well and badly, leave the balance that each of them makes', async () => {
    const businessNo = uniqueNo('PAYMENT');
    const refunds = [];
    for (let index = 0; index < 12; index += 1) {
      const gateway = index % 3 === 0 ? 'failed' : 'success';
      refunds.push(await stuckRefund(first, { businessNo, gateway, amount: 10 + index, paymentAmount: 500 }));
    }

    await Promise.all(refunds.map(({ id }, index) => sync(index % 2 === 0 ? first : second, id)));

    const failed = 10 + 13 + 16 + 19;
    const all = refunds.reduce((total, _refund, index) => total + 10 + index, 0);
    expect(await first.payment(refunds[0]?.paymentId ?? '')).toMatchObject({
      refundableBalance: 500 - all + failed,
      refundedAmount: all - failed,
      status: 'partial_refund',
    });
    await assertInvariants(first, { stolenLeases });
  });

  it('I3: whoever asks, at most one call about a refund is under way', async () => {
    const refund = await stuckRefund(first, { gateway: 'success' });
    await fault(first, 'slow', { outRefundNo: refund.refundNo, slowMs: 120 });
    const job = { refundId: refund.id, source: 'sweep' as const };

    const answers = await Promise.all(
      Array.from({ length: 12 }, (_, index) =>
        (index % 2 === 0 ? first : second).merchant.syncRefund({ refundNo: refund.refundNo }),
      ),
    );
    const beside = await Promise.all([first.syncs.sync(job), second.syncs.sync(job), first.syncs.sync(job)]);

    expect(new Set(answers.map(({ code }) => code))).toEqual(new Set([0, 10007]));
    expect(beside).toContain('busy');
    expect(beside.some((outcome) => typeof outcome === 'object')).toBe(true);
    expect(await truth(first, refund.refundNo)).toMatchObject({ maxConcurrentCalls: 1 });
    expect((await first.history(refund.id)).repairs).toHaveLength(2);
    await assertInvariants(first, { stolenLeases });
  });

  async function loseLease(id: string): Promise<void> {
    const leaseUntil = new Date(Date.now() - SECOND_MS);
    await first.db.read((manager) => manager.update(Refund, { id }, { leaseUntil }));
  }

  it('I3: a process that was paused beyond its lease finds its answer superseded', async () => {
    const refund = await stuckRefund(first, { gateway: 'success' });
    stolenLeases.push(refund.refundNo);
    await fault(first, 'slow', { outRefundNo: refund.refundNo, slowMs: 400, count: 1 });
    const paused = sync(first, refund.id);
    await untilAsked(first, refund.refundNo);
    await loseLease(refund.id);

    const other = await sync(second, refund.id);
    const late = await paused;

    expect(other).toMatchObject({ decision: { effect: 'changed', status: 'success' } });
    expect(late).toMatchObject({
      decision: { effect: 'superseded', status: 'success' },
      record: { result: 'success' },
    });
    const { syncs, repairs, notifications } = await first.history(refund.id);
    expect(syncs.map(({ effect }) => effect)).toEqual(['changed', 'superseded']);
    expect([repairs.length, notifications.length]).toEqual([2, 1]);
    expect(await first.refund(refund.id)).toMatchObject({
      status: 'success',
      version: 1,
      leaseToken: null,
      nextSyncAt: null,
    });
  });

  it('I3: while the new holder still asks, the old one’s answer neither gets in nor takes the lease away', async () => {
    const refund = await stuckRefund(first, { gateway: 'success' });
    stolenLeases.push(refund.refundNo);
    await fault(first, 'slow', { outRefundNo: refund.refundNo, slowMs: 300, count: 1 });
    await fault(first, 'slow', { outRefundNo: refund.refundNo, slowMs: 1_500, count: 1 });
    const paused = sync(first, refund.id);
    await untilAsked(first, refund.refundNo);
    await loseLease(refund.id);
    const other = sync(second, refund.id);
    await untilAsked(first, refund.refundNo, 2);

    expect(await paused).toMatchObject({ decision: { effect: 'superseded', status: 'progress' } });
    expect(await first.refund(refund.id)).toMatchObject({
      status: 'progress',
      leaseToken: expect.any(String) as string,
    });
    expect(await sync(first, refund.id)).toBe('busy');

    expect(await other).toMatchObject({ decision: { effect: 'changed', status: 'success' } });
    expect((await first.history(refund.id)).repairs).toHaveLength(2);
  });

  it('I3: a create whose lease is lost is not repeated blindly, and its answer does not get in twice', async () => {
    await settings(first, { autoCallback: false });
    const { businessNo } = await knownPayment(first);
    await fault(first, 'slow', { operation: 'create', slowMs: 400, count: 1 });
    const refundNo = uniqueNo('R');
    const creating = createRefund(first, businessNo, { refundNo });
    const id = await expect
      .poll(async () => first.db.read((manager) => manager.findOneBy(Refund, { refundNo })))
      .not.toBeNull()
      .then(() => first.db.read((manager) => manager.findOneByOrFail(Refund, { refundNo })))
      .then((row) => row.id);
    stolenLeases.push(id);
    await untilAsked(first, id);
    expect(await sync(second, id)).toBe('busy');
    await loseLease(id);
    expect(await sync(second, id)).toMatchObject({ decision: { effect: 'changed', status: 'success' } });

    expect(await creating).toMatchObject({ code: 0, data: { status: 'success' } });
    expect(await truth(first, id)).toMatchObject({ creates: 1, refundsAtGateway: 1, payment: { refunds: 1 } });
    const { syncs } = await first.history(id);
    expect(syncs.map(({ operation, effect }) => [operation, effect])).toEqual([
      ['query', 'changed'],
      ['create', 'superseded'],
    ]);
  });

  it('I4: whatever is not at its end has a next look, on every way to get there', async () => {
    const fresh = await stuckRefund(first);
    const looked = await stuckRefund(first);
    await sync(first, looked.id);
    const failing = await stuckRefund(first);
    await fault(first, 'http500', { outRefundNo: failing.refundNo });
    await sync(first, failing.id);
    const missing = await stuckRefund(first, { gateway: 'unknown' });
    await sync(first, missing.id);
    const review = await stuckRefund(first, { gateway: 'abnormal' });
    await sync(first, review.id);
    const reopened = await stuckRefund(first, { gateway: 'failed' });
    await sync(first, reopened.id);
    await setTruth(first, reopened, 'processing');
    await sync(first, reopened.id);
    await fault(first, 'lostRequest', { operation: 'create', count: 1 });
    const { businessNo } = await knownPayment(first);
    const created = await createRefund(first, businessNo, { refundNo: uniqueNo('R') });

    const states: Record<string, [string, boolean]> = {};
    const ids = { fresh, looked, failing, missing, review, reopened, created: { id: created.data?.refundId ?? '' } };
    for (const [name, { id }] of Object.entries(ids)) {
      const { status, nextSyncAt } = await first.refund(id);
      states[name] = [status, nextSyncAt !== null];
    }
    expect(states).toEqual({
      fresh: ['progress', true],
      looked: ['progress', true],
      failing: ['progress', true],
      missing: ['progress', true],
      review: ['review', true],
      reopened: ['progress', true],
      created: ['progress', true],
    });
    await assertInvariants(first, { stolenLeases });
  });

  it('I5: every change to an end has one outbox row, however many found it out at once', async () => {
    const refund = await stuckRefund(first, { gateway: 'success' });
    await Promise.all([
      ...Array.from({ length: 3 }, () => callBack(first, refund.refundNo)),
      ...Array.from({ length: 3 }, () => callBack(first, refund.refundNo, { notifyUrl: callbackUrl(second) })),
      first.merchant.syncRefund({ refundNo: refund.refundNo }),
      second.merchant.syncRefund({ refundNo: refund.refundNo }),
    ]);
    await callbacksWorkedOn(first);
    await callbacksWorkedOn(second);

    const { notifications, repairs } = await first.history(refund.id);
    expect(notifications).toMatchObject([
      { refundStatus: 'success', state: 'pending', repairNo: repairs[0]?.repairNo },
    ]);
    expect(repairs).toHaveLength(2);
    await assertInvariants(first, { stolenLeases });
  });

  it('I5: two ends are two rows in their order, a review is none, and silence is kept as a row', async () => {
    const refund = await stuckRefund(first, { gateway: 'failed' });
    await sync(first, refund.id);
    await setTruth(first, refund, 'processing');
    await sync(first, refund.id);
    await setTruth(first, refund, 'success');
    await sync(second, refund.id);
    await setTruth(first, refund, 'abnormal');
    await sync(second, refund.id);
    const { notifications } = await first.history(refund.id);
    expect(notifications.map(({ refundStatus, snapshot }) => [refundStatus, snapshot.status])).toEqual([
      ['fail', 'fail'],
      ['success', 'success'],
    ]);

    await fault(first, 'refused', { operation: 'create' });
    const { businessNo } = await knownPayment(first);
    const silent = await createRefund(first, businessNo, { refundNo: uniqueNo('R'), notNotify: true });
    expect(silent).toMatchObject({ code: 0, data: { status: 'fail' } });
    const rows = await first.db.read((manager) =>
      manager.findBy(Notification, { refundId: silent.data?.refundId ?? '' }),
    );
    expect(rows).toMatchObject([{ refundStatus: 'fail', state: 'suppressed', nextAttemptAt: null }]);
    await assertInvariants(first, { stolenLeases });
  });

  describe('I8: one intent has at most one refund at the gateway', () => {
    // Silent, so that only answers tell: a callback would find out sooner.
    beforeEach(() => settings(first, { autoCallback: false }));

    type Step = Parameters<typeof fault>[1];
    /** What happens to the first creates, one after the other; then the gateway behaves. */
    const LOSSES: [string, Step[]][] = [
      ['the request is lost', ['lostRequest']],
      ['the answer is lost', ['lostAnswer']],
      ['the request is lost, then the answer of the repeat', ['lostRequest', 'lostAnswer']],
      ['the request is lost three times', ['lostRequest', 'lostRequest', 'lostRequest']],
      ['the answer is lost, and queries do not find it yet', ['lostAnswer', 'notFoundThenFound']],
      ['the request is lost and the repeat is refused', ['lostRequest', 'refused']],
      ['the answer is lost and the repeat is refused', ['lostAnswer', 'notFoundThenFound', 'refused']],
      ['the connection is cut before the request is read', ['reset']],
      ['the gateway has an error of its own', ['http500']],
      ['the gateway wants fewer requests', ['http429']],
      ['the answer cannot be read', ['malformed']],
      ['the answer is signed by nobody', ['badSignature']],
    ];

    it.each(LOSSES)('when %s', async (_what, steps) => {
      const { businessNo, id: paymentId } = await knownPayment(first, { amount: 700 });
      const operationOf = (step: Step) => (step === 'notFoundThenFound' ? 'query' : 'create');
      for (const step of steps) await fault(first, step, { operation: operationOf(step), count: 1 });
      const refundNo = uniqueNo('R');

      const answer = await createRefund(first, businessNo, { refundNo });
      expect(answer).toMatchObject({ code: 0, data: { status: 'progress' } });
      const id = answer.data?.refundId ?? '';
      expect(await first.refund(id)).toMatchObject({ createState: 'unknown', createAttempts: 1, reserved: true });

      // The merchant does not know either, and sends it again; the schedule looks; an operator looks.
      for (let round = 0; round < 6 && (await first.refund(id)).status === 'progress'; round += 1) {
        expect(await createRefund(round % 2 === 0 ? second : first, businessNo, { refundNo })).toMatchObject({
          code: 0,
          data: { refundId: id },
        });
        await sync(round % 2 === 0 ? first : second, id);
      }

      expect(await first.refund(id)).toMatchObject({ status: 'success', createState: 'acknowledged' });
      expect(await truth(first, id)).toMatchObject({
        refundsAtGateway: 1,
        payment: { refunds: 1, refundedAmount: 700 },
        maxConcurrentCalls: 1,
      });
      expect(await first.payment(paymentId)).toMatchObject({ refundableBalance: 0, status: 'refunded' });
      expect((await first.history(id)).notifications).toHaveLength(1);
    });

    it('when the gateway never answers the create', async () => {
      const hurried = await startService({ beside: first, policy: { timeoutMs: 300 } });
      await fault(first, 'timeout', { operation: 'create', count: 1 });
      const { businessNo } = await knownPayment(first);
      const refundNo = uniqueNo('R');
      const answer = await createRefund(hurried, businessNo, { refundNo });
      expect(answer).toMatchObject({ code: 0, data: { status: 'progress' } });
      const id = answer.data?.refundId ?? '';
      expect((await first.history(id)).syncs).toMatchObject([{ operation: 'create', errorKind: 'ambiguous' }]);
      await sync(first, id);
      expect(await first.refund(id)).toMatchObject({ status: 'success', createAttempts: 1 });
      expect(await truth(first, id)).toMatchObject({ creates: 1, refundsAtGateway: 1, payment: { refunds: 1 } });
      await hurried.close();
    });

    it('when the merchant sends the same number from everywhere at once', async () => {
      const { businessNo, id: paymentId } = await knownPayment(first, { amount: 300 });
      const refundNo = uniqueNo('R');
      const answers = await Promise.all(
        Array.from({ length: 12 }, (_, index) =>
          createRefund(index % 2 === 0 ? first : second, businessNo, { refundNo, amount: 100 }),
        ),
      );
      expect(new Set(answers.map(({ code, data }) => `${code} ${data?.refundId}`)).size).toBe(1);
      const id = answers[0]?.data?.refundId ?? '';
      expect(await truth(first, id)).toMatchObject({ creates: 1, payment: { refunds: 1, refundedAmount: 100 } });
      expect(await first.payment(paymentId)).toMatchObject({ refundableBalance: 200 });
    });

    it('when the first and only send is refused under a signature: none, and the amount is back', async () => {
      await fault(first, 'refused', { operation: 'create', count: 1 });
      const { businessNo, id: paymentId } = await knownPayment(first);
      const refundNo = uniqueNo('R');
      const answer = await createRefund(first, businessNo, { refundNo });
      expect(answer).toMatchObject({ code: 0, data: { status: 'fail', errorCode: 'PARAM_ERROR' } });
      const id = answer.data?.refundId ?? '';
      expect(await first.refund(id)).toMatchObject({ status: 'fail', reserved: false, createState: 'refused' });
      expect(await first.payment(paymentId)).toMatchObject({ refundableBalance: 1000, status: 'success' });
      // The same number answers the refund that failed; it is not a new intent.
      expect(await createRefund(second, businessNo, { refundNo })).toMatchObject({
        code: 0,
        data: { refundId: id, status: 'fail' },
      });
      expect(await truth(first, id)).toMatchObject({ creates: 1, refundsAtGateway: 0 });
    });

    it('when the process died after it wrote the refund down and before it sent it', async () => {
      const { businessNo } = await knownPayment(first);
      await fault(first, 'lostRequest', { operation: 'create', count: 1 });
      const answer = await createRefund(first, businessNo, { refundNo: uniqueNo('R') });
      const id = answer.data?.refundId ?? '';
      await first.db.read((manager) => manager.update(Refund, { id }, { createState: 'inFlight' }));
      await sync(second, id);
      expect(await first.refund(id)).toMatchObject({ status: 'success', createAttempts: 2 });
      expect(await truth(first, id)).toMatchObject({ creates: 2, payment: { refunds: 1 } });
    });
  });

  it('leaves every invariant standing', () => assertInvariants(first, { stolenLeases }));
});

describe('I6: a late, repeated or reordered callback changes nothing that a fresh query would not change', () => {
  let service: TestService;
  const clock = new FakeClock();
  beforeAll(async () => {
    service = await startService({ clock });
  });
  afterEach(() => clearFaults(service));
  afterAll(() => service.close());

  const ENDS: ['success' | 'failed' | 'abnormal', string][] = [
    ['success', 'success'],
    ['failed', 'fail'],
    ['abnormal', 'review'],
  ];
  const TOLD = ['success', 'closed', 'abnormal'] as const;

  for (const [gateway, status] of ENDS) {
    it.each(TOLD)(`a refund in ${status} that is told %s stays what the gateway, asked, says it is`, async (told) => {
      const refund = await stuckRefund(service, { gateway });
      await sync(service, refund.id);
      const before = await service.refund(refund.id);
      expect(before.status).toBe(status);
      const { queries } = await truth(service, refund.refundNo);

      for (let delivery = 0; delivery < 3; delivery += 1) {
        expect(await callBack(service, refund.refundNo, { status: told })).toMatchObject({ status: 200 });
        await callbacksWorkedOn(service);
      }

      const after = await service.refund(refund.id);
      expect(after).toMatchObject({
        status,
        version: before.version,
        reserved: before.reserved,
        refundTime: before.refundTime,
      });
      const { syncs } = await service.history(refund.id);
      const callbacks = syncs.filter(({ operation }) => operation === 'callback');
      expect(callbacks.map(({ effect, statusAfter }) => [effect, statusAfter])).toEqual(
        Array(3).fill(['unchanged', status]),
      );
      // Each was a reason to ask, and the answer was that nothing has changed.
      expect((await truth(service, refund.refundNo)).queries).toBe(queries + 3);
    });
  }

  it.each(TOLD)('a refund in close that is told %s is asked about, and the answer decides', async (told) => {
    await changeAccount(service, { notFoundPolicy: 'close' });
    const refund = await stuckRefund(service, {
      gateway: 'unknown',
      more: { createdAt: new Date(clock.now().getTime() - 25 * HOUR_MS).toISOString() },
    });
    for (let look = 0; look < 5; look += 1) await sync(service, refund.id);
    expect(await service.refund(refund.id)).toMatchObject({ status: 'close', reserved: false });
    await setTruth(service, { ...refund }, 'processing');

    await callBack(service, refund.refundNo, { status: told });
    await callbacksWorkedOn(service);

    // The answer says processing, whatever the callback said: so it is open again and its amount is reserved.
    expect(await service.refund(refund.id)).toMatchObject({ status: 'progress', reserved: true });
    expect((await service.refund(refund.id)).nextSyncAt).not.toBeNull();
    expect(await service.payment(refund.paymentId)).toMatchObject({ refundableBalance: 900 });
  });

  it('a callback from before the end does not hold the end up, in whatever order they come', async () => {
    const refund = await stuckRefund(service, { gateway: 'success' });
    await callBack(service, refund.refundNo, { status: 'success' });
    await callBack(service, refund.refundNo, { status: 'abnormal' });
    await callbacksWorkedOn(service);
    expect(await service.refund(refund.id)).toMatchObject({ status: 'success', version: 1 });
  });

  it('an abnormal callback in progress is a reason to ask, not a verdict', async () => {
    const refund = await stuckRefund(service, { gateway: 'processing' });
    await callBack(service, refund.refundNo, { status: 'abnormal' });
    await callbacksWorkedOn(service);
    expect(await service.refund(refund.id)).toMatchObject({ status: 'progress', version: 0 });
    const { syncs } = await service.history(refund.id);
    expect(syncs.map(({ operation, result }) => [operation, result])).toEqual([
      ['callback', 'abnormal'],
      ['query', 'processing'],
    ]);
  });

  it.each([
    ['success', 'processing'],
    ['success', 'success'],
    ['closed', 'failed'],
  ] as const)(
    'a callback that says %s while an older answer (%s) is on its way: one wins, both are recorded',
    async (told, older) => {
      const refund = await stuckRefund(service, { gateway: older });
      await fault(service, 'slow', { outRefundNo: refund.refundNo, slowMs: 300, count: 1 });
      const slow = sync(service, refund.id);
      await untilAsked(service, refund.refundNo);
      await callBack(service, refund.refundNo, { status: told });
      await callbacksWorkedOn(service);
      const status = told === 'success' ? 'success' : 'fail';
      expect(await service.refund(refund.id)).toMatchObject({ status, version: 1 });
      if (older === 'processing') await setTruth(service, refund, 'success');

      await slow;

      const { syncs, repairs, notifications } = await service.history(refund.id);
      expect(syncs.map(({ operation, effect }) => [operation, effect])).toEqual([
        ['callback', 'changed'],
        ['query', 'superseded'],
        ['query', 'unchanged'],
      ]);
      expect([repairs.length, notifications.length]).toEqual([2, 1]);
      expect(await service.refund(refund.id)).toMatchObject({ status, version: 1, nextSyncAt: null, leaseToken: null });
    },
  );

  it('leaves every invariant standing', () => assertInvariants(service, { now: clock.now() }));
});

describe('I7: no secret and no key material leaves', () => {
  const signSecret = 'a-sign-secret-that-nobody-may-read';
  const otherKey = 'abcdefghijklmnopqrstuvwxyz012345';
  let service: TestService;
  let meddler: Meddler;
  beforeAll(async () => {
    service = await startService({ env: { SIGN_SECRET: signSecret } });
    meddler = await Meddler.between(service);
  });
  afterAll(async () => {
    await service.close();
    await meddler.close();
  });

  async function text(method: string, path: string, body?: unknown, token = ADMIN_TOKEN): Promise<string> {
    const response = await fetch(`${service.url}${path}`, {
      method,
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return response.text();
  }

  it('not in what is answered when settings are made, refused or shown', async () => {
    const config = wechatSettings(service);
    const answers = [
      await text('PUT', `/admin/gateway-accounts/${WECHAT_ACCOUNT}`, {
        channel: CHANNEL,
        config: { ...config, baseUrl: meddler.url },
      }),
      await text('PUT', '/admin/gateway-accounts/broken', {
        channel: CHANNEL,
        config: { ...config, apiV3Key: `${otherKey}-too-long` },
      }),
      await text('PUT', '/admin/gateway-accounts/broken', {
        channel: CHANNEL,
        config: { ...config, privateKey: String(config.privateKey).slice(0, 400) },
      }),
      await text('PUT', '/admin/gateway-accounts/broken', { channel: CHANNEL, config: { ...config, mchId: otherKey } }),
      await text('PUT', '/admin/apps/shop', { signSecret: otherKey, signType: 'SM3' }),
      await text('PUT', '/admin/apps/shop', { signSecret: otherKey }),
      await text('GET', '/admin/apps'),
      await text('GET', '/admin/gateway-accounts'),
      await text('GET', '/admin/refunds', undefined, otherKey),
      await text('POST', '/unipay/syncRefund', { refundNo: 'R', sign: signSecret }),
    ];
    const all = answers.join('\n');
    expect(all).toContain('must be');
    expect(all).not.toContain(otherKey);
    expect(all).not.toContain(signSecret);
    expect(all).not.toContain(String(config.apiV3Key));
    expect(all).not.toContain('PRIVATE KEY-----\n');
    for (const line of String(config.privateKey).split('\n').slice(1, 4)) expect(all).not.toContain(line);
  });

  it('not from a gateway that repeats what we told it, into records, logs or answers', async () => {
    const { apiV3Key, privateKey } = wechatSettings(service);
    const secret = String(apiV3Key);
    const pem = String(privateKey);
    const refund = await stuckRefund(service);
    const echo = {
      code: 'PARAM_ERROR',
      message: `your key is ${secret}`,
      detail: { field: pem, issue: secret, location: pem, value: pem },
    };
    for (const status of [400, 401, 403, 429, 500]) {
      meddler.meddle = ({ headers }) => ({ status, headers, body: JSON.stringify(echo) });
      const answer = await service.merchant.syncRefund({ refundNo: refund.refundNo });
      expect(answer.code).toBe(20000);
      expect(answer.text).not.toContain(secret);
    }
    const { syncs } = await service.history(refund.id);
    expect(syncs).toHaveLength(5);
    const kept =
      JSON.stringify(syncs) +
      JSON.stringify(await service.refund(refund.id)) +
      (await text('GET', `/admin/refunds/${refund.id}`));
    expect(kept).toContain('PARAM_ERROR');
    expect(kept).not.toContain(secret);
    expect(kept).not.toContain('PRIVATE KEY');
    for (const line of pem.split('\n').slice(1, 4)) expect(kept).not.toContain(line);
  });

  it('leaves every invariant standing', () => assertInvariants(service, { secrets: [otherKey] }));
});

describe('the checks of the invariants', () => {
  let service: TestService;
  beforeAll(async () => {
    service = await startService();
    const { id } = await stuckRefund(service, { gateway: 'success' });
    await sync(service, id);
    await settings(service, { defaultScript: [{ afterMs: 0, status: 'success' }], autoCallback: false });
    const { businessNo } = await knownPayment(service);
    await createRefund(service, businessNo, { refundNo: uniqueNo('R'), amount: 100 });
    await assertInvariants(service);
  });
  afterAll(() => service.close());

  const BREAKS: [string, string, string][] = [
    ['I1', "UPDATE refund SET status = 'fail', reserved = 0", "UPDATE refund SET status = 'success', reserved = 1"],
    ['I1', 'UPDATE refund SET version = 2', 'UPDATE refund SET version = 1'],
    ['I1', "UPDATE sync_record SET effect = 'unchanged'", "UPDATE sync_record SET effect = 'changed'"],
    [
      'I1',
      "UPDATE repair_record SET statusBefore = 'close' WHERE target = 'refund'",
      "UPDATE repair_record SET statusBefore = 'progress' WHERE target = 'refund'",
    ],
    ['I2', 'UPDATE payment SET refundableBalance = 899', 'UPDATE payment SET refundableBalance = 900'],
    [
      'I2',
      'UPDATE payment SET refundableBalance = -1, overRefunded = -901',
      'UPDATE payment SET refundableBalance = 900, overRefunded = 0',
    ],
    ['I2', "UPDATE payment SET status = 'refunded'", "UPDATE payment SET status = 'partial_refund'"],
    ['I4', "UPDATE refund SET status = 'progress', nextSyncAt = NULL", "UPDATE refund SET status = 'success'"],
    ['I4', "UPDATE refund SET nextSyncAt = '2099-01-01 00:00:00.000'", 'UPDATE refund SET nextSyncAt = NULL'],
    ['I5', "UPDATE notification SET refundStatus = 'fail'", "UPDATE notification SET refundStatus = 'success'"],
    [
      'I5',
      'UPDATE notification SET repairNo = id',
      'UPDATE notification SET repairNo = (SELECT MAX(repairNo) FROM repair_record r WHERE r.refundId = notification.refundId)',
    ],
    ['I7', `UPDATE refund SET attach = 'see ${ADMIN_TOKEN}.'`, 'UPDATE refund SET attach = NULL'],
    [
      'I8',
      "UPDATE refund SET gatewayRequestNo = 'other' WHERE source = 'created'",
      "UPDATE refund SET gatewayRequestNo = id WHERE source = 'created'",
    ],
  ];

  it.each(BREAKS)('%s is found broken by: %s', async (invariant, broken, mended) => {
    const run = (sql: string) => service.db.read((manager) => manager.query(sql));
    await run(broken);
    await expect(assertInvariants(service)).rejects.toThrow(invariant);
    await run(mended);
    await assertInvariants(service);
  });
});

describe('any order of events', () => {
  const clock = new FakeClock();
  let service: TestService;
  beforeAll(async () => {
    // The gateway's library and the sandbox read the time here; the service has it from its clock.
    vi.spyOn(Date, 'now').mockImplementation(() => clock.now().getTime());
    // The pace of an account has a clock of its own: a circuit that opened must not outlast days of the walk.
    const startedMs = clock.now().getTime();
    vi.spyOn(performance, 'now').mockImplementation(() => clock.now().getTime() - startedMs + 1_000);
    service = await startService({ clock });
    // Callbacks come when the walk sends them, so that the same seed is the same walk.
    await settings(service, { defaultScript: [{ afterMs: 0, status: 'processing' }], autoCallback: false });
  });
  afterAll(async () => {
    await service.close();
    vi.restoreAllMocks();
  });

  it('keeps every invariant, and ends where the gateway is', async () => {
    const { walk, property } = walks(service, clock);
    await walk.directed();
    await assertInvariants(service, { now: clock.now() });
    await fc.assert(property, {
      numRuns: 200,
      interruptAfterTimeLimit: Number(process.env.WALK_MS ?? 8_000),
      markInterruptAsFailure: false,
      ...(process.env.WALK_SEED === undefined ? {} : { seed: Number(process.env.WALK_SEED) }),
    });
    expect([...walk.visited].sort()).toEqual([...REFUND_STATUSES].sort());
  }, 600_000);
});
