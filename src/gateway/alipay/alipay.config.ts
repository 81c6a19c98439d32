import { createPublicKey, type KeyObject } from 'node:crypto';

import { AlipaySdk } from 'alipay-sdk';

import { urlFault } from '../config-checks.js';
import type { ConfigSchema } from '../config-schema.js';
import { GatewayError } from '../gateway.error.js';
import {
  faultOf,
  firstReadable,
  readCertificate,
  readMaterial,
  readPrivateKey,
  type ReadKey,
} from '../key-material.js';

export const ALIPAY_DEFAULT_GATEWAY_URL = 'https://openapi.alipay.com/gateway.do';

export interface AlipayConfig {
  appId: string;
  privateKey: string;
  /** Key mode. */
  alipayPublicKey?: string;
  /** Certificate mode, all three. */
  appCert?: string;
  alipayPublicCert?: string;
  alipayRootCert?: string;
  sellerId?: string;
  gatewayUrl?: string;
  notifyUrl?: string;
}

/** The account's keys, parsed. Key objects print as `[object]`, so that a stray log line shows nothing. */
export interface AlipayKeys {
  /** Signs what we send. */
  app: KeyObject;
  /** Verifies what Alipay sends. */
  alipay: KeyObject;
  /** Serial numbers that requests and answers of certificate mode carry; null in key mode. */
  certificates: CertificateNumbers | null;
}

export interface CertificateNumbers {
  appCertSn: string;
  alipayRootCertSn: string;
  alipayCertSn: string;
}

const CERTIFICATE_FIELDS = ['appCert', 'alipayPublicCert', 'alipayRootCert'] as const;
type CertificateField = (typeof CERTIFICATE_FIELDS)[number];
const CERTIFICATE_EXAMPLE = '-----BEGIN CERTIFICATE-----\n…\n-----END CERTIFICATE-----';

export const alipayConfig: ConfigSchema<AlipayConfig> = {
  appId: {
    description: 'Application id (APPID)',
    example: '2021000000000000',
    required: true,
    secret: false,
    check: (value) => (/^\d{1,32}$/.test(value) ? undefined : 'must be 1 to 32 digits'),
  },
  privateKey: {
    description:
      'Private key of the application (应用私钥), RSA2: PKCS#8 or PKCS#1, PEM or the bare base64 of the key tool',
    example: '-----BEGIN PRIVATE KEY-----\n…\n-----END PRIVATE KEY-----',
    required: true,
    secret: true,
    check: (value) => faultOf(readPrivateKey(value)),
  },
  alipayPublicKey: {
    description:
      'Alipay public key (支付宝公钥, not the 应用公钥), PEM or bare base64: key mode. Certificate mode leaves it out',
    example: '-----BEGIN PUBLIC KEY-----\n…\n-----END PUBLIC KEY-----',
    required: false,
    secret: false,
    check: (value) => faultOf(readPublicKey(value)),
    crossCheck: publicKeyCrossFault,
  },
  appCert: {
    description: 'Application certificate (应用公钥证书, appCertPublicKey_….crt): certificate mode',
    example: CERTIFICATE_EXAMPLE,
    required: false,
    secret: false,
    check: leafFault,
    crossCheck: (settings) => missingCertificate('appCert', settings) ?? appCertCrossFault(settings),
  },
  alipayPublicCert: {
    description: 'Alipay certificate (支付宝公钥证书, alipayCertPublicKey_RSA2.crt): certificate mode',
    example: CERTIFICATE_EXAMPLE,
    required: false,
    secret: false,
    check: leafFault,
    crossCheck: (settings) => missingCertificate('alipayPublicCert', settings) ?? alipayCertCrossFault(settings),
  },
  alipayRootCert: {
    description: 'Alipay root certificates (支付宝根证书, alipayRootCert.crt), the whole file: certificate mode',
    example: CERTIFICATE_EXAMPLE,
    required: false,
    secret: false,
    check: (value) =>
      value.includes('-----BEGIN CERTIFICATE-----')
        ? undefined
        : 'must be PEM text with -----BEGIN CERTIFICATE-----: copy the whole file',
    crossCheck: (settings) => missingCertificate('alipayRootCert', settings) ?? rootCertCrossFault(settings),
  },
  sellerId: {
    description:
      'Alipay user number of the seller (seller_id, PID); when given, callbacks for another seller are refused',
    example: '2088000000000000',
    required: false,
    secret: false,
    check: (value) => (/^2088\d{12}$/.test(value) ? undefined : 'must be 16 digits that start with 2088'),
  },
  gatewayUrl: {
    description: 'Address of the gateway; change it only for the sandbox',
    example: ALIPAY_DEFAULT_GATEWAY_URL,
    required: false,
    secret: false,
    check: urlFault,
  },
  notifyUrl: {
    // gateways.md §3.1: a refund takes no notify_url of its own, so this one is never sent.
    description:
      'Where refund callbacks of this account arrive. Never sent: Alipay calls the notify_url of the payment, which whoever makes the payment has to set to this address',
    example: 'https://refunds.example.com/callback/alipay/1',
    required: false,
    secret: false,
    check: (value) => (value.length > 256 ? 'must have at most 256 characters' : urlFault(value)),
  },
};

const parsedKeys = new WeakMap<AlipayConfig, AlipayKeys>();

/**
 * The keys of an account, parsed once per config object.
 *
 * @throws GatewayError `badConfig`, code `bad_key`, naming the setting and nothing of its value.
 */
export function alipayKeys(config: AlipayConfig): AlipayKeys {
  const known = parsedKeys.get(config);
  if (known) return known;
  const { alipayPublicKey, alipayPublicCert } = config;
  const keys: AlipayKeys = {
    app: usable('privateKey', readPrivateKey(config.privateKey)),
    alipay:
      alipayPublicCert === undefined
        ? usable('alipayPublicKey', readPublicKey(alipayPublicKey ?? ''))
        : usable('alipayPublicCert', readCertificate(alipayPublicCert)),
    certificates: alipayPublicCert === undefined ? null : numbersOf(config),
  };
  parsedKeys.set(config, keys);
  return keys;
}

function usable(setting: string, read: ReadKey): KeyObject {
  if ('key' in read) return read.key;
  throw badKey(setting);
}

function badKey(setting: string): GatewayError {
  return new GatewayError('badConfig', `The Alipay setting ${setting} holds no readable key.`, { code: 'bad_key' });
}

function readPublicKey(text: string): ReadKey {
  const material = readMaterial(text);
  if ('fault' in material) return material;
  const { label, der } = material;
  if (label === 'CERTIFICATE')
    return {
      fault: 'is a certificate: certificate mode wants it as alipayPublicCert, with appCert and alipayRootCert',
    };
  if (label !== null && label !== 'PUBLIC KEY' && label !== 'RSA PUBLIC KEY')
    return { fault: `must be a public key, this is a ${label}` };
  // createPublicKey would take it and derive the public half; but this setting is no secret, so it must not hold one.
  if ('key' in readPrivateKey(text)) return { fault: 'must be a public key, this is a private key' };
  const key = firstReadable(['spki', 'pkcs1'], (type) => createPublicKey({ key: der, format: 'der', type }));
  return key ? { key } : { fault: 'is not a readable RSA public key' };
}

function leafFault(pem: string): string | undefined {
  return faultOf(readCertificate(pem));
}

type Settings = Readonly<Record<string, unknown>>;

function givenCertificates(settings: Settings): CertificateField[] {
  return CERTIFICATE_FIELDS.filter((name) => settings[name] !== undefined);
}

function missingCertificate(name: CertificateField, settings: Settings): string | undefined {
  const given = givenCertificates(settings);
  return given.length > 0 && !given.includes(name) ? `is required with ${given.join(' and ')}` : undefined;
}

function publicKeyCrossFault(settings: Settings): string | undefined {
  const given = givenCertificates(settings);
  const { alipayPublicKey, privateKey } = settings as Partial<AlipayConfig>;
  if (alipayPublicKey === undefined) {
    if (given.length > 0) return undefined;
    return `is required, unless ${CERTIFICATE_FIELDS.join(', ')} are given: without it no answer of Alipay can be verified`;
  }
  if (given.length > 0) return `must be left out in certificate mode (${given.join(', ')} given)`;
  return isOwnKey(readPublicKey(alipayPublicKey), privateKey)
    ? 'is the public half of privateKey (应用公钥): the Alipay public key (支付宝公钥) is wanted'
    : undefined;
}

function appCertCrossFault({ appCert, privateKey }: Partial<AlipayConfig>): string | undefined {
  if (appCert === undefined) return undefined;
  return isOwnKey(readCertificate(appCert), privateKey) ? undefined : 'belongs to another key than privateKey';
}

function alipayCertCrossFault({ alipayPublicCert, privateKey }: Partial<AlipayConfig>): string | undefined {
  if (alipayPublicCert === undefined) return undefined;
  return isOwnKey(readCertificate(alipayPublicCert), privateKey)
    ? 'is the certificate of the application: the one of Alipay (alipayCertPublicKey_RSA2.crt) is wanted'
    : undefined;
}

function rootCertCrossFault(settings: Settings): string | undefined {
  if (givenCertificates(settings).length < CERTIFICATE_FIELDS.length) return undefined;
  try {
    numbersOf(settings as unknown as AlipayConfig);
    return undefined;
  } catch {
    return 'holds no readable RSA root certificate: copy the whole of alipayRootCert.crt';
  }
}

function isOwnKey(read: ReadKey, privateKey: string | undefined): boolean {
  const own = readPrivateKey(privateKey ?? '');
  return 'key' in read && 'key' in own && createPublicKey(own.key).equals(read.key);
}

/**
 * The serial numbers of certificate mode (gateways.md §3.1: MD5 of issuer and serial number; of the roots, each RSA one). The official
 * library works them out: how it writes an issuer is the definition.
 *
 * @throws GatewayError `badConfig`
 */
function numbersOf({ appId, appCert, alipayPublicCert, alipayRootCert }: AlipayConfig): CertificateNumbers {
  try {
    const { config } = new AlipaySdk({
      appId,
      // The constructor wants one and does not use it here; ours stays with us.
      privateKey: 'none',
      appCertContent: appCert ?? '',
      alipayPublicCertContent: alipayPublicCert ?? '',
      alipayRootCertContent: alipayRootCert ?? '',
    });
    const { appCertSn, alipayCertSn, alipayRootCertSn } = config;
    if (appCertSn && alipayCertSn && alipayRootCertSn) return { appCertSn, alipayCertSn, alipayRootCertSn };
  } catch {
    // Not a certificate, or none was given: said below without the library's words, which may repeat the text.
  }
  throw badKey('appCert, alipayPublicCert or alipayRootCert');
}
