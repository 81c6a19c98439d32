import { describe, expect, it } from 'vitest';

import vectors from '../../../test/vectors/wechat-v3.json' with { type: 'json' };
import { ANSWER, CALLBACK, kindOfStatus, observe, publicFields, readRefund, WECHAT_STATUS } from './wechat.status.js';

const refund = (over: Record<string, unknown> = {}) => ({
  ...(JSON.parse(vectors.refundAnswer) as Record<string, unknown>),
  ...over,
});

function observation(over: Record<string, unknown> = {}) {
  const read = readRefund(refund(over), ANSWER);
  if ('badField' in read) throw new Error(`bad field ${read.badField}`);
  return observe(read);
}

describe('the status map', () => {
  it('is this, and nothing else', () => {
    expect(WECHAT_STATUS).toEqual({
      PROCESSING: 'processing',
      SUCCESS: 'success',
      CLOSED: 'failed',
      CLOSE: 'failed',
      ABNORMAL: 'abnormal',
    });
  });

  it.each(['REFUNDED', 'success', 'SUCCESS ', 'CHANGE', 'REFUNDCLOSE', 'constructor', '__proto__', 'toString'])(
    'takes the unknown status %j for processing and keeps it',
    (status) => {
      expect(kindOfStatus(status)).toBe('processing');
      expect(observation({ status })).toMatchObject({ kind: 'processing', raw: { code: status } });
    },
  );
});

describe('a refund object', () => {
  it('in success carries amount, currency and time', () => {
    expect(observation({ status: 'SUCCESS', success_time: '2024-01-01T08:05:00+08:00' })).toEqual({
      kind: 'success',
      authenticated: true,
      amountMinor: 100,
      currency: 'CNY',
      gatewayRefundNo: '50000000382019052709732678859',
      finishedAt: new Date('2024-01-01T00:05:00Z'),
      identity: {
        gatewayRequestNo: 'TEST-REFUND-0001',
        gatewayRefundNo: '50000000382019052709732678859',
        outTradeNo: 'TESTORDER0001',
        gatewayPaymentNo: '4200000000202401010000000001',
      },
      raw: {
        code: 'SUCCESS',
        message: '',
        body: {
          out_refund_no: 'TEST-REFUND-0001',
          refund_id: '50000000382019052709732678859',
          out_trade_no: 'TESTORDER0001',
          transaction_id: '4200000000202401010000000001',
          status: 'SUCCESS',
          channel: 'ORIGINAL',
          funds_account: 'AVAILABLE',
          create_time: '2024-01-01T08:00:01+08:00',
          success_time: '2024-01-01T08:05:00+08:00',
          amount: {
            total: 888,
            refund: 100,
            currency: 'CNY',
            payer_total: 888,
            payer_refund: 100,
            settlement_total: 888,
            settlement_refund: 100,
            discount_refund: 0,
          },
        },
      },
    });
  });

  it('reports the refund amount, not what the payer got after discounts', () => {
    const amount = { total: 888, refund: 100, payer_total: 800, payer_refund: 90, currency: 'CNY' };
    expect(observation({ status: 'SUCCESS', amount })).toMatchObject({ amountMinor: 100 });
  });

  it('in CLOSED is failed, in ABNORMAL abnormal, in PROCESSING processing', () => {
    expect(observation({ status: 'CLOSED' })).toMatchObject({ kind: 'failed', code: 'CLOSED' });
    expect(observation({ status: 'ABNORMAL' })).toMatchObject({
      kind: 'abnormal',
      message: expect.stringMatching(/person/) as string,
    });
    expect(observation()).toMatchObject({ kind: 'processing', gatewayRefundNo: '50000000382019052709732678859' });
  });

  it.each<[string, Record<string, unknown>, string]>([
    ['no status', { status: undefined }, 'status'],
    ['a status that is a number', { status: 1 }, 'status'],
    ['an empty status', { status: '' }, 'status'],
    ['no refund number', { out_refund_no: undefined }, 'out_refund_no'],
    ['a refund number that is too long', { out_refund_no: 'x'.repeat(65) }, 'out_refund_no'],
    ['a refund_id that lost digits as a number', { refund_id: 5e28 }, 'refund_id'],
    ['a transaction_id that is a number', { transaction_id: 42 }, 'transaction_id'],
    ['success without amount', { status: 'SUCCESS', amount: undefined }, 'amount.refund'],
    [
      'success with an amount as text',
      { status: 'SUCCESS', amount: { refund: '100', currency: 'CNY' } },
      'amount.refund',
    ],
    ['success with a broken amount', { status: 'SUCCESS', amount: { refund: 1.5, currency: 'CNY' } }, 'amount.refund'],
    [
      'success with an unsafe amount',
      { status: 'SUCCESS', amount: { refund: 2 ** 53, currency: 'CNY' } },
      'amount.refund',
    ],
    [
      'success with a negative amount',
      { status: 'SUCCESS', amount: { refund: -100, currency: 'CNY' } },
      'amount.refund',
    ],
    ['success of nothing', { status: 'SUCCESS', amount: { refund: 0, currency: 'CNY' } }, 'amount.refund'],
    ['success without currency', { status: 'SUCCESS', amount: { refund: 100 } }, 'amount.currency'],
    [
      'success with an odd currency',
      { status: 'SUCCESS', amount: { refund: 100, currency: 'cny' } },
      'amount.currency',
    ],
  ])('with %s is not used', (_, over, badField) => {
    expect(readRefund(refund(over), ANSWER)).toEqual({ badField });
  });

  it.each([undefined, null, [], 'text', 1])('cannot be %j', (value) => {
    expect(readRefund(value, ANSWER)).toEqual({ badField: 'body' });
  });

  it.each(['2024-01-01T08:05:00', 'yesterday', '2024-13-01T08:05:00+08:00', 1704067200, ''])(
    'with the time %j still succeeds, without a time',
    (success_time) => {
      expect(observation({ status: 'SUCCESS', success_time })).toMatchObject({ kind: 'success', finishedAt: null });
    },
  );

  it('in a callback has its status under another name and no currency: CNY', () => {
    const read = readRefund(JSON.parse(vectors.aead.G1.plaintext), CALLBACK);
    expect(read).toMatchObject({ status: 'SUCCESS', money: { amountMinor: 100, currency: 'CNY' } });
    expect(readRefund(refund(), CALLBACK)).toEqual({ badField: 'refund_status' });
  });
});

describe('evidence', () => {
  it('holds no personal and no unknown field', () => {
    const kept = publicFields(
      refund({
        user_received_account: '招商银行信用卡0403',
        promotion_detail: [{ promotion_id: '1' }],
        payer: { openid: 'oUpF8uMuAJO' },
        amount: { refund: 100, currency: 'CNY', from: [{ account: 'AVAILABLE', amount: 100 }] },
        new_field: 'x',
      }),
    );
    expect(JSON.stringify(kept)).not.toMatch(/0403|promotion|openid|from|new_field/);
  });

  it('stays below 4 KiB, whatever is sent', () => {
    const long = Object.fromEntries(
      Object.keys(refund()).map((name) => [
        name,
        name === 'amount' ? { refund: 1, currency: '元'.repeat(9999) } : '元'.repeat(9999),
      ]),
    );
    expect(Buffer.byteLength(JSON.stringify(publicFields(long)))).toBeLessThan(4096);
  });
});
