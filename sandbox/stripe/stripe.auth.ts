import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { StripeRefusal } from './stripe.error.js';
import type { StripeKeys } from './stripe.keys.js';

const API_VERSION = /^\d{4}-\d\d-\d\d(\.[a-z_]+)?$/;

/** @throws StripeRefusal 401 or 403 when the request does not come from the merchant, 400 when it pins no API version. */
export function authenticate(headers: IncomingHttpHeaders, keys: StripeKeys): void {
  const key = keyIn(headers.authorization);
  if (key === undefined) {
    throw new StripeRefusal(
      401,
      "You did not provide an API key. You need to provide your API key in the Authorization header, using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY').",
    );
  }
  if (key.startsWith('pk_')) {
    throw new StripeRefusal(
      401,
      'This API call cannot be made with a publishable API key. Please use a secret API key.',
      {
        code: 'secret_key_required',
      },
    );
  }
  if (!isSame(key, keys.secretKey)) throw new StripeRefusal(401, `Invalid API Key provided: ${starred(key)}`);
  const account = headers['stripe-account'];
  if (account !== undefined && account !== keys.accountId) {
    throw new StripeRefusal(
      403,
      `The provided key '${starred(key)}' does not have access to account '${String(account).slice(0, 64)}' (or that account does not exist).`,
      { code: 'account_invalid' },
    );
  }
  const version = headers['stripe-version'];
  // The real one takes the account's own default then; here that is a client which forgot to pin it.
  if (version === undefined)
    throw new StripeRefusal(400, 'Stripe-Version is missing: the sandbox wants the API version to be pinned.');
  if (!API_VERSION.test(String(version)))
    throw new StripeRefusal(400, `Invalid Stripe API version: ${String(version).slice(0, 40)}.`);
}

/** Bearer, or Basic with the key as user. */
function keyIn(authorization: string | undefined): string | undefined {
  const [, scheme, value] = /^(Bearer|Basic)\s+(\S+)$/i.exec(authorization ?? '') ?? [];
  if (scheme === undefined || value === undefined) return undefined;
  return scheme.toLowerCase() === 'bearer' ? value : Buffer.from(value, 'base64').toString('utf8').split(':', 1)[0];
}

function isSame(left: string, right: string): boolean {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(left), digest(right));
}

/** As the real one repeats a key that it refuses. */
function starred(key: string): string {
  return key.length <= 12 ? '****' : `${key.slice(0, 8)}${'*'.repeat(key.length - 12)}${key.slice(-4)}`;
}
