import { createHash, createHmac } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SignatureConfigError } from './digest.js';
import {
  APP_ID_HEADER,
  hmacBodyString,
  isNonce,
  isTimestamp,
  NONCE_HEADER,
  SIGNATURE_HEADER,
  signHmacBody,
  TIMESTAMP_HEADER,
  verifyHmacBody,
  type HmacBodyParts,
} from './hmac-body.js';

const body = Buffer.from('{"refundNo":"R0001"}');

function parts(changes: Partial<HmacBodyParts> = {}): HmacBodyParts {
  return {
    method: 'POST',
    path: '/unipay/syncRefund',
    appId: 'A1',
    timestamp: '1707408964',
    nonce: 'n0nce_-Z',
    body,
    ...changes,
  };
}

describe('hmacBodyString', () => {
  it('is six lines, each ended by a line feed', () => {
    expect(hmacBodyString(parts())).toBe(
      `POST\n/unipay/syncRefund\nA1\n1707408964\nn0nce_-Z\n${createHash('sha256').update(body).digest('hex')}\n`,
    );
  });

  it('writes the method in upper case and hashes an empty body too', () => {
    expect(hmacBodyString(parts({ method: 'post', body: new Uint8Array() }))).toBe(
      'POST\n/unipay/syncRefund\nA1\n1707408964\nn0nce_-Z\ne3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n',
    );
  });

  it.each([
    ['a line break in the path', { path: '/a\nA2' }],
    ['a line break in the app id', { appId: 'A1\n1707408964' }],
    ['a line break in the method', { method: 'POST\n/' }],
    ['no method', { method: '' }],
    ['no path', { path: '' }],
    ['no app id', { appId: '' }],
    ['a short nonce', { nonce: 'short' }],
    ['a timestamp in milliseconds', { timestamp: '1707408964123' }],
  ])('refuses %s: an error to who signs, false to who verifies', (_what, changes) => {
    expect(() => hmacBodyString(parts(changes))).toThrow(TypeError);
    expect(() => signHmacBody('s', parts(changes))).toThrow(TypeError);
    expect(verifyHmacBody('s', parts(changes), 'a'.repeat(64))).toBe(false);
  });
});

describe('the shapes of nonce and timestamp', () => {
  it('accept 8 to 64 of the URL-safe alphabet', () => {
    for (const nonce of ['abcdEF09', '_-_-_-_-', 'x'.repeat(64)]) expect(isNonce(nonce)).toBe(true);
    for (const nonce of [
      '',
      'short12',
      'x'.repeat(65),
      'with space',
      'line\nbreak',
      'abcdefgh\n',
      'non+url/safe',
      '中文中文中文中文',
    ]) {
      expect(isNonce(nonce)).toBe(false);
    }
  });

  it('accept 10 digits', () => {
    expect(isTimestamp('1707408964')).toBe(true);
    for (const timestamp of [
      '',
      '170740896',
      '17074089640',
      ' 1707408964',
      '1707408964\n',
      '-170740896',
      '1e9',
      '１７０７４０８９６４',
    ]) {
      expect(isTimestamp(timestamp)).toBe(false);
    }
  });
});

describe('the names of the headers', () => {
  it('are those of the protocol, in the case Node.js gives them', () => {
    expect([APP_ID_HEADER, TIMESTAMP_HEADER, NONCE_HEADER, SIGNATURE_HEADER]).toEqual(
      ['X-App-Id', 'X-Timestamp', 'X-Nonce', 'X-Signature'].map((header) => header.toLowerCase()),
    );
  });
});

describe('signHmacBody and verifyHmacBody', () => {
  it('are HMAC-SHA256 of the string in lower-case hex', () => {
    const signature = signHmacBody('密钥', parts());
    expect(signature).toBe(createHmac('sha256', '密钥').update(hmacBodyString(parts())).digest('hex'));
    expect(verifyHmacBody('密钥', parts(), signature)).toBe(true);
  });

  it('bind method, path, app, time, nonce, every byte of the body and the secret', () => {
    const signature = signHmacBody('s', parts());
    const changes: Partial<HmacBodyParts>[] = [
      { method: 'PUT' },
      { path: '/unipay/syncPay' },
      { path: '//unipay/syncRefund' },
      { appId: 'A2' },
      { timestamp: '1707408965' },
      { nonce: 'n0nce_-z' },
      { body: Buffer.from('{"refundNo": "R0001"}') },
      { body: new Uint8Array() },
    ];
    for (const change of changes) expect(verifyHmacBody('s', parts(change), signature)).toBe(false);
    expect(verifyHmacBody('S', parts(), signature)).toBe(false);
  });

  it('refuse a signature of another shape, without an error', () => {
    const signature = signHmacBody('s', parts());
    for (const broken of [
      '',
      signature.toUpperCase(),
      signature.slice(1),
      `${signature}0`,
      `${signature}\n`,
      '中'.repeat(64),
      'g'.repeat(64),
    ]) {
      expect(verifyHmacBody('s', parts(), broken)).toBe(false);
    }
  });

  it('refuse an empty secret as an error of configuration', () => {
    expect(() => signHmacBody('', parts())).toThrow(SignatureConfigError);
    expect(() => verifyHmacBody('', parts(), '')).toThrow(SignatureConfigError);
  });

  it('hold for any message, and for no other', () => {
    const anyParts = fc.record({
      method: fc.constantFrom('GET', 'POST', 'PUT'),
      path: fc.webPath().map((path) => `/${path}`),
      appId: fc.string({ minLength: 1, maxLength: 10 }),
      timestamp: fc.stringMatching(/^\d{10}$/),
      nonce: fc.stringMatching(/^[A-Za-z0-9_-]{8,64}$/),
      body: fc.uint8Array({ maxLength: 50 }),
    });
    fc.assert(
      fc.property(anyParts, anyParts, fc.string({ minLength: 1 }), (own, other, secret) => {
        const signature = signHmacBody(secret, own);
        expect(verifyHmacBody(secret, own, signature)).toBe(true);
        for (const name of ['method', 'path', 'appId', 'timestamp', 'nonce', 'body'] as const) {
          const mixed = { ...own, [name]: other[name] };
          expect(verifyHmacBody(secret, mixed, signature)).toBe(hmacBodyString(mixed) === hmacBodyString(own));
        }
      }),
      { numRuns: 100 },
    );
  });
});
