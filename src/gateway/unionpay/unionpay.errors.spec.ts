import { describe, expect, it } from 'vitest';

import { GatewayError } from '../gateway.error.js';
import type { GatewayOperation } from '../refusal-rules.js';
import { readRefusal, UNIONPAY_REFUSALS, type UnionpayMessage } from './unionpay.errors.js';

function read(operation: GatewayOperation, respCode: string, signature: UnionpayMessage['signature'] = 'right') {
  const fields = new Map(Object.entries({ respCode, respMsg: `消息[${respCode}]`, accNo: '6216261000000000018' }));
  return readRefusal(operation, { fields, signature, doubt: null });
}

/** What each code is worth, written down once more by hand: operation → code → kind. */
const QUERY: Record<string, string> = {
  '01': 'rejected',
  '02': 'unavailable',
  '03': 'unavailable',
  '04': 'unavailable',
  '05': 'unavailable',
  '06': 'unavailable',
  '10': 'badConfig',
  '11': 'badConfig',
  '12': 'rejected',
  '13': 'badConfig',
  '31': 'badConfig',
  '32': 'badConfig',
  '35': 'rejected',
  '37': 'rateLimited',
  '43': 'badConfig',
  '60': 'rejected',
  '98': 'unavailable',
  '99': 'unavailable',
  ZZ: 'rejected',
};
const CREATE: Record<string, string> = {
  '01': 'ambiguous',
  '02': 'ambiguous',
  '03': 'ambiguous',
  '04': 'ambiguous',
  '06': 'ambiguous',
  '10': 'rejected',
  '11': 'badConfig',
  '12': 'ambiguous',
  '13': 'rejected',
  '30': 'rejected',
  '31': 'rejected',
  '32': 'rejected',
  '33': 'rejected',
  '34': 'ambiguous',
  '35': 'rejected',
  '36': 'rejected',
  '37': 'rateLimited',
  '38': 'rejected',
  '39': 'rejected',
  '43': 'rejected',
  '45': 'rejected',
  '46': 'rejected',
  '60': 'ambiguous',
  '99': 'ambiguous',
  ZZ: 'rejected',
};
const NOTHING_HAPPENED = ['10', '13', '31', '32', '33', '36', '43'];

describe('a refusal', () => {
  it.each(Object.entries(QUERY))('of a query with %s is %s', (code, kind) => {
    expect(read('query', code)).toMatchObject({ kind, code, nothingHappened: false });
  });

  it.each(Object.entries(CREATE))('of a create with %s is %s', (code, kind) => {
    expect(read('create', code)).toMatchObject({ kind, code, nothingHappened: NOTHING_HAPPENED.includes(code) });
  });

  it('proves nothing without a signature', () => {
    for (const code of Object.keys(CREATE))
      expect(read('create', code, 'absent')).toMatchObject({ nothingHappened: false });
  });

  it('34 to a query: not found, and it says whether it was signed', () => {
    expect(read('query', '34')).toMatchObject({ kind: 'notFound', authenticated: true, raw: { code: '34' } });
    expect(read('query', '34', 'absent')).toMatchObject({ kind: 'notFound', authenticated: false });
  });

  it('37 asks to wait a minute', () => {
    expect(read('query', '37')).toMatchObject({ retryAfterMs: 60_000 });
  });

  it('keeps the gateway’s words and nothing of the card', () => {
    const error = read('create', '36') as GatewayError;
    expect(error.raw).toEqual({ code: '36', message: '消息[36]', body: { respCode: '36', respMsg: '消息[36]' } });
  });

  it.each(['', '<script>', 'X'.repeat(65)])('no code is made up: %j', (code) => {
    expect(read('query', code)).toMatchObject({ kind: 'unavailable', code: 'no_code' });
    expect(read('create', code)).toMatchObject({ kind: 'ambiguous', nothingHappened: false });
  });

  it('"nothing happened" stands for creates alone', () => {
    for (const rule of UNIONPAY_REFUSALS.filter(({ nothingHappened }) => nothingHappened))
      expect(rule).toMatchObject({ on: ['create'], outcome: 'rejected' });
  });
});
