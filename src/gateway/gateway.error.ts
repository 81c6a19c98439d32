import type { RawAnswer } from './observation.js';

/**
 * Why a gateway could not be asked, or would not answer. None of these says anything about the refund itself.
 *
 * - `unavailable`: no answer, a 5xx, an answer that cannot be read or whose signature is wrong. A query is simply asked again.
 * - `rateLimited`: the gateway wants fewer calls; `retryAfterMs` when it said how long.
 * - `ambiguous`: a create whose outcome is unknown (sent, no believable answer).
 * - `rejected`: the gateway understood and refused.
 * - `badConfig`: credentials, permissions or account settings are wrong; no repetition helps until a person changes them.
 */
export const GATEWAY_ERROR_KINDS = ['unavailable', 'rateLimited', 'ambiguous', 'rejected', 'badConfig'] as const;
export type GatewayErrorKind = (typeof GATEWAY_ERROR_KINDS)[number];

export interface GatewayErrorDetails {
  /** The gateway's own code (`FREQUENCY_LIMITED`), or ours in lower case (`timeout`, `bad_signature`, `reset`, `malformed`, `paced`). */
  code: string;
  retryAfterMs?: number;
  /** True only for a signed refusal of a create with a code that the connector lists as "nothing happened". */
  nothingHappened?: boolean;
  /** Nothing was sent: the pace of the account did not allow the call (`paced`, `circuit_open`). */
  notAsked?: boolean;
  /** Redacted. */
  raw?: RawAnswer;
  cause?: unknown;
}

export class GatewayError extends Error {
  override readonly name = 'GatewayError';
  readonly code: string;
  readonly retryAfterMs: number | undefined;
  readonly nothingHappened: boolean;
  readonly notAsked: boolean;
  readonly raw: RawAnswer | undefined;

  /** @param message says in one sentence what went wrong; no secret, no key material, at most 300 characters. */
  constructor(
    readonly kind: GatewayErrorKind,
    message: string,
    details: GatewayErrorDetails,
  ) {
    super(message, { cause: details.cause });
    this.code = details.code;
    this.retryAfterMs = details.retryAfterMs;
    this.nothingHappened = details.nothingHappened ?? false;
    this.notAsked = details.notAsked ?? false;
    this.raw = details.raw;
  }
}
