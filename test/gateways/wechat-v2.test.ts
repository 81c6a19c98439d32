import { createPrivateKey, createPublicKey, generateKeyPairSync } from 'node:crypto';
import { request as httpRequest } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { makeCertificate, type Name } from '../../sandbox/certificate.js';
import { createSandbox, type Sandbox } from '../../sandbox/server.js';
import { parseConfig } from '../../src/gateway/config-schema.js';
import { GatewayAccountService } from '../../src/gateway/gateway-account.service.js';
import type { GatewayError } from '../../src/gateway/gateway.error.js';
import type { RefundOrder } from '../../src/gateway/gateway.port.js';
import type { Observation } from '../../src/gateway/observation.js';
import { wechatV2Config, type WechatV2Config } from '../../src/gateway/wechat-v2/wechat-v2.config.js';
import { wechatV2Gateway } from '../../src/gateway/wechat-v2/wechat-v2.gateway.js';
import { HOUR_MS } from '../../src/shared/clock.js';
import { gatewayErrorOf, probe, settingsFor } from '../support/connector-probe.js';
import { FakeClock } from '../support/fake-clock.js';
import { callbacksWorkedOn, storedCallbacks } from '../support/gateway.js';
import { flowOf } from '../support/gateway-flow.js';
import { assertInvariants } from '../support/invariants.js';
import { logLines, startService, type TestService } from '../support/service.js';
import { steer, type Json, type Steering } from '../support/steer.js';

const CHANNEL = 'wechat_pay';

const settingsOf = (sandbox: Sandbox): WechatV2Config => settingsFor(sandbox, wechatV2Gateway, { variant: 'v2' });

const ORDER: RefundOrder = {
  gatewayRequestNo: 'R1',
  gatewayRequestTime: null,
  gatewayRefundNo: null,
  outTradeNo: 'TRADE-1',
  gatewayPaymentNo: null,
  amountMinor: 100,
  paymentAmountMinor: 1000,
  currency: 'CNY',
  reason: '质量 <50%> & "so" ]]> + /',
  clientIp: null,
};

describe('the connector and the gateway’s wire', () => {
  let sandbox: Sandbox;
  let config: WechatV2Config;
  let gateway: Steering;
  beforeAll(async () => {
    sandbox = await createSandbox();
    config = settingsOf(sandbox);
    gateway = steer(sandbox, CHANNEL);
  });
  afterAll(() => sandbox.close());
  beforeEach(async () => void (await gateway.reset()));

  const { query, create } = probe(wechatV2Gateway, () => config, ORDER);
  const errorOf = (call: Promise<Observation>): Promise<GatewayError> =>
    gatewayErrorOf(call, new RegExp(`${config.apiKey}|PRIVATE KEY|sign=|<xml>`));

  it.each([
    ['success', { kind: 'success', amountMinor: 100, currency: 'CNY' }],
    ['failed', { kind: 'failed', code: 'REFUNDCLOSE' }],
    ['closed', { kind: 'failed', code: 'REFUNDCLOSE' }],
    ['abnormal', { kind: 'abnormal', raw: { code: 'CHANGE' } }],
    ['processing', { kind: 'processing' }],
    ['notFound', { kind: 'notFound', raw: { code: 'REFUNDNOTEXIST' } }],
  ])('a refund that is %s', async (status, expected) => {
    await gateway.refund('R1', 'TRADE-1', status);
    expect(await query()).toMatchObject({ authenticated: true, ...expected });
  });

  it.each(['MD5', 'HMAC-SHA256'] as const)('%s is understood in both directions', async (signType) => {
    const account = { ...config, signType };
    expect(await create({}, account)).toMatchObject({ kind: 'processing', authenticated: true });
    expect(await query({}, account)).toMatchObject({ kind: 'processing', authenticated: true });
  });

  it('a success has its time and its numbers, and nothing personal', async () => {
    await gateway.refund('R1', 'TRADE-1', 'success');
    const observation = await query();
    expect(observation).toMatchObject({
      identity: {
        gatewayRequestNo: 'R1',
        outTradeNo: 'TRADE-1',
        gatewayRefundNo: expect.stringMatching(/^50\d+$/) as string,
        gatewayPaymentNo: expect.stringMatching(/^4200\d+$/) as string,
        merchantId: config.mchId,
      },
    });
    const { finishedAt } = observation as { finishedAt: Date };
    expect(Math.abs(Date.now() - finishedAt.getTime())).toBeLessThan(60_000);
    expect(JSON.stringify(observation)).not.toContain('零钱');
  });

  it.each([
    ['reset', 'reset', 'reset'],
    ['http500', 'http_500', 'http_500'],
    ['malformed', 'malformed', 'malformed'],
    ['badSignature', 'bad_signature', 'bad_signature'],
    ['systemError', 'SYSTEMERROR', 'BIZERR_NEED_RETRY'],
    ['timeout', 'timeout', 'timeout'],
  ])('%s: a query is unavailable, a create ambiguous, and neither says more', async (kind, onQuery, onCreate) => {
    await gateway.refund('R1', 'TRADE-1', 'success');
    await gateway.fault(kind, { count: 1, operation: 'query' });
    expect(await errorOf(query({}, config, 300))).toMatchObject({ kind: 'unavailable', code: onQuery });
    await gateway.fault(kind, { count: 1, operation: 'create' });
    const error = await errorOf(create({ gatewayRequestNo: 'R2' }, config, 300));
    expect(error).toMatchObject({ kind: 'ambiguous', code: onCreate, nothingHappened: false });
    expect(await query()).toMatchObject({ kind: 'success' });
  });

  it('slow, http429, wrongAmount', async () => {
    await gateway.refund('R1', 'TRADE-1', 'success');
    await gateway.fault('slow', { slowMs: 50, count: 1 });
    expect(await query()).toMatchObject({ kind: 'success' });
    await gateway.fault('http429', { count: 2 });
    expect(await errorOf(query())).toMatchObject({ kind: 'rateLimited', retryAfterMs: 60_000 });
    expect(await errorOf(create())).toMatchObject({ kind: 'rateLimited' });
    await gateway.fault('wrongAmount', { count: 1 });
    expect(await query()).toMatchObject({ kind: 'success', amountMinor: 101 });
  });

  it('wrong settings are badConfig', async () => {
    for (const wrong of [{ apiKey: 'x'.repeat(32) }, { mchId: '1900000999' }, { appId: 'wx0' }]) {
      const account = { ...config, ...wrong };
      expect(await errorOf(query({}, account))).toMatchObject({ kind: 'badConfig', code: 'return_fail' });
      expect(await errorOf(create({}, account))).toMatchObject({ kind: 'badConfig', nothingHappened: false });
    }
    expect(await errorOf(query({}, { ...config, baseUrl: 'http://127.0.0.1:1' }))).toMatchObject({
      kind: 'unavailable',
    });
  });

  it.each([
    ['lostAnswer', 1],
    ['lostRequest', 0],
  ])('%s: the same content again makes the same refund, once', async (kind, afterFirst) => {
    await gateway.payment('TRADE-1');
    await gateway.fault(kind, { count: 1 });
    expect(await errorOf(create())).toMatchObject({ kind: 'ambiguous', code: 'reset' });
    expect(await gateway.truth('R1')).toMatchObject({ refundsAtGateway: afterFirst });
    if (afterFirst === 0) expect(await query()).toMatchObject({ kind: 'notFound' });
    expect(await create()).toMatchObject({ kind: 'processing' });
    expect(await gateway.truth('R1')).toMatchObject({
      api: 'v2',
      creates: 2,
      refundsAtGateway: 1,
      payment: { refundedAmount: 100 },
    });
  });

  it('refusals say what they prove', async () => {
    await gateway.payment('TRADE-1');
    await create();
    expect(await errorOf(create({ amountMinor: 50 }))).toMatchObject({
      kind: 'rejected',
      code: 'REFUND_FEE_MISMATCH',
      nothingHappened: false,
    });
    await gateway.fault('refused', { count: 1 });
    expect(await errorOf(create({ gatewayRequestNo: 'R2' }))).toMatchObject({
      kind: 'rejected',
      code: 'PARAM_ERROR',
      nothingHappened: true,
    });
    await gateway.settings({ signErrors: false, autoPayments: false });
    expect(await errorOf(create({ gatewayRequestNo: 'R3', outTradeNo: 'TRADE-9' }))).toMatchObject({
      kind: 'ambiguous',
      code: 'ORDERNOTEXIST',
    });
    expect(await query({ gatewayRequestNo: 'R9' })).toMatchObject({ kind: 'notFound', authenticated: false });
  });

  it('a service provider refunds and asks for its sub-merchant, whose refunds are its own', async () => {
    const partner = settingsFor(sandbox, wechatV2Gateway, { variant: 'partnerV2' });
    expect(wechatV2Gateway.merchantId(partner)).toBe('1900000200/1900000209');
    expect(await create({}, partner)).toMatchObject({
      kind: 'processing',
      identity: { merchantId: '1900000200/1900000209' },
    });
    expect(await query({}, partner)).toMatchObject({ kind: 'processing', authenticated: true });
    expect(await query()).toMatchObject({ kind: 'notFound' });
    const { subMchId: _sub, ...nameless } = partner;
    expect(await errorOf(query({}, nameless))).toMatchObject({ kind: 'badConfig', code: 'return_fail' });
  });

  describe('over TLS', () => {
    /** What stands before the real gateway: asks for the merchant's certificate, and passes on what its holder sends. */
    let door: Server;
    let authority: string;
    const seen: string[] = [];
    beforeAll(async () => {
      const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
      const name: Name = [['CN', 'localhost']];
      authority = makeCertificate({
        serial: 77n,
        issuer: name,
        subject: name,
        publicKey: createPublicKey(createPrivateKey(privateKey.export({ type: 'pkcs8', format: 'pem' }))),
        signingKey: privateKey,
      });
      door = createServer(
        {
          key: privateKey.export({ type: 'pkcs8', format: 'pem' }),
          cert: authority,
          requestCert: true,
          rejectUnauthorized: false,
        },
        (request, response) => {
          const certificate = (request.socket as TLSSocket).getPeerCertificate();
          const holder = String(certificate.subject?.CN ?? 'nobody');
          seen.push(`${holder} ${request.url ?? ''}`);
          if (holder === 'nobody' && request.url?.startsWith('/secapi/')) {
            response.writeHead(400, { 'Content-Type': 'text/html' });
            response.end('<html><head><title>400 No required SSL certificate was sent</title></head></html>');
            return;
          }
          const { hostname, port } = new URL(sandbox.url);
          const onward = { hostname, port, method: request.method, path: request.url, headers: request.headers };
          request.pipe(
            httpRequest(onward, (incoming) => {
              response.writeHead(incoming.statusCode ?? 502, incoming.headers);
              incoming.pipe(response);
            }),
          );
        },
      );
      await new Promise<void>((resolve) => door.listen(0, '127.0.0.1', resolve));
    });
    afterAll(() => {
      door.closeAllConnections();
      door.close();
    });
    const secure = (): WechatV2Config => ({
      ...config,
      caCertificate: authority,
      baseUrl: `https://localhost:${(door.address() as AddressInfo).port}`,
    });

    it('the merchant’s certificate is shown to whoever asks', async () => {
      expect(await create({}, secure())).toMatchObject({ kind: 'processing' });
      expect(await query({}, secure())).toMatchObject({ kind: 'processing' });
      expect(seen.slice(-2)).toEqual([`${config.mchId} /secapi/pay/refund`, `${config.mchId} /pay/refundquery`]);
    });

    it('without it queries go on, and what nginx says to a create is a setting that is missing', async () => {
      await gateway.refund('R1', 'TRADE-1', 'success');
      const { clientCertificate: _certificate, clientKey: _key, ...bare } = secure();
      expect(await query({}, bare)).toMatchObject({ kind: 'success' });
      expect(seen.at(-1)).toBe('nobody /pay/refundquery');
      const half = { ...bare, clientCertificate: config.clientCertificate ?? '' };
      expect(await errorOf(create({}, half))).toMatchObject({ kind: 'badConfig', code: 'http_400' });
    });

    it('a certificate that nobody vouches for is not trusted', async () => {
      const { caCertificate: _authority, ...distrusting } = secure();
      expect(await errorOf(query({}, distrusting))).toMatchObject({ kind: 'unavailable', code: 'tls' });
    });

    it('certificate and key must be a pair', () => {
      const stranger = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
      const clientKey = stranger.export({ type: 'pkcs8', format: 'pem' }).toString();
      expect(parseConfig(wechatV2Config, { ...config, clientKey }).faults).toEqual([
        { field: 'clientCertificate', fault: 'does not belong to clientKey' },
      ]);
    });
  });
});

describe('through the whole service', () => {
  const ACCOUNT = 'wechat-v2';
  const clock = new FakeClock();
  let service: TestService;
  let gateway: Steering;
  let flow: ReturnType<typeof flowOf>;
  beforeAll(async () => {
    service = await startService({ clock, env: { REQ_TIME_WINDOW_S: '0' }, policy: { timeoutMs: 1_000 } });
    gateway = steer(service.sandbox, CHANNEL);
    flow = flowOf(service, gateway, CHANNEL, ACCOUNT);
    await service.app.get(GatewayAccountService).put(ACCOUNT, {
      channel: CHANNEL,
      sandbox: true,
      config: { ...settingsOf(service.sandbox), notifyUrl: flow.callbackUrl('wechat') },
    });
    await gateway.settings({ defaultScript: [{ afterMs: 0, status: 'processing' }] });
  });
  afterAll(async () => {
    await assertInvariants(service, { now: clock.now() });
    expect(logLines.join('\n')).not.toContain(settingsOf(service.sandbox).apiKey);
    await service.close();
  });
  afterEach(() => gateway.clearFaults());

  const succeed = async (id: string): Promise<void> => {
    const { outTradeNo } = await gateway.truth(id);
    await gateway.refund(id, String(outTradeNo), 'success');
  };

  it('an account says by itself which API it uses; both have one channel and one callback address', async () => {
    const { body } = await service.admin<Json>('GET', '/admin/gateway-accounts');
    const items = (body.items ?? body) as Json[];
    expect(items.find(({ id }) => id === ACCOUNT)).toMatchObject({
      channel: CHANNEL,
      gateway: 'wechat',
      merchantId: '1900000100',
      callbackPath: `/callback/wechat/${ACCOUNT}`,
      settings: expect.arrayContaining(['apiVersion', 'apiKey', 'clientCertificate']) as string[],
    });
    expect(JSON.stringify(body)).not.toContain(settingsOf(service.sandbox).apiKey);
    const wrong = await service.admin<Json>('PUT', '/admin/gateway-accounts/wrong', {
      channel: CHANNEL,
      config: { apiVersion: 'v2', mchId: '1' },
    });
    expect(wrong.httpStatus).toBe(400);
    expect(JSON.stringify(wrong.body)).toMatch(/config\.appId.*config\.apiKey/);
  });

  it('a stuck refund is repaired by one signed request', async () => {
    const { id, refundNo, paymentId } = await flow.followed('success');
    const { data } = await service.merchant.syncRefund({ refundNo });
    expect(data).toMatchObject({ gatewayStatus: 'refund_success', success: true, repair: true });
    expect(await service.refund(id)).toMatchObject({
      status: 'success',
      gatewayRefundNo: expect.stringMatching(/^50/) as string,
    });
    expect(await service.payment(paymentId)).toMatchObject({ refundableBalance: 900 });
  });

  it.each([
    ['closed', 'fail'],
    ['abnormal', 'review'],
    ['processing', 'progress'],
    ['notFound', 'progress'],
  ])('%s at the gateway: %s here', async (status, expected) => {
    const { id } = await flow.followed(status);
    await flow.look(id);
    expect(await service.refund(id)).toMatchObject({ status: expected, reserved: expected !== 'fail' });
  });

  it('not found for a day is closed where the account says so: the answer is signed and says nothing else', async () => {
    const accounts = service.app.get(GatewayAccountService);
    const config = { ...settingsOf(service.sandbox) } as unknown as Json;
    await accounts.put('wechat-v2-closing', { channel: CHANNEL, config, notFoundPolicy: 'close' });
    const { id, paymentId } = await flow.followed('unknown', { gatewayAccountId: 'wechat-v2-closing' });
    for (let count = 0; count < 5; count += 1) await flow.look(id);
    expect(await service.refund(id)).toMatchObject({ status: 'progress', notFoundCount: 5 });
    clock.advance(25 * HOUR_MS);
    await flow.look(id);
    expect(await service.refund(id)).toMatchObject({ status: 'close', reserved: false });
    expect(await service.payment(paymentId)).toMatchObject({ refundableBalance: 1000 });
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

  it('another amount than was asked for is for a person', async () => {
    const { id } = await flow.followed('success');
    await gateway.fault('wrongAmount');
    await flow.look(id);
    expect(await service.refund(id)).toMatchObject({ status: 'review' });
  });

  describe('a refund that the service makes', () => {
    /** Of two accounts of a channel the payment names one; the create below does so through the payment. */
    const gone = async (id: string, creates: number): Promise<void> => {
      expect(await gateway.truth(id)).toMatchObject({ creates, refundsAtGateway: 1, payment: { refundedAmount: 100 } });
    };

    it('is accepted, and proven by the query', async () => {
      const { id, status } = await flow.created();
      expect(status).toBe('progress');
      expect(await service.refund(id)).toMatchObject({ createState: 'acknowledged', createAttempts: 1 });
      await succeed(id);
      await flow.look(id);
      expect(await service.refund(id)).toMatchObject({ status: 'success' });
      await gone(id, 1);
    });

    it('whose answer is lost is found by the query, and not sent twice', async () => {
      await gateway.fault('lostAnswer', { count: 1 });
      const { id } = await flow.created();
      expect(await service.refund(id)).toMatchObject({ status: 'progress', createState: 'unknown' });
      await flow.look(id);
      expect(await service.refund(id)).toMatchObject({ createState: 'acknowledged' });
      await gone(id, 1);
    });

    it('that never arrived is sent again, the very same, and happens once', async () => {
      await gateway.fault('lostRequest', { count: 1 });
      const { id } = await flow.created();
      const { createPayload } = await service.refund(id);
      expect(createPayload).toContain('"refund_fee":"100"');
      await flow.look(id);
      expect(await service.refund(id)).toMatchObject({ createState: 'acknowledged', createPayload });
      await gone(id, 2);
    });

    it('whose request is lost and whose repeat’s answer is lost happens once', async () => {
      await gateway.fault('lostRequest', { count: 1 });
      const { id } = await flow.created();
      await gateway.fault('lostAnswer', { count: 1 });
      await flow.look(id);
      expect(await service.refund(id)).toMatchObject({ createState: 'unknown', createAttempts: 2 });
      await flow.look(id);
      expect(await service.refund(id)).toMatchObject({ createState: 'acknowledged' });
      await gone(id, 2);
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
      expect(await gateway.truth(id)).toMatchObject({ refundsAtGateway: 0 });
    });

    it('that is refused when it is repeated has not failed', async () => {
      await gateway.fault('lostRequest', { count: 1 });
      const { id } = await flow.created();
      await gateway.fault('refused', { count: 1 });
      await flow.look(id);
      expect(await service.refund(id)).toMatchObject({ status: 'progress', createState: 'unknown', createAttempts: 2 });
      await flow.look(id);
      await succeed(id);
      await flow.look(id);
      expect(await service.refund(id)).toMatchObject({ status: 'success' });
      await gone(id, 3);
    });
  });

  describe('callbacks', () => {
    it('make the service ask, and the answer repairs', async () => {
      const { id } = await flow.created();
      await succeed(id);
      await expect.poll(async () => (await storedCallbacks(service, { gatewayRequestNo: id })).length).toBe(1);
      await callbacksWorkedOn(service);
      expect(await service.refund(id)).toMatchObject({ status: 'success' });
      await expect
        .poll(() => gateway.truth(id))
        .toMatchObject({ queries: 1, callbacksSent: 1, callbacksAcknowledged: 1 });
      const [record] = await storedCallbacks(service, { gatewayRequestNo: id });
      expect(record).toMatchObject({ gateway: 'wechat', eventType: 'REFUND.SUCCESS', refundId: id, state: 'done' });
      expect(JSON.stringify(record)).not.toContain('零钱');
      const { syncs } = await service.history(id);
      expect(syncs.at(-1)).toMatchObject({ source: 'callback', result: 'success' });
    });

    it('that lie change nothing: their cipher proves too little', async () => {
      const { id, refundNo } = await flow.followed('processing', {}, { api: 'v2' });
      const answer = await gateway.callBack(refundNo, flow.callbackUrl('wechat'), { status: 'success' });
      expect(answer).toMatchObject({ status: 200, acknowledged: true });
      await callbacksWorkedOn(service);
      expect(await service.refund(id)).toMatchObject({ status: 'progress' });
      expect(await gateway.truth(refundNo)).toMatchObject({ queries: 1 });
    });

    it('that come twice are stored once, whatever their nonce', async () => {
      const { id, refundNo } = await flow.followed('success', {}, { api: 'v2' });
      for (let count = 0; count < 2; count += 1) await gateway.callBack(refundNo, flow.callbackUrl('wechat'));
      expect((await storedCallbacks(service, { gatewayRequestNo: refundNo })).map((row) => row.deliveries)).toEqual([
        2,
      ]);
      await callbacksWorkedOn(service);
      expect(await service.refund(id)).toMatchObject({ status: 'success' });
    });

    it.each(['signature', 'ciphertext', 'tag', 'nonce', 'timestamp', 'probe', 'serial', 'truncated'])(
      'whose %s is not right are refused, and leave nothing',
      async (tamper) => {
        const { id, refundNo } = await flow.followed('success', {}, { api: 'v2' });
        const answer = await gateway.callBack(refundNo, flow.callbackUrl('wechat'), { tamper });
        expect(answer).toMatchObject({ status: 401, acknowledged: false });
        expect(String(answer.body)).toContain('FAIL');
        expect(await storedCallbacks(service, { gatewayRequestNo: refundNo })).toEqual([]);
        expect(await service.refund(id)).toMatchObject({ status: 'progress' });
        expect(await gateway.truth(refundNo)).toMatchObject({ queries: 0 });
      },
    );

    it('of a service provider are taken at its account, and at no other', async () => {
      const id = 'wechat-v2-partner';
      const partner = flowOf(service, gateway, CHANNEL, id);
      const notifyUrl = partner.callbackUrl('wechat');
      const config = settingsFor(service.sandbox, wechatV2Gateway, { variant: 'partnerV2', more: { notifyUrl } });
      await service.app.get(GatewayAccountService).put(id, { channel: CHANNEL, sandbox: true, config: { ...config } });
      const made = await partner.created();
      await succeed(made.id);
      await expect.poll(async () => (await storedCallbacks(service, { gatewayRequestNo: made.id })).length).toBe(1);
      await callbacksWorkedOn(service);
      expect(await service.refund(made.id)).toMatchObject({ status: 'success' });
      const [record] = await storedCallbacks(service, { gatewayRequestNo: made.id });
      expect(record).toMatchObject({ gatewayAccountId: id });
      expect(record?.observation.identity.merchantId).toBe('1900000200/1900000209');
      expect(await gateway.callBack(made.id, flow.callbackUrl('wechat'))).toMatchObject({ status: 401 });
    });

    it('of the other API are refused at this account, and those of this one there', async () => {
      const newer = await flow.followed('success');
      const v3 = await gateway.callBack(newer.refundNo, flow.callbackUrl('wechat'));
      expect(v3).toMatchObject({ status: 401 });
      const older = await flow.followed('success', {}, { api: 'v2' });
      const v2 = await gateway.callBack(older.refundNo, `${service.url}/callback/wechat/sandbox-wechat`);
      expect(v2).toMatchObject({ status: 401 });
      expect(await storedCallbacks(service, { gatewayRequestNo: newer.refundNo })).toEqual([]);
      expect(await storedCallbacks(service, { gatewayRequestNo: older.refundNo })).toEqual([]);
    });
  });
});
