const MAX_PARAMETERS = 200;

/**
 * A urlencoded form as names and values of bytes (latin1 text): gateways sign bytes, and the charset that a form declares need not be UTF-8.
 *
 * @returns undefined when a name comes twice, for nobody can say which of the two was signed, and when there are too many parameters.
 */
export function parseForm(body: Buffer): Map<string, string> | undefined {
  const parameters = new Map<string, string>();
  const pairs = body.toString('latin1').split('&');
  if (pairs.length > MAX_PARAMETERS) return undefined;
  for (const pair of pairs) {
    if (pair === '') continue;
    const equals = pair.indexOf('=');
    const name = decodeBytes(equals === -1 ? pair : pair.slice(0, equals));
    if (parameters.has(name)) return undefined;
    parameters.set(name, equals === -1 ? '' : decodeBytes(pair.slice(equals + 1)));
  }
  return parameters;
}

function decodeBytes(encoded: string): string {
  return encoded
    .replaceAll('+', ' ')
    .replace(/%([0-9A-Fa-f]{2})/g, (_escape, hex: string) => String.fromCharCode(parseInt(hex, 16)));
}

/** Numbers, codes and times are visible ASCII (times have a space); anything else is not what we read. */
export function visible(value: string | undefined): string | null {
  return value !== undefined && /^[\x20-\x7e]+$/.test(value) ? value : null;
}
