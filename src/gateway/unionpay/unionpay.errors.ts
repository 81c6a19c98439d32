import { GatewayError } from '../gateway.error.js';
import type { NotFoundObservation, RawAnswer } from '../observation.js';
import { harmless } from '../plain-text.js';
import { ANY_CODE, BOTH, CREATE, kindFor, QUERY, type GatewayOperation, type RefusalRule } from '../refusal-rules.js';
import { identityOf, MAX_ID_CHARS, publicFields } from './unionpay.status.js';

/** An answer before anybody judged it. */
export interface UnionpayAnswer {
  httpStatus: number;
  /** null when the body is not an answer of the gateway at all: an error page, half an answer. */
  message: UnionpayMessage | null;
}

export interface UnionpayMessage {
  fields: ReadonlyMap<string, string>;
  /** `absent`: whoever answered signed nothing; `wrong`: it claims to be signed and is not, or not by UnionPay. */
  signature: 'right' | 'absent' | 'wrong';
  /** Why it is not believed; null under a right signature. */
  doubt: string | null;
}

/** `00`: the call was understood. Of a create it says "accepted", of a query that `origRespCode` speaks of the refund. */
export const UNDERSTOOD = '00';

/** UnionPay refuses with HTTP 200 and a two-character `respCode`. */
export type UnionpayRefusalRule = Omit<RefusalRule, 'http'>;

function rules(
  codes: string,
  on: readonly GatewayOperation[],
  outcome: UnionpayRefusalRule['outcome'],
  reason: string,
  nothingHappened = false,
): UnionpayRefusalRule[] {
  return codes.split(' ').map((code) => ({ code, on, outcome, nothingHappened, reason }));
}

/**
 * `respCode` of the call (gateways.md §4.2 to §4.4, and public copies of the appendix of response codes). The first rule that fits decides.
 *
 * "Nothing happened" is said by those alone that look at the message and at the payment before anything is booked, and that this very
 * refund, had it arrived twice, could not cause: not 35 and 45, for a refund of all that was left makes them true.
 */
export const UNIONPAY_REFUSALS: readonly UnionpayRefusalRule[] = [
  ...rules('02 06', BOTH, 'unavailable', 'UnionPay is closed or busy.'),
  ...rules('03 04', BOTH, 'unavailable', 'UnionPay does not know the outcome itself; it has to be asked again.'),
  ...rules('05', QUERY, 'unavailable', 'UnionPay has not answered the question yet.'),
  ...rules('98 99', BOTH, 'unavailable', 'UnionPay has an error of its own.'),
  ...rules('37', BOTH, 'rateLimited', 'UnionPay wants fewer questions.'),
  ...rules('11', BOTH, 'badConfig', 'UnionPay does not accept our signature; check privateKey, signCert and merId.'),
  ...rules('34', QUERY, 'notFound', 'UnionPay knows no refund of this number and time.'),

  ...rules('12', CREATE, 'ambiguous', 'UnionPay has this refund number already: it is asked for, never sent again.'),
  // Vendor demos ask for the refund after these, too.
  ...rules(
    '01 34 60',
    CREATE,
    'ambiguous',
    'UnionPay does not say whether it carried the refund out; it is asked for.',
  ),
  ...rules('10 13', CREATE, 'rejected', 'UnionPay found the message incomplete or malformed.', true),
  ...rules('31', CREATE, 'rejected', 'The merchant is not active at UnionPay.', true),
  ...rules('32 43', CREATE, 'rejected', 'The merchant has no permission for refunds, or not for this product.', true),
  ...rules('33', CREATE, 'rejected', 'The amount is beyond a limit.', true),
  ...rules('36', CREATE, 'rejected', 'The refund does not match its payment: amount, merchant or product.', true),
  ...rules(
    '35',
    CREATE,
    'rejected',
    'The payment does not exist or cannot be refunded now; perhaps this refund ended it.',
  ),
  ...rules('45 46', CREATE, 'rejected', 'The payment is refunded or reversed already, perhaps by this refund.'),
  ...rules(
    '30 38',
    CREATE,
    'rejected',
    'UnionPay did not let the refund pass; a person must look in the merchant platform.',
  ),
  ...rules('39', CREATE, 'rejected', 'UnionPay takes no refunds at this hour.'),

  ...rules('10 13', QUERY, 'badConfig', 'UnionPay found the question malformed; check merId and gatewayUrl.'),
  ...rules('31 32 43', QUERY, 'badConfig', 'The merchant is not active at UnionPay, or may not ask.'),

  // Refused with a code that is not in the list: understood and refused, but it proves nothing.
  ...rules(ANY_CODE, BOTH, 'rejected', 'UnionPay refused the request.'),
];

/** The documents give a number of questions and no pause; a minute is what other gateways of the kind ask for. */
const RATE_LIMIT_PAUSE_MS = 60_000;

/** What an answer with another `respCode` than 00 means: that the refund is not found, or an error (returned, not thrown). */
export function readRefusal(
  operation: GatewayOperation,
  { fields, signature }: UnionpayMessage,
): NotFoundObservation | GatewayError {
  const code = codeOf(fields.get('respCode'));
  const rule = UNIONPAY_REFUSALS.find(
    (candidate) =>
      candidate.on.includes(operation) && (candidate.code === ANY_CODE ? code !== null : candidate.code === code),
  ) ?? { outcome: 'unavailable' as const, nothingHappened: false, reason: 'This is not an answer of the gateway.' };
  const isProven = signature === 'right';
  const raw: RawAnswer = {
    code: code ?? 'no_code',
    message: harmless(fields.get('respMsg') ?? '', 500),
    body: publicFields(fields),
  };
  if (rule.outcome === 'notFound')
    return { kind: 'notFound', authenticated: isProven, identity: identityOf(fields), raw };
  return new GatewayError(
    kindFor(operation, rule.outcome),
    `UnionPay answered the ${operation} with ${raw.code}: ${rule.reason}`,
    {
      code: raw.code,
      raw,
      nothingHappened: rule.outcome === 'rejected' && rule.nothingHappened && isProven && operation === 'create',
      ...(rule.outcome === 'rateLimited' ? { retryAfterMs: RATE_LIMIT_PAUSE_MS } : {}),
    },
  );
}

function codeOf(text: string | undefined): string | null {
  return text !== undefined && text.length <= MAX_ID_CHARS && /^[A-Za-z0-9]+$/.test(text) ? text : null;
}
