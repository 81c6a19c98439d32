import { createPrivateKey, X509Certificate, type KeyObject } from 'node:crypto';

import { rsaFault } from './config-checks.js';

/** A key out of a setting, or what is wrong with the setting; never its value. */
export type ReadKey = { key: KeyObject } | { fault: string };

export function faultOf(read: ReadKey): string | undefined {
  return 'key' in read ? rsaFault(read.key) : read.fault;
}

/** PEM, or bare base64 as gateways' key tools and consoles show it; line breaks do not matter in either. */
export function readMaterial(text: string): { label: string | null; der: Buffer } | { fault: string } {
  const pem = /^\s*-----BEGIN ([A-Z0-9 ]{1,40})-----([\s\S]*?)-----END \1-----\s*$/.exec(text);
  if (!pem && text.includes('-----'))
    return { fault: 'is not one whole PEM block: copy it from -----BEGIN to the end of the -----END line' };
  const label = pem?.[1] ?? null;
  if (label === 'ENCRYPTED PRIVATE KEY')
    return { fault: 'is encrypted with a passphrase: store it decrypted, it is encrypted at rest here' };
  const base64 = (pem?.[2] ?? text).replace(/\s/g, '');
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(base64)) return { fault: 'is neither PEM nor base64' };
  return { label, der: Buffer.from(base64, 'base64') };
}

export function readPrivateKey(text: string): ReadKey {
  const material = readMaterial(text);
  if ('fault' in material) return material;
  const { label, der } = material;
  if (label !== null && label !== 'PRIVATE KEY' && label !== 'RSA PRIVATE KEY')
    return { fault: `must be a private key, this is a ${label}` };
  const key = firstReadable(['pkcs8', 'pkcs1'], (type) => createPrivateKey({ key: der, format: 'der', type }));
  return key ? { key } : { fault: 'is not a readable RSA private key (PKCS#8 or PKCS#1)' };
}

export function firstReadable<Form extends string>(
  forms: readonly Form[],
  read: (form: Form) => KeyObject,
): KeyObject | undefined {
  for (const form of forms) {
    try {
      return read(form);
    } catch {
      // Not of this form: the next one is tried, and the caller says when none was right.
    }
  }
  return undefined;
}

export function readCertificate(pem: string): ReadKey {
  if (!/^\s*-----BEGIN CERTIFICATE-----/.test(pem))
    return { fault: 'must be PEM text that starts with -----BEGIN CERTIFICATE-----' };
  try {
    return { key: new X509Certificate(pem).publicKey };
  } catch {
    return { fault: 'is not a readable certificate: copy the whole file' };
  }
}
