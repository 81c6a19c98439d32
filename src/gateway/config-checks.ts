import type { KeyObject } from 'node:crypto';

/** Checks that the settings of several gateways need. Each answers what is wrong with a value, without repeating it. */

const MIN_RSA_BITS = 2048;

export function rsaFault(key: KeyObject): string | undefined {
  if (key.asymmetricKeyType !== 'rsa') return `must be an RSA key, is ${key.asymmetricKeyType ?? 'something else'}`;
  const bits = key.asymmetricKeyDetails?.modulusLength ?? 0;
  return bits >= MIN_RSA_BITS ? undefined : `must be an RSA key of at least ${MIN_RSA_BITS} bits, has ${bits}`;
}

/** Plain http would show signed requests and answers to everyone on the way: it is for a sandbox on this machine only. */
export function urlFault(value: string): string | undefined {
  if (!URL.canParse(value)) return 'must be an absolute URL';
  const url = new URL(value);
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return 'must be an https URL';
  if (url.protocol === 'http:' && !isLoopback(url.hostname))
    return 'must be https (plain http is for loopback addresses only)';
  if (url.username !== '' || url.password !== '') return 'must not hold a user name or password';
  if (value.includes('?') || value.includes('#')) return 'must not have a query string or fragment';
  return undefined;
}

function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127(\.\d{1,3}){3}$/.test(hostname);
}
