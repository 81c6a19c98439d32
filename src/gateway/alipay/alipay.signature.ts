import { sign, verify, type KeyObject } from 'node:crypto';

import { JsonFault, parseJson, type JsonObject } from '../../shared/lossless-json.js';

/**
 * What a request signs (gateways.md §3.1): every parameter but `sign` that is not empty, sorted by name, with values as they are.
 */
export function requestText(parameters: Readonly<Record<string, string>>): string {
  return joined(Object.entries(parameters).filter(([name, value]) => name !== 'sign' && value !== ''));
}

/**
 * What a callback signs (gateways.md §3.6): every parameter but `sign` and `sign_type`, decoded, empty ones included, sorted by name.
 * Names and values are bytes as latin1 text: the signature is over bytes, whatever `charset` says they mean.
 */
export function callbackText(parameters: ReadonlyMap<string, string>): Buffer {
  const signed = [...parameters].filter(([name]) => name !== 'sign' && name !== 'sign_type');
  return Buffer.from(joined(signed), 'latin1');
}

function joined(parameters: readonly (readonly [string, string])[]): string {
  return [...parameters]
    .sort(([left], [right]) => (left < right ? -1 : 1))
    .map(([name, value]) => `${name}=${value}`)
    .join('&');
}

/** RSA2: RSA PKCS#1 v1.5 with SHA-256, base64. */
export function signRsa2(text: string, key: KeyObject): string {
  return sign('RSA-SHA256', Buffer.from(text), key).toString('base64');
}

export function verifyRsa2(signed: string | Buffer, signature: string, key: KeyObject): boolean {
  return verify(
    'RSA-SHA256',
    typeof signed === 'string' ? Buffer.from(signed) : signed,
    key,
    Buffer.from(signature, 'base64'),
  );
}

/** An answer taken apart: `{"<method>_response": {…}, "alipay_cert_sn": "…", "sign": "…"}`. */
export interface Envelope {
  /** The response exactly as received, from `{` to its `}`: what `sign` is over. */
  signedText: string;
  /** The same, parsed from that text alone, so that nothing outside the signature can be read. Numbers keep their digits. */
  fields: JsonObject;
  sign: string | null;
  /** The certificate that signed; certificate mode alone. */
  certSn: string | null;
}

/**
 * @param method of the request, `alipay.trade.refund`; an `error_response` stands for it when the request was not even dispatched.
 * @returns undefined when the body is not such an envelope.
 */
export function readEnvelope(body: Uint8Array, method: string): Envelope | undefined {
  const text = decoded(body);
  if (text === undefined) return undefined;
  try {
    // Refuses whatever two readers could understand differently, duplicate names first of all.
    const outer = parseJson(text);
    if (!(outer instanceof Map)) return undefined;
    const texts = memberTexts(text);
    const signedText = texts.get(`${method.replaceAll('.', '_')}_response`) ?? texts.get('error_response');
    const fields = signedText === undefined ? undefined : parseJson(signedText);
    if (signedText === undefined || !(fields instanceof Map)) return undefined;
    return { signedText, fields, sign: textOf(outer, 'sign'), certSn: textOf(outer, 'alipay_cert_sn') };
  } catch (error) {
    if (error instanceof JsonFault) return undefined;
    throw error;
  }
}

function decoded(body: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body);
  } catch {
    // Not UTF-8: an error page of something in front of the gateway.
    return undefined;
  }
}

function textOf(members: JsonObject, name: string): string | null {
  const value = members.get(name);
  return typeof value === 'string' && value !== '' ? value : null;
}

/** The values of a JSON object, each as it is written. The text has been parsed: it is known to be an object. */
function memberTexts(json: string): Map<string, string> {
  const members = new Map<string, string>();
  let at = afterSpace(json, 0) + 1;
  for (;;) {
    at = afterSpace(json, at);
    if (json[at] === '}') return members;
    if (json[at] === ',') at = afterSpace(json, at + 1);
    const nameEnd = valueEnd(json, at);
    const name = JSON.parse(json.slice(at, nameEnd)) as string;
    const start = afterSpace(json, afterSpace(json, nameEnd) + 1);
    at = valueEnd(json, start);
    members.set(name, json.slice(start, at));
  }
}

function afterSpace(json: string, from: number): number {
  let at = from;
  while (isSpace(json[at])) at += 1;
  return at;
}

function isSpace(character: string | undefined): boolean {
  return character === ' ' || character === '\t' || character === '\n' || character === '\r';
}

/** The index after the value that starts at `from`. */
function valueEnd(json: string, from: number): number {
  let depth = 0;
  for (let at = from; at < json.length; at += 1) {
    const character = json[at];
    if (character === '"') {
      at = closingQuote(json, at);
      if (depth === 0) return at + 1;
    } else if (character === '{' || character === '[') {
      depth += 1;
    } else if (character === '}' || character === ']') {
      // At depth 0 it closes what holds a number, true, false or null.
      if (depth === 0) return at;
      depth -= 1;
      if (depth === 0) return at + 1;
    } else if (depth === 0 && (character === ',' || isSpace(character))) {
      return at;
    }
  }
  return json.length;
}

function closingQuote(json: string, opening: number): number {
  let at = opening + 1;
  while (json[at] !== '"') at += json[at] === '\\' ? 2 : 1;
  return at;
}
