import { isRefundNo, notifyUrlFault } from '../wechat/wechat.body.js';
import type { WechatCreate } from '../wechat/wechat.ledger.js';
import { BusinessRefusal, MessageFault } from './wechat-v2.error.js';

type Members = Readonly<Record<string, string>>;

const TRADE_NO = /^[0-9A-Za-z_\-|*@]{1,32}$/;
const TRANSACTION_ID = /^[0-9A-Za-z]{1,32}$/;
const MAX_FEN = 100_000_000_00;
const OF_CONTENT = [
  'transaction_id',
  'out_trade_no',
  'out_refund_no',
  'total_fee',
  'refund_fee',
  'refund_fee_type',
  'refund_desc',
  'refund_account',
  'notify_url',
];

/** @throws MessageFault, BusinessRefusal naming the parameter that is wrong. */
export function parseCreate(members: Members): WechatCreate {
  const { transaction_id: transactionId, out_trade_no: outTradeNo, notify_url: notifyUrl } = members;
  const outRefundNo = members.out_refund_no ?? '';
  if (outRefundNo === '') throw new MessageFault('缺少参数out_refund_no');
  if (!isRefundNo(outRefundNo)) throw new BusinessRefusal('PARAM_ERROR', 'out_refund_no参数格式有误');
  if (!transactionId && !outTradeNo) throw new MessageFault('transaction_id和out_trade_no不能同时为空');
  if (transactionId && !TRANSACTION_ID.test(transactionId))
    throw new BusinessRefusal('INVALID_TRANSACTIONID', '无效transaction_id');
  if (outTradeNo && !TRADE_NO.test(outTradeNo)) throw new BusinessRefusal('PARAM_ERROR', 'out_trade_no参数格式有误');
  const total = fen(members, 'total_fee');
  const refund = fen(members, 'refund_fee');
  if (refund > total) throw new MessageFault('invalid refund_fee');
  const currency = members.refund_fee_type ?? 'CNY';
  if (currency !== 'CNY') throw new BusinessRefusal('PARAM_ERROR', 'refund_fee_type不支持');
  if ([...(members.refund_desc ?? '')].length > 80) throw new BusinessRefusal('PARAM_ERROR', 'refund_desc参数长度有误');
  if (
    members.refund_account !== undefined &&
    !['REFUND_SOURCE_UNSETTLED_FUNDS', 'REFUND_SOURCE_RECHARGE_FUNDS'].includes(members.refund_account)
  )
    throw new BusinessRefusal('PARAM_ERROR', 'refund_account参数格式有误');
  if (notifyUrl) {
    const fault = notifyUrl.length > 256 ? 'must have 8 to 256 characters' : notifyUrlFault(notifyUrl);
    if (fault !== undefined) throw new BusinessRefusal('PARAM_ERROR', `notify_url ${fault}`);
  }
  return {
    outRefundNo,
    outTradeNo: outTradeNo ? outTradeNo : undefined,
    transactionId: transactionId ? transactionId : undefined,
    refund,
    total,
    currency,
    notifyUrl: notifyUrl ? notifyUrl : undefined,
    content: JSON.stringify(OF_CONTENT.map((name) => members[name] ?? null)),
  };
}

/** By which number a query asks; the first of these that is there wins. */
export const QUERY_BY = ['refund_id', 'out_refund_no', 'transaction_id', 'out_trade_no'] as const;
export type QueryBy = (typeof QUERY_BY)[number];

/** @throws MessageFault */
export function parseQuery(members: Members): { by: QueryBy; no: string; offset: number } {
  const by = QUERY_BY.find((name) => members[name]);
  const no = by && members[by];
  if (!by || !no) throw new MessageFault('订单号不能为空');
  if (by === 'out_refund_no' && !isRefundNo(no)) throw new BusinessRefusal('PARAM_ERROR', 'out_refund_no参数格式有误');
  const offset = members.offset ?? '0';
  if (!/^\d{1,6}$/.test(offset)) throw new BusinessRefusal('PARAM_ERROR', 'offset参数格式有误');
  return { by, no, offset: Number(offset) };
}

/** Whole fen as digits: `1.00`, `1e2` and ` 1` are not. */
function fen(members: Members, name: string): number {
  const text = members[name];
  if (text === undefined || text === '') throw new MessageFault(`缺少参数${name}`);
  if (!/^[1-9]\d{0,12}$/.test(text) || Number(text) > MAX_FEN) throw new MessageFault(`invalid ${name}`);
  return Number(text);
}
