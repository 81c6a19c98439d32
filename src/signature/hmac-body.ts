import { createHmac, hash, timingSafeEqual } from 'node:crypto';
import { requireSecret } from './digest.js';

/**
 * Headers of the scheme `hmac-body` (wire-protocol §3): `X-App-Id`, `X-Timestamp`, `X-Nonce`, `X-Signature`. In lower
 * case because Node.js gives the names of incoming headers so, and HTTP ignores their case.
 */
export const APP_ID_HEADER = 'x-app-id';
export const TIMESTAMP_HEADER = 'x-timestamp';
export const NONCE_HEADER = 'x-nonce';
export const SIGNATURE_HEADER = 'x-signature';

/** What the signature binds: the route and the exact bytes, which the two dialects of the SDK leave open. */
export interface HmacBodyParts {
  /** `POST`; signed in upper case. */
  method: string;
  /** As the client wrote it in the request line, a doubled slash included. */
  path: string;
  appId: string;
  /** Seconds since 1970, 10 digits. Whether it is recent is the caller's to judge. */
  timestamp: string;
  /** 8 to 64 of `A-Z a-z 0-9 _ -`. Whether it was used before is the caller's to judge. */
  nonce: string;
  /** The raw body before decompression or parsing; empty if there is none. */
  body: Uint8Array;
}

const TIMESTAMP = /^\d{10}$/;
const NONCE = /^[A-Za-z0-9_-]{8,64}$/;
const HEX_64 = /^[0-9a-f]{64}$/;

/** Whether the text has the shape of an `X-Timestamp`. */
export function isTimestamp(text: string): boolean {
  return TIMESTAMP.test(text);
}

/** Whether the text has the shape of an `X-Nonce`. */
export function isNonce(text: string): boolean {
  return NONCE.test(text);
}

/**
 * The string to sign: METHOD, path, app id, timestamp, nonce and the lower-case hex SHA-256 of the body, each ended by
 * `\n`.
 *
 * @throws {TypeError} when a part is malformed or holds a line break, which could pass one part off as two.
 */
export function hmacBodyString(parts: HmacBodyParts): string {
  const fault = faultOf(parts);
  if (fault !== undefined) throw new TypeError(fault);
  return joined(parts);
}

/**
 * @returns HMAC-SHA256 of `hmacBodyString`, 64 characters of lower-case hex.
 * @throws {TypeError} as `hmacBodyString`.
 * @throws {SignatureConfigError} when the secret is empty.
 */
export function signHmacBody(secret: string, parts: HmacBodyParts): string {
  requireSecret(secret);
  return createHmac('sha256', secret).update(hmacBodyString(parts)).digest('hex');
}

/**
 * Compares in constant time. Parts and signature come from a stranger, so a malformed one is false and not an error.
 *
 * @throws {SignatureConfigError} when the secret is empty.
 */
export function verifyHmacBody(secret: string, parts: HmacBodyParts, signature: string): boolean {
  requireSecret(secret);
  if (!HEX_64.test(signature) || faultOf(parts) !== undefined) return false;
  const actual = createHmac('sha256', secret).update(joined(parts)).digest();
  return timingSafeEqual(actual, Buffer.from(signature, 'hex'));
}

function faultOf({ method, path, appId, timestamp, nonce }: HmacBodyParts): string | undefined {
  if (!isTimestamp(timestamp)) return 'the timestamp must be 10 digits';
  if (!isNonce(nonce)) return 'the nonce must be 8 to 64 of A-Z a-z 0-9 _ -';
  if (method === '' || path === '' || appId === '') return 'method, path and app id must not be empty';
  if (`${method}${path}${appId}`.includes('\n')) return 'method, path and app id must not hold a line break';
  return undefined;
}

function joined({ method, path, appId, timestamp, nonce, body }: HmacBodyParts): string {
  return `${method.toUpperCase()}\n${path}\n${appId}\n${timestamp}\n${nonce}\n${hash('sha256', body, 'hex')}\n`;
}
