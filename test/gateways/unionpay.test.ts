import { createPrivateKey } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createSandbox, type Sandbox } from '../../sandbox/server.js';
import type { Observation } from '../../src/gateway/observation.js';
import type { UnionpayConfig } from '../../src/gateway/unionpay/unionpay.config.js';
import { unionpayGateway } from '../../src/gateway/unionpay/unionpay.gateway.js';
import { messageText, signMessage } from '../../src/gateway/unionpay/unionpay.signature.js';
import { GatewayAccountService } from '../../src/gateway/gateway-account.service.js';
import { addMs, HOUR_MS } from '../../src/shared/clock.js';
import vectors from '../vectors/unionpay.json' with { type: 'json' };
import { uniqueNo } from '../support/builders.js';
import { gatewayErrorOf, probe, settingsFor } from '../support/connector-probe.js';
import { FakeClock } from '../support/fake-clock.js';
import { callbacksWorkedOn, storedCallbacks } from '../support/gateway.js';
import { flowOf, type Created, type Flow } from '../support/gateway-flow.js';
import { assertInvariants } from '../support/invariants.js';
import { startService, type TestService } from '../support/service.js';
import { steer, type Json, type Steering } from '../support/steer.js';

const CHANNEL = 'union_pay';
const NOTIFY_URL = 'http://127.0.0.1:1/callback';
/** queryId of a payment. */
const PAYMENT = '012401051658420000001';
const R1 = 'REFUND01';

describe('the connector and the gateway’s wire', () => {
  let sandbox: Sandbox;
  let config: UnionpayConfig;
  let gateway: Steering;
  beforeAll(async () => {
    sandbox = await createSandbox();
    config = settingsFor(sandbox, unionpayGateway, { more: { notifyUrl: NOTIFY_URL } });
    gateway = steer(sandbox, CHANNEL);
  });
  afterAll(() => sandbox.close());
  beforeEach(async () => {
    await gateway.reset();
    await gateway.payment('T1', { transactionId: PAYMENT });
  });

  const sentAt = new Date();
  const { query, create, order } = probe(unionpayGateway, () => config, {
    gatewayRequestNo: R1,
    gatewayRequestTime: sentAt,
    gatewayRefundNo: null,
    outTradeNo: 'T1',
    gatewayPaymentNo: PAYMENT,
    amountMinor: 100,
    paymentAmountMinor: 1000,
    currency: 'CNY',
    reason: '质量 50% & "so" + /',
    clientIp: null,
  });
  const errorOf = (call: Promise<Observation>) => gatewayErrorOf(call, /MII|BEGIN|signature=|accNo|621626/);

  it.each([
    ['success', { kind: 'success', amountMinor: 100, currency: 'CNY', raw: { code: '00' } }],
    ['failed', { kind: 'failed', code: '61' }],
    ['closed', { kind: 'failed', code: '35' }],
    ['processing', { kind: 'processing', raw: { code: '05' } }],
    // There is no word for it: "see the reconciliation file" comes nearest.
    ['abnormal', { kind: 'processing', raw: { code: '04' } }],
    ['notFound', { kind: 'notFound', raw: { code: '34' } }],
  ])('a refund that is %s', async (status, expected) => {
    await gateway.refund(R1, 'T1', status);
    const observation = await query();
    expect(observation).toMatchObject({ authenticated: true, ...expected });
    expect(JSON.stringify(observation)).not.toMatch(/621626|BEGIN|signature/);
  });

  it('a success has its number, its time and who it is of', async () => {
    const { gatewayRefundNo } = await gateway.refund(R1, 'T1', 'success');
    expect(gatewayRefundNo).toMatch(/^\d{21}$/);
    const observation = await query();
    expect(observation).toMatchObject({
      gatewayRefundNo,
      identity: { gatewayRequestNo: R1, gatewayRefundNo, merchantId: config.merId },
    });
    const { finishedAt } = observation as { finishedAt: Date };
    expect(Math.abs(Date.now() - finishedAt.getTime())).toBeLessThan(60_000);
  });

  it('a success with a defect is a success, and says so', async () => {
    await gateway.refund(R1, 'T1', 'success');
    await gateway.settings({ defectiveSuccess: true });
    expect(await query()).toMatchObject({
      kind: 'success',
      raw: { code: 'A6', message: expect.stringContaining('defect') as string },
    });
  });

  it('a refund is known by its number and its time, to the second', async () => {
    expect(await create()).toMatchObject({
      kind: 'processing',
      authenticated: true,
      identity: { gatewayPaymentNo: PAYMENT },
      raw: { code: '00' },
    });
    expect(await query()).toMatchObject({ kind: 'processing', raw: { code: '05' } });
    const within = addMs(sentAt, sentAt.getMilliseconds() < 500 ? 499 : -400);
    expect(await query({ gatewayRequestTime: within })).toMatchObject({ kind: 'processing' });
    expect(await query({ gatewayRequestTime: addMs(sentAt, 1000) })).toMatchObject({ kind: 'notFound' });
  });

  it('a create is sent once: the second is refused as a duplicate, and there is one refund', async () => {
    await create();
    expect(await errorOf(create())).toMatchObject({ kind: 'ambiguous', code: '12', nothingHappened: false });
    expect(await gateway.truth(R1)).toMatchObject({
      creates: 2,
      refundsAtGateway: 1,
      payment: { refundedAmount: 100 },
    });
  });

  it.each([
    ['reset', 'reset'],
    ['http500', 'http_500'],
    ['malformed', 'bad_signature'],
    ['badSignature', 'bad_signature'],
    ['systemError', '06'],
    ['timeout', 'timeout'],
  ])('%s: a query is unavailable, a create ambiguous, and neither says more', async (kind, code) => {
    await gateway.refund(R1, 'T1', 'success');
    await gateway.fault(kind, { count: 1, operation: 'query' });
    expect(await errorOf(query({}, config, 300))).toMatchObject({ kind: 'unavailable', code });
    await gateway.fault(kind, { count: 1, operation: 'create' });
    const error = await errorOf(create({ gatewayRequestNo: 'REFUND02' }, config, 300));
    expect(error).toMatchObject({ kind: 'ambiguous', code, nothingHappened: false });
    expect(await query()).toMatchObject({ kind: 'success' });
  });

  it('37: asked too often', async () => {
    await gateway.refund(R1, 'T1', 'success');
    await gateway.fault('http429');
    expect(await errorOf(query())).toMatchObject({ kind: 'rateLimited', code: '37', retryAfterMs: 60_000 });
    expect(await errorOf(create())).toMatchObject({ kind: 'rateLimited', nothingHappened: false });
  });

  it('slow: an answer in time is an answer', async () => {
    await gateway.refund(R1, 'T1', 'success');
    await gateway.fault('slow', { slowMs: 100 });
    expect(await query()).toMatchObject({ kind: 'success' });
  });

  it('wrongAmount: the amount is what the gateway said, for the service to compare', async () => {
    await gateway.refund(R1, 'T1', 'success');
    await gateway.fault('wrongAmount');
    expect(await query()).toMatchObject({ kind: 'success', amountMinor: 101 });
  });

  it('a caller that gives up ends the call', async () => {
    await gateway.refund(R1, 'T1', 'success');
    await gateway.fault('timeout');
    const caller = new AbortController();
    setTimeout(() => caller.abort(), 100);
    const call = { config, order: order(), signal: caller.signal, timeoutMs: 10_000 };
    expect(await errorOf(unionpayGateway.queryRefund(call))).toMatchObject({ kind: 'unavailable', code: 'aborted' });
    await expect.poll(async () => (await gateway.truth(R1)).activeCalls).toBe(0);
  });

  it('nobody listens', async () => {
    const away = { ...config, gatewayUrl: 'http://127.0.0.1:1/gateway/api' };
    expect(await errorOf(query({}, away))).toMatchObject({ kind: 'unavailable' });
    expect(await errorOf(create({}, away))).toMatchObject({ kind: 'ambiguous' });
  });

  it('a wrong key is badConfig, whether the gateway signs that or not', async () => {
    const { certificate, privateKey } = vectors.chain.merchant;
    const wrong = { ...config, signCert: certificate, privateKey };
    for (const signErrors of [true, false]) {
      await gateway.settings({ signErrors });
      expect(await errorOf(query({}, wrong))).toMatchObject({ kind: 'badConfig', code: '11' });
      expect(await errorOf(create({}, wrong))).toMatchObject({ kind: 'badConfig', nothingHappened: false });
    }
  });

  it('answers under another authority than the configured one are nobody’s', async () => {
    await gateway.refund(R1, 'T1', 'success');
    const elsewhere = { ...config, middleCert: vectors.chain.middle, rootCert: vectors.chain.root };
    expect(await errorOf(query({}, elsewhere))).toMatchObject({ kind: 'unavailable', code: 'bad_signature' });
    expect(await errorOf(query({}, { ...config, signerName: '00040000:SIGN' }))).toMatchObject({
      code: 'bad_signature',
    });
  });

  it('refusals say what they prove', async () => {
    await gateway.payment('T1', { amount: 150 });
    await create();
    expect(await errorOf(create({ gatewayRequestNo: 'REFUND02' }))).toMatchObject({
      kind: 'rejected',
      code: '36',
      nothingHappened: true,
    });
    await create({ gatewayRequestNo: 'REFUND03', amountMinor: 50 });
    // Refunded as a whole: perhaps by this very refund, had it come twice.
    expect(await errorOf(create({ gatewayRequestNo: 'REFUND04' }))).toMatchObject({
      kind: 'rejected',
      code: '45',
      nothingHappened: false,
    });
    await gateway.settings({ signErrors: false, autoPayments: false });
    expect(await errorOf(create({ gatewayRequestNo: 'REFUND05' }))).toMatchObject({ nothingHappened: false });
    expect(await errorOf(create({ gatewayRequestNo: 'REFUND06', gatewayPaymentNo: '9'.repeat(21) }))).toMatchObject({
      code: '35',
      nothingHappened: false,
    });
  });
});

describe('through the whole service', () => {
  const ACCOUNT = 'sandbox-unionpay';
  const clock = new FakeClock();
  let service: TestService;
  let sandbox: Sandbox;
  let gateway: Steering;
  let flow: Flow;
  beforeAll(async () => {
    // One time for both: the gateway looks at the time of a request.
    sandbox = await createSandbox({ now: () => clock.now().getTime() });
    service = await startService({ clock, sandbox, env: { REQ_TIME_WINDOW_S: '0' }, policy: { timeoutMs: 1_000 } });
    gateway = steer(sandbox, CHANNEL);
    let payments = 0;
    flow = flowOf(service, gateway, CHANNEL, ACCOUNT, {
      prefix: 'REFUND',
      registration: () => ({ gatewayRequestTime: clock.now().toISOString() }),
      // 21 digits that no other payment has.
      gatewayPaymentNo: () => `01${String((payments += 1)).padStart(19, '0')}`,
    });
  });
  afterAll(async () => {
    await assertInvariants(service, { now: clock.now() });
    await service.close();
    await sandbox.close();
  });
  beforeEach(() =>
    gateway.settings({
      autoCallback: false,
      signErrors: true,
      defectiveSuccess: false,
      defaultScript: [{ afterMs: 0, status: 'success' }],
    }),
  );
  afterEach(() => gateway.clearFaults());

  const callbackUrl = (account = ACCOUNT): string => flow.callbackUrl('unionpay', account);

  it('a stuck refund is repaired by one signed request', async () => {
    const { id, refundNo, paymentId } = await flow.followed('success');
    const { data } = await service.merchant.syncRefund({ refundNo });
    expect(data).toMatchObject({ gatewayStatus: 'refund_success', success: true, repair: true });
    expect(await service.refund(id)).toMatchObject({
      status: 'success',
      gatewayRefundNo: expect.stringMatching(/^\d{21}$/) as string,
    });
    expect(await service.payment(paymentId)).toMatchObject({ refundableBalance: 900 });
  });

  it.each([
    ['failed', 'fail', 1000],
    ['closed', 'fail', 1000],
    ['processing', 'progress', 900],
    ['abnormal', 'progress', 900],
    ['notFound', 'progress', 900],
  ])('a refund that is %s ends as %s', async (status, ends, refundableBalance) => {
    const { id, paymentId } = await flow.followed(status);
    await flow.look(id);
    expect(await service.refund(id)).toMatchObject({ status: ends });
    expect(await service.payment(paymentId)).toMatchObject({ refundableBalance });
  });

  it('a registration says everything that UnionPay finds a refund by', async () => {
    const cases: [string, Json][] = [
      ['gatewayRequestTime', { gatewayRequestTime: undefined }],
      ['gatewayRequestNo', { gatewayRequestNo: 'R-1' }],
      ['gatewayRequestNo', { gatewayRequestNo: 'ORDER0001', payment: { businessNo: 'ORDER0001', amount: 100 } }],
    ];
    for (const [field, more] of cases) {
      const answer = await flow.register(flow.refundNumber(), uniqueNo('P'), more);
      expect(answer.httpStatus).toBe(400);
      expect(JSON.stringify(answer.body)).toContain(field);
    }
  });

  it('not found for a day is for a person, also where the account’s policy is to close: the time may be wrong', async () => {
    const accounts = service.app.get(GatewayAccountService);
    const config = settingsFor(sandbox, unionpayGateway, {
      more: { notifyUrl: callbackUrl('unionpay-closing') },
    }) as unknown as Json;
    await accounts.put('unionpay-closing', { channel: CHANNEL, config, notFoundPolicy: 'close' });
    const { id } = await flow.followed('unknown', { gatewayAccountId: 'unionpay-closing' });
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

  it('a success that fails later is for a person: UnionPay announces no such thing', async () => {
    const { id } = await flow.followed('success');
    await gateway.fault('successThenFailed', { count: 1 });
    await flow.look(id);
    expect(await service.refund(id)).toMatchObject({ status: 'success' });
    await flow.look(id);
    expect(await service.refund(id)).toMatchObject({ status: 'review', reserved: true });
  });

  it.each(['badSignature', 'malformed', 'systemError', 'http500', 'http429', 'reset', 'timeout'])(
    '%s concludes nothing; a later answer repairs',
    async (kind) => {
      const { id } = await flow.followed('success');
      await gateway.fault(kind, { count: 1 });
      await flow.look(id);
      expect(await service.refund(id)).toMatchObject({ status: 'progress', notFoundCount: 0 });
      // A limit holds the account back for a while.
      clock.advance(2 * 60_000);
      await flow.look(id);
      await expect
        .poll(async () => {
          const { status } = await service.refund(id);
          if (status === 'progress') await flow.look(id);
          return status;
        })
        .toBe('success');
    },
  );

  it('a refund that the service makes is sent under its id and time, and proven by the query', async () => {
    const { id, status, paymentId } = await flow.created();
    expect(status).toBe('progress');
    expect(await service.refund(id)).toMatchObject({
      status: 'progress',
      createState: 'acknowledged',
      createAttempts: 1,
      gatewayRequestTime: expect.any(Date) as Date,
    });
    expect(await gateway.truth(id)).toMatchObject({ status: 'success', amount: 100, creates: 1 });
    await flow.look(id);
    expect(await service.refund(id)).toMatchObject({ status: 'success' });
    expect(await service.payment(paymentId)).toMatchObject({ refundableBalance: 900 });
  });

  it('a payment without UnionPay’s number of it is named before anything is written', async () => {
    const businessNo = uniqueNo('P');
    await service.admin('POST', '/admin/payments', {
      businessNo,
      channel: CHANNEL,
      amount: 1000,
      gatewayAccountId: ACCOUNT,
    });
    const answer = await flow.send(businessNo);
    expect(answer.code).toBe(20000);
    expect(answer.text).toContain('gatewayPaymentNo');
  });

  describe('I8: one intent is at most one refund, whatever is lost', () => {
    /** What the gateway may have at most, however often anything was sent. */
    const refundsAtGateway = async (id: string): Promise<unknown> => {
      const { refundsAtGateway: count, creates, payment: at } = await gateway.truth(id);
      return { count, creates, refunded: (at as { refundedAmount: number } | null)?.refundedAmount ?? 0 };
    };

    it('the answer is lost: the query finds the refund, and nothing is sent twice', async () => {
      await gateway.fault('lostAnswer', { count: 1 });
      const { id } = await flow.created();
      expect(await service.refund(id)).toMatchObject({ status: 'progress', createState: 'unknown' });
      await flow.look(id);
      expect(await service.refund(id)).toMatchObject({ status: 'success' });
      expect(await refundsAtGateway(id)).toEqual({ count: 1, creates: 1, refunded: 100 });
    });

    it('the request is lost: it is never sent again, and after a day a person decides', async () => {
      await gateway.fault('lostRequest', { count: 1 });
      const { id, paymentId } = await flow.created();
      expect(await service.refund(id)).toMatchObject({ status: 'progress', createState: 'unknown' });
      for (let count = 0; count < 5; count += 1) await flow.look(id);
      expect(await service.refund(id)).toMatchObject({ status: 'progress', notFoundCount: 5, createAttempts: 1 });
      clock.advance(25 * HOUR_MS);
      await flow.look(id);
      expect(await service.refund(id)).toMatchObject({
        status: 'review',
        reserved: true,
        reviewReason: expect.stringContaining('must not be sent it twice') as string,
      });
      expect(await service.payment(paymentId)).toMatchObject({ refundableBalance: 900 });
      expect(await refundsAtGateway(id)).toEqual({ count: 0, creates: 1, refunded: 0 });
    });

    it('request and answers are lost in turn, the merchant repeats itself, the gateway is late: one refund', async () => {
      const { businessNo, paymentId } = await flow.payment();
      const refundNo = flow.refundNumber();
      await gateway.fault('lostAnswer', { count: 1 });
      await gateway.fault('notFoundThenFound', { count: 2 });
      const { data } = await flow.send(businessNo, refundNo);
      const id = data?.refundId ?? '';
      await flow.look(id);
      await flow.send(businessNo, refundNo);
      await flow.look(id);
      expect(await service.refund(id)).toMatchObject({ status: 'progress', notFoundCount: 2, createAttempts: 1 });
      await flow.send(businessNo, refundNo);
      await flow.look(id);
      expect(await service.refund(id)).toMatchObject({ status: 'success' });
      expect(await refundsAtGateway(id)).toEqual({ count: 1, creates: 1, refunded: 100 });
      expect(await service.payment(paymentId)).toMatchObject({ refundableBalance: 900 });
    });

    it('the request arrives twice: refused as a duplicate, which says nothing; asked, not failed', async () => {
      const doubling = await doublingProxy(sandbox.url);
      const config = settingsFor(sandbox, unionpayGateway, {
        more: { notifyUrl: callbackUrl('unionpay-doubled'), gatewayUrl: `${doubling.url}/gateway/api` },
      }) as unknown as Json;
      await service.app.get(GatewayAccountService).put('unionpay-doubled', { channel: CHANNEL, config });
      const { businessNo } = await flow.payment({}, { gatewayAccountId: 'unionpay-doubled' });
      const { data } = await flow.send(businessNo);
      const id = data?.refundId ?? '';
      expect(await service.refund(id)).toMatchObject({ status: 'progress', createState: 'unknown', createAttempts: 1 });
      expect(doubling.answers.map((answer) => /respCode=(..)/.exec(answer)?.[1])).toEqual(['00', '12']);
      await flow.look(id);
      expect(await service.refund(id)).toMatchObject({ status: 'success' });
      expect(await refundsAtGateway(id)).toEqual({ count: 1, creates: 2, refunded: 100 });
      await doubling.close();
    });

    it('refused at the first send, signed and certain: failed, and the amount is free again', async () => {
      await gateway.fault('refused', { count: 1 });
      const { id, paymentId } = await flow.created();
      expect(await service.refund(id)).toMatchObject({ status: 'fail', createState: 'refused', errorCode: '33' });
      expect(await service.payment(paymentId)).toMatchObject({ refundableBalance: 1000 });
      expect(await refundsAtGateway(id)).toEqual({ count: 0, creates: 1, refunded: 0 });
    });

    it('refused without a signature: not failed, and not sent again', async () => {
      await gateway.settings({ signErrors: false });
      const { id } = await flow.created({ amount: 50 });
      expect(await service.refund(id)).toMatchObject({ status: 'progress', createState: 'unknown' });
      await flow.look(id);
      expect(await service.refund(id)).toMatchObject({ status: 'progress', notFoundCount: 1 });
      expect(await refundsAtGateway(id)).toEqual({ count: 0, creates: 1, refunded: 0 });
    });
  });

  /** A refund that the service made, of which the gateway tells that it succeeded. */
  async function createdAndTold(): Promise<Created> {
    await gateway.settings({ autoCallback: true, defaultScript: [{ afterMs: 0, status: 'processing' }] });
    const made = await flow.created();
    await gateway.refund(made.id, made.businessNo, 'success');
    return made;
  }

  it('a callback makes the service ask, and the answer repairs', async () => {
    const { id } = await createdAndTold();
    await expect.poll(async () => (await storedCallbacks(service, { gatewayRequestNo: id })).length).toBe(1);
    await callbacksWorkedOn(service);
    expect(await service.refund(id)).toMatchObject({ status: 'success' });
    expect(await gateway.truth(id)).toMatchObject({ queries: 1, callbacksSent: 1, callbacksAcknowledged: 1 });
    const [record] = await storedCallbacks(service, { gatewayRequestNo: id });
    expect(record).toMatchObject({ eventType: 'refund.00', refundId: id, state: 'done' });
    expect(JSON.stringify(record)).not.toMatch(/621626|BEGIN|signature/);
    expect((await service.history(id)).syncs.at(-1)).toMatchObject({ source: 'callback', result: 'success' });
  });

  it('a callback that tells a failure, or what is not so, is no more than a reason to ask', async () => {
    const { id, refundNo } = await flow.followed('processing');
    for (const status of ['failed', 'success'])
      expect(await gateway.callBack(refundNo, callbackUrl(), { status })).toMatchObject({ status: 200, body: 'ok' });
    await callbacksWorkedOn(service);
    expect(await service.refund(id)).toMatchObject({ status: 'progress' });
  });

  it('a callback that came twice is stored once', async () => {
    await gateway.fault('duplicateCallback', { count: 1 });
    const { id } = await createdAndTold();
    await expect
      .poll(async () => (await storedCallbacks(service, { gatewayRequestNo: id })).map((row) => row.deliveries))
      .toEqual([2]);
    await callbacksWorkedOn(service);
    expect(await service.refund(id)).toMatchObject({ status: 'success' });
  });

  it.each(['signature', 'ciphertext', 'tag', 'nonce', 'timestamp', 'probe', 'serial', 'truncated'])(
    'a callback whose %s is not right is refused, leaves nothing and causes no call',
    async (tamper) => {
      const { id, refundNo } = await flow.followed('success');
      expect(await gateway.callBack(refundNo, callbackUrl(), { tamper })).toMatchObject({ status: 401, body: 'fail' });
      expect(await storedCallbacks(service, { gatewayRequestNo: refundNo })).toEqual([]);
      expect(await service.refund(id)).toMatchObject({ status: 'progress' });
      expect(await gateway.truth(refundNo)).toMatchObject({ queries: 0 });
    },
  );

  it('a notice of a payment is acknowledged and leaves nothing; a refund’s before its registration waits', async () => {
    const { chain } = vectors;
    const own = settingsFor(sandbox, unionpayGateway, { more: { notifyUrl: callbackUrl('unionpay-own') } });
    await service.app.get(GatewayAccountService).put('unionpay-own', {
      channel: CHANNEL,
      config: { ...own, middleCert: chain.middle, rootCert: chain.root },
    });
    const post = async (fields: Record<string, string>): Promise<[number, string]> => {
      const signed = new Map(Object.entries({ ...fields, signPubKeyCert: chain.signer.certificate }));
      signed.set('signature', signMessage(messageText(signed), createPrivateKey(chain.signer.privateKey)));
      const body = new URLSearchParams([...signed]);
      const response = await fetch(callbackUrl('unionpay-own'), { method: 'POST', body });
      return [response.status, await response.text()];
    };
    const paid = {
      merId: own.merId,
      orderId: 'PAYMENT1',
      txnTime: '20260101000000',
      queryId: PAYMENT,
      respCode: '00',
      signMethod: '01',
      txnAmt: '100',
      txnType: '01',
      version: '5.1.0',
    };
    expect(await post(paid)).toEqual([200, 'ok']);
    expect(await storedCallbacks(service, { gatewayAccountId: 'unionpay-own' })).toEqual([]);
    expect(await post({ ...paid, orderId: 'EARLYREFUND1', txnType: '04' })).toEqual([200, 'ok']);
    await expect
      .poll(async () =>
        (await storedCallbacks(service, { gatewayAccountId: 'unionpay-own' })).map(({ state }) => state),
      )
      .toEqual(['unmatched']);
    expect(await post({ ...paid, merId: '777290058110049', txnType: '04' })).toEqual([401, 'fail']);
  });
});

/** Delivers every request twice, one after the other, and gives the second answer. */
async function doublingProxy(target: string): Promise<{ url: string; answers: string[]; close(): Promise<void> }> {
  const answers: string[] = [];
  const server = createServer((request, response) => {
    void (async () => {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      const headers = { 'content-type': request.headers['content-type'] ?? '' };
      for (const _delivery of ['first', 'second']) {
        const answer = await fetch(`${target}${request.url}`, { method: 'POST', headers, body: Buffer.concat(chunks) });
        answers.push(await answer.text());
      }
      response.end(answers.at(-1));
    })();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    answers,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
