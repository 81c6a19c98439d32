import { createHmac, timingSafeEqual } from 'node:crypto';

/** HMAC-SHA256 over the raw bytes, lower-case hex: what arrived is verified before it is parsed, and never what a parser made of it. */
export function sign(body: Buffer | string, key: string): string {
  return createHmac('sha256', key).update(body).digest('hex');
}

export function isGenuine(body: Buffer, signature: string | undefined, key: string): boolean {
  if (signature === undefined || !/^[0-9a-f]{64}$/.test(signature)) return false;
  return timingSafeEqual(Buffer.from(signature, 'hex'), Buffer.from(sign(body, key), 'hex'));
}
