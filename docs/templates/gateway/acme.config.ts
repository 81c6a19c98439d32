import { urlFault } from '../../../src/gateway/config-checks.js';
import type { ConfigSchema } from '../../../src/gateway/config-schema.js';

export interface AcmeConfig {
  merchantNo: string;
  signingKey: string;
  baseUrl?: string;
}

export const ACME_DEFAULT_BASE_URL = 'https://api.acme.example';

/** Every setting with what it is, an example and what is wrong with a value; a fault never repeats a secret. */
export const acmeConfig: ConfigSchema<AcmeConfig> = {
  merchantNo: {
    description: 'Merchant number',
    example: 'M10001',
    required: true,
    secret: false,
    check: (value) => (/^[A-Z0-9]{4,20}$/.test(value) ? undefined : 'must be 4 to 20 capital letters and digits'),
  },
  signingKey: {
    description: 'Key of requests, answers and callbacks, from the merchant platform',
    example: '0123456789abcdef0123456789abcdef',
    required: true,
    secret: true,
    check: (value) => (/^[0-9a-f]{32}$/.test(value) ? undefined : 'must be 32 hex digits'),
  },
  baseUrl: {
    description: 'Only for the sandbox',
    example: ACME_DEFAULT_BASE_URL,
    required: false,
    secret: false,
    check: urlFault,
  },
};
