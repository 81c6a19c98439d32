import { createHash, createHmac, timingSafeEqual } from 'node:crypto';

export const SIGN_TYPES = ['MD5', 'HMAC-SHA256'] as const;
export type WechatSignType = (typeof SIGN_TYPES)[number];

/**
 * The signature over every field that has a value, `sign` excepted (gateways.md §2.1): names in ASCII order, raw values, the key at the end,
 * upper-case hex. With HMAC-SHA256 the key is in the text as well.
 */
export function signFields(
  fields: Iterable<readonly [name: string, value: string]>,
  key: string,
  type: WechatSignType,
): string {
  const text = [...fields]
    .filter(([name, value]) => name !== 'sign' && value !== '')
    .sort(([left], [right]) => (left < right ? -1 : left > right ? 1 : 0))
    .map(([name, value]) => `${name}=${value}`)
    .concat(`key=${key}`)
    .join('&');
  const hash = type === 'MD5' ? createHash('md5') : createHmac('sha256', key);
  return hash.update(text, 'utf8').digest('hex').toUpperCase();
}

/** False also without a signature, and for one of another kind than the account's. */
export function isSigned(fields: ReadonlyMap<string, string>, key: string, type: WechatSignType): boolean {
  const expected = Buffer.from(signFields(fields, key, type));
  const given = Buffer.from(fields.get('sign') ?? '');
  return given.length === expected.length && timingSafeEqual(given, expected);
}
