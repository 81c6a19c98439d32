import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import vectors from '../vectors/stripe.json' with { type: 'json' };
import { signatureOf } from '../../sandbox/stripe/stripe.callback.js';
import { json, pause, until, type Json } from './support.js';
import { errorOf, StripeMerchant, type StripeOverrides } from './stripe.support.js';

let merchant: StripeMerchant;
let aheadMs = 0;

beforeAll(async () => {
  merchant = await StripeMerchant.start({ now: () => Date.now() + aheadMs });
});
afterAll(() => merchant.sandbox.close());
beforeEach(async () => {
  aheadMs = 0;
  await merchant.control('POST', '/reset', { settings: true });
});

const REFUND = { payment_intent: 'pi_1', amount: '100', 'metadata[refund_no]': 'R1' };

describe('who may ask', () => {
  it.each<[string, StripeOverrides, string]>([
    ['no key', { authorization: null }, '401 invalid_request_error'],
    ['another key', { authorization: 'Bearer sk_test_0123456789abcdefghij' }, '401 invalid_request_error'],
    ['a publishable key', { authorization: 'Bearer pk_test_0123456789abcdefghij' }, '401 secret_key_required'],
    ['another scheme', { authorization: 'Digest x' }, '401 invalid_request_error'],
    ['no API version', { headers: { 'Stripe-Version': null } }, '400 invalid_request_error'],
    ['an API version that is none', { headers: { 'Stripe-Version': 'latest' } }, '400 invalid_request_error'],
    ['a connected account that is not there', { headers: { 'Stripe-Account': 'acct_2' } }, '403 account_invalid'],
  ])('refuses %s', async (_, overrides, wanted) => {
    const { gatewayRefundNo } = await merchant.register('R1', 'success');
    expect(errorOf(await merchant.retrieve(gatewayRefundNo, overrides))).toBe(wanted);
    expect(await merchant.truth('R1')).toMatchObject({ queries: 0 });
  });

  it('takes the key as a user of Basic too, and repeats no key that it refuses', async () => {
    const { gatewayRefundNo } = await merchant.register('R1', 'success');
    const basic = `Basic ${Buffer.from(`${merchant.config.secretKey}:`).toString('base64')}`;
    expect((await merchant.retrieve(gatewayRefundNo, { authorization: basic })).status).toBe(200);
    const { body } = await merchant.retrieve('re_1', { authorization: 'Bearer sk_test_0123456789abcdefghij' });
    expect(body).toContain('sk_test_****************ghij');
    expect(body).not.toContain('0123456789');
  });

  it('knows no other URL', async () => {
    expect(errorOf(await merchant.call('GET', '/v1/charges/ch_1', undefined))).toBe('404 invalid_request_error');
    expect(errorOf(await merchant.call('DELETE', '/v1/refunds/re_1', undefined))).toBe('404 invalid_request_error');
  });
});

describe('what a query answers', () => {
  it.each([
    ['processing', 'pending'],
    ['success', 'succeeded'],
    ['failed', 'failed'],
    ['closed', 'canceled'],
    ['abnormal', 'requires_action'],
  ])('%s is %s', async (scripted, status) => {
    const { gatewayRefundNo } = await merchant.register('R1', scripted, { paymentAmount: 888 });
    const answer = await merchant.retrieve(gatewayRefundNo);
    expect(answer.status).toBe(200);
    expect(answer.headers['request-id']).toMatch(/^req_[0-9A-Za-z]{14}$/);
    expect(answer.headers['stripe-version']).toBe('2026-10-28.endive');
    expect(json(answer)).toMatchObject({
      id: gatewayRefundNo,
      object: 'refund',
      amount: 100,
      currency: 'usd',
      charge: expect.stringMatching(/^ch_[0-9A-Za-z]{24}$/) as string,
      payment_intent: 'pi_R1',
      metadata: { refund_no: 'R1' },
      status,
    });
    expect(gatewayRefundNo).toMatch(/^re_[0-9A-Za-z]{24}$/);
    expect('failure_reason' in json(answer)).toBe(status === 'failed');
    expect('next_action' in json(answer)).toBe(status === 'requires_action');
  });

  it('notFound and unknown ids are 404 resource_missing', async () => {
    const { gatewayRefundNo } = await merchant.register('R1', 'notFound');
    for (const id of [gatewayRefundNo, 're_NEVER'])
      expect(errorOf(await merchant.retrieve(id))).toBe('404 resource_missing');
    expect(json(await merchant.list('payment_intent=pi_R1')).data).toEqual([]);
  });

  it('walks through a script by the time since registration', async () => {
    const { gatewayRefundNo } = await merchant.register('R1', [
      { afterMs: 0, status: 'processing' },
      { afterMs: 60_000, status: 'success' },
      { afterMs: 120_000, status: 'failed' },
    ]);
    const seen: unknown[] = [];
    for (aheadMs = 0; aheadMs <= 120_000; aheadMs += 60_000)
      seen.push(json(await merchant.retrieve(gatewayRefundNo)).status);
    expect(seen).toEqual(['pending', 'succeeded', 'failed']);
  });

  it('a payment is an intent with a charge, or a charge without an intent', async () => {
    await merchant.register('R1', 'success', { outTradeNo: 'ch_old' });
    expect(json(await merchant.list('charge=ch_old')).data).toMatchObject([{ charge: 'ch_old', payment_intent: null }]);
    await merchant.payment('pi_1', { transactionId: 'ch_1' });
    await merchant.register('R2', 'success', { outTradeNo: 'pi_1' });
    expect(json(await merchant.list('charge=ch_1')).data).toMatchObject([{ charge: 'ch_1', payment_intent: 'pi_1' }]);
    const refused = await merchant.control('POST', '/refunds', {
      channel: 'stripe',
      outRefundNo: 'R3',
      outTradeNo: 'ORDER-1',
      amount: 1,
      currency: 'USD',
      script: [{ afterMs: 0, status: 'success' }],
    });
    expect(refused).toMatchObject({
      status: 400,
      json: { error: expect.stringMatching(/^outTradeNo: .*pi_/) as string },
    });
  });
});

describe('a list', () => {
  beforeEach(async () => {
    for (const number of ['R1', 'R2', 'R3', 'R4', 'R5'])
      await merchant.register(number, 'success', { outTradeNo: 'pi_1' });
    await merchant.register('R9', 'success', { outTradeNo: 'pi_9' });
  });
  const numbers = (page: Json): unknown[] =>
    (page.data as { metadata: { refund_no: string } }[]).map(({ metadata }) => metadata.refund_no);

  it('has the newest first, of one payment', async () => {
    const page = json(await merchant.list('payment_intent=pi_1'));
    expect(page).toMatchObject({ object: 'list', has_more: false, url: '/v1/refunds' });
    expect(numbers(page)).toEqual(['R5', 'R4', 'R3', 'R2', 'R1']);
    expect(numbers(json(await merchant.list('limit=100')))).toHaveLength(6);
  });

  it('comes in pages', async () => {
    const first = json(await merchant.list('payment_intent=pi_1&limit=2'));
    expect([numbers(first), first.has_more]).toEqual([['R5', 'R4'], true]);
    const cursor = (first.data as { id: string }[])[1]?.id ?? '';
    const second = json(await merchant.list(`payment_intent=pi_1&limit=2&starting_after=${cursor}`));
    expect([numbers(second), second.has_more]).toEqual([['R3', 'R2'], true]);
    const last = (second.data as { id: string }[])[1]?.id ?? '';
    const third = json(await merchant.list(`payment_intent=pi_1&limit=2&starting_after=${last}`));
    expect([numbers(third), third.has_more]).toEqual([['R1'], false]);
    expect(numbers(json(await merchant.list(`payment_intent=pi_1&limit=2&ending_before=${last}`)))).toEqual([
      'R4',
      'R3',
    ]);
  });

  it.each<[string, string]>([
    ['limit=0', '400 parameter_invalid_integer'],
    ['limit=101', '400 parameter_invalid_integer'],
    ['limit=2.0', '400 parameter_invalid_integer'],
    ['refund_no=R1', '400 parameter_unknown'],
    ['metadata[refund_no]=R1', '400 parameter_unknown'],
    ['payment_intent=pi_1&starting_after=re_NEVER', '400 resource_missing'],
    ['starting_after=re_1&ending_before=re_1', '400 parameters_exclusive'],
    ['created[since]=1', '400 parameter_unknown'],
    ['charge=pi_1', '404 resource_missing'],
    ['payment_intent=ORDER-1', '404 resource_missing'],
    ['payment_intent=%', '400 invalid_request_error'],
  ])('refuses ?%s', async (query, wanted) => {
    expect(errorOf(await merchant.list(query))).toBe(wanted);
  });

  it('can be narrowed by time', async () => {
    const now = Math.floor(Date.now() / 1000);
    expect(numbers(json(await merchant.list(`payment_intent=pi_1&created[gte]=${now + 60}`)))).toEqual([]);
    expect(numbers(json(await merchant.list(`payment_intent=pi_1&created[gte]=${now - 60}`)))).toHaveLength(5);
  });

  it('of a payment without refunds is empty; without autoPayments such a payment is not known', async () => {
    expect(json(await merchant.list('payment_intent=pi_2')).data).toEqual([]);
    await merchant.settings({ autoPayments: false });
    expect(errorOf(await merchant.list('payment_intent=pi_2'))).toBe('404 resource_missing');
  });
});

describe('what a create must say', () => {
  it.each<[string, string, string]>([
    ['no payment', 'amount=100', '400 parameter_missing'],
    ['two payments', 'amount=100&payment_intent=pi_1&charge=ch_1', '400 parameters_exclusive'],
    ['a fraction of a cent', 'payment_intent=pi_1&amount=1.5', '400 parameter_invalid_integer'],
    ['100.0 instead of 100', 'payment_intent=pi_1&amount=100.0', '400 parameter_invalid_integer'],
    ['1e2 instead of 100', 'payment_intent=pi_1&amount=1e2', '400 parameter_invalid_integer'],
    ['nothing to refund', 'payment_intent=pi_1&amount=0', '400 parameter_invalid_integer'],
    ['less than nothing', 'payment_intent=pi_1&amount=-1', '400 parameter_invalid_integer'],
    ['an empty amount', 'payment_intent=pi_1&amount=', '400 parameter_invalid_empty'],
    ['an amount with members', 'payment_intent=pi_1&amount[value]=100', '400 parameter_invalid_string'],
    ['a reason of its own', 'payment_intent=pi_1&amount=100&reason=sold_out', '400 invalid_request_error'],
    ['a parameter that does not exist', 'payment_intent=pi_1&amount=100&refund_no=R1', '400 parameter_unknown'],
    ['a parameter in another case', 'payment_intent=pi_1&Amount=100', '400 parameter_unknown'],
    ['metadata that is a text', 'payment_intent=pi_1&amount=100&metadata=R1', '400 parameter_invalid_object'],
    [
      'a metadata key of 41',
      `payment_intent=pi_1&amount=100&metadata[${'k'.repeat(41)}]=1`,
      '400 invalid_request_error',
    ],
    [
      'a metadata value of 501',
      `payment_intent=pi_1&amount=100&metadata[k]=${'v'.repeat(501)}`,
      '400 invalid_request_error',
    ],
    [
      '51 metadata keys',
      `payment_intent=pi_1&amount=100${Array.from({ length: 51 }, (_, i) => `&metadata[k${i}]=1`).join('')}`,
      '400 invalid_request_error',
    ],
    ['an order number as payment', 'payment_intent=ORDER-1&amount=100', '404 resource_missing'],
    ['an intent as charge', 'charge=pi_1&amount=100', '404 resource_missing'],
    ['bytes that are no UTF-8', 'payment_intent=pi_1&amount=100&metadata[k]=%FF', '400 invalid_request_error'],
  ])('%s is refused', async (_, form, wanted) => {
    expect(errorOf(await merchant.create(form))).toBe(wanted);
    expect((await merchant.control('GET', '/refunds?channel=stripe')).json.total).toBe(0);
  });

  it('is form-encoded, not JSON', async () => {
    const answer = await merchant.create('{"payment_intent":"pi_1"}', {
      headers: { 'Content-Type': 'application/json' },
    });
    expect([errorOf(answer), answer.body.includes('x-www-form-urlencoded')]).toEqual([
      '400 invalid_request_error',
      true,
    ]);
  });
});

describe('what a create does', () => {
  beforeEach(() => merchant.settings({ defaultScript: [{ afterMs: 0, status: 'processing' }] }));

  it('makes a refund with its metadata, which follows the default script', async () => {
    await merchant.settings({
      defaultScript: [
        { afterMs: 0, status: 'processing' },
        { afterMs: 60_000, status: 'success' },
      ],
    });
    const created = json(await merchant.create({ ...REFUND, reason: 'duplicate', 'metadata[note]': 'a b+c' }));
    expect(created).toMatchObject({
      status: 'pending',
      reason: 'duplicate',
      metadata: { refund_no: 'R1', note: 'a b+c' },
    });
    aheadMs = 60_000;
    expect(json(await merchant.retrieve(created.id))).toMatchObject({ status: 'succeeded', id: created.id });
    expect(await merchant.truth('R1')).toMatchObject({
      status: 'success',
      gatewayRefundNo: created.id,
      creates: 1,
      refundsAtGateway: 1,
    });
  });

  it('takes the whole payment when no amount is said, and never more than it', async () => {
    await merchant.payment('pi_1', { amount: 300 });
    const create = async (amount?: string): Promise<string> =>
      errorOf(await merchant.create({ payment_intent: 'pi_1', ...(amount === undefined ? {} : { amount }) }));
    expect(await create('301')).toBe('400 invalid_request_error');
    expect(await create('200')).toBe('200 ok');
    const over = await merchant.create({ payment_intent: 'pi_1', amount: '101' });
    expect(json(over).error).toMatchObject({
      param: 'amount',
      message: expect.stringMatching(/greater than unrefunded/) as string,
    });
    expect(await create()).toBe('200 ok');
    expect(await create('1')).toBe('400 charge_already_refunded');
  });

  it('gives back what failed or was cancelled', async () => {
    await merchant.payment('pi_1', { amount: 100 });
    await merchant.register('R1', 'failed', { outTradeNo: 'pi_1', amount: 100 });
    await merchant.register('R2', 'closed', { outTradeNo: 'pi_1', amount: 100 });
    expect(errorOf(await merchant.create({ payment_intent: 'pi_1', amount: '100' }))).toBe('200 ok');
  });

  it('of a number that is there already is another refund, for Stripe knows no numbers', async () => {
    await merchant.payment('pi_1');
    await merchant.create(REFUND);
    await merchant.create(REFUND);
    expect(await merchant.truth('R1')).toMatchObject({
      refundsAtGateway: 2,
      payment: { refunds: 2, refundedAmount: 200 },
    });
    expect(await merchant.truth('R1#2')).toMatchObject({ refundsAtGateway: 2, status: 'processing' });
  });

  it('needs no number at all', async () => {
    const { id } = json(await merchant.create({ payment_intent: 'pi_1', amount: '100' }));
    expect(json(await merchant.retrieve(id))).toMatchObject({ metadata: {} });
    expect((await merchant.control('GET', '/refunds?channel=stripe')).json.total).toBe(1);
  });

  it('of a payment that nobody declared is 404 without autoPayments', async () => {
    await merchant.settings({ autoPayments: false });
    expect(errorOf(await merchant.create(REFUND))).toBe('404 resource_missing');
  });

  it('that was announced follows its own script', async () => {
    await merchant.register('R1', 'failed', { outTradeNo: 'pi_1', awaitCreate: true, paymentAmount: 888 });
    expect(json(await merchant.list('payment_intent=pi_1')).data).toEqual([]);
    expect(json(await merchant.create(REFUND)).status).toBe('failed');
  });

  it('can be changed in its metadata, and cancelled while it needs the payer', async () => {
    const { gatewayRefundNo } = await merchant.register('R1', 'abnormal');
    const path = `/v1/refunds/${String(gatewayRefundNo)}`;
    expect(json(await merchant.call('POST', path, 'metadata[note]=x&metadata[refund_no]=')).metadata).toEqual({
      note: 'x',
    });
    expect(errorOf(await merchant.call('POST', path, 'amount=1'))).toBe('400 parameter_unknown');
    expect(json(await merchant.call('POST', `${path}/cancel`, '')).status).toBe('canceled');
    expect(errorOf(await merchant.call('POST', `${path}/cancel`, ''))).toBe('400 invalid_request_error');
  });
});

describe('an idempotency key', () => {
  const KEY = { idempotencyKey: 'key-1' };

  it('gives the first answer again, marked, however the parameters are ordered', async () => {
    const first = await merchant.create(REFUND, KEY);
    const again = await merchant.create('metadata%5Brefund_no%5D=R1&amount=100&payment_intent=pi_1', KEY);
    expect([again.status, again.body]).toEqual([200, first.body]);
    expect([first.headers['idempotent-replayed'], again.headers['idempotent-replayed']]).toEqual([undefined, 'true']);
    expect(again.headers['original-request']).toBe(first.headers['request-id']);
    expect(await merchant.truth('R1')).toMatchObject({ creates: 2, refundsAtGateway: 1 });
  });

  it('gives a 500 again as well, for a refund that was never made', async () => {
    await merchant.fault('http500', { operation: 'create', count: 1 });
    for (const replayed of [undefined, 'true']) {
      const answer = await merchant.create(REFUND, KEY);
      expect([answer.status, answer.headers['idempotent-replayed']]).toEqual([500, replayed]);
    }
    expect(await merchant.truth('R1')).toMatchObject({ refundsAtGateway: 0 });
  });

  it('gives a refusal of the payment again, but not one of the parameters or of the rate', async () => {
    await merchant.payment('pi_1', { amount: 50 });
    expect(errorOf(await merchant.create(REFUND, KEY))).toBe('400 invalid_request_error');
    await merchant.payment('pi_1', { amount: 500 });
    expect(errorOf(await merchant.create(REFUND, KEY))).toBe('400 invalid_request_error');
    expect(errorOf(await merchant.create({ ...REFUND, amount: 'x' }, { idempotencyKey: 'key-2' }))).toBe(
      '400 parameter_invalid_integer',
    );
    await merchant.fault('http429', { operation: 'create', count: 1 });
    expect(errorOf(await merchant.create(REFUND, { idempotencyKey: 'key-2' }))).toBe('429 lock_timeout');
    expect(errorOf(await merchant.create(REFUND, { idempotencyKey: 'key-2' }))).toBe('200 ok');
  });

  it('is refused for other parameters', async () => {
    await merchant.create(REFUND, KEY);
    expect(errorOf(await merchant.create({ ...REFUND, amount: '101' }, KEY))).toBe('400 idempotency_error');
  });

  it('is refused while the first request is under way', async () => {
    await merchant.fault('slow', { operation: 'create', slowMs: 150, count: 1 });
    const first = merchant.create(REFUND, KEY);
    await until(
      () => merchant.truth('R1'),
      ({ activeCalls }) => activeCalls === 1,
    );
    const second = await merchant.create(REFUND, KEY);
    expect([errorOf(second), second.headers['stripe-should-retry']]).toEqual(['409 idempotency_key_in_use', 'true']);
    expect((await first).status).toBe(200);
    expect((await merchant.create(REFUND, KEY)).headers['idempotent-replayed']).toBe('true');
  });

  it('is forgotten after its time: then the same request is a second refund', async () => {
    await merchant.create(REFUND, KEY);
    aheadMs = 24 * 3600 * 1000 - 1000;
    await merchant.create(REFUND, KEY);
    expect(await merchant.truth('R1')).toMatchObject({ refundsAtGateway: 1 });
    aheadMs += 2000;
    expect((await merchant.create(REFUND, KEY)).headers['idempotent-replayed']).toBeUndefined();
    expect(await merchant.truth('R1')).toMatchObject({ refundsAtGateway: 2 });
  });

  it('lives as long as the settings say', async () => {
    await merchant.settings({ idempotencyKeyLifetimeMs: 20 });
    await merchant.create(REFUND, KEY);
    await pause(30);
    await merchant.create(REFUND, KEY);
    expect(await merchant.truth('R1')).toMatchObject({ refundsAtGateway: 2 });
  });

  it('is forgotten by a reset', async () => {
    await merchant.create(REFUND, KEY);
    await merchant.control('POST', '/reset');
    expect((await merchant.create(REFUND, KEY)).headers['idempotent-replayed']).toBeUndefined();
  });
});

describe('calls that go wrong', () => {
  async function outcome(call: Promise<{ status: number; body: string; headers: Json }>): Promise<string> {
    try {
      return errorOf((await call) as never);
    } catch (error) {
      return (error as { code?: string }).code ?? String(error);
    }
  }

  it.each([
    ['reset', 'ECONNRESET'],
    ['http500', '500 api_error'],
    ['http429', '429 rate_limit'],
  ])('%s: queries by id and by payment see %s', async (kind, seen) => {
    const { gatewayRefundNo } = await merchant.register('R1', 'success');
    await merchant.fault(kind, { count: 2 });
    expect(await outcome(merchant.retrieve(gatewayRefundNo))).toBe(seen);
    expect(await outcome(merchant.list('payment_intent=pi_R1'))).toBe(seen);
    expect(await outcome(merchant.list('payment_intent=pi_R1'))).toBe('200 ok');
  });

  it.each([
    ['lostRequest', 'ECONNRESET', 0],
    ['reset', 'ECONNRESET', 0],
    ['lostAnswer', 'ECONNRESET', 1],
    ['http429', '429 lock_timeout', 0],
    ['refused', '400 charge_disputed', 0],
  ])('%s: a create sees %s and Stripe has %i refunds', async (kind, seen, stored) => {
    await merchant.fault(kind, { operation: 'create', count: 1 });
    expect(await outcome(merchant.create(REFUND, { idempotencyKey: 'k' }))).toBe(seen);
    expect(await merchant.truth('R1')).toMatchObject({ creates: 1, refundsAtGateway: stored });
    const again = await outcome(merchant.create(REFUND, { idempotencyKey: 'k' }));
    expect(again).toBe(kind === 'refused' ? '400 charge_disputed' : '200 ok');
    expect((await merchant.truth('R1')).refundsAtGateway).toBe(kind === 'refused' ? 0 : 1);
  });

  it('timeout: stored, never answered, given again under the key', async () => {
    await merchant.fault('timeout', { count: 1 });
    await expect(merchant.create(REFUND, { idempotencyKey: 'k', signal: AbortSignal.timeout(60) })).rejects.toThrow();
    expect((await merchant.create(REFUND, { idempotencyKey: 'k' })).headers['idempotent-replayed']).toBe('true');
    expect(await merchant.truth('R1')).toMatchObject({ refundsAtGateway: 1, maxConcurrentCalls: 1 });
  });

  it('malformed and wrongAmount: half the JSON, one cent more', async () => {
    const { gatewayRefundNo } = await merchant.register('R1', 'success');
    await merchant.fault('malformed', { count: 1 });
    const half = await merchant.retrieve(gatewayRefundNo);
    expect(() => json(half)).toThrow();
    await merchant.fault('wrongAmount', { count: 2 });
    expect(json(await merchant.retrieve(gatewayRefundNo)).amount).toBe(101);
    expect(json(await merchant.list('payment_intent=pi_R1')).data).toMatchObject([{ amount: 101 }]);
  });

  it('notFoundThenFound: hidden from both kinds of queries', async () => {
    const { gatewayRefundNo } = await merchant.register('R1', 'success');
    await merchant.fault('notFoundThenFound');
    expect(json(await merchant.list('payment_intent=pi_R1')).data).toEqual([]);
    expect(await outcome(merchant.retrieve(gatewayRefundNo))).toBe('404 resource_missing');
    expect(json(await merchant.list('payment_intent=pi_R1')).data).toHaveLength(1);
  });

  it('successThenFailed: succeeded is answered once, then the truth is failed', async () => {
    const { gatewayRefundNo } = await merchant.register('R1', 'success');
    await merchant.fault('successThenFailed');
    expect(json(await merchant.retrieve(gatewayRefundNo)).status).toBe('succeeded');
    expect(json(await merchant.retrieve(gatewayRefundNo))).toMatchObject({
      status: 'failed',
      failure_reason: expect.any(String) as string,
    });
    expect((await merchant.truth('R1')).status).toBe('failed');
  });

  it('limits the rate of all calls', async () => {
    const { gatewayRefundNo } = await merchant.register('R1', 'success');
    await merchant.settings({ ratePerSecond: 1 });
    const seen = await Promise.all(Array.from({ length: 5 }, () => outcome(merchant.retrieve(gatewayRefundNo))));
    expect(seen).toContain('429 rate_limit');
  });

  it('counts what happens at the same time', async () => {
    const { gatewayRefundNo } = await merchant.register('R1', 'success');
    await merchant.fault('slow', { slowMs: 100 });
    await Promise.all([merchant.retrieve(gatewayRefundNo), merchant.list('payment_intent=pi_R1')]);
    expect(await merchant.truth('R1')).toMatchObject({ queries: 2, maxConcurrentQueries: 2, activeCalls: 0 });
  });
});

describe('settings for connectors', () => {
  it('are complete, and say that callbacks are no setting of the connector', async () => {
    const { json: accounts } = await merchant.control('GET', '/accounts');
    const stripe = (accounts.items as Json[]).find(({ channel }) => channel === 'stripe');
    expect(stripe).toEqual({
      channel: 'stripe',
      gateway: 'stripe',
      webhook: true,
      config: {
        secretKey: expect.stringMatching(/^sk_test_[0-9A-Za-z]{40}$/) as string,
        webhookSecret: expect.stringMatching(/^whsec_[0-9A-Za-z]{32}$/) as string,
        baseUrl: merchant.sandbox.url,
      },
    });
  });
});

describe('the signature of an event', () => {
  it('is the one of the vector', () => {
    const { secret, timestamp, body, header } = vectors.webhook;
    expect(`t=${timestamp},v1=${signatureOf(secret, timestamp, body)}`).toBe(header);
  });
});
