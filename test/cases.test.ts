import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { AuditEntry } from '../src/admin/audit-entry.entity.js';
import { Refund } from '../src/refund/refund.entity.js';
import { SilentRefunds } from '../src/refund/silent-refund.service.js';
import { Alerts } from '../src/shared/alerts.js';
import { DAY_MS, HOUR_MS, MINUTE_MS } from '../src/shared/clock.js';
import { knownPayment, stuckRefund, uniqueNo, type StuckRefund } from './support/builders.js';
import { Operator } from './support/cases.js';
import { FakeClock } from './support/fake-clock.js';
import {
  callBack,
  changeAccount,
  callbacksWorkedOn,
  clearFaults,
  fault,
  Meddler,
  setTruth,
  settings,
  truth,
  unsigned,
  untilAsked,
} from './support/gateway.js';
import { assertInvariants } from './support/invariants.js';
import { logLines, startService, type TestService } from './support/service.js';

const sync = (service: TestService, id: string) => service.syncs.sync({ refundId: id, source: 'operator' });

/** A refund that the gateway calls abnormal. */
async function abnormalCase(service: TestService, amount = 100): Promise<StuckRefund> {
  const refund = await stuckRefund(service, { gateway: 'abnormal', amount });
  await sync(service, refund.id);
  return refund;
}

/** A refund that the gateway has not known for its whole grace. */
async function unknownCase(service: TestService, clock: FakeClock, businessNo?: string): Promise<StuckRefund> {
  const createdAt = new Date(clock.now().getTime() - 25 * HOUR_MS).toISOString();
  const refund = await stuckRefund(service, {
    gateway: 'unknown',
    more: { createdAt },
    ...(businessNo === undefined ? {} : { businessNo }),
  });
  for (let look = 0; look < 5; look += 1) await sync(service, refund.id);
  return refund;
}

describe('cases', () => {
  const clock = new FakeClock();
  let service: TestService;
  let anna: Operator;
  let ben: Operator;
  let viewer: Operator;
  beforeAll(async () => {
    // Gateways and merchants stamp what they sign with this time.
    vi.spyOn(Date, 'now').mockImplementation(() => clock.now().getTime());
    service = await startService({ clock });
    anna = await Operator.named(service, 'anna');
    ben = await Operator.named(service, 'ben');
    viewer = await Operator.named(service, 'viola', 'viewer');
  });
  afterEach(() => clearFaults(service));
  afterAll(async () => {
    await service.close();
    vi.restoreAllMocks();
  });

  const audits = (refundId: string) =>
    service.db.read((manager) => manager.find(AuditEntry, { where: { targetId: refundId }, order: { id: 'ASC' } }));

  it('are the refunds in review, found by app, channel, reason, owner and age, page by page', async () => {
    const [first, second] = [await abnormalCase(service), await unknownCase(service, clock)];
    const open = await stuckRefund(service);
    const ids = async (query: string) => {
      const { httpStatus, body } = await viewer.call('GET', `/admin/cases?${query}`);
      expect(httpStatus, JSON.stringify(body)).toBe(200);
      return (body['items'] as { refundId: string }[]).map(({ refundId }) => refundId);
    };
    expect(await ids('')).toEqual(expect.arrayContaining([first.id, second.id]));
    expect(await ids('')).not.toContain(open.id);
    expect(await ids('reason=abnormal')).toContain(first.id);
    expect(await ids('reason=abnormal')).not.toContain(second.id);
    expect(await ids('reason=notFound&channel=wechat_pay&appId=default')).toContain(second.id);
    expect(await ids('channel=stripe')).toEqual([]);
    expect(await ids('appId=other')).toEqual([]);
    expect(await ids('olderThan=1h')).toEqual([]);

    const page = await viewer.call('GET', '/admin/cases?limit=1');
    expect(page.body['nextCursor']).toBe(first.id);
    expect(await ids(`limit=1&cursor=${first.id}`)).toEqual([second.id]);

    expect((await anna.call('PUT', `/admin/cases/${first.id}/owner`, {})).body).toMatchObject({ owner: 'token:anna' });
    expect(await ids('owner=token:anna')).toEqual([first.id]);
    expect(await ids('owner=none')).toEqual([second.id]);
    expect((await ben.call('PUT', `/admin/cases/${first.id}/owner`, { owner: 'user:ben' })).body).toMatchObject({
      owner: 'user:ben',
    });
    expect((await ben.call('PUT', `/admin/cases/${first.id}/owner`, { owner: null })).body).toMatchObject({
      owner: null,
    });
    expect((await audits(first.id)).filter(({ action }) => action === 'case.assign')).toMatchObject([
      { actor: 'token:anna', before: { owner: null }, after: { owner: 'token:anna' } },
      { actor: 'token:ben', before: { owner: 'token:anna' }, after: { owner: 'user:ben' } },
      { actor: 'token:ben', before: { owner: 'user:ben' }, after: { owner: null } },
    ]);

    clock.advance(2 * HOUR_MS);
    expect(await ids('olderThan=1h')).toEqual(expect.arrayContaining([first.id, second.id]));
  });

  it('refuses what it is not asked rightly, and whoever may not', async () => {
    const refund = await abnormalCase(service);
    const path = `/admin/refunds/${refund.id}/resolve`;
    const good = { command: 'keepWaiting', note: 'n', expectedVersion: 1 };
    expect((await viewer.call('POST', path, good)).httpStatus).toBe(403);
    expect((await viewer.call('PUT', `/admin/cases/${refund.id}/owner`, {})).httpStatus).toBe(403);
    for (const [bad, field] of [
      [{ command: 'explode' }, 'command'],
      [{ note: '' }, 'note'],
      [{ note: 'x'.repeat(301) }, 'note'],
      [{ expectedVersion: undefined }, 'expectedVersion'],
      [{ preview: 'zz' }, 'preview'],
      [{ dryRun: 'yes' }, 'dryRun'],
      [{ redrive: { to: 'merchantAccount' } }, 'redrive'],
      [{ command: 'redrive', redrive: { to: 'payerCard' } }, 'redrive.bankCode'],
      [{ command: 'redrive', redrive: { to: 'moon' } }, 'redrive.to'],
    ] as const) {
      const { httpStatus, body } = await anna.call('POST', path, { ...good, ...bad });
      expect([httpStatus, body.errors?.[0]?.field], JSON.stringify(body)).toEqual([400, field]);
    }
    for (const id of ['1', '2124609641629716480', 'abc']) {
      expect((await anna.call('POST', `/admin/refunds/${id}/resolve`, good)).httpStatus).toBe(404);
      expect((await anna.call('GET', `/admin/cases/${id}`)).httpStatus).toBe(404);
      expect((await anna.call('PUT', `/admin/cases/${id}/owner`, {})).httpStatus).toBe(404);
    }
    expect((await anna.call('GET', '/admin/cases?olderThan=soon')).httpStatus).toBe(400);
    expect((await anna.call('GET', '/admin/cases?reason=mood')).httpStatus).toBe(400);
    const ended = await stuckRefund(service, { gateway: 'success' });
    await sync(service, ended.id);
    expect((await anna.call('PUT', `/admin/cases/${ended.id}/owner`, {})).httpStatus).toBe(409);
    expect(await service.refund(refund.id)).toMatchObject({ status: 'review', version: 1 });
  });

  it('show what they rest on, and what can be done with them and why not', async () => {
    const refund = await abnormalCase(service);
    const { httpStatus, body } = await viewer.call('GET', `/admin/cases/${refund.id}`);
    expect(httpStatus).toBe(200);
    expect(body).toMatchObject({
      refundId: refund.id,
      status: 'review',
      reason: 'abnormal',
      statusBefore: 'progress',
      reserved: true,
      owner: null,
      lastEvidence: { kind: 'abnormal', via: 'query', authenticated: true },
      payment: { refundableBalance: 900, overRefunded: 0 },
      evidence: [{ how: 'query', result: 'abnormal', answer: { code: 'ABNORMAL' } }],
      proposals: [],
    });
    const options = body['resolutions'] as { command: string; allowed: boolean; refusal: string | null; why: string }[];
    expect(Object.fromEntries(options.map(({ command, allowed, refusal }) => [command, allowed || refusal]))).toEqual({
      acceptSuccess: true,
      acceptFailure: 'gatewaySaysOtherwise',
      close: 'gatewaySaysOtherwise',
      keepWaiting: true,
      sendAgain: 'notOffered',
      redrive: true,
      reopen: 'isACase',
    });
    const text = JSON.stringify(body);
    for (const secret of ['leaseToken', 'createPayload']) expect(text).not.toContain(secret);
  });

  describe('are settled', () => {
    it('by closing: what the preview shows is what is done, with one repair, one notification and one audit entry', async () => {
      const refund = await unknownCase(service, clock);
      const shown = await anna.preview(refund.id, 'close');
      expect(shown).toMatchObject({
        httpStatus: 200,
        body: {
          state: 'previewed',
          repairNo: null,
          refund: { status: 'review', version: 1 },
          preview: {
            status: { from: 'review', to: 'close' },
            merchantStatus: { from: 'progress', to: 'close' },
            reserved: { from: true, to: false },
            payment: { refundableBalance: { from: 900, to: 1000 }, overRefunded: { from: 0, to: 0 } },
            moneyEffect: '1.00 CNY become refundable again; it is 10.00 CNY then',
            notification: 'the merchant is told that the refund is close',
            gatewayCall: null,
            warnings: [],
          },
        },
      });
      expect(await service.refund(refund.id)).toMatchObject({ status: 'review', version: 1 });

      const done = await anna.apply(refund.id, 'close', shown);
      expect(done).toMatchObject({
        httpStatus: 200,
        body: { state: 'applied', refund: { status: 'close', version: 2 } },
      });
      expect(done.body.preview).toEqual(shown.body.preview);
      expect(await service.refund(refund.id)).toMatchObject({
        status: 'close',
        reserved: false,
        reviewCode: null,
        reviewReason: null,
        statusBeforeReview: null,
      });
      expect(await service.payment(refund.paymentId)).toMatchObject({ refundableBalance: 1000 });
      const { syncs, repairs, notifications } = await service.history(refund.id);
      expect(syncs.at(-1)).toMatchObject({ operation: 'command', source: 'operator', effect: 'changed', answer: null });
      expect(repairs.slice(-2)).toMatchObject([
        { repairNo: done.body.repairNo, statusAfter: 'close', source: 'operator' },
        { repairNo: done.body.repairNo, target: 'payment', balanceBefore: 900, balanceAfter: 1000 },
      ]);
      expect(notifications).toMatchObject([{ refundStatus: 'close', repairNo: done.body.repairNo }]);
      expect((await audits(refund.id)).at(-1)).toMatchObject({
        actor: 'token:anna',
        action: 'case.close',
        before: { status: 'review', reserved: true, refundableBalance: 900, version: 1 },
        after: { status: 'close', reserved: false, refundableBalance: 1000, version: 2, note: 'as the bank says' },
      });
      expect(await service.merchant.syncRefund({ refundNo: refund.refundNo })).toMatchObject({ code: 20042 });

      const { body } = await viewer.call('GET', `/admin/refunds/${refund.id}`);
      const story = (body['timeline'] as { type: string }[]).map(({ type }) => type).slice(-5);
      expect(story).toEqual(['command', 'repair', 'repair', 'notification', 'audit']);
    });

    it('by accepting the failure that the gateway reports', async () => {
      const refund = await abnormalCase(service);
      await setTruth(service, refund, 'failed');
      expect((await anna.preview(refund.id, 'acceptFailure')).body.errors?.[0]?.fault).toContain(
        'gatewaySaysOtherwise',
      );
      await sync(service, refund.id);
      expect(await service.refund(refund.id)).toMatchObject({ status: 'review' });
      expect(await anna.settle(refund.id, 'acceptFailure')).toMatchObject({
        httpStatus: 200,
        body: { refund: { status: 'fail' }, preview: { notification: 'the merchant is told that the refund is fail' } },
      });
      expect(await service.payment(refund.paymentId)).toMatchObject({ refundableBalance: 1000, status: 'success' });
      expect(await service.refund(refund.id)).toMatchObject({ status: 'fail', errorCode: 'CLOSED', reserved: false });
    });

    it('by accepting the success', async () => {
      const refund = await abnormalCase(service);
      await setTruth(service, refund, 'success');
      await sync(service, refund.id);
      expect(await anna.settle(refund.id, 'acceptSuccess')).toMatchObject({
        httpStatus: 200,
        body: {
          preview: {
            moneyEffect: 'the refundable balance does not change; it is 9.00 CNY then',
            payment: { refundedAmount: { from: 0, to: 100 }, status: { from: 'success', to: 'partial_refund' } },
            warnings: [],
          },
        },
      });
      expect(await service.refund(refund.id)).toMatchObject({ status: 'success', reserved: true });
      expect((await service.refund(refund.id)).refundTime).not.toBeNull();
      expect(await service.merchant.syncRefund({ refundNo: refund.refundNo })).toMatchObject({
        code: 0,
        data: { gatewayStatus: 'refund_success', success: true, repair: false },
      });
    });

    it('by accepting a success whose amount has been spent: the payment is over-refunded, and somebody is woken', async () => {
      const closed = await unknownCase(service, clock);
      await anna.settle(closed.id, 'close');
      // What was given back is given out again, all but 30.
      const others = await stuckRefund(service, { businessNo: closed.businessNo, amount: 970, gateway: 'processing' });
      await setTruth(service, closed, 'success');
      await sync(service, closed.id);
      expect(await service.refund(closed.id)).toMatchObject({
        status: 'review',
        reviewCode: 'movedAfterEnd',
        reserved: false,
      });

      const alerts = service.app.get(Alerts);
      const before = alerts.counts().get('OVER_REFUNDED') ?? 0;
      const done = await anna.settle(closed.id, 'acceptSuccess');
      expect(done.body.preview).toMatchObject({
        payment: { refundableBalance: { from: 30, to: 0 }, overRefunded: { from: 0, to: 70 } },
        moneyEffect:
          '0.30 CNY are taken from the refundable balance; the payment is refunded beyond its amount by 0.70 CNY more; it is 0.00 CNY then',
        warnings: [expect.stringContaining('over-refunded')],
      });
      expect(await service.payment(closed.paymentId)).toMatchObject({ refundableBalance: 0, overRefunded: 70 });
      expect(alerts.counts().get('OVER_REFUNDED')).toBe(before + 1);
      const line = logLines.find((text) => text.includes('OVER_REFUNDED') && text.includes(closed.id));
      expect(JSON.parse(line ?? '{}')).toMatchObject({ level: 'error', missing: 70, overRefunded: 70 });
      await assertInvariants(service, { now: clock.now() });

      // What comes back later pays for that first.
      await setTruth(service, { ...others, amount: 970 }, 'failed');
      await sync(service, others.id);
      expect(await service.payment(closed.paymentId)).toMatchObject({ refundableBalance: 900, overRefunded: 0 });
    });

    it('not at all by waiting: it is written down, and the gateway is asked daily', async () => {
      const refund = await abnormalCase(service);
      const done = await anna.settle(refund.id, 'keepWaiting');
      expect(done).toMatchObject({
        httpStatus: 200,
        body: { state: 'applied', repairNo: null, refund: { status: 'review', version: 1 } },
      });
      expect((await audits(refund.id)).at(-1)).toMatchObject({ action: 'case.keepWaiting', actor: 'token:anna' });
      const { nextSyncAt } = await service.refund(refund.id);
      expect(nextSyncAt?.getTime()).toBeLessThanOrEqual(clock.now().getTime() + DAY_MS);
      const looks = (await service.history(refund.id)).syncs.length;
      clock.advance(DAY_MS + MINUTE_MS);
      await service.sweeper.sweep();
      await service.idle();
      expect((await service.history(refund.id)).syncs.length).toBe(looks + 1);
    });

    it('by sending again the very same request, once the gateway has said that it has none', async () => {
      await settings(service, { defaultScript: [{ afterMs: 0, status: 'success' }], autoCallback: false });
      const { businessNo } = await knownPayment(service);
      await fault(service, 'lostRequest', { operation: 'create' });
      const { data } = await service.merchant.call<{ refundId: string }>('/unipay/refund', {
        businessNo,
        refundNo: uniqueNo('R'),
        refundAll: true,
      });
      const id = data?.refundId ?? '';
      clock.advance(31 * DAY_MS);
      await sync(service, id);
      expect(await service.refund(id)).toMatchObject({
        status: 'review',
        reviewCode: 'gaveUp',
        createState: 'unknown',
      });
      for (const command of ['close', 'acceptFailure'])
        expect((await anna.preview(id, command)).body.errors?.[0]?.fault).toContain('createUnknown');
      clock.advance(11 * MINUTE_MS);
      expect((await anna.preview(id, 'sendAgain')).body.errors?.[0]?.fault).toContain('askFirst');
      expect((await anna.call('POST', `/admin/refunds/${id}/sync`)).httpStatus).toBe(200);
      await clearFaults(service);

      const sent = await service.refund(id);
      const done = await anna.settle(id, 'sendAgain');
      expect(done).toMatchObject({
        httpStatus: 200,
        body: {
          preview: { gatewayCall: 'sendAgain', status: { from: 'review', to: 'progress' } },
          call: { state: 'done', records: [{ operation: 'query', result: 'notFound' }, { operation: 'create' }] },
        },
      });
      const after = await service.refund(id);
      expect(after).toMatchObject({ status: 'success', createState: 'acknowledged' });
      expect([after.createPayload, after.gatewayRequestNo]).toEqual([sent.createPayload, sent.gatewayRequestNo]);
      expect(await truth(service, id)).toMatchObject({
        refundsAtGateway: 1,
        payment: { refunds: 1 },
        maxConcurrentCalls: 1,
      });
      await settings(service, { autoCallback: true });
    });

    it('by sending again, which a gateway that loses it again makes an unknown create again and not a case', async () => {
      await settings(service, { defaultScript: [{ afterMs: 0, status: 'success' }], autoCallback: false });
      const { businessNo } = await knownPayment(service);
      await fault(service, 'lostRequest', { operation: 'create' });
      const { data } = await service.merchant.call<{ refundId: string }>('/unipay/refund', {
        businessNo,
        refundNo: uniqueNo('R'),
        refundAll: true,
      });
      const id = data?.refundId ?? '';
      clock.advance(31 * DAY_MS);
      await sync(service, id);
      expect(await anna.settle(id, 'sendAgain')).toMatchObject({
        httpStatus: 200,
        body: { refund: { status: 'progress' } },
      });
      expect(await service.refund(id)).toMatchObject({ status: 'progress', createState: 'unknown' });
      await clearFaults(service);
      await sync(service, id);
      expect(await service.refund(id)).toMatchObject({ status: 'success' });
      expect(await truth(service, id)).toMatchObject({ refundsAtGateway: 1, payment: { refunds: 1 } });
      await settings(service, { autoCallback: true });
    });

    it.each([
      ['the merchant’s account', { to: 'merchantAccount' }],
      [
        'a card of the payer',
        { to: 'payerCard', bankCode: 'ICBC_DEBIT', accountNo: '6222021234567890123', holderName: 'Zhang Sanfeng' },
      ],
    ])('by sending the money on its way again, to %s', async (_where, redrive) => {
      await settings(service, { defaultScript: [{ afterMs: 0, status: 'success' }], autoCallback: false });
      const refund = await abnormalCase(service);
      const done = await anna.settle(refund.id, 'redrive', { redrive });
      expect(done).toMatchObject({
        httpStatus: 200,
        body: {
          call: { state: 'done', records: [{ operation: 'redrive', result: 'success' }] },
          refund: { status: 'success' },
        },
      });
      expect(await truth(service, refund.refundNo)).toMatchObject({ status: 'success', maxConcurrentCalls: 1 });
      const { syncs } = await service.history(refund.id);
      expect(syncs.map(({ operation }) => operation)).toEqual(['query', 'command', 'redrive']);
      expect(await service.refund(refund.id)).toMatchObject({ leaseToken: null, reserved: true });
      // A card goes to the gateway and nowhere else.
      const kept = JSON.stringify([syncs, await audits(refund.id), logLines]);
      expect(kept).not.toContain('6222021234567890123');
      expect(kept).not.toContain('Zhang Sanfeng');
      await settings(service, { autoCallback: true });
    });

    it('by a re-drive that the gateway refuses: it is the case that it was', async () => {
      const refund = await abnormalCase(service);
      await setTruth(service, refund, 'success');
      const done = await anna.settle(refund.id, 'redrive');
      expect(done).toMatchObject({ httpStatus: 200, body: { refund: { status: 'review', version: 3 } } });
      expect(await service.refund(refund.id)).toMatchObject({
        reviewCode: 'abnormal',
        reserved: true,
        leaseToken: null,
      });
      expect((await service.history(refund.id)).notifications).toEqual([]);
    });

    it('by a re-drive whose answer is lost: nothing is concluded, the next look finds out', async () => {
      await settings(service, { defaultScript: [{ afterMs: 0, status: 'processing' }], autoCallback: false });
      const refund = await abnormalCase(service);
      await fault(service, 'reset', { outRefundNo: refund.refundNo, count: 1 });
      expect(await anna.settle(refund.id, 'redrive')).toMatchObject({
        httpStatus: 200,
        body: { refund: { status: 'progress' } },
      });
      expect((await service.refund(refund.id)).nextSyncAt).not.toBeNull();
      await sync(service, refund.id);
      expect((await service.refund(refund.id)).status).toBe('review');
      await settings(service, { defaultScript: [{ afterMs: 0, status: 'success' }], autoCallback: true });
    });

    it('and undone by a further entry: nothing that was written is taken away', async () => {
      const refund = await unknownCase(service, clock);
      await anna.settle(refund.id, 'close');
      const before = await service.history(refund.id);
      const undone = await ben.settle(refund.id, 'reopen');
      expect(undone).toMatchObject({
        httpStatus: 200,
        body: {
          refund: { status: 'review', version: 3 },
          preview: { merchantStatus: { from: 'close', to: 'progress' }, reserved: { from: false, to: false } },
        },
      });
      const after = await service.history(refund.id);
      expect(after.syncs.slice(0, before.syncs.length)).toEqual(before.syncs);
      expect(after.repairs.length).toBe(before.repairs.length + 2);
      expect(after.notifications).toEqual(before.notifications);

      await setTruth(service, refund, 'success');
      await sync(service, refund.id);
      await ben.settle(refund.id, 'acceptSuccess');
      expect(await service.payment(refund.paymentId)).toMatchObject({ refundableBalance: 900, overRefunded: 0 });
      const { notifications } = await service.history(refund.id);
      expect(notifications.map(({ refundStatus }) => refundStatus)).toEqual(['close', 'success']);
    });

    it('never by less than a fresh word of the gateway, where the amount goes back', async () => {
      const refund = await unknownCase(service, clock);
      clock.advance(11 * MINUTE_MS);
      for (const command of ['close', 'acceptFailure'])
        expect((await anna.preview(refund.id, command)).body.detail).toContain('askFirst');
      await fault(service, 'http500', { outRefundNo: refund.refundNo });
      await sync(service, refund.id);
      // Not to be able to ask is no answer.
      expect((await anna.preview(refund.id, 'close')).body.detail).toContain('askFirst');
      await clearFaults(service);
      await sync(service, refund.id);
      expect((await anna.preview(refund.id, 'close')).httpStatus).toBe(200);
      await setTruth(service, refund, 'processing');
      await sync(service, refund.id);
      expect((await anna.preview(refund.id, 'close')).body.detail).toContain('gatewaySaysOtherwise');
      // A callback is no answer to a question either.
      await callBack(service, refund.refundNo, { status: 'closed' });
      await callbacksWorkedOn(service);
      expect((await anna.preview(refund.id, 'close')).body.detail).toContain('gatewaySaysOtherwise');
    });
  });

  describe('that change', () => {
    it('under two operators at once are settled by one of them', async () => {
      for (const [one, other] of [
        ['close', 'close'],
        ['close', 'acceptFailure'],
        ['acceptFailure', 'acceptFailure'],
      ] as const) {
        const refund = await unknownCase(service, clock);
        const shown = [await anna.preview(refund.id, one), await ben.preview(refund.id, other)] as const;
        const done = await Promise.all([anna.apply(refund.id, one, shown[0]), ben.apply(refund.id, other, shown[1])]);
        expect(done.map(({ httpStatus }) => httpStatus).sort()).toEqual([200, 409]);
        const lost = done.find(({ httpStatus }) => httpStatus === 409);
        expect(lost?.body.errors?.[0]?.field).toBe('preview');
        expect(await service.payment(refund.paymentId)).toMatchObject({ refundableBalance: 1000 });
        expect((await service.history(refund.id)).notifications).toHaveLength(1);
        expect((await audits(refund.id)).filter(({ action }) => action.startsWith('case.'))).toHaveLength(1);
      }
    });

    it('between preview and command are answered 409, whoever changed them and in whatever way', async () => {
      const changes: [string, (refund: StuckRefund) => Promise<unknown>][] = [
        [
          'another word of the gateway',
          async (refund) => {
            await setTruth(service, refund, 'failed');
            await sync(service, refund.id);
          },
        ],
        [
          'a callback, which makes the service ask',
          async (refund) => {
            await setTruth(service, refund, 'processing');
            await callBack(service, refund.refundNo, { status: 'success' });
            await callbacksWorkedOn(service);
          },
        ],
        ['another operator', (refund) => ben.settle(refund.id, 'acceptFailure')],
        [
          'another refund of the payment',
          (refund) => stuckRefund(service, { businessNo: refund.businessNo, amount: 10 }),
        ],
      ];
      for (const [what, change] of changes) {
        const refund = await unknownCase(service, clock);
        const shown = await anna.preview(refund.id, 'close');
        await change(refund);
        const { httpStatus, body } = await anna.apply(refund.id, 'close', shown);
        expect([httpStatus, body.errors?.[0]?.field], `${what}: ${body.detail}`).toEqual([
          409,
          expect.stringMatching(/^(preview|command)$/),
        ]);
        expect((await service.refund(refund.id)).status, what).not.toBe('close');
        expect(
          (await audits(refund.id)).map(({ action }) => action),
          what,
        ).not.toContain('case.close');
      }
    });

    it('in version alone are refused without a preview, too', async () => {
      const refund = await unknownCase(service, clock);
      const late = { command: 'close', note: 'late', expectedVersion: 0 };
      expect(await anna.call('POST', `/admin/refunds/${refund.id}/resolve`, late)).toMatchObject({
        httpStatus: 409,
        body: { errors: [{ field: 'expectedVersion' }] },
      });
    });

    it('by an answer that is on its way while a command is given: the answer is superseded', async () => {
      const refund = await unknownCase(service, clock);
      const shown = await anna.preview(refund.id, 'close');
      await fault(service, 'slow', { outRefundNo: refund.refundNo, slowMs: 300, count: 1 });
      const slow = sync(service, refund.id);
      await untilAsked(service, refund.refundNo);
      expect(await anna.apply(refund.id, 'close', shown)).toMatchObject({ httpStatus: 200 });
      await slow;
      const { syncs } = await service.history(refund.id);
      expect(syncs.slice(-3).map(({ operation, effect }) => [operation, effect])).toEqual([
        ['command', 'changed'],
        ['query', 'superseded'],
        ['query', 'unchanged'],
      ]);
      expect(await service.refund(refund.id)).toMatchObject({ status: 'close', version: 2 });
    });

    it('are not re-driven while somebody asks about them', async () => {
      const refund = await abnormalCase(service);
      await fault(service, 'slow', { outRefundNo: refund.refundNo, slowMs: 300, count: 1 });
      const shown = await anna.preview(refund.id, 'redrive', { redrive: { to: 'merchantAccount' } });
      const slow = sync(service, refund.id);
      await untilAsked(service, refund.refundNo);
      expect((await anna.apply(refund.id, 'redrive', shown)).httpStatus).toBe(409);
      await slow;
      expect(await service.refund(refund.id)).toMatchObject({ status: 'review', version: 1 });
      expect(await truth(service, refund.refundNo)).toMatchObject({ maxConcurrentCalls: 1 });
    });
  });

  it('about an answer that does not fit warn whoever accepts it', async () => {
    const refund = await stuckRefund(service, { gateway: 'success', gatewayAmount: 90 });
    await sync(service, refund.id);
    expect(await service.refund(refund.id)).toMatchObject({ status: 'review', reviewCode: 'contradiction' });
    const { body } = await anna.preview(refund.id, 'acceptSuccess');
    expect(body.preview?.warnings.join()).toContain('refunded 90 CNY');
  });

  it('are never decided by an answer that the gateway did not sign', async () => {
    const refund = await unknownCase(service, clock);
    const meddler = await Meddler.between(service);
    meddler.meddle = unsigned;
    await sync(service, refund.id);
    expect((await anna.preview(refund.id, 'close')).body.detail).toMatch(/notBelieved|askFirst/);
    await changeAccount(service, { config: { baseUrl: service.sandbox.url } });
    await meddler.close();
  });

  it('never leave a refund that nobody looks at, and one broken by hand is counted', async () => {
    const silent = service.app.get(SilentRefunds);
    expect(await silent.count()).toBe(0);
    const refund = await stuckRefund(service);
    const breaks: Partial<Refund>[] = [{ nextSyncAt: null }, { gatewayAccountId: null }];
    for (const broken of breaks) {
      const { nextSyncAt, gatewayAccountId } = await service.refund(refund.id);
      await service.db.read((manager) => manager.update(Refund, { id: refund.id }, broken));
      expect(await silent.count()).toBe(1);
      await service.db.read((manager) => manager.update(Refund, { id: refund.id }, { nextSyncAt, gatewayAccountId }));
      expect(await silent.count()).toBe(0);
    }
  });

  it('leave every invariant standing', () => assertInvariants(service, { now: clock.now() }));
});

describe('cases with REVIEW_FOUR_EYES', () => {
  const clock = new FakeClock();
  let service: TestService;
  let anna: Operator;
  let ben: Operator;
  beforeAll(async () => {
    vi.spyOn(Date, 'now').mockImplementation(() => clock.now().getTime());
    service = await startService({ clock, env: { REVIEW_FOUR_EYES: 'true', REVIEW_PROPOSAL_TTL: '2h' } });
    anna = await Operator.named(service, 'anna');
    ben = await Operator.named(service, 'ben');
  });
  afterAll(async () => {
    await service.close();
    vi.restoreAllMocks();
  });

  async function proposed(refundId: string, command: string, by = anna): Promise<string> {
    const { httpStatus, body } = await by.settle(refundId, command);
    expect([httpStatus, body.state], JSON.stringify(body)).toEqual([202, 'proposed']);
    return body.proposal?.id ?? '';
  }

  const proposals = async (refundId: string) =>
    (await anna.call('GET', `/admin/cases/${refundId}`)).body['proposals'] as Record<string, unknown>[];

  it('change nothing until somebody else confirms, and then exactly what was proposed', async () => {
    const refund = await unknownCase(service, clock);
    const id = await proposed(refund.id, 'close');
    expect(await service.refund(refund.id)).toMatchObject({ status: 'review', version: 1 });
    expect(await anna.proposal(refund.id, id, 'confirm')).toMatchObject({ httpStatus: 403 });
    expect(await proposals(refund.id)).toMatchObject([
      { id, state: 'open', command: 'close', proposedBy: 'token:anna', preview: { status: { to: 'close' } } },
    ]);

    const confirmed = await ben.proposal(refund.id, id, 'confirm', { note: 'checked' });
    expect(confirmed).toMatchObject({ httpStatus: 200, body: { state: 'applied', refund: { status: 'close' } } });
    expect(await proposals(refund.id)).toMatchObject([
      { id, state: 'confirmed', settledBy: 'token:ben', settleNote: 'checked' },
    ]);
    const entries = await service.db.read((manager) =>
      manager.find(AuditEntry, { where: { targetId: refund.id }, order: { id: 'ASC' } }),
    );
    expect(entries.filter(({ action }) => action.startsWith('case.'))).toMatchObject([
      { action: 'case.propose', actor: 'token:anna', after: { proposalId: id, command: 'close' } },
      { action: 'case.close', actor: 'token:ben', after: { proposalId: id, proposedBy: 'token:anna' } },
    ]);
    expect(await ben.proposal(refund.id, id, 'confirm')).toMatchObject({ httpStatus: 409 });
    const { body } = await anna.call('GET', `/admin/refunds/${refund.id}`);
    const story = (body['timeline'] as { type: string; entry: { action?: string } }[]).map(
      ({ type, entry }) => entry.action ?? type,
    );
    expect(story.slice(-6)).toEqual(['case.propose', 'command', 'repair', 'repair', 'notification', 'case.close']);
  });

  it('count one token as one operator, and the bootstrap token as one', async () => {
    const refund = await unknownCase(service, clock);
    const { httpStatus, body } = await service.admin<{ proposal: { id: string } }>(
      'POST',
      `/admin/refunds/${refund.id}/resolve`,
      { command: 'close', note: 'n', expectedVersion: 1 },
    );
    expect(httpStatus).toBe(202);
    const path = `/admin/cases/${refund.id}/proposals/${body.proposal.id}`;
    expect((await service.admin('POST', `${path}/confirm`, {})).httpStatus).toBe(403);
    expect((await anna.proposal(refund.id, body.proposal.id, 'confirm')).httpStatus).toBe(200);
  });

  it('have one open proposal each, which is rejected by others and withdrawn by who made it', async () => {
    const refund = await unknownCase(service, clock);
    const first = await proposed(refund.id, 'close');
    expect(await ben.settle(refund.id, 'acceptFailure')).toMatchObject({ httpStatus: 409 });
    expect(await anna.proposal(refund.id, first, 'reject', { note: 'no' })).toMatchObject({ httpStatus: 403 });
    expect(await ben.proposal(refund.id, first, 'withdraw')).toMatchObject({ httpStatus: 403 });
    expect(await ben.proposal(refund.id, first, 'reject')).toMatchObject({
      httpStatus: 400,
      body: { errors: [{ field: 'note' }] },
    });
    expect(await ben.proposal(refund.id, first, 'reject', { note: 'ask the bank' })).toMatchObject({
      httpStatus: 200,
      body: { state: 'rejected', settledBy: 'token:ben' },
    });
    const second = await proposed(refund.id, 'close', ben);
    expect(await ben.proposal(refund.id, second, 'withdraw')).toMatchObject({
      httpStatus: 200,
      body: { state: 'withdrawn' },
    });
    for (const what of ['confirm', 'reject', 'withdraw'])
      expect(await anna.proposal(refund.id, second, what, { note: 'late' })).toMatchObject({ httpStatus: 409 });
    expect(await anna.proposal(refund.id, '2124609641629716480', 'confirm')).toMatchObject({ httpStatus: 404 });
    const other = await unknownCase(service, clock);
    expect(await anna.proposal(other.id, second, 'confirm')).toMatchObject({ httpStatus: 404 });
    expect(await service.refund(refund.id)).toMatchObject({ status: 'review', version: 1 });
  });

  it('are void after their time, and make room for another', async () => {
    const refund = await unknownCase(service, clock);
    const first = await proposed(refund.id, 'close');
    clock.advance(2 * HOUR_MS + MINUTE_MS);
    await sync(service, refund.id);
    expect(await ben.proposal(refund.id, first, 'confirm')).toMatchObject({
      httpStatus: 409,
      body: { detail: 'proposal is expired' },
    });
    const second = await proposed(refund.id, 'close', ben);
    expect(await proposals(refund.id)).toMatchObject([
      { id: first, state: 'expired' },
      { id: second, state: 'open' },
    ]);
    expect(await anna.proposal(refund.id, second, 'confirm')).toMatchObject({ httpStatus: 200 });
  });

  it('want a fresh word of the gateway when they are confirmed, too', async () => {
    const refund = await unknownCase(service, clock);
    const id = await proposed(refund.id, 'close');
    clock.advance(11 * MINUTE_MS);
    expect((await ben.proposal(refund.id, id, 'confirm')).body.detail).toContain('askFirst');
    await sync(service, refund.id);
    expect(await ben.proposal(refund.id, id, 'confirm')).toMatchObject({ httpStatus: 200 });
  });

  it('are outdated when what was proposed is no longer what would be done', async () => {
    const refund = await unknownCase(service, clock);
    const id = await proposed(refund.id, 'close');
    await stuckRefund(service, { businessNo: refund.businessNo, amount: 10 });
    expect(await ben.proposal(refund.id, id, 'confirm')).toMatchObject({ httpStatus: 409 });
    expect(await proposals(refund.id)).toMatchObject([{ id, state: 'outdated', settledBy: 'token:ben' }]);
    expect(await service.refund(refund.id)).toMatchObject({ status: 'review', version: 1 });
    expect(await anna.proposal(refund.id, await proposed(refund.id, 'close', ben), 'confirm')).toMatchObject({
      httpStatus: 200,
    });
  });

  it('are confirmed once, however many do it at once', async () => {
    const carl = await Operator.named(service, 'carl');
    const refund = await unknownCase(service, clock);
    const id = await proposed(refund.id, 'close');
    const answers = await Promise.all([ben, carl, ben, carl].map((one) => one.proposal(refund.id, id, 'confirm')));
    expect(answers.map(({ httpStatus }) => httpStatus).sort()).toEqual([200, 409, 409, 409]);
    expect((await service.history(refund.id)).notifications).toHaveLength(1);
    expect(await service.payment(refund.paymentId)).toMatchObject({ refundableBalance: 1000 });
    // Whoever was too late has not made it outdated.
    expect(await proposals(refund.id)).toMatchObject([{ state: 'confirmed' }]);
  });

  it('do not keep the card of a re-drive: whoever confirms gives it', async () => {
    await settings(service, { defaultScript: [{ afterMs: 0, status: 'success' }], autoCallback: false });
    const card = { to: 'payerCard', bankCode: 'ICBC_DEBIT', accountNo: '6222029876543210987', holderName: 'Li Si' };
    const refund = await abnormalCase(service);
    const asked = await anna.settle(refund.id, 'redrive', { redrive: card });
    expect(asked.httpStatus).toBe(202);
    const id = asked.body.proposal?.id ?? '';
    for (const redrive of [undefined, { to: 'merchantAccount' }])
      expect(await ben.proposal(refund.id, id, 'confirm', { redrive })).toMatchObject({ httpStatus: 400 });
    expect(await ben.proposal(refund.id, id, 'confirm', { redrive: card })).toMatchObject({
      httpStatus: 200,
      body: { refund: { status: 'success' } },
    });
    expect(JSON.stringify([await proposals(refund.id), logLines])).not.toContain(card.accountNo);
  });

  it('let wait whoever wants to: that changes nothing', async () => {
    const refund = await abnormalCase(service);
    expect(await anna.settle(refund.id, 'keepWaiting')).toMatchObject({ httpStatus: 200, body: { state: 'applied' } });
  });

  it('leave every invariant standing', () => assertInvariants(service, { now: clock.now() }));
});
