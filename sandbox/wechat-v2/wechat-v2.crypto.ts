import { createCipheriv, createHash, createHmac } from 'node:crypto';

export type SignType = 'MD5' | 'HMAC-SHA256';

/** Every member that is not empty, by name, without `sign`; the key last. The text of both kinds of signature. */
export function signedText(members: Readonly<Record<string, string>>, key: string): string {
  let text = '';
  for (const name of Object.keys(members).sort()) {
    const value = members[name];
    if (name === 'sign' || value === undefined || value === '') continue;
    text += `${name}=${value}&`;
  }
  return `${text}key=${key}`;
}

export function signText(text: string, key: string, type: SignType): string {
  const digest = type === 'MD5' ? createHash('md5').update(text) : createHmac('sha256', key).update(text);
  return digest.digest('hex').toUpperCase();
}

/** `req_info` of a notification: the key is the text of the MD5, 32 hex digits, and a full last block is padded by another. */
export function sealReqInfo(plaintext: string, apiKey: string): string {
  const key = Buffer.from(createHash('md5').update(apiKey).digest('hex'), 'latin1');
  const cipher = createCipheriv('aes-256-ecb', key, Buffer.alloc(0));
  return cipher.update(plaintext, 'utf8', 'base64') + cipher.final('base64');
}
