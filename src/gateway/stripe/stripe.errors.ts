import { GatewayError } from '../gateway.error.js';
import { isRecord, parseObject } from '../json-object.js';
import type { NotFoundObservation, RawAnswer } from '../observation.js';
import { harmless } from '../plain-text.js';
import {
  ANY_BODY,
  ANY_CODE,
  BOTH,
  CREATE,
  findRefusalRule,
  kindFor,
  QUERY,
  rateLimitPauseMs,
  type GatewayOperation,
  type RefusalRule,
} from '../refusal-rules.js';

/** An HTTP answer before anybody judged it. */
export interface StripeAnswer {
  httpStatus: number;
  /** The body as received. */
  body: string;
  /** Stripe's support asks for it. */
  requestId: string | null;
  /** The connected account that the answer says it is for; null when none was asked for. */
  account: string | null;
  /** The answer to the first request under this idempotency key, given again. */
  replayed: boolean;
  retryAfter: string | null;
}

/** Parameters are checked before the idempotency layer and before anything runs (docs.stripe.com/api/idempotent_requests). */
const BAD_PARAMETERS = [
  'parameter_invalid_empty',
  'parameter_invalid_integer',
  'parameter_invalid_string_blank',
  'parameter_invalid_string_empty',
  'parameter_missing',
  'parameter_unknown',
  'parameters_exclusive',
];
/** The payment cannot be refunded, whatever is asked for: no refund was made, and none will be. */
const NOT_REFUNDABLE = ['charge_disputed', 'refund_disputed_payment', 'charge_not_refundable'];

/**
 * gateways.md §5.3. The first rule that fits decides.
 *
 * Stripe keeps a refusal under the idempotency key, so a repeat mostly gets the same one. That is why most refusals are not the end by
 * themselves: the payment's refunds are listed next, and a person has the last word when the key is about to be forgotten.
 */
export const STRIPE_REFUSALS: readonly RefusalRule[] = [
  ...BAD_PARAMETERS.map((code) => ({
    http: 400 as const,
    code,
    on: CREATE,
    outcome: 'rejected' as const,
    nothingHappened: true,
    reason: 'A parameter is not allowed; parameters are checked before anything is booked.',
  })),
  ...NOT_REFUNDABLE.map((code) => ({
    http: 400 as const,
    code,
    on: CREATE,
    outcome: 'rejected' as const,
    nothingHappened: true,
    reason: 'The payment cannot be refunded (disputed, or not of a kind that can be).',
  })),
  {
    http: 400,
    code: 'charge_already_refunded',
    on: CREATE,
    outcome: 'rejected',
    // By whom? It may be this very refund, made by other means: its list tells.
    nothingHappened: false,
    reason: 'The payment is refunded already; its refunds are listed next.',
  },
  {
    http: 400,
    code: 'amount_too_large',
    on: CREATE,
    outcome: 'rejected',
    // Less is left than our books say: somebody refunded beside us, perhaps this refund.
    nothingHappened: false,
    reason: 'More than is left of the payment; its refunds are listed next.',
  },
  {
    http: 400,
    code: 'balance_insufficient',
    on: CREATE,
    outcome: 'rejected',
    // The same number may go through once the balance is topped up, so this is not its end.
    nothingHappened: false,
    reason: 'The Stripe balance is too small; top it up, the same number is sent again.',
  },
  {
    http: 400,
    code: 'idempotency_error',
    on: CREATE,
    // Something else was sent under our key before: what became of that is not known here.
    outcome: 'ambiguous',
    nothingHappened: false,
    reason: 'The idempotency key was used with other parameters before.',
  },
  ...['rate_limit', 'lock_timeout'].map((code) => ({
    http: 400 as const,
    code,
    on: BOTH,
    outcome: 'rateLimited' as const,
    nothingHappened: false,
    reason: 'Stripe wants fewer calls.',
  })),
  // Settings: nothing is known of the refund, and once they are right the same number can be sent again.
  {
    http: 401,
    code: ANY_BODY,
    on: BOTH,
    outcome: 'badConfig',
    nothingHappened: false,
    reason: 'The key was not accepted; check secretKey.',
  },
  {
    http: 403,
    code: ANY_BODY,
    on: BOTH,
    outcome: 'badConfig',
    nothingHappened: false,
    reason: 'The key may not do this; check its permissions and accountId.',
  },
  {
    http: 404,
    code: 'resource_missing',
    on: QUERY,
    outcome: 'notFound',
    nothingHappened: false,
    reason: 'The refund is not found.',
  },
  {
    http: 404,
    code: 'resource_missing',
    on: CREATE,
    // A payment that the account does not have can have no refund there.
    outcome: 'rejected',
    nothingHappened: true,
    reason: 'The account has no such payment; is it of another account, or are test and live mixed up?',
  },
  {
    http: 409,
    code: ANY_BODY,
    on: BOTH,
    // The first request under the key is still being worked on.
    outcome: 'rateLimited',
    nothingHappened: false,
    reason: 'The same request is still being worked on.',
  },
  {
    http: 429,
    code: ANY_BODY,
    on: BOTH,
    outcome: 'rateLimited',
    nothingHappened: false,
    reason: 'Stripe wants fewer calls, or another call holds the payment.',
  },
  {
    http: '5xx',
    code: ANY_BODY,
    on: BOTH,
    outcome: 'unavailable',
    nothingHappened: false,
    reason: 'Stripe has an error of its own.',
  },
  // Refused with a code that is not in the list, or with none: understood and refused, but it proves nothing.
  ...[400, 402].map((http) => ({
    http,
    code: ANY_CODE,
    on: BOTH,
    outcome: 'rejected' as const,
    nothingHappened: false,
    reason: 'Stripe refused the request.',
  })),
];

/** Stripe says nothing of how long to wait. Its limits are per second; a lock is held for as long as another call takes. */
const RATE_LIMIT_PAUSE_MS = 30_000;
const LOCK_PAUSE_MS = 5_000;
const LOCKS = ['lock_timeout', 'idempotency_key_in_use'];

/** What a non-2xx answer means: that the refund is not found, or an error (returned, not thrown). */
export function readRefusal(operation: GatewayOperation, answer: StripeAnswer): NotFoundObservation | GatewayError {
  const refusal = readRefusalBody(answer.body);
  const rule = findRefusalRule(STRIPE_REFUSALS, operation, answer.httpStatus, refusal.code);
  const code = refusal.code ?? `http_${answer.httpStatus}`;
  const raw: RawAnswer = { code, message: refusal.message, body: { ...refusal.detail, ...answerMarks(answer) } };
  const said = refusal.code === undefined ? answer.httpStatus : `${answer.httpStatus} ${refusal.code}`;
  if (rule.outcome === 'notFound') return { kind: 'notFound', authenticated: true, identity: {}, raw };
  return new GatewayError(
    kindFor(operation, rule.outcome),
    `Stripe answered the ${operation} with ${said}: ${rule.reason}`,
    {
      code,
      raw,
      // What is replayed is the answer to an earlier request: this was not the first and only one.
      nothingHappened:
        rule.outcome === 'rejected' && rule.nothingHappened && operation === 'create' && !answer.replayed,
      ...(rule.outcome === 'rateLimited'
        ? {
            retryAfterMs: rateLimitPauseMs(
              answer.retryAfter,
              LOCKS.includes(code) ? LOCK_PAUSE_MS : RATE_LIMIT_PAUSE_MS,
            ),
          }
        : {}),
    },
  );
}

/** What is kept of an answer's headers. */
export function answerMarks(answer: StripeAnswer): Record<string, unknown> {
  return {
    ...(answer.requestId === null ? {} : { request_id: answer.requestId }),
    ...(answer.replayed ? { idempotent_replayed: true } : {}),
  };
}

interface RefusalBody {
  /** Stripe's code; its type where it gives no code. */
  code: string | undefined;
  message: string;
  detail: Record<string, unknown>;
}

/** `{"error": {"type", "code", "message", "param", …}}` as far as it is readable. */
function readRefusalBody(body: string): RefusalBody {
  const error = parseObject(body)?.error;
  if (!isRecord(error) || !isWord(error.type)) return { code: undefined, message: '', detail: {} };
  const detail: Record<string, unknown> = {};
  for (const name of ['type', 'param', 'decline_code']) {
    const text = error[name];
    if (typeof text === 'string') detail[name] = cleanText(text, 64);
  }
  return {
    code: isWord(error.code) ? error.code : error.type,
    message: typeof error.message === 'string' ? cleanText(error.message, 500) : '',
    detail,
  };
}

function isWord(value: unknown): value is string {
  return typeof value === 'string' && /^[a-z][a-z0-9_]{0,63}$/.test(value);
}

/** A 401 repeats the key that it refuses, most of it starred out. */
const KEYS = /\b(?:[a-z]{2}_(?:test|live)|whsec)_[\w*]+/g;

function cleanText(text: string, maxChars: number): string {
  return harmless(text.replace(KEYS, '[redacted]'), maxChars);
}
