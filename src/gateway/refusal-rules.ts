import { GatewayError, type GatewayErrorKind } from './gateway.error.js';

export type GatewayOperation = 'query' | 'create';
/** Every call that a connector can offer. */
export type GatewayCallKind = GatewayOperation | 'redrive';

/** Any code that the gateway could have sent. */
export const ANY_CODE = '(any)';
/** Also when there is no readable code: the HTTP status alone says enough. */
export const ANY_BODY = '(any body)';

/** What one refusal means: each connector has a table of these for gateways that refuse by HTTP status and code. */
export interface RefusalRule<Call extends GatewayCallKind = GatewayOperation> {
  http: number | '5xx';
  code: string;
  on: readonly Call[];
  outcome: GatewayErrorKind | 'notFound';
  /**
   * True when this code proves that no refund was made under this number and that none will be. Believed only in an authenticated
   * answer. Meaningful for `rejected` creates alone.
   */
  nothingHappened: boolean;
  /** Why, and what to do; it becomes the error's message. */
  reason: string;
}

export const BOTH: readonly GatewayOperation[] = ['query', 'create'];
export const QUERY: readonly GatewayOperation[] = ['query'];
export const CREATE: readonly GatewayOperation[] = ['create'];
export const EVERY_CALL: readonly GatewayCallKind[] = ['query', 'create', 'redrive'];

/** Everything that no rule names, from redirects to a 404 of some proxy: not an answer of the API. */
const NO_RULE: Pick<RefusalRule, 'outcome' | 'nothingHappened' | 'reason'> = {
  outcome: 'unavailable',
  nothingHappened: false,
  reason: 'This is not an answer of the refund API.',
};

/** The first rule that fits decides. */
export function findRefusalRule(
  rules: readonly RefusalRule<GatewayCallKind>[],
  operation: GatewayCallKind,
  httpStatus: number,
  code: string | undefined,
): typeof NO_RULE {
  return (
    rules.find(
      (rule) =>
        (rule.http === '5xx' ? httpStatus >= 500 && httpStatus <= 599 : rule.http === httpStatus) &&
        rule.on.includes(operation) &&
        (rule.code === ANY_BODY || (code !== undefined && (rule.code === ANY_CODE || rule.code === code))),
    ) ?? NO_RULE
  );
}

/** The error of a call whose answer is missing or not believable. */
export function unanswered(
  operation: GatewayCallKind,
  code: string,
  message: string,
  cause?: { code: string; message: string },
): GatewayError {
  return new GatewayError(kindFor(operation, 'unavailable'), message, { code, cause });
}

/** What moves money may have been carried out although no believable answer came. */
export function kindFor(operation: GatewayCallKind, kind: GatewayErrorKind): GatewayErrorKind {
  return operation !== 'query' && kind === 'unavailable' ? 'ambiguous' : kind;
}

const MAX_RATE_LIMIT_PAUSE_MS = 3_600_000;

/** How long a rate limit asks to wait: as `Retry-After` says in seconds, else `fallbackMs`. */
export function rateLimitPauseMs(retryAfter: string | null, fallbackMs: number): number {
  const pauseMs = retryAfter !== null && /^\d{1,9}$/.test(retryAfter) ? Number(retryAfter) * 1000 : 0;
  return pauseMs === 0 ? fallbackMs : Math.min(pauseMs, MAX_RATE_LIMIT_PAUSE_MS);
}
