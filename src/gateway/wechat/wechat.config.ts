import { createPrivateKey, createPublicKey, createSecretKey, X509Certificate, type KeyObject } from 'node:crypto';

import { rsaFault, urlFault } from '../config-checks.js';
import type { ConfigSchema } from '../config-schema.js';
import { GatewayError } from '../gateway.error.js';
import { merchantNumberFault, WECHAT_DEFAULT_BASE_URL } from '../wechat-pay.js';

export const WECHAT_FUNDS_ACCOUNTS = ['AVAILABLE', 'UNSETTLED'] as const;

export interface WechatConfig {
  apiVersion?: 'v3';
  mchId: string;
  serialNo: string;
  privateKey: string;
  apiV3Key: string;
  platformCertificates?: Readonly<Record<string, string>>;
  publicKeyId?: string;
  publicKey?: string;
  notifyUrl?: string;
  subMchId?: string;
  fundsAccount?: (typeof WECHAT_FUNDS_ACCOUNTS)[number];
  baseUrl?: string;
}

export interface PlatformKey {
  key: KeyObject;
  /** Of certificates; public keys have no end. */
  expiresAtMs: number;
}

/** The account's keys, parsed. Key objects print as `[object]`, so that a stray log line shows nothing. */
export interface WechatKeys {
  /** Signs what we send. */
  merchant: KeyObject;
  /** Verify what WeChat Pay sends, by the value of `Wechatpay-Serial`: those of the settings. */
  platform: ReadonlyMap<string, PlatformKey>;
  /** Decrypts callbacks. */
  apiV3: KeyObject;
}

export const CERTIFICATE_SERIAL = /^[0-9A-F]{8,40}$/;
const PUBLIC_KEY_ID = /^PUB_KEY_ID_[0-9A-Za-z]{1,64}$/;
const SERIAL_FORM = 'upper-case hex digits, as `openssl x509 -noout -serial` prints them';

export const wechatConfig: ConfigSchema<WechatConfig> = {
  apiVersion: {
    description: 'Which API the account uses: v3, also when left out, or v2, which has other settings',
    example: 'v3',
    required: false,
    secret: false,
    check: (value) => (value === 'v3' ? undefined : 'must be v3 or v2'),
  },
  mchId: {
    description: 'Merchant number (商户号); in service-provider mode the service provider’s (sp_mchid)',
    example: '1900000100',
    required: true,
    secret: false,
    check: merchantNumberFault,
  },
  serialNo: {
    description: 'Serial number of the merchant API certificate (商户API证书序列号)',
    example: '5157F09EFDC096DE15EBE81A47057A7232F1B8E1',
    required: true,
    secret: false,
    check: (value) => (CERTIFICATE_SERIAL.test(value) ? undefined : `must be 8 to 40 ${SERIAL_FORM}`),
  },
  privateKey: {
    description: 'Private key of the merchant API certificate, PKCS#8 PEM (apiclient_key.pem)',
    example: '-----BEGIN PRIVATE KEY-----\n…\n-----END PRIVATE KEY-----',
    required: true,
    secret: true,
    check: privateKeyFault,
  },
  apiV3Key: {
    description: 'APIv3 key (APIv3密钥), set in the merchant platform; decrypts callbacks',
    example: '32 ASCII characters',
    required: true,
    secret: true,
    check: (value) => {
      const bytes = Buffer.byteLength(value, 'utf8');
      return bytes === 32 ? undefined : `must be exactly 32 bytes, has ${bytes}`;
    },
  },
  platformCertificates: {
    description:
      'Platform certificates (平台证书), or public keys: serial number → PEM. Needed unless publicKeyId and publicKey are given; ' +
      'those that WeChat Pay issues later are fetched by themselves',
    example: '{"7132D72A03E93CDDF8C03BBD1F37EEDF6CCA29A2": "-----BEGIN CERTIFICATE-----\\n…"}',
    required: false,
    secret: false,
    type: 'map',
    check: (value) => publicKeyFault(value, ['CERTIFICATE', 'PUBLIC KEY']),
    crossCheck: platformFault,
  },
  publicKeyId: {
    description: 'Id of the WeChat Pay public key (微信支付公钥ID); replaces platform certificates',
    example: 'PUB_KEY_ID_0119000001002024010100000000000001',
    required: false,
    secret: false,
    check: (value) =>
      PUBLIC_KEY_ID.test(value) ? undefined : 'must be PUB_KEY_ID_ followed by up to 64 letters or digits',
    crossCheck: ({ publicKey, publicKeyId }) =>
      publicKey !== undefined && publicKeyId === undefined ? 'is required with publicKey' : undefined,
  },
  publicKey: {
    description: 'WeChat Pay public key (微信支付公钥), PEM (pub_key.pem)',
    example: '-----BEGIN PUBLIC KEY-----\n…\n-----END PUBLIC KEY-----',
    required: false,
    secret: false,
    check: (value) => publicKeyFault(value, ['PUBLIC KEY']),
    crossCheck: ({ publicKey, publicKeyId }) =>
      publicKeyId !== undefined && publicKey === undefined ? 'is required with publicKeyId' : undefined,
  },
  notifyUrl: {
    description: 'Where WeChat Pay sends refund callbacks; without it the address set in the merchant platform is used',
    example: 'https://refunds.example.com/callback/wechat/1',
    required: false,
    secret: false,
    // gateways.md §1.5: string(8–256), https, no query string.
    check: (value) => (value.length > 256 ? 'must have at most 256 characters' : urlFault(value)),
  },
  subMchId: {
    description: 'Sub-merchant number (sub_mchid): only in service-provider mode',
    example: '1900000109',
    required: false,
    secret: false,
    check: merchantNumberFault,
  },
  fundsAccount: {
    description: 'Which funds pay for refunds (funds_account); leave it out unless WeChat Pay told you to set it',
    example: 'AVAILABLE',
    required: false,
    secret: false,
    check: (value) =>
      (WECHAT_FUNDS_ACCOUNTS as readonly string[]).includes(value)
        ? undefined
        : `must be one of ${WECHAT_FUNDS_ACCOUNTS.join(', ')}`,
  },
  baseUrl: {
    description: 'Address of the API; change it only for the backup host or the sandbox',
    example: WECHAT_DEFAULT_BASE_URL,
    required: false,
    secret: false,
    check: urlFault,
  },
};

const parsedKeys = new WeakMap<WechatConfig, WechatKeys>();

/**
 * The keys of an account, parsed once per config object.
 *
 * @throws GatewayError `badConfig`, code `bad_key`, naming the setting and nothing of its value.
 */
export function wechatKeys(config: WechatConfig): WechatKeys {
  const known = parsedKeys.get(config);
  if (known) return known;
  const platform = new Map<string, PlatformKey>();
  for (const [serial, pem] of Object.entries(config.platformCertificates ?? {})) {
    platform.set(
      serial,
      readKey('platformCertificates', () => readPlatformKey(pem)),
    );
  }
  const { publicKeyId, publicKey } = config;
  if (publicKeyId !== undefined && publicKey !== undefined)
    platform.set(
      publicKeyId,
      readKey('publicKey', () => ({ key: createPublicKey(publicKey), expiresAtMs: Infinity })),
    );
  const keys: WechatKeys = {
    merchant: readKey('privateKey', () => createPrivateKey(config.privateKey)),
    platform,
    apiV3: readKey('apiV3Key', () => createSecretKey(config.apiV3Key, 'utf8')),
  };
  parsedKeys.set(config, keys);
  return keys;
}

function readPlatformKey(pem: string): PlatformKey {
  if (!pem.includes('BEGIN CERTIFICATE')) return { key: createPublicKey(pem), expiresAtMs: Infinity };
  const certificate = new X509Certificate(pem);
  return { key: certificate.publicKey, expiresAtMs: Date.parse(certificate.validTo) };
}

function readKey<Key>(setting: string, read: () => Key): Key {
  try {
    return read();
  } catch {
    throw new GatewayError('badConfig', `The WeChat Pay setting ${setting} holds no readable key.`, {
      code: 'bad_key',
    });
  }
}

function privateKeyFault(pem: string): string | undefined {
  const fault = pemFault(pem, ['PRIVATE KEY']);
  if (fault) return fault;
  try {
    return rsaFault(createPrivateKey(pem));
  } catch {
    return 'is not a readable PKCS#8 private key: copy the whole of apiclient_key.pem';
  }
}

function publicKeyFault(pem: string, labels: readonly string[]): string | undefined {
  // The label is checked first: createPublicKey would take a private key too, and a private key has no business here.
  const fault = pemFault(pem, labels);
  if (fault) return fault;
  try {
    return rsaFault(createPublicKey(pem));
  } catch {
    return 'is not a readable certificate or public key: copy the whole file';
  }
}

function pemFault(pem: string, labels: readonly string[]): string | undefined {
  const wanted = labels.map((label) => `-----BEGIN ${label}-----`).join(' or ');
  const label = /^\s*-----BEGIN ([A-Z0-9 ]{1,40})-----/.exec(pem)?.[1];
  if (label === undefined) return `must be PEM text that starts with ${wanted}`;
  if (label === 'ENCRYPTED PRIVATE KEY')
    return 'is encrypted with a passphrase: store it decrypted, it is encrypted at rest here';
  if (label === 'RSA PRIVATE KEY' && labels.includes('PRIVATE KEY'))
    return 'is PKCS#1: convert it with `openssl pkcs8 -topk8 -nocrypt`';
  if (!labels.includes(label)) return `must start with ${wanted}, this is a ${label}`;
  if (pem.includes('\\n')) return 'has the two characters \\n where line breaks belong';
  return undefined;
}

function platformFault(settings: Readonly<Record<string, unknown>>): string | undefined {
  const entries = Object.entries((settings.platformCertificates ?? {}) as Record<string, string>);
  if (entries.length === 0) {
    if (settings.publicKeyId !== undefined || settings.publicKey !== undefined) return undefined;
    return 'is required unless publicKeyId and publicKey are given: without one of them no answer of WeChat Pay can be verified';
  }
  for (const [serial, pem] of entries) {
    if (serial === settings.serialNo)
      return 'holds the merchant certificate (serialNo): the platform certificate of WeChat Pay is wanted';
    if (!CERTIFICATE_SERIAL.test(serial) && !PUBLIC_KEY_ID.test(serial))
      return `entry ${serial.slice(0, 80)}: the name must be ${SERIAL_FORM}, or PUB_KEY_ID_…`;
    if (!pem.includes('BEGIN CERTIFICATE')) continue;
    const actual = new X509Certificate(pem).serialNumber;
    if (actual !== serial) return `entry ${serial}: the certificate's serial number is ${actual}`;
  }
  return undefined;
}
