import { constants, createCipheriv, privateDecrypt, sign, verify, type KeyObject } from 'node:crypto';

const LINE_FEED = Buffer.from('\n');

/** What a merchant signs: five lines, each with its line feed, target and body exactly as transmitted. */
export function requestMessage(method: string, target: string, timestamp: string, nonce: string, body: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${method}\n${target}\n${timestamp}\n${nonce}\n`), body, LINE_FEED]);
}

/** What the platform signs, in answers and in notifications: three lines. */
export function replyMessage(timestamp: string, nonce: string, body: string): Buffer {
  return Buffer.from(`${timestamp}\n${nonce}\n${body}\n`);
}

/**
 * RSA PKCS#1 v1.5 with SHA-256, base64. Signed on the thread pool: one signature takes the better part of a
 * millisecond, which would otherwise be the ceiling of the whole process.
 */
export function signMessage(message: Buffer, privateKey: KeyObject): Promise<string> {
  return new Promise((resolve, reject) => {
    sign('sha256', message, privateKey, (error, signature) =>
      error ? reject(error) : resolve(signature.toString('base64')),
    );
  });
}

/** False also for what is not base64 of a signature at all. */
export function verifyMessage(message: Buffer, signature: string, publicKey: KeyObject): boolean {
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(signature)) return false;
  return verify('sha256', message, publicKey, Buffer.from(signature, 'base64'));
}

/**
 * AEAD_AES_256_GCM as notifications use it.
 *
 * @param apiV3Key 32 ASCII characters.
 * @param nonce 12 ASCII characters.
 * @returns base64 of ciphertext and 16-byte tag.
 */
export function encryptResource(plaintext: string, apiV3Key: string, nonce: string, associatedData: string): string {
  const cipher = createCipheriv('aes-256-gcm', Buffer.from(apiV3Key), Buffer.from(nonce));
  cipher.setAAD(Buffer.from(associatedData));
  return Buffer.concat([cipher.update(plaintext, 'utf8'), cipher.final(), cipher.getAuthTag()]).toString('base64');
}

/** Decrypts a sensitive field (RSAES-OAEP with SHA-1, base64); undefined when it was not encrypted for this key. */
export function decryptField(ciphertext: string, privateKey: KeyObject): string | undefined {
  try {
    return privateDecrypt(
      { key: privateKey, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha1' },
      Buffer.from(ciphertext, 'base64'),
    ).toString('utf8');
  } catch {
    // Not our ciphertext: the caller answers PARAM_ERROR, as the platform does.
    return undefined;
  }
}
