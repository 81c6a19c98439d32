import { parseBeijingDigits } from '../beijing-time.js';
import type { EchoedIdentity, Observation, RawAnswer } from '../observation.js';
import { harmless } from '../plain-text.js';

/**
 * What `origRespCode` of a query says of the refund (gateways.md §4.3, §4.4). The documents make every code that is not listed as open a
 * failure; here only those are one whose meaning leaves no doubt. The others (`02`, `12`, `34`, `42`, whatever comes tomorrow) end nothing: a
 * refund that is asked once more is late, one that is given back twice is lost.
 */
export const UNIONPAY_REFUND_CODE = {
  '00': 'success',
  /** Succeeded with a defect (有缺陷的成功): the refund is done, a system behind UnionPay is late. */
  A6: 'success',
  '03': 'processing',
  /** "State unclear, see the reconciliation file". */
  '04': 'processing',
  '05': 'processing',
  '01': 'failed',
  '30': 'failed',
  '31': 'failed',
  '32': 'failed',
  '33': 'failed',
  '35': 'failed',
  '36': 'failed',
  '38': 'failed',
  '39': 'failed',
  '40': 'failed',
  '43': 'failed',
  '44': 'failed',
  '45': 'failed',
  '46': 'failed',
  // The card's bank declines.
  '60': 'failed',
  '61': 'failed',
  '62': 'failed',
  '63': 'failed',
  '64': 'failed',
  '65': 'failed',
  '66': 'failed',
  '67': 'failed',
  '68': 'failed',
  '69': 'failed',
} as const;

type StatusKind = (typeof UNIONPAY_REFUND_CODE)[keyof typeof UNIONPAY_REFUND_CODE];
type Texts = ReadonlyMap<string, string>;

/** A code that we do not know ends nothing: the refund is asked again, and the raw code is kept. */
export function kindOfCode(code: string): StatusKind {
  return Object.hasOwn(UNIONPAY_REFUND_CODE, code)
    ? UNIONPAY_REFUND_CODE[code as keyof typeof UNIONPAY_REFUND_CODE]
    : 'processing';
}

export const MAX_ID_CHARS = 64;
const DEFECTIVE_SUCCESS = 'A6';

/**
 * Says in our words what a proven answer `00` to a query says.
 *
 * @returns the observation, or the name of the first field that is missing or not of its documented form: nothing is guessed.
 */
export function observeQuery(fields: Texts): Observation | { badField: string } {
  const code = fields.get('origRespCode') ?? '';
  if (code === '') return { badField: 'origRespCode' };
  const identity = identityOf(fields);
  const message = harmless(fields.get('origRespMsg') ?? '', 500);
  const raw: RawAnswer = {
    code: code.slice(0, MAX_ID_CHARS),
    message: code === DEFECTIVE_SUCCESS ? `succeeded with a defect: ${message}` : message,
    body: publicFields(fields),
  };
  const base = { authenticated: true, identity, raw, gatewayRefundNo: identity.gatewayRefundNo ?? null };
  const kind = kindOfCode(code);
  switch (kind) {
    case 'success': {
      const amountMinor = amountOf(fields.get('txnAmt'));
      if (amountMinor === null) return { badField: 'txnAmt' };
      return {
        ...base,
        kind,
        amountMinor,
        currency: currencyOf(fields.get('currencyCode')),
        finishedAt: handledAt(fields),
      };
    }
    case 'failed':
      return {
        ...base,
        kind,
        code: raw.code,
        message: message === '' ? 'UnionPay reports the refund as failed.' : message,
      };
    case 'processing':
      return { ...base, kind };
  }
}

/** Says in our words that UnionPay has the refund, and no more: `00` of a create is "accepted", and a callback is a reason to ask. */
export function observeAccepted(fields: Texts): Observation {
  const identity = identityOf(fields);
  return {
    kind: 'processing',
    authenticated: true,
    identity,
    raw: {
      code: (fields.get('respCode') ?? '').slice(0, MAX_ID_CHARS),
      message: harmless(fields.get('respMsg') ?? '', 500),
      body: publicFields(fields),
    },
    gatewayRefundNo: identity.gatewayRefundNo ?? null,
  };
}

export function identityOf(fields: Texts): EchoedIdentity {
  const gatewayRequestNo = idOf(fields.get('orderId'));
  const gatewayRefundNo = idOf(fields.get('queryId'));
  const gatewayPaymentNo = idOf(fields.get('origQryId'));
  const merchantId = idOf(fields.get('merId'));
  return {
    ...(gatewayRequestNo === null ? {} : { gatewayRequestNo }),
    ...(gatewayRefundNo === null ? {} : { gatewayRefundNo }),
    ...(gatewayPaymentNo === null ? {} : { gatewayPaymentNo }),
    ...(merchantId === null ? {} : { merchantId }),
  };
}

function idOf(value: string | undefined): string | null {
  return value !== undefined && value !== '' && value.length <= MAX_ID_CHARS ? value : null;
}

/** What is kept as evidence. A list of what may stay: card numbers (`accNo`), names and certificates have no place in our records. */
const PUBLIC_FIELDS = [
  'respCode',
  'respMsg',
  'origRespCode',
  'origRespMsg',
  'merId',
  'orderId',
  'txnTime',
  'txnType',
  'queryId',
  'origQryId',
  'txnAmt',
  'currencyCode',
  'settleAmt',
  'settleCurrencyCode',
  'settleDate',
  'traceNo',
  'traceTime',
] as const;

export function publicFields(fields: Texts): Record<string, string> {
  const kept: Record<string, string> = {};
  for (const name of PUBLIC_FIELDS) {
    const value = fields.get(name);
    if (value !== undefined && value !== '') kept[name] = harmless(value, 128);
  }
  return kept;
}

/** Fen as digits. */
function amountOf(value: string | undefined): number | null {
  const amount = value !== undefined && /^\d{1,12}$/.test(value) ? Number(value) : 0;
  return amount > 0 ? amount : null;
}

/** ISO 4217 writes "no currency" so; it is never what was asked for, and a person looks at it. */
const UNKNOWN_CURRENCY = 'XXX';

/** Numeric as UnionPay writes it. Absent where it goes without saying: this connector refunds yuan alone. */
function currencyOf(value: string | undefined): string {
  return value === undefined || value === '' || value === '156' ? 'CNY' : UNKNOWN_CURRENCY;
}

/**
 * When UnionPay handled the refund: `traceTime` (MMDDhhmmss, Beijing). Its year is not written; it is that of the request or, around
 * New Year, the next one. When the money arrives (1 to 10 clearing days later) is never said.
 */
function handledAt(fields: Texts): Date | null {
  const sent = fields.get('txnTime') ?? '';
  const traced = fields.get('traceTime') ?? '';
  const sentAt = parseBeijingDigits(sent);
  if (sentAt === null || !/^\d{10}$/.test(traced)) return null;
  const year = Number(sent.slice(0, 4));
  const [first, second] = [year, year + 1].map((candidate) => parseBeijingDigits(`${candidate}${traced}`));
  // The two clocks need not agree to the second.
  const isBefore = first != null && first.getTime() < sentAt.getTime() - 24 * 3_600_000;
  return (isBefore ? second : first) ?? null;
}
