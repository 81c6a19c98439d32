import { urlFault } from '../config-checks.js';
import type { ConfigSchema } from '../config-schema.js';

export const STRIPE_DEFAULT_BASE_URL = 'https://api.stripe.com';

export interface StripeConfig {
  secretKey: string;
  webhookSecret: string;
  accountId?: string;
  baseUrl?: string;
}

const SECRET_KEY = /^[sr]k_(?:test|live)_[A-Za-z0-9_]{8,250}$/;
const WEBHOOK_SECRET = /^whsec_[A-Za-z0-9+/=_-]{8,250}$/;
const ACCOUNT_ID = /^acct_[A-Za-z0-9]{1,60}$/;
/** During a rotation there are two; more are a mistake. */
const MAX_WEBHOOK_SECRETS = 5;

export const stripeConfig: ConfigSchema<StripeConfig> = {
  secretKey: {
    description:
      'Secret key (sk_…), or a restricted key (rk_…) that may write refunds. Test and live keys see different refunds',
    example: 'rk_live_…',
    required: true,
    secret: true,
    check: secretKeyFault,
  },
  webhookSecret: {
    description:
      'Signing secret of the webhook endpoint (whsec_…); while it is rotated both, with a comma between them',
    example: 'whsec_…',
    required: true,
    secret: true,
    check: (value) => {
      const secrets = splitSecrets(value);
      if (secrets.length > MAX_WEBHOOK_SECRETS) return `must hold at most ${MAX_WEBHOOK_SECRETS} secrets`;
      return secrets.every((secret) => WEBHOOK_SECRET.test(secret))
        ? undefined
        : 'must be whsec_ and at least 8 characters, or several of these with commas between them';
    },
  },
  accountId: {
    description:
      'Connected account on whose behalf calls are made (sent as Stripe-Account) and whose events are accepted; leave it out for refunds of the key’s own account',
    example: 'acct_1032D82eZvKYlo2C',
    required: false,
    secret: false,
    check: (value) => (ACCOUNT_ID.test(value) ? undefined : 'must be acct_ followed by letters and digits'),
  },
  baseUrl: {
    description: 'Address of the API; change it only for the sandbox',
    example: STRIPE_DEFAULT_BASE_URL,
    required: false,
    secret: false,
    check: (value) => urlFault(value) ?? (new URL(value).pathname === '/' ? undefined : 'must not have a path'),
  },
};

function secretKeyFault(value: string): string | undefined {
  if (SECRET_KEY.test(value)) return undefined;
  if (value.startsWith('pk_')) return 'is a publishable key (pk_…): it may not read refunds, a secret key is wanted';
  return 'must be sk_test_…, sk_live_…, rk_test_… or rk_live_…';
}

/** The secrets of the webhook endpoint: more than one while it is rotated. */
export function webhookSecrets(config: StripeConfig): readonly string[] {
  return splitSecrets(config.webhookSecret);
}

function splitSecrets(value: string): string[] {
  return value.split(',').map((secret) => secret.trim());
}

/** A live key sees live refunds alone, and gets live events alone. */
export function isLive(config: StripeConfig): boolean {
  return /^[sr]k_live_/.test(config.secretKey);
}
