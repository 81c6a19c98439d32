import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { redactBody, redactText } from './redaction.js';

const PEM = (label: string) => `-----BEGIN ${label}-----\nMIIEvQIBADANBg\nkqhkiG9w0BAQEF\n-----END ${label}-----`;

describe('a text', () => {
  it('without anything secret stays as it is', () => {
    expect(redactText('退款单不存在 (RESOURCE_NOT_EXISTS)', ['s3cret-key'])).toBe('退款单不存在 (RESOURCE_NOT_EXISTS)');
  });

  it('loses every secret of the account, wherever it stands and however often', () => {
    expect(redactText('key=s3cret-key&again=s3cret-key;$&', ['s3cret-key', 'other-key'])).toBe('key=***&again=***;$&');
  });

  // "abcdef" was taken out of "abcdefgh" first, and "gh" stayed.
  it('loses the whole of a secret that begins with another one', () => {
    expect(redactText('old abcdef new abcdefgh', ['abcdef', 'abcdefgh'])).toBe('old *** new ***');
  });

  it('keeps what is too short to be a secret: it would take ordinary words with it', () => {
    expect(redactText('code 12345', ['', '12345'])).toBe('code 12345');
    expect(redactText('code 123456', ['123456'])).toBe('code ***');
  });

  it.each(['PRIVATE KEY', 'RSA PRIVATE KEY', 'CERTIFICATE', 'PUBLIC KEY'])('loses a %s', (label) => {
    expect(redactText(`before ${PEM(label)} after`, [])).toBe('before *** after');
    expect(redactText(`before ${PEM(label).replaceAll('\n', '\\n')} after`, [])).toBe('before *** after');
  });

  it('loses a key that was cut off, and keeps what stands between two', () => {
    expect(redactText('before -----BEGIN PRIVATE KEY-----\nMIIEvQ', [])).toBe('before ***');
    expect(redactText(`${PEM('PRIVATE KEY')} and ${PEM('CERTIFICATE')}`, [])).toBe('*** and ***');
  });

  it.each([
    'Authorization: Bearer sk_live_51H8x.y-z',
    'authorization: bearer sk_live_51H8x',
    'Authorization: Basic dXNlcjpwYXNz',
    'Authorization: WECHATPAY2-SHA256-RSA2048 mchid="1900",signature="uOVRnA4qG=="',
  ])('loses the credentials of %j', (text) => {
    const clean = redactText(`${text}\nnext line`, []);
    expect(clean).toMatch(/^authorization: \*\*\*\nnext line$/i);
  });

  it.each(['sk_live_51H8xyz', 'rk_test_51H8xyz', 'sk_test_****xyz', 'whsec_AbC123'])('loses the key %s', (key) => {
    expect(redactText(`Invalid API Key provided: ${key}.`, [])).toBe('Invalid API Key provided: ***.');
  });

  it.each(['sk_live_51H8xYz', 'rk_test_51H8x***4242', 'whsec_abc123'])(
    'loses %s, which shows that it is a key',
    (key) => {
      expect(redactText(`Invalid API Key provided: ${key}.`, [])).toBe('Invalid API Key provided: ***.');
    },
  );

  // Only 2,000 characters went; of a longer token the end stayed.
  it('loses credentials of any length', () => {
    expect(redactText(`Bearer ${'t0ken'.repeat(1_000)}`, [])).toBe('***');
  });

  it('has at most 500 characters, and a secret is not cut before it is found', () => {
    expect(redactText('x'.repeat(501), [])).toBe('x'.repeat(500));
    const clean = redactText(`${'x'.repeat(495)}s3cret-key`, ['s3cret-key']);
    expect(clean).toBe(`${'x'.repeat(495)}***`);
  });

  it('never holds a secret, whatever stands around it', () => {
    const secrets = fc.array(fc.string({ minLength: 6, maxLength: 20 }), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(secrets, fc.array(fc.string({ maxLength: 30 })), (keys, words) => {
        const text = words.flatMap((word, index) => [word, keys[index % keys.length] ?? '']).join(' ');
        // What is made of the mask and its neighbours by chance is no secret that was there.
        const found = keys.filter((key) => !key.includes('*') && redactText(text, keys).includes(key));
        expect(found).toEqual([]);
      }),
    );
  });
});

describe('a body', () => {
  const secrets = ['s3cret-key'];

  it('is redacted in its depth and in its lists, and keeps what is no text', () => {
    const body = {
      amount: 100,
      ok: true,
      none: null,
      big: 12345678901234567890n,
      list: ['s3cret-key', { key: 'a s3cret-key b' }],
      deep: { pem: PEM('PRIVATE KEY') },
    };
    expect(redactBody(body, secrets)).toEqual({
      amount: 100,
      ok: true,
      none: null,
      big: '12345678901234567890',
      list: ['***', { key: 'a *** b' }],
      deep: { pem: '***' },
    });
  });

  it('is not changed itself', () => {
    const body = Object.freeze({ key: 's3cret-key' });
    redactBody(body, secrets);
    expect(body.key).toBe('s3cret-key');
  });

  it('that goes too deep, or round in a circle, ends in a mask', () => {
    const circle: Record<string, unknown> = { code: 'OK' };
    circle.self = circle;
    expect(JSON.stringify(redactBody(circle, []))).toContain('"self":"***"');
  });

  it('that is too large is replaced by a note of its size', () => {
    const body = Object.fromEntries(Array.from({ length: 20 }, (_, index) => [`f${index}`, 'x'.repeat(400)]));
    expect(redactBody(body, [])).toEqual({ omitted: expect.stringMatching(/^8\d{3} characters$/) as string });
  });

  it('is no larger than 4 KiB as JSON, whatever it was', () => {
    const long = fc.string({ maxLength: 700 });
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.oneof(long, fc.array(long), fc.integer())), (body) => {
        expect(JSON.stringify(redactBody(body, [])).length).toBeLessThanOrEqual(4_096);
      }),
    );
  });
});
