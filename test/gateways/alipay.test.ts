import { createPrivateKey, generateKeyPairSync, sign } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { AlipayConfig } from '../../src/gateway/alipay/alipay.config.js';
import { alipayGateway } from '../../src/gateway/alipay/alipay.gateway.js';
import { GatewayAccountService } from '../../src/gateway/gateway-account.service.js';
import type { Observation } from '../../src/gateway/observation.js';
import { HOUR_MS } from '../../src/shared/clock.js';
import { createSandbox, type Sandbox } from '../../sandbox/server.js';
import { uniqueNo } from '../support/builders.js';
import { gatewayErrorOf, probe, settingsFor } from '../support/connector-probe.js';
import { FakeClock } from '../support/fake-clock.js';
import { callbacksWorkedOn, storedCallbacks } from '../support/gateway.js';
import { flowOf, type Flow } from '../support/gateway-flow.js';
import { assertInvariants } from '../support/invariants.js';
import { startService, type TestService } from '../support/service.js';
import { steer, type Json, type Steering } from '../support/steer.js';

const CHANNEL = 'ali_pay';

function settingsOf(sandbox: Sandbox, variant?: 'certificates'): AlipayConfig {
  return settingsFor(sandbox, alipayGateway, variant === undefined ? {} : { variant });
}

describe('the connector and the gateway’s wire', () => {
  let sandbox: Sandbox;
  let config: AlipayConfig;
  let gateway: Steering;
  beforeAll(async () => {
    sandbox = await createSandbox();
    config = settingsOf(sandbox);
    gateway = steer(sandbox, CHANNEL);
  });
  afterAll(() => sandbox.close());
  beforeEach(() => gateway.reset());

  const { order, query, create } = probe(alipayGateway, () => config, {
    gatewayRequestNo: 'R1',
    gatewayRequestTime: null,
    gatewayRefundNo: null,
    outTradeNo: 'T1',
    gatewayPaymentNo: null,
    amountMinor: 100,
    paymentAmountMinor: 1000,
    currency: 'CNY',
    reason: '质量 50% & "so" + /',
    clientIp: null,
  });
  const errorOf = (call: Promise<Observation>) => gatewayErrorOf(call, /MII|BEGIN|sign=|biz_content/);

  it.each([
    ['success', { kind: 'success', amountMinor: 100, currency: 'CNY', gatewayRefundNo: null }],
    ['failed', { kind: 'failed', code: 'REFUND_FAILED_BY_SANDBOX' }],
    // The product has one word; of all these it says nothing.
    ['processing', { kind: 'notFound', authenticated: true }],
    ['closed', { kind: 'notFound', authenticated: true }],
    ['abnormal', { kind: 'notFound', authenticated: true }],
    ['notFound', { kind: 'notFound', authenticated: true }],
  ])('a refund that is %s', async (status, expected) => {
    await gateway.refund('R1', 'T1', status);
    expect(await query()).toMatchObject(expected);
  });

  it('a success has its time, and echoes what was asked', async () => {
    await gateway.refund('R1', 'T1', 'success');
    const observation = await query();
    expect(observation).toMatchObject({
      authenticated: true,
      identity: {
        gatewayRequestNo: 'R1',
        outTradeNo: 'T1',
        gatewayPaymentNo: expect.stringMatching(/^\d{28}$/) as string,
      },
      raw: { code: 'REFUND_SUCCESS', body: { total_amount: '10.00', trace_id: expect.any(String) as string } },
    });
    const { finishedAt } = observation as { finishedAt: Date };
    expect(Math.abs(Date.now() - finishedAt.getTime())).toBeLessThan(60_000);
    const byNumber = await query({
      gatewayPaymentNo: observation.identity.gatewayPaymentNo ?? '',
      outTradeNo: 'GUESSED',
    });
    expect(byNumber).toMatchObject({ kind: 'success', identity: { outTradeNo: 'T1' } });
  });

  it('a payment that the gateway does not have is not found', async () => {
    expect(await query()).toMatchObject({
      kind: 'notFound',
      authenticated: true,
      raw: { code: 'ACQ.TRADE_NOT_EXIST' },
    });
    await gateway.settings({ signErrors: false });
    expect(await query()).toMatchObject({ kind: 'notFound', authenticated: false });
  });

  it('certificate mode speaks and is understood as well', async () => {
    const certified = settingsOf(sandbox, 'certificates');
    await gateway.payment('T1');
    expect(await create({}, certified)).toMatchObject({ kind: 'processing', authenticated: true });
    await gateway.refund('R1', 'T1', 'success');
    expect(await query({}, certified)).toMatchObject({ kind: 'success' });
    await gateway.fault('badSignature', { count: 1 });
    expect(await errorOf(query({}, certified))).toMatchObject({ code: 'bad_signature' });
  });

  it.each([
    ['reset', 'reset'],
    ['http500', 'http_500'],
    ['malformed', 'malformed'],
    ['badSignature', 'bad_signature'],
    ['systemError', 'ACQ.SYSTEM_ERROR'],
    ['timeout', 'timeout'],
  ])('%s: a query is unavailable, a create ambiguous, and neither says more', async (kind, code) => {
    await gateway.refund('R1', 'T1', 'success');
    await gateway.fault(kind, { count: 1, operation: 'query' });
    expect(await errorOf(query({}, config, 300))).toMatchObject({ kind: 'unavailable', code });
    await gateway.fault(kind, { count: 1, operation: 'create' });
    const error = await errorOf(create({ gatewayRequestNo: 'R2' }, config, 300));
    expect(error).toMatchObject({ kind: 'ambiguous', code, nothingHappened: false });
    expect(await query()).toMatchObject({ kind: 'success' });
  });

  it('20000 is a system error too', async () => {
    await gateway.refund('R1', 'T1', 'success');
    await gateway.fault('systemError', { count: 2 });
    await errorOf(query());
    expect(await errorOf(query())).toMatchObject({ kind: 'unavailable', code: 'aop.unknow-error' });
  });

  it('slow: an answer in time is an answer', async () => {
    await gateway.refund('R1', 'T1', 'success');
    await gateway.fault('slow', { slowMs: 100 });
    expect(await query()).toMatchObject({ kind: 'success' });
  });

  it('http429: slow down', async () => {
    await gateway.refund('R1', 'T1', 'success');
    await gateway.fault('http429');
    expect(await errorOf(query())).toMatchObject({ kind: 'rateLimited', retryAfterMs: 60_000 });
    expect(await errorOf(create())).toMatchObject({ kind: 'rateLimited' });
  });

  it('wrongAmount: the amount is what the gateway said, for the service to compare', async () => {
    await gateway.refund('R1', 'T1', 'success');
    await gateway.fault('wrongAmount');
    expect(await query()).toMatchObject({ kind: 'success', amountMinor: 101 });
  });

  it('a caller that gives up ends the call', async () => {
    await gateway.refund('R1', 'T1', 'success');
    await gateway.fault('timeout');
    const caller = new AbortController();
    setTimeout(() => caller.abort(), 100);
    const call = { config, order: order(), signal: caller.signal, timeoutMs: 10_000 };
    expect(await errorOf(alipayGateway.queryRefund(call))).toMatchObject({ kind: 'unavailable', code: 'aborted' });
    await expect.poll(async () => (await gateway.truth('R1')).activeCalls).toBe(0);
  });

  it('nobody listens', async () => {
    const away = { ...config, gatewayUrl: 'http://127.0.0.1:1/gateway.do' };
    expect(await errorOf(query({}, away))).toMatchObject({ kind: 'unavailable' });
    expect(await errorOf(create({}, away))).toMatchObject({ kind: 'ambiguous' });
  });

  it('an answer that never ends is left', async () => {
    const endless = createServer((_request, response) => {
      const timer = setInterval(() => response.write(' '.repeat(32 * 1024)), 1);
      response.once('close', () => clearInterval(timer));
    });
    await new Promise<void>((resolve) => endless.listen(0, '127.0.0.1', resolve));
    const { port } = endless.address() as AddressInfo;
    const gatewayUrl = `http://127.0.0.1:${port}/gateway.do`;
    expect(await errorOf(query({}, { ...config, gatewayUrl }))).toMatchObject({
      kind: 'unavailable',
      code: 'too_large',
    });
    endless.closeAllConnections();
    endless.close();
  });

  it('wrong settings are badConfig, whichever way the gateway says so', async () => {
    await gateway.refund('R1', 'T1', 'success');
    const stranger = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
    const privateKey = stranger.export({ type: 'pkcs8', format: 'pem' }).toString();
    // signed by the gateway, and not
    expect(await errorOf(query({}, { ...config, privateKey }))).toMatchObject({
      kind: 'badConfig',
      code: 'isv.invalid-signature',
    });
    expect(await errorOf(create({}, { ...config, appId: '2021999999999999' }))).toMatchObject({
      kind: 'badConfig',
      code: 'isv.invalid-app-id',
      nothingHappened: false,
    });
  });

  it('a create that moves money is accepted, not proven; the query proves it', async () => {
    await gateway.payment('T1');
    await gateway.settings({ defaultScript: [{ afterMs: 0, status: 'success' }] });
    const created = await create();
    expect(created).toMatchObject({ kind: 'processing', raw: { code: 'fund_change=Y', body: { refund_fee: '1.00' } } });
    expect(JSON.stringify(created)).not.toContain('sandbox.test');
    expect(await create()).toMatchObject({ kind: 'processing', raw: { code: 'fund_change=N' } });
    expect(await query()).toMatchObject({ kind: 'success', amountMinor: 100 });
  });

  it.each([
    ['lostAnswer', 1],
    ['lostRequest', 0],
  ])('%s: the same payload again makes the same refund, once', async (kind, afterFirst) => {
    await gateway.payment('T1');
    await gateway.fault(kind, { count: 1 });
    expect(await errorOf(create())).toMatchObject({ kind: 'ambiguous', code: 'reset' });
    expect(await gateway.truth('R1')).toMatchObject({ refundsAtGateway: afterFirst });
    if (afterFirst === 0) expect(await query()).toMatchObject({ kind: 'notFound' });
    expect(await create()).toMatchObject({ kind: 'processing' });
    expect(await gateway.truth('R1')).toMatchObject({
      creates: 2,
      refundsAtGateway: 1,
      payment: { refundedAmount: 100 },
    });
  });

  it('refusals say what they prove', async () => {
    await gateway.payment('T1', { amount: 150 });
    await create();
    // The same number with another amount may have been carried out.
    expect(await errorOf(create({ amountMinor: 50 }))).toMatchObject({
      kind: 'rejected',
      code: 'ACQ.DISCORDANT_REPEAT_REQUEST',
      nothingHappened: false,
    });
    expect(await errorOf(create({ gatewayRequestNo: 'R2' }))).toMatchObject({
      kind: 'rejected',
      code: 'ACQ.REFUND_AMT_NOT_EQUAL_TOTAL',
      nothingHappened: true,
    });
    await gateway.settings({ signErrors: false });
    expect(await errorOf(create({ gatewayRequestNo: 'R3' }))).toMatchObject({
      kind: 'rejected',
      nothingHappened: false,
    });
  });
});

describe('through the whole service', () => {
  const ACCOUNT = 'sandbox-alipay';
  const clock = new FakeClock();
  let service: TestService;
  let gateway: Steering;
  let flow: Flow;
  beforeAll(async () => {
    service = await startService({ clock, env: { REQ_TIME_WINDOW_S: '0' }, policy: { timeoutMs: 1_000 } });
    gateway = steer(service.sandbox, CHANNEL);
    flow = flowOf(service, gateway, CHANNEL, ACCOUNT);
    await gateway.settings({ defaultScript: [{ afterMs: 0, status: 'success' }] });
  });
  afterAll(async () => {
    await assertInvariants(service, { now: clock.now() });
    await service.close();
  });
  afterEach(() => gateway.clearFaults());

  const callbackUrl = (): string => flow.callbackUrl('alipay');

  it('a stuck refund is repaired by one signed request', async () => {
    const { id, refundNo, paymentId } = await flow.followed('success');
    const { data } = await service.merchant.syncRefund({ refundNo });
    expect(data).toMatchObject({ gatewayStatus: 'refund_success', success: true, repair: true });
    const refund = await service.refund(id);
    expect(refund).toMatchObject({ status: 'success', gatewayRefundNo: null });
    expect(Math.abs(Date.now() - (refund.refundTime?.getTime() ?? 0))).toBeLessThan(60_000);
    expect(await service.payment(paymentId)).toMatchObject({ refundableBalance: 900 });
  });

  it('an answer without a status concludes nothing, and the next one repairs', async () => {
    const { id, refundNo, businessNo } = await flow.followed('processing');
    const { data } = await service.merchant.syncRefund({ refundNo });
    expect(data).toMatchObject({ gatewayStatus: 'pay_not_found', repair: false });
    expect(await service.refund(id)).toMatchObject({ status: 'progress', notFoundCount: 1 });
    await gateway.refund(refundNo, businessNo, 'success');
    expect((await service.merchant.syncRefund({ refundNo })).data).toMatchObject({ repair: true });
  });

  it('not found for a day is for a person, also where the account’s policy is to close: it may have failed, or not', async () => {
    const accounts = service.app.get(GatewayAccountService);
    const account = settingsOf(service.sandbox) as unknown as Json;
    await accounts.put('alipay-closing', { channel: CHANNEL, config: account, notFoundPolicy: 'close' });
    const { id } = await flow.followed('unknown', { gatewayAccountId: 'alipay-closing' });
    for (let count = 0; count < 5; count += 1) await flow.look(id);
    expect(await service.refund(id)).toMatchObject({ status: 'progress', notFoundCount: 5 });
    clock.advance(25 * HOUR_MS);
    await flow.look(id);
    expect(await service.refund(id)).toMatchObject({ status: 'review', reserved: true });
  });

  it('another amount than was asked for is for a person', async () => {
    const { id } = await flow.followed('success');
    await gateway.fault('wrongAmount');
    await flow.look(id);
    expect(await service.refund(id)).toMatchObject({ status: 'review' });
  });

  it.each(['badSignature', 'malformed', 'systemError', 'http500', 'reset', 'timeout'])(
    '%s concludes nothing; the next answer repairs',
    async (kind) => {
      const { id } = await flow.followed('success');
      await gateway.fault(kind, { count: 1 });
      await flow.look(id);
      expect(await service.refund(id)).toMatchObject({ status: 'progress', notFoundCount: 0 });
      await flow.look(id);
      expect(await service.refund(id)).toMatchObject({ status: 'success' });
    },
  );

  it('a refund that the service makes is sent under its id, and proven by the query', async () => {
    const { id, status, paymentId } = await flow.created();
    expect(status).toBe('progress');
    expect(await service.refund(id)).toMatchObject({
      status: 'progress',
      createState: 'acknowledged',
      createAttempts: 1,
    });
    expect(await gateway.truth(id)).toMatchObject({ status: 'success', amount: 100, creates: 1 });
    await flow.look(id);
    expect(await service.refund(id)).toMatchObject({ status: 'success' });
    expect(await service.payment(paymentId)).toMatchObject({ refundableBalance: 900 });
  });

  it('whose answer is lost is found by the query, and not sent twice', async () => {
    await gateway.fault('lostAnswer', { count: 1 });
    const { id } = await flow.created();
    expect(await service.refund(id)).toMatchObject({ status: 'progress', createState: 'unknown' });
    await flow.look(id);
    expect(await service.refund(id)).toMatchObject({ status: 'success' });
    expect(await gateway.truth(id)).toMatchObject({ creates: 1, refundsAtGateway: 1 });
  });

  it('that never arrived is sent again, the very same, and happens once', async () => {
    await gateway.fault('lostRequest', { count: 1 });
    const { id } = await flow.created();
    const { createPayload } = await service.refund(id);
    expect(createPayload).toContain('"refund_amount":"1.00"');
    await flow.look(id);
    expect(await service.refund(id)).toMatchObject({ status: 'progress', createState: 'acknowledged', createPayload });
    await flow.look(id);
    expect(await service.refund(id)).toMatchObject({ status: 'success' });
    expect(await gateway.truth(id)).toMatchObject({
      creates: 2,
      refundsAtGateway: 1,
      payment: { refundedAmount: 100 },
    });
  });

  it('that the gateway refuses at the first send, signed, has failed, and the amount is free again', async () => {
    await gateway.fault('refused', { count: 1 });
    const { id, paymentId } = await flow.created();
    expect(await service.refund(id)).toMatchObject({
      status: 'fail',
      createState: 'refused',
      errorCode: 'ACQ.INVALID_PARAMETER',
    });
    expect(await service.payment(paymentId)).toMatchObject({ refundableBalance: 1000 });
  });

  it('that is refused without a signature, or when it is repeated, has not failed', async () => {
    await gateway.settings({ signErrors: false });
    const unsigned = await flow.created({ amount: 50 });
    expect(await service.refund(unsigned.id)).toMatchObject({ status: 'progress', createState: 'unknown' });
    await gateway.settings({ signErrors: true });

    await gateway.fault('lostRequest', { count: 1 });
    const repeated = await flow.created();
    await gateway.fault('refused', { count: 1 });
    await flow.look(repeated.id);
    expect(await service.refund(repeated.id)).toMatchObject({
      status: 'progress',
      createState: 'unknown',
      createAttempts: 2,
    });
    await flow.look(repeated.id);
    await flow.look(repeated.id);
    expect(await service.refund(repeated.id)).toMatchObject({ status: 'success' });
  });

  it('that Alipay took and then says nothing of is sent again, the very same, three times, and then a person is asked', async () => {
    await gateway.settings({ defaultScript: [{ afterMs: 0, status: 'processing' }] });
    const { id } = await flow.created();
    const { createPayload } = await service.refund(id);
    expect(await service.refund(id)).toMatchObject({ createState: 'acknowledged', createAttempts: 1 });
    await flow.look(id);
    expect(await gateway.truth(id)).toMatchObject({ creates: 1 });
    for (let creates = 2; creates <= 4; creates += 1) {
      clock.advance(HOUR_MS / 5);
      await flow.look(id);
      expect(await gateway.truth(id)).toMatchObject({ creates, refundsAtGateway: 1 });
      expect(await service.refund(id)).toMatchObject({ createState: 'acknowledged', createPayload, leaseToken: null });
    }
    for (let looks = 0; looks < 5; looks += 1) {
      clock.advance(HOUR_MS / 5);
      await flow.look(id);
    }
    expect(await gateway.truth(id)).toMatchObject({ creates: 4, refundsAtGateway: 1 });
    clock.advance(25 * HOUR_MS);
    await flow.look(id);
    expect(await service.refund(id)).toMatchObject({ status: 'review', reserved: true });
    await gateway.settings({ defaultScript: [{ afterMs: 0, status: 'success' }] });
  });

  it('a callback makes the service ask, and the answer repairs', async () => {
    const { id, status } = await flow.created({ notifyUrl: callbackUrl() });
    expect(status).toBe('progress');
    await expect.poll(async () => (await storedCallbacks(service, { gatewayRequestNo: id })).length).toBe(1);
    await callbacksWorkedOn(service);
    expect(await service.refund(id)).toMatchObject({ status: 'success' });
    expect(await gateway.truth(id)).toMatchObject({ queries: 1, callbacksSent: 1, callbacksAcknowledged: 1 });
    const [record] = await storedCallbacks(service, { gatewayRequestNo: id });
    expect(record).toMatchObject({ eventType: 'trade_status_sync.TRADE_SUCCESS', refundId: id, state: 'done' });
    expect(JSON.stringify(record)).not.toMatch(/buyer|sandbox\.test|测试/);
    const { syncs } = await service.history(id);
    expect(syncs.at(-1)).toMatchObject({ source: 'callback', result: 'success' });
  });

  it('a callback that came twice is stored once', async () => {
    const { id, refundNo, businessNo } = await flow.followed('processing');
    await gateway.fault('duplicateCallback', { count: 1 });
    await gateway.refund(refundNo, businessNo, 'success', { notifyUrl: callbackUrl() });
    await expect
      .poll(async () => (await storedCallbacks(service, { gatewayRequestNo: refundNo })).map((row) => row.deliveries))
      .toEqual([2]);
    await callbacksWorkedOn(service);
    expect(await service.refund(id)).toMatchObject({ status: 'success' });
  });

  it.each(['signature', 'ciphertext', 'tag', 'nonce', 'timestamp', 'probe', 'serial', 'truncated'])(
    'a callback whose %s is not right is refused, and leaves nothing',
    async (tamper) => {
      const { id, refundNo } = await flow.followed('success');
      expect(await gateway.callBack(refundNo, callbackUrl(), { tamper })).toMatchObject({ status: 400, body: 'fail' });
      expect(await storedCallbacks(service, { gatewayRequestNo: refundNo })).toEqual([]);
      expect(await service.refund(id)).toMatchObject({ status: 'progress' });
    },
  );

  it('a notice that is about no refund is acknowledged and leaves nothing; a refund’s before its registration waits', async () => {
    const alipay = generateKeyPairSync('rsa', {
      modulusLength: 2048,
      privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
      publicKeyEncoding: { type: 'spki', format: 'pem' },
    });
    const { alipayPublicKey: _ours, ...account } = settingsOf(service.sandbox);
    const id = 'alipay-own';
    await service.app.get(GatewayAccountService).put(id, {
      channel: CHANNEL,
      config: { ...account, alipayPublicKey: alipay.publicKey },
    });
    const post = async (form: Record<string, string>): Promise<[number, string]> => {
      const text = Object.keys(form)
        .sort()
        .map((name) => `${name}=${form[name]}`)
        .join('&');
      const signature = sign('RSA-SHA256', Buffer.from(text), createPrivateKey(alipay.privateKey)).toString('base64');
      const response = await fetch(`${service.url}/callback/alipay/${id}`, {
        method: 'POST',
        headers: { 'content-type': 'application/x-www-form-urlencoded; charset=utf-8' },
        body: new URLSearchParams({ ...form, sign_type: 'RSA2', sign: signature }),
      });
      return [response.status, await response.text()];
    };
    const unpaid = {
      notify_id: uniqueNo('N'),
      app_id: account.appId,
      seller_id: account.sellerId ?? '',
      notify_type: 'trade_status_sync',
      trade_status: 'TRADE_CLOSED',
      out_trade_no: 'P-UNPAID',
      subject: '测试',
    };
    expect(await post(unpaid)).toEqual([200, 'success']);
    expect(await storedCallbacks(service, { gatewayAccountId: id })).toEqual([]);
    const refunded = { ...unpaid, notify_id: uniqueNo('N'), out_biz_no: 'R-EARLY', refund_fee: '1.00' };
    expect(await post(refunded)).toEqual([200, 'success']);
    await expect
      .poll(async () => (await storedCallbacks(service, { gatewayAccountId: id })).map(({ state }) => state))
      .toEqual(['unmatched']);
    expect(await post({ ...refunded, notify_id: uniqueNo('N'), app_id: '2021999999999999' })).toEqual([400, 'fail']);
  });

  it('certificate mode is a setting like any other', async () => {
    const config = settingsOf(service.sandbox, 'certificates') as unknown as Json;
    await service.app.get(GatewayAccountService).put('alipay-certificates', { channel: CHANNEL, config });
    const { id } = await flow.followed('success', { gatewayAccountId: 'alipay-certificates' });
    await flow.look(id);
    expect(await service.refund(id)).toMatchObject({ status: 'success' });
  });
});
