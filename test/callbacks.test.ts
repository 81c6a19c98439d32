import { createSandbox } from '../sandbox/server.js';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { GatewayAccountService } from '../src/gateway/gateway-account.service.js';
import { SECOND_MS } from '../src/shared/clock.js';
import { knownPayment, stuckRefund, uniqueNo } from './support/builders.js';
import { FakeClock } from './support/fake-clock.js';
import {
  callBack,
  callbacksWorkedOn,
  callbackUrl,
  caughtCallback,
  CHANNEL,
  clearFaults,
  deliver,
  fault,
  setTruth,
  settings,
  storedCallbacks,
  truth,
  wechatSettings,
  type WireCallback,
} from './support/gateway.js';
import { assertInvariants } from './support/invariants.js';
import { startService, WECHAT_ACCOUNT, type TestService } from './support/service.js';
import { rowCounts } from './support/tables.js';

const ACCEPTED = { status: 200, body: '{"code":"SUCCESS","message":"成功"}', acknowledged: true };
const REFUSED = { status: 401, body: '{"code":"FAIL","message":"验签失败"}' };

describe('a callback of the gateway', () => {
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

  /** Nothing may come of what `act` does: no row anywhere, no call to the gateway. */
  async function expectNothing(act: () => Promise<unknown>): Promise<void> {
    const rows = await rowCounts(service);
    const { queries } = await service.control<{ queries: number }>('/control/stats');
    await act();
    await callbacksWorkedOn(service);
    expect(await rowCounts(service)).toEqual(rows);
    expect(await service.control('/control/stats')).toMatchObject({ queries });
  }

  describe('that is genuine', () => {
    it.each([
      ['success', 'success', 'partial_refund', 900],
      ['closed', 'fail', 'success', 1000],
    ])(
      '%s ends the refund without a question, and is kept as evidence',
      async (told, status, paymentStatus, balance) => {
        const refund = await stuckRefund(service, { gateway: 'processing' });

        expect(await callBack(service, refund.refundNo, { status: told })).toMatchObject(ACCEPTED);
        await callbacksWorkedOn(service);

        expect(await service.refund(refund.id)).toMatchObject({ status, version: 1, nextSyncAt: null });
        expect(await service.payment(refund.paymentId)).toMatchObject({
          status: paymentStatus,
          refundableBalance: balance,
        });
        expect(await truth(service, refund.refundNo)).toMatchObject({ queries: 0 });
        const { syncs, repairs, notifications } = await service.history(refund.id);
        expect(syncs).toMatchObject([
          { source: 'callback', operation: 'callback', effect: 'changed', result: told === 'closed' ? 'failed' : told },
        ]);
        expect([repairs.length, notifications.length]).toEqual([2, 1]);
        expect(await storedCallbacks(service, { refundId: refund.id })).toMatchObject([
          {
            state: 'done',
            deliveries: 1,
            gateway: 'wechat',
            gatewayAccountId: WECHAT_ACCOUNT,
            outcome: syncs[0]?.explanation,
          },
        ]);
      },
    );

    it('finds a refund that the service sent under its own number', async () => {
      await settings(service, { defaultScript: [{ afterMs: 0, status: 'processing' }] });
      const { businessNo } = await knownPayment(service);
      const created = await service.merchant.call<{ refundId: string }>('/unipay/refund', {
        businessNo,
        refundAll: true,
        refundNo: uniqueNo('R'),
      });
      const id = created.data?.refundId ?? '';
      await callBack(service, id, { status: 'success' });
      await callbacksWorkedOn(service);
      expect(await service.refund(id)).toMatchObject({ status: 'success', createState: 'acknowledged' });
      expect(await truth(service, id)).toMatchObject({ queries: 0 });
    });

    it.each(['certificate', 'publicKey'])(
      'is taken under either of the keys that WeChat signs with: %s',
      async (callbackKey) => {
        await settings(service, { callbackKey });
        const refund = await stuckRefund(service, { gateway: 'success' });
        expect(await callBack(service, refund.refundNo)).toMatchObject(ACCEPTED);
        await callbacksWorkedOn(service);
        expect(await service.refund(refund.id)).toMatchObject({ status: 'success' });
        await settings(service, { callbackKey: 'auto' });
      },
    );

    it('abnormal is no verdict: the gateway is asked, and its answer decides', async () => {
      const agrees = await stuckRefund(service, { gateway: 'abnormal' });
      const differs = await stuckRefund(service, { gateway: 'processing' });
      for (const { refundNo } of [agrees, differs]) await callBack(service, refundNo, { status: 'abnormal' });
      await callbacksWorkedOn(service);
      expect(await service.refund(agrees.id)).toMatchObject({
        status: 'review',
        statusBeforeReview: 'progress',
        reserved: true,
      });
      expect(await service.refund(differs.id)).toMatchObject({ status: 'progress', version: 0 });
      for (const { refundNo } of [agrees, differs])
        expect(await truth(service, refundNo)).toMatchObject({ queries: 1 });
    });

    it('with another amount opens a case, fills in nothing and ends nothing', async () => {
      await settings(service, { autoCallback: true });
      const refund = await stuckRefund(service, { gateway: 'processing', callbackUrl: url });
      await fault(service, 'wrongAmount', { outRefundNo: refund.refundNo, operation: 'callback' });
      await setTruth(service, refund, 'success');
      await expect
        .poll(async () => (await storedCallbacks(service, { gatewayRequestNo: refund.refundNo })).length)
        .toBe(1);
      await callbacksWorkedOn(service);
      expect(await service.refund(refund.id)).toMatchObject({
        status: 'review',
        reviewReason: 'the gateway refunded 101 CNY, but 100 CNY was asked for',
        gatewayRefundNo: null,
        refundTime: null,
      });
      expect(await service.payment(refund.paymentId)).toMatchObject({ refundableBalance: 900, refundedAmount: 0 });
      await settings(service, { autoCallback: false });
    });

    it('is answered before it is worked on', async () => {
      const refund = await stuckRefund(service, { gateway: 'success' });
      let finish: () => void = () => undefined;
      const working = vi
        .spyOn(service.callbacks, 'process')
        .mockImplementation(() => new Promise((done) => (finish = done)));
      expect(await callBack(service, refund.refundNo)).toMatchObject(ACCEPTED);
      expect(await storedCallbacks(service, { gatewayRequestNo: refund.refundNo })).toMatchObject([
        { state: 'stored' },
      ]);
      working.mockRestore();
      finish();
      clock.advance(11 * SECOND_MS);
      await service.callbacks.processLeftBehind();
    });
  });

  describe('that is not proven to be genuine', () => {
    it.each(['signature', 'ciphertext', 'tag', 'nonce', 'timestamp', 'probe', 'serial', 'truncated'])(
      'for its %s is refused in the gateway’s form, and nothing comes of it',
      async (tamper) => {
        const refund = await stuckRefund(service, { gateway: 'success' });
        await expectNothing(async () => {
          expect(await callBack(service, refund.refundNo, { tamper })).toMatchObject({
            ...REFUSED,
            acknowledged: false,
          });
        });
        expect(await service.refund(refund.id)).toMatchObject({ status: 'progress', version: 0 });
        // The same event, untouched, is taken: it was the tampering.
        expect(await callBack(service, refund.refundNo)).toMatchObject(ACCEPTED);
        await callbacksWorkedOn(service);
        expect(await service.refund(refund.id)).toMatchObject({ status: 'success' });
      },
    );

    const FORGERIES: [string, (genuine: WireCallback) => WireCallback][] = [
      ['no body', ({ headers }) => ({ headers, body: '' })],
      ['no headers', ({ body }) => ({ headers: {}, body })],
      ['a space more', ({ headers, body }) => ({ headers, body: `${body} ` })],
      ['a time from the future', with_('wechatpay-timestamp', String(Math.floor(Date.now() / 1000) + 400))],
      ['a time that is none', with_('wechatpay-timestamp', 'NaN')],
      [
        'a time in hexadecimal',
        ({ headers, body }) =>
          with_('wechatpay-timestamp', `0x${Number(headers['wechatpay-timestamp']).toString(16)}`)({ headers, body }),
      ],
      ['an empty signature', with_('wechatpay-signature', '')],
      ['a serial of the merchant’s own', with_('wechatpay-serial', '5157F09EFDC096DE15EBE81A47057A7232F1B8E1')],
      ['a serial that is a property of every object', with_('wechatpay-serial', '__proto__')],
    ];

    function with_(name: string, value: string): (genuine: WireCallback) => WireCallback {
      return ({ headers, body }) => ({ headers: { ...headers, [name]: value }, body });
    }

    it.each(FORGERIES)('with %s is refused, and nothing comes of it', async (_what, forge) => {
      const refund = await stuckRefund(service, { gateway: 'success' });
      const genuine = await caughtCallback(service, refund.refundNo);
      await expectNothing(async () => {
        expect(await deliver(url, forge(genuine))).toMatchObject({
          ...REFUSED,
          contentType: expect.stringMatching(/^application\/json\b/) as string,
        });
      });
      expect(await deliver(url, genuine)).toMatchObject({ status: 200 });
    });

    it('six minutes old is refused, though it was genuine once', async () => {
      const refund = await stuckRefund(service, { gateway: 'success' });
      const genuine = await caughtCallback(service, refund.refundNo);
      const later = await startService({
        beside: service,
        clock: { now: () => new Date(Date.now() + 360 * SECOND_MS) },
      });
      await expectNothing(async () => {
        expect(await deliver(callbackUrl(later), genuine)).toMatchObject(REFUSED);
      });
      await later.close();
    });

    it('of another gateway’s keys is refused: a sandbox is not the sandbox of somebody else', async () => {
      const other = await createSandbox();
      const refund = await stuckRefund(service, { gateway: 'success' });
      const foreign = { ...service, sandbox: other, control: controlOf(other.url) };
      await setTruth(foreign, refund, 'success');
      const callback = await caughtCallback(foreign, refund.refundNo);
      await expectNothing(async () => {
        expect(await deliver(url, callback)).toMatchObject(REFUSED);
      });
      expect(await service.refund(refund.id)).toMatchObject({ status: 'progress' });
      await other.close();
    });

    it.each([
      ['/callback/wechat/nobody', 404],
      ['/callback/alipay/sandbox-wechat', 404],
      ['/callback/wechat', 404],
    ])('at an address that is nobody’s (%s) is not taken', async (path, status) => {
      const refund = await stuckRefund(service, { gateway: 'success' });
      const genuine = await caughtCallback(service, refund.refundNo);
      await expectNothing(async () => {
        expect(await deliver(`${service.url}${path}`, genuine)).toMatchObject({ status });
      });
    });
  });

  describe('that comes more than once', () => {
    it('is stored once and worked on once, however often and at how many doors', async () => {
      const refund = await stuckRefund(service, { gateway: 'success' });
      const second = await startService({ beside: service, clock });
      const callback = await caughtCallback(service, refund.refundNo);

      const answers = await Promise.all(
        Array.from({ length: 10 }, (_, index) => deliver(callbackUrl(index % 2 === 0 ? service : second), callback)),
      );
      await callbacksWorkedOn(service);
      await callbacksWorkedOn(second);

      expect(answers.map(({ status }) => status)).toEqual(Array(10).fill(200));
      expect(await storedCallbacks(service, { refundId: refund.id })).toMatchObject([
        { state: 'done', deliveries: 10 },
      ]);
      const { syncs, repairs, notifications } = await service.history(refund.id);
      expect([syncs.length, repairs.length, notifications.length]).toEqual([1, 2, 1]);
      expect(await truth(service, refund.refundNo)).toMatchObject({ queries: 0 });
      await second.close();
    });

    it('under a new event id is another event: it is stored, asks, and changes nothing', async () => {
      const refund = await stuckRefund(service, { gateway: 'success' });
      for (let event = 0; event < 3; event += 1) await callBack(service, refund.refundNo);
      await callbacksWorkedOn(service);
      expect(await storedCallbacks(service, { refundId: refund.id })).toHaveLength(3);
      expect(await service.refund(refund.id)).toMatchObject({ status: 'success', version: 1 });
    });
  });

  describe('for a refund that is not ours', () => {
    it('is kept as unmatched, causes no question, and the refund ends right once it is registered', async () => {
      const refundNo = uniqueNo('R');
      const businessNo = uniqueNo('P');
      await setTruth(service, { refundNo, businessNo }, 'success');
      const { queries } = await service.control<{ queries: number }>('/control/stats');

      expect(await callBack(service, refundNo)).toMatchObject(ACCEPTED);
      await callbacksWorkedOn(service);

      expect(await storedCallbacks(service, { gatewayRequestNo: refundNo })).toMatchObject([
        { state: 'unmatched', refundId: null, outcome: 'no refund with this number is known yet' },
      ]);
      expect(await service.control('/control/stats')).toMatchObject({ queries });
      const registered = await service.admin<{ id: string }>('POST', '/admin/refunds', {
        refundNo,
        channel: CHANNEL,
        amount: 100,
        payment: { businessNo, amount: 1000 },
      });
      clock.advance(2 * SECOND_MS);
      await service.sweeper.sweep();
      await service.idle();
      expect(await service.refund(registered.body.id)).toMatchObject({ status: 'success' });
    });

    it('at another account’s address touches nobody’s refund', async () => {
      await service.app
        .get(GatewayAccountService)
        .put('twin', { channel: CHANNEL, config: wechatSettings(service), appId: 'somebody-else' });
      const refund = await stuckRefund(service, { gateway: 'success', more: { gatewayAccountId: WECHAT_ACCOUNT } });

      expect(await callBack(service, refund.refundNo, { notifyUrl: callbackUrl(service, 'twin') })).toMatchObject(
        ACCEPTED,
      );
      await callbacksWorkedOn(service);

      expect(await storedCallbacks(service, { gatewayAccountId: 'twin' })).toMatchObject([
        { state: 'unmatched', refundId: null },
      ]);
      expect(await service.refund(refund.id)).toMatchObject({ status: 'progress' });
      // The same event at the right door is no repetition: accounts do not share event ids.
      expect(await callBack(service, refund.refundNo)).toMatchObject(ACCEPTED);
      await callbacksWorkedOn(service);
      expect(await service.refund(refund.id)).toMatchObject({ status: 'success' });
    });

    it('but another merchant’s, is a case for a person', async () => {
      const config = { ...wechatSettings(service), mchId: '1900009999' };
      const accounts = service.app.get(GatewayAccountService);
      await accounts.put('neighbour', { channel: CHANNEL, config });
      const refund = await stuckRefund(service, { gateway: 'success', more: { gatewayAccountId: 'neighbour' } });
      await callBack(service, refund.refundNo, { notifyUrl: callbackUrl(service, 'neighbour') });
      await callbacksWorkedOn(service);
      expect(await service.refund(refund.id)).toMatchObject({ status: 'review', gatewayRefundNo: null });
      expect((await service.refund(refund.id)).reviewReason).toContain('merchant id');
      await accounts.put('neighbour', { channel: CHANNEL, config, enabled: false });
    });

    it('but of another payment with the same refund number, is nobody’s', async () => {
      const refund = await stuckRefund(service, {
        gateway: 'success',
        more: { payment: { businessNo: uniqueNo('P'), amount: 1000 } },
      });
      await callBack(service, refund.refundNo);
      await callbacksWorkedOn(service);
      expect(await storedCallbacks(service, { gatewayRequestNo: refund.refundNo })).toMatchObject([
        { state: 'unmatched' },
      ]);
      expect(await service.refund(refund.id)).toMatchObject({ status: 'progress' });
    });
  });

  describe('that was acknowledged by a process that died then', () => {
    async function leftBehind(): Promise<{ id: string; refundNo: string }> {
      const refund = await stuckRefund(service, { gateway: 'success' });
      const dead = vi.spyOn(service.callbacks, 'process').mockResolvedValueOnce();
      expect(await callBack(service, refund.refundNo)).toMatchObject(ACCEPTED);
      dead.mockRestore();
      expect(await storedCallbacks(service, { gatewayRequestNo: refund.refundNo })).toMatchObject([
        { state: 'stored' },
      ]);
      return refund;
    }

    it('is worked on after ten seconds, not before: its process may be at it', async () => {
      const refund = await leftBehind();
      clock.advance(8 * SECOND_MS);
      expect(await service.callbacks.processLeftBehind()).toBe(0);
      clock.advance(3 * SECOND_MS);
      expect(await service.callbacks.processLeftBehind()).toBe(1);
      expect(await service.refund(refund.id)).toMatchObject({ status: 'success', version: 1 });
      expect(await storedCallbacks(service, { refundId: refund.id })).toMatchObject([{ state: 'done' }]);
      expect(await service.callbacks.processLeftBehind()).toBe(0);
    });

    it('is repaired once, though two processes find it', async () => {
      const refund = await leftBehind();
      clock.advance(11 * SECOND_MS);
      const second = await startService({ beside: service, clock });
      await Promise.all([service.callbacks.processLeftBehind(), second.callbacks.processLeftBehind()]);
      await service.idle();
      await second.idle();
      expect(await service.refund(refund.id)).toMatchObject({ status: 'success', version: 1 });
      expect((await service.history(refund.id)).repairs).toHaveLength(2);
      await second.close();
    });

    it('waits behind no other that cannot be worked on', async () => {
      const stuck = await leftBehind();
      const [record] = await storedCallbacks(service, { gatewayRequestNo: stuck.refundNo });
      await service.db.read((manager) =>
        manager.query(`UPDATE refund SET gatewayAccountId = 'gone' WHERE id = '${stuck.id}'`),
      );
      await service.db.read((manager) =>
        manager.query(`UPDATE callback_record SET gatewayAccountId = 'gone' WHERE id = '${record?.id}'`),
      );
      const refund = await leftBehind();
      clock.advance(11 * SECOND_MS);
      expect(await service.callbacks.processLeftBehind()).toBe(2);
      expect(await service.refund(refund.id)).toMatchObject({ status: 'success' });
      expect(await service.refund(stuck.id)).toMatchObject({ status: 'progress' });
      // Mended by hand, it is worked on at last.
      for (const table of ['refund', 'callback_record'])
        await service.db.read((manager) =>
          manager.query(`UPDATE ${table} SET gatewayAccountId = '${WECHAT_ACCOUNT}' WHERE gatewayAccountId = 'gone'`),
        );
      expect(await service.callbacks.processLeftBehind()).toBe(0);
      clock.advance(11 * SECOND_MS);
      expect(await service.callbacks.processLeftBehind()).toBe(1);
      expect(await service.refund(stuck.id)).toMatchObject({ status: 'success' });
    });
  });

  it('leaves every invariant standing', () => assertInvariants(service, { now: clock.now() }));
});

function controlOf(url: string): TestService['control'] {
  return async <T>(path: string, body?: unknown) => {
    const response = await fetch(`${url}${path}`, { method: 'POST', body: JSON.stringify(body) });
    return (await response.json()) as T;
  };
}
