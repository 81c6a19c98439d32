import { createHash, createHmac } from 'node:crypto';

/** A JSON number with exactly these characters: `1.10`, `1e400`, 400 digits. */
export class Digits {
  constructor(readonly text: string) {}
}

/** A message as a client writes it. What is undefined is not written at all. */
export type Wire = string | number | bigint | boolean | null | undefined | Digits | Wire[] | { [name: string]: Wire };
export type Fields = Record<string, Wire>;

export type Dialect = 'daxpay-v2' | 'daxpay-v3';
export type DigestType = 'MD5' | 'HMAC_SHA256' | 'SM3';

/** JSON in which a bigint is a bare integer, as the Java SDK writes its `Long`. */
export function toJson(value: Wire): string {
  if (value instanceof Digits) return value.text;
  if (typeof value === 'bigint') return value.toString();
  if (Array.isArray(value)) return `[${value.map((item) => toJson(item)).join(',')}]`;
  if (typeof value === 'object' && value !== null) {
    const members = Object.entries(value).filter(([, member]) => member !== undefined);
    return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${toJson(member)}`).join(',')}}`;
  }
  return JSON.stringify(value);
}

/**
 * The string to sign, from the published rules (wire-protocol §3) and not from the service's code, so that a fault in the
 * service's signatures shows. Enough for what tests send: nested texts hold no character that JSON escapes.
 */
export function signText(fields: Fields, secret: string, dialect: Dialect = 'daxpay-v2'): string {
  const pairs = Object.keys(fields)
    .filter((name) => name.toLowerCase() !== 'sign' && !isSkipped(fields[name]))
    .sort()
    .map((name) => `${name}=${textOf(fields[name], dialect)}`.replace(/["\\]/g, ''));
  const text = `${pairs.join('&')}&key=${secret}`;
  return dialect === 'daxpay-v3' ? text.toUpperCase() : text;
}

export function digest(type: DigestType, text: string, secret: string): string {
  if (type === 'HMAC_SHA256') return createHmac('sha256', secret).update(text).digest('hex');
  return createHash(type === 'MD5' ? 'md5' : 'sm3')
    .update(text)
    .digest('hex');
}

function isSkipped(value: Wire): boolean {
  return value === null || value === undefined || (Array.isArray(value) && value.length === 0);
}

function textOf(value: Wire, dialect: Dialect): string {
  if (value instanceof Digits) return value.text;
  if (Array.isArray(value)) {
    const items = value.filter((item) => item !== null && item !== undefined);
    return `[${items.map((item) => textOf(item, dialect)).join(',')}]`;
  }
  if (typeof value === 'object' && value !== null) {
    const members = Object.entries(value).filter(([, member]) => !isSkipped(member));
    if (dialect === 'daxpay-v2') members.sort(([left], [right]) => (left.toLowerCase() < right.toLowerCase() ? -1 : 1));
    return `{${members.map(([name, member]) => `${name}:${textOf(member, dialect)}`).join(',')}}`;
  }
  return String(value);
}
