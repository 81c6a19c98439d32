import { constants, createPrivateKey, privateDecrypt, sign } from 'node:crypto';
import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';

import vectors from '../../../test/vectors/wechat-v3.json' with { type: 'json' };
import { GatewayError } from '../gateway.error.js';
import type { GatewayCall, RefundOrder } from '../gateway.port.js';
import { wechatPolicy } from '../wechat-pay.js';
import { createWechatClient, type WechatRequest, type WechatTransport } from './wechat.client.js';
import type { WechatConfig } from './wechat.config.js';
import type { WechatAnswer } from './wechat.errors.js';
import { classifyAnswer, createWechatGateway, wechatGateway } from './wechat.gateway.js';

const config: WechatConfig = vectors.config;
const order = (over: Partial<RefundOrder> = {}): RefundOrder => ({
  gatewayRequestNo: 'TEST-REFUND-0001',
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
const answer = (over: Partial<WechatAnswer> = {}): WechatAnswer => ({
  httpStatus: 200,
  body: vectors.refundAnswer,
  verified: true,
  unverifiedBecause: null,
  requestId: 'REQ-1',
  retryAfter: null,
  ...over,
});
const refundBody = (over: Record<string, unknown>) =>
  JSON.stringify({ ...(JSON.parse(vectors.refundAnswer) as object), ...over });

const prepare = (over: Partial<RefundOrder> = {}, settings: Partial<WechatConfig> = {}): string =>
  wechatGateway.prepareCreate?.(order(over), { ...config, ...settings }) ?? '';
const prepared = (over: Partial<RefundOrder> = {}, settings: Partial<WechatConfig> = {}) =>
  JSON.parse(prepare(over, settings)) as Record<string, unknown>;

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
function gatewayAnswering(reply: WechatAnswer) {
  const asked: WechatRequest[] = [];
  const gateway = createWechatGateway(() => ({
    send: (request) => {
      asked.push(request);
      return Promise.resolve(reply);
    },
    refreshKeys: () => Promise.resolve(),
  }));
  return { gateway, asked };
}

const call = (over: Partial<RefundOrder> = {}, settings: Partial<WechatConfig> = {}): GatewayCall<WechatConfig> => ({
  config: { ...config, ...settings },
  order: order(over),
  signal: new AbortController().signal,
  timeoutMs: 1000,
});

describe('the declaration', () => {
  it('says what the service has to know', () => {
    expect(wechatGateway).toMatchObject({ code: 'wechat', channel: 'wechat_pay' });
    expect(wechatGateway.merchantId(config)).toBe('1900000100');
    expect(wechatPolicy).toMatchObject({
      timeoutMs: 10_000,
      notFoundGraceMs: 86_400_000,
      createReplay: { mode: 'forever' },
      notFoundIsDistinguishable: true,
      lateFailure: false,
      rate: { perSecond: 100, concurrency: 20 },
    });
    expect(wechatPolicy.verifyAfterEnd).toBeUndefined();
  });

  it('looks each minute at first, and four times a day in the end', () => {
    const minutes = wechatPolicy.scheduleMs.map((pauseMs) => pauseMs / 60_000);
    expect(minutes.slice(0, 10)).toEqual([1, 1, 1, 1, 1, 5, 10, 20, 30, 60]);
    expect(minutes.slice(9, -1)).toEqual(Array(24).fill(60));
    expect(minutes.at(-1)).toBe(360);
  });
});

describe('an answer', () => {
  it('with a right signature becomes an observation', () => {
    expect(classifyAnswer('query', answer())).toMatchObject({
      kind: 'processing',
      authenticated: true,
      raw: { code: 'PROCESSING', body: { request_id: 'REQ-1' } },
    });
    expect(classifyAnswer('create', answer({ body: refundBody({ status: 'SUCCESS' }) }))).toMatchObject({
      kind: 'success',
      amountMinor: 100,
    });
  });

  it.each(['SUCCESS', 'CLOSED', 'ABNORMAL', 'PROCESSING'])('in %s is not believed without it', (status) => {
    const forged = answer({
      verified: false,
      unverifiedBecause: 'its signature is wrong',
      body: refundBody({ status }),
    });
    expect(thrownBy(() => classifyAnswer('query', forged))).toMatchObject({
      kind: 'unavailable',
      code: 'bad_signature',
      raw: undefined,
    });
    expect(thrownBy(() => classifyAnswer('create', forged))).toMatchObject({
      kind: 'ambiguous',
      code: 'bad_signature',
      nothingHappened: false,
    });
  });

  it.each([
    ['empty', ''],
    ['cut off', vectors.refundAnswer.slice(0, 50)],
    ['an array', '[]'],
    ['null', 'null'],
    ['of another kind', '{"code":"SUCCESS"}'],
    ['without its number', refundBody({ out_refund_no: undefined })],
    ['in success without an amount', refundBody({ status: 'SUCCESS', amount: undefined })],
  ])('that is %s is malformed', (_, body) => {
    expect(thrownBy(() => classifyAnswer('query', answer({ body })))).toMatchObject({
      kind: 'unavailable',
      code: 'malformed',
    });
    expect(thrownBy(() => classifyAnswer('create', answer({ body })))).toMatchObject({
      kind: 'ambiguous',
      code: 'malformed',
    });
  });

  it('not found is an observation of a query only', () => {
    const body = '{"code":"RESOURCE_NOT_EXISTS","message":"退款单不存在"}';
    expect(classifyAnswer('query', answer({ httpStatus: 404, body, verified: false }))).toMatchObject({
      kind: 'notFound',
      authenticated: false,
    });
    expect(thrownBy(() => classifyAnswer('create', answer({ httpStatus: 404, body })))).toMatchObject({
      kind: 'ambiguous',
    });
  });
});

describe('a query', () => {
  it.each([
    ['TEST-REFUND-0001', '/v3/refund/domestic/refunds/TEST-REFUND-0001'],
    ['a|b*c@d', '/v3/refund/domestic/refunds/a%7Cb*c%40d'],
  ])('of %s asks %s', async (gatewayRequestNo, path) => {
    const { gateway, asked } = gatewayAnswering(answer());
    await gateway.queryRefund(call({ gatewayRequestNo }));
    expect(asked).toMatchObject([{ operation: 'query', path, timeoutMs: 1000 }]);
    expect(asked[0]?.body).toBeUndefined();
  });

  it('in service-provider mode names the sub-merchant', async () => {
    const { gateway, asked } = gatewayAnswering(answer());
    await gateway.queryRefund(call({}, { subMchId: '1900000109' }));
    expect(asked[0]?.path).toBe('/v3/refund/domestic/refunds/TEST-REFUND-0001?sub_mchid=1900000109');
  });

  it.each(['', '..', '../../pay', 'a/b', 'a?b=c', 'a b', '退款', 'x'.repeat(65)])(
    'of the number %j is not sent',
    async (gatewayRequestNo) => {
      const { gateway, asked } = gatewayAnswering(answer());
      await expect(gateway.queryRefund(call({ gatewayRequestNo }))).rejects.toMatchObject({
        kind: 'rejected',
        code: 'invalid_order',
      });
      expect(asked).toEqual([]);
    },
  );
});

describe('a prepared create', () => {
  it('is exactly this text (vector W2)', () => {
    expect(prepare({}, { notifyUrl: 'https://merchant.example/wx/refund' })).toBe(vectors.signatures.W2.body);
  });

  it('is exactly this text with everything set', () => {
    const settings: Partial<WechatConfig> = {
      subMchId: '1900000109',
      fundsAccount: 'AVAILABLE',
      notifyUrl: 'https://merchant.example/wx',
    };
    expect(prepare({ gatewayPaymentNo: '4200000000202401010000000001', reason: '商品已"售完"' }, settings)).toBe(
      '{"sub_mchid":"1900000109","transaction_id":"4200000000202401010000000001","out_refund_no":"TEST-REFUND-0001",' +
        '"reason":"商品已\\"售完\\"","notify_url":"https://merchant.example/wx","funds_account":"AVAILABLE",' +
        '"amount":{"refund":100,"total":888,"currency":"CNY"}}',
    );
  });

  it('is the same text every time', () => {
    expect(prepare({ reason: '售完' })).toBe(prepare({ reason: '售完' }));
  });

  it.each<[string, string | null, string | undefined]>([
    ['none', null, undefined],
    ['only blanks', ' \n ', undefined],
    ['80 letters', 'x'.repeat(80), 'x'.repeat(80)],
    ['81 letters', 'x'.repeat(81), 'x'.repeat(80)],
    ['Chinese of more than 80 bytes', '退'.repeat(40), '退'.repeat(26)],
    ['an emoji over the edge', `${'x'.repeat(78)}😀`, 'x'.repeat(78)],
    ['an emoji up to the edge', `${'x'.repeat(76)}😀`, `${'x'.repeat(76)}😀`],
    ['half an emoji', 'a\uD83D', 'a\uFFFD'],
    ['line breaks', 'a\r\nb', 'a b'],
  ])('takes as reason %s', (_, reason, sent) => {
    expect(prepared({ reason }).reason).toBe(sent);
  });

  it.each<[string, Partial<RefundOrder>]>([
    ['an empty refund number', { gatewayRequestNo: '' }],
    ['a refund number that a URL changes', { gatewayRequestNo: 'a|b' }],
    ['a refund number of 65', { gatewayRequestNo: 'x'.repeat(65) }],
    ['a payment number of 5', { outTradeNo: '12345' }],
    ['a payment number of 33', { outTradeNo: 'x'.repeat(33) }],
    ['a payment number in Chinese', { outTradeNo: '订单号一二三四' }],
    ['a WeChat Pay number that is none', { gatewayPaymentNo: '42/1' }],
    ['another currency', { currency: 'USD' }],
    ['no amount', { amountMinor: 0 }],
    ['half a fen', { amountMinor: 0.5 }],
    ['more than was paid', { amountMinor: 889 }],
    ['an amount beyond safe integers', { amountMinor: 2 ** 53, paymentAmountMinor: 2 ** 53 }],
  ])('cannot be made with %s', (_, over) => {
    expect(thrownBy(() => prepare(over))).toMatchObject({
      kind: 'rejected',
      code: 'invalid_order',
      nothingHappened: true,
    });
  });
});

describe('a create', () => {
  it('sends the prepared text and nothing else', async () => {
    const { gateway, asked } = gatewayAnswering(answer());
    const payload = prepare({ reason: '售完' });
    expect(await gateway.sendCreate?.(call(), payload)).toMatchObject({ kind: 'processing', authenticated: true });
    expect(asked).toMatchObject([{ operation: 'create', path: '/v3/refund/domestic/refunds', body: payload }]);
  });

  it.each([
    ['no JSON', '{"out_refund_no":'],
    ['spaced otherwise', '{"out_refund_no": "TEST-REFUND-0001"}'],
    ['of another refund', prepare({ gatewayRequestNo: 'TEST-REFUND-0002' })],
  ])('of a text that is %s is not sent', async (_, payload) => {
    const { gateway, asked } = gatewayAnswering(answer());
    await expect(gateway.sendCreate?.(call(), payload)).rejects.toMatchObject({
      kind: 'rejected',
      code: 'invalid_payload',
      nothingHappened: false,
    });
    expect(asked).toEqual([]);
  });
});

describe('through the real client', () => {
  const platformKey = createPrivateKey(vectors.keyA.privateKey);

  /** Answers every request with a signed body. */
  const signing =
    (status: number, body: string): WechatTransport =>
    (request) => {
      const timestamp = Math.floor(Date.now() / 1000);
      const signature = sign('RSA-SHA256', Buffer.from(`${timestamp}\nn\n${body}\n`), platformKey).toString('base64');
      return Promise.resolve({
        status,
        data: body,
        statusText: '',
        config: request,
        headers: {
          'wechatpay-timestamp': String(timestamp),
          'wechatpay-nonce': 'n',
          'wechatpay-serial': vectors.config.publicKeyId,
          'wechatpay-signature': signature,
        },
      });
    };
  const gatewayOver = (transport: WechatTransport) =>
    createWechatGateway((account) => createWechatClient(account, transport));

  it('a signed refusal proves that nothing happened', async () => {
    const gateway = gatewayOver(signing(403, '{"code":"USER_ACCOUNT_ABNORMAL","message":"用户账户注销"}'));
    await expect(gateway.sendCreate?.(call(), prepare())).rejects.toMatchObject({
      kind: 'rejected',
      nothingHappened: true,
    });
  });

  it('a signed "not found" is authenticated', async () => {
    const gateway = gatewayOver(signing(404, '{"code":"RESOURCE_NOT_EXISTS","message":"退款单不存在"}'));
    expect(await gateway.queryRefund(call())).toMatchObject({ kind: 'notFound', authenticated: true });
  });

  it.each<[string, WechatTransport]>([
    ['a refusal', signing(400, '{"code":"PARAM_ERROR","message":"参数错误"}')],
    ['a malformed answer', signing(200, '{')],
    [
      'an unsigned answer',
      (request) =>
        Promise.resolve({ status: 200, data: vectors.refundAnswer, statusText: '', headers: {}, config: request }),
    ],
    [
      'a broken connection',
      (request) => Promise.reject(Object.assign(new Error('socket hang up'), { code: 'ECONNRESET', config: request })),
    ],
  ])('%s becomes an error that holds no secret and no user account', async (_, transport) => {
    const error: unknown = await gatewayOver(transport)
      .queryRefund(call())
      .catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(GatewayError);
    const text = inspect(error, { depth: 20, showHidden: true });
    for (const secret of [
      config.apiV3Key,
      config.privateKey.slice(30, 90),
      'PRIVATE KEY',
      'Authorization',
      'WECHATPAY2',
      'httpsAgent',
      '支付用户零钱',
    ]) {
      expect(text).not.toContain(secret);
    }
  });

  it('an observation holds no user account', async () => {
    const observation = await gatewayOver(signing(200, refundBody({ status: 'SUCCESS' }))).queryRefund(call());
    expect(vectors.refundAnswer).toContain('支付用户零钱');
    expect(JSON.stringify(observation)).not.toContain('支付用户零钱');
  });
});

describe('sending an abnormal refund on its way again', () => {
  const REFUND_ID = '50000000382019052709732678859';
  const known = { gatewayRefundNo: REFUND_ID };
  const abnormal = answer({ body: refundBody({ status: 'PROCESSING' }) });
  const card = {
    to: 'payerCard',
    bankCode: 'ICBC_DEBIT',
    accountNo: '6222 0212 3456 7890',
    holderName: '张三',
  } as const;

  it('to the merchant’s own account names the refund by both numbers', async () => {
    const { gateway, asked } = gatewayAnswering(abnormal);
    expect(await gateway.redrive?.(call(known), { to: 'merchantAccount' })).toMatchObject({ kind: 'processing' });
    expect(asked).toMatchObject([
      { operation: 'redrive', path: `/v3/refund/domestic/refunds/${REFUND_ID}/apply-abnormal-refund` },
    ]);
    expect(JSON.parse(asked[0]?.body ?? '')).toEqual({ out_refund_no: 'TEST-REFUND-0001', type: 'MERCHANT_BANK_CARD' });
    expect(asked[0]).not.toHaveProperty('encryptedFor');
  });

  it('to a card encrypts it for the key that the request names', async () => {
    const { gateway, asked } = gatewayAnswering(abnormal);
    await gateway.redrive?.(call(known, { subMchId: '1900000109' }), card);
    const body = JSON.parse(asked[0]?.body ?? '') as Record<string, string>;
    expect(body).toMatchObject({ sub_mchid: '1900000109', type: 'USER_BANK_CARD', bank_type: 'ICBC_DEBIT' });
    const open = (field: string) =>
      privateDecrypt(
        { key: vectors.keyA.privateKey, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha1' },
        Buffer.from(body[field] ?? '', 'base64'),
      ).toString();
    expect([open('bank_account'), open('real_name')]).toEqual(['6222021234567890', '张三']);
    expect(asked[0]?.encryptedFor).toBe(config.publicKeyId);
  });

  it.each([
    ['an unknown refund_id', {}, card],
    ['a bank in other words', known, { ...card, bankCode: '工商银行' }],
    ['a card number that is none', known, { ...card, accountNo: '6222-x' }],
    ['nobody’s card', known, { ...card, holderName: ' ' }],
  ])('%s sends nothing', async (_, over, target) => {
    const { gateway, asked } = gatewayAnswering(abnormal);
    const error: unknown = await gateway.redrive?.(call(over), target).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ kind: 'rejected', code: 'invalid_order' });
    expect(inspect(error)).not.toContain('6222');
    expect(asked).toEqual([]);
  });

  it.each([
    [400, 'INVALID_REQUEST', 'rejected'],
    [404, 'RESOURCE_NOT_EXISTS', 'rejected'],
    [403, 'NO_AUTH', 'badConfig'],
    [500, 'SYSTEM_ERROR', 'ambiguous'],
    [429, 'FREQUENCY_LIMITED', 'rateLimited'],
  ])('%s %s is %s, and never a state of the refund', async (httpStatus, code, kind) => {
    const { gateway } = gatewayAnswering(answer({ httpStatus, body: JSON.stringify({ code, message: '说明' }) }));
    const error: unknown = await gateway.redrive?.(call(known), card).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ kind, code, nothingHappened: false });
  });
});
