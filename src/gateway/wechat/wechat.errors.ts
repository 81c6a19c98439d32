import { GatewayError } from '../gateway.error.js';
import { isRecord, parseObject } from '../json-object.js';
import type { NotFoundObservation, RawAnswer } from '../observation.js';
import { harmless } from '../plain-text.js';
import {
  ANY_BODY,
  ANY_CODE,
  CREATE,
  EVERY_CALL,
  findRefusalRule,
  kindFor,
  QUERY,
  rateLimitPauseMs,
  type GatewayCallKind,
  type RefusalRule,
} from '../refusal-rules.js';
import { RATE_LIMIT_PAUSE_MS } from '../wechat-pay.js';

/** An HTTP answer before anybody judged it. */
export interface WechatAnswer {
  httpStatus: number;
  /** The body as received. */
  body: string;
  /** True when all four signature headers are there and right, whatever the status. */
  verified: boolean;
  unverifiedBecause: string | null;
  /** WeChat Pay's support asks for it. */
  requestId: string | null;
  retryAfter: string | null;
}

/** gateways.md §1.7. The first rule that fits decides. */
export const WECHAT_REFUSALS: readonly RefusalRule<GatewayCallKind>[] = [
  {
    http: 400,
    code: 'PARAM_ERROR',
    on: CREATE,
    outcome: 'rejected',
    nothingHappened: true,
    reason: 'A parameter is not allowed; parameters are checked before anything is booked.',
  },
  {
    http: 400,
    code: 'INVALID_REQUEST',
    on: CREATE,
    outcome: 'rejected',
    // The same code answers a number that exists with other parameters: the refund may well have been made. Query first.
    nothingHappened: false,
    reason: 'Not possible for this payment, or the number is in use with other parameters.',
  },
  {
    http: 403,
    code: 'NOT_ENOUGH',
    on: CREATE,
    outcome: 'rejected',
    // The same number goes through once the account is topped up, so this is not its end.
    nothingHappened: false,
    reason: 'The merchant account has too little money; top it up and send the same number again.',
  },
  {
    http: 403,
    code: 'USER_ACCOUNT_ABNORMAL',
    on: CREATE,
    outcome: 'rejected',
    // Documented as permanent: the payer's account is closed, so nothing was or will be booked.
    nothingHappened: true,
    reason: 'The payer’s account is closed or frozen; refund by other means.',
  },
  {
    http: 403,
    code: 'REQUEST_BLOCKED',
    on: CREATE,
    outcome: 'rejected',
    // Not documented, seen in practice. Whether a repeat goes through is not known.
    nothingHappened: false,
    reason: 'WeChat Pay’s risk control blocked the request.',
  },
  // Settings: nothing is known of the refund, and once they are right the same number can be sent again.
  {
    http: 401,
    code: ANY_BODY,
    on: EVERY_CALL,
    outcome: 'badConfig',
    nothingHappened: false,
    reason: 'The signature was not accepted; check mchId, serialNo, privateKey and the clock.',
  },
  {
    http: 403,
    code: 'NO_AUTH',
    on: EVERY_CALL,
    outcome: 'badConfig',
    nothingHappened: false,
    reason: 'The merchant has no permission for this operation.',
  },
  {
    http: 404,
    code: 'MCH_NOT_EXISTS',
    on: EVERY_CALL,
    outcome: 'badConfig',
    nothingHappened: false,
    reason: 'The merchant number does not exist.',
  },
  {
    http: 404,
    code: 'RESOURCE_NOT_EXISTS',
    on: QUERY,
    outcome: 'notFound',
    nothingHappened: false,
    reason: 'The refund is not found.',
  },
  {
    http: 404,
    code: 'RESOURCE_NOT_EXISTS',
    on: CREATE,
    // On a create it speaks of the payment. Reported as short-lived (gateways.md §1.7, §11 no. 5), so the outcome counts as unknown.
    outcome: 'ambiguous',
    nothingHappened: false,
    reason: 'The payment is not found; this can be short-lived.',
  },
  {
    http: 404,
    code: 'RESOURCE_NOT_EXISTS',
    on: ['redrive'],
    outcome: 'rejected',
    nothingHappened: false,
    reason: 'WeChat Pay has no refund of this number of its own.',
  },
  {
    http: 429,
    code: ANY_BODY,
    on: EVERY_CALL,
    outcome: 'rateLimited',
    nothingHappened: false,
    reason: 'WeChat Pay wants fewer calls.',
  },
  {
    http: '5xx',
    code: ANY_BODY,
    on: EVERY_CALL,
    outcome: 'unavailable',
    nothingHappened: false,
    reason: 'WeChat Pay has an error of its own.',
  },
  // Refused with a code that is not in the list: understood and refused, but it proves nothing.
  {
    http: 400,
    code: ANY_CODE,
    on: EVERY_CALL,
    outcome: 'rejected',
    nothingHappened: false,
    reason: 'WeChat Pay refused the request.',
  },
  {
    http: 403,
    code: ANY_CODE,
    on: EVERY_CALL,
    outcome: 'rejected',
    nothingHappened: false,
    reason: 'WeChat Pay refused the request.',
  },
];

/** What a non-2xx answer means: that the refund is not found, or an error (returned, not thrown). */
export function readRefusal(operation: GatewayCallKind, answer: WechatAnswer): NotFoundObservation | GatewayError {
  const refusal = readRefusalBody(answer.body);
  const rule = findRefusalRule(WECHAT_REFUSALS, operation, answer.httpStatus, refusal.code);
  const code = refusal.code ?? `http_${answer.httpStatus}`;
  const raw: RawAnswer = {
    code,
    message: refusal.message,
    body: { ...refusal.detail, ...(answer.requestId === null ? {} : { request_id: answer.requestId }) },
  };
  const said = refusal.code === undefined ? answer.httpStatus : `${answer.httpStatus} ${refusal.code}`;
  if (rule.outcome === 'notFound') return { kind: 'notFound', authenticated: answer.verified, identity: {}, raw };
  return new GatewayError(
    kindFor(operation, rule.outcome),
    `WeChat Pay answered the ${operation} with ${said}: ${rule.reason}`,
    {
      code,
      raw,
      nothingHappened: rule.outcome === 'rejected' && rule.nothingHappened && answer.verified && operation === 'create',
      ...(rule.outcome === 'rateLimited'
        ? { retryAfterMs: rateLimitPauseMs(answer.retryAfter, RATE_LIMIT_PAUSE_MS) }
        : {}),
    },
  );
}

interface RefusalBody {
  code: string | undefined;
  message: string;
  detail: Record<string, unknown>;
}

/**
 * `{"code", "message", "detail"}` as far as it is readable. Of `detail` only the place of the fault is kept: its `value` repeats what
 * was sent, and `sign_information` repeats the signed text.
 */
function readRefusalBody(body: string): RefusalBody {
  const fields = parseObject(body);
  if (!fields || typeof fields.code !== 'string' || !/^[A-Z][A-Z0-9_]{0,63}$/.test(fields.code))
    return { code: undefined, message: '', detail: {} };
  const detail: Record<string, unknown> = {};
  if (isRecord(fields.detail)) {
    for (const name of ['field', 'location', 'issue']) {
      const text = fields.detail[name];
      if (typeof text === 'string') detail[name] = harmless(text, 200);
    }
  }
  return {
    code: fields.code,
    message: typeof fields.message === 'string' ? harmless(fields.message, 500) : '',
    detail,
  };
}
