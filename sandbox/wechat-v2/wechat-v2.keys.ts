import { makeCertificate, type Name } from '../certificate.js';
import { certificateSerial, type KeyRing, type RsaPair } from '../keys.js';
import { randomAlphanumerics } from '../random.js';

export interface WechatV2Keys {
  appId: string;
  mchId: string;
  /** A service provider with the same keys, who refunds for one sub-merchant. */
  partner: { mchId: string; subMchId: string };
  /** 32 characters. */
  apiKey: string;
  /** Nobody's key: signs what must be refused. */
  rogueKey: string;
  /** Certificate authority of the merchants' API certificates, PEM. */
  authority: string;
  /** The merchant's API certificate (apiclient_cert.pem), with which it opens its connections. */
  clientCertificate: string;
  clientKey: string;
}

const APP_ID = 'wx1a2b3c4d5e6f7a8b';
const AUTHORITY: Name = [
  ['C', 'CN'],
  ['O', 'Refund sandbox'],
  ['CN', 'Sandbox Merchant CA'],
];

/**
 * @param merchant key pair of the merchant's API certificate: in APIv3 it signs, here it opens the connection.
 * @param authority key pair of whoever issues such certificates.
 */
export function openWechatV2Keys(
  ring: KeyRing,
  { mchId, partner }: Pick<WechatV2Keys, 'mchId' | 'partner'>,
  merchant: RsaPair,
  authority: RsaPair,
): WechatV2Keys {
  const issued = (subject: Name, pair: RsaPair): string =>
    makeCertificate({
      serial: BigInt(`0x${certificateSerial(pair.publicKey)}`),
      issuer: AUTHORITY,
      subject,
      publicKey: pair.publicKey,
      signingKey: authority.privateKey,
    });
  return {
    appId: APP_ID,
    mchId,
    partner,
    apiKey: ring.text('wechat.apiV2Key', () => randomAlphanumerics(32)),
    rogueKey: ring.text('wechat.rogueV2Key', () => randomAlphanumerics(32)),
    authority: issued(AUTHORITY, authority),
    clientCertificate: issued(
      [
        ['C', 'CN'],
        ['O', 'Refund sandbox'],
        ['CN', mchId],
      ],
      merchant,
    ),
    clientKey: merchant.privatePem,
  };
}
