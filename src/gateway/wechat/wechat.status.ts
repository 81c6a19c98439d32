import { isRecord } from '../json-object.js';
import type { Observation, RawAnswer } from '../observation.js';
import { echoedIdentity } from '../wechat-pay.js';

/**
 * What a refund's status means: `status` of query and create (gateways.md §1.6), `refund_status` of callbacks (§1.8).
 * WeChat Pay's own pages print both CLOSE and CLOSED for callbacks (§11 no. 3).
 */
export const WECHAT_STATUS = {
  PROCESSING: 'processing',
  SUCCESS: 'success',
  CLOSED: 'failed',
  CLOSE: 'failed',
  ABNORMAL: 'abnormal',
} as const;

/** A status that we do not know ends nothing: the refund is asked again, and the raw status is kept. */
export function kindOfStatus(status: string): (typeof WECHAT_STATUS)[keyof typeof WECHAT_STATUS] {
  return Object.hasOwn(WECHAT_STATUS, status) ? WECHAT_STATUS[status as keyof typeof WECHAT_STATUS] : 'processing';
}

/** A refund as query, create and callback carry it, read and checked. */
export interface WechatRefund {
  status: string;
  /** Present whenever `status` is SUCCESS. */
  money: { amountMinor: number; currency: string } | null;
  outRefundNo: string;
  refundId: string | null;
  outTradeNo: string | null;
  transactionId: string | null;
  finishedAt: Date | null;
  fields: Record<string, unknown>;
}

/** Where the two spellings of a refund object differ. */
export interface WechatSpelling {
  statusField: 'status' | 'refund_status';
  /** For objects without `amount.currency`. */
  currency?: string;
}

/** Query and create. */
export const ANSWER: WechatSpelling = { statusField: 'status' };
/** A callback's amount has no currency. The API is for domestic payments, so it can only be CNY (gateways.md §1.5, §1.8). */
export const CALLBACK: WechatSpelling = { statusField: 'refund_status', currency: 'CNY' };

/**
 * Reads a refund object.
 *
 * @returns the refund, or the name of the first field that is missing or not of its documented form: nothing is guessed.
 */
export function readRefund(value: unknown, spelling: WechatSpelling): WechatRefund | { badField: string } {
  if (!isRecord(value)) return { badField: 'body' };
  const status = value[spelling.statusField];
  if (!isId(status)) return { badField: spelling.statusField };
  if (!isId(value.out_refund_no)) return { badField: 'out_refund_no' };
  for (const name of ['refund_id', 'out_trade_no', 'transaction_id'] as const) {
    // A number here would have lost digits already: ids have up to 32.
    if (value[name] !== undefined && value[name] !== null && !isId(value[name])) return { badField: name };
  }
  const amount = isRecord(value.amount) ? value.amount : {};
  const currency = amount.currency ?? spelling.currency;
  const money = isMinor(amount.refund) && isCurrency(currency) ? { amountMinor: amount.refund, currency } : null;
  if (kindOfStatus(status) === 'success' && money === null)
    return { badField: isMinor(amount.refund) ? 'amount.currency' : 'amount.refund' };
  return {
    status,
    money,
    outRefundNo: value.out_refund_no,
    refundId: idOf(value.refund_id),
    outTradeNo: idOf(value.out_trade_no),
    transactionId: idOf(value.transaction_id),
    finishedAt: timeOf(value.success_time),
    fields: value,
  };
}

/** Says in our words what a proven refund object says. */
export function observe(
  refund: WechatRefund,
  evidence: { merchantId?: string; rawBody?: Record<string, unknown> } = {},
): Observation {
  const base = {
    authenticated: true,
    identity: echoedIdentity(refund, evidence.merchantId),
    raw: {
      code: refund.status,
      message: '',
      body: { ...publicFields(refund.fields), ...evidence.rawBody },
    } satisfies RawAnswer,
  };
  const gatewayRefundNo = refund.refundId;
  const kind = kindOfStatus(refund.status);
  switch (kind) {
    case 'success':
      // readRefund lets no success through without its money; were it to, "processing" asks again.
      if (refund.money === null) return { ...base, kind: 'processing', gatewayRefundNo };
      return { ...base, kind, ...refund.money, gatewayRefundNo, finishedAt: refund.finishedAt };
    case 'failed':
      return {
        ...base,
        kind,
        code: refund.status,
        message: 'WeChat Pay closed the refund; a further attempt needs a new refund number.',
        gatewayRefundNo,
      };
    case 'abnormal':
      return {
        ...base,
        kind,
        message:
          'WeChat Pay could not pay the money out (card void or frozen); a person must act in the merchant platform.',
        gatewayRefundNo,
      };
    case 'processing':
      return { ...base, kind, gatewayRefundNo };
  }
}

/**
 * What is kept as evidence. A list of what may stay, so that a field which WeChat Pay adds tomorrow is dropped: `user_received_account`
 * is personal, promotions and funding splits are long.
 */
const PUBLIC_FIELDS = [
  'mchid',
  'sp_mchid',
  'sub_mchid',
  'out_refund_no',
  'refund_id',
  'out_trade_no',
  'transaction_id',
  'status',
  'refund_status',
  'channel',
  'funds_account',
  'create_time',
  'success_time',
] as const;
const PUBLIC_AMOUNTS = [
  'total',
  'refund',
  'currency',
  'payer_total',
  'payer_refund',
  'settlement_total',
  'settlement_refund',
  'discount_refund',
  'refund_fee',
] as const;
const MAX_ID_CHARS = 64;

export function publicFields(fields: Record<string, unknown>): Record<string, unknown> {
  const kept = pick(fields, PUBLIC_FIELDS);
  if (isRecord(fields.amount)) kept.amount = pick(fields.amount, PUBLIC_AMOUNTS);
  return kept;
}

function pick(fields: Record<string, unknown>, names: readonly string[]): Record<string, unknown> {
  const kept: Record<string, unknown> = {};
  for (const name of names) {
    const value = fields[name];
    if (typeof value === 'string') kept[name] = value.slice(0, MAX_ID_CHARS);
    else if (typeof value === 'number') kept[name] = value;
  }
  return kept;
}

function isId(value: unknown): value is string {
  return typeof value === 'string' && value.length > 0 && value.length <= MAX_ID_CHARS;
}

function idOf(value: unknown): string | null {
  return isId(value) ? value : null;
}

function isMinor(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value > 0;
}

function isCurrency(value: unknown): value is string {
  return typeof value === 'string' && /^[A-Z]{3}$/.test(value);
}

/** RFC 3339 with its offset written out (gateways.md §0.3); a text without one would be read in this machine's time zone. */
function timeOf(value: unknown): Date | null {
  if (typeof value !== 'string' || !/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/.test(value))
    return null;
  const time = new Date(value);
  return Number.isNaN(time.getTime()) ? null : time;
}
