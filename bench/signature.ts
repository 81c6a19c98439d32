import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { parseJson, type JsonObject } from '../src/shared/lossless-json.js';
import type { SignType } from '../src/shared/sign-type.js';
import { SIGN_DIALECTS, signString, type SignDialect } from '../src/signature/canonical.js';
import { sign, verify } from '../src/signature/merchant-signature.js';

export interface SignatureResult {
  name: string;
  /** Verifications a second. */
  raw: number;
  service: number;
}

const SECRET = 'bench-secret';
const BODY = '{"refundId":1755122354444210176,"refundNo":"R-2024-0001","clientIp":"203.0.113.7","reqTime":1713410668}';

/** Verifications a second beside node:crypto alone on the same, ready-made string: what parsing the fields' order and rules costs. */
export function signature(durationMs: number): SignatureResult[] {
  const results: SignatureResult[] = [];
  for (const dialect of SIGN_DIALECTS) {
    for (const signType of ['MD5', 'HMAC_SHA256'] as const) results.push(measure(dialect, signType, durationMs));
  }
  return results;
}

function measure(dialect: SignDialect, signType: SignType, durationMs: number): SignatureResult {
  const unsigned = parseJson(BODY) as JsonObject;
  const signature = sign({ dialect, signType, secret: SECRET, fields: unsigned });
  const fields: JsonObject = new Map([...unsigned, ['sign', signature]]);
  const text = signString(dialect, unsigned, SECRET);
  const expected = Buffer.from(signature);
  const digest = (): string =>
    signType === 'MD5'
      ? createHash('md5').update(text).digest('hex')
      : createHmac('sha256', SECRET).update(text).digest('hex');
  return {
    name: `${dialect} ${signType}`,
    raw: perSecond(durationMs, () => timingSafeEqual(Buffer.from(digest()), expected)),
    service: perSecond(durationMs, () => verify({ dialect, signType, secret: SECRET, fields })),
  };
}

function perSecond(durationMs: number, work: () => boolean): number {
  const batch = 1_000;
  for (let i = 0; i < batch; i += 1) if (!work()) throw new Error('a good signature was refused');
  let count = 0;
  const startedAtMs = performance.now();
  while (performance.now() - startedAtMs < durationMs) {
    for (let i = 0; i < batch; i += 1) work();
    count += batch;
  }
  return (count * 1_000) / (performance.now() - startedAtMs);
}
