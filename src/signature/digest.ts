import { createHmac, getHashes, hash } from 'node:crypto';
import type { SignType } from '../shared/sign-type.js';
import type { SignDialect } from './canonical.js';

export { SIGN_TYPES, type SignType } from '../shared/sign-type.js';

/** An app is set up in a way that no signature can be made with. Never the fault of a request. */
export class SignatureConfigError extends Error {
  override readonly name = 'SignatureConfigError';
  readonly code = 'SIGNATURE_CONFIG';
}

/** Whether the dialect knows the digest: SM3 belongs to `daxpay-v3` alone. */
export function isSupported(dialect: SignDialect, type: SignType): boolean {
  return type !== 'SM3' || dialect === 'daxpay-v3';
}

/** @throws {SignatureConfigError} when the secret is empty: anybody could sign with it (rule 10). */
export function requireSecret(secret: string): void {
  if (secret === '') throw new SignatureConfigError('the signing secret is empty');
}

/** @throws {SignatureConfigError} when the dialect does not know the digest. */
export function requireSupported(dialect: SignDialect, type: SignType): void {
  if (!isSupported(dialect, type)) throw new SignatureConfigError(`${type} is not a digest of ${dialect}`);
}

/**
 * The digest of a string to sign, over its UTF-8.
 *
 * @param secret the HMAC key as it was configured, also where the text holds it upper-cased; unused by MD5 and SM3.
 * @returns lower-case hex with leading zeros: 32 characters for MD5, 64 for the others.
 * @throws {SignatureConfigError} for SM3 when this Node.js was built with an OpenSSL without it.
 */
export function digestHex(type: SignType, text: string, secret: string): string {
  switch (type) {
    case 'MD5':
      return hash('md5', text, 'hex');
    case 'HMAC_SHA256':
      return createHmac('sha256', secret).update(text).digest('hex');
    case 'SM3':
      if (!isSm3Available())
        throw new SignatureConfigError('SM3 is not in the OpenSSL of this Node.js; use HMAC_SHA256');
      return hash('sm3', text, 'hex');
  }
}

let sm3Available: boolean | undefined;

/** Asked once: the list has some fifty names and does not change while the process lives. */
function isSm3Available(): boolean {
  sm3Available ??= getHashes().includes('sm3');
  return sm3Available;
}
