import { createPublicKey, X509Certificate, type KeyObject } from 'node:crypto';

import { urlFault } from '../config-checks.js';
import type { ConfigField, ConfigSchema } from '../config-schema.js';
import { GatewayError } from '../gateway.error.js';
import { faultOf, readCertificate, readPrivateKey } from '../key-material.js';
import { isIssuedBy, SignerCheck } from './unionpay.certificate.js';

export const UNIONPAY_DEFAULT_GATEWAY_URL = 'https://gateway.95516.com/gateway/api';
export const UNIONPAY_SIGNER_NAME = '中国银联股份有限公司';
export const UNIONPAY_DEFAULT_BIZ_TYPE = '000201';
export const UNIONPAY_DEFAULT_CHANNEL_TYPE = '07';

export interface UnionpayConfig {
  merId: string;
  privateKey: string;
  signCert: string;
  middleCert: string;
  rootCert: string;
  notifyUrl: string;
  bizType?: string;
  channelType?: string;
  signerName?: string;
  gatewayUrl?: string;
}

/** The account's keys, parsed. Key objects print as `[object]`, so that a stray log line shows nothing. */
export interface UnionpayKeys {
  /** Signs what we send. */
  merchant: KeyObject;
  /** Serial number of its certificate in decimal: says which key signed. */
  certId: string;
  /** Verifies what UnionPay sends. */
  signer: SignerCheck;
}

const CERTIFICATE_EXAMPLE = '-----BEGIN CERTIFICATE-----\n…\n-----END CERTIFICATE-----';

function certificateField(
  field: Pick<ConfigField, 'description'> & Partial<Pick<ConfigField, 'check' | 'crossCheck'>>,
): ConfigField {
  return { example: CERTIFICATE_EXAMPLE, required: true, secret: false, check: certificateFault, ...field };
}

export const unionpayConfig: ConfigSchema<UnionpayConfig> = {
  merId: {
    description: 'Merchant number (商户代码)',
    example: '777290058110048',
    required: true,
    secret: false,
    check: (value) => (/^[0-9A-Za-z]{15}$/.test(value) ? undefined : 'must be 15 digits or letters'),
  },
  privateKey: {
    description:
      'Private key of the merchant signing certificate (商户签名私钥), PEM without a passphrase; out of the .pfx file with `openssl pkcs12 -in sign.pfx -nocerts -nodes -legacy`',
    example: '-----BEGIN PRIVATE KEY-----\n…\n-----END PRIVATE KEY-----',
    required: true,
    secret: true,
    check: (value) => faultOf(readPrivateKey(withoutBagAttributes(value))),
  },
  signCert: certificateField({
    description:
      'Merchant signing certificate (商户签名证书), PEM; its serial number is the certId of requests. `openssl pkcs12 -in sign.pfx -clcerts -nokeys -legacy`',
    check: (value) => faultOf(readCertificate(withoutBagAttributes(value))),
    crossCheck: ({ signCert, privateKey }: Partial<UnionpayConfig>) => {
      if (signCert === undefined || privateKey === undefined) return undefined;
      const key = readPrivateKey(withoutBagAttributes(privateKey));
      const matches =
        'key' in key && createPublicKey(key.key).equals(new X509Certificate(withoutBagAttributes(signCert)).publicKey);
      return matches ? undefined : 'belongs to another key than privateKey';
    },
  }),
  middleCert: certificateField({
    description: 'Middle certificate (中级证书, acp_prod_middle.cer): issues the certificates that UnionPay signs with',
    crossCheck: ({ middleCert, rootCert }: Partial<UnionpayConfig>) => {
      if (middleCert === undefined || rootCert === undefined) return undefined;
      return isIssuedBy(new X509Certificate(middleCert), new X509Certificate(rootCert))
        ? undefined
        : 'was not issued by rootCert: both must be of the same environment (production or test)';
    },
  }),
  rootCert: certificateField({
    description: 'Root certificate (根证书, acp_prod_root.cer)',
    crossCheck: ({ rootCert }: Partial<UnionpayConfig>) => {
      if (rootCert === undefined) return undefined;
      const root = new X509Certificate(rootCert);
      return isIssuedBy(root, root) ? undefined : 'is not self-signed: the middle certificate is not the root';
    },
  }),
  notifyUrl: {
    description: 'Where refund callbacks of this account arrive (backUrl); UnionPay takes no refund without one',
    example: 'https://refunds.example.com/callback/unionpay/1',
    required: true,
    secret: false,
    check: (value) => (value.length > 256 ? 'must have at most 256 characters' : urlFault(value)),
  },
  bizType: {
    description: 'Product of the payments (产品类型): 000201 gateway and app, 000000 QR code; must match the payment',
    example: UNIONPAY_DEFAULT_BIZ_TYPE,
    required: false,
    secret: false,
    check: (value) => (/^\d{6}$/.test(value) ? undefined : 'must be 6 digits'),
  },
  channelType: {
    description: 'Channel of the refunds (渠道类型): 07 computer, 08 mobile',
    example: UNIONPAY_DEFAULT_CHANNEL_TYPE,
    required: false,
    secret: false,
    check: (value) => (value === '07' || value === '08' ? undefined : 'must be 07 or 08'),
  },
  signerName: {
    description: `Name in UnionPay's own certificates; only the test environment has another one (00040000:SIGN)`,
    example: UNIONPAY_SIGNER_NAME,
    required: false,
    secret: false,
    check: (value) =>
      value.length > 64 || value.includes('@') ? 'must have at most 64 characters, none of them @' : undefined,
  },
  gatewayUrl: {
    description: 'Address of the gateway up to /gateway/api; change it only for the test environment or the sandbox',
    example: UNIONPAY_DEFAULT_GATEWAY_URL,
    required: false,
    secret: false,
    check: (value) => (value.endsWith('/') ? 'must not end with a slash' : urlFault(value)),
  },
};

const parsedKeys = new WeakMap<UnionpayConfig, UnionpayKeys>();

/**
 * The keys of an account, parsed once per config object.
 *
 * @throws GatewayError `badConfig`, code `bad_key`, naming the settings and nothing of their values.
 */
export function unionpayKeys(config: UnionpayConfig): UnionpayKeys {
  const known = parsedKeys.get(config);
  if (known) return known;
  const merchant = readPrivateKey(withoutBagAttributes(config.privateKey));
  if ('fault' in merchant) throw badKey('privateKey');
  const keys: UnionpayKeys = {
    merchant: merchant.key,
    certId: certIdOf(certificateIn('signCert', withoutBagAttributes(config.signCert))),
    signer: new SignerCheck({
      root: certificateIn('rootCert', config.rootCert),
      middle: certificateIn('middleCert', config.middleCert),
      signerName: config.signerName ?? UNIONPAY_SIGNER_NAME,
    }),
  };
  parsedKeys.set(config, keys);
  return keys;
}

/** The serial number as UnionPay writes it: decimal (gateways.md §4.1). */
export function certIdOf(certificate: X509Certificate): string {
  return BigInt(`0x${certificate.serialNumber}`).toString();
}

/** openssl writes lines like `Bag Attributes` before what it takes out of a .pfx file. */
function withoutBagAttributes(pem: string): string {
  return /-----BEGIN [\s\S]*$/.exec(pem)?.[0] ?? pem;
}

/** Certificates of the authority: of any algorithm, for they only say who signs. */
function certificateFault(pem: string): string | undefined {
  const read = readCertificate(pem);
  return 'fault' in read ? read.fault : undefined;
}

function certificateIn(setting: string, pem: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch {
    throw badKey(setting);
  }
}

function badKey(setting: string): GatewayError {
  return new GatewayError('badConfig', `The UnionPay setting ${setting} cannot be read.`, { code: 'bad_key' });
}
