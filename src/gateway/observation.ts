/**
 * What a gateway said of one refund, normalised. "The query failed" is never an Observation: time-outs, 5xx, rate limits
 * and answers whose signature is wrong are GatewayErrors.
 */
export type Observation =
  SuccessObservation | FailedObservation | ProcessingObservation | NotFoundObservation | AbnormalObservation;

export type ObservationKind = Observation['kind'];
export const OBSERVATION_KINDS = ['success', 'failed', 'processing', 'notFound', 'abnormal'] as const;

interface ObservationBase {
  /**
   * True when the answer is proven to come from the gateway by the gateway's own means (a signature over the body; TLS alone where the
   * gateway signs nothing by design, as Stripe). An unauthenticated answer may schedule, repeat a create or open a case; it never
   * ends a refund.
   */
  authenticated: boolean;
  /** What the answer repeats of the refund; absent members were not in the answer. Compared with what we know. */
  identity: EchoedIdentity;
  /** What the gateway said in its own words, redacted: kept as evidence. */
  raw: RawAnswer;
}

export interface EchoedIdentity {
  gatewayRequestNo?: string;
  gatewayRefundNo?: string;
  outTradeNo?: string;
  gatewayPaymentNo?: string;
  /** The payment's other number, where a gateway has two for one payment (Stripe: intent and charge). */
  gatewayPaymentNoAlias?: string;
  merchantId?: string;
}

export interface RawAnswer {
  /** The gateway's status or code as sent: `SUCCESS`, `RESOURCE_NOT_EXISTS`. */
  code: string;
  /** The gateway's text, at most 500 characters. */
  message: string;
  /** The answer's fields, redacted (no card number, no user account), at most 4 KiB as JSON. */
  body: Record<string, unknown>;
}

export interface SuccessObservation extends ObservationBase {
  kind: 'success';
  /** Minor units of `currency`. */
  amountMinor: number;
  /** ISO 4217, upper case. */
  currency: string;
  gatewayRefundNo: string | null;
  /** When the gateway says the money was returned. */
  finishedAt: Date | null;
}

export interface FailedObservation extends ObservationBase {
  kind: 'failed';
  code: string;
  message: string;
  gatewayRefundNo: string | null;
}

export interface ProcessingObservation extends ObservationBase {
  kind: 'processing';
  gatewayRefundNo: string | null;
}

export interface NotFoundObservation extends ObservationBase {
  kind: 'notFound';
}

/** The money left the merchant and did not arrive; a person must act (WeChat ABNORMAL). */
export interface AbnormalObservation extends ObservationBase {
  kind: 'abnormal';
  message: string;
  gatewayRefundNo: string | null;
}
