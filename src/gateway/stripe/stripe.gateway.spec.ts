import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';

import vectors from '../../../test/vectors/stripe.json' with { type: 'json' };
import { GatewayError } from '../gateway.error.js';
import type { GatewayCall, RefundOrder } from '../gateway.port.js';
import { createStripeClient, type StripeRequest, type StripeTransport } from './stripe.client.js';
import type { StripeConfig } from './stripe.config.js';
import type { StripeAnswer } from './stripe.errors.js';
import { createStripeGateway, stripeGateway, stripePolicy } from './stripe.gateway.js';

const config: StripeConfig = { secretKey: 'sk_test_4eC39HqLyjWDarjtT1zdp7dc', webhookSecret: 'whsec_test_secret' };
const order = (over: Partial<RefundOrder> = {}): RefundOrder => ({
  gatewayRequestNo: 'TESTREFUND0001',
  gatewayRequestTime: null,
  gatewayRefundNo: null,
  outTradeNo: 'ORDER-1',
  gatewayPaymentNo: 'pi_3MmlLrLkdIwHu7ix0XtBUWVl',
  amountMinor: 1000,
  paymentAmountMinor: 5000,
  currency: 'USD',
  reason: null,
  clientIp: null,
  ...over,
});
const refund = (over: Record<string, unknown> = {}): Record<string, unknown> => ({ ...vectors.refund, ...over });
const answer = (body: unknown, over: Partial<StripeAnswer> = {}): StripeAnswer => ({
  httpStatus: 200,
  body: typeof body === 'string' ? body : JSON.stringify(body),
  requestId: 'req_1',
  account: null,
  replayed: false,
  retryAfter: null,
  ...over,
});
const page = (data: unknown[], hasMore = false) =>
  answer({ object: 'list', url: '/v1/refunds', data, has_more: hasMore });
const missing = answer(
  { error: { type: 'invalid_request_error', code: 'resource_missing', message: 'No such thing' } },
  { httpStatus: 404 },
);

/** A gateway whose network gives these answers in turn, the last one for ever; keeps what it was asked. */
function gatewayAnswering(...replies: StripeAnswer[]) {
  const asked: StripeRequest[] = [];
  const gateway = createStripeGateway(() => ({
    send: (request) => {
      asked.push(request);
      return Promise.resolve(replies[Math.min(asked.length, replies.length) - 1] as StripeAnswer);
    },
  }));
  return { gateway, asked };
}

const call = (over: Partial<RefundOrder> = {}, settings: Partial<StripeConfig> = {}): GatewayCall<StripeConfig> => ({
  config: { ...config, ...settings },
  order: order(over),
  signal: new AbortController().signal,
  timeoutMs: 1000,
});

async function query(replies: StripeAnswer[], over: Partial<RefundOrder> = {}) {
  const { gateway, asked } = gatewayAnswering(...replies);
  return { observation: await gateway.queryRefund(call(over)), asked };
}

const prepare = (over: Partial<RefundOrder> = {}): string => stripeGateway.prepareCreate?.(order(over), config) ?? '';

function thrownBy(act: () => unknown): GatewayError {
  try {
    act();
  } catch (error) {
    if (error instanceof GatewayError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

describe('the declaration', () => {
  it('says what the service has to know', () => {
    expect(stripeGateway).toMatchObject({ code: 'stripe', channel: 'stripe', displayName: 'Stripe' });
    expect(stripePolicy).toMatchObject({
      timeoutMs: 15_000,
      notFoundGraceMs: 86_400_000,
      createReplay: { mode: 'ttl', ttlMs: 23 * 3_600_000 },
      notFoundIsDistinguishable: true,
      lateFailure: true,
      rate: { perSecond: 20, concurrency: 10 },
    });
  });

  it('compares accounts where one is named', () => {
    expect(stripeGateway.merchantId({ ...config, accountId: 'acct_1' })).toBe('acct_1');
    expect(stripeGateway.merchantId(config)).toBe('stripe');
  });

  it('looks seldom, and after the end hourly for a day, then daily for a month', () => {
    const hours = (pausesMs: readonly number[]) => pausesMs.map((pauseMs) => pauseMs / 3_600_000);
    expect(stripePolicy.scheduleMs.slice(0, 3).map((pauseMs) => pauseMs / 60_000)).toEqual([1, 5, 15]);
    expect(hours(stripePolicy.scheduleMs.slice(3))).toEqual([1, 2, 6, 12, 24]);
    expect(hours(stripePolicy.verifyAfterEnd?.scheduleMs ?? [])).toEqual([...Array<number>(24).fill(1), 24]);
    expect(stripePolicy.verifyAfterEnd?.forMs).toBe(30 * 86_400_000);
  });
});

describe('a query by Stripe’s number', () => {
  const known = { gatewayRefundNo: 're_3MmlLrLkdIwHu7ix0uke3Ezy' };

  it('retrieves the refund, and compares the payment in its own number', async () => {
    const { observation, asked } = await query([answer(refund())], known);
    expect(asked).toMatchObject([{ kind: 'retrieve', refundId: 're_3MmlLrLkdIwHu7ix0uke3Ezy' }]);
    expect(observation).toMatchObject({
      kind: 'success',
      authenticated: true,
      identity: { gatewayRequestNo: 'TESTREFUND0001', outTradeNo: 'ORDER-1' },
      raw: { body: { request_id: 'req_1' } },
    });
  });

  it('of a refund of another payment says which', async () => {
    const { observation } = await query([answer(refund())], { ...known, gatewayPaymentNo: 'pi_other' });
    expect(observation.identity.outTradeNo).toBe('pi_3MmlLrLkdIwHu7ix0XtBUWVl');
  });

  it('needs no number of the payment', async () => {
    const { observation } = await query([answer(refund())], { ...known, gatewayPaymentNo: null });
    expect(observation.identity).not.toHaveProperty('outTradeNo');
  });

  it('names the account that answered', async () => {
    const { observation } = await query([answer(refund(), { account: 'acct_2' })], known);
    expect(observation.identity.merchantId).toBe('acct_2');
  });

  it('is not found when Stripe does not have it', async () => {
    const { observation } = await query([missing], known);
    expect(observation).toMatchObject({ kind: 'notFound', authenticated: true, raw: { code: 'resource_missing' } });
  });

  it.each(['', 're_', '../charges', 're_1?expand[]=charge', 're 1', `re_${'x'.repeat(61)}`, 'R0001'])(
    'of the number %j is not sent',
    async (gatewayRefundNo) => {
      const { gateway, asked } = gatewayAnswering(answer(refund()));
      await expect(gateway.queryRefund(call({ gatewayRefundNo }))).rejects.toMatchObject({
        kind: 'rejected',
        code: 'invalid_order',
      });
      expect(asked).toEqual([]);
    },
  );

  it.each<[string, StripeAnswer, Record<string, unknown>]>([
    ['half a refund', answer('{"id":'), { kind: 'unavailable', code: 'malformed' }],
    ['a list', page([]), { kind: 'unavailable', code: 'malformed' }],
    ['a success without an amount', answer(refund({ amount: null })), { kind: 'unavailable', code: 'malformed' }],
    ['a redirect', answer('', { httpStatus: 302 }), { kind: 'unavailable' }],
    ['a 404 of something else', answer('<html>', { httpStatus: 404 }), { kind: 'unavailable', code: 'http_404' }],
    [
      'a 500',
      answer({ error: { type: 'api_error' } }, { httpStatus: 500 }),
      { kind: 'unavailable', code: 'api_error' },
    ],
  ])('that is answered with %s says nothing of the refund', async (_, reply, wanted) => {
    await expect(query([reply], known)).rejects.toMatchObject(wanted);
  });
});

describe('a query by our number', () => {
  const other = (id: string, refundNo = 'OTHER') => refund({ id, metadata: { refund_no: refundNo } });

  it.each<[string, Partial<RefundOrder>, unknown]>([
    ['of an intent', {}, { payment_intent: 'pi_3MmlLrLkdIwHu7ix0XtBUWVl' }],
    ['of a charge', { gatewayPaymentNo: 'ch_1' }, { charge: 'ch_1' }],
    ['of a charge of another kind', { gatewayPaymentNo: 'py_1' }, { charge: 'py_1' }],
    [
      'whose number the merchant uses as its own',
      { gatewayPaymentNo: null, outTradeNo: 'pi_1' },
      { payment_intent: 'pi_1' },
    ],
    ['whose other number is none of Stripe’s', { gatewayPaymentNo: 'X', outTradeNo: 'ch_1' }, { charge: 'ch_1' }],
  ])('lists the refunds %s', async (_, over, of) => {
    const { asked } = await query([page([])], over);
    expect(asked).toMatchObject([{ kind: 'list', of }]);
    expect(asked[0]).not.toHaveProperty('startingAfter');
  });

  it('finds the refund by its metadata', async () => {
    const { observation } = await query([page([other('re_9'), refund({ metadata: null }), refund()])]);
    expect(observation).toMatchObject({
      kind: 'success',
      gatewayRefundNo: 're_3MmlLrLkdIwHu7ix0uke3Ezy',
      identity: { gatewayRequestNo: 'TESTREFUND0001', outTradeNo: 'ORDER-1' },
    });
  });

  it('finds none where none has it', async () => {
    const { observation } = await query([page([other('re_9'), other('re_8', 'TESTREFUND00010')])]);
    expect(observation).toMatchObject({
      kind: 'notFound',
      authenticated: true,
      identity: {},
      raw: { code: 'not_listed', body: { payment: 'pi_3MmlLrLkdIwHu7ix0XtBUWVl', listed: 2 } },
    });
  });

  it('turns the pages', async () => {
    const { observation, asked } = await query([
      page([other('re_9'), other('re_8')], true),
      page([other('re_7'), refund()]),
    ]);
    expect(observation.kind).toBe('success');
    expect(asked).toMatchObject([{ kind: 'list' }, { kind: 'list', startingAfter: 're_8' }]);
  });

  it('turns five pages at most, and does not call that not found', async () => {
    const { gateway, asked } = gatewayAnswering(page([other('re_9')], true));
    await expect(gateway.queryRefund(call())).rejects.toMatchObject({ kind: 'rejected', code: 'too_many_refunds' });
    expect(asked).toHaveLength(5);
    const { observation } = await query([page([refund()], true)]);
    expect(observation.kind).toBe('abnormal'); // the same page five times: five refunds with our number
  });

  it('shares its time among the pages', async () => {
    const { asked } = await query([page([other('re_9')], true), page([])]);
    expect(asked[1]?.timeoutMs).toBeLessThan(asked[0]?.timeoutMs ?? 0);
  });

  it('takes the attempt that did not fail, where the merchant used the number again', async () => {
    const failed = refund({ id: 're_1', status: 'failed' });
    for (const data of [
      [refund(), failed],
      [failed, refund()],
    ])
      expect((await query([page(data)])).observation).toMatchObject({ kind: 'success' });
    const newest = refund({ id: 're_2', status: 'canceled' });
    expect((await query([page([newest, failed])])).observation).toMatchObject({
      kind: 'failed',
      gatewayRefundNo: 're_2',
    });
  });

  it.each(['succeeded', 'pending'])('calls a person for two that did not fail (%s)', async (status) => {
    const { observation } = await query([page([refund({ id: 're_2', status }), refund()])]);
    expect(observation).toMatchObject({
      kind: 'abnormal',
      gatewayRefundNo: null,
      message: expect.stringMatching(/2 refunds.*re_2, re_3MmlLrLkdIwHu7ix0uke3Ezy/) as string,
      raw: { code: 'duplicate_refund' },
    });
  });

  it('says what is missing when Stripe’s number of the payment is not known', async () => {
    const { gateway, asked } = gatewayAnswering(page([]));
    await expect(gateway.queryRefund(call({ gatewayPaymentNo: null }))).rejects.toMatchObject({
      kind: 'rejected',
      code: 'payment_reference_missing',
      message: expect.stringMatching(/pi_… or ch_… as gatewayPaymentNo .*re_… as gatewayRefundNo/) as string,
    });
    expect(asked).toEqual([]);
  });

  it('does not take a payment that is missing for a refund that is', async () => {
    await expect(query([missing])).rejects.toMatchObject({ kind: 'rejected', code: 'resource_missing' });
  });

  it.each<[string, StripeAnswer]>([
    ['half a list', answer('{"object":"list","data":[')],
    ['a refund', answer(refund())],
    ['a list without data', answer({ object: 'list', has_more: false })],
    ['a list that does not say whether it goes on', answer({ object: 'list', data: [] })],
    ['a list that goes on after nothing', page([], true)],
    ['an item without id', page([refund({ id: undefined })])],
    ['our refund, broken', page([refund({ amount: '1000' })])],
  ])('that is answered with %s says nothing of the refund', async (_, reply) => {
    await expect(query([reply])).rejects.toMatchObject({ kind: 'unavailable', code: 'malformed' });
  });
});

describe('a prepared create', () => {
  it('is exactly this text', () => {
    expect(prepare()).toBe('payment_intent=pi_3MmlLrLkdIwHu7ix0XtBUWVl&amount=1000&metadata[refund_no]=TESTREFUND0001');
    expect(prepare({ gatewayPaymentNo: 'ch_1', reason: 'duplicate', currency: 'ISK', amountMinor: 5 })).toBe(
      'charge=ch_1&amount=500&reason=duplicate&metadata[refund_no]=TESTREFUND0001',
    );
  });

  it.each(['requested_by_customer', 'fraudulent', ' duplicate '])('keeps the reason %j', (reason) => {
    expect(new URLSearchParams(prepare({ reason })).get('reason')).toBe(reason.trim());
  });

  it.each([null, '', '商品售完', 'Duplicate', 'expired_uncaptured_charge'])('leaves out the reason %j', (reason) => {
    expect(prepare({ reason })).not.toContain('reason=');
  });

  it.each<[string, Partial<RefundOrder>]>([
    ['no number of Stripe’s for the payment', { gatewayPaymentNo: null }],
    ['an empty refund number', { gatewayRequestNo: '' }],
    ['a refund number with a line break', { gatewayRequestNo: 'R\n1' }],
    ['a refund number of 65', { gatewayRequestNo: 'x'.repeat(65) }],
    ['no amount', { amountMinor: 0 }],
    ['half a cent', { amountMinor: 0.5 }],
    ['half an ariary', { amountMinor: 50, currency: 'MGA' }],
    ['a thousandth that Stripe does not take', { amountMinor: 5124, currency: 'KWD' }],
  ])('cannot be made with %s', (_, over) => {
    expect(thrownBy(() => prepare(over))).toMatchObject({
      kind: 'rejected',
      code: 'invalid_order',
      nothingHappened: true,
    });
  });
});

describe('a create', () => {
  it('sends the prepared text under a key that follows from our number', async () => {
    const { gateway, asked } = gatewayAnswering(answer(refund({ status: 'pending' })));
    const observation = await gateway.sendCreate?.(call(), prepare());
    expect(observation).toMatchObject({ kind: 'processing', gatewayRefundNo: 're_3MmlLrLkdIwHu7ix0uke3Ezy' });
    expect(asked).toMatchObject([{ kind: 'create', payload: prepare(), idempotencyKey: 'refund-sync:TESTREFUND0001' }]);
  });

  it('keeps as evidence that the answer was given before', async () => {
    const { gateway } = gatewayAnswering(answer(refund(), { replayed: true }));
    expect(await gateway.sendCreate?.(call(), prepare())).toMatchObject({
      raw: { body: { idempotent_replayed: true } },
    });
  });

  it.each([
    ['of another refund', prepare({ gatewayRequestNo: 'TESTREFUND0002' })],
    ['without a number', 'payment_intent=pi_1&amount=100'],
    ['that is no form', '{"payment_intent":"pi_1"}'],
  ])('of a text %s is not sent', async (_, payload) => {
    const { gateway, asked } = gatewayAnswering(answer(refund()));
    await expect(gateway.sendCreate?.(call(), payload)).rejects.toMatchObject({
      kind: 'rejected',
      code: 'invalid_payload',
      nothingHappened: false,
    });
    expect(asked).toEqual([]);
  });

  it.each<[string, StripeAnswer, Record<string, unknown>]>([
    ['half a refund', answer('{"id":'), { kind: 'ambiguous', code: 'malformed' }],
    ['nothing', answer(''), { kind: 'ambiguous', code: 'malformed' }],
    [
      'a saved 500',
      answer({ error: { type: 'api_error' } }, { httpStatus: 500, replayed: true }),
      { kind: 'ambiguous', nothingHappened: false },
    ],
    [
      'a refusal',
      answer({ error: { type: 'invalid_request_error', code: 'charge_disputed' } }, { httpStatus: 400 }),
      { kind: 'rejected', nothingHappened: true },
    ],
  ])('that is answered with %s', async (_, reply, wanted) => {
    const { gateway } = gatewayAnswering(reply);
    await expect(gateway.sendCreate?.(call(), prepare())).rejects.toMatchObject(wanted);
  });
});

describe('through the real client', () => {
  const gatewayOver = (transport: StripeTransport) =>
    createStripeGateway((account) => createStripeClient(account, transport));

  it.each(['R-1', "!*()'~", 'a[b]=c&d', '100%+1', 'x'.repeat(64)])(
    'the library sends the prepared text for the number %j as it stands',
    async (gatewayRequestNo) => {
      const bodies: string[] = [];
      const gateway = gatewayOver(({ body }) => {
        bodies.push(body);
        return Promise.resolve({
          status: 200,
          headers: {},
          body: JSON.stringify(refund({ metadata: { refund_no: gatewayRequestNo } })),
        });
      });
      const payload = prepare({ gatewayRequestNo });
      const observation = await gateway.sendCreate?.(call({ gatewayRequestNo }), payload);
      expect(bodies).toEqual([payload]);
      expect(observation?.identity.gatewayRequestNo).toBe(gatewayRequestNo);
    },
  );

  it.each<[string, StripeTransport]>([
    [
      'a refusal that repeats the key',
      () =>
        Promise.resolve({
          status: 401,
          headers: { 'request-id': 'req_1' },
          body: JSON.stringify({
            error: { type: 'invalid_request_error', message: `Invalid API Key: ${config.secretKey}` },
          }),
        }),
    ],
    ['a malformed answer', () => Promise.resolve({ status: 200, headers: {}, body: `{"x":"${config.secretKey}"` })],
    ['a broken connection', () => Promise.reject(Object.assign(new Error('socket hang up'), { code: 'ECONNRESET' }))],
  ])('%s becomes an error that holds no secret', async (_, transport) => {
    const error: unknown = await gatewayOver(transport)
      .queryRefund(call({ gatewayRefundNo: 're_1' }))
      .catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(GatewayError);
    expect(inspect(error, { depth: 20, showHidden: true })).not.toMatch(
      /4eC39HqLyjWDarjtT1zdp7dc|Bearer|Authorization/,
    );
  });

  it('an observation holds no personal field', async () => {
    const gateway = gatewayOver(() => Promise.resolve({ status: 200, headers: {}, body: JSON.stringify(refund()) }));
    const observation = await gateway.queryRefund(call({ gatewayRefundNo: 're_1' }));
    expect(JSON.stringify(observation)).not.toMatch(/cus_|4000002500003155|internal_note/);
  });
});
