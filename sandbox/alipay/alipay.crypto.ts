import { createHash, sign, verify, type KeyObject } from 'node:crypto';

/** What a request signs: every parameter but `sign` that is not empty, sorted, with raw values. `sign_type` is among them. */
export function requestMessage(parameters: ReadonlyMap<string, string>): string {
  return sorted([...parameters].filter(([name, value]) => name !== 'sign' && value !== ''));
}

/** What a notification signs: every parameter but `sign` and `sign_type`. */
export function notificationMessage(parameters: Readonly<Record<string, string>>): string {
  return sorted(Object.entries(parameters).filter(([name]) => name !== 'sign' && name !== 'sign_type'));
}

function sorted(parameters: [string, string][]): string {
  parameters.sort(([left], [right]) => (left < right ? -1 : 1));
  return parameters.map(([name, value]) => `${name}=${value}`).join('&');
}

/** RSA2: RSA PKCS#1 v1.5 with SHA-256, base64. On the thread pool, as it takes the better part of a millisecond. */
export function signMessage(message: string, privateKey: KeyObject): Promise<string> {
  return new Promise((resolve, reject) => {
    sign('sha256', Buffer.from(message), privateKey, (error, signature) =>
      error ? reject(error) : resolve(signature.toString('base64')),
    );
  });
}

/** False also for what is not base64 of a signature at all. */
export function verifyMessage(message: string, signature: string, publicKey: KeyObject): boolean {
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(signature)) return false;
  return verify('sha256', Buffer.from(message), publicKey, Buffer.from(signature, 'base64'));
}

/**
 * Number of a certificate as requests and answers carry it: MD5 of its issuer, last part first, and of its serial number in decimal.
 *
 * @param issuer parts as `C=CN`, in the order of the certificate.
 */
export function certificateNumber(issuer: readonly string[], serial: bigint): string {
  return createHash('md5')
    .update(`${[...issuer].reverse().join(',')}${serial}`)
    .digest('hex');
}
