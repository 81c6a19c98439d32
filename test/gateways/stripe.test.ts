import { createHmac } from 'node:crypto';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createSandbox, type Sandbox } from '../../sandbox/server.js';
import type { RefundOrder } from '../../src/gateway/gateway.port.js';
import type { Observation } from '../../src/gateway/observation.js';
import type { StripeConfig } from '../../src/gateway/stripe/stripe.config.js';
import { stripeGateway } from '../../src/gateway/stripe/stripe.gateway.js';
import type { Refund } from '../../src/refund/refund.entity.js';
import { DAY_MS, HOUR_MS } from '../../src/shared/clock.js';
import { uniqueNo } from '../support/builders.js';
import { gatewayErrorOf, probe, settingsFor } from '../support/connector-probe.js';
import { FakeClock } from '../support/fake-clock.js';
import { callbacksWorkedOn, storedCallbacks } from '../support/gateway.js';
import { assertInvariants } from '../support/invariants.js';
import { startService, type TestService } from '../support/service.js';
import { steer, type Json, type Steering } from '../support/steer.js';

const CHANNEL = 'stripe';
const CURRENCY = 'USD';

describe('the connector and the gateway’s wire', () => {
  let sandbox: Sandbox;
  let config: StripeConfig;
  let gateway: Steering;
  beforeAll(async () => {
    sandbox = await createSandbox();
    config = settingsFor(sandbox, stripeGateway);
    gateway = steer(sandbox, CHANNEL, CURRENCY);
  });
  afterAll(() => sandbox.close());
  beforeEach(() => gateway.reset());

  const { query, create } = probe(stripeGateway, () => config, {
    gatewayRequestNo: 'R1',
    gatewayRequestTime: null,
    gatewayRefundNo: null,
    outTradeNo: 'ORDER-1',
    gatewayPaymentNo: 'pi_1',
    amountMinor: 100,
    paymentAmountMinor: 1000,
    currency: CURRENCY,
    reason: 'requested_by_customer',
    clientIp: null,
  });
  const errorOf = (call: Promise<Observation>) => gatewayErrorOf(call, /sk_test|whsec|Bearer|Authorization/i);

  it.each([
    ['processing', { kind: 'processing', raw: { code: 'pending' } }],
    ['success', { kind: 'success', amountMinor: 100, currency: 'USD', finishedAt: null, raw: { code: 'succeeded' } }],
    ['failed', { kind: 'failed', code: 'expired_or_canceled_card', raw: { code: 'failed' } }],
    ['closed', { kind: 'failed', code: 'canceled' }],
    ['abnormal', { kind: 'processing', raw: { code: 'requires_action' } }],
    ['notFound', { kind: 'notFound' }],
  ])('a refund that is %s, asked for by either number', async (status, expected) => {
    const { gatewayRefundNo } = await gateway.refund('R1', 'pi_1', status);
    for (const over of [{}, { gatewayRefundNo }]) {
      const observation = await query(over);
      expect(observation).toMatchObject({ authenticated: true, ...expected });
      expect(JSON.stringify(observation)).not.toMatch(/jenny|cus_|4000002500003155/);
      if (status !== 'notFound')
        expect(observation).toMatchObject({
          gatewayRefundNo,
          identity: { gatewayRequestNo: 'R1', gatewayRefundNo, gatewayPaymentNo: 'pi_1', outTradeNo: 'ORDER-1' },
          raw: { body: { request_id: expect.stringMatching(/^req_/) as string } },
        });
    }
  });

  it('finds ours among more than a page of others, by intent and by charge', async () => {
    await gateway.refund('R1', 'pi_1', 'success');
    for (let index = 0; index < 120; index += 1) await gateway.refund(`X${index}`, 'pi_1', 'success', { amount: 1 });
    const { payment } = (await gateway.truth('R1')) as { payment: { transactionId: string } };
    for (const gatewayPaymentNo of ['pi_1', payment.transactionId])
      expect(await query({ gatewayPaymentNo })).toMatchObject({ kind: 'success', identity: { outTradeNo: 'ORDER-1' } });
    expect(await query({ gatewayRequestNo: 'R0' })).toMatchObject({ kind: 'notFound', raw: { body: { listed: 121 } } });
  });

  it('creates, byte for byte the same and under the same key, which Stripe answers once', async () => {
    await gateway.payment('pi_1');
    const first = await create();
    const again = await create();
    expect(first).toMatchObject({ kind: 'processing', identity: { gatewayRequestNo: 'R1', gatewayPaymentNo: 'pi_1' } });
    expect(again).toMatchObject({ kind: 'processing', raw: { body: { idempotent_replayed: true } } });
    expect(again).toMatchObject({ gatewayRefundNo: first.identity.gatewayRefundNo });
    expect(await gateway.truth('R1')).toMatchObject({ creates: 2, refundsAtGateway: 1, amount: 100 });
  });

  it.each([
    ['reset', 'unavailable', 'reset'],
    ['http500', 'unavailable', 'api_error'],
    ['http429', 'rateLimited', 'rate_limit'],
    ['malformed', 'unavailable', 'malformed'],
    ['timeout', 'unavailable', 'timeout'],
    ['slow', 'unavailable', 'timeout'],
  ])('%s: a query says nothing of the refund, and is asked once', async (kind, errorKind, code) => {
    await gateway.refund('R1', 'pi_1', 'success');
    await gateway.fault(kind, { count: 1 });
    expect(await errorOf(query({}, config, 400))).toMatchObject({ kind: errorKind, code });
    expect(await gateway.truth('R1')).toMatchObject({ queries: 1 });
    expect(await query()).toMatchObject({ kind: 'success' });
  });

  it.each([
    ['reset', 'ambiguous', 'reset', 0],
    ['lostRequest', 'ambiguous', 'reset', 0],
    ['lostAnswer', 'ambiguous', 'reset', 1],
    ['timeout', 'ambiguous', 'timeout', 1],
    ['slow', 'ambiguous', 'timeout', 1],
    ['malformed', 'ambiguous', 'malformed', 1],
    ['http500', 'ambiguous', 'api_error', 0],
    ['http429', 'rateLimited', 'lock_timeout', 0],
  ])('%s: a create is %s, sent once', async (kind, errorKind, code, stored) => {
    await gateway.payment('pi_1');
    await gateway.fault(kind, { operation: 'create', count: 1 });
    expect(await errorOf(create({}, config, 400))).toMatchObject({ kind: errorKind, code, nothingHappened: false });
    expect(await gateway.truth('R1')).toMatchObject({ creates: 1, refundsAtGateway: stored });
  });

  it('a 500 that Stripe has saved is ambiguous when it is given again', async () => {
    await gateway.fault('http500', { operation: 'create', count: 1 });
    await errorOf(create());
    expect(await errorOf(create())).toMatchObject({ kind: 'ambiguous', raw: { body: { idempotent_replayed: true } } });
  });

  it('a key that is in use, or was used for something else, proves nothing', async () => {
    await gateway.payment('pi_1');
    await gateway.fault('slow', { operation: 'create', slowMs: 200, count: 1 });
    const first = create();
    await expect.poll(async () => (await gateway.truth('R1').catch(() => ({ activeCalls: 0 }))).activeCalls).toBe(1);
    expect(await errorOf(create())).toMatchObject({
      kind: 'rateLimited',
      code: 'idempotency_key_in_use',
      retryAfterMs: 5_000,
    });
    expect(await first).toMatchObject({ kind: 'processing' });
    expect(await errorOf(create({ amountMinor: 101 }))).toMatchObject({ kind: 'ambiguous', code: 'idempotency_error' });
  });

  it.each<[string, Partial<RefundOrder>, Json]>([
    ['a dispute proves that nothing happened', {}, { code: 'charge_disputed', nothingHappened: true }],
    ['more than is left', { amountMinor: 1001 }, { code: 'invalid_request_error', nothingHappened: false }],
    [
      'a payment that the account does not have',
      { gatewayPaymentNo: 'pi_2' },
      { code: 'resource_missing', nothingHappened: true },
    ],
  ])('%s', async (_, over, expected) => {
    await gateway.payment('pi_1');
    await gateway.settings({ autoPayments: false });
    if (expected.code === 'charge_disputed') await gateway.fault('refused');
    expect(await errorOf(create(over))).toMatchObject({ kind: 'rejected', ...expected });
  });

  it('a payment that is refunded already does not prove it', async () => {
    await gateway.refund('X1', 'pi_1', 'success', { amount: 1000 });
    expect(await errorOf(create())).toMatchObject({ code: 'charge_already_refunded', nothingHappened: false });
  });

  it('settings that do not fit are no word on the refund', async () => {
    await gateway.refund('R1', 'pi_1', 'success');
    const wrongKey = { ...config, secretKey: 'sk_test_0000000000000000' };
    const wrongAccount = { ...config, accountId: 'acct_2' };
    for (const call of [query, create])
      for (const account of [wrongKey, wrongAccount])
        expect(await errorOf(call({}, account))).toMatchObject({ kind: 'badConfig', nothingHappened: false });
  });

  it('notFoundThenFound, successThenFailed and wrongAmount come through as they are', async () => {
    const { gatewayRefundNo } = await gateway.refund('R1', 'pi_1', 'success');
    await gateway.fault('notFoundThenFound');
    const seen = [];
    for (let index = 0; index < 3; index += 1) seen.push((await query()).kind);
    await gateway.clearFaults();
    await gateway.fault('successThenFailed', { count: 1 });
    for (let index = 0; index < 2; index += 1) seen.push((await query({ gatewayRefundNo })).kind);
    expect(seen).toEqual(['notFound', 'notFound', 'success', 'success', 'failed']);
    await gateway.refund('R2', 'pi_1', 'success');
    await gateway.fault('wrongAmount');
    expect(await query({ gatewayRequestNo: 'R2' })).toMatchObject({ amountMinor: 101 });
  });
});

describe('the connector and something that is not Stripe', () => {
  it.each<[string, (response: ServerResponse) => void, string]>([
    [
      'an answer without end',
      (response) => void response.writeHead(200).write(Buffer.alloc(3 * 1024 * 1024, 'x')),
      'too_large',
    ],
    ['an answer that drips', (response) => void response.writeHead(200).write('{'), 'timeout'],
    [
      'half an answer',
      (response) => void response.writeHead(200, { 'content-length': 99 }).write('{', () => response.socket?.destroy()),
      'reset',
    ],
    ['a redirect', (response) => void response.writeHead(307, { location: 'http://127.0.0.1:9/' }).end(), 'http_307'],
    ['a page', (response) => void response.writeHead(200).end('<html>'), 'malformed'],
    ['no HTTP', (response) => void response.socket?.end('SSH-2.0-x\r\n'), 'malformed'],
  ])('%s is no answer', async (_, reply, code) => {
    let requests = 0;
    const server = createServer((request, response) => {
      requests += 1;
      request.resume().once('end', () => reply(response));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const config = {
      secretKey: 'sk_test_0123456789',
      webhookSecret: 'whsec_0123456789',
      baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    };
    const order = {
      gatewayRequestNo: 'R1',
      gatewayPaymentNo: 'pi_1',
      amountMinor: 100,
      currency: 'USD',
    } as RefundOrder;
    const call = { config, order, signal: new AbortController().signal, timeoutMs: 400 };
    const payload = stripeGateway.prepareCreate?.(order, config) ?? '';
    await expect(stripeGateway.sendCreate?.(call, payload)).rejects.toMatchObject({ kind: 'ambiguous', code });
    expect(requests).toBe(1);
    server.closeAllConnections();
    server.close();
  });
});

describe('through the whole service', () => {
  const clock = new FakeClock();
  let service: TestService;
  let gateway: Steering;
  let config: StripeConfig;
  let webhookUrl: string;

  beforeAll(async () => {
    // One time for both: keys that Stripe forgets, signatures that grow old.
    const sandbox = await createSandbox({ now: () => clock.now().getTime() });
    service = await startService({ clock, sandbox });
    gateway = steer(sandbox, CHANNEL, CURRENCY);
    config = settingsFor(sandbox, stripeGateway);
    webhookUrl = `${service.url}/callback/stripe/sandbox-stripe`;
  });
  afterAll(async () => {
    await service.close();
    await service.sandbox.close();
  });
  beforeEach(async () => {
    await gateway.clearFaults();
    // Events come when a test asks for them.
    await gateway.settings({ autoCallback: false, defaultScript: [{ afterMs: 0, status: 'processing' }] });
  });

  interface Registered {
    id: string;
    paymentId: string;
    refundNo: string;
    intent: string;
    gatewayRefundNo: string;
  }

  /** A refund that the merchant sent by itself, known to Stripe with its number in the metadata. */
  async function registered(
    status: string,
    more: { stripe?: Json; refund?: Json; payment?: Json } = {},
  ): Promise<Registered> {
    const refundNo = uniqueNo('R');
    const intent = `pi_${uniqueNo('P')}`;
    const { gatewayRefundNo } = await gateway.refund(refundNo, intent, status, more.stripe);
    const { httpStatus, body } = await service.admin<{ id: string; payment: { id: string } }>(
      'POST',
      '/admin/refunds',
      {
        refundNo,
        channel: CHANNEL,
        amount: 100,
        currency: 'USD',
        payment: { businessNo: uniqueNo('ORDER'), amount: 1000, gatewayPaymentNo: intent, ...more.payment },
        ...more.refund,
      },
    );
    if (httpStatus !== 201) throw new Error(`not registered: ${JSON.stringify(body)}`);
    return { id: body.id, paymentId: body.payment.id, refundNo, intent, gatewayRefundNo };
  }

  /** A refund that the service sends by itself. Its number at Stripe is its id. */
  async function created(): Promise<{ id: string; code: number; intent: string; paymentId: string }> {
    const businessNo = uniqueNo('ORDER');
    const intent = `pi_${uniqueNo('P')}`;
    await gateway.payment(intent);
    const payment = await service.admin<{ id: string }>('POST', '/admin/payments', {
      businessNo,
      channel: CHANNEL,
      amount: 1000,
      currency: 'USD',
      gatewayPaymentNo: intent,
    });
    const { data, code } = await service.merchant.call<{ refundId: string }>('/unipay/refund', {
      businessNo,
      refundChannels: [{ channel: CHANNEL, amount: 100 }],
      refundNo: uniqueNo('R'),
      reason: 'duplicate',
      reqTime: reqTime(),
    });
    return { id: data?.refundId ?? '', code, intent, paymentId: payment.body.id };
  }

  const reqTime = () => Math.floor(clock.now().getTime() / 1000);
  const sync = async (id: string) => (await service.merchant.syncRefund({ refundId: id, reqTime: reqTime() })).data;

  /** Moves to the refund's next look and lets the sweep do it. */
  async function nextLook(id: string): Promise<Refund> {
    const { nextSyncAt } = await service.refund(id);
    if (nextSyncAt === null) throw new Error('there is no next look');
    clock.advance(Math.max(0, nextSyncAt.getTime() - clock.now().getTime()));
    await service.sweeper.sweep();
    await service.idle();
    return service.refund(id);
  }

  /** An event that the test signs by itself. */
  async function send(event: Json): Promise<{ status: number; body: string; id: string }> {
    const id = uniqueNo('evt_');
    const body = JSON.stringify({ id, object: 'event', livemode: false, ...event });
    const t = Math.floor(clock.now().getTime() / 1000);
    const v1 = createHmac('sha256', config.webhookSecret).update(`${t}.${body}`).digest('hex');
    const headers = { 'stripe-signature': `t=${t},v1=${v1}`, 'content-type': 'application/json' };
    const response = await fetch(webhookUrl, { method: 'POST', headers, body });
    return { status: response.status, body: await response.text(), id };
  }

  it('follows a refund by Stripe’s number', async () => {
    const number = `re_${uniqueNo('X')}`;
    const { id, gatewayRefundNo } = await registered('success', { refund: { gatewayRequestNo: number } });
    // Our number is not in the metadata: nobody finds it without Stripe's.
    expect(await sync(id)).toMatchObject({ gatewayStatus: 'pay_not_found', repair: false });
    const other = await registered('success');
    const known = await service.admin('POST', '/admin/refunds', {
      refundNo: uniqueNo('R'),
      channel: CHANNEL,
      amount: 100,
      currency: 'USD',
      gatewayRequestNo: other.refundNo,
      gatewayRefundNo: other.gatewayRefundNo,
      payment: { businessNo: uniqueNo('ORDER'), amount: 1000 },
    });
    expect(known.httpStatus).toBe(201);
    expect(await sync(String(known.body.id))).toMatchObject({ gatewayStatus: 'refund_success', repair: true });
    expect(gatewayRefundNo).not.toBe(other.gatewayRefundNo);
  });

  it('follows a refund by our number in its metadata, and learns Stripe’s', async () => {
    const { id, paymentId, gatewayRefundNo } = await registered('success');
    expect(await sync(id)).toMatchObject({ gatewayStatus: 'refund_success', success: true, repair: true });
    expect(await service.refund(id)).toMatchObject({ status: 'success', gatewayRefundNo });
    expect(await service.payment(paymentId)).toMatchObject({ status: 'partial_refund', refundableBalance: 900 });
  });

  it('says what is missing when it cannot know which payment is meant', async () => {
    const { id } = await registered('success', { payment: { gatewayPaymentNo: undefined } });
    expect(await service.merchant.syncRefund({ refundId: id, reqTime: reqTime() })).toMatchObject({ code: 20000 });
    const [look] = (await service.history(id)).syncs;
    expect(look).toMatchObject({ errorKind: 'rejected', explanation: expect.stringMatching(/pi_… or ch_…/) as string });
    expect(await service.refund(id)).toMatchObject({ status: 'progress' });
  });

  it('opens a case for another amount, another payment, and two refunds with one number', async () => {
    const amount = await registered('success', { stripe: { amount: 101 } });
    const elsewhere = await registered('success');
    const payment = { businessNo: uniqueNo('ORDER'), amount: 1000, gatewayPaymentNo: 'pi_another' };
    const wrong = {
      refundNo: uniqueNo('R'),
      gatewayRequestNo: elsewhere.refundNo,
      gatewayRefundNo: elsewhere.gatewayRefundNo,
    };
    const moved = await service.admin('POST', '/admin/refunds', {
      channel: CHANNEL,
      amount: 100,
      currency: 'USD',
      ...wrong,
      payment,
    });
    const twice = await registered('success');
    // Another refund of the payment, which got the same number later.
    const { gatewayRefundNo: copy } = await gateway.refund(uniqueNo('R'), twice.intent, 'success');
    const headers = { authorization: `Bearer ${config.secretKey}`, 'stripe-version': '2026-10-28.endive' };
    const body = new URLSearchParams({ 'metadata[refund_no]': twice.refundNo });
    const renamed = await fetch(`${service.sandbox.url}/v1/refunds/${copy}`, { method: 'POST', headers, body });
    expect(renamed.status).toBe(200);
    for (const id of [amount.id, String(moved.body.id), twice.id]) {
      expect(await sync(id)).toMatchObject({ gatewayStatus: 'refund_progress', success: false });
      expect(await service.refund(id)).toMatchObject({ status: 'review', reserved: true });
    }
    expect((await service.refund(twice.id)).reviewReason).toMatch(/2 refunds with this number/);
  });

  it('creates a refund and sees it through', async () => {
    const { id, code, paymentId } = await created();
    expect(code).toBe(0);
    expect(await service.refund(id)).toMatchObject({ status: 'progress', createState: 'acknowledged' });
    expect(await gateway.truth(id)).toMatchObject({ creates: 1, refundsAtGateway: 1, amount: 100 });
    await gateway.refund(id, (await service.payment(paymentId)).gatewayPaymentNo ?? '', 'success');
    expect(await sync(id)).toMatchObject({ gatewayStatus: 'refund_success', repair: true });
    expect(await service.payment(paymentId)).toMatchObject({ refundableBalance: 900, status: 'partial_refund' });
  });

  it.each([
    ['lostAnswer', 1],
    ['lostRequest', 0],
    ['http429', 0],
  ])('%s of a create: one look finds out, and Stripe has one refund', async (kind, storedBefore) => {
    await gateway.fault(kind, { operation: 'create', count: 1 });
    const { id } = await created();
    expect(await service.refund(id)).toMatchObject({ status: 'progress', createState: 'unknown', createAttempts: 1 });
    expect(await gateway.truth(id)).toMatchObject({ refundsAtGateway: storedBefore });

    const after = await nextLook(id);
    expect(after).toMatchObject({ status: 'progress', createState: 'acknowledged', createAttempts: 2 - storedBefore });
    expect(await gateway.truth(id)).toMatchObject({ refundsAtGateway: 1, creates: 2 - storedBefore });
  });

  it('a refusal that proves it ends the refund; one that does not has its payment listed', async () => {
    await gateway.fault('refused', { count: 1 });
    const refused = await created();
    expect(await service.refund(refused.id)).toMatchObject({
      status: 'fail',
      createState: 'refused',
      errorCode: 'charge_disputed',
      reserved: false,
    });
    expect(await service.payment(refused.paymentId)).toMatchObject({ refundableBalance: 1000 });
  });

  it('a saved 500 is repeated while that is safe, and then a person is called; never a second refund', async () => {
    await gateway.fault('http500', { operation: 'create', count: 1 });
    const { id, paymentId } = await created();
    const sentAt = (await service.refund(id)).createdAt.getTime();
    let refund = await service.refund(id);
    while (refund.status === 'progress') {
      refund = await nextLook(id);
      if (refund.lastCreateAt) expect(refund.lastCreateAt.getTime() - sentAt).toBeLessThan(23 * HOUR_MS);
    }
    expect(refund).toMatchObject({
      status: 'review',
      reserved: true,
      reviewReason: expect.stringMatching(/too late/) as string,
    });
    expect(refund.createAttempts).toBeGreaterThan(3);
    expect(await gateway.truth(id)).toMatchObject({ refundsAtGateway: 0, creates: refund.createAttempts });

    // By now Stripe has forgotten the key: whoever sends it once more makes a refund. The service does not.
    clock.advance(2 * DAY_MS);
    await sync(id);
    expect(await gateway.truth(id)).toMatchObject({ refundsAtGateway: 0, creates: refund.createAttempts });
    expect(await service.payment(paymentId)).toMatchObject({ refundableBalance: 900 });
  });

  it('a failure after success takes the success back, and the balance with it', async () => {
    const { id, paymentId, refundNo, intent } = await registered('success');
    expect(await sync(id)).toMatchObject({ gatewayStatus: 'refund_success' });
    const { nextSyncAt, statusChangedAt } = await service.refund(id);
    expect((nextSyncAt?.getTime() ?? 0) - statusChangedAt.getTime()).toBeLessThan(1.2 * HOUR_MS);
    await gateway.refund(refundNo, intent, 'failed');

    const failed = await nextLook(id);

    expect(failed).toMatchObject({
      status: 'fail',
      reserved: false,
      errorCode: 'expired_or_canceled_card',
      refundTime: null,
    });
    expect(await service.payment(paymentId)).toMatchObject({ status: 'success', refundableBalance: 1000 });
    const { repairs, notifications } = await service.history(id);
    expect(repairs.filter(({ target }) => target === 'refund').map(({ statusAfter }) => statusAfter)).toEqual([
      'success',
      'fail',
    ]);
    expect(notifications.map(({ refundStatus }) => refundStatus)).toEqual(['success', 'fail']);
  });

  it('looks after success hourly for a day, then daily, for thirty days', async () => {
    const { id } = await registered('success');
    await sync(id);
    const { statusChangedAt } = await service.refund(id);
    const pauseAfterHours = async (age: number): Promise<number | null> => {
      clock.advance(statusChangedAt.getTime() + age * HOUR_MS - clock.now().getTime());
      const { nextSyncAt } = await nextLook(id);
      return nextSyncAt && (nextSyncAt.getTime() - clock.now().getTime()) / HOUR_MS;
    };
    expect(await pauseAfterHours(2.5)).toBeLessThan(2.2);
    // The point after 48 hours is 22 hours ahead, and jitter is a tenth of the day's pause: 19.6 to 24.4.
    const daily = await pauseAfterHours(26);
    expect(daily).toBeGreaterThan(19.5);
    expect(daily).toBeLessThan(24.5);
    expect(await pauseAfterHours(30 * 24 + 1)).toBeNull();
    expect(await service.refund(id)).toMatchObject({ status: 'success', version: 1 });
  });

  describe('webhooks', () => {
    it('end a refund that the service made: created, then succeeded', async () => {
      await gateway.settings({
        autoCallback: true,
        defaultScript: [
          { afterMs: 0, status: 'processing' },
          { afterMs: 300, status: 'success' },
        ],
      });
      const { id } = await created();
      await expect.poll(async () => (await service.refund(id)).status, { timeout: 10_000 }).toBe('success');
      await expect.poll(async () => (await gateway.truth(id)).callbacksAcknowledged, { timeout: 5_000 }).toBe(2);
      await callbacksWorkedOn(service);
      const stored = await storedCallbacks(service, { refundId: id });
      expect(stored.map(({ eventType }) => eventType)).toEqual(['refund.created', 'refund.updated']);
      expect(stored.every(({ state }) => state === 'done')).toBe(true);
    });

    it.each([
      ['success', 'success'],
      ['failed', 'fail'],
      ['closed', 'fail'],
    ])('%s ends a refund as %s without a question', async (told, status) => {
      const { id, refundNo, gatewayRefundNo } = await registered(told);
      const answer = await gateway.callBack(refundNo, webhookUrl);
      expect(answer).toMatchObject({ status: 200, body: '{"received":true}', acknowledged: true });
      await callbacksWorkedOn(service);
      expect(await service.refund(id)).toMatchObject({ status, gatewayRefundNo, version: 1 });
      expect(await gateway.truth(refundNo)).toMatchObject({ queries: 0 });
    });

    it('find a refund by Stripe’s number when it carries none of ours', async () => {
      const { id, gatewayRefundNo, refundNo } = await registered('success');
      await sync(id);
      await gateway.refund(refundNo, 'pi_unused', 'failed');
      const refund = {
        id: gatewayRefundNo,
        object: 'refund',
        amount: 100,
        currency: 'usd',
        status: 'failed',
        metadata: {},
      };
      expect(await send({ type: 'charge.refund.updated', data: { object: refund } })).toMatchObject({ status: 200 });
      await callbacksWorkedOn(service);
      expect(await storedCallbacks(service, { refundId: id })).toMatchObject([
        { eventType: 'charge.refund.updated', gatewayRequestNo: null },
      ]);
    });

    it('that come out of order change nothing that a question would not', async () => {
      const { id, refundNo, intent } = await registered('success');
      await sync(id);
      // An old event after the end: the gateway is asked, and it is still a success.
      expect(await gateway.callBack(refundNo, webhookUrl, { status: 'failed' })).toMatchObject({ status: 200 });
      await callbacksWorkedOn(service);
      expect(await service.refund(id)).toMatchObject({ status: 'success' });
      // The same news when it is true.
      await gateway.refund(refundNo, intent, 'failed');
      await gateway.callBack(refundNo, webhookUrl);
      await callbacksWorkedOn(service);
      expect(await service.refund(id)).toMatchObject({ status: 'fail', reserved: false });
      // And an older event after that.
      await gateway.callBack(refundNo, webhookUrl, { status: 'success' });
      await callbacksWorkedOn(service);
      expect(await service.refund(id)).toMatchObject({ status: 'fail', version: 2 });
    });

    it('that a charge was refunded makes the service ask, where it says about which refund', async () => {
      const { id, refundNo, gatewayRefundNo } = await registered('success');
      const charge = { id: 'ch_1', object: 'charge', amount_refunded: 100 };
      const refunds = { data: [{ id: gatewayRefundNo, object: 'refund', metadata: { refund_no: refundNo } }] };
      const told = await send({ type: 'charge.refunded', data: { object: { ...charge, refunds } } });
      expect(told).toMatchObject({ status: 200 });
      await callbacksWorkedOn(service);
      expect(await service.refund(id)).toMatchObject({ status: 'success' });
      expect(await gateway.truth(refundNo)).toMatchObject({ queries: 1 });

      const silent = await send({ type: 'charge.refunded', data: { object: charge } });
      const other = await send({
        type: 'payment_intent.succeeded',
        data: { object: { id: 'pi_1', object: 'payment_intent' } },
      });
      expect([silent.status, other.status]).toEqual([200, 200]);
      for (const eventKey of [silent.id, other.id]) expect(await storedCallbacks(service, { eventKey })).toEqual([]);
    });

    it.each(['signature', 'timestamp', 'truncated', 'serial', 'nonce', 'ciphertext', 'tag', 'probe'])(
      'with tampered %s are refused, and nothing of them is kept',
      async (tamper) => {
        const { id, refundNo } = await registered('success');
        const before = (await storedCallbacks(service)).length;
        expect(await gateway.callBack(refundNo, webhookUrl, { tamper })).toMatchObject({
          status: 400,
          acknowledged: false,
        });
        expect(await storedCallbacks(service)).toHaveLength(before);
        expect(await service.refund(id)).toMatchObject({ status: 'progress', version: 0 });
      },
    );

    it('of the other mode or another account are refused', async () => {
      const object = { id: 're_1', object: 'refund', amount: 100, currency: 'usd', status: 'succeeded' };
      for (const more of [{ livemode: true }, { account: 'acct_2' }])
        expect(await send({ type: 'refund.updated', data: { object }, ...more })).toMatchObject({ status: 400 });
    });
  });

  it('leaves the books in order, and no secret anywhere', async () => {
    await service.idle();
    await assertInvariants(service, { now: clock.now(), secrets: [config.secretKey, config.webhookSecret] });
  });
});
