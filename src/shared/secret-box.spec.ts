import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { SecretBox } from './secret-box.js';

describe('SecretBox', () => {
  const box = new SecretBox(randomBytes(32));

  it('opens what it sealed, for the same context alone', () => {
    const sealed = box.seal('密钥 123456', 'merchant_app:default');
    expect(sealed).not.toContain('123456');
    expect(box.open(sealed, 'merchant_app:default')).toBe('密钥 123456');
    expect(() => box.open(sealed, 'merchant_app:other')).toThrow('belongs elsewhere');
  });

  it('refuses a changed text and names the key of another box', () => {
    const sealed = box.seal('x', 'c');
    const parts = sealed.split('.');
    const flipped = Buffer.from(parts[3]!, 'base64url');
    flipped[0]! ^= 1;
    expect(() => box.open([...parts.slice(0, 3), flipped.toString('base64url')].join('.'), 'c')).toThrow('was changed');
    expect(() => new SecretBox(randomBytes(32)).open(sealed, 'c')).toThrow(`sealed with key ${box.keyId}`);
    expect(() => box.open('nonsense', 'c')).toThrow('not a sealed text');
  });

  it('never seals the same text to the same bytes', () => {
    expect(box.seal('x', 'c')).not.toBe(box.seal('x', 'c'));
  });
});

describe('SecretBox after a change of the key', () => {
  const [old, current] = [randomBytes(32), randomBytes(32)];
  const box = new SecretBox(current, [randomBytes(32), old]);

  it('opens what the old key sealed, and seals with the new one alone', () => {
    expect(box.open(new SecretBox(old).seal('x', 'c'), 'c')).toBe('x');
    const sealed = box.seal('x', 'c');
    expect(sealed.startsWith(box.prefix)).toBe(true);
    expect(new SecretBox(current).open(sealed, 'c')).toBe('x');
    expect(() => new SecretBox(old).open(sealed, 'c')).toThrow('MASTER_KEY_OLD does not have it');
  });

  it('takes keys of 32 bytes only', () => {
    expect(() => new SecretBox(current, [randomBytes(16)])).toThrow('32 bytes');
  });
});
