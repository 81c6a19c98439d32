import type { KeyRing } from '../keys.js';
import { randomInt } from 'node:crypto';

export interface StripeKeys {
  secretKey: string;
  webhookSecret: string;
  /** Nobody's secret: signs what must be refused. */
  rogueSecret: string;
  accountId: string;
}

const ALPHANUMERICS = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

export function openStripeKeys(ring: KeyRing): StripeKeys {
  return {
    secretKey: ring.text('stripe.secretKey', () => `sk_test_${randomAlphanumerics(40)}`),
    webhookSecret: ring.text('stripe.webhookSecret', () => `whsec_${randomAlphanumerics(32)}`),
    rogueSecret: ring.text('stripe.rogueSecret', () => `whsec_${randomAlphanumerics(32)}`),
    accountId: ring.text('stripe.accountId', () => `acct_1${randomAlphanumerics(15)}`),
  };
}

export function randomAlphanumerics(length: number): string {
  let text = '';
  for (let index = 0; index < length; index += 1) text += ALPHANUMERICS.charAt(randomInt(ALPHANUMERICS.length));
  return text;
}
