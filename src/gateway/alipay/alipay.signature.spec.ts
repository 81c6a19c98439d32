import { createHash, createPrivateKey, createPublicKey } from 'node:crypto';
import { describe, expect, it } from 'vitest';

import vectors from '../../../test/vectors/alipay.json' with { type: 'json' };
import { JsonNumber } from '../../shared/lossless-json.js';
import { callbackText, readEnvelope, requestText, signRsa2, verifyRsa2 } from './alipay.signature.js';

const QUERY = 'alipay.trade.fastpay.refund.query';
const privateKeyA = createPrivateKey(vectors.keyA.privateKey);
const publicKeyA = createPublicKey(vectors.keyA.publicKey);
const keyOf = (base64: string) => createPublicKey({ key: Buffer.from(base64, 'base64'), format: 'der', type: 'spki' });

/** `k=v&k=v` as the vectors print it, taken apart. */
const parametersOf = (text: string): Record<string, string> =>
  Object.fromEntries(
    text.split(/&(?=[a-z_]+=)/).map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]),
  );
const latin1 = (text: string) => Buffer.from(text).toString('latin1');

describe('RSA2', () => {
  it.each(Object.entries(vectors.signatures))('makes and verifies vector %s', (_name, { text, signature }) => {
    expect(signRsa2(text, privateKeyA)).toBe(signature);
    expect(verifyRsa2(text, signature, publicKeyA)).toBe(true);
    expect(verifyRsa2(`${text} `, signature, publicKeyA)).toBe(false);
  });

  it('verifies a real reply of Alipay (A-REAL-1)', () => {
    const { text, publicKey, signature } = vectors.real.reply;
    expect(verifyRsa2(text, signature, keyOf(publicKey))).toBe(true);
    expect(verifyRsa2(text, signature, publicKeyA)).toBe(false);
  });

  it('takes no text that is no signature', () => {
    expect(verifyRsa2('x', '', publicKeyA)).toBe(false);
    expect(verifyRsa2('x', 'no base64 at all', publicKeyA)).toBe(false);
  });
});

describe('the text of a request', () => {
  it('is that of vector A1, whatever the order of the parameters', () => {
    const { text } = vectors.signatures.A1;
    const parameters = parametersOf(text);
    const backwards = Object.fromEntries(Object.entries(parameters).reverse());
    expect(requestText(parameters)).toBe(text);
    expect(requestText(backwards)).toBe(text);
  });

  it('has sign_type, and neither sign nor what is empty', () => {
    expect(requestText({ sign_type: 'RSA2', sign: 'x', b: '', a: 'raw & = %' })).toBe('a=raw & = %&sign_type=RSA2');
  });
});

describe('the text of a callback', () => {
  it('is that of vector A3: without sign and sign_type, decoded', () => {
    const { text, signature } = vectors.signatures.A3;
    const parameters = new Map(
      Object.entries({ ...parametersOf(text), sign: signature, sign_type: 'RSA2' })
        .reverse()
        .map(([name, value]) => [name, latin1(value)]),
    );
    expect(callbackText(parameters).toString()).toBe(text);
    expect(verifyRsa2(callbackText(parameters), signature, publicKeyA)).toBe(true);
  });

  it('is that of a real notification (A-REAL-2)', () => {
    const { text, sha256, signature, publicKey } = vectors.real.notification;
    const parameters = new Map(Object.entries(parametersOf(text)).map(([name, value]) => [name, latin1(value)]));
    const signed = callbackText(parameters);
    expect(createHash('sha256').update(signed).digest('hex')).toBe(sha256);
    expect(verifyRsa2(signed, signature, keyOf(publicKey))).toBe(true);
  });

  it('keeps empty values, as the official libraries do', () => {
    expect(callbackText(new Map(Object.entries({ b: '', a: '1' }))).toString()).toBe('a=1&b=');
  });
});

describe('an answer taken apart', () => {
  const read = (text: string, method = QUERY) => readEnvelope(Buffer.from(text), method);
  const member = '"alipay_trade_fastpay_refund_query_response"';

  it('gives the exact text that vector A2 signs', () => {
    const { text, signature } = vectors.signatures.A2;
    const envelope = read(`{${member}:${text},"sign":"${signature}"}`);
    expect(envelope?.signedText).toBe(text);
    expect(envelope?.sign).toBe(signature);
    expect(verifyRsa2(envelope?.signedText ?? '', envelope?.sign ?? '', publicKeyA)).toBe(true);
  });

  it('keeps white space, escaped slashes and braces in texts: the signature covers them as they came', () => {
    const response = String.raw`{ "code":"10000" , "a":"x\/y","b":"}\"sign\":\"{","c":[{"d":"]"}],"e":{"f":{}} }`;
    const envelope = read(` {\n${member} : ${response} , "sign" : "S=" }\n`);
    expect(envelope?.signedText).toBe(response);
    expect(envelope?.sign).toBe('S=');
    expect(envelope?.fields.get('a')).toBe('x/y');
  });

  it('finds it wherever it stands, with the certificate of certificate mode', () => {
    const envelope = read(`{"n":-1.5,"sign":"S=","t":true,"alipay_cert_sn":"abc",${member}:{"code":"10000"},"z":null}`);
    expect(envelope).toMatchObject({ signedText: '{"code":"10000"}', sign: 'S=', certSn: 'abc' });
  });

  it('keeps the digits of numbers', () => {
    expect(read(`{${member}:{"refund_amount":1.10},"sign":"S="}`)?.fields.get('refund_amount')).toEqual(
      new JsonNumber('1.10'),
    );
  });

  it('takes an error_response, which has no signature', () => {
    const envelope = read('{"error_response":{"code":"40002","sub_code":"isv.invalid-app-id"}}');
    expect(envelope?.fields.get('sub_code')).toBe('isv.invalid-app-id');
    expect(envelope?.sign).toBeNull();
  });

  it('takes the answer to this method alone, and before an error_response', () => {
    expect(read('{"alipay_trade_refund_response":{"code":"10000"},"sign":"S="}')).toBeUndefined();
    expect(read(`{"error_response":{"code":"20000"},${member}:{"code":"10000"},"sign":"S="}`)?.fields.get('code')).toBe(
      '10000',
    );
  });

  it.each([
    ['nothing', ''],
    ['an error page', '<html><body>502</body></html>'],
    ['half an answer', `{${member}:{"code":"10000","msg":"Succ`],
    ['a list', `[{${member}:{}}]`],
    ['a response that is a text, as encrypted answers are', `{${member}:"AES","sign":"S="}`],
    ['the response twice: which of the two is signed?', `{${member}:{"code":"1"},${member}:{"code":"2"},"sign":"S="}`],
    ['a member twice within it', `{${member}:{"code":"1","code":"2"},"sign":"S="}`],
    ['two answers', `{${member}:{"code":"1"}}{${member}:{"code":"2"}}`],
  ])('refuses %s', (_what, text) => {
    expect(read(text)).toBeUndefined();
  });

  it('refuses what is not UTF-8', () => {
    const bytes = Buffer.concat([Buffer.from(`{${member}:{"msg":"`), Buffer.from([0xb3, 0xc9]), Buffer.from('"}}')]);
    expect(readEnvelope(bytes, QUERY)).toBeUndefined();
  });
});
