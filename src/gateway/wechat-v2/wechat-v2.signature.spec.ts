import { describe, expect, it } from 'vitest';
import vectors from '../../../test/vectors/wechat-v2.json' with { type: 'json' };
import { decrypt } from './wechat-v2.callback.js';
import { isSigned, signFields, type WechatSignType } from './wechat-v2.signature.js';

describe('the published vectors', () => {
  it.each(vectors.signatures)('$name', ({ type, fields, sign }) => {
    expect(signFields(Object.entries(fields), vectors.apiKey, type as WechatSignType)).toBe(sign);
    const message = new Map([...Object.entries(fields), ['sign', sign] as [string, string], ['empty', '']]);
    expect(isSigned(message, vectors.apiKey, type as WechatSignType)).toBe(true);
  });

  it('req_info', () => {
    expect(decrypt(vectors.reqInfo.ciphertext, vectors.apiKey)).toBe(vectors.reqInfo.plaintext);
  });
});

describe('a signature', () => {
  const { fields, sign } = vectors.signatures[0] ?? { fields: {}, sign: '' };
  const message = (over: Record<string, string>) => new Map(Object.entries({ ...fields, sign, ...over }));

  it.each([
    ['over another value', { body: 'tests' }],
    ['over one field less', { more: '1' }],
    ['in lower case', { sign: sign.toLowerCase() }],
    ['that is cut', { sign: sign.slice(1) }],
    ['that is empty', { sign: '' }],
  ])('%s is none', (_, over) => {
    expect(isSigned(message(over), vectors.apiKey, 'MD5')).toBe(false);
  });

  it('of the other kind, or of another key, is none', () => {
    expect(isSigned(message({}), vectors.apiKey, 'HMAC-SHA256')).toBe(false);
    expect(isSigned(message({}), vectors.apiKey.replace('1', '2'), 'MD5')).toBe(false);
    expect(isSigned(new Map(Object.entries(fields)), vectors.apiKey, 'MD5')).toBe(false);
  });
});
