import { GatewayError } from '../../../src/gateway/gateway.error.js';
import { parseObject } from '../../../src/gateway/json-object.js';
import type { NotFoundObservation, RawAnswer } from '../../../src/gateway/observation.js';
import { harmless } from '../../../src/gateway/plain-text.js';
import {
  ANY_BODY,
  ANY_CODE,
  BOTH,
  CREATE,
  findRefusalRule,
  kindFor,
  QUERY,
  type GatewayOperation,
  type RefusalRule,
} from '../../../src/gateway/refusal-rules.js';
import type { AcmeAnswer } from './acme.client.js';

type Row = [RefusalRule['http'], string, RefusalRule['on'], RefusalRule['outcome'], boolean, string];

/** The gateway's list of errors, with the chapter it is from. The first rule that fits decides; what no rule names is `unavailable`. */
const ROWS: readonly Row[] = [
  // True only where the documents say that no refund was made under this number and that none will be.
  [400, 'AMOUNT_TOO_LARGE', CREATE, 'rejected', true, 'The amount is more than the payment has left.'],
  [401, ANY_BODY, BOTH, 'badConfig', false, 'The signature was not accepted; check merchantNo and signingKey.'],
  [404, 'NO_SUCH_REFUND', QUERY, 'notFound', false, 'The refund is not found.'],
  [429, ANY_BODY, BOTH, 'rateLimited', false, 'Acme Pay wants fewer calls.'],
  ['5xx', ANY_BODY, BOTH, 'unavailable', false, 'Acme Pay has an error of its own.'],
  [400, ANY_CODE, BOTH, 'rejected', false, 'Acme Pay refused the request.'],
];

export const ACME_REFUSALS: readonly RefusalRule[] = ROWS.map(([http, code, on, outcome, nothingHappened, reason]) => ({
  ...{ http, code, on, outcome, nothingHappened, reason },
}));

const RATE_LIMIT_PAUSE_MS = 60_000;

/** What an answer that is no 200 means: that the refund is not found, or an error (returned, not thrown). */
export function readRefusal(operation: GatewayOperation, answer: AcmeAnswer): NotFoundObservation | GatewayError {
  const fields = parseObject(answer.body);
  const named = typeof fields?.code === 'string' && /^[A-Z_]{1,64}$/.test(fields.code) ? fields.code : undefined;
  const code = named ?? `http_${answer.httpStatus}`;
  const message = typeof fields?.message === 'string' ? harmless(fields.message, 500) : '';
  const rule = findRefusalRule(ACME_REFUSALS, operation, answer.httpStatus, named);
  const raw: RawAnswer = { code, message, body: {} };
  if (rule.outcome === 'notFound') return { kind: 'notFound', authenticated: answer.verified, identity: {}, raw };
  return new GatewayError(
    kindFor(operation, rule.outcome),
    `Acme Pay answered the ${operation} with ${code}: ${rule.reason}`,
    {
      code,
      raw,
      nothingHappened: rule.nothingHappened && answer.verified,
      ...(rule.outcome === 'rateLimited' ? { retryAfterMs: RATE_LIMIT_PAUSE_MS } : {}),
    },
  );
}
