import type { Parameters } from './alipay.auth.js';
import { invalidParameter } from './alipay.error.js';

/** Which payment a request is about; `tradeNo` wins if both are given. */
export interface TradeReference {
  tradeNo: string | undefined;
  outTradeNo: string | undefined;
}

export interface RefundBody extends TradeReference {
  /** Fen. */
  amount: number;
  outRequestNo: string | undefined;
}

export interface QueryBody extends TradeReference {
  outRequestNo: string;
  options: ReadonlySet<string>;
}

type Members = Readonly<Record<string, unknown>>;

const MAX_FEN = 100_000_000_00;

/**
 * The parameters of a call, from the query and, if it is a form, the body: clients place them differently. A name that comes twice counts
 * as it came first.
 */
export function mergeParameters(target: string, body: Buffer, contentType: string | undefined): Map<string, string> {
  const merged = new Map<string, string>();
  const query = target.includes('?') ? target.slice(target.indexOf('?') + 1) : '';
  const isForm = /^application\/x-www-form-urlencoded\s*(;|$)/i.test(contentType ?? '');
  for (const text of [query, isForm ? body.toString('utf8') : '']) {
    for (const [name, value] of new URLSearchParams(text)) if (!merged.has(name)) merged.set(name, value);
  }
  return merged;
}

/** @throws AlipayRefusal ACQ.INVALID_PARAMETER naming the first member that is wrong. */
export function parseRefund(parameters: Parameters): RefundBody {
  const members = parseBizContent(parameters);
  const reference = tradeReference(members);
  const amount = fen(members.refund_amount);
  if (amount === undefined) throw invalidParameter('refund_amount');
  const outRequestNo = text(members, 'out_request_no', 64);
  text(members, 'refund_reason', 256);
  return { ...reference, amount, outRequestNo };
}

/** @throws AlipayRefusal ACQ.INVALID_PARAMETER naming the first member that is wrong. */
export function parseQuery(parameters: Parameters): QueryBody {
  const members = parseBizContent(parameters);
  const reference = tradeReference(members);
  const outRequestNo = text(members, 'out_request_no', 64);
  if (outRequestNo === undefined) throw invalidParameter('退款请求号不能为空');
  const options: unknown = members.query_options ?? [];
  if (!Array.isArray(options) || !options.every((option) => typeof option === 'string'))
    throw invalidParameter('query_options');
  return { ...reference, outRequestNo, options: new Set(options) };
}

function parseBizContent(parameters: Parameters): Members {
  let value: unknown;
  try {
    value = JSON.parse(parameters.get('biz_content') ?? '');
  } catch {
    // Missing, or not JSON: one answer for both, and the text is not repeated in it.
    throw invalidParameter('biz_content');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalidParameter('biz_content');
  return value as Members;
}

function tradeReference(members: Members): TradeReference {
  const tradeNo = text(members, 'trade_no', 64);
  const outTradeNo = text(members, 'out_trade_no', 64);
  if (tradeNo === undefined && outTradeNo === undefined) throw invalidParameter('交易号不能为空');
  return { tradeNo, outTradeNo };
}

function text(members: Members, name: string, maxLength: number): string | undefined {
  const value = members[name];
  if (value === undefined || value === null || value === '') return undefined;
  if (typeof value !== 'string' || [...value].length > maxLength) throw invalidParameter(name);
  return value;
}

/** Yuan with at most two decimals, as a text or a number. */
function fen(value: unknown): number | undefined {
  if (typeof value !== 'string' && typeof value !== 'number') return undefined;
  const [, yuan, fraction = ''] = /^(\d{1,9})(?:\.(\d{1,2}))?$/.exec(String(value)) ?? [];
  if (yuan === undefined) return undefined;
  const amount = Number(`${yuan}${fraction.padEnd(2, '0')}`);
  return amount >= 1 && amount <= MAX_FEN ? amount : undefined;
}
