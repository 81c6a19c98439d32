import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { stuckRefund, uniqueNo, type StuckRefund, type StuckRefundOptions } from './support/builders.js';
import { FakeClock } from './support/fake-clock.js';
import { clearFaults, fault, truth, untilAsked } from './support/gateway.js';
import { assertInvariants } from './support/invariants.js';
import type { Answer, SyncData } from './support/merchant-client.js';
import { startService, WECHAT_ACCOUNT, type TestService } from './support/service.js';

const SYNC = '/unipay/syncRefund';
const HOUR_MS = 3_600_000;
const HAN = /\p{Script=Han}/u;

let service: TestService;
beforeAll(async () => {
  service = await startService();
});
afterAll(() => service.close());
afterEach(() => clearFaults(service));

async function balanceOf({ paymentId }: StuckRefund): Promise<number> {
  return (await service.payment(paymentId)).refundableBalance;
}

describe('what the gateway says, and what the merchant reads', () => {
  it('success: repaired, the balance stays spent', async () => {
    const refund = await stuckRefund(service, { gateway: 'success' });
    const answer = await service.merchant.syncRefund({ refundNo: refund.refundNo });
    expect(answer.data).toEqual({
      gatewayStatus: 'refund_success',
      success: true,
      repair: true,
      repairOrderNo: expect.stringMatching(/^\d{19}$/) as string,
      errorMsg: '',
    });
    expect(await service.refund(refund.id)).toMatchObject({ status: 'success', reserved: true, version: 1 });
    expect(await service.payment(refund.paymentId)).toMatchObject({
      refundableBalance: 900,
      refundedAmount: 100,
      status: 'partial_refund',
    });
    const { repairs, syncs } = await service.history(refund.id);
    expect(
      repairs.map(({ target, repairNo, statusBefore, statusAfter }) => [target, repairNo, statusBefore, statusAfter]),
    ).toEqual([
      ['refund', answer.data?.repairOrderNo, 'progress', 'success'],
      ['payment', answer.data?.repairOrderNo, 'success', 'partial_refund'],
    ]);
    expect(syncs).toMatchObject([{ source: 'merchant', operation: 'query', result: 'success', effect: 'changed' }]);
  });

  it('success of the whole payment: the payment is refunded', async () => {
    const refund = await stuckRefund(service, { gateway: 'success', amount: 1000 });
    expect(await service.merchant.syncRefund({ refundId: refund.id })).toMatchObject({ data: { repair: true } });
    expect(await service.payment(refund.paymentId)).toMatchObject({ refundableBalance: 0, status: 'refunded' });
  });

  it.each(['failed', 'closed'] as const)('%s: the amount comes back, and errorMsg says why', async (gateway) => {
    const refund = await stuckRefund(service, { gateway });
    expect(await balanceOf(refund)).toBe(900);
    const answer = await service.merchant.syncRefund({ refundNo: refund.refundNo });
    expect(answer.data).toEqual({
      gatewayStatus: 'refund_fail',
      success: true,
      repair: true,
      repairOrderNo: expect.stringMatching(/^\d{19}$/) as string,
      errorMsg: expect.stringMatching(/./) as string,
    });
    expect(await balanceOf(refund)).toBe(1000);
    expect(await service.refund(refund.id)).toMatchObject({ status: 'fail', reserved: false });
    expect(await service.payment(refund.paymentId)).toMatchObject({ status: 'success', refundedAmount: 0 });
    // Asked again, nothing is repaired twice, and the reason is still told.
    expect((await service.merchant.syncRefund({ refundNo: refund.refundNo })).data).toEqual({
      ...answer.data,
      repair: false,
      repairOrderNo: null,
    });
    expect(await balanceOf(refund)).toBe(1000);
  });

  it('processing: nothing changes', async () => {
    const refund = await stuckRefund(service, { gateway: 'processing' });
    expect((await service.merchant.syncRefund({ refundNo: refund.refundNo })).data).toEqual({
      gatewayStatus: 'refund_progress',
      success: true,
      repair: false,
      repairOrderNo: null,
      errorMsg: '',
    });
    expect(await balanceOf(refund)).toBe(900);
    const stored = await service.refund(refund.id);
    expect(stored).toMatchObject({ status: 'progress', version: 0, syncAttempts: 1, leaseToken: null });
    expect(stored.nextSyncAt?.getTime()).toBeGreaterThan(Date.now());
  });

  it('not found: that is not failed, the amount stays reserved', async () => {
    const refund = await stuckRefund(service, { gateway: 'unknown' });
    for (const _ of [1, 2, 3, 4, 5, 6])
      expect((await service.merchant.syncRefund({ refundNo: refund.refundNo })).data).toEqual({
        gatewayStatus: 'pay_not_found',
        success: true,
        repair: false,
        repairOrderNo: null,
        errorMsg: '',
      });
    expect(await service.refund(refund.id)).toMatchObject({ status: 'progress', reserved: true, notFoundCount: 6 });
    expect(await balanceOf(refund)).toBe(900);
  });

  it.each([
    ['abnormal', { gateway: 'abnormal' }],
    ['a smaller amount', { gateway: 'success', gatewayAmount: 99 }],
    ['a larger amount', { gateway: 'success', gatewayAmount: 101 }],
    ['another number of its own', { gateway: 'success', more: { gatewayRefundNo: '50300000000000000000000001' } }],
  ] as [string, StuckRefundOptions][])(
    '%s: a person must look, and it never reads as success',
    async (_case, options) => {
      const refund = await stuckRefund(service, options);
      const expected = {
        gatewayStatus: 'refund_progress',
        success: false,
        repair: false,
        repairOrderNo: null,
        errorMsg: expect.stringMatching(HAN) as string,
      };
      expect((await service.merchant.syncRefund({ refundNo: refund.refundNo })).data).toEqual(expected);
      expect(await service.refund(refund.id)).toMatchObject({ status: 'review', reserved: true, refundTime: null });
      expect(await balanceOf(refund)).toBe(900);
      // Whoever asks again reads the same, in his language.
      expect((await service.merchant.syncRefund({ refundNo: refund.refundNo })).data).toEqual(expected);
      const english = await service.merchant.syncRefund({ refundNo: refund.refundNo }, { 'accept-language': 'en' });
      expect(english.data).toMatchObject({ ...expected, errorMsg: expect.stringMatching(/^[\x20-\x7e]+$/) as string });
      // Merchants read a refund under review as one in progress.
      expect(await service.merchant.call('/uni/query/refundOrder', { refundNo: refund.refundNo })).toMatchObject({
        code: 0,
        data: { status: 'progress', refundTime: null },
      });
      expect((await service.history(refund.id)).notifications).toHaveLength(0);
    },
  );

  it.each(['http500', 'http429', 'malformed', 'badSignature', 'reset'])(
    '%s is no answer: 20000, nothing is concluded',
    async (kind) => {
      const refund = await stuckRefund(service, { gateway: 'success' });
      await fault(service, kind, { operation: 'query', outRefundNo: refund.refundNo, count: 1 });
      const answer = await service.merchant.syncRefund({ refundNo: refund.refundNo });
      expect(answer.code, answer.text).toBe(20000);
      expect(answer.msg).toMatch(/^同步失败: /);
      expect(await service.refund(refund.id)).toMatchObject({ status: 'progress', version: 0, leaseToken: null });
      expect(await balanceOf(refund)).toBe(900);
      expect(await service.merchant.syncRefund({ refundNo: refund.refundNo })).toMatchObject({
        code: 0,
        data: { repair: true },
      });
    },
  );

  it('an account that is switched off is still asked about what it has', async () => {
    const account = 'switched-off';
    const config = service.sandbox.accounts().find(({ gateway }) => gateway === 'wechat')?.config ?? {};
    const put = (enabled: boolean) =>
      service.admin('PUT', `/admin/gateway-accounts/${account}`, {
        channel: 'wechat_pay',
        config: { ...config, notifyUrl: 'https://shop.example/callback' },
        enabled,
      });
    expect((await put(true)).httpStatus).toBe(200);
    const refund = await stuckRefund(service, { gateway: 'success', more: { gatewayAccountId: account } });
    expect((await put(false)).httpStatus).toBe(200);
    expect(await service.merchant.syncRefund({ refundNo: refund.refundNo })).toMatchObject({
      code: 0,
      data: { gatewayStatus: 'refund_success', repair: true },
    });
  });

  it('two refunds of one payment: each ends by itself, the balance adds up', async () => {
    const first = await stuckRefund(service, { gateway: 'success', amount: 300 });
    const second = await stuckRefund(service, { gateway: 'failed', amount: 700, businessNo: first.businessNo });
    expect(second.paymentId).toBe(first.paymentId);
    expect(await balanceOf(first)).toBe(0);
    const answers = await Promise.all([first, second].map(({ refundNo }) => service.merchant.syncRefund({ refundNo })));
    expect(answers.map(({ data }) => data?.gatewayStatus)).toEqual(['refund_success', 'refund_fail']);
    expect(answers[0]?.data?.repairOrderNo).not.toBe(answers[1]?.data?.repairOrderNo);
    expect(await service.payment(first.paymentId)).toMatchObject({ refundableBalance: 700, refundedAmount: 300 });
  });
});

describe('what there is nothing to sync', () => {
  it('20030: a channel that settles at once', async () => {
    const { body, httpStatus } = await service.admin<{ id: string; status: string }>('POST', '/admin/refunds', {
      refundNo: uniqueNo('CASH'),
      channel: 'cash_pay',
      amount: 100,
      payment: { businessNo: uniqueNo('P'), amount: 1000 },
    });
    expect([httpStatus, body.status]).toEqual([201, 'success']);
    expect(await service.merchant.syncRefund({ refundId: body.id })).toMatchObject({
      code: 20030,
      msg: '订单没有异步通道的退款，不需要同步',
    });
  });

  it('20041: no such refund', async () => {
    expect(await service.merchant.syncRefund({ refundNo: 'nobody' })).toMatchObject({
      code: 20041,
      msg: '未查询到退款订单',
    });
  });
});

describe('a refund that the gateway never heard of', () => {
  it('is closed after a day and five looks, not before; from then on it is 20042', async () => {
    const clock = new FakeClock();
    const closing = await startService({ clock });
    try {
      const config = closing.sandbox.accounts().find(({ gateway }) => gateway === 'wechat')?.config ?? {};
      const { httpStatus } = await closing.admin('PUT', `/admin/gateway-accounts/${WECHAT_ACCOUNT}`, {
        channel: 'wechat_pay',
        config: { ...config, notifyUrl: 'https://shop.example/callback' },
        notFoundPolicy: 'close',
      });
      expect(httpStatus).toBe(200);
      const refund = await stuckRefund(closing, { gateway: 'unknown' });
      const rarelyAsked = await stuckRefund(closing, { gateway: 'unknown' });
      const sync = (id: string): Promise<Answer<SyncData>> =>
        closing.merchant.syncRefund({ refundId: id, reqTime: Math.floor(clock.now().getTime() / 1000) });

      for (const _ of [1, 2, 3, 4]) expect((await sync(refund.id)).data?.repair).toBe(false);
      clock.advance(23.9 * HOUR_MS);
      // Five looks, but no whole day.
      expect((await sync(refund.id)).data?.repair).toBe(false);
      clock.advance(0.2 * HOUR_MS);
      // A whole day, but one look.
      expect((await sync(rarelyAsked.id)).data?.repair).toBe(false);
      expect((await closing.refund(rarelyAsked.id)).status).toBe('progress');

      const closed = await sync(refund.id);
      expect(closed.data).toEqual({
        gatewayStatus: 'pay_not_found',
        success: true,
        repair: true,
        repairOrderNo: expect.stringMatching(/^\d{19}$/) as string,
        errorMsg: '',
      });
      expect(await closing.refund(refund.id)).toMatchObject({ status: 'close', reserved: false });
      expect((await closing.payment(refund.paymentId)).refundableBalance).toBe(1000);

      const { queries } = await truth(closing, refund.refundNo);
      expect(await sync(refund.id)).toMatchObject({ code: 20042, msg: '订单已经关闭，不需要同步' });
      expect((await truth(closing, refund.refundNo)).queries).toBe(queries);
      await assertInvariants(closing, { now: clock.now() });
    } finally {
      await closing.close();
    }
  });
});

describe('one sync of a refund at a time', () => {
  it('10007 at once while one is running; the runner gets its answer', async () => {
    const { refundNo } = await stuckRefund(service, { gateway: 'success' });
    await fault(service, 'slow', { outRefundNo: refundNo, slowMs: 1_200 });
    const running = service.merchant.syncRefund({ refundNo });
    await untilAsked(service, refundNo);

    expect(await service.merchant.syncRefund({ refundNo })).toMatchObject({
      code: 10007,
      msg: '支付同步处理中，请勿重复操作',
    });
    expect(await service.merchant.syncRefund({ refundNo }, { 'accept-language': 'en' })).toMatchObject({
      code: 10007,
      msg: expect.stringMatching(/^[\x20-\x7e]+$/) as string,
    });
    // The other address is the same sync.
    expect(await service.merchant.call('/unipay/syncPay', { refundNo })).toMatchObject({ code: 10007 });
    // Nobody waited for it.
    expect((await truth(service, refundNo)).activeCalls).toBe(1);

    expect(await running).toMatchObject({ code: 0, data: { gatewayStatus: 'refund_success', repair: true } });
    expect(await service.merchant.syncRefund({ refundNo })).toMatchObject({ code: 0, data: { repair: false } });
    expect(await truth(service, refundNo)).toMatchObject({ maxConcurrentCalls: 1, queries: 2 });
  });

  it('20 callers at once: one question at a time, 0 or 10007 for each, one repair', async () => {
    const { id, refundNo } = await stuckRefund(service, { gateway: 'success' });
    await fault(service, 'slow', { outRefundNo: refundNo, slowMs: 100 });
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        service.merchant.call<SyncData>(index % 2 === 0 ? SYNC : '/unipay/syncPay', { refundNo }),
      ),
    );
    expect(
      answers.every(({ code }) => code === 0 || code === 10007),
      answers.map(({ text }) => text).join('\n'),
    ).toBe(true);
    const done = answers.filter(({ code }) => code === 0);
    expect(done.length).toBeGreaterThan(0);
    for (const { data } of done) expect(data).toMatchObject({ gatewayStatus: 'refund_success', success: true });
    expect(await truth(service, refundNo)).toMatchObject({ maxConcurrentQueries: 1, maxConcurrentCalls: 1 });
    const { repairs, notifications, syncs } = await service.history(id);
    expect([repairs.length, notifications.length]).toEqual([2, 1]);
    expect(syncs.filter(({ effect }) => effect === 'changed')).toHaveLength(1);
    expect((await service.refund(id)).leaseToken).toBeNull();
  });

  it('20 refunds at once: all of them, side by side', async () => {
    const refunds = await Promise.all(Array.from({ length: 20 }, () => stuckRefund(service, { gateway: 'success' })));
    await fault(service, 'slow', { slowMs: 150 });
    const answers = await Promise.all(refunds.map(({ refundNo }) => service.merchant.syncRefund({ refundNo })));
    expect(answers.map(({ code, data }) => [code, data?.repair])).toEqual(refunds.map(() => [0, true]));
    expect(new Set(answers.map(({ data }) => data?.repairOrderNo)).size).toBe(20);
  });

  it('an identical request, sent again by itself as the real client does, is harmless', async () => {
    const { id, refundNo } = await stuckRefund(service, { gateway: 'failed' });
    const body = service.merchant.body({ refundNo });
    const first = await service.merchant.post(SYNC, body);
    expect(first).toMatchObject({ code: 0, data: { repair: true } });
    for (const _ of [1, 2, 3]) {
      expect(await service.merchant.post(SYNC, body)).toMatchObject({
        code: 0,
        data: { gatewayStatus: 'refund_fail', repair: false, repairOrderNo: null },
      });
    }
    const { repairs, notifications } = await service.history(id);
    expect([repairs.length, notifications.length]).toEqual([2, 1]);
    expect((await service.payment((await service.refund(id)).paymentId)).refundableBalance).toBe(1000);
  });

  it('other interfaces do not wait for a sync', async () => {
    const { refundNo } = await stuckRefund(service, { gateway: 'success' });
    await fault(service, 'slow', { outRefundNo: refundNo, slowMs: 800 });
    const running = service.merchant.syncRefund({ refundNo });
    await untilAsked(service, refundNo);
    expect(await service.merchant.call('/uni/query/refundOrder', { refundNo })).toMatchObject({
      code: 0,
      data: { status: 'progress' },
    });
    expect((await truth(service, refundNo)).activeCalls).toBe(1);
    expect((await running).code).toBe(0);
  });
});

describe('a merchant who waits and the sweep', () => {
  it('brings a job that waits from the sweep to the front', async () => {
    const clock = new FakeClock();
    const narrow = await startService({ clock, env: { SYNC_CONCURRENCY: '1' } });
    try {
      const [busy, ...waiting] = [
        await stuckRefund(narrow),
        await stuckRefund(narrow),
        await stuckRefund(narrow),
        await stuckRefund(narrow, { gateway: 'success' }),
      ];
      const wanted = waiting[2];
      await fault(narrow, 'slow', { outRefundNo: busy.refundNo, slowMs: 500 });
      clock.advance(2_000);
      expect(await narrow.sweeper.sweep()).toBe(4);
      await untilAsked(narrow, busy.refundNo);

      const answer = await narrow.merchant.syncRefund({ refundNo: wanted.refundNo });
      expect(answer).toMatchObject({ code: 0, data: { gatewayStatus: 'refund_success', repair: true } });
      await narrow.idle();

      const order: { at: number; refundNo: string }[] = [];
      for (const { id, refundNo } of [busy, ...waiting]) {
        const { syncs } = await narrow.history(id);
        expect(syncs, refundNo).toHaveLength(1);
        order.push({ at: syncs[0]?.startedAt.getTime() ?? 0, refundNo });
        expect(syncs[0]?.source).toBe(id === wanted.id ? 'merchant' : 'sweep');
      }
      order.sort((left, right) => left.at - right.at);
      expect(order.map(({ refundNo }) => refundNo).indexOf(wanted.refundNo)).toBe(1);
    } finally {
      await narrow.close();
    }
  });

  it('10007 when the sweep is asking just now', async () => {
    const { id, refundNo } = await stuckRefund(service, { gateway: 'success' });
    await fault(service, 'slow', { outRefundNo: refundNo, slowMs: 800 });
    await service.queue.submitMany([{ refundId: id, source: 'sweep' }]);
    await untilAsked(service, refundNo);
    expect(await service.merchant.syncRefund({ refundNo })).toMatchObject({ code: 10007 });
    await service.idle();
    expect((await service.refund(id)).status).toBe('success');
  });

  it('10007 when another process asks just now: the lease says so, not the queue', async () => {
    const { id, refundNo } = await stuckRefund(service, { gateway: 'success' });
    await fault(service, 'slow', { outRefundNo: refundNo, slowMs: 800 });
    const elsewhere = service.syncs.sync({ refundId: id, source: 'sweep' });
    await untilAsked(service, refundNo);
    expect(await service.merchant.syncRefund({ refundNo })).toMatchObject({ code: 10007 });
    await elsewhere;
    expect(await truth(service, refundNo)).toMatchObject({ maxConcurrentCalls: 1 });
    expect(await service.merchant.syncRefund({ refundNo })).toMatchObject({ code: 0, data: { repair: false } });
  });
});

describe('when SYNC_WAIT_MS has run out', () => {
  it('20000, the sync goes on and ends right, and whoever asks meanwhile gets 10007', async () => {
    const impatient = await startService({ env: { SYNC_WAIT_MS: '1000' } });
    try {
      const { id, refundNo } = await stuckRefund(impatient, { gateway: 'success' });
      await fault(impatient, 'slow', { outRefundNo: refundNo, slowMs: 2_500 });
      const startedAt = performance.now();
      const answer = await impatient.merchant.syncRefund({ refundNo });
      const tookMs = performance.now() - startedAt;
      expect(answer).toMatchObject({ code: 20000, msg: expect.stringContaining('后台') as string });
      expect(tookMs).toBeGreaterThanOrEqual(990);
      expect(await impatient.merchant.syncRefund({ refundNo })).toMatchObject({ code: 10007 });
      expect((await truth(impatient, refundNo)).activeCalls).toBe(1);
      expect((await impatient.refund(id)).status).toBe('progress');

      await expect.poll(async () => (await impatient.refund(id)).status, { timeout: 10_000 }).toBe('success');
      await impatient.idle();
      await clearFaults(impatient);
      expect(await impatient.merchant.syncRefund({ refundNo })).toMatchObject({
        code: 0,
        data: { gatewayStatus: 'refund_success', repair: false },
      });
      expect((await impatient.history(id)).repairs).toHaveLength(2);
      await assertInvariants(impatient);
    } finally {
      await impatient.close();
    }
  });
});

it('every invariant holds after all of this', () => assertInvariants(service));
