import { constants, publicEncrypt, type KeyObject } from 'node:crypto';

import { GatewayError } from '../gateway.error.js';
import { wechatKeys, type WechatConfig } from './wechat.config.js';

/**
 * The platform key for which sensitive fields are encrypted: the public key where there is one, because it replaces the certificates.
 *
 * @throws GatewayError `badConfig` when the account has no platform key at all.
 */
export function encryptionKey(config: WechatConfig): { serial: string; key: KeyObject } {
  const { platform } = wechatKeys(config);
  const serial = config.publicKeyId ?? [...platform.keys()].at(-1) ?? '';
  const key = platform.get(serial);
  if (!key) throw new GatewayError('badConfig', 'There is no platform key to encrypt for.', { code: 'bad_key' });
  return { serial, key };
}

/** RSAES-OAEP with SHA-1 and MGF1, base64: how WeChat Pay wants sensitive fields. */
export function encryptField(text: string, key: KeyObject): string {
  return publicEncrypt(
    { key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha1' },
    Buffer.from(text),
  ).toString('base64');
}
