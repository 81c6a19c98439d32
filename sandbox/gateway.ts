import type { IncomingMessage, ServerResponse } from 'node:http';
import type { FaultPlan } from './faults.js';
import type { RefundBook, RefundRecord, RefundStatus, ScriptStep } from './refund-book.js';
import type { Meter } from './stats.js';

/** How a channel behaves as a whole, as `POST /control/settings` sets it. */
export interface ChannelSettings {
  /** Added to every answer. */
  latencyMs: number;
  /** Requests of one calendar second above which the answer is 429; 0 = no limit. */
  ratePerSecond: number;
  /** Refused creates of one calendar second above which they are answered 429 (WeChat: 6); 0 = no limit. */
  failedRatePerSecond: number;
  /** Whether a create may name a payment that nobody declared; its total is then believed. */
  autoPayments: boolean;
  /** Whether a scripted change of status calls back. */
  autoCallback: boolean;
  /** What becomes of a refund that a create brings in. */
  defaultScript: readonly ScriptStep[];
  /** Factor on the gateway's own pauses between callback attempts: 0.01 makes 15 s into 150 ms. */
  callbackTimeScale: number;
  /** How long the receiver of a callback may take. */
  callbackTimeoutMs: number;
  /**
   * Which errors are signed: all, none, or `authenticated`: those to requests whose own signature was accepted, which
   * is what unauthenticated probes of the real WeChat Pay show.
   */
  signErrors: boolean | 'authenticated';
  /** Key of callbacks: as the create call asked (`auto`), or always the same; `replaced` is the last certificate that was replaced. */
  callbackKey: 'auto' | 'certificate' | 'publicKey' | 'replaced';
  /**
   * For benchmarks: signs the answer about a refund with this key when it is registered, and repeats an unchanged
   * answer with its timestamp and nonce for some minutes. `off` by default, because no real gateway repeats a nonce;
   * a signature is most of what an answer costs.
   */
  presign: 'off' | 'certificate' | 'publicKey';
  /** Where refunds that a create brings in call back, at gateways whose merchants set one address for all (Stripe); null = nowhere. */
  webhookUrl: string | null;
  /** How long an idempotency key is remembered, where a gateway forgets them (Stripe). */
  idempotencyKeyLifetimeMs: number;
  /** Whether a success is told as a success with a defect, where a gateway has that (UnionPay's A6). */
  defectiveSuccess: boolean;
}

export const DEFAULT_SETTINGS: Readonly<ChannelSettings> = {
  latencyMs: 0,
  ratePerSecond: 0,
  failedRatePerSecond: 0,
  autoPayments: true,
  autoCallback: true,
  defaultScript: [
    { afterMs: 0, status: 'processing' },
    { afterMs: 1500, status: 'success' },
  ],
  callbackTimeScale: 0.01,
  callbackTimeoutMs: 5000,
  signErrors: true,
  callbackKey: 'auto',
  presign: 'off',
  webhookUrl: null,
  idempotencyKeyLifetimeMs: 24 * 3600 * 1000,
  defectiveSuccess: false,
};

/** What a channel's simulator and the control API share. */
export interface ChannelState {
  readonly book: RefundBook;
  readonly faults: FaultPlan;
  readonly meter: Meter;
  settings: ChannelSettings;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

export const ACCOUNT_VARIANTS = ['certificates', 'v2', 'partner', 'partnerV2'] as const;
export type AccountVariant = (typeof ACCOUNT_VARIANTS)[number];

/** What `GET /control/accounts` says of one channel. */
export interface ConnectorAccount {
  channel: string;
  gateway: string;
  /** Settings of the connector of this name. */
  config: Record<string, unknown>;
  /** Where to call back is no setting of the connector: `POST /control/settings {channel, webhookUrl}`. */
  webhook?: true;
}

export const TAMPERINGS = [
  'signature',
  'ciphertext',
  'tag',
  'nonce',
  'timestamp',
  'probe',
  'serial',
  'truncated',
] as const;
/** Ways to spoil a callback, each of which a receiver must refuse. */
export type Tampering = (typeof TAMPERINGS)[number];

/** A notification before it is signed: what stays the same over all attempts. */
export interface ComposedCallback {
  id: string;
  eventType: string;
  body: string;
}

export interface SignedCallback {
  headers: Record<string, string>;
  body: string;
}

/** How one gateway calls back. */
export interface CallbackFormat {
  /** Pauses between attempts as the gateway documents them, in seconds; their number bounds the attempts. */
  readonly retryAfterSeconds: readonly number[];
  notifies(status: RefundStatus): boolean;
  compose(
    record: RefundRecord,
    status: RefundStatus,
    atMs: number,
    options: { wrongAmount: boolean },
  ): ComposedCallback;
  /** Signs one attempt: a repeat carries the same notification under a fresh signature. */
  sign(record: RefundRecord, composed: ComposedCallback, tamper: Tampering | undefined): Promise<SignedCallback>;
  /** Whether the receiver's answer ends the attempts. */
  isAcknowledged(status: number, body: string, record: RefundRecord): boolean;
}

/** What became of one attempt. `status` is null when no answer came. */
export interface CallbackResult {
  id: string;
  eventType: string;
  status: number | null;
  body: string;
  acknowledged: boolean;
  error?: string;
}

/** What the control API does with a gateway's callbacks. */
export interface CallbackControl {
  /** Calls back at every change of status that the refund's script still has before it. */
  watch(record: RefundRecord, before: RefundStatus | undefined): void;
  /** One attempt now, for tests that want the receiver's answer. Not repeated, and no fault applies. */
  sendNow(
    record: RefundRecord,
    url: URL,
    status: RefundStatus,
    atMs: number,
    tamper: Tampering | undefined,
  ): Promise<CallbackResult>;
  /** Forgets everything that is waiting or under way. */
  reset(): void;
  close(): void;
}

/** One simulated gateway: a sibling folder each. It shares the book and the faults, and has its own wire. */
export interface GatewaySimulator {
  /** Channel in the words of the control API: `wechat_pay`. */
  readonly channel: string;
  /** Connector that speaks to it: `wechat`. */
  readonly gateway: string;
  readonly state: ChannelState;
  readonly callbacks: CallbackControl;
  /** Merchants set one address for all callbacks (the setting `webhookUrl`); absent = they send one along. */
  readonly hasWebhookEndpoint?: boolean;
  /** Its APIs, where there are several; the first is the ordinary one. */
  readonly apis?: readonly string[];
  /** Whether a request path is one of this gateway's. */
  owns(path: string): boolean;
  serve(request: IncomingMessage, response: ServerResponse): Promise<void>;
  /** Called when the control API has registered a refund, before it answers. */
  prepare(record: RefundRecord): Promise<void>;
  /**
   * Settings with which a connector reaches this simulator at `baseUrl`. Test keys only.
   *
   * @param variant of gateways that can be spoken to in two ways: `certificates` (Alipay), `v2`, `partner` and `partnerV2` (WeChat Pay); others have but one.
   */
  connectorConfig(baseUrl: string, variant?: AccountVariant): Record<string, unknown>;
  /** Refuses a refund number that the gateway could not have; answers what is wrong with it. */
  refundNoFault(outRefundNo: string): string | undefined;
  /** Refuses a payment's number that the gateway could not have; absent = it takes any. */
  paymentNoFault?(outTradeNo: string): string | undefined;
  /** A new certificate takes the place of the gateway's own, where it announces such changes; the old one is good for `expireOldInMs` more. */
  rotateCertificate?(expireOldInMs: number): Promise<{ serial: string; replacedSerial: string }>;
  /** How many refunds the gateway has for a number, where it can be more than one. */
  refundsAtGateway?(record: RefundRecord): number;
  /** Called when the control API forgets refunds and payments; for what a simulator remembers besides the book. */
  forget?(): void;
}
