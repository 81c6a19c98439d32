import { isLoopbackUrl } from '../http.js';
import { signedText, verifyText, type Form } from './unionpay.crypto.js';
import { UnionpayRefusal } from './unionpay.error.js';
import type { UnionpayKeys } from './unionpay.keys.js';
import { parseTime } from './unionpay.refund.js';

export interface RefundBody {
  orderId: string;
  txnTime: string;
  amount: number;
  origQryId: string;
  backUrl: string;
}

export interface QueryBody {
  orderId: string;
  txnTime: string;
}

/**
 * How far the time of a new refund may be off. Not documented; an hour lets clocks be wrong and finds a client that writes UTC, which is
 * eight away.
 */
const MAX_TIME_OFFSET_MS = 3_600_000;

/** A form as names and values. @throws UnionpayRefusal 10 when it is no form in UTF-8, or says something twice. */
export function parseForm(body: Buffer, contentType: string | undefined): Form {
  if (!/^application\/x-www-form-urlencoded\s*(;|$)/i.test(contentType ?? '')) throw malformed('content-type');
  const form: Form = {};
  for (const [name, value] of new URLSearchParams(body.toString('utf8'))) {
    if (Object.hasOwn(form, name)) throw malformed(name);
    form[name] = value;
  }
  return form;
}

/** Who calls, and whether the message is as it was signed. @throws UnionpayRefusal */
export function checkMessage(form: Form, keys: UnionpayKeys): void {
  wanted(form, 'version', /^5\.1\.0$/);
  wanted(form, 'encoding', /^utf-8$/i);
  wanted(form, 'signMethod', /^01$/);
  if (wanted(form, 'merId', /^[0-9A-Za-z]{15}$/) !== keys.merId) throw new UnionpayRefusal('31', 'merId');
  if (wanted(form, 'certId', /^\d{1,128}$/) !== keys.certId) throw new UnionpayRefusal('11', 'certId');
  if (!verifyText(signedText(form), wanted(form, 'signature', /^.+$/), keys.merchant.publicKey))
    throw new UnionpayRefusal('11', 'signature');
}

/** @throws UnionpayRefusal 13 naming the first field that is missing, 10 the first one that is wrong. */
export function parseRefund(form: Form, nowMs: number): RefundBody {
  wanted(form, 'txnType', /^04$/);
  wanted(form, 'txnSubType', /^00$/);
  wanted(form, 'bizType', /^\d{6}$/);
  wanted(form, 'accessType', /^0$/);
  wanted(form, 'channelType', /^0[78]$/);
  optional(form, 'currencyCode', /^156$/);
  optional(form, 'reqReserved', /^[^&={}[\]]{1,1024}$/);
  const { orderId, txnTime } = reference(form);
  const sentAtMs = parseTime(txnTime);
  if (sentAtMs === undefined || Math.abs(nowMs - sentAtMs) > MAX_TIME_OFFSET_MS) throw malformed('txnTime');
  const amount = Number(wanted(form, 'txnAmt', /^[1-9]\d{0,11}$/));
  const origQryId = wanted(form, 'origQryId', /^\d{21}$/);
  return { orderId, txnTime, amount, origQryId, backUrl: addressIn(form) };
}

/** @throws UnionpayRefusal 13 naming the first field that is missing, 10 the first one that is wrong. */
export function parseQuery(form: Form): QueryBody {
  wanted(form, 'txnType', /^00$/);
  wanted(form, 'txnSubType', /^00$/);
  wanted(form, 'bizType', /^\d{6}$/);
  wanted(form, 'accessType', /^0$/);
  return reference(form);
}

function reference(form: Form): QueryBody {
  const orderId = wanted(form, 'orderId', /^[0-9A-Za-z]{8,40}$/);
  const txnTime = wanted(form, 'txnTime', /^\d{14}$/);
  if (parseTime(txnTime) === undefined) throw malformed('txnTime');
  return { orderId, txnTime };
}

function addressIn(form: Form): string {
  const text = wanted(form, 'backUrl', /^[\x21-\x7e]{1,256}$/);
  const url = URL.canParse(text) ? new URL(text) : undefined;
  // The real one takes plain http as well; whoever tests against this one should not send refunds in the open.
  if (url === undefined || (url.protocol !== 'https:' && !isLoopbackUrl(url))) throw malformed('backUrl');
  return text;
}

function wanted(form: Form, name: string, pattern: RegExp): string {
  const value = form[name] ?? '';
  if (value === '') throw new UnionpayRefusal('13', name);
  if (!pattern.test(value)) throw malformed(name);
  return value;
}

function optional(form: Form, name: string, pattern: RegExp): void {
  const value = form[name] ?? '';
  if (value !== '' && !pattern.test(value)) throw malformed(name);
}

function malformed(name: string): UnionpayRefusal {
  return new UnionpayRefusal('10', name);
}
