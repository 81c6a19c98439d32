import type { ResolvedApp } from '../merchant/merchant-app.service.js';
import type { JsonObject } from '../shared/lossless-json.js';
import { sign } from './merchant-signature.js';

/** Signs a message to an app the way the app signs its own: its dialect, digest and secret. */
export function signFor(app: ResolvedApp, fields: JsonObject): string {
  // `hmac-body` has no rule of its own for what we write: it is signed as the default dialect does, keyed with HMAC.
  const dialect = app.dialect === 'hmac-body' ? 'daxpay-v2' : app.dialect;
  const signType = app.dialect === 'hmac-body' ? 'HMAC_SHA256' : app.signType;
  return sign({ dialect, signType, secret: app.signSecret, fields });
}

/** The secret that signs, and while it is being rotated the one before it, which still counts. */
export function secretsOf({ signSecret, previousSignSecret }: ResolvedApp): string[] {
  return previousSignSecret === null ? [signSecret] : [signSecret, previousSignSecret];
}
