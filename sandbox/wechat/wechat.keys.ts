import { randomAlphanumerics } from '../random.js';
import { openWechatV2Keys, type WechatV2Keys } from '../wechat-v2/wechat-v2.keys.js';
import { makeCertificate, type Name } from '../certificate.js';
import { certificateSerial, keyFingerprint, type KeyRing, type RsaPair } from '../keys.js';

/** A key pair of the platform under the name that `Wechatpay-Serial` carries. */
export interface PlatformKey {
  serial: string;
  pair: RsaPair;
}

/** Platform certificate (平台证书) and the time for which it is good. */
export interface PlatformCertificate extends PlatformKey {
  pem: string;
  effectiveAtMs: number;
  expiresAtMs: number;
}

export interface WechatKeys {
  mchId: string;
  /** A service provider (服务商), with the same certificate, who refunds for one sub-merchant. */
  partner: { mchId: string; subMchId: string };
  /** Serial of the merchant's API certificate. */
  merchantSerial: string;
  merchant: RsaPair;
  /** 32 characters. */
  apiV3Key: string;
  /** The platform certificate of the moment: the older way, and the default of answers. */
  certificate: PlatformCertificate;
  /** Those that it has replaced, the latest last; some of them may still be good. */
  replaced: PlatformCertificate[];
  /** WeChat Pay public key (微信支付公钥): its serial begins with PUB_KEY_ID_. */
  publicKey: PlatformKey;
  /** Of the older API. The merchant's certificate, and so its key, are the same for both. */
  v2: WechatV2Keys;
  /** Nobody's key: signs what must be refused. */
  rogue: RsaPair;
}

const MCH_ID = '1900000100';
const PARTNER = { mchId: '1900000200', subMchId: '1900000209' };
const FIRST_EFFECTIVE_MS = Date.UTC(2024, 0, 1);
const LAST_MS = Date.UTC(2099, 11, 31);
const ISSUER: Name = [
  ['C', 'CN'],
  ['O', 'Refund sandbox'],
  ['CN', 'Sandbox Platform CA'],
];
const SUBJECT: Name = [
  ['C', 'CN'],
  ['O', 'Refund sandbox'],
  ['CN', 'Sandbox platform certificate'],
];

export async function openWechatKeys(ring: KeyRing): Promise<WechatKeys> {
  const [merchant, certificate, publicKey, rogue] = await Promise.all([
    ring.rsa('wechat.merchant'),
    ring.rsa('wechat.platformCertificate'),
    ring.rsa('wechat.platformPublicKey'),
    ring.rsa('wechat.rogue'),
  ]);
  return {
    mchId: MCH_ID,
    merchantSerial: keyFingerprint(merchant.publicKey),
    merchant,
    apiV3Key: ring.text('wechat.apiV3Key', () => randomAlphanumerics(32)),
    partner: PARTNER,
    certificate: platformCertificate(certificate, FIRST_EFFECTIVE_MS),
    replaced: [],
    publicKey: { serial: publicKeyId(publicKey), pair: publicKey },
    v2: openWechatV2Keys(ring, { mchId: MCH_ID, partner: PARTNER }, merchant, certificate),
    rogue,
  };
}

/** A certificate for a key pair, as it is when it takes effect. */
export function platformCertificate(pair: RsaPair, effectiveAtMs: number): PlatformCertificate {
  const serial = certificateSerial(pair.publicKey);
  const pem = makeCertificate({
    serial: BigInt(`0x${serial}`),
    issuer: ISSUER,
    subject: SUBJECT,
    publicKey: pair.publicKey,
    signingKey: pair.privateKey,
  });
  return { serial, pair, pem, effectiveAtMs, expiresAtMs: LAST_MS };
}

/** Real ids are `PUB_KEY_ID_01`, the merchant's number, and digits; ours take theirs from the key. */
function publicKeyId(pair: RsaPair): string {
  const digits = BigInt(`0x${keyFingerprint(pair.publicKey)}`)
    .toString()
    .slice(0, 22)
    .padStart(22, '0');
  return `PUB_KEY_ID_01${MCH_ID}${digits}`;
}
