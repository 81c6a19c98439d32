import { inspect } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createSandbox, type Sandbox } from '../../sandbox/server.js';
import { GatewayAccountService } from '../../src/gateway/gateway-account.service.js';
import { GatewayCaller } from '../../src/gateway/gateway.caller.js';
import type { GatewayError } from '../../src/gateway/gateway.error.js';
import type { RedriveTarget, RefundOrder } from '../../src/gateway/gateway.port.js';
import type { Observation } from '../../src/gateway/observation.js';
import type { WechatConfig } from '../../src/gateway/wechat/wechat.config.js';
import { wechatGateway } from '../../src/gateway/wechat/wechat.gateway.js';
import { HOUR_MS } from '../../src/shared/clock.js';
import { gatewayErrorOf, probe, settingsFor } from '../support/connector-probe.js';
import { FakeClock } from '../support/fake-clock.js';
import { callbacksWorkedOn, storedCallbacks } from '../support/gateway.js';
import { flowOf } from '../support/gateway-flow.js';
import { assertInvariants } from '../support/invariants.js';
import { logLines, startService, WECHAT_ACCOUNT, type TestService } from '../support/service.js';
import { steer, type Json, type Steering } from '../support/steer.js';

const CHANNEL = 'wechat_pay';
const ORDER: RefundOrder = {
  gatewayRequestNo: 'R1',
  gatewayRequestTime: null,
  gatewayRefundNo: null,
  outTradeNo: 'TRADE-1',
  gatewayPaymentNo: null,
  amountMinor: 100,
  paymentAmountMinor: 1000,
  currency: 'CNY',
  reason: '质量 50% & "so"',
  clientIp: null,
};
const CARD: RedriveTarget = {
  to: 'payerCard',
  bankCode: 'ICBC_DEBIT',
  accountNo: '6222021234567890123',
  holderName: '张三丰',
};

/** How often the list of certificates was asked for since the last reset. */
async function lists(sandbox: Sandbox): Promise<number> {
  const response = await fetch(`${sandbox.url}/control/stats`);
  const { channels } = (await response.json()) as { channels: Record<string, { certificateLists: number }> };
  return channels[CHANNEL]?.certificateLists ?? NaN;
}

describe('the connector and the gateway’s wire', () => {
  let sandbox: Sandbox;
  let config: WechatConfig;
  let gateway: Steering;
  beforeAll(async () => {
    sandbox = await createSandbox();
    gateway = steer(sandbox, CHANNEL);
  });
  afterAll(() => sandbox.close());
  beforeEach(async () => {
    await gateway.reset();
    // Another object each time: what an account has learnt is kept by it.
    config = settingsFor(sandbox, wechatGateway);
  });

  const { query, create, order } = probe(wechatGateway, () => config, ORDER);
  const errorOf = (call: Promise<Observation>): Promise<GatewayError> =>
    gatewayErrorOf(call, new RegExp(`${config.apiV3Key}|PRIVATE KEY|WECHATPAY2|Authorization`));
  const redrive = (target: RedriveTarget, over: Partial<RefundOrder> = {}, timeoutMs = 5_000): Promise<Observation> =>
    wechatGateway.redrive?.({ config, order: order(over), signal: new AbortController().signal, timeoutMs }, target) ??
    Promise.reject(new Error('none'));

  /** An account that has moved to the public key, and one that has not. */
  const byCertificate = (): WechatConfig => {
    const { publicKeyId: _id, publicKey: _key, ...older } = config;
    return older;
  };

  it.each([
    ['success', { kind: 'success', amountMinor: 100, currency: 'CNY' }],
    ['failed', { kind: 'failed', code: 'CLOSED' }],
    ['closed', { kind: 'failed', code: 'CLOSED' }],
    ['abnormal', { kind: 'abnormal', raw: { code: 'ABNORMAL' } }],
    ['processing', { kind: 'processing' }],
    ['notFound', { kind: 'notFound', raw: { code: 'RESOURCE_NOT_EXISTS' } }],
  ])('a refund that is %s, in public-key and in certificate mode', async (status, expected) => {
    await gateway.refund('R1', 'TRADE-1', status);
    expect(await query()).toMatchObject({ authenticated: true, ...expected });
    expect(await query({}, byCertificate())).toMatchObject({ authenticated: true, ...expected });
  });

  it.each([
    ['reset', 'reset'],
    ['http500', 'SYSTEM_ERROR'],
    ['malformed', 'malformed'],
    ['badSignature', 'bad_signature'],
    ['systemError', 'SYSTEM_ERROR'],
    ['timeout', 'timeout'],
  ])('%s: a query is unavailable, a create ambiguous, and neither says more', async (kind, code) => {
    await gateway.refund('R1', 'TRADE-1', 'success');
    await gateway.fault(kind, { count: 1, operation: 'query' });
    expect(await errorOf(query({}, config, 300))).toMatchObject({ kind: 'unavailable', code });
    await gateway.fault(kind, { count: 1, operation: 'create' });
    expect(await errorOf(create({ gatewayRequestNo: 'R2' }, config, 300))).toMatchObject({
      kind: 'ambiguous',
      code,
      nothingHappened: false,
    });
    expect(await query()).toMatchObject({ kind: 'success' });
  });

  it('a refusal proves something only when it is signed', async () => {
    const wrong = { ...config, subMchId: '1900000209' };
    expect(await errorOf(create({}, wrong))).toMatchObject({ code: 'PARAM_ERROR', nothingHappened: true });
    await gateway.settings({ signErrors: false });
    expect(await errorOf(create({}, wrong))).toMatchObject({
      kind: 'rejected',
      code: 'PARAM_ERROR',
      nothingHappened: false,
    });
    expect(await query({ gatewayRequestNo: 'R9' })).toMatchObject({ kind: 'notFound', authenticated: false });
  });

  it('http429 and wrong settings', async () => {
    await gateway.fault('http429', { count: 1 });
    expect(await errorOf(query())).toMatchObject({ kind: 'rateLimited', retryAfterMs: 60_000 });
    expect(await errorOf(query({}, { ...config, mchId: '1900000999' }))).toMatchObject({ kind: 'badConfig' });
    expect(await errorOf(create({}, { ...config, serialNo: 'ABCDEF0123456789' }))).toMatchObject({
      kind: 'badConfig',
      nothingHappened: false,
    });
  });

  describe('when the platform certificate changes', () => {
    it('an answer under the new one costs one look at the list, and is believed', async () => {
      await gateway.refund('R1', 'TRADE-1', 'success');
      const account = byCertificate();
      await query({}, account);
      const { serial, replacedSerial } = await gateway.post('/certificates');
      expect(Object.keys(account.platformCertificates ?? {})).toEqual([replacedSerial]);
      expect(serial).not.toBe(replacedSerial);
      for (let count = 0; count < 3; count += 1)
        expect(await query({}, account)).toMatchObject({ kind: 'success', authenticated: true });
      expect(await lists(sandbox)).toBe(1);
    });

    it('creates and refusals under the new one are believed as well', async () => {
      const account = byCertificate();
      await gateway.post('/certificates');
      expect(await create({}, account)).toMatchObject({ kind: 'processing', authenticated: true });
      expect(await query({ gatewayRequestNo: 'R9' }, account)).toMatchObject({ kind: 'notFound', authenticated: true });
      expect(await lists(sandbox)).toBe(1);
    });

    it('within five minutes of one look there is no second, and what cannot be proven says why', async () => {
      await gateway.refund('R1', 'TRADE-1', 'success');
      const account = byCertificate();
      await gateway.post('/certificates');
      await query({}, account);
      await gateway.post('/certificates');
      const error = await errorOf(query({}, account));
      expect(error).toMatchObject({ kind: 'unavailable', code: 'bad_signature' });
      expect(error.message).toContain('signed with a key that is not configured');
      expect(await lists(sandbox)).toBe(1);
    });

    it('an account with another APIv3 key opens none of them', async () => {
      await gateway.refund('R1', 'TRADE-1', 'success');
      await gateway.post('/certificates');
      const account = { ...byCertificate(), apiV3Key: 'x'.repeat(32) };
      // Its own settings are of before the change.
      account.platformCertificates = { '5ABCDEF0': Object.values(account.platformCertificates ?? {})[0] ?? '' };
      expect((await errorOf(query({}, account))).message).toContain('none that the apiV3Key opens');
    });

    it('an account with the public key notices nothing', async () => {
      await gateway.refund('R1', 'TRADE-1', 'success');
      await gateway.post('/certificates');
      expect(await query()).toMatchObject({ kind: 'success' });
      expect(await lists(sandbox)).toBe(0);
    });
  });

  describe('a service provider', () => {
    const asPartner = (): WechatConfig => settingsFor(sandbox, wechatGateway, { variant: 'partner' });

    it('refunds and asks for its sub-merchant, whose refunds are its own', async () => {
      const partner = asPartner();
      expect(wechatGateway.merchantId(partner)).toBe('1900000200/1900000209');
      expect(await create({}, partner)).toMatchObject({ kind: 'processing', authenticated: true });
      expect(await query({}, partner)).toMatchObject({ kind: 'processing' });
      // The direct merchant of the same sandbox has no such refund.
      expect(await query()).toMatchObject({ kind: 'notFound' });
    });

    it('that names no sub-merchant, or a direct merchant that names one, is refused', async () => {
      const { subMchId: _sub, ...nameless } = asPartner();
      expect(await errorOf(query({}, nameless))).toMatchObject({ kind: 'rejected', code: 'PARAM_ERROR' });
      expect(await errorOf(create({}, { ...config, subMchId: '1900000209' }))).toMatchObject({
        kind: 'rejected',
        code: 'PARAM_ERROR',
      });
    });
  });

  describe('an abnormal refund', () => {
    it.each<[string, RedriveTarget]>([
      ['the merchant’s account', { to: 'merchantAccount' }],
      ['another card', CARD],
    ])('goes on its way again, to %s', async (_, target) => {
      await gateway.settings({ defaultScript: [{ afterMs: 0, status: 'success' }] });
      const { gatewayRefundNo } = await gateway.refund('R1', 'TRADE-1', 'abnormal');
      expect(await query()).toMatchObject({ kind: 'abnormal', gatewayRefundNo });
      const observation = await redrive(target, { gatewayRefundNo });
      expect(observation).toMatchObject({ kind: 'success', authenticated: true });
      expect(JSON.stringify(observation)).not.toMatch(/6222|张三丰|0403/);
      expect(await query()).toMatchObject({ kind: 'success' });
      expect(await gateway.truth('R1')).toMatchObject({ redrives: 1, refundsAtGateway: 1 });
    });

    it('encrypts the card for the certificate of the moment too', async () => {
      const { gatewayRefundNo } = await gateway.refund('R1', 'TRADE-1', 'abnormal');
      config = byCertificate();
      await gateway.post('/certificates');
      await query();
      expect(await redrive(CARD, { gatewayRefundNo })).toMatchObject({ authenticated: true });
    });

    it('that is not abnormal is refused, and a lost answer leaves its outcome open', async () => {
      const { gatewayRefundNo } = await gateway.refund('R1', 'TRADE-1', 'processing');
      const refused = await errorOf(redrive(CARD, { gatewayRefundNo }));
      expect(refused).toMatchObject({ kind: 'rejected', code: 'INVALID_REQUEST' });
      expect(inspect(refused, { depth: 9 })).not.toMatch(/6222|张三丰/);
      expect(await errorOf(redrive(CARD, { gatewayRefundNo: '5099' }))).toMatchObject({
        kind: 'rejected',
        code: 'RESOURCE_NOT_EXISTS',
      });
      await gateway.fault('timeout');
      expect(await errorOf(redrive(CARD, { gatewayRefundNo }, 200))).toMatchObject({
        kind: 'ambiguous',
        code: 'timeout',
      });
    });
  });
});

describe('through the whole service', () => {
  const PARTNER = 'wechat-partner';
  const clock = new FakeClock();
  let service: TestService;
  let gateway: Steering;
  let flow: ReturnType<typeof flowOf>;
  let partner: ReturnType<typeof flowOf>;
  beforeAll(async () => {
    service = await startService({ clock, env: { REQ_TIME_WINDOW_S: '0' }, policy: { timeoutMs: 1_000 } });
    gateway = steer(service.sandbox, CHANNEL);
    flow = flowOf(service, gateway, CHANNEL, WECHAT_ACCOUNT);
    partner = flowOf(service, gateway, CHANNEL, PARTNER);
    await account(PARTNER, settingsFor(service.sandbox, wechatGateway, { variant: 'partner' }), partner);
    await gateway.settings({ defaultScript: [{ afterMs: 0, status: 'processing' }] });
  });
  afterAll(async () => {
    await assertInvariants(service, { now: clock.now() });
    const logged = logLines.join('\n');
    for (const secret of [settingsFor(service.sandbox, wechatGateway).apiV3Key, 'PRIVATE KEY', '6222021234567890123'])
      expect(logged).not.toContain(secret);
    await service.close();
  });
  afterEach(async () => {
    await gateway.clearFaults();
    await gateway.settings({ signErrors: true, callbackKey: 'auto' });
  });

  async function account(id: string, config: object, of = flow): Promise<void> {
    const settings = { ...config, notifyUrl: of.callbackUrl('wechat') } as Json;
    await service.app.get(GatewayAccountService).put(id, { channel: CHANNEL, sandbox: true, config: settings });
  }

  const succeed = async (id: string): Promise<void> => {
    const { outTradeNo } = await gateway.truth(id);
    await gateway.refund(id, String(outTradeNo), 'success');
  };

  it.each([
    ['success', 'success'],
    ['closed', 'fail'],
    ['abnormal', 'review'],
    ['processing', 'progress'],
    ['notFound', 'progress'],
  ])('%s at the gateway: %s here', async (status, expected) => {
    const { id } = await flow.followed(status);
    await flow.look(id);
    expect(await service.refund(id)).toMatchObject({ status: expected, reserved: expected !== 'fail' });
  });

  it('not found shortly after the create is found later, and nothing is sent twice', async () => {
    await gateway.fault('notFoundThenFound', { count: 2 });
    const { id } = await flow.created();
    expect(await service.refund(id)).toMatchObject({ createState: 'acknowledged' });
    await flow.look(id);
    await flow.look(id);
    expect(await service.refund(id)).toMatchObject({ status: 'progress', notFoundCount: 2 });
    await succeed(id);
    await flow.look(id);
    expect(await service.refund(id)).toMatchObject({ status: 'success' });
    expect(await gateway.truth(id)).toMatchObject({ creates: 1, refundsAtGateway: 1 });
  });

  describe('a refund that the service makes', () => {
    it.each([
      ['lostRequest', 2],
      ['lostAnswer', 1],
    ])('%s: exactly one refund at the gateway', async (kind, creates) => {
      await gateway.fault(kind, { count: 1 });
      const { id } = await flow.created();
      const { createPayload } = await service.refund(id);
      await flow.look(id);
      expect(await service.refund(id)).toMatchObject({ createState: 'acknowledged', createPayload });
      expect(await gateway.truth(id)).toMatchObject({ creates, refundsAtGateway: 1, payment: { refundedAmount: 100 } });
    });

    it('both lost, then refused when repeated: not failed, and exactly one', async () => {
      await gateway.fault('lostRequest', { count: 1 });
      const { id } = await flow.created();
      await gateway.fault('lostAnswer', { count: 1 });
      await flow.look(id);
      expect(await service.refund(id)).toMatchObject({ createState: 'unknown', createAttempts: 2 });
      await gateway.fault('refused', { count: 1 });
      await gateway.fault('notFoundThenFound', { count: 1 });
      await flow.look(id);
      expect(await service.refund(id)).toMatchObject({ status: 'progress' });
      await gateway.clearFaults();
      await flow.look(id);
      await succeed(id);
      await flow.look(id);
      expect(await service.refund(id)).toMatchObject({ status: 'success' });
      expect(await gateway.truth(id)).toMatchObject({ refundsAtGateway: 1, payment: { refundedAmount: 100 } });
    });

    it('that is refused at the first send, signed, has failed, and the amount is free again', async () => {
      await gateway.fault('refused', { count: 1 });
      const { id, paymentId } = await flow.created();
      expect(await service.refund(id)).toMatchObject({
        status: 'fail',
        createState: 'refused',
        errorCode: 'PARAM_ERROR',
      });
      expect(await service.payment(paymentId)).toMatchObject({ refundableBalance: 1000 });
    });
  });

  describe('a service provider', () => {
    it('has its refunds made, called back and proven as its sub-merchant’s', async () => {
      const { id } = await partner.created();
      await succeed(id);
      await expect.poll(async () => (await storedCallbacks(service, { gatewayRequestNo: id })).length).toBe(1);
      await callbacksWorkedOn(service);
      expect(await service.refund(id)).toMatchObject({ status: 'success' });
      const [record] = await storedCallbacks(service, { gatewayRequestNo: id });
      expect(record?.observation.identity.merchantId).toBe('1900000200/1900000209');
    });

    it('callbacks of another sub-merchant, or of the direct merchant, are refused at its account', async () => {
      const { id } = await flow.followed('success');
      const { refundNo } = await service.refund(id);
      expect(await gateway.callBack(refundNo, partner.callbackUrl('wechat'))).toMatchObject({ status: 401 });
      const own = await partner.created();
      await succeed(own.id);
      await callbacksWorkedOn(service);
      expect(await gateway.callBack(own.id, flow.callbackUrl('wechat'))).toMatchObject({ status: 401 });
      expect(await storedCallbacks(service, { gatewayAccountId: WECHAT_ACCOUNT, gatewayRequestNo: own.id })).toEqual(
        [],
      );
    });

    it('an account cannot change its sub-merchant: the refunds under it would not be found any more', async () => {
      const config = settingsFor(service.sandbox, wechatGateway, {
        variant: 'partner',
        more: { subMchId: '1900000210' },
      });
      await expect(account(PARTNER, config, partner)).rejects.toThrow(/1900000200\/1900000209/);
    });
  });

  it('an abnormal refund goes on its way again through the caller, and the next look settles it', async () => {
    const { id, refundNo, businessNo } = await flow.followed('abnormal');
    await flow.look(id);
    const refund = await service.refund(id);
    expect(refund).toMatchObject({ status: 'review', gatewayRefundNo: expect.stringMatching(/^50/) as string });
    const resolved = await service.app.get(GatewayAccountService).resolve(WECHAT_ACCOUNT);
    const order = {
      ...ORDER,
      gatewayRequestNo: refundNo,
      outTradeNo: businessNo,
      gatewayRefundNo: refund.gatewayRefundNo,
    };
    const observation = await service.app.get(GatewayCaller).redrive(resolved, order, CARD);
    expect(observation).toMatchObject({ kind: 'processing', authenticated: true });
    expect(await gateway.truth(refundNo)).toMatchObject({ redrives: 1, status: 'processing' });
  });

  describe('callbacks while certificates change', () => {
    const deliver = (refundNo: string) => gateway.callBack(refundNo, flow.callbackUrl('wechat'));
    const soon = { timeout: 3_000, interval: 20 };

    it('the first under a new one is refused and makes the service look; its repetition is believed; the old one too', async () => {
      const before = await lists(service.sandbox);
      await account(WECHAT_ACCOUNT, settingsFor(service.sandbox, wechatGateway));
      await gateway.post('/certificates');
      await gateway.settings({ callbackKey: 'certificate' });
      const first = await flow.followed('success');
      expect(await deliver(first.refundNo)).toMatchObject({ status: 401 });
      expect(await storedCallbacks(service, { gatewayRequestNo: first.refundNo })).toEqual([]);
      await expect.poll(async () => (await deliver(first.refundNo)).status, soon).toBe(200);
      await callbacksWorkedOn(service);
      expect(await service.refund(first.id)).toMatchObject({ status: 'success' });

      await gateway.settings({ callbackKey: 'replaced' });
      const second = await flow.followed('success');
      expect(await deliver(second.refundNo)).toMatchObject({ status: 200 });
      await gateway.settings({ callbackKey: 'publicKey' });
      const third = await flow.followed('success');
      expect(await deliver(third.refundNo)).toMatchObject({ status: 200 });
      await callbacksWorkedOn(service);
      expect(await lists(service.sandbox)).toBe(before + 1);
    });

    it('however many come under unknown numbers, the list is not asked for again', async () => {
      const before = await lists(service.sandbox);
      const { id, refundNo } = await flow.followed('success');
      for (let count = 0; count < 10; count += 1) {
        const forged = await gateway.callBack(refundNo, flow.callbackUrl('wechat'), { tamper: 'serial' });
        expect(forged).toMatchObject({ status: 401 });
      }
      expect(await lists(service.sandbox)).toBe(before);
      expect(await service.refund(id)).toMatchObject({ status: 'progress' });
      expect(await gateway.truth(refundNo)).toMatchObject({ queries: 0 });
    });
  });

  // The last one: callbacks carry the time, and here the service's clock leaves that of the gateway.
  it('an unsigned not-found closes nothing, whatever the account’s policy and however long it lasts', async () => {
    const config = settingsFor(service.sandbox, wechatGateway) as unknown as Json;
    await service.app
      .get(GatewayAccountService)
      .put('wechat-closing', { channel: CHANNEL, config, notFoundPolicy: 'close' });
    const { id } = await flow.followed('unknown', { gatewayAccountId: 'wechat-closing' });
    await gateway.settings({ signErrors: false });
    for (let count = 0; count < 5; count += 1) await flow.look(id);
    clock.advance(25 * HOUR_MS);
    await flow.look(id);
    expect(await service.refund(id)).toMatchObject({ status: 'review', reserved: true });
  });
});
