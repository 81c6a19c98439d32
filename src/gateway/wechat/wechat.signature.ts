import { verify } from 'node:crypto';

import type { PlatformKeys } from './wechat.platform-keys.js';

/** gateways.md §1.4. */
export const MAX_CLOCK_OFFSET_S = 300;

/** What WeChat Pay signs alike in answers and callbacks: the body as received, and its signature headers. */
export interface SignedByPlatform {
  timestamp: string;
  nonce: string;
  serial: string;
  signature: string;
  body: Buffer;
}

export type SignatureFault =
  'incomplete' | 'timestampForm' | 'timestampOffset' | 'nonceForm' | 'unknownKey' | 'expiredKey' | 'wrong';

/**
 * Over the bytes as received: decoding them first would let other bytes pass as the same text. WeChat Pay's signature probes
 * (`WECHATPAY/SIGNTEST/…`) need no rule of their own: their signature is wrong.
 *
 * @returns undefined when the signature is right.
 */
export function signatureFault(message: SignedByPlatform, keys: PlatformKeys, at: Date): SignatureFault | undefined {
  const { timestamp, nonce, serial, signature, body } = message;
  if (!timestamp || !nonce || !serial || !signature) return 'incomplete';
  if (!/^\d{1,12}$/.test(timestamp)) return 'timestampForm';
  if (Math.abs(Math.floor(at.getTime() / 1000) - Number(timestamp)) > MAX_CLOCK_OFFSET_S) return 'timestampOffset';
  // A line break in the nonce could shift bytes between nonce and body under the same signature.
  if (!/^[\x21-\x7e]{1,128}$/.test(nonce)) return 'nonceForm';
  const known = keys.find(serial, at);
  if (known === 'unknown') return 'unknownKey';
  if (known === 'expired') return 'expiredKey';
  const signed = Buffer.concat([Buffer.from(`${timestamp}\n${nonce}\n`), body, Buffer.from('\n')]);
  return verify('RSA-SHA256', signed, known, Buffer.from(signature, 'base64')) ? undefined : 'wrong';
}
