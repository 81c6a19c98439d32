import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';

const VERSION = 'v1';

/**
 * Encrypts secrets at rest with AES-256-GCM. A sealed text is `v1.<key id>.<iv>.<ciphertext and tag>` in base64url; the key
 * id lets a rotation find what is still sealed with an old key.
 *
 * Columns of sealed texts are called `sealed…`, and their context is `<table>:<id>`: so the rotation finds all of them.
 */
export class SecretBox {
  readonly keyId: string;
  private readonly keys: ReadonlyMap<string, Buffer>;

  /**
   * @param key 32 bytes; seals.
   * @param oldKeys 32 bytes each; open what they sealed.
   */
  constructor(
    private readonly key: Buffer,
    oldKeys: readonly Buffer[] = [],
  ) {
    const all = [...oldKeys, key];
    if (all.some(({ length }) => length !== 32)) throw new Error('a master key must be 32 bytes');
    this.keyId = idOf(key);
    this.keys = new Map(all.map((one) => [idOf(one), one]));
  }

  /** How everything begins that is sealed with the current key. */
  get prefix(): string {
    return `${VERSION}.${this.keyId}.`;
  }

  /** @param context is bound to the text (such as `merchant_app:default`): a sealed text moved to another row does not open. */
  seal(plain: string, context: string): string {
    const iv = randomBytes(12);
    const cipher = createCipheriv('aes-256-gcm', this.key, iv);
    cipher.setAAD(Buffer.from(context));
    const sealed = Buffer.concat([cipher.update(plain, 'utf8'), cipher.final(), cipher.getAuthTag()]);
    return `${this.prefix}${iv.toString('base64url')}.${sealed.toString('base64url')}`;
  }

  /** Throws when the text was sealed with a key that is not here, for another context, or was changed. */
  open(sealed: string, context: string): string {
    const [version, keyId, iv, body] = sealed.split('.');
    if (version !== VERSION || !keyId || !iv || !body) throw new Error(`${context}: not a sealed text`);
    const key = this.keys.get(keyId);
    if (!key) {
      throw new Error(
        `${context}: sealed with key ${keyId}, but MASTER_KEY is key ${this.keyId} and MASTER_KEY_OLD does not have it`,
      );
    }
    const bytes = Buffer.from(body, 'base64url');
    if (bytes.length < 16) throw new Error(`${context}: not a sealed text`);
    const decipher = createDecipheriv('aes-256-gcm', key, Buffer.from(iv, 'base64url'), { authTagLength: 16 });
    decipher.setAAD(Buffer.from(context));
    decipher.setAuthTag(bytes.subarray(-16));
    try {
      return Buffer.concat([decipher.update(bytes.subarray(0, -16)), decipher.final()]).toString('utf8');
    } catch {
      throw new Error(`${context}: the sealed text was changed or belongs elsewhere`);
    }
  }
}

function idOf(key: Buffer): string {
  return createHash('sha256').update('refund-sync key id').update(key).digest('hex').slice(0, 8);
}
