import { decimalToMinor } from '../../shared/money.js';
import { JsonNumber, type JsonObject } from '../../shared/lossless-json.js';
import { parseBeijingTime } from '../beijing-time.js';
import type { EchoedIdentity, Observation, RawAnswer } from '../observation.js';

/**
 * What `refund_status` of a query means (gateways.md §3.3). The product that is spoken here documents REFUND_SUCCESS alone; the other two
 * come from its asynchronous sibling and from older documents.
 */
export const ALIPAY_REFUND_STATUS = {
  REFUND_SUCCESS: 'success',
  REFUND_PROCESSING: 'processing',
  REFUND_FAIL: 'failed',
} as const;

type StatusKind = (typeof ALIPAY_REFUND_STATUS)[keyof typeof ALIPAY_REFUND_STATUS];

/** A status that we do not know ends nothing: the refund is asked again, and the raw status is kept. */
export function kindOfStatus(status: string): StatusKind {
  return Object.hasOwn(ALIPAY_REFUND_STATUS, status)
    ? ALIPAY_REFUND_STATUS[status as keyof typeof ALIPAY_REFUND_STATUS]
    : 'processing';
}

/** Alipay settles domestic payments in CNY alone: its answers about refunds carry no currency. */
const CURRENCY = 'CNY';
const MAX_ID_CHARS = 64;

/**
 * Says in our words what a proven answer `10000` to a query says.
 *
 * @returns the observation, or the name of the first field that a success lacks or that is not of its documented form: nothing is guessed.
 */
export function observeQuery(
  fields: JsonObject,
  more: Record<string, unknown> = {},
): Observation | { badField: string } {
  const status = memberText(fields, 'refund_status');
  const identity = identityOf(fields);
  const base = { authenticated: true, identity, raw: rawOf(fields, status, more) };
  // No status at all, often nothing but code and msg: the refund was not received, is not done, or failed. The answer does not say which,
  // so it counts as "not found" and never as a failure; the connector declares that it is not distinguishable.
  if (status === null) return { ...base, kind: 'notFound' };
  const kind = kindOfStatus(status);
  switch (kind) {
    case 'success': {
      // Without the number in the signed text it could be the answer about another refund of this trade.
      if (identity.gatewayRequestNo === undefined) return { badField: 'out_request_no' };
      const amountMinor = amountOf(fields, 'refund_amount');
      if (amountMinor === null) return { badField: 'refund_amount' };
      return {
        ...base,
        kind,
        amountMinor,
        currency: CURRENCY,
        // There is none: a refund is its trade and our number (gateways.md §0.1).
        gatewayRefundNo: null,
        finishedAt: parseBeijingTime(memberText(fields, 'gmt_refund_pay')),
      };
    }
    case 'failed':
      return {
        ...base,
        kind,
        code: memberText(fields, 'error_code') ?? status,
        message: 'Alipay reports the refund as failed.',
        gatewayRefundNo: null,
      };
    case 'processing':
      return { ...base, kind, gatewayRefundNo: null };
  }
}

/**
 * Says in our words what a proven answer `10000` to a create says: that Alipay has the refund, and no more.
 *
 * `fund_change=Y` says that money moved, but the signed text names neither our refund number nor this refund's amount: its
 * `refund_fee` is what the whole trade has refunded so far. So no create proves a success; the query ten seconds later does, with
 * amount, number and time. `fund_change=N`, or none, is also what a repeat gets (gateways.md §3.2).
 */
export function observeCreate(fields: JsonObject, more: Record<string, unknown> = {}): Observation {
  const fundChange = memberText(fields, 'fund_change');
  return {
    kind: 'processing',
    authenticated: true,
    identity: identityOf(fields),
    raw: rawOf(fields, fundChange === null ? null : `fund_change=${fundChange}`, more),
    gatewayRefundNo: null,
  };
}

function identityOf(fields: JsonObject): EchoedIdentity {
  const gatewayRequestNo = memberText(fields, 'out_request_no');
  const outTradeNo = memberText(fields, 'out_trade_no');
  const gatewayPaymentNo = memberText(fields, 'trade_no');
  return {
    ...(gatewayRequestNo === null ? {} : { gatewayRequestNo }),
    ...(outTradeNo === null ? {} : { outTradeNo }),
    ...(gatewayPaymentNo === null ? {} : { gatewayPaymentNo }),
  };
}

/** @param said what the answer says of the refund; without it the code of the call stands, and the message says what is missing. */
function rawOf(fields: JsonObject, said: string | null, more: Record<string, unknown>): RawAnswer {
  const message = memberText(fields, 'msg') ?? '';
  return {
    code: (said ?? memberText(fields, 'code') ?? '').slice(0, MAX_ID_CHARS),
    message: said === null ? `${message}; nothing is said of the refund` : message,
    body: { ...publicFields(fields), ...more },
  };
}

/**
 * What is kept as evidence. A list of what may stay, so that a field which Alipay adds tomorrow is dropped: who the buyer is
 * (`buyer_…`, `open_id`), what was bought and how it was paid have no place in our records.
 */
const PUBLIC_FIELDS = [
  'code',
  'msg',
  'sub_code',
  'trade_no',
  'out_trade_no',
  'out_request_no',
  'total_amount',
  'refund_amount',
  'refund_status',
  'error_code',
  'gmt_refund_pay',
  'fund_change',
  'refund_fee',
  'send_back_fee',
] as const;
/** The way back to a bank card, which the user sees after the refund; F sends the money to the Alipay balance instead (gateways.md §3.3). */
const PUBLIC_DEPOSIT_BACK = [
  'has_deposit_back',
  'dback_status',
  'dback_amount',
  'bank_ack_time',
  'est_bank_receipt_time',
] as const;

export function publicFields(fields: JsonObject): Record<string, unknown> {
  const kept: Record<string, unknown> = pick(fields, PUBLIC_FIELDS);
  const depositBack = fields.get('deposit_back_info');
  if (depositBack instanceof Map) kept.deposit_back_info = pick(depositBack, PUBLIC_DEPOSIT_BACK);
  return kept;
}

function pick(fields: JsonObject, names: readonly string[]): Record<string, string> {
  const kept: Record<string, string> = {};
  for (const name of names) {
    const text = memberText(fields, name);
    if (text !== null) kept[name] = text.slice(0, MAX_ID_CHARS);
  }
  return kept;
}

/** A member as text, with every digit that was sent; null when it is absent, empty or no single value. */
export function memberText(fields: JsonObject, name: string): string | null {
  const value = fields.get(name);
  if (value instanceof JsonNumber) return value.text;
  if (typeof value === 'boolean') return String(value);
  return typeof value === 'string' && value !== '' ? value : null;
}

/** Yuan, as a text or as a number of up to two decimals, in fen. */
function amountOf(fields: JsonObject, name: string): number | null {
  const minor = decimalToMinor(memberText(fields, name) ?? '', CURRENCY);
  return minor !== undefined && minor > 0 ? minor : null;
}
