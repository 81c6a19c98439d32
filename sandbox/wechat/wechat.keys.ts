import { randomAlphanumerics } from '../random.js';
import { openWechatV2Keys, type WechatV2Keys } from '../wechat-v2/wechat-v2.keys.js';
import { keyFingerprint, type KeyRing, type RsaPair } from '../keys.js';

/** A key pair of the platform under the name that `Wechatpay-Serial` carries. */
export interface PlatformKey {
  serial: string;
  pair: RsaPair;
}

export interface WechatKeys {
  mchId: string;
  /** Serial of the merchant's API certificate. */
  merchantSerial: string;
  merchant: RsaPair;
  /** 32 characters. */
  apiV3Key: string;
  /** Platform certificate (平台证书): the older way, and the default of answers. */
  certificate: PlatformKey;
  /** WeChat Pay public key (微信支付公钥): its serial begins with PUB_KEY_ID_. */
  publicKey: PlatformKey;
  /** Of the older API. The merchant's certificate, and so its key, are the same for both. */
  v2: WechatV2Keys;
  /** Nobody's key: signs what must be refused. */
  rogue: RsaPair;
}

const MCH_ID = '1900000100';

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
    certificate: { serial: keyFingerprint(certificate.publicKey), pair: certificate },
    publicKey: { serial: publicKeyId(publicKey), pair: publicKey },
    v2: openWechatV2Keys(ring, MCH_ID, merchant, certificate),
    rogue,
  };
}

/** Real ids are `PUB_KEY_ID_01`, the merchant's number, and digits; ours take theirs from the key. */
function publicKeyId(pair: RsaPair): string {
  const digits = BigInt(`0x${keyFingerprint(pair.publicKey)}`)
    .toString()
    .slice(0, 22)
    .padStart(22, '0');
  return `PUB_KEY_ID_01${MCH_ID}${digits}`;
}
