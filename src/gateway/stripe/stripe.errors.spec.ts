import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';

import { GatewayError } from '../gateway.error.js';
import type { GatewayOperation } from '../refusal-rules.js';
import { readRefusal, STRIPE_REFUSALS, type StripeAnswer } from './stripe.errors.js';

const answer = (httpStatus: number, error: unknown, over: Partial<StripeAnswer> = {}): StripeAnswer => ({
  httpStatus,
  body: error === null ? '<html>gateway</html>' : JSON.stringify({ error }),
  requestId: null,
  account: null,
  replayed: false,
  retryAfter: null,
  ...over,
});
const said = (code: string | null) =>
  code === null
    ? { type: 'invalid_request_error', message: 'No.' }
    : { type: 'invalid_request_error', code, message: 'No.' };

function refusal(operation: GatewayOperation, httpStatus: number, error: unknown, over: Partial<StripeAnswer> = {}) {
  const outcome = readRefusal(operation, answer(httpStatus, error, over));
  if (!(outcome instanceof GatewayError)) throw new Error(`is ${outcome.kind}`);
  return outcome;
}

describe('the error table', () => {
  it.each<[GatewayOperation, number, string | null, string, boolean]>([
    // gateways.md §5.3, row by row
    ['create', 400, 'charge_already_refunded', 'rejected', false],
    ['create', 400, 'charge_not_refundable', 'rejected', true],
    ['create', 400, 'refund_disputed_payment', 'rejected', true],
    ['create', 400, 'charge_disputed', 'rejected', true],
    ['create', 400, 'balance_insufficient', 'rejected', false],
    ['create', 400, 'parameter_invalid_integer', 'rejected', true],
    ['create', 400, 'parameter_invalid_empty', 'rejected', true],
    ['create', 400, 'parameter_missing', 'rejected', true],
    ['create', 400, 'parameter_unknown', 'rejected', true],
    ['create', 400, 'amount_too_large', 'rejected', false],
    ['query', 401, null, 'badConfig', false],
    ['create', 401, null, 'badConfig', false],
    ['query', 403, 'more_permissions_required', 'badConfig', false],
    ['create', 403, null, 'badConfig', false],
    ['create', 409, 'idempotency_key_in_use', 'rateLimited', false],
    ['query', 429, 'rate_limit', 'rateLimited', false],
    ['create', 429, 'lock_timeout', 'rateLimited', false],
    ['create', 400, 'lock_timeout', 'rateLimited', false],
    ['query', 500, 'api_error', 'unavailable', false],
    ['create', 500, null, 'ambiguous', false],
    ['create', 502, null, 'ambiguous', false],
    ['query', 503, null, 'unavailable', false],
    ['create', 404, 'resource_missing', 'rejected', true],
    // what is not in it
    ['create', 400, null, 'rejected', false],
    ['create', 400, 'invalid_charge_amount_no_decimal_compatible', 'rejected', false],
    ['query', 400, 'parameter_unknown', 'rejected', false],
    ['create', 402, 'card_declined', 'rejected', false],
    ['query', 404, 'url_invalid', 'unavailable', false],
    ['create', 404, null, 'ambiguous', false],
    ['query', 302, null, 'unavailable', false],
    // a known code under another status proves nothing
    ['create', 500, 'charge_disputed', 'ambiguous', false],
    ['create', 402, 'charge_disputed', 'rejected', false],
    ['query', 400, 'resource_missing', 'rejected', false],
    ['query', 503, 'resource_missing', 'unavailable', false],
  ])('%s %i %s → %s, nothing happened: %s', (operation, httpStatus, code, kind, nothingHappened) => {
    const error = refusal(operation, httpStatus, said(code));
    expect([error.kind, error.nothingHappened, error.code]).toEqual([
      kind,
      nothingHappened,
      code ?? 'invalid_request_error',
    ]);
  });

  it.each<[GatewayOperation, number, string]>([
    ['query', 401, 'badConfig'],
    ['query', 403, 'badConfig'],
    ['create', 429, 'rateLimited'],
    ['create', 500, 'ambiguous'],
    ['query', 404, 'unavailable'],
    ['create', 400, 'ambiguous'],
  ])('%s %i with a body that is not Stripe’s → %s', (operation, httpStatus, kind) => {
    expect(refusal(operation, httpStatus, null)).toMatchObject({
      kind,
      code: `http_${httpStatus}`,
      nothingHappened: false,
    });
    expect(refusal(operation, httpStatus, { message: 'no type' })).toMatchObject({ kind, code: `http_${httpStatus}` });
  });

  it('takes the use of a key for something else, which has a type and no code, for ambiguous', () => {
    const error = { type: 'idempotency_error', message: 'Keys for idempotent requests can only be used …' };
    expect(refusal('create', 400, error)).toMatchObject({ kind: 'ambiguous', code: 'idempotency_error' });
  });

  it('believes "nothing happened" only of the answer to the first request, and only of a create', () => {
    const refused = said('charge_disputed');
    expect(refusal('create', 400, refused).nothingHappened).toBe(true);
    expect(refusal('create', 400, refused, { replayed: true })).toMatchObject({
      kind: 'rejected',
      nothingHappened: false,
      raw: { body: { idempotent_replayed: true } },
    });
    for (const rule of STRIPE_REFUSALS.filter(({ nothingHappened }) => nothingHappened))
      expect(rule).toMatchObject({ on: ['create'], outcome: 'rejected' });
  });

  it('keeps a saved 500 ambiguous when it is given again', () => {
    const error = { type: 'api_error', message: 'An unknown error occurred' };
    expect(refusal('create', 500, error, { replayed: true })).toMatchObject({ kind: 'ambiguous', code: 'api_error' });
  });

  it('takes a 404 resource_missing of a query for not found', () => {
    const missing = {
      type: 'invalid_request_error',
      code: 'resource_missing',
      message: "No such refund: 're_1'",
      param: 'id',
    };
    expect(readRefusal('query', answer(404, missing, { requestId: 'req_1' }))).toEqual({
      kind: 'notFound',
      authenticated: true,
      identity: {},
      raw: {
        code: 'resource_missing',
        message: "No such refund: 're_1'",
        body: { type: 'invalid_request_error', param: 'id', request_id: 'req_1' },
      },
    });
  });

  it.each([
    ['rate_limit', null, 30_000],
    ['lock_timeout', null, 5_000],
    ['idempotency_key_in_use', null, 5_000],
    ['rate_limit', '7', 7_000],
    ['lock_timeout', 'soon', 5_000],
    ['rate_limit', '999999', 3_600_000],
  ])('waits after %s with Retry-After %j: %i ms', (code, retryAfter, retryAfterMs) => {
    expect(refusal('query', 429, said(code), { retryAfter }).retryAfterMs).toBe(retryAfterMs);
  });

  it('gives a pause to rate limits alone', () => {
    expect(refusal('query', 500, said('api_error'), { retryAfter: '7' }).retryAfterMs).toBeUndefined();
  });
});

describe('redaction', () => {
  it('leaves nothing of a key that Stripe repeats', () => {
    const message = 'Invalid API Key provided: sk_test_****7dc, or sk_live_abc123XYZ, or whsec_abcdef123456';
    const error = refusal('query', 401, { type: 'invalid_request_error', message });
    expect(inspect(error, { depth: 9 })).not.toMatch(/7dc|abc123|whsec/);
  });

  it('keeps of a refusal its type, its parameter and its words, cut short', () => {
    const error = {
      type: 'card_error',
      code: 'card_declined',
      decline_code: 'insufficient_funds',
      param: 'amount',
      message: `a\u0000\r\nb ${'QUJD'.repeat(40)} ${'长'.repeat(999)}`,
      payment_method: { billing_details: { email: 'jenny@example.com' } },
      request_log_url: 'https://dashboard.stripe.com/test/logs/req_1',
    };
    const { raw } = refusal('create', 402, error);
    expect(raw?.body).toEqual({ type: 'card_error', param: 'amount', decline_code: 'insufficient_funds' });
    expect(raw?.message).toMatch(/^a b \[redacted\] 长+$/);
    expect(raw?.message).toHaveLength(500);
  });

  it('repeats nothing of a body that is not Stripe’s, nor a code that is none', () => {
    const odd = answer(502, { type: 'see\nsecret', message: 'secret' }, {});
    expect(inspect(readRefusal('query', odd), { depth: 9 })).not.toContain('secret');
  });

  it('keeps messages short', () => {
    for (const rule of STRIPE_REFUSALS) {
      const httpStatus = rule.http === '5xx' ? 500 : rule.http;
      const error = readRefusal(rule.on[0] ?? 'query', answer(httpStatus, said('x'.repeat(64))));
      expect(error instanceof GatewayError ? error.message.length : 0).toBeLessThan(300);
    }
  });
});
