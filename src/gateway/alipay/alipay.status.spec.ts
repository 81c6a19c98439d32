import { describe, expect, it } from 'vitest';

import vectors from '../../../test/vectors/alipay.json' with { type: 'json' };
import { parseJson, type JsonObject } from '../../shared/lossless-json.js';
import { parseBeijingTime } from '../beijing-time.js';
import type { Observation } from '../observation.js';
import { ALIPAY_REFUND_STATUS, kindOfStatus, observeCreate, observeQuery } from './alipay.status.js';

const fieldsOf = (text: string) => parseJson(text) as JsonObject;
const refund = JSON.parse(vectors.signatures.A2.text) as Record<string, unknown>;
const query = (over: Record<string, unknown> = {}) => observeQuery(fieldsOf(JSON.stringify({ ...refund, ...over })));
/** The text as it stands: JSON.stringify would write 1.10 as 1.1. */
const queryText = (text: string) => observeQuery(fieldsOf(text));

describe('a query', () => {
  it('REFUND_SUCCESS is a success of this refund’s amount, number and time', () => {
    expect(query()).toEqual({
      kind: 'success',
      authenticated: true,
      amountMinor: 100,
      currency: 'CNY',
      gatewayRefundNo: null,
      // 08:00:05 in GMT+8, which is not written.
      finishedAt: new Date('2024-01-01T00:00:05Z'),
      identity: {
        gatewayRequestNo: 'TESTREFUND0001',
        outTradeNo: 'TESTORDER0001',
        gatewayPaymentNo: '2024010122001400000000000001',
      },
      raw: { code: 'REFUND_SUCCESS', message: 'Success', body: refund },
    });
  });

  it.each([
    ['with nothing but code and msg', '{"code":"10000","msg":"Success"}', {}],
    [
      'with the numbers repeated',
      '{"code":"10000","msg":"Success","out_request_no":"R1","out_trade_no":"T1","trade_no":"2024"}',
      { gatewayRequestNo: 'R1', outTradeNo: 'T1', gatewayPaymentNo: '2024' },
    ],
    ['with an empty status', '{"code":"10000","msg":"Success","refund_status":""}', {}],
    [
      'with an amount, as answers of old had it',
      '{"code":"10000","msg":"Success","out_request_no":"R1","refund_amount":"1.00"}',
      { gatewayRequestNo: 'R1' },
    ],
  ])('10000 without refund_status, %s, is neither success nor failure: not found', (_how, text, identity) => {
    expect(queryText(text)).toMatchObject({
      kind: 'notFound',
      authenticated: true,
      identity,
      raw: { code: '10000', message: 'Success; nothing is said of the refund' },
    });
  });

  it('keeps what an answer without status said', () => {
    const { raw } = queryText('{"code":"10000","msg":"Success","trade_no":"2024"}') as Observation;
    expect(raw.body).toEqual({ code: '10000', msg: 'Success', trade_no: '2024' });
  });

  it('REFUND_PROCESSING of the asynchronous product is processing', () => {
    expect(query({ refund_status: 'REFUND_PROCESSING' })).toMatchObject({ kind: 'processing', gatewayRefundNo: null });
  });

  it('REFUND_FAIL of the asynchronous product is a failure, with its code', () => {
    expect(query({ refund_status: 'REFUND_FAIL', error_code: 'ACCOUNT_CLOSED' })).toMatchObject({
      kind: 'failed',
      code: 'ACCOUNT_CLOSED',
    });
    expect(query({ refund_status: 'REFUND_FAIL' })).toMatchObject({ kind: 'failed', code: 'REFUND_FAIL' });
  });

  it('a status that nobody documents ends nothing, and is kept', () => {
    expect(query({ refund_status: 'REFUND_DELAYED' })).toMatchObject({
      kind: 'processing',
      raw: { code: 'REFUND_DELAYED' },
    });
    expect(kindOfStatus('toString')).toBe('processing');
    expect(Object.keys(ALIPAY_REFUND_STATUS)).toEqual(['REFUND_SUCCESS', 'REFUND_PROCESSING', 'REFUND_FAIL']);
  });

  it.each([
    ['"1.00"', 100],
    ['"1.1"', 110],
    ['"0.01"', 1],
    ['"88"', 8800],
    ['"100000000.00"', 10_000_000_000],
    ['1.10', 110],
    ['1.1', 110],
    ['0.29', 29],
    ['1.15', 115],
    ['4.35', 435],
    ['1', 100],
    ['"19.99"', 1999],
    ['2.50', 250],
  ])('an amount of %s yuan is %d fen, digit by digit and never by way of a float', (written, amountMinor) => {
    expect(
      queryText(`{"code":"10000","refund_status":"REFUND_SUCCESS","out_request_no":"R1","refund_amount":${written}}`),
    ).toMatchObject({ kind: 'success', amountMinor });
  });

  it.each([
    ['no amount', 'refund_amount', { refund_amount: undefined }],
    ['an empty amount', 'refund_amount', { refund_amount: '' }],
    ['an amount of nothing', 'refund_amount', { refund_amount: '0.00' }],
    ['an amount below nothing', 'refund_amount', { refund_amount: '-1.00' }],
    ['a tenth of a fen', 'refund_amount', { refund_amount: '1.001' }],
    ['an amount with thousands', 'refund_amount', { refund_amount: '1,000.00' }],
    ['an exponent', 'refund_amount', { refund_amount: 1e21 }],
    ['an amount that is an object', 'refund_amount', { refund_amount: { value: '1.00' } }],
    ['no refund number: it could be another refund’s answer', 'out_request_no', { out_request_no: undefined }],
  ])('a success with %s is no answer', (_what, badField, over) => {
    expect(query(over)).toEqual({ badField });
  });

  it.each([undefined, '', 'today', '2024-02-30 08:00:00', '2024-01-01T08:00:00'])(
    'a success whose time is %s is a success without a time',
    (gmt_refund_pay) => {
      expect(query({ gmt_refund_pay })).toMatchObject({ kind: 'success', finishedAt: null });
    },
  );

  it('keeps who the buyer is out of the evidence, and the way back to the card in it', () => {
    const observation = query({
      buyer_logon_id: '159****5620',
      buyer_user_id: '2088101117955611',
      buyer_open_id: '0543v3Ch5stl8XBZW845p4Rmm',
      refund_reason: 'private words',
      refund_detail_item_list: [{ fund_channel: 'ALIPAYACCOUNT', amount: '1.00' }],
      deposit_back_info: { has_deposit_back: 'true', dback_status: 'F', dback_amount: '1.00', bank_card: '6222' },
    }) as Observation;
    expect(observation.raw.body).toEqual({
      ...refund,
      deposit_back_info: { has_deposit_back: 'true', dback_status: 'F', dback_amount: '1.00' },
    });
  });
});

describe('a create', () => {
  const answer = {
    code: '10000',
    msg: 'Success',
    trade_no: '2024010122001400000000000001',
    out_trade_no: 'TESTORDER0001',
    buyer_logon_id: '159****5620',
    refund_fee: '1.00',
    send_back_fee: '1.00',
  };
  const create = (over: Record<string, unknown>) => observeCreate(fieldsOf(JSON.stringify({ ...answer, ...over })));

  it.each([
    ['Y', '1.00', 'fund_change=Y'],
    // The first refund of this payment: even here the signed text does not say that it is of this number.
    ['Y', '8.88', 'fund_change=Y'],
    ['N', '1.00', 'fund_change=N'],
  ])('fund_change=%s with refund_fee %s is accepted, and a query must prove it', (fund_change, refund_fee, code) => {
    expect(create({ fund_change, refund_fee })).toMatchObject({
      kind: 'processing',
      authenticated: true,
      raw: { code, body: { fund_change, refund_fee } },
      identity: { outTradeNo: 'TESTORDER0001', gatewayPaymentNo: '2024010122001400000000000001' },
    });
  });

  it('no fund_change at all is accepted too', () => {
    expect(create({})).toMatchObject({ kind: 'processing', raw: { code: '10000' } });
  });

  it('keeps nothing of the buyer', () => {
    expect(JSON.stringify(create({ fund_change: 'Y' }))).not.toContain('159****5620');
  });
});

describe('a time', () => {
  it('is read as GMT+8, with and without milliseconds', () => {
    expect(parseBeijingTime('2024-01-01 08:00:05')).toEqual(new Date('2024-01-01T00:00:05Z'));
    expect(parseBeijingTime('2024-01-01 07:59:59.123')).toEqual(new Date('2023-12-31T23:59:59.123Z'));
    expect(parseBeijingTime(null)).toBeNull();
  });
});
