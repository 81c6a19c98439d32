import { describe, expect, it } from 'vitest';

import { kindOfCode, observeAccepted, observeQuery, UNIONPAY_REFUND_CODE } from './unionpay.status.js';

const answer: Record<string, string> = {
  accNo: '6216261000000000018',
  accessType: '0',
  currencyCode: '156',
  merId: '777290058110048',
  orderId: 'TESTREFUND0001',
  origRespCode: '00',
  origRespMsg: '成功[0000000]',
  queryId: '052401051658427863998',
  respCode: '00',
  respMsg: '成功[0000000]',
  settleAmt: '100',
  settleDate: '0105',
  signPubKeyCert: '-----BEGIN CERTIFICATE-----\r\nMII\r\n-----END CERTIFICATE-----',
  traceNo: '786399',
  traceTime: '0105165842',
  txnAmt: '100',
  txnTime: '20240105165842',
  txnType: '00',
};
const query = (over: Record<string, string> = {}) => observeQuery(new Map(Object.entries({ ...answer, ...over })));

describe('a query', () => {
  it('00 and 00: a success of this amount, number and time, and nothing of the card', () => {
    const { accNo: _card, accessType: _type, signPubKeyCert: _certificate, ...kept } = answer;
    expect(query()).toEqual({
      kind: 'success',
      authenticated: true,
      amountMinor: 100,
      currency: 'CNY',
      gatewayRefundNo: '052401051658427863998',
      finishedAt: new Date('2024-01-05T08:58:42Z'),
      identity: {
        gatewayRequestNo: 'TESTREFUND0001',
        gatewayRefundNo: '052401051658427863998',
        merchantId: '777290058110048',
      },
      raw: { code: '00', message: '成功[0000000]', body: kept },
    });
  });

  it('A6 is a success with a note', () => {
    expect(query({ origRespCode: 'A6', origRespMsg: '有缺陷的成功' })).toMatchObject({
      kind: 'success',
      raw: { code: 'A6', message: 'succeeded with a defect: 有缺陷的成功' },
    });
  });

  it.each(['03', '04', '05'])('%s is processing', (origRespCode) => {
    expect(query({ origRespCode })).toMatchObject({
      kind: 'processing',
      gatewayRefundNo: '052401051658427863998',
      raw: { code: origRespCode },
    });
  });

  it.each('01 30 31 32 33 35 36 38 39 40 43 44 45 46 60 61 62 63 64 65 66 67 68 69'.split(' '))(
    '%s is a failure, in the gateway’s words',
    (origRespCode) => {
      expect(query({ origRespCode, origRespMsg: '卡状态不正确' })).toMatchObject({
        kind: 'failed',
        code: origRespCode,
        message: '卡状态不正确',
      });
    },
  );

  it.each('02 06 10 11 12 13 34 37 42 98 99 A1 A7 ZZ toString'.split(' '))(
    '%s says nothing certain: asked again, with the raw code',
    (origRespCode) => {
      expect(query({ origRespCode })).toMatchObject({ kind: 'processing', raw: { code: origRespCode } });
    },
  );

  it('every code of the table is tested above', () => {
    expect(Object.keys(UNIONPAY_REFUND_CODE)).toHaveLength(29);
    expect(kindOfCode('A6')).toBe('success');
  });

  it.each([
    ['origRespCode', { origRespCode: '' }],
    ['txnAmt', { txnAmt: '' }],
    ['txnAmt', { txnAmt: '1.00' }],
    ['txnAmt', { txnAmt: '0' }],
    ['txnAmt', { txnAmt: '1234567890123' }],
  ])('nothing is guessed where %s is missing or malformed', (badField, over) => {
    expect(query(over)).toEqual({ badField });
  });

  it('another currency is never what was asked for', () => {
    expect(query({ currencyCode: '840' })).toMatchObject({ kind: 'success', currency: 'XXX' });
    expect(query({ currencyCode: '' })).toMatchObject({ currency: 'CNY' });
  });

  it.each([
    ['in the same year', '20240105165842', '0106000001', '2024-01-05T16:00:01Z'],
    ['a second before, by another clock', '20240105165842', '0105165841', '2024-01-05T08:58:41Z'],
    ['after New Year', '20241231235959', '0101000003', '2024-12-31T16:00:03Z'],
    ['on a day that only one of the years has', '20240227120000', '0229120000', '2024-02-29T04:00:00Z'],
  ])('the time has no year: %s', (_when, txnTime, traceTime, finishedAt) => {
    expect(query({ txnTime, traceTime })).toMatchObject({ finishedAt: new Date(finishedAt) });
  });

  it.each([
    ['', '20240105165842'],
    ['0230120000', '20240105165842'],
    ['0105165842', '20240230165842'],
    ['165842', '20240105165842'],
  ])('no time is made up of %j and %j', (traceTime, txnTime) => {
    expect(query({ traceTime, txnTime })).toMatchObject({ kind: 'success', finishedAt: null });
  });
});

describe('a create', () => {
  it('00 is accepted and no more, also where it has an amount', () => {
    const fields = new Map(Object.entries({ ...answer, origQryId: '052401051658427862748' }));
    expect(observeAccepted(fields)).toMatchObject({
      kind: 'processing',
      authenticated: true,
      gatewayRefundNo: '052401051658427863998',
      identity: { gatewayPaymentNo: '052401051658427862748' },
      raw: { code: '00' },
    });
  });
});
