import { DAY_MS } from '../shared/clock.js';
import type { ConfigSchema } from './config-schema.js';
import type { Observation } from './observation.js';

/**
 * Channels in the words that merchants use (`refundChannels[].channel`).
 * `cash_pay` and `wallet_pay` settle at once and have no gateway.
 */
export const GATEWAY_CHANNELS = ['wechat_pay', 'ali_pay', 'union_pay', 'stripe'] as const;
export const INSTANT_CHANNELS = ['cash_pay', 'wallet_pay'] as const;
export const CHANNELS = [...GATEWAY_CHANNELS, ...INSTANT_CHANNELS] as const;
export type GatewayChannel = (typeof GATEWAY_CHANNELS)[number];
export type Channel = (typeof CHANNELS)[number];

export function isInstantChannel(channel: string): boolean {
  return (INSTANT_CHANNELS as readonly string[]).includes(channel);
}

/** What a connector may know of a refund. It is a plain value: connectors never see our rows. */
export interface RefundOrder {
  /** The number under which the refund was sent to the gateway (out_refund_no, out_request_no, orderId …). */
  gatewayRequestNo: string;
  /** UnionPay queries by orderId + txnTime. */
  gatewayRequestTime: Date | null;
  /** The gateway's own number, once known. */
  gatewayRefundNo: string | null;
  /** The payment's number as the merchant sent it to the gateway. */
  outTradeNo: string;
  /** The gateway's own number of the payment, when known. */
  gatewayPaymentNo: string | null;
  /** Refund amount in minor units of `currency` (fen, cents). */
  amountMinor: number;
  /** Amount of the whole payment in minor units of `currency`. */
  paymentAmountMinor: number;
  /** ISO 4217, upper case. */
  currency: string;
  reason: string | null;
  clientIp: string | null;
}

/** One call to a gateway. The wrapper sets `signal` to fire at `timeoutMs`; a connector passes it to its transport. */
export interface GatewayCall<Config> {
  config: Config;
  order: RefundOrder;
  signal: AbortSignal;
  timeoutMs: number;
}

/**
 * Where the money of an abnormal refund is sent instead. Card data goes to the gateway, encrypted for it, and nowhere else: it is
 * never stored, logged or answered.
 */
export type RedriveTarget =
  /** To the merchant's own account at the gateway, which settles with the payer by other means. */
  | { to: 'merchantAccount' }
  /** To a card that the payer named. `bankCode` in the gateway's own words (WeChat Pay: `ICBC_DEBIT`). */
  | { to: 'payerCard'; bankCode: string; accountNo: string; holderName: string };

export type CreateReplay =
  /** The very same payload may be sent again at any time: the gateway refunds one number once (WeChat, Alipay). */
  | { mode: 'forever' }
  /** The gateway forgets the idempotency key after `ttlMs`; a repeat after that would refund twice (Stripe, PayPal). */
  | { mode: 'ttl'; ttlMs: number }
  /** A repeat is refused as a duplicate: ask instead (UnionPay). */
  | { mode: 'never' };

export const DEFAULT_SETTLES_WITHIN_MS = 3 * DAY_MS;

/** Pacing and truth rules of one gateway, as data. Times in milliseconds. */
export interface GatewayPolicy {
  /** Longest time one call may take before it counts as `unavailable`. */
  timeoutMs: number;
  /** Pauses between looks, counted from the moment the refund was sent; the last one repeats. */
  scheduleMs: readonly number[];
  /** How long a refund usually takes at most: one that is open for longer counts as stuck. Absent: DEFAULT_SETTLES_WITHIN_MS. */
  settlesWithinMs?: number;
  /** How long "not found" may still be replication delay. */
  notFoundGraceMs: number;
  createReplay: CreateReplay;
  /**
   * For a gateway that takes a create, then says nothing of the refund, and advises to send the very same again (Alipay): so long after the
   * last send, and so many times. Wants `createReplay` forever. Absent: a create that was taken is never repeated.
   */
  repeatAcknowledged?: { afterMs: number; times: number };
  /** True where "not found" is an authenticated answer that cannot mean anything else (not Alipay's absent status). */
  notFoundIsDistinguishable: boolean;
  /** True where the gateway documents that a succeeded refund can fail later (Stripe). */
  lateFailure: boolean;
  /** Looks after success or fail, where the end is not always the end; absent = none. */
  verifyAfterEnd?: { scheduleMs: readonly number[]; forMs: number };
  /** Default ceiling per account; accounts may set less. */
  rate: { perSecond: number; concurrency: number };
}

/** A callback as it came in: exact bytes, header names in lower case. */
export interface RawCallback {
  headers: Readonly<Record<string, string | undefined>>;
  body: Buffer;
  receivedAt: Date;
}

/** A verified callback, translated. */
export interface CallbackMessage {
  /** Unique per event at the gateway and account; a redelivery has the same. At most 128 characters. */
  eventKey: string;
  eventType: string;
  /** How to find the refund: our number at the gateway, else the gateway's. */
  gatewayRequestNo: string | null;
  gatewayRefundNo: string | null;
  outTradeNo: string | null;
  observation: Observation;
}

export interface CallbackAnswer {
  status: number;
  contentType: string;
  body: string;
}

export interface CallbackHandler<Config> {
  /**
   * Verifies the signature over the raw bytes and translates. Throws CallbackRejected: nothing of it may be believed.
   *
   * @returns null for a genuine callback that is about no refund: it is acknowledged and forgotten.
   */
  receive(raw: RawCallback, config: Config): CallbackMessage | null;
  /** What the gateway wants to read once the callback is stored. */
  accepted: CallbackAnswer;
  /** What it gets when the callback was refused; it will send the genuine one again. */
  rejected: CallbackAnswer;
}

/** A callback that is not proven to come from the gateway. `reason` is safe to log: no secret, no body. */
export class CallbackRejected extends Error {
  override readonly name = 'CallbackRejected';
}

/**
 * A payment gateway that can be asked about refunds.
 *
 * Connectors translate; they decide nothing about our rows. An answer becomes an Observation, everything else a
 * GatewayError. An operation that a gateway does not offer is a member that is absent.
 */
export interface RefundGateway<Config = unknown> {
  /** Path segment of the callback URL and key of the registry: `wechat`, `alipay`, `unionpay`, `stripe`. */
  readonly code: string;
  readonly channel: GatewayChannel;
  /**
   * For gateways with several APIs, a connector each: the one that an account names in its setting `apiVersion`. One of a
   * channel's connectors has none and serves the accounts that name none that another one has.
   */
  readonly apiVersion?: string;
  readonly displayName: string;
  readonly config: ConfigSchema<Config>;
  readonly policy: GatewayPolicy;

  /** The merchant's id at the gateway, compared with what answers echo. */
  merchantId(config: Config): string;

  /**
   * What a refund that the merchant sent by itself must say so that this gateway can be asked for it; absent = nothing besides its number.
   *
   * @returns the field of the registration and its fault.
   */
  registrationFault?(
    order: Pick<RefundOrder, 'gatewayRequestNo' | 'gatewayRequestTime' | 'outTradeNo'>,
  ): { field: string; fault: string } | undefined;

  /**
   * What the connection test must ask for at this gateway, where a number of ours that no refund has is not enough to ask at all. Nothing at
   * the gateway may have these numbers.
   */
  readonly probe?: Partial<Pick<RefundOrder, 'gatewayRefundNo' | 'gatewayPaymentNo'>>;

  /** Asks for one refund by our number. Throws GatewayError; never answers `failed` because asking failed. */
  queryRefund(call: GatewayCall<Config>): Promise<Observation>;

  /**
   * The exact text that a create sends. Made once and stored before the first send, so that a repeat is byte-identical.
   * Throws GatewayError `rejected` with `nothingHappened` when the order cannot be expressed at this gateway.
   */
  prepareCreate?(order: RefundOrder, config: Config): string;
  /** Sends a prepared create. A refusal is a GatewayError of kind `rejected`. */
  sendCreate?(call: GatewayCall<Config>, payload: string): Promise<Observation>;

  /**
   * Sends an abnormal refund on its way again, under its own number; absent where the gateway offers no such operation. The answer is an
   * observation like any other. A refusal is a GatewayError of kind `rejected` and changes nothing at the gateway; after an `ambiguous` one
   * the refund is asked about before anything else. Throws `rejected` with `invalid_order` while `gatewayRefundNo` is not known.
   */
  redrive?(call: GatewayCall<Config>, target: RedriveTarget): Promise<Observation>;

  readonly callback?: CallbackHandler<Config>;
}
