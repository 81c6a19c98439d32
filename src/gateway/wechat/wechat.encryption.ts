import { constants, createDecipheriv, publicEncrypt, type KeyObject } from 'node:crypto';

export const GCM_NONCE_BYTES = 12;
const GCM_TAG_BYTES = 16;

/**
 * AEAD_AES_256_GCM as WeChat Pay packs it: base64(ciphertext ‖ 16-byte tag), gateways.md §1.8.
 *
 * @throws when ciphertext, tag, nonce or associated data are not what was sealed.
 */
export function openAead(key: KeyObject, nonce: string, associatedData: string, ciphertext: string): string {
  const sealed = Buffer.from(ciphertext, 'base64');
  const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: GCM_TAG_BYTES });
  decipher.setAAD(Buffer.from(associatedData));
  decipher.setAuthTag(sealed.subarray(-GCM_TAG_BYTES));
  // final() checks the tag.
  return Buffer.concat([decipher.update(sealed.subarray(0, -GCM_TAG_BYTES)), decipher.final()]).toString('utf8');
}

/** RSAES-OAEP with SHA-1 and MGF1, base64: how WeChat Pay wants sensitive fields. */
export function encryptField(text: string, key: KeyObject): string {
  return publicEncrypt(
    { key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha1' },
    Buffer.from(text),
  ).toString('base64');
}
