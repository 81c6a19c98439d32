import { createPrivateKey, sign } from 'node:crypto';
import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';

import vectors from '../../../test/vectors/alipay.json' with { type: 'json' };
import { parseJson, type JsonObject } from '../../shared/lossless-json.js';
import { GatewayError } from '../gateway.error.js';
import type { GatewayCall, RefundOrder } from '../gateway.port.js';
import { alipayClient, type AlipayRequest, type AlipayTransport } from './alipay.client.js';
import type { AlipayConfig } from './alipay.config.js';
import type { AlipayAnswer } from './alipay.errors.js';
import { alipayGateway, alipayPolicy, classifyAnswer, createAlipayGateway } from './alipay.gateway.js';

const config: AlipayConfig = {
  appId: '2021000000000000',
  privateKey: vectors.keyA.privateKey,
  alipayPublicKey: vectors.keyA.publicKey,
};
const order = (over: Partial<RefundOrder> = {}): RefundOrder => ({
  gatewayRequestNo: 'TESTREFUND0001',
  gatewayRequestTime: null,
  gatewayRefundNo: null,
  outTradeNo: 'TESTORDER0001',
  gatewayPaymentNo: null,
  amountMinor: 100,
  paymentAmountMinor: 888,
  currency: 'CNY',
  reason: null,
  clientIp: null,
  ...over,
});
const answer = (text: string, over: Partial<AlipayAnswer> = {}, verified = true): AlipayAnswer => ({
  httpStatus: 200,
  response: {
    fields: parseJson(text) as JsonObject,
    verified,
    unverifiedBecause: verified ? null : 'its signature is wrong',
  },
  traceId: 'TRACE-1',
  ...over,
});
const SUCCESS = vectors.signatures.A2.text;
const NOTHING_SAID = '{"code":"10000","msg":"Success"}';
const refusal = (code: string, subCode: string) => `{"code":"${code}","msg":"m","sub_code":"${subCode}","sub_msg":"s"}`;

const prepare = (over: Partial<RefundOrder> = {}): string => alipayGateway.prepareCreate?.(order(over), config) ?? '';
const prepared = (over: Partial<RefundOrder> = {}) => JSON.parse(prepare(over)) as Record<string, unknown>;

function thrownBy(act: () => unknown): GatewayError {
  try {
    act();
  } catch (error) {
    if (error instanceof GatewayError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

/** A gateway whose network answers `reply`; keeps what it was asked. */
function gatewayAnswering(reply: AlipayAnswer) {
  const asked: AlipayRequest[] = [];
  const gateway = createAlipayGateway(() => ({
    send: (request) => {
      asked.push(request);
      return Promise.resolve(reply);
    },
  }));
  return { gateway, asked };
}

const call = (over: Partial<RefundOrder> = {}): GatewayCall<AlipayConfig> => ({
  config,
  order: order(over),
  signal: new AbortController().signal,
  timeoutMs: 1000,
});

describe('the declaration', () => {
  it('says what the service has to know', () => {
    expect(alipayGateway).toMatchObject({ code: 'alipay', channel: 'ali_pay' });
    expect(alipayGateway.merchantId(config)).toBe('2021000000000000');
    expect(alipayPolicy).toMatchObject({
      timeoutMs: 10_000,
      notFoundGraceMs: 86_400_000,
      createReplay: { mode: 'forever' },
      notFoundIsDistinguishable: false,
      lateFailure: false,
    });
    expect(alipayPolicy.verifyAfterEnd).toBeUndefined();
    expect(alipayPolicy.scheduleMs.map((ms) => ms / 1000)).toEqual([10, 30, 60, 120, 300, 600, 1800, 3600]);
  });
});

describe('what an answer says', () => {
  it('10000 is believed under a right signature alone', () => {
    expect(classifyAnswer('query', answer(SUCCESS))).toMatchObject({ kind: 'success', amountMinor: 100 });
    for (const [operation, kind] of [
      ['query', 'unavailable'],
      ['create', 'ambiguous'],
    ] as const) {
      const error = thrownBy(() => classifyAnswer(operation, answer(SUCCESS, {}, false)));
      expect(error).toMatchObject({ kind, code: 'bad_signature' });
      expect(error.message).toContain('its signature is wrong');
    }
  });

  it('an unsigned answer without refund_status does not even say that nothing is known', () => {
    expect(thrownBy(() => classifyAnswer('query', answer(NOTHING_SAID, {}, false)))).toMatchObject({
      kind: 'unavailable',
    });
  });

  it('a create is never a success by itself', () => {
    const text = '{"code":"10000","msg":"Success","fund_change":"Y","refund_fee":"1.00","trade_no":"2024"}';
    expect(classifyAnswer('create', answer(text))).toMatchObject({ kind: 'processing', authenticated: true });
  });

  it('a trade that is not there is not found, and says whether it was signed', () => {
    const text = refusal('40004', 'ACQ.TRADE_NOT_EXIST');
    expect(classifyAnswer('query', answer(text))).toMatchObject({ kind: 'notFound', authenticated: true });
    expect(classifyAnswer('query', answer(text, {}, false))).toMatchObject({ kind: 'notFound', authenticated: false });
  });

  it('a refusal of a create is believed to have changed nothing when it is signed and listed', () => {
    const text = refusal('40004', 'ACQ.TRADE_HAS_FINISHED');
    expect(thrownBy(() => classifyAnswer('create', answer(text)))).toMatchObject({
      kind: 'rejected',
      nothingHappened: true,
    });
    expect(thrownBy(() => classifyAnswer('create', answer(text, {}, false)))).toMatchObject({
      kind: 'rejected',
      nothingHappened: false,
    });
  });

  it('an unsigned refusal of the gateway itself is not masked by its missing signature', () => {
    const text = refusal('40002', 'isv.invalid-app-id');
    expect(thrownBy(() => classifyAnswer('query', answer(text, {}, false)))).toMatchObject({
      kind: 'badConfig',
      code: 'isv.invalid-app-id',
    });
  });

  it.each([
    ['query', 500, 'unavailable'],
    ['create', 502, 'ambiguous'],
    ['query', 302, 'unavailable'],
    ['query', 404, 'unavailable'],
    ['query', 429, 'rateLimited'],
    ['create', 429, 'rateLimited'],
  ] as const)('%s: HTTP %d comes from in front of the gateway: %s', (operation, httpStatus, kind) => {
    const error = thrownBy(() => classifyAnswer(operation, answer(SUCCESS, { httpStatus, response: null })));
    expect(error).toMatchObject({ kind, code: `http_${httpStatus}`, nothingHappened: false });
  });

  it('what is no answer of the gateway is malformed, as is a success without its amount', () => {
    expect(thrownBy(() => classifyAnswer('query', answer(SUCCESS, { response: null })))).toMatchObject({
      code: 'malformed',
    });
    const lacking = SUCCESS.replace('"refund_amount":"1.00",', '');
    const error = thrownBy(() => classifyAnswer('query', answer(lacking)));
    expect(error).toMatchObject({ kind: 'unavailable', code: 'malformed' });
    expect(error.message).toContain('refund_amount');
  });

  it('keeps the trace that Alipay’s support asks for', () => {
    expect(classifyAnswer('query', answer(SUCCESS)).raw.body.trace_id).toBe('TRACE-1');
    expect(thrownBy(() => classifyAnswer('query', answer(refusal('40004', 'ACQ.X')))).raw?.body.trace_id).toBe(
      'TRACE-1',
    );
  });
});

describe('a query', () => {
  it('asks for the time with the refund, by the payment’s number', async () => {
    const { gateway, asked } = gatewayAnswering(answer(SUCCESS));
    await gateway.queryRefund(call());
    expect(asked[0]).toMatchObject({
      operation: 'query',
      bizContent:
        '{"out_trade_no":"TESTORDER0001","out_request_no":"TESTREFUND0001","query_options":["gmt_refund_pay"]}',
    });
  });

  it('names Alipay’s number of the payment alone where it is known', async () => {
    const { gateway, asked } = gatewayAnswering(answer(SUCCESS));
    await gateway.queryRefund(call({ gatewayPaymentNo: '2024010122001400000000000001' }));
    expect(JSON.parse(asked[0]?.bizContent ?? '')).toEqual({
      trade_no: '2024010122001400000000000001',
      out_request_no: 'TESTREFUND0001',
      query_options: ['gmt_refund_pay'],
    });
  });

  it.each([
    ['refund number that is too long', { gatewayRequestNo: 'R'.repeat(65) }],
    ['refund number with a line break', { gatewayRequestNo: 'R\n1' }],
    ['empty refund number', { gatewayRequestNo: '' }],
    ['payment number that is too long', { outTradeNo: 'T'.repeat(65) }],
  ])('of a %s is not sent', async (_what, over) => {
    const { gateway, asked } = gatewayAnswering(answer(SUCCESS));
    await expect(gateway.queryRefund(call(over))).rejects.toMatchObject({ kind: 'rejected', code: 'invalid_order' });
    expect(asked).toEqual([]);
  });
});

describe('a prepared create', () => {
  it('is the business content, with the refund number always', () => {
    expect(prepare({ reason: '7 天无理由' })).toBe(
      '{"out_trade_no":"TESTORDER0001","out_request_no":"TESTREFUND0001","refund_amount":"1.00","refund_reason":"7 天无理由"}',
    );
  });

  it('is the same text for the same order', () => {
    expect(prepare({ reason: 'x' })).toBe(prepare({ reason: 'x' }));
  });

  it.each([
    [1, '0.01'],
    [10, '0.10'],
    [100, '1.00'],
    [110, '1.10'],
    [999, '9.99'],
    [1001, '10.01'],
    [10_000_000_000, '100000000.00'],
    [999_999_999_999_999, '9999999999999.99'],
  ])('writes %d fen as %s, from the integer', (amountMinor, refund_amount) => {
    expect(prepared({ amountMinor, paymentAmountMinor: 999_999_999_999_999 }).refund_amount).toBe(refund_amount);
  });

  it('names Alipay’s number of the payment alone where it is known', () => {
    const fields = prepared({ gatewayPaymentNo: '2024010122001400000000000001' });
    expect(fields.trade_no).toBe('2024010122001400000000000001');
    expect(fields).not.toHaveProperty('out_trade_no');
  });

  it('keeps a reason within its limit, whole characters only', () => {
    const reason = prepared({ reason: `\u0007${'退'.repeat(200)}` }).refund_reason as string;
    expect(reason).toMatch(/^退+$/);
    expect(Buffer.byteLength(reason)).toBeLessThanOrEqual(256);
    expect(prepared({ reason: ' \n ' })).not.toHaveProperty('refund_reason');
  });

  it.each([
    ['a number with characters that need escaping', { gatewayRequestNo: 'R 1' }],
    ['a number that is too long', { gatewayRequestNo: 'R'.repeat(65) }],
    ['a payment number that is too long', { outTradeNo: 'T'.repeat(65) }],
    ['another currency', { currency: 'USD' }],
    ['nothing', { amountMinor: 0 }],
    ['a fraction of a fen', { amountMinor: 1.5 }],
    ['more than the payment', { amountMinor: 889 }],
  ])('of %s cannot be made, and nothing happened', (_what, over) => {
    expect(thrownBy(() => prepare(over))).toMatchObject({
      kind: 'rejected',
      code: 'invalid_order',
      nothingHappened: true,
    });
  });
});

describe('a create', () => {
  it('sends what was prepared, again and again the same', async () => {
    const { gateway, asked } = gatewayAnswering(answer('{"code":"10000","msg":"Success","fund_change":"N"}'));
    const payload = prepare();
    await gateway.sendCreate?.(call(), payload);
    await gateway.sendCreate?.(call(), payload);
    expect(asked.map(({ operation, bizContent }) => [operation, bizContent])).toEqual([
      ['create', payload],
      ['create', payload],
    ]);
  });

  it.each([
    ['of another refund', prepare({ gatewayRequestNo: 'OTHER' })],
    ['without a refund number', '{"refund_amount":"1.00"}'],
    ['that is no JSON', 'refund'],
    ['that is null', 'null'],
  ])('%s is not sent', async (_what, payload) => {
    const { gateway, asked } = gatewayAnswering(answer(SUCCESS));
    await expect(gateway.sendCreate?.(call(), payload)).rejects.toMatchObject({ code: 'invalid_payload' });
    expect(asked).toEqual([]);
  });
});

describe('with its real client', () => {
  it('a success comes through every layer, and no error shows a secret', async () => {
    const signature = sign('RSA-SHA256', Buffer.from(SUCCESS), createPrivateKey(vectors.keyA.privateKey));
    const good = `{"alipay_trade_fastpay_refund_query_response":${SUCCESS},"sign":"${signature.toString('base64')}"}`;
    const replies = [good, good.replace('"1.00"', '"9.00"')];
    const transport: AlipayTransport = async () => new Response(replies.shift());
    const gateway = createAlipayGateway((account) => alipayClient(account, transport));
    expect(await gateway.queryRefund(call())).toMatchObject({ kind: 'success', amountMinor: 100 });
    const error = await gateway.queryRefund(call()).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ kind: 'unavailable', code: 'bad_signature' });
    expect(inspect(error, { depth: 9 })).not.toContain('MII');
  });
});
