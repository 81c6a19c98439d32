import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';

import { GatewayError } from '../gateway.error.js';
import { unanswered, type GatewayOperation } from '../refusal-rules.js';
import { readRefusal, WECHAT_REFUSALS, type WechatAnswer } from './wechat.errors.js';

const answer = (httpStatus: number, code: string | null, over: Partial<WechatAnswer> = {}): WechatAnswer => ({
  httpStatus,
  body: code === null ? '<html>gateway</html>' : JSON.stringify({ code, message: '说明' }),
  verified: true,
  unverifiedBecause: null,
  requestId: null,
  retryAfter: null,
  ...over,
});

function refusal(
  operation: GatewayOperation,
  httpStatus: number,
  code: string | null,
  over: Partial<WechatAnswer> = {},
): GatewayError {
  const outcome = readRefusal(operation, answer(httpStatus, code, over));
  if (!(outcome instanceof GatewayError)) throw new Error(`is ${outcome.kind}`);
  return outcome;
}

describe('the error table', () => {
  it.each<[GatewayOperation, number, string | null, string, boolean]>([
    // gateways.md §1.7, row by row
    ['query', 400, 'PARAM_ERROR', 'rejected', false],
    ['create', 400, 'PARAM_ERROR', 'rejected', true],
    ['create', 400, 'INVALID_REQUEST', 'rejected', false],
    ['query', 401, 'SIGN_ERROR', 'badConfig', false],
    ['create', 401, 'SIGN_ERROR', 'badConfig', false],
    ['query', 401, null, 'badConfig', false],
    ['create', 403, 'NOT_ENOUGH', 'rejected', false],
    ['create', 403, 'USER_ACCOUNT_ABNORMAL', 'rejected', true],
    ['query', 403, 'NO_AUTH', 'badConfig', false],
    ['create', 403, 'NO_AUTH', 'badConfig', false],
    ['create', 403, 'REQUEST_BLOCKED', 'rejected', false],
    ['query', 404, 'MCH_NOT_EXISTS', 'badConfig', false],
    ['create', 404, 'MCH_NOT_EXISTS', 'badConfig', false],
    ['create', 404, 'RESOURCE_NOT_EXISTS', 'ambiguous', false],
    ['query', 429, 'FREQUENCY_LIMITED', 'rateLimited', false],
    ['create', 429, 'FREQUENCY_LIMITED', 'rateLimited', false],
    ['query', 429, null, 'rateLimited', false],
    ['query', 500, 'SYSTEM_ERROR', 'unavailable', false],
    ['create', 500, 'SYSTEM_ERROR', 'ambiguous', false],
    ['query', 502, null, 'unavailable', false],
    ['create', 503, null, 'ambiguous', false],
    // what is not in it
    ['query', 400, 'SOMETHING_NEW', 'rejected', false],
    ['create', 403, 'SOMETHING_NEW', 'rejected', false],
    ['query', 403, null, 'unavailable', false],
    ['create', 400, null, 'ambiguous', false],
    ['query', 404, 'SOMETHING_NEW', 'unavailable', false],
    ['query', 404, null, 'unavailable', false],
    ['query', 302, null, 'unavailable', false],
    ['create', 302, null, 'ambiguous', false],
    // a known code under another status proves nothing
    ['create', 500, 'PARAM_ERROR', 'ambiguous', false],
    ['create', 403, 'PARAM_ERROR', 'rejected', false],
    ['query', 400, 'RESOURCE_NOT_EXISTS', 'rejected', false],
    ['query', 503, 'RESOURCE_NOT_EXISTS', 'unavailable', false],
  ])('%s %i %s → %s, nothing happened: %s', (operation, httpStatus, code, kind, nothingHappened) => {
    const error = refusal(operation, httpStatus, code);
    expect(error.kind).toBe(kind);
    expect(error.nothingHappened).toBe(nothingHappened);
    expect(error.code).toBe(code ?? `http_${httpStatus}`);
  });

  it('believes "nothing happened" only when it is signed', () => {
    const unsigned = { verified: false, unverifiedBecause: 'its signature is wrong' };
    expect(refusal('create', 400, 'PARAM_ERROR', unsigned)).toMatchObject({ kind: 'rejected', nothingHappened: false });
    expect(refusal('create', 403, 'USER_ACCOUNT_ABNORMAL', unsigned)).toMatchObject({ nothingHappened: false });
  });

  it('lists nothing as "nothing happened" but refused creates', () => {
    for (const rule of WECHAT_REFUSALS.filter(({ nothingHappened }) => nothingHappened)) {
      expect(rule).toMatchObject({ on: ['create'], outcome: 'rejected' });
      expect(rule.code).toMatch(/^[A-Z_]+$/);
    }
  });

  it.each([true, false])('takes a 404 RESOURCE_NOT_EXISTS for not found, signed: %s', (verified) => {
    expect(readRefusal('query', answer(404, 'RESOURCE_NOT_EXISTS', { verified, requestId: 'REQ-1' }))).toEqual({
      kind: 'notFound',
      authenticated: verified,
      identity: {},
      raw: { code: 'RESOURCE_NOT_EXISTS', message: '说明', body: { request_id: 'REQ-1' } },
    });
  });

  it.each([
    [null, 60_000],
    ['7', 7_000],
    ['0', 60_000],
    ['soon', 60_000],
    ['Wed, 21 Oct 2026 07:28:00 GMT', 60_000],
    ['-5', 60_000],
    ['999999', 3_600_000],
  ])('waits after Retry-After %j: %i ms', (retryAfter, retryAfterMs) => {
    expect(refusal('query', 429, 'FREQUENCY_LIMITED', { retryAfter }).retryAfterMs).toBe(retryAfterMs);
  });

  it('gives a pause to rate limits alone', () => {
    expect(refusal('query', 500, 'SYSTEM_ERROR', { retryAfter: '7' }).retryAfterMs).toBeUndefined();
  });
});

describe('a missing answer', () => {
  it('leaves a query unavailable and a create ambiguous', () => {
    expect(unanswered('query', 'timeout', 'No answer.').kind).toBe('unavailable');
    expect(unanswered('create', 'timeout', 'No answer.')).toMatchObject({ kind: 'ambiguous', nothingHappened: false });
  });
});

describe('redaction', () => {
  it('keeps of a refusal where the fault is, not what was sent', () => {
    const body = JSON.stringify({
      code: 'SIGN_ERROR',
      message: '错误的签名，验签失败',
      detail: {
        field: 'signature',
        issue: 'sign not match',
        location: 'authorization',
        value: 'WECHATPAY2-SHA256-RSA2048 signature="abc"',
        sign_information: { truncated_sign_message: 'GET\n/v3/refund', url: '/v3/refund' },
      },
    });
    expect(refusal('query', 401, '', { body }).raw).toEqual({
      code: 'SIGN_ERROR',
      message: '错误的签名，验签失败',
      body: { field: 'signature', location: 'authorization', issue: 'sign not match' },
    });
  });

  it('cuts long texts, control characters and everything that looks like a key', () => {
    const message = `a\u0000\r\nb ${'QUJD'.repeat(40)} ${'长'.repeat(999)}`;
    const { raw } = refusal('query', 400, '', { body: JSON.stringify({ code: 'PARAM_ERROR', message }) });
    expect(raw?.message).toMatch(/^a b \[redacted\] 长+$/);
    expect(raw?.message).toHaveLength(500);
  });

  it('repeats nothing of a body that is not JSON, nor a code that is none', () => {
    const html = refusal('query', 502, null, { body: '<html>Authorization: WECHATPAY2 secret</html>' });
    const odd = refusal('query', 502, null, { body: JSON.stringify({ code: 'see\nsecret', message: 'secret' }) });
    expect(inspect([html, odd], { depth: 9 })).not.toContain('secret');
  });

  it('keeps messages short', () => {
    for (const rule of WECHAT_REFUSALS) {
      const error = readRefusal(rule.on[0] ?? 'query', answer(rule.http === '5xx' ? 500 : rule.http, 'X'.repeat(64)));
      expect(error instanceof GatewayError ? error.message.length : 0).toBeLessThan(300);
    }
  });
});
