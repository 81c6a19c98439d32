import type { JsonObject } from '../../shared/lossless-json.js';
import { GatewayError } from '../gateway.error.js';
import type { NotFoundObservation, RawAnswer } from '../observation.js';
import { harmless } from '../plain-text.js';
import { ANY_CODE, BOTH, CREATE, kindFor, QUERY, type GatewayOperation, type RefusalRule } from '../refusal-rules.js';
import { memberText, publicFields } from './alipay.status.js';

/** An answer before anybody judged it. */
export interface AlipayAnswer {
  httpStatus: number;
  /** null when the body is not an answer of the gateway at all: an error page, half an answer. */
  response: AlipayResponse | null;
  /** Alipay's support asks for it. */
  traceId: string | null;
}

export interface AlipayResponse {
  /** Parsed from the text that the signature is over. */
  fields: JsonObject;
  /** True when the signature is there and right. Refusals often have none: `error_response`, an unknown app id. */
  verified: boolean;
  unverifiedBecause: string | null;
}

export const SUCCESS_CODE = '10000';

/** Alipay refuses with HTTP 200, a gateway code and a sub-code. */
export interface AlipayRefusalRule extends Omit<RefusalRule, 'http'> {
  /** Gateway code, or any. */
  gatewayCode: string;
  /** Sub-code without its prefix (`ACQ.`, `aop.ACQ.`), a family (`isv.*`), or any, also none. */
  code: string;
}

/** Refused before anything is booked: the request or the trade does not allow this refund, and no repetition changes that. */
const NOTHING_HAPPENED: readonly [sub: string, reason: string][] = [
  ['TRADE_NOT_EXIST', 'Alipay does not have this payment: wrong number, another application, or never paid.'],
  ['INVALID_PARAMETER', 'A parameter is not allowed; parameters are checked before anything is booked.'],
  ['REASON_TRADE_REFUND_FEE_ERR', 'The amount is not one that this payment can refund.'],
  ['REFUND_FEE_ERROR', 'The amount is not one that this payment can refund.'],
  ['REFUND_AMT_NOT_EQUAL_TOTAL', 'The amount is more than this payment has left.'],
  ['TRADE_HAS_FINISHED', 'The time in which this payment could be refunded is over.'],
  ['TRADE_NOT_ALLOW_REFUND', 'This payment cannot be refunded.'],
  ['NOT_ALLOW_PARTIAL_REFUND', 'This payment can be refunded as a whole only.'],
  ['CURRENCY_NOT_SUPPORT', 'The currency is not supported.'],
];

/** Refused, but the number is not at its end, or is perhaps even carried out: the refund is asked for. */
const STILL_OPEN: readonly [sub: string, reason: string][] = [
  // A full refund closes its payment, so these two may be the trace of this very refund.
  ['TRADE_HAS_CLOSE', 'The payment is closed; a full refund closes it, perhaps this one.'],
  ['TRADE_STATUS_ERROR', 'The payment is not in a state to be refunded; a full refund ends it, perhaps this one.'],
  ['DISCORDANT_REPEAT_REQUEST', 'The refund number is in use with another amount.'],
  // The same number goes through once there is money.
  ['SELLER_BALANCE_NOT_ENOUGH', 'The merchant account has too little money; top it up and send the same number again.'],
  ['REASON_TRADE_BEEN_FREEZEN', 'The payment is frozen; a person must look at it in the merchant platform.'],
  ['TRADE_SETTLE_ERROR', 'The payment is being settled; a person must look at it in the merchant platform.'],
  ['BUYER_*', 'The buyer’s account does not allow it; refund by other means.'],
  ['CUSTOMER_VALIDATE_ERROR', 'The account could not be validated; a person must look at it.'],
  ['USER_NOT_MATCH_ERR', 'The payment belongs to another account; a person must look at it.'],
];

/** gateways.md §3.5, and the public list of gateway codes for what concerns the call alone. The first rule that fits decides. */
export const ALIPAY_REFUSALS: readonly AlipayRefusalRule[] = [
  {
    gatewayCode: '20000',
    code: ANY_CODE,
    on: BOTH,
    outcome: 'unavailable',
    nothingHappened: false,
    reason: 'Alipay has an error of its own.',
  },
  {
    gatewayCode: ANY_CODE,
    code: 'SYSTEM_ERROR',
    on: BOTH,
    outcome: 'unavailable',
    nothingHappened: false,
    reason: 'Alipay has an error of its own.',
  },
  {
    gatewayCode: '40004',
    code: 'REFUND_CHARGE_ERROR',
    on: BOTH,
    // Documented as "try again later", with no word on what became of this try.
    outcome: 'unavailable',
    nothingHappened: false,
    reason: 'Alipay could not take back its fee now; the same number can be sent again later.',
  },
  ...['isv.app-call-limited', 'isv.method-call-limited'].map((code) => ({
    gatewayCode: ANY_CODE,
    code,
    on: BOTH,
    outcome: 'rateLimited' as const,
    nothingHappened: false,
    reason: 'Alipay wants fewer calls.',
  })),
  {
    gatewayCode: '40005',
    code: ANY_CODE,
    on: BOTH,
    outcome: 'rateLimited',
    nothingHappened: false,
    reason: 'Alipay wants fewer calls.',
  },
  {
    gatewayCode: '40004',
    code: 'TRADE_NOT_EXIST',
    on: QUERY,
    outcome: 'notFound',
    nothingHappened: false,
    reason: 'The payment is not found.',
  },
  ...NOTHING_HAPPENED.map(([code, reason]) => ({
    gatewayCode: '40004',
    code,
    on: CREATE,
    outcome: 'rejected' as const,
    nothingHappened: true,
    reason,
  })),
  ...STILL_OPEN.map(([code, reason]) => ({
    gatewayCode: '40004',
    code,
    on: CREATE,
    outcome: 'rejected' as const,
    nothingHappened: false,
    reason,
  })),
  // Settings: nothing is known of the refund, and once they are right the same number can be sent again.
  ...[
    ['20001', 'The authorisation token is not accepted.'],
    ['40001', 'The gateway misses a parameter of the call.'],
    ['40002', 'The call is not accepted; check appId, privateKey, gatewayUrl and the clock.'],
    ['40003', 'The application lacks a condition of the call: its key or certificate at Alipay.'],
    ['40006', 'The application has no permission for this operation.'],
  ].map(([gatewayCode = '', reason = '']) => ({
    gatewayCode,
    code: ANY_CODE,
    on: BOTH,
    outcome: 'badConfig' as const,
    nothingHappened: false,
    reason,
  })),
  {
    gatewayCode: '40004',
    code: 'isv.*',
    on: BOTH,
    outcome: 'badConfig',
    nothingHappened: false,
    reason: 'The application or its settings at Alipay do not allow the call.',
  },
  // Refused with a code that is not in the list: understood and refused, but it proves nothing.
  {
    gatewayCode: '40004',
    code: ANY_CODE,
    on: BOTH,
    outcome: 'rejected',
    nothingHappened: false,
    reason: 'Alipay refused the request.',
  },
];

/** Everything else is no answer that the documents know. */
const NO_RULE: Pick<AlipayRefusalRule, 'outcome' | 'nothingHappened' | 'reason'> = {
  outcome: 'unavailable',
  nothingHappened: false,
  reason: 'This is not an answer of the refund API.',
};

/** The first rule that fits decides. */
function findRule(operation: GatewayOperation, gatewayCode: string, subCode: string | null): typeof NO_RULE {
  // Sub-codes come with and without their prefix (gateways.md §11 no. 7).
  const code = subCode?.replace(/^(aop\.)?ACQ\./, '') ?? null;
  return (
    ALIPAY_REFUSALS.find(
      (rule) =>
        (rule.gatewayCode === ANY_CODE || rule.gatewayCode === gatewayCode) &&
        rule.on.includes(operation) &&
        fits(rule.code, code),
    ) ?? NO_RULE
  );
}

function fits(wanted: string, code: string | null): boolean {
  if (wanted === ANY_CODE) return true;
  if (code === null) return false;
  return wanted.endsWith('*') ? code.startsWith(wanted.slice(0, -1)) : code === wanted;
}

/** No number is published; a minute is what other gateways of the kind ask for. */
const RATE_LIMIT_PAUSE_MS = 60_000;

/** What an answer with another code than 10000 means: that the refund is not found, or an error (returned, not thrown). */
export function readRefusal(
  operation: GatewayOperation,
  response: AlipayResponse,
  traceId: string | null,
): NotFoundObservation | GatewayError {
  const { fields, verified } = response;
  const code = codeOf(fields, 'code') ?? 'no_code';
  const subCode = codeOf(fields, 'sub_code');
  const rule = findRule(operation, code, subCode);
  const raw: RawAnswer = {
    code: subCode ?? code,
    message: messageOf(fields, subCode),
    body: { ...publicFields(fields), ...(traceId === null ? {} : { trace_id: traceId }) },
  };
  if (rule.outcome === 'notFound') return { kind: 'notFound', authenticated: verified, identity: {}, raw };
  const said = subCode === null ? code : `${code} ${subCode}`;
  return new GatewayError(
    kindFor(operation, rule.outcome),
    `Alipay answered the ${operation} with ${said}: ${rule.reason}`,
    {
      code: raw.code,
      raw,
      nothingHappened: rule.outcome === 'rejected' && rule.nothingHappened && verified && operation === 'create',
      ...(rule.outcome === 'rateLimited' ? { retryAfterMs: RATE_LIMIT_PAUSE_MS } : {}),
    },
  );
}

function codeOf(fields: JsonObject, name: string): string | null {
  const text = memberText(fields, name);
  return text !== null && /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(text) ? text : null;
}

/** Alipay's own words, but for a wrong signature: there they repeat the whole request. */
function messageOf(fields: JsonObject, subCode: string | null): string {
  const repeatsRequest = subCode === 'isv.invalid-signature';
  const text = (repeatsRequest ? null : memberText(fields, 'sub_msg')) ?? memberText(fields, 'msg') ?? '';
  return harmless(text, 500);
}
