import { AlipaySdk } from 'alipay-sdk';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { AlipayMerchant, QUERY, REFUND, type Reply } from './alipay.support.js';
import { pause, send, type Json } from './support.js';

let merchant: AlipayMerchant;
beforeAll(async () => {
  merchant = await AlipayMerchant.start();
});
afterAll(() => merchant.sandbox.close());
beforeEach(async () => {
  await merchant.control('POST', '/reset', { settings: true });
});

const R1 = { out_trade_no: 'TRADE-R1', out_request_no: 'R1' };
const refundOf = (outRefundNo: string, yuan = '1.00', more: Json = {}): Json => ({
  out_trade_no: 'TRADE-1',
  out_request_no: outRefundNo,
  refund_amount: yuan,
  ...more,
});
const told = ({ response }: Reply): string => [response.code, response.sub_code].filter(Boolean).join(' ');

describe('who may call', () => {
  beforeEach(() => merchant.register('R1', 'success'));

  it('a signed request is answered, with a signature over the exact text', async () => {
    const reply = await merchant.query(R1);
    expect(reply).toMatchObject({ status: 200, member: 'alipay_trade_fastpay_refund_query_response', verified: true });
    expect(reply.headers['content-type']).toBe('text/html;charset=utf-8');
    expect(reply.headers.trace_id).toMatch(/^[0-9a-f]{32}$/);
    // What parsers forget to keep: a space, and slashes that are escaped.
    expect(reply.text).toContain('"10000", "msg"');
    expect(reply.text).toContain(String.raw`a\/b`);
    expect(merchant.verifies(JSON.stringify(JSON.parse(reply.text)), reply.sign ?? '')).toBe(false);
  });

  it('so is one with every parameter in the URL, by GET', async () => {
    expect(told(await merchant.query(R1, { get: true }))).toBe('10000');
  });

  it.each<[string, Record<string, string | null>]>([
    ['40001 isv.missing-app-id', { app_id: null }],
    ['40002 isv.invalid-app-id', { app_id: '2021999999999999' }],
    ['40001 isv.missing-signature', { sign: null }],
    ['40001 isv.missing-signature-type', { sign_type: null }],
    ['40002 isv.invalid-signature-type', { sign_type: 'RSA' }],
    ['40001 isv.missing-timestamp', { timestamp: null }],
    ['40002 isv.invalid-timestamp', { timestamp: '2024-01-01T08:00:00Z' }],
    ['40002 isv.invalid-timestamp', { timestamp: '2024-02-30 08:00:00' }],
    ['40002 isv.invalid-timestamp', { timestamp: '2024-01-01 08:00:00' }],
    ['40001 isv.missing-version', { version: null }],
    ['40002 isv.invalid-parameter', { version: '2.0' }],
    ['40002 isv.invalid-charset', { charset: 'GBK' }],
    ['40002 isv.invalid-charset', { charset: null }],
    ['40002 isv.invalid-format', { format: 'XML' }],
    ['40002 isv.invalid-app-cert-sn', { app_cert_sn: '0'.repeat(32) }],
    ['40001 isv.missing-method', { method: null }],
    ['40002 isv.invalid-method', { method: 'alipay.trade.pay' }],
  ])('%s', async (expected, parameters) => {
    const reply = await merchant.query(R1, { parameters });
    expect(told(reply)).toBe(expected);
    expect(reply.status).toBe(200);
  });

  it.each<[string, Record<string, string>]>([
    ['another number', { biz_content: '{"out_trade_no":"TRADE-R1","out_request_no":"R2"}' }],
    ['one parameter more', { notify_url: 'https://example.com/' }],
    ['a broken signature', { sign: 'QUJD' }],
  ])('a signature over %s is wrong, and the gateway says over what it looked', async (_what, unsigned) => {
    const reply = await merchant.query(R1, { unsigned });
    expect(told(reply)).toBe('40002 isv.invalid-signature');
    expect(reply.response.sub_msg).toContain(`app_id=${merchant.settings.appId}&amp;biz_content={&quot;`);
    expect((await merchant.control('GET', '/stats')).json).toMatchObject({ refusedSignatures: 1, queries: 0 });
  });

  it('an unknown caller, and a call without a method, are told so without a signature', async () => {
    const stranger = await merchant.query(R1, { parameters: { app_id: '2021999999999999' } });
    expect(stranger).toMatchObject({ member: 'alipay_trade_fastpay_refund_query_response', sign: null });
    const nothing = await merchant.query(R1, { parameters: { method: null } });
    expect(nothing).toMatchObject({ member: 'error_response', sign: null });
    // Once the application is known, errors are signed.
    expect(await merchant.query(R1, { unsigned: { sign: 'QUJD' } })).toMatchObject({ verified: true });
  });

  it('signErrors: false leaves every refusal unsigned, and no success', async () => {
    await merchant.setUp({ signErrors: false });
    expect(await merchant.query({ ...R1, out_trade_no: 'NOBODY' })).toMatchObject({ sign: null });
    expect(await merchant.query(R1)).toMatchObject({ verified: true });
    await merchant.setUp({ signErrors: 'authenticated' });
    expect(await merchant.query(R1, { unsigned: { sign: 'QUJD' } })).toMatchObject({ sign: null });
    expect(await merchant.query({ ...R1, out_trade_no: 'NOBODY' })).toMatchObject({ verified: true });
  });

  it('the official library is understood, and accepts what it is told', async () => {
    const { appId, privateKey, alipayPublicKey, gatewayUrl } = merchant.settings;
    const sdk = new AlipaySdk({ appId, privateKey, keyType: 'PKCS8', alipayPublicKey, gateway: gatewayUrl });
    const exec = (method: string, bizContent: Json) => sdk.exec(method, { bizContent }, { validateSign: true });
    expect(await exec(QUERY, R1)).toMatchObject({ code: '10000', refundStatus: 'REFUND_SUCCESS' });
    expect(await exec(REFUND, refundOf('R2'))).toMatchObject({ code: '10000', outTradeNo: 'TRADE-1' });
    expect(await exec(QUERY, { out_trade_no: 'NOBODY', out_request_no: 'R1' })).toMatchObject({
      code: '40004',
      subCode: 'ACQ.TRADE_NOT_EXIST',
    });
  });

  it('answers gateway.do and nothing beside it', async () => {
    expect((await send(merchant.sandbox.url, 'GET', '/gateway.dot', {}, undefined)).status).toBe(404);
    expect((await send(merchant.sandbox.url, 'PUT', '/gateway.do', {}, undefined)).body).toContain(
      'isv.invalid-method',
    );
  });
});

describe('a query', () => {
  it('of a refund that succeeded tells everything; the time only when it is asked for', async () => {
    const { payment } = (await merchant.register('R1', 'success')) as { payment: Json };
    const { response } = await merchant.query(R1);
    expect(response).toMatchObject({
      code: '10000',
      msg: 'Success',
      trade_no: payment.transactionId,
      out_trade_no: 'TRADE-R1',
      out_request_no: 'R1',
      total_amount: '8.88',
      refund_amount: '1.00',
      refund_status: 'REFUND_SUCCESS',
      gmt_refund_pay: expect.stringMatching(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/) as string,
    });
    expect((await merchant.query({ ...R1, query_options: [] })).response).not.toHaveProperty('gmt_refund_pay');
    expect(response).not.toHaveProperty('deposit_back_info');
    expect(
      (await merchant.query({ ...R1, query_options: ['deposit_back_info'] })).response.deposit_back_info,
    ).toMatchObject({ dback_status: 'S' });
  });

  it('by Alipay’s number of the payment, which wins over ours', async () => {
    const { payment } = (await merchant.register('R1', 'success')) as { payment: Json };
    const content = { trade_no: payment.transactionId, out_trade_no: 'NOBODY', out_request_no: 'R1' };
    expect((await merchant.query(content)).response).toMatchObject({ refund_status: 'REFUND_SUCCESS' });
  });

  it.each([
    ['processing', { out_request_no: 'R1', out_trade_no: 'TRADE-R1' }],
    ['closed', {}],
    ['abnormal', {}],
    ['notFound', {}],
  ])('of a refund that is %s is a signed 10000 without a status', async (status, more) => {
    await merchant.register('R1', status);
    const reply = await merchant.query(R1);
    expect(reply).toMatchObject({ verified: true, response: { code: '10000', msg: 'Success', ...more } });
    expect(reply.response).not.toHaveProperty('refund_status');
    expect(reply.response).not.toHaveProperty('refund_amount');
    if (Object.keys(more).length === 0) expect(Object.keys(reply.response)).toEqual(['code', 'msg']);
  });

  it('of a refund that failed is the REFUND_FAIL of the asynchronous product', async () => {
    await merchant.register('R1', 'failed');
    expect((await merchant.query(R1)).response).toMatchObject({
      refund_status: 'REFUND_FAIL',
      error_code: expect.any(String) as string,
    });
  });

  it('of a refund that nobody made is a signed 10000 with nothing, of a payment that nobody made TRADE_NOT_EXIST', async () => {
    await merchant.payment('TRADE-1');
    const unknown = await merchant.query({ out_trade_no: 'TRADE-1', out_request_no: 'R404' });
    expect([unknown.response, unknown.verified]).toEqual([{ code: '10000', msg: 'Success' }, true]);
    const nobody = await merchant.query({ out_trade_no: 'NOBODY', out_request_no: 'R404' });
    expect([told(nobody), nobody.verified]).toEqual(['40004 ACQ.TRADE_NOT_EXIST', true]);
  });

  it.each<[Json]>([
    [{ out_request_no: 'R1' }],
    [{ out_trade_no: 'TRADE-R1' }],
    [{ out_trade_no: 'T'.repeat(65), out_request_no: 'R1' }],
    [{ out_trade_no: 7, out_request_no: 'R1' }],
    [{ ...R1, query_options: 'gmt_refund_pay' }],
  ])('that lacks something is ACQ.INVALID_PARAMETER: %j', async (content) => {
    expect(told(await merchant.query(content))).toBe('40004 ACQ.INVALID_PARAMETER');
  });

  it('without biz_content is too', async () => {
    for (const content of ['', '[]', '{'])
      expect(told(await merchant.call(QUERY, content))).toBe('40004 ACQ.INVALID_PARAMETER');
  });

  it('changes as the script says', async () => {
    await merchant.register('R1', [
      { afterMs: 0, status: 'processing' },
      { afterMs: 150, status: 'success' },
    ]);
    expect((await merchant.query(R1)).response).not.toHaveProperty('refund_status');
    await pause(160);
    expect((await merchant.query(R1)).response).toMatchObject({ refund_status: 'REFUND_SUCCESS' });
  });
});

describe('a refund', () => {
  beforeEach(() => merchant.payment('TRADE-1'));
  const atOnce = (): Promise<Json> => merchant.setUp({ defaultScript: [{ afterMs: 0, status: 'success' }] });

  it('that moves money at once is fund_change=Y, and refund_fee is what the payment has refunded so far', async () => {
    await atOnce();
    const first = await merchant.refund(refundOf('R1', '1.00'));
    expect(first).toMatchObject({ verified: true, member: 'alipay_trade_refund_response' });
    expect(first.response).toMatchObject({
      code: '10000',
      fund_change: 'Y',
      refund_fee: '1.00',
      out_trade_no: 'TRADE-1',
    });
    expect(first.response).not.toHaveProperty('out_request_no');
    const second = await merchant.refund(refundOf('R2', '2.50'));
    expect(second.response).toMatchObject({ fund_change: 'Y', refund_fee: '3.50' });
    expect((await merchant.query({ out_trade_no: 'TRADE-1', out_request_no: 'R2' })).response).toMatchObject({
      refund_amount: '2.50',
    });
  });

  it('that takes its time is fund_change=N', async () => {
    expect((await merchant.refund(refundOf('R1'))).response).toMatchObject({ code: '10000', fund_change: 'N' });
  });

  it('sent again is the same refund, without money moving again', async () => {
    await atOnce();
    await merchant.refund(refundOf('R1'));
    const again = await merchant.refund(refundOf('R1'));
    expect(again.response).toMatchObject({ code: '10000', fund_change: 'N', refund_fee: '1.00' });
    expect(await merchant.truth('R1')).toMatchObject({
      creates: 2,
      refundsAtGateway: 1,
      payment: { refunds: 1, refundedAmount: 100 },
    });
  });

  it('sent again with another amount is refused', async () => {
    await merchant.refund(refundOf('R1'));
    expect(told(await merchant.refund(refundOf('R1', '2.00')))).toBe('40004 ACQ.DISCORDANT_REPEAT_REQUEST');
    expect(await merchant.truth('R1')).toMatchObject({ amount: 100 });
  });

  it('has a number of its own within its payment: another payment may use the same', async () => {
    await merchant.payment('TRADE-2');
    await atOnce();
    await merchant.refund(refundOf('R1', '1.00'));
    await merchant.refund(refundOf('R1', '2.00', { out_trade_no: 'TRADE-2' }));
    const one = await merchant.query({ out_trade_no: 'TRADE-1', out_request_no: 'R1' });
    const two = await merchant.query({ out_trade_no: 'TRADE-2', out_request_no: 'R1' });
    expect([one, two].map(({ response }) => [response.out_request_no, response.refund_amount])).toEqual([
      ['R1', '1.00'],
      ['R1', '2.00'],
    ]);
    expect(await merchant.truth('R1@TRADE-2')).toMatchObject({ outTradeNo: 'TRADE-2', amount: 200 });
  });

  it('of more than is left is refused, and so is any of a payment with nothing left', async () => {
    expect(told(await merchant.refund(refundOf('R1', '8.89')))).toBe('40004 ACQ.REFUND_AMT_NOT_EQUAL_TOTAL');
    expect(told(await merchant.refund(refundOf('R2', '8.00')))).toBe('10000');
    expect(told(await merchant.refund(refundOf('R3', '0.89')))).toBe('40004 ACQ.REFUND_AMT_NOT_EQUAL_TOTAL');
    expect(told(await merchant.refund(refundOf('R4', '0.88')))).toBe('10000');
    expect(told(await merchant.refund(refundOf('R5', '0.01')))).toBe('40004 ACQ.TRADE_HAS_CLOSE');
  });

  it('of a part needs a number; of the whole takes the payment’s', async () => {
    expect(told(await merchant.refund({ out_trade_no: 'TRADE-1', refund_amount: '1.00' }))).toBe(
      '40004 ACQ.INVALID_PARAMETER',
    );
    await atOnce();
    expect(told(await merchant.refund({ out_trade_no: 'TRADE-1', refund_amount: '8.88' }))).toBe('10000');
    const reply = await merchant.query({ out_trade_no: 'TRADE-1', out_request_no: 'TRADE-1' });
    expect(reply.response).toMatchObject({ refund_status: 'REFUND_SUCCESS', refund_amount: '8.88' });
  });

  it.each([
    ['1', 100],
    ['1.1', 110],
    ['0.01', 1],
    [1.1, 110],
    [2, 200],
  ])('takes an amount written %j', async (written, amount) => {
    expect(told(await merchant.refund({ ...refundOf('R1'), refund_amount: written }))).toBe('10000');
    expect(await merchant.truth('R1')).toMatchObject({ amount });
  });

  it.each(['0', '0.00', '-1.00', '1.001', '1,00', '', ' 1.00', '1e2', null, 0.001, {}, '100000000.01'])(
    'takes no amount written %j',
    async (written) => {
      expect(told(await merchant.refund({ ...refundOf('R1'), refund_amount: written }))).toBe(
        '40004 ACQ.INVALID_PARAMETER',
      );
    },
  );

  it.each<[Json]>([
    [{ out_trade_no: undefined }],
    [{ out_request_no: 'R'.repeat(65) }],
    [{ out_request_no: 7 }],
    [{ refund_reason: 'x'.repeat(257) }],
  ])('that lacks something is refused: %j', async (change) => {
    expect(told(await merchant.refund(refundOf('R1', '1.00', change)))).toBe('40004 ACQ.INVALID_PARAMETER');
  });

  it('of a payment that nobody declared is believed, unless the settings say otherwise', async () => {
    expect(told(await merchant.refund(refundOf('R1', '1.00', { out_trade_no: 'TRADE-9' })))).toBe('10000');
    expect(told(await merchant.refund(refundOf('R2', '2.00', { out_trade_no: 'TRADE-9' })))).toBe('10000');
    expect(await merchant.truth('R2')).toMatchObject({ payment: { amount: 300, refunds: 2 } });
    await merchant.setUp({ autoPayments: false });
    expect(told(await merchant.refund(refundOf('R3', '1.00', { out_trade_no: 'NOBODY' })))).toBe(
      '40004 ACQ.TRADE_NOT_EXIST',
    );
  });

  it('that was announced follows its own script from its create', async () => {
    await merchant.register('R1', 'success', { outTradeNo: 'TRADE-1', awaitCreate: true });
    expect((await merchant.query({ out_trade_no: 'TRADE-1', out_request_no: 'R1' })).response).toEqual({
      code: '10000',
      msg: 'Success',
    });
    expect((await merchant.refund(refundOf('R1'))).response).toMatchObject({ fund_change: 'Y' });
    expect((await merchant.query({ out_trade_no: 'TRADE-1', out_request_no: 'R1' })).response).toMatchObject({
      refund_status: 'REFUND_SUCCESS',
    });
  });
});
