import { isLoopbackUrl } from '../http.js';
import { paramError, type WechatRefusal } from './wechat.error.js';
import type { WechatCreate } from './wechat.ledger.js';

export interface AbnormalBody {
  outRefundNo: string;
  type: 'USER_BANK_CARD' | 'MERCHANT_BANK_CARD';
  bankAccount: string | undefined;
  realName: string | undefined;
}

type Members = Readonly<Record<string, unknown>>;

const REFUND_NO = /^[0-9A-Za-z_\-|*@]{1,64}$/;
const TRADE_NO = /^[0-9A-Za-z_\-|*@]{6,32}$/;
const MAX_FEN = 100_000_000_00;
const KNOWN = [
  'transaction_id',
  'out_trade_no',
  'out_refund_no',
  'reason',
  'notify_url',
  'funds_account',
  'amount',
  'goods_detail',
];

export function isRefundNo(text: string): boolean {
  return REFUND_NO.test(text);
}

/**
 * @param subMchId of a service provider's request.
 * @throws WechatRefusal 400 PARAM_ERROR naming the first member that is wrong.
 */
export function parseCreate(raw: Buffer, subMchId?: string): WechatCreate {
  const body = parseJson(raw);
  checkSubMerchant(body.sub_mchid, subMchId, '/sub_mchid');
  const outRefundNo = text(body, '/out_refund_no', 64, REFUND_NO);
  if (outRefundNo === undefined) throw missing('/out_refund_no');
  const transactionId = text(body, '/transaction_id', 32, /^[0-9A-Za-z]+$/);
  const outTradeNo = text(body, '/out_trade_no', 32, TRADE_NO);
  if (transactionId === undefined && outTradeNo === undefined) throw missing('/out_trade_no');
  text(body, '/reason', 80);
  const notifyUrl = text(body, '/notify_url', 256);
  if (notifyUrl !== undefined) {
    const fault = notifyUrlFault(notifyUrl);
    if (fault !== undefined) throw paramError('/notify_url', notifyUrl, fault);
  }
  oneOf(body, '/funds_account', ['AVAILABLE', 'UNSETTLED']);

  const amount = body.amount;
  if (!isObject(amount)) throw paramError('/amount', amount, 'must be an object');
  const refund = fen(amount, '/amount/refund', 1);
  const total = fen(amount, '/amount/total', 1);
  const currency = text(amount, '/amount/currency', 16);
  if (currency === undefined) throw missing('/amount/currency');
  if (currency !== 'CNY') throw paramError('/amount/currency', currency, 'Currency code is invalid');
  if (refund > total) throw paramError('/amount/refund', refund, 'must not be more than /amount/total');
  checkFunding(amount.from, refund);
  checkGoods(body.goods_detail);
  checkWrittenIntegers(raw.toString('utf8'));

  const content = JSON.stringify(KNOWN.map((name) => sorted(body[name])));
  return { outRefundNo, outTradeNo, transactionId, refund, total, currency, notifyUrl, content };
}

/** Whose refund it is: a direct merchant names nobody, a service provider its sub-merchant. */
export function checkSubMerchant(given: unknown, wanted: string | undefined, field: string): void {
  if (given === undefined && wanted === undefined) return;
  const location = field.startsWith('/') ? 'body' : 'url';
  if (wanted === undefined) throw paramError(field, given, 'is for partners, this is a direct merchant', location);
  if (given !== wanted) throw paramError(field, given, 'must name the sub-merchant of this partner', location);
}

/** @throws WechatRefusal 400 PARAM_ERROR. Encrypted members are returned as they came. */
export function parseAbnormal(raw: Buffer, subMchId?: string): AbnormalBody {
  const body = parseJson(raw);
  checkSubMerchant(body.sub_mchid, subMchId, '/sub_mchid');
  const outRefundNo = text(body, '/out_refund_no', 64, REFUND_NO);
  if (outRefundNo === undefined) throw missing('/out_refund_no');
  const type = oneOf(body, '/type', ['USER_BANK_CARD', 'MERCHANT_BANK_CARD']);
  if (type === undefined) throw missing('/type');
  const bankType = text(body, '/bank_type', 16);
  const bankAccount = text(body, '/bank_account', 1024);
  const realName = text(body, '/real_name', 1024);
  if (type === 'USER_BANK_CARD') {
    if (bankType === undefined) throw missing('/bank_type');
    if (bankAccount === undefined) throw missing('/bank_account');
    if (realName === undefined) throw missing('/real_name');
  }
  return { outRefundNo, type, bankAccount, realName };
}

/** https anywhere, or http on this machine (which the real platform has no use for); never with a query. */
export function notifyUrlFault(value: string): string | undefined {
  if (value.length < 8) return 'must have 8 to 256 characters';
  let url: URL;
  try {
    url = new URL(value);
  } catch {
    // Not a URL at all: said below in the platform's way, like every other fault of this member.
    return 'must be an absolute URL';
  }
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && isLoopbackUrl(url)))
    return 'must be https (http on the loopback interface only)';
  if (value.includes('?')) return 'must not carry a query';
  if (value.includes('#')) return 'must not carry a fragment';
  return undefined;
}

function parseJson(raw: Buffer): Members {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(raw));
  } catch {
    // Bad UTF-8 or bad JSON: one answer for both, and the body is not repeated in it.
    throw paramError('/', null, 'the body is not JSON in UTF-8');
  }
  if (!isObject(value)) throw paramError('/', null, 'the body must be a JSON object');
  return value;
}

function text(members: Members, pointer: string, maxLength: number, pattern?: RegExp): string | undefined {
  const value = members[lastSegment(pointer)];
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'string') throw paramError(pointer, value, 'must be a string');
  const length = [...value].length;
  if (length === 0 || length > maxLength) throw paramError(pointer, value, `must have 1 to ${maxLength} characters`);
  if (pattern && !pattern.test(value)) throw paramError(pointer, value, `must match ${pattern.source}`);
  if (/[\u{10000}-\u{10ffff}]/u.test(value))
    throw paramError(pointer, value, 'must not contain characters of four bytes');
  return value;
}

function fen(members: Members, pointer: string, min: number): number {
  const value = members[lastSegment(pointer)];
  if (value === undefined || value === null) throw missing(pointer);
  if (typeof value !== 'number' || !Number.isSafeInteger(value)) throw paramError(pointer, value, 'must be an integer');
  if (value < min || value > MAX_FEN) throw paramError(pointer, value, `must be ${min} to ${MAX_FEN}`);
  return value;
}

function oneOf<Value extends string>(members: Members, pointer: string, values: readonly Value[]): Value | undefined {
  const value = members[lastSegment(pointer)];
  if (value === undefined || value === null) return undefined;
  const found = values.find((candidate) => candidate === value);
  if (found === undefined) throw paramError(pointer, value, `must be one of ${values.join(', ')}`);
  return found;
}

function checkFunding(from: unknown, refund: number): void {
  if (from === undefined || from === null) return;
  if (!Array.isArray(from)) throw paramError('/amount/from', from, 'must be an array');
  let sum = 0;
  for (const [index, part] of from.entries()) {
    if (!isObject(part)) throw paramError(`/amount/from/${index}`, part, 'must be an object');
    if (oneOf(part, `/amount/from/${index}/account`, ['AVAILABLE', 'UNAVAILABLE']) === undefined)
      throw missing(`/amount/from/${index}/account`);
    sum += fen(part, `/amount/from/${index}/amount`, 1);
  }
  if (from.length > 0 && sum !== refund) throw paramError('/amount/from', sum, 'must add up to /amount/refund');
}

function checkGoods(goods: unknown): void {
  if (goods === undefined || goods === null) return;
  if (!Array.isArray(goods)) throw paramError('/goods_detail', goods, 'must be an array');
  for (const [index, item] of goods.entries()) {
    const pointer = `/goods_detail/${index}`;
    if (!isObject(item)) throw paramError(pointer, item, 'must be an object');
    if (text(item, `${pointer}/merchant_goods_id`, 32) === undefined) throw missing(`${pointer}/merchant_goods_id`);
    text(item, `${pointer}/wechatpay_goods_id`, 32);
    text(item, `${pointer}/goods_name`, 256);
    fen(item, `${pointer}/unit_price`, 0);
    fen(item, `${pointer}/refund_amount`, 0);
    fen(item, `${pointer}/refund_quantity`, 1);
  }
}

/** JSON.parse makes 100 of 100.0 and of 1e2; the platform's integers are integers as written. It knows no other numbers. */
function checkWrittenIntegers(content: string): void {
  for (const [, name, written] of content.matchAll(/"([a-z_]+)"\s*:\s*(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)/g)) {
    if (name === undefined || written === undefined || !/[.eE]/.test(written)) continue;
    throw paramError(
      name === 'refund' || name === 'total' ? `/amount/${name}` : `/${name}`,
      written,
      'must be an integer',
    );
  }
}

function missing(pointer: string): WechatRefusal {
  return paramError(pointer, null, 'is missing');
}

function lastSegment(pointer: string): string {
  return pointer.slice(pointer.lastIndexOf('/') + 1);
}

function isObject(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The same value with the members of every object in alphabetical order: the order they came in is no content. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (!isObject(value)) return value ?? null;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([left], [right]) => (left < right ? -1 : 1))
      .map(([name, member]) => [name, sorted(member)]),
  );
}
