import { createPrivateKey } from 'node:crypto';
import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';

import { unionpayAccount as config } from '../../../test/support/unionpay-account.js';
import vectors from '../../../test/vectors/unionpay.json' with { type: 'json' };
import { GatewayError } from '../gateway.error.js';
import type { GatewayCall, RefundOrder } from '../gateway.port.js';
import { unionpayClient } from './unionpay.client.js';
import type { UnionpayConfig } from './unionpay.config.js';
import { createUnionpayGateway, unionpayGateway, unionpayPolicy } from './unionpay.gateway.js';
import { messageText, signMessage, verifyMessage } from './unionpay.signature.js';

const { chain } = vectors;
const PAYMENT = '052401051658427862748';
const order = (over: Partial<RefundOrder> = {}): RefundOrder => ({
  gatewayRequestNo: 'TESTREFUND0001',
  // 16:58:42 in Beijing.
  gatewayRequestTime: new Date('2024-01-05T08:58:42.999Z'),
  gatewayRefundNo: null,
  outTradeNo: 'TESTORDER0001',
  gatewayPaymentNo: PAYMENT,
  amountMinor: 100,
  paymentAmountMinor: 888,
  currency: 'CNY',
  reason: 'a & b',
  clientIp: null,
  ...over,
});
const call = (over: Partial<RefundOrder> = {}): GatewayCall<UnionpayConfig> => ({
  config,
  order: order(over),
  signal: new AbortController().signal,
  timeoutMs: 1000,
});
const echoed = {
  merId: '777290058110048',
  orderId: 'TESTREFUND0001',
  txnTime: '20240105165842',
  signMethod: '01',
  version: '5.1.0',
};
const success = { ...echoed, respCode: '00', origRespCode: '00', txnAmt: '100', queryId: '052401051658427863998' };

type Answer = Record<string, string>;

/** As UnionPay writes an answer: signed by its key, sorted, not encoded. */
function wire(fields: Answer, signer = chain.signer, over: Answer = {}): string {
  const signed = { ...fields, signPubKeyCert: signer.certificate };
  const signature = signMessage(messageText(new Map(Object.entries(signed))), createPrivateKey(signer.privateKey));
  return text({ ...signed, signature, ...over });
}

function text(fields: Answer): string {
  return Object.keys(fields)
    .sort()
    .map((name) => `${name}=${fields[name]}`)
    .join('&');
}

/** A gateway whose network answers `body`; keeps what it was sent. */
function gatewayAnswering(body: string, status = 200) {
  const sent: { url: string; init: RequestInit }[] = [];
  const transport = ((url: string, init: RequestInit) => {
    sent.push({ url, init });
    return Promise.resolve(new Response(body, { status }));
  }) as unknown as typeof fetch;
  const gateway = createUnionpayGateway((account) => unionpayClient(account, transport));
  return {
    sent,
    query: (over: Partial<RefundOrder> = {}) => gateway.queryRefund(call(over)),
    create: (over: Partial<RefundOrder> = {}) =>
      gateway.sendCreate?.(call(over), prepare(over)) ?? Promise.reject(new Error('none')),
  };
}

const prepare = (over: Partial<RefundOrder> = {}): string => unionpayGateway.prepareCreate?.(order(over), config) ?? '';

async function errorOf(act: () => unknown): Promise<GatewayError> {
  try {
    await act();
  } catch (error) {
    expect(inspect(error, { depth: 9 })).not.toMatch(/MII|BEGIN/);
    if (error instanceof GatewayError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

describe('the declaration', () => {
  it('says what the service has to know', () => {
    expect(unionpayGateway).toMatchObject({ code: 'unionpay', channel: 'union_pay' });
    expect(unionpayGateway.merchantId(config)).toBe('777290058110048');
    expect(unionpayPolicy).toMatchObject({
      timeoutMs: 10_000,
      notFoundGraceMs: 86_400_000,
      createReplay: { mode: 'never' },
      notFoundIsDistinguishable: false,
      lateFailure: false,
    });
    expect(unionpayPolicy.verifyAfterEnd).toBeUndefined();
    expect(unionpayPolicy.scheduleMs.map((ms) => ms / 60_000)).toEqual([2, 3, 5, 10, 30, 60, 120, 360, 720, 1440]);
  });
});

describe('what is sent', () => {
  const fieldsOf = ({ init }: { init: RequestInit }) => new Map(new URLSearchParams(init.body as string));

  it('a query: its own address, number and time of the refund, signed', async () => {
    const { sent, query } = gatewayAnswering(wire(success));
    await query();
    const [request] = sent;
    expect(request?.url).toBe('https://gateway.95516.com/gateway/api/queryTrans.do');
    expect(request?.init).toMatchObject({
      method: 'POST',
      redirect: 'manual',
      headers: { 'Content-Type': 'application/x-www-form-urlencoded; charset=UTF-8' },
    });
    const fields = fieldsOf(request ?? { init: {} });
    const { signature, ...rest } = Object.fromEntries(fields);
    expect(rest).toEqual({
      version: '5.1.0',
      encoding: 'UTF-8',
      signMethod: '01',
      certId: '69903319369',
      accessType: '0',
      merId: '777290058110048',
      txnType: '00',
      txnSubType: '00',
      bizType: '000000',
      orderId: 'TESTREFUND0001',
      txnTime: '20240105165842',
    });
    const merchant = createPrivateKey(chain.merchant.privateKey);
    expect(verifyMessage(messageText(fields), signature ?? '', merchant)).toBe(true);
  });

  it('a create: what was prepared, and nothing of the reason', async () => {
    const { sent, create } = gatewayAnswering(wire({ ...echoed, respCode: '00' }));
    await create();
    expect(sent[0]?.url).toBe('https://gateway.95516.com/gateway/api/backTransReq.do');
    expect(Object.fromEntries(fieldsOf(sent[0] ?? { init: {} }))).toMatchObject(JSON.parse(prepare()) as Answer);
    expect(JSON.parse(prepare())).toEqual({
      txnType: '04',
      txnSubType: '00',
      bizType: '000201',
      channelType: '07',
      orderId: 'TESTREFUND0001',
      txnTime: '20240105165842',
      txnAmt: '100',
      currencyCode: '156',
      origQryId: PAYMENT,
      backUrl: 'https://refunds.example.com/callback/unionpay/1',
    });
  });

  it('product and channel are settings', () => {
    const account = { ...config, bizType: '000000', channelType: '08' };
    expect(JSON.parse(unionpayGateway.prepareCreate?.(order(), account) ?? '')).toMatchObject({
      bizType: '000000',
      channelType: '08',
    });
  });

  it.each<[string, Partial<RefundOrder>]>([
    ['8 to 32 letters', { gatewayRequestNo: 'SHORT' }],
    ['8 to 32 letters', { gatewayRequestNo: 'WITH-A-DASH' }],
    ['8 to 32 letters', { gatewayRequestNo: 'X'.repeat(33) }],
    ['the time', { gatewayRequestTime: null }],
    ['gatewayPaymentNo', { gatewayPaymentNo: null }],
    ['gatewayPaymentNo', { gatewayPaymentNo: 'ORDER1' }],
    ['CNY', { currency: 'USD' }],
    ['whole number of fen', { amountMinor: 0 }],
    ['whole number of fen', { amountMinor: 1.5 }],
    ['12 digits', { amountMinor: 1_000_000_000_000 }],
  ])('an order that cannot be expressed is refused before it is sent: %s', async (fault, over) => {
    expect(await errorOf(() => prepare(over))).toMatchObject({
      kind: 'rejected',
      code: 'invalid_order',
      nothingHappened: true,
      message: expect.stringContaining(fault) as string,
    });
  });

  it('a payload of another refund is not sent', async () => {
    const payload = prepare({ gatewayRequestTime: new Date('2024-01-05T08:58:43Z') });
    expect(await errorOf(() => unionpayGateway.sendCreate?.(call(), payload))).toMatchObject({
      code: 'invalid_payload',
      nothingHappened: false,
    });
  });

  it.each<[string, Partial<RefundOrder>]>([
    ['gatewayRequestTime is required', { gatewayRequestTime: null }],
    ['gatewayRequestNo must be', { gatewayRequestNo: 'R-1' }],
    ['is the number of the payment', { gatewayRequestNo: 'TESTORDER0001' }],
  ])('a refund that it cannot find is not asked for: %s', async (fault, over) => {
    const { sent, query } = gatewayAnswering(wire(success));
    const error = await errorOf(() => query(over));
    expect(error).toMatchObject({ kind: 'rejected', nothingHappened: false });
    expect(error.message).toContain(fault);
    expect(sent).toEqual([]);
    expect(unionpayGateway.registrationFault?.(order(over))?.field).toMatch(/^gatewayRequest/);
  });

  it('everything else may be registered', () => {
    expect(unionpayGateway.registrationFault?.(order())).toBeUndefined();
  });
});

describe('what an answer says', () => {
  it('a success', async () => {
    expect(await gatewayAnswering(wire(success)).query()).toMatchObject({
      kind: 'success',
      amountMinor: 100,
      authenticated: true,
      identity: { merchantId: '777290058110048' },
    });
  });

  it('the first code speaks of the question, the second of the refund', async () => {
    expect(await gatewayAnswering(wire({ ...success, origRespCode: '61' })).query()).toMatchObject({ kind: 'failed' });
    const { origRespCode: _none, ...unsaid } = success;
    expect(await errorOf(() => gatewayAnswering(wire(unsaid)).query())).toMatchObject({ code: 'malformed' });
    expect(await errorOf(() => gatewayAnswering(wire({ ...success, respCode: '03' })).query())).toMatchObject({
      kind: 'unavailable',
      code: '03',
    });
  });

  it('a create is accepted and no more; 05 is accepted too', async () => {
    for (const respCode of ['00', '05'])
      expect(await gatewayAnswering(wire({ ...success, respCode })).create()).toMatchObject({ kind: 'processing' });
  });

  const UNBELIEVED: [string, string][] = [
    ['signed by a forged certificate', wire(success, chain.forged)],
    ['signed by another merchant', wire(success, chain.merchant)],
    ['changed after signing', wire(success, chain.signer, { txnAmt: '1' })],
    ['signed in another way', wire({ ...success, signMethod: '11' })],
    ['of another version', wire({ ...success, version: '5.0.0' })],
    ['not signed', text(success)],
    ['a refusal with a wrong signature', wire({ ...echoed, respCode: '33' }, chain.forged)],
    ['cut off before the signature', wire({ ...echoed, respCode: '33' }).replace(/&signature=[^&]*/, '')],
  ];
  it.each(UNBELIEVED)('an answer that is %s is nobody’s', async (_what, body) => {
    expect(await errorOf(() => gatewayAnswering(body).query())).toMatchObject({
      kind: 'unavailable',
      code: 'bad_signature',
    });
    expect(await errorOf(() => gatewayAnswering(body).create())).toMatchObject({
      kind: 'ambiguous',
      code: 'bad_signature',
      nothingHappened: false,
    });
  });

  it('a refusal without a signature is read, and proves nothing', async () => {
    const refused = text({ ...echoed, respCode: '33' });
    expect(await errorOf(() => gatewayAnswering(refused).create())).toMatchObject({
      kind: 'rejected',
      nothingHappened: false,
    });
    expect(await gatewayAnswering(text({ ...echoed, respCode: '34' })).query()).toMatchObject({
      kind: 'notFound',
      authenticated: false,
    });
  });

  it('a signed refusal with a code that is certain proves that nothing happened', async () => {
    expect(await errorOf(() => gatewayAnswering(wire({ ...echoed, respCode: '36' })).create())).toMatchObject({
      nothingHappened: true,
    });
  });

  it.each([
    ['another number', { orderId: 'TESTREFUND0002' }],
    ['another time', { txnTime: '20240105165843' }],
  ])('an answer about %s is none', async (_what, over) => {
    expect(await errorOf(() => gatewayAnswering(wire({ ...success, ...over })).query())).toMatchObject({
      kind: 'unavailable',
      code: 'malformed',
    });
  });

  it('the payment itself is not its refund', async () => {
    const body = wire({ ...success, queryId: PAYMENT, txnAmt: '100' });
    expect(await errorOf(() => gatewayAnswering(body).query())).toMatchObject({
      kind: 'rejected',
      code: 'not_a_refund',
    });
  });

  it.each([
    [500, 'unavailable', 'http_500'],
    [302, 'unavailable', 'http_302'],
    [404, 'unavailable', 'http_404'],
    [429, 'rateLimited', 'http_429'],
  ])('HTTP %i: %s', async (status, kind, code) => {
    expect(await errorOf(() => gatewayAnswering('<html>', status).query())).toMatchObject({ kind, code });
  });

  it.each(['', '<html></html>', 'Invalid request.', 'respCode=00&respCode=00'])('%j is no answer', async (body) => {
    expect(await errorOf(() => gatewayAnswering(body).query())).toMatchObject({ code: 'malformed' });
    expect(await errorOf(() => gatewayAnswering(body).create())).toMatchObject({ kind: 'ambiguous' });
  });
});
