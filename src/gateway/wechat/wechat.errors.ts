import { GatewayError, type GatewayErrorKind } from '../gateway.error.js';
import type { NotFoundObservation, RawAnswer } from '../observation.js';
import { isRecord } from './wechat.status.js';

export type WechatOperation = 'query' | 'create';

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

/** Any code that WeChat Pay could have sent. */
const ANY_CODE = '(any)';
/** Also when there is no readable code: the HTTP status alone says enough. */
const ANY_BODY = '(any body)';

export interface RefusalRule {
  http: number | '5xx';
  code: string;
  on: readonly WechatOperation[];
  outcome: GatewayErrorKind | 'notFound';
  /**
   * True when this code proves that no refund was made under this number and that none will be. Believed only in a signed answer.
   * Meaningful for `rejected` creates alone.
   */
  nothingHappened: boolean;
  /** Why, and what to do; it becomes the error's message. */
  reason: string;
}

const BOTH: readonly WechatOperation[] = ['query', 'create'];
const QUERY: readonly WechatOperation[] = ['query'];
const CREATE: readonly WechatOperation[] = ['create'];

/** gateways.md §1.7. The first rule that fits decides. */
export const WECHAT_REFUSALS: readonly RefusalRule[] = [
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
    on: BOTH,
    outcome: 'badConfig',
    nothingHappened: false,
    reason: 'The signature was not accepted; check mchId, serialNo, privateKey and the clock.',
  },
  {
    http: 403,
    code: 'NO_AUTH',
    on: BOTH,
    outcome: 'badConfig',
    nothingHappened: false,
    reason: 'The merchant has no permission for this operation.',
  },
  {
    http: 404,
    code: 'MCH_NOT_EXISTS',
    on: BOTH,
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
    http: 429,
    code: ANY_BODY,
    on: BOTH,
    outcome: 'rateLimited',
    nothingHappened: false,
    reason: 'WeChat Pay wants fewer calls.',
  },
  {
    http: '5xx',
    code: ANY_BODY,
    on: BOTH,
    outcome: 'unavailable',
    nothingHappened: false,
    reason: 'WeChat Pay has an error of its own.',
  },
  // Refused with a code that is not in the list: understood and refused, but it proves nothing.
  {
    http: 400,
    code: ANY_CODE,
    on: BOTH,
    outcome: 'rejected',
    nothingHappened: false,
    reason: 'WeChat Pay refused the request.',
  },
  {
    http: 403,
    code: ANY_CODE,
    on: BOTH,
    outcome: 'rejected',
    nothingHappened: false,
    reason: 'WeChat Pay refused the request.',
  },
];

/** Everything else, from redirects to a 404 of some proxy: not an answer of the API. */
const NO_RULE: Pick<RefusalRule, 'outcome' | 'nothingHappened' | 'reason'> = {
  outcome: 'unavailable',
  nothingHappened: false,
  reason: 'This is not an answer of the refund API.',
};

export function refusalRule(operation: WechatOperation, httpStatus: number, code: string | undefined): typeof NO_RULE {
  return (
    WECHAT_REFUSALS.find(
      (rule) =>
        (rule.http === '5xx' ? httpStatus >= 500 && httpStatus <= 599 : rule.http === httpStatus) &&
        rule.on.includes(operation) &&
        (rule.code === ANY_BODY || (code !== undefined && (rule.code === ANY_CODE || rule.code === code))),
    ) ?? NO_RULE
  );
}

/** Documented: wait a minute (gateways.md §1.1). */
const RATE_LIMIT_PAUSE_MS = 60_000;
const MAX_RATE_LIMIT_PAUSE_MS = 3_600_000;

/** What a non-2xx answer means: that the refund is not found, or an error (returned, not thrown). */
export function readRefusal(operation: WechatOperation, answer: WechatAnswer): NotFoundObservation | GatewayError {
  const refusal = readRefusalBody(answer.body);
  const rule = refusalRule(operation, answer.httpStatus, refusal.code);
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
      ...(rule.outcome === 'rateLimited' ? { retryAfterMs: pauseOf(answer.retryAfter) } : {}),
    },
  );
}

/** The error of a call whose answer is missing or not believable. */
export function unanswered(
  operation: WechatOperation,
  code: string,
  message: string,
  cause?: { code: string; message: string },
): GatewayError {
  return new GatewayError(kindFor(operation, 'unavailable'), message, { code, cause });
}

/** A create without a believable answer may have been carried out. */
function kindFor(operation: WechatOperation, kind: GatewayErrorKind): GatewayErrorKind {
  return operation === 'create' && kind === 'unavailable' ? 'ambiguous' : kind;
}

function pauseOf(retryAfter: string | null): number {
  const pauseMs = retryAfter !== null && /^\d{1,9}$/.test(retryAfter) ? Number(retryAfter) * 1000 : 0;
  return pauseMs === 0 ? RATE_LIMIT_PAUSE_MS : Math.min(pauseMs, MAX_RATE_LIMIT_PAUSE_MS);
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
      if (typeof text === 'string') detail[name] = redactText(text, 200);
    }
  }
  return {
    code: fields.code,
    message: typeof fields.message === 'string' ? redactText(fields.message, 500) : '',
    detail,
  };
}

export function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isRecord(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Free text of an answer that may not even be WeChat Pay's: no control characters, nothing that looks like a key or a signature. */
function redactText(text: string, maxChars: number): string {
  return text
    .replace(/\p{Cc}+/gu, ' ')
    .replace(/[A-Za-z0-9+/=_-]{40,}/g, '[redacted]')
    .slice(0, maxChars);
}
