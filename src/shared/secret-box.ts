import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';

/**
 * Encrypts secrets at rest with AES-256-GCM. A sealed text is `v1.<key id>.<iv>.<ciphertext and tag>` in base64url; the key
 * id lets a rotation find what is still sealed with an old key.
 */
export class SecretBox {
  readonly keyId: string;

  /** @param key 32 bytes. */
  constructor(private readonly key: Buffer) {
    if (key.length !== 32) throw new Error('the master key must be 32 bytes');
    this.keyId = createHash('sha256').update('refund-sync key id').update(key).digest('hex').slice(0, 8);
  }

  /** @param context is bound to the text (such as `merchant_app:default`): a sealed text moved to another row does not open. */
  seal(plain: string, context: string): string {
    const iv = randomBytes(12);
    const cipher = createCipheriv('aes-256-gcm', this.key, iv);
    cipher.setAAD(Buffer.from(context));
    const sealed = Buffer.concat([cipher.update(plain, 'utf8'), cipher.final(), cipher.getAuthTag()]);
    return `v1.${this.keyId}.${iv.toString('base64url')}.${sealed.toString('base64url')}`;
  }

  /** Throws when the text was sealed with another key, for another context, or was changed. */
  open(sealed: string, context: string): string {
    const [version, keyId, iv, body] = sealed.split('.');
    if (version !== 'v1' || !keyId || !iv || !body) throw new Error(`${context}: not a sealed text`);
    if (keyId !== this.keyId)
      throw new Error(`${context}: sealed with key ${keyId}, but MASTER_KEY is key ${this.keyId}`);
    const bytes = Buffer.from(body, 'base64url');
    if (bytes.length < 16) throw new Error(`${context}: not a sealed text`);
    const decipher = createDecipheriv('aes-256-gcm', this.key, Buffer.from(iv, 'base64url'), { authTagLength: 16 });
    decipher.setAAD(Buffer.from(context));
    decipher.setAuthTag(bytes.subarray(-16));
    try {
      return Buffer.concat([decipher.update(bytes.subarray(0, -16)), decipher.final()]).toString('utf8');
    } catch {
      throw new Error(`${context}: the sealed text was changed or belongs elsewhere`);
    }
  }
}
