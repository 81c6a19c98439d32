import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';

import { parseJson, type JsonObject } from '../../shared/lossless-json.js';
import { GatewayError } from '../gateway.error.js';
import type { GatewayOperation } from '../refusal-rules.js';
import { ALIPAY_REFUSALS, readRefusal, type AlipayResponse } from './alipay.errors.js';

const response = (fields: Record<string, unknown>, verified = true): AlipayResponse => ({
  fields: parseJson(JSON.stringify(fields)) as JsonObject,
  verified,
  unverifiedBecause: verified ? null : 'it has no signature',
});
const read = (operation: GatewayOperation, code: string, sub_code?: string, verified = true) =>
  readRefusal(operation, response({ code, msg: 'Business Failed', sub_code, sub_msg: '说明' }, verified), 'TRACE-1');

function refusal(operation: GatewayOperation, code: string, subCode?: string, verified = true): GatewayError {
  const found = read(operation, code, subCode, verified);
  if (!(found instanceof GatewayError)) throw new Error(`not an error: ${found.kind}`);
  return found;
}

describe('the error table', () => {
  it.each<[GatewayOperation, string, string | undefined, string, boolean]>([
    // gateways.md §3.5, row by row: operation, code, sub_code, kind, nothing happened
    ['query', '20000', 'isp.unknow-error', 'unavailable', false],
    ['create', '20000', 'isp.unknow-error', 'ambiguous', false],
    ['query', '20000', 'aop.unknow-error', 'unavailable', false],
    ['create', '20000', undefined, 'ambiguous', false],
    ['query', '40004', 'ACQ.SYSTEM_ERROR', 'unavailable', false],
    ['create', '40004', 'ACQ.SYSTEM_ERROR', 'ambiguous', false],
    ['create', '20000', 'aop.ACQ.SYSTEM_ERROR', 'ambiguous', false],
    ['query', '20001', 'aop.invalid-app-auth-token', 'badConfig', false],
    ['query', '40001', 'isv.missing-method', 'badConfig', false],
    ['query', '40002', 'isv.invalid-signature', 'badConfig', false],
    ['create', '40002', 'isv.invalid-signature', 'badConfig', false],
    ['query', '40002', 'isv.invalid-app-id', 'badConfig', false],
    ['create', '40002', 'isv.invalid-timestamp', 'badConfig', false],
    ['query', '40003', 'isv.missing-signature-config', 'badConfig', false],
    ['query', '40006', 'isv.insufficient-isv-permissions', 'badConfig', false],
    ['create', '40006', 'isv.insufficient-isv-permissions', 'badConfig', false],
    ['create', '40004', 'isv.product-not-signed', 'badConfig', false],
    ['query', '40005', 'isv.app-call-limited', 'rateLimited', false],
    ['create', '40005', 'isv.method-call-limited', 'rateLimited', false],
    ['query', '40005', undefined, 'rateLimited', false],
    ['create', '40004', 'ACQ.TRADE_NOT_EXIST', 'rejected', true],
    ['create', '40004', 'ACQ.SELLER_BALANCE_NOT_ENOUGH', 'rejected', false],
    ['create', '40004', 'ACQ.REFUND_CHARGE_ERROR', 'ambiguous', false],
    ['create', '40004', 'ACQ.DISCORDANT_REPEAT_REQUEST', 'rejected', false],
    ['create', '40004', 'ACQ.REASON_TRADE_REFUND_FEE_ERR', 'rejected', true],
    ['create', '40004', 'ACQ.REFUND_AMT_NOT_EQUAL_TOTAL', 'rejected', true],
    ['create', '40004', 'ACQ.REFUND_FEE_ERROR', 'rejected', true],
    // A full refund closes its payment: this may be the trace of the refund itself.
    ['create', '40004', 'ACQ.TRADE_STATUS_ERROR', 'rejected', false],
    ['create', '40004', 'ACQ.TRADE_HAS_CLOSE', 'rejected', false],
    ['create', '40004', 'ACQ.TRADE_HAS_FINISHED', 'rejected', true],
    ['create', '40004', 'ACQ.TRADE_NOT_ALLOW_REFUND', 'rejected', true],
    ['create', '40004', 'ACQ.NOT_ALLOW_PARTIAL_REFUND', 'rejected', true],
    ['create', '40004', 'ACQ.REASON_TRADE_BEEN_FREEZEN', 'rejected', false],
    ['create', '40004', 'ACQ.TRADE_SETTLE_ERROR', 'rejected', false],
    ['create', '40004', 'ACQ.BUYER_NOT_EXIST', 'rejected', false],
    ['create', '40004', 'ACQ.BUYER_ENABLE_STATUS_FORBID', 'rejected', false],
    ['create', '40004', 'ACQ.CUSTOMER_VALIDATE_ERROR', 'rejected', false],
    ['create', '40004', 'ACQ.USER_NOT_MATCH_ERR', 'rejected', false],
    ['create', '40004', 'ACQ.INVALID_PARAMETER', 'rejected', true],
    ['query', '40004', 'ACQ.INVALID_PARAMETER', 'rejected', false],
    ['create', '40004', 'ACQ.CURRENCY_NOT_SUPPORT', 'rejected', true],
    ['create', '40004', 'ACQ.ALLOC_AMOUNT_VALIDATE_ERROR', 'rejected', false],
    ['create', '40004', 'ACQ.REFUNDALLOC_UNAUTH_LIMIT', 'rejected', false],
    // not in any document
    ['create', '40004', 'ACQ.SOMETHING_NEW', 'rejected', false],
    ['create', '40004', undefined, 'rejected', false],
    ['query', '10003', undefined, 'unavailable', false],
    ['create', '99999', 'ACQ.SOMETHING_NEW', 'ambiguous', false],
  ])('%s: %s %s is %s (nothing happened: %s)', (operation, code, subCode, kind, nothingHappened) => {
    expect(refusal(operation, code, subCode)).toMatchObject({ kind, nothingHappened, code: subCode ?? code });
  });

  it.each(['ACQ.TRADE_NOT_EXIST', 'TRADE_NOT_EXIST', 'aop.ACQ.TRADE_NOT_EXIST'])(
    'query: %s is not found, signed or not',
    (subCode) => {
      expect(read('query', '40004', subCode)).toMatchObject({
        kind: 'notFound',
        authenticated: true,
        raw: { code: subCode, message: '说明' },
      });
      expect(read('query', '40004', subCode, false)).toMatchObject({ kind: 'notFound', authenticated: false });
    },
  );

  it('an answer without a code, or with one that is none, is no answer', () => {
    for (const fields of [{}, { code: '' }, { code: { a: 1 } }, { code: 'a b' }])
      expect(readRefusal('query', response(fields), null)).toMatchObject({ kind: 'unavailable', code: 'no_code' });
  });

  it('no refusal without a signature says that nothing happened', () => {
    for (const { gatewayCode, code, on } of ALIPAY_REFUSALS) {
      if (!on.includes('create')) continue;
      const error = refusal('create', gatewayCode.replace('(any)', '40004'), `ACQ.${code}`, false);
      expect([code, error.nothingHappened]).toEqual([code, false]);
    }
  });

  it('a query is never told that nothing happened', () => {
    for (const { code, nothingHappened } of ALIPAY_REFUSALS) {
      if (!nothingHappened || code === 'TRADE_NOT_EXIST') continue;
      expect(refusal('query', '40004', `ACQ.${code}`).nothingHappened).toBe(false);
    }
  });

  it('a rate limit says how long to wait', () => {
    expect(refusal('query', '40005', 'isv.app-call-limited').retryAfterMs).toBe(60_000);
    expect(refusal('query', '40004', 'ACQ.SYSTEM_ERROR').retryAfterMs).toBeUndefined();
  });
});

describe('what a refusal keeps', () => {
  it('is its codes, Alipay’s words and the trace', () => {
    const error = refusal('create', '40004', 'ACQ.TRADE_HAS_FINISHED');
    expect(error.message).toBe(
      'Alipay answered the create with 40004 ACQ.TRADE_HAS_FINISHED: The time in which this payment could be refunded is over.',
    );
    expect(error.raw).toEqual({
      code: 'ACQ.TRADE_HAS_FINISHED',
      message: '说明',
      body: { code: '40004', msg: 'Business Failed', sub_code: 'ACQ.TRADE_HAS_FINISHED', trace_id: 'TRACE-1' },
    });
  });

  it('is not the request, which the text of a wrong signature repeats', () => {
    const sub_msg =
      '验签出错，网关生成的验签字符串为：app_id=2021&amp;biz_content={&quot;refund_reason&quot;:&quot;words-of-the-buyer&quot;}';
    const found = readRefusal('query', response({ code: '40002', sub_code: 'isv.invalid-signature', sub_msg }), null);
    expect(inspect(found, { depth: 9 })).not.toContain('words-of-the-buyer');
  });

  it('is no control character, and nothing that looks like a key', () => {
    const sub_msg = `line\u0000one\n${'A'.repeat(60)}`;
    const found = readRefusal('query', response({ code: '40004', sub_code: 'ACQ.X', sub_msg }), null);
    expect((found as GatewayError).raw?.message).toBe('line one [redacted]');
  });
});
