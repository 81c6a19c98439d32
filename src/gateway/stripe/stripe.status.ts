import { isRecord } from '../json-object.js';
import type { EchoedIdentity, Observation, RawAnswer } from '../observation.js';
import { harmless } from '../plain-text.js';

/**
 * Key of a refund's metadata under which our number stands: Stripe has no number of the merchant's (gateways.md §5.2). Merchants that
 * create refunds by themselves and do not register Stripe's number set it too.
 */
export const REFUND_NO_KEY = 'refund_no';

/**
 * What a refund's status means (gateways.md §5.2). `requires_action` waits for the payer, who for example has to name a bank account; it
 * goes on or is cancelled without us. A status of null is possible by type.
 */
export const STRIPE_STATUS = {
  succeeded: 'success',
  failed: 'failed',
  canceled: 'failed',
  pending: 'processing',
  requires_action: 'processing',
} as const;

/** A status that we do not know ends nothing: the refund is asked again, and the raw status is kept. */
export function kindOfStatus(status: string): (typeof STRIPE_STATUS)[keyof typeof STRIPE_STATUS] {
  return Object.hasOwn(STRIPE_STATUS, status) ? STRIPE_STATUS[status as keyof typeof STRIPE_STATUS] : 'processing';
}

/** A refund as answers and events carry it, read and checked. */
export interface StripeRefund {
  id: string;
  /** `null` where Stripe says null. */
  status: string;
  /** In our minor units; present whenever `status` is succeeded. */
  money: { amountMinor: number; currency: string } | null;
  /** Our number, where the refund carries one. */
  refundNo: string | null;
  paymentIntent: string | null;
  charge: string | null;
  failureReason: string | null;
  fields: Record<string, unknown>;
}

/**
 * Reads a refund object.
 *
 * @returns the refund, or the name of the first field that is missing or not of its documented form: nothing is guessed.
 */
export function readRefund(value: unknown): StripeRefund | { badField: string } {
  if (!isRecord(value)) return { badField: 'body' };
  if (value.object !== 'refund') return { badField: 'object' };
  if (!isId(value.id)) return { badField: 'id' };
  const status = value.status === null ? 'null' : textOf(value.status);
  if (status === null) return { badField: 'status' };
  const money = moneyOf(value.amount, value.currency);
  if (kindOfStatus(status) === 'success' && money === null)
    return { badField: isCurrency(value.currency) ? 'amount' : 'currency' };
  return {
    id: value.id,
    status,
    money,
    refundNo: refundNoOf(value),
    paymentIntent: idOf(value.payment_intent),
    charge: idOf(value.charge),
    failureReason: textOf(value.failure_reason),
    fields: value,
  };
}

/** Our number in the metadata of a refund object. */
export function refundNoOf(refund: Record<string, unknown>): string | null {
  return isRecord(refund.metadata) ? textOf(refund.metadata[REFUND_NO_KEY]) : null;
}

/** What is known of the payment whose refund was asked for: `pi_…`, `ch_…` or `py_…`, and the merchant's own number of it. */
export interface KnownPayment {
  reference: string;
  outTradeNo: string;
}

/** Says in our words what a refund object says. Stripe signs no answer by design: that it came over TLS is its proof. */
export function observe(
  refund: StripeRefund,
  evidence: {
    payment?: KnownPayment | undefined;
    merchantId?: string | undefined;
    rawBody?: Record<string, unknown>;
  } = {},
): Observation {
  const base = {
    authenticated: true,
    identity: identityOf(refund, evidence.payment, evidence.merchantId),
    raw: {
      code: refund.status,
      message: refund.failureReason ?? '',
      body: { ...publicFields(refund.fields), ...evidence.rawBody },
    } satisfies RawAnswer,
  };
  const gatewayRefundNo = refund.id;
  const kind = kindOfStatus(refund.status);
  switch (kind) {
    case 'success':
      // readRefund lets no success through without its money; were it to, "processing" asks again.
      if (refund.money === null) return { ...base, kind: 'processing', gatewayRefundNo };
      // A refund has no time of its success: `created` is when it was asked for, which can be days earlier.
      return { ...base, kind, ...refund.money, gatewayRefundNo, finishedAt: null };
    case 'failed':
      return {
        ...base,
        kind,
        code: refund.failureReason ?? refund.status,
        message: failureOf(refund),
        gatewayRefundNo,
      };
    case 'processing':
      return { ...base, kind, gatewayRefundNo };
  }
}

function identityOf(
  refund: StripeRefund,
  payment: KnownPayment | undefined,
  merchantId: string | undefined,
): EchoedIdentity {
  const gatewayPaymentNo = refund.paymentIntent ?? refund.charge;
  const outTradeNo = payment && echoedTradeNo(refund, payment);
  return {
    gatewayRefundNo: refund.id,
    ...(refund.refundNo === null ? {} : { gatewayRequestNo: refund.refundNo }),
    ...(gatewayPaymentNo === null ? {} : { gatewayPaymentNo }),
    // Registered may be either.
    ...(refund.paymentIntent === null || refund.charge === null ? {} : { gatewayPaymentNoAlias: refund.charge }),
    ...(outTradeNo === undefined ? {} : { outTradeNo }),
    ...(merchantId === undefined ? {} : { merchantId }),
  };
}

/**
 * The merchant's number of the payment when the answer names the payment that we know; the number that it names when that is another
 * one, so that the difference shows; undefined when it names none of that kind.
 */
function echoedTradeNo(refund: StripeRefund, { reference, outTradeNo }: KnownPayment): string | undefined {
  const named = reference.startsWith('pi_') ? refund.paymentIntent : refund.charge;
  if (named === null) return undefined;
  return named === reference ? outTradeNo : named;
}

/** gateways.md §5.2. */
const FAILURES: Readonly<Record<string, string>> = {
  lost_or_stolen_card: 'the card is lost or stolen',
  expired_or_canceled_card: 'the card is expired or cancelled',
  charge_for_pending_refund_disputed: 'the payment was disputed before the refund went out',
  insufficient_funds: 'the Stripe balance did not cover it',
  declined: 'it was declined',
  merchant_request: 'the merchant took it back',
};

function failureOf({ status, failureReason }: StripeRefund): string {
  if (status === 'canceled') return 'The refund was cancelled before it went out; a further attempt is a new refund.';
  const because =
    failureReason !== null && Object.hasOwn(FAILURES, failureReason) ? `: ${FAILURES[failureReason]}` : '';
  return `Stripe could not pay the refund out${because}. The money is back in the Stripe balance.`;
}

/**
 * Amounts are in the smallest unit of a currency, and Stripe's is the one of ISO 4217 (ours) but for these three: krónur and Ugandan
 * shillings have no smaller unit and are yet counted in hundredths, which must be 00; ariary have one that nobody uses and are counted
 * whole. (HUF and TWD are special for payouts alone.) docs.stripe.com/currencies
 */
const STRIPE_UNITS_PER_MINOR: Readonly<Record<string, { times: number } | { per: number }>> = {
  ISK: { times: 100 },
  UGX: { times: 100 },
  MGA: { per: 100 },
};
/** Here Stripe takes amounts in thousandths that end in 0. */
const THREE_DECIMALS = new Set(['BHD', 'JOD', 'KWD', 'OMR', 'TND']);

/** @returns our amount as Stripe counts it; undefined when Stripe cannot express it. */
export function toStripeAmount(amountMinor: number, currency: string): number | undefined {
  if (THREE_DECIMALS.has(currency) && amountMinor % 10 !== 0) return undefined;
  const unit = STRIPE_UNITS_PER_MINOR[currency] ?? { times: 1 };
  return safe('times' in unit ? amountMinor * unit.times : amountMinor / unit.per);
}

/** @returns Stripe's amount in our minor units; undefined when it is a fraction of one. */
export function fromStripeAmount(amount: number, currency: string): number | undefined {
  const unit = STRIPE_UNITS_PER_MINOR[currency] ?? { times: 1 };
  return safe('times' in unit ? amount / unit.times : amount * unit.per);
}

function safe(amount: number): number | undefined {
  return Number.isSafeInteger(amount) && amount > 0 ? amount : undefined;
}

function moneyOf(amount: unknown, currency: unknown): StripeRefund['money'] {
  if (typeof amount !== 'number' || !Number.isSafeInteger(amount) || !isCurrency(currency)) return null;
  const ours = currency.toUpperCase();
  const amountMinor = fromStripeAmount(amount, ours);
  return amountMinor === undefined ? null : { amountMinor, currency: ours };
}

/**
 * What is kept as evidence. A list of what may stay, so that a field which Stripe adds tomorrow is dropped: `destination_details`,
 * `customer`, `instructions_email` and `next_action` are personal, metadata is the merchant's own.
 */
const PUBLIC_FIELDS = [
  'id',
  'amount',
  'currency',
  'status',
  'reason',
  'failure_reason',
  'pending_reason',
  'created',
] as const;
const PUBLIC_IDS = ['payment_intent', 'charge', 'balance_transaction', 'failure_balance_transaction'] as const;
const MAX_ID_CHARS = 64;

export function publicFields(fields: Record<string, unknown>): Record<string, unknown> {
  const kept: Record<string, unknown> = {};
  for (const name of PUBLIC_FIELDS) {
    const value = fields[name];
    if (typeof value === 'string') kept[name] = harmless(value, MAX_ID_CHARS);
    else if (typeof value === 'number' || value === null) kept[name] = value;
  }
  for (const name of PUBLIC_IDS) {
    const id = idOf(fields[name]);
    if (id !== null) kept[name] = id;
  }
  const refundNo = refundNoOf(fields);
  if (refundNo !== null) kept[`metadata.${REFUND_NO_KEY}`] = refundNo;
  return kept;
}

function isId(value: unknown): value is string {
  return typeof value === 'string' && /^[\x21-\x7e]{1,64}$/.test(value);
}

/** An id, or the id of an object that somebody had expanded. */
function idOf(value: unknown): string | null {
  const id = isRecord(value) ? value.id : value;
  return isId(id) ? id : null;
}

function textOf(value: unknown): string | null {
  return typeof value === 'string' && value.length > 0 && value.length <= MAX_ID_CHARS ? value : null;
}

function isCurrency(value: unknown): value is string {
  return typeof value === 'string' && /^[a-z]{3}$/.test(value);
}
