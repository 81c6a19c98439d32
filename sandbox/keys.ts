import { createHash, createPrivateKey, createPublicKey, generateKeyPair, type KeyObject } from 'node:crypto';
import { chmod, readFile, rename, writeFile } from 'node:fs/promises';

/** One RSA key pair. The KeyObjects are kept because parsing a PEM costs more than a verification. */
export interface RsaPair {
  privateKey: KeyObject;
  publicKey: KeyObject;
  /** PKCS#8. */
  privatePem: string;
  /** SPKI. */
  publicPem: string;
}

interface KeyFile {
  rsa: Record<string, string>;
  texts: Record<string, string>;
}

const NOTE = 'Test keys of the refund sandbox. They open nothing anywhere else.';

/**
 * The sandbox's keys by name. Made when first asked for; kept in a file (mode 0600) when one is named, so that a
 * restarted sandbox is still trusted by a service that was configured before.
 */
export class KeyRing {
  private made = false;

  private constructor(
    private readonly file: string | undefined,
    private readonly stored: KeyFile,
  ) {}

  /** @throws when the file exists and is not a key file: overwriting someone's other file would be worse. */
  static async open(file?: string): Promise<KeyRing> {
    if (file === undefined) return new KeyRing(undefined, { rsa: {}, texts: {} });
    let content: string;
    try {
      content = await readFile(file, 'utf8');
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT')
        return new KeyRing(file, { rsa: {}, texts: {} });
      throw error;
    }
    return new KeyRing(file, parseKeyFile(content, file));
  }

  async rsa(name: string): Promise<RsaPair> {
    const known = this.stored.rsa[name];
    const privateKey = known === undefined ? await generateRsa() : createPrivateKey(known);
    const pair = pairOf(privateKey);
    if (known === undefined) {
      this.stored.rsa[name] = pair.privatePem;
      this.made = true;
    }
    return pair;
  }

  /** A pair that nobody asks for again: it is not kept. */
  async passing(): Promise<RsaPair> {
    return pairOf(await generateRsa());
  }

  text(name: string, make: () => string): string {
    const known = this.stored.texts[name];
    if (known !== undefined) return known;
    const value = make();
    this.stored.texts[name] = value;
    this.made = true;
    return value;
  }

  /** Writes what was made since `open`, whole or not at all. */
  async save(): Promise<void> {
    if (this.file === undefined || !this.made) return;
    const draft = `${this.file}.${process.pid}.tmp`;
    await writeFile(draft, `${JSON.stringify({ note: NOTE, ...this.stored }, null, 2)}\n`, { mode: 0o600 });
    // A left-over draft keeps the mode it had; the mode of writeFile is for new files only.
    await chmod(draft, 0o600);
    await rename(draft, this.file);
    this.made = false;
  }
}

function pairOf(privateKey: KeyObject): RsaPair {
  const publicKey = createPublicKey(privateKey);
  return {
    privateKey,
    publicKey,
    privatePem: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    publicPem: publicKey.export({ type: 'spki', format: 'pem' }).toString(),
  };
}

/** SHA-1 of the public key, upper-case hex: serves as serial number, and is the same after a restart. */
export function keyFingerprint(publicKey: KeyObject): string {
  return createHash('sha1')
    .update(publicKey.export({ type: 'spki', format: 'der' }))
    .digest('hex')
    .toUpperCase();
}

/** The same as a certificate's serial number: with a first digit that no reader of certificates leaves out. */
export function certificateSerial(publicKey: KeyObject): string {
  return `5${keyFingerprint(publicKey).slice(1)}`;
}

function generateRsa(): Promise<KeyObject> {
  return new Promise((resolve, reject) => {
    generateKeyPair('rsa', { modulusLength: 2048 }, (error, _publicKey, privateKey) =>
      error ? reject(error) : resolve(privateKey),
    );
  });
}

function parseKeyFile(content: string, file: string): KeyFile {
  let value: unknown;
  try {
    value = JSON.parse(content);
  } catch (error) {
    throw new Error(`SANDBOX_KEYS_FILE ${file}: is not JSON`, { cause: error });
  }
  const { rsa, texts } = (value ?? {}) as { rsa?: unknown; texts?: unknown };
  if (!isTextMap(rsa) || !isTextMap(texts))
    throw new Error(`SANDBOX_KEYS_FILE ${file}: is not a key file of the sandbox`);
  return { rsa: { ...rsa }, texts: { ...texts } };
}

function isTextMap(value: unknown): value is Record<string, string> {
  return (
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    Object.values(value).every((member) => typeof member === 'string')
  );
}
