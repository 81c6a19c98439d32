import { createPrivateKey, X509Certificate } from 'node:crypto';

import { urlFault } from '../config-checks.js';
import type { ConfigSchema } from '../config-schema.js';
import { faultOf, readCertificate, readPrivateKey } from '../key-material.js';
import { merchantNumberFault, WECHAT_DEFAULT_BASE_URL } from '../wechat-pay.js';
import { SIGN_TYPES, type WechatSignType } from './wechat-v2.signature.js';

export const WECHAT_REFUND_ACCOUNTS = ['REFUND_SOURCE_UNSETTLED_FUNDS', 'REFUND_SOURCE_RECHARGE_FUNDS'] as const;

export interface WechatV2Config {
  apiVersion: 'v2';
  appId: string;
  mchId: string;
  apiKey: string;
  signType?: WechatSignType;
  clientCertificate?: string;
  clientKey?: string;
  notifyUrl?: string;
  subMchId?: string;
  subAppId?: string;
  refundAccount?: (typeof WECHAT_REFUND_ACCOUNTS)[number];
  baseUrl?: string;
  caCertificate?: string;
}

const APP_ID = /^[A-Za-z0-9]{1,32}$/;
const appIdFault = (value: string): string | undefined =>
  APP_ID.test(value) ? undefined : 'must be 1 to 32 letters and digits';

export const wechatV2Config: ConfigSchema<WechatV2Config> = {
  apiVersion: {
    description: 'Which API the account uses; without it the settings are those of APIv3',
    example: 'v2',
    required: true,
    secret: false,
    check: (value) => (value === 'v2' ? undefined : 'must be v2'),
  },
  appId: {
    description: 'Application id (appid) that the merchant number is bound to',
    example: 'wxd930ea5d5a258f4f',
    required: true,
    secret: false,
    check: appIdFault,
  },
  mchId: {
    description: 'Merchant number (商户号); in service-provider mode the service provider’s',
    example: '1900000100',
    required: true,
    secret: false,
    check: merchantNumberFault,
  },
  apiKey: {
    description: 'APIv2 key (APIv2密钥), set in the merchant platform; signs requests and decrypts callbacks',
    example: '32 letters and digits',
    required: true,
    secret: true,
    check: (value) =>
      /^[\x21-\x7e]{32}$/.test(value)
        ? undefined
        : `must be exactly 32 ASCII characters without spaces, has ${value.length}`,
  },
  signType: {
    description: 'How messages are signed (sign_type), HMAC-SHA256 when left out',
    example: 'HMAC-SHA256',
    required: false,
    secret: false,
    check: (value) =>
      (SIGN_TYPES as readonly string[]).includes(value) ? undefined : `must be one of ${SIGN_TYPES.join(', ')}`,
  },
  clientCertificate: {
    description:
      'Merchant API certificate, PEM (apiclient_cert.pem): shown to the gateway, which takes refunds from its holder alone. ' +
      'Not needed where refunds are only followed',
    example: '-----BEGIN CERTIFICATE-----\n…\n-----END CERTIFICATE-----',
    required: false,
    secret: false,
    check: (value) => faultOf(readCertificate(value)),
    crossCheck: ({ clientCertificate, clientKey }) => {
      if (clientCertificate === undefined) return clientKey === undefined ? undefined : 'is required with clientKey';
      if (typeof clientKey !== 'string' || typeof clientCertificate !== 'string') return undefined;
      return new X509Certificate(clientCertificate).checkPrivateKey(createPrivateKey(clientKey))
        ? undefined
        : 'does not belong to clientKey';
    },
  },
  clientKey: {
    description: 'Private key of the merchant API certificate, PEM (apiclient_key.pem)',
    example: '-----BEGIN PRIVATE KEY-----\n…\n-----END PRIVATE KEY-----',
    required: false,
    secret: true,
    check: (value) =>
      value.includes('-----BEGIN')
        ? faultOf(readPrivateKey(value))
        : 'must be PEM text that starts with -----BEGIN PRIVATE KEY-----',
    crossCheck: ({ clientCertificate, clientKey }) =>
      clientCertificate !== undefined && clientKey === undefined ? 'is required with clientCertificate' : undefined,
  },
  notifyUrl: {
    description: 'Where WeChat Pay sends refund callbacks; without it the address set in the merchant platform is used',
    example: 'https://refunds.example.com/callback/wechat/2',
    required: false,
    secret: false,
    check: (value) => (value.length > 256 ? 'must have at most 256 characters' : urlFault(value)),
  },
  subMchId: {
    description: 'Sub-merchant number (sub_mch_id): only in service-provider mode',
    example: '1900000109',
    required: false,
    secret: false,
    check: merchantNumberFault,
  },
  subAppId: {
    description: 'Application id of the sub-merchant (sub_appid): only in service-provider mode',
    example: 'wxd678efh567hg6787',
    required: false,
    secret: false,
    check: appIdFault,
    crossCheck: ({ subAppId, subMchId }) =>
      subAppId !== undefined && subMchId === undefined ? 'needs subMchId' : undefined,
  },
  refundAccount: {
    description: 'Which funds pay for refunds (refund_account); leave it out unless WeChat Pay told you to set it',
    example: 'REFUND_SOURCE_RECHARGE_FUNDS',
    required: false,
    secret: false,
    check: (value) =>
      (WECHAT_REFUND_ACCOUNTS as readonly string[]).includes(value)
        ? undefined
        : `must be one of ${WECHAT_REFUND_ACCOUNTS.join(', ')}`,
  },
  baseUrl: {
    description: 'Address of the API; change it only for the backup host or the sandbox',
    example: WECHAT_DEFAULT_BASE_URL,
    required: false,
    secret: false,
    check: urlFault,
  },
  caCertificate: {
    description:
      'Certificate authority, PEM, that vouches for baseUrl instead of the public ones: for a TLS-inspecting proxy or a sandbox behind https',
    example: '-----BEGIN CERTIFICATE-----\n…\n-----END CERTIFICATE-----',
    required: false,
    secret: false,
    check: (value) => faultOf(readCertificate(value)),
  },
};

export function signTypeOf(config: WechatV2Config): WechatSignType {
  return config.signType ?? 'HMAC-SHA256';
}
