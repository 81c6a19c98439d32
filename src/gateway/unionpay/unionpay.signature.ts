import { createHash, sign, verify, type KeyObject } from 'node:crypto';

/** Names and values; as text where we send, as bytes in latin1 where they came over the wire. */
export type Fields = ReadonlyMap<string, string>;

/**
 * What a message signs (gateways.md §4.1): every field but `signature` that is not empty, sorted by name, with values as they are;
 * `certId` of requests and `signPubKeyCert` of answers are among them.
 */
export function messageText(fields: Fields): string {
  return [...fields]
    .filter(([name, value]) => name !== 'signature' && value !== '')
    .sort(([left], [right]) => (left < right ? -1 : 1))
    .map(([name, value]) => `${name}=${value}`)
    .join('&');
}

/** Version 5.1.0, `signMethod` 01: RSA PKCS#1 v1.5 with SHA-256 over the SHA-256 of the text, written as lower-case hex. Hashed twice. */
export function signMessage(text: string | Buffer, key: KeyObject): string {
  return sign('RSA-SHA256', digestText(text), key).toString('base64');
}

export function verifyMessage(text: string | Buffer, signature: string, key: KeyObject): boolean {
  return verify('RSA-SHA256', digestText(text), key, Buffer.from(signature, 'base64'));
}

function digestText(text: string | Buffer): Buffer {
  return Buffer.from(createHash('sha256').update(text).digest('hex'));
}

const OPENING = new Set(['{', '[']);
const CLOSING = new Set(['}', ']']);

/**
 * A synchronous answer: `k=v&k=v` that is not URL-encoded (gateways.md §4). Values hold `=` (base64), line breaks (a certificate), and `&`
 * inside `{…}` and `[…]`.
 *
 * @param text bytes as latin1 text: the signature is over bytes.
 * @returns undefined when it is not such a text, or a name comes twice: nobody can say which of the two was signed.
 */
export function readFields(text: string): Map<string, string> | undefined {
  const fields = new Map<string, string>();
  for (const pair of splitPairs(text) ?? []) {
    const equals = pair.indexOf('=');
    const name = pair.slice(0, equals);
    if (equals < 1 || !/^[A-Za-z0-9]{1,64}$/.test(name) || fields.has(name)) return undefined;
    fields.set(name, pair.slice(equals + 1));
  }
  return fields.size === 0 ? undefined : fields;
}

function splitPairs(text: string): string[] | undefined {
  const pairs: string[] = [];
  let depth = 0;
  let start = 0;
  for (let at = 0; at < text.length; at += 1) {
    const character = text.charAt(at);
    if (OPENING.has(character)) depth += 1;
    else if (CLOSING.has(character)) depth -= 1;
    else if (character === '&' && depth === 0) {
      pairs.push(text.slice(start, at));
      start = at + 1;
    }
    if (depth < 0) return undefined;
  }
  if (depth !== 0) return undefined;
  pairs.push(text.slice(start));
  return pairs;
}
