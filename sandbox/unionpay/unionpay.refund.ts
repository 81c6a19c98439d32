import type { RefundRecord, RefundStatus } from '../refund-book.js';
import type { Form } from './unionpay.crypto.js';

const BEIJING_OFFSET_MS = 8 * 3_600_000;

/** `YYYYMMDDhhmmss`, Beijing. */
export function timeText(ms: number): string {
  return new Date(ms + BEIJING_OFFSET_MS).toISOString().slice(0, 19).replace(/\D/g, '');
}

/** @returns milliseconds since the epoch; undefined for what is no time, or a day that the calendar does not have. */
export function parseTime(text: string): number | undefined {
  const [, year, month, day, hour, minute, second] = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)$/.exec(text) ?? [];
  if (second === undefined) return undefined;
  const iso = `${year}-${month}-${day}T${hour}:${minute}:${second}.000Z`;
  const asUtcMs = Date.parse(iso);
  if (Number.isNaN(asUtcMs) || new Date(asUtcMs).toISOString() !== iso) return undefined;
  return asUtcMs - BEIJING_OFFSET_MS;
}

/** What a query says of the refund: `origRespCode` and its text. `abnormal`: no word for it but "see the reconciliation file". */
const ORIG: Readonly<Record<Exclude<RefundStatus, 'notFound'>, readonly [code: string, text: string]>> = {
  success: ['00', '成功[0000000]'],
  processing: ['05', '交易已受理，请稍后查询交易结果[1000005]'],
  abnormal: ['04', '交易状态未明，请查询对账结果[1000004]'],
  failed: ['61', '输入的卡号无效，请确认后输入[1000061]'],
  closed: ['35', '原交易不存在或状态不正确[2040004]'],
};
const DEFECTIVE_SUCCESS = ['A6', '有缺陷的成功[10000A6]'] as const;

export interface RefundView {
  record: RefundRecord;
  status: Exclude<RefundStatus, 'notFound'>;
  sinceMs: number;
  /** A success is told as A6. */
  defective: boolean;
  /** Added to the amounts: the lie of the fault `wrongAmount`. */
  offBy: number;
}

/** What is known of a refund, as answers to queries and notices have it. No merchant system should keep `accNo`. */
function detailsOf({ record, sinceMs, offBy }: RefundView): Form {
  const settled = timeText(sinceMs);
  return {
    queryId: record.gatewayRefundNo ?? '',
    txnAmt: String(record.amount + offBy),
    currencyCode: '156',
    settleAmt: String(record.amount + offBy),
    settleCurrencyCode: '156',
    settleDate: settled.slice(4, 8),
    traceNo: (record.gatewayRefundNo ?? '').slice(-6),
    traceTime: settled.slice(4),
    accNo: '621626*********0018',
  };
}

/** An answer to a query, without what every answer repeats of its request. */
export function queryAnswer(view: RefundView): Form {
  const [code, text] = outcomeOf(view);
  return {
    ...detailsOf(view),
    origRespCode: code,
    origRespMsg: text,
    // What splits at every & and = comes apart here.
    reserved: '{cardType=01&issuer=[a&b]&note=x=y}',
    respCode: '00',
    respMsg: '成功[0000000]',
  };
}

/** A notice, without merchant, version and certificate. @param txnTime of the refund. */
export function noticeOf(view: RefundView, txnTime: string, origQryId: string): Form {
  const [code, text] = outcomeOf(view);
  return {
    ...detailsOf(view),
    orderId: view.record.outRefundNo,
    origQryId,
    respCode: code,
    respMsg: text,
    txnSubType: '00',
    txnTime,
    txnType: '04',
  };
}

function outcomeOf({ status, defective }: RefundView): readonly [string, string] {
  return status === 'success' && defective ? DEFECTIVE_SUCCESS : ORIG[status];
}
