import { parseBeijingTime } from '../beijing-time.js';
import type { Observation, RawAnswer } from '../observation.js';
import { echoedIdentity, merchantIdOf } from '../wechat-pay.js';
import type { WechatV2Config } from './wechat-v2.config.js';
import type { XmlFields } from './wechat-v2.xml.js';

/** What `refund_status` means (gateways.md §2.3). NOTSURE is of old documents: the same refund is to be sent again, so it is open. */
export const WECHAT_V2_STATUS = {
  SUCCESS: 'success',
  REFUNDCLOSE: 'failed',
  PROCESSING: 'processing',
  CHANGE: 'abnormal',
  NOTSURE: 'processing',
} as const;

type StatusKind = (typeof WECHAT_V2_STATUS)[keyof typeof WECHAT_V2_STATUS];

/** A status that we do not know ends nothing: the refund is asked again, and the raw status is kept. */
export function kindOfStatus(status: string): StatusKind {
  return Object.hasOwn(WECHAT_V2_STATUS, status)
    ? WECHAT_V2_STATUS[status as keyof typeof WECHAT_V2_STATUS]
    : 'processing';
}

/** A refund as queries and callbacks carry it, read and checked. */
export interface WechatV2Refund {
  status: string;
  /** Fen. Null when it is absent or no such number. */
  amountMinor: number | null;
  /** Of the refund, else of the payment; CNY where neither is said. */
  currency: string;
  outRefundNo: string;
  refundId: string | null;
  outTradeNo: string | null;
  transactionId: string | null;
  finishedAt: Date | null;
  kept: Record<string, string>;
}

/** Far more refunds than one payment can have. */
const MAX_INDEX = 100;
const MAX_ID_CHARS = 64;
const CURRENCY = 'CNY';

/**
 * Finds our refund in the answer to a query, whose fields have an index each. A query by our number has one; an answer that lists others
 * besides is read all the same.
 *
 * @returns the refund, or the name of the first field that is missing or not of its documented form: nothing is guessed.
 */
export function readQueried(fields: XmlFields, outRefundNo: string): WechatV2Refund | { badField: string } {
  let index = 0;
  while (index < MAX_INDEX && fields.get(`out_refund_no_${index}`) !== outRefundNo) index += 1;
  if (index === MAX_INDEX) return { badField: 'out_refund_no_0' };
  return readRefund(
    fields,
    { status: `refund_status_${index}`, time: `refund_success_time_${index}`, suffix: `_${index}` },
    outRefundNo,
  );
}

/** The refund of a callback: the same fields without an index. */
export function readNotified(fields: XmlFields): WechatV2Refund | { badField: string } {
  const outRefundNo = fields.get('out_refund_no');
  if (!isId(outRefundNo)) return { badField: 'out_refund_no' };
  return readRefund(fields, { status: 'refund_status', time: 'success_time', suffix: '' }, outRefundNo);
}

function readRefund(
  fields: XmlFields,
  names: { status: string; time: string; suffix: string },
  outRefundNo: string,
): WechatV2Refund | { badField: string } {
  const status = fields.get(names.status);
  if (!isId(status)) return { badField: names.status };
  const amountName = `refund_fee${names.suffix}`;
  const amountMinor = fenOf(fields.get(amountName));
  if (kindOfStatus(status) === 'success' && amountMinor === null) return { badField: amountName };
  const currency = fields.get(`refund_fee_type${names.suffix}`) ?? fields.get('fee_type') ?? CURRENCY;
  if (!/^[A-Z]{3}$/.test(currency)) return { badField: 'fee_type' };
  return {
    status,
    amountMinor,
    currency,
    outRefundNo,
    refundId: idIn(fields, `refund_id${names.suffix}`),
    outTradeNo: idIn(fields, 'out_trade_no'),
    transactionId: idIn(fields, 'transaction_id'),
    finishedAt: parseBeijingTime(fields.get(names.time) ?? null),
    kept: kept(fields, names),
  };
}

/** Says in our words what a refund says. @param authenticated whether it is proven to come from WeChat Pay. */
export function observe(
  refund: WechatV2Refund,
  { authenticated, merchantId, more }: { authenticated: boolean; merchantId?: string; more?: Record<string, string> },
): Observation {
  const base = {
    authenticated,
    identity: echoedIdentity(refund, merchantId),
    raw: { code: refund.status, message: '', body: { ...refund.kept, ...more } } satisfies RawAnswer,
  };
  const gatewayRefundNo = refund.refundId;
  const kind = kindOfStatus(refund.status);
  switch (kind) {
    case 'success':
      // readRefund lets no success through without its amount; were it to, "processing" asks again.
      if (refund.amountMinor === null) return { ...base, kind: 'processing', gatewayRefundNo };
      return {
        ...base,
        kind,
        amountMinor: refund.amountMinor,
        currency: refund.currency,
        gatewayRefundNo,
        finishedAt: refund.finishedAt,
      };
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

/** An accepted create: WeChat Pay has the refund and says no more of it (gateways.md §2.2). */
export function observeAccepted(fields: XmlFields, config: WechatV2Config): Observation | { badField: string } {
  const outRefundNo = fields.get('out_refund_no');
  if (!isId(outRefundNo)) return { badField: 'out_refund_no' };
  const refund: WechatV2Refund = {
    status: 'ACCEPTED',
    amountMinor: null,
    currency: CURRENCY,
    outRefundNo,
    refundId: idIn(fields, 'refund_id'),
    outTradeNo: idIn(fields, 'out_trade_no'),
    transactionId: idIn(fields, 'transaction_id'),
    finishedAt: null,
    kept: kept(fields, { status: 'result_code', time: '', suffix: '' }),
  };
  return observe(refund, { authenticated: true, ...echoedMerchant(fields, config) });
}

/** Whose refund a message says it is; nothing when it does not say. */
export function echoedMerchant(fields: XmlFields, config: WechatV2Config): { merchantId?: string } {
  const mchId = fields.get('mch_id');
  if (mchId === undefined) return {};
  return { merchantId: merchantIdOf(mchId.slice(0, 32), fields.get('sub_mch_id')?.slice(0, 32) ?? config.subMchId) };
}

/**
 * What is kept as evidence. A list of what may stay, so that a field which WeChat Pay adds tomorrow is dropped: `refund_recv_accout` is
 * personal, coupons are long.
 */
const OF_PAYMENT = [
  'mch_id',
  'sub_mch_id',
  'out_trade_no',
  'transaction_id',
  'total_fee',
  'settlement_total_fee',
  'fee_type',
];
const OF_REFUND = [
  'out_refund_no',
  'refund_id',
  'refund_channel',
  'refund_fee',
  'settlement_refund_fee',
  'coupon_refund_fee',
  'coupon_refund_count',
  'refund_account',
  'refund_request_source',
];

function kept(fields: XmlFields, { status, time, suffix }: { status: string; time: string; suffix: string }) {
  const names = [...OF_PAYMENT, ...OF_REFUND.map((name) => `${name}${suffix}`), status, time];
  const entries = names.flatMap((name) => {
    const value = fields.get(name);
    return value === undefined || value === '' ? [] : [[name, value.slice(0, MAX_ID_CHARS)] as const];
  });
  return Object.fromEntries(entries);
}

function isId(value: string | undefined): value is string {
  return value !== undefined && value.length > 0 && value.length <= MAX_ID_CHARS;
}

function idIn(fields: XmlFields, name: string): string | null {
  const value = fields.get(name);
  return isId(value) ? value : null;
}

/** Whole fen above 0, as digits. */
function fenOf(value: string | undefined): number | null {
  if (value === undefined || !/^[1-9]\d{0,14}$/.test(value)) return null;
  return Number(value);
}
