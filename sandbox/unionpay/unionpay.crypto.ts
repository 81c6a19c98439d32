import { createHash, sign, verify, type KeyObject } from 'node:crypto';

export type Form = Record<string, string>;

/** What a message signs: every field but `signature` that has a value, sorted by name. */
export function signedText(form: Readonly<Form>): string {
  const names = Object.keys(form).filter((name) => name !== 'signature' && form[name] !== '');
  names.sort();
  return names.map((name) => `${name}=${form[name]}`).join('&');
}

/** `signMethod` 01 of version 5.1.0: SHA-256 as hex, and an RSA-SHA256 signature over that hex text. On the thread pool. */
export function signText(text: string, privateKey: KeyObject): Promise<string> {
  return new Promise((resolve, reject) => {
    sign('sha256', Buffer.from(hexDigest(text)), privateKey, (error, signature) =>
      error ? reject(error) : resolve(signature.toString('base64')),
    );
  });
}

/** False also for what is not base64 of a signature at all. */
export function verifyText(text: string, signature: string, publicKey: KeyObject): boolean {
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(signature)) return false;
  return verify('sha256', Buffer.from(hexDigest(text)), publicKey, Buffer.from(signature, 'base64'));
}

function hexDigest(text: string): string {
  return createHash('sha256').update(text, 'utf8').digest('hex');
}
