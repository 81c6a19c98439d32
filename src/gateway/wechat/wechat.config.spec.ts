import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';

import vectors from '../../../test/vectors/wechat-v3.json' with { type: 'json' };
import { parseConfig } from '../config-schema.js';
import { GatewayError } from '../gateway.error.js';
import { wechatConfig, wechatKeys, type WechatConfig } from './wechat.config.js';

const { publicKeyId, publicKey, ...account } = vectors.config;
const certificate = vectors.platformCertificate;

const withPublicKey = (over: Record<string, unknown> = {}) => parseConfig(wechatConfig, { ...vectors.config, ...over });
const withCertificates = (platformCertificates: unknown, over: Record<string, unknown> = {}) =>
  parseConfig(wechatConfig, { ...account, platformCertificates, ...over });

describe('WeChat Pay settings', () => {
  it('take a public key, platform certificates, or both during the migration', () => {
    expect(withPublicKey().faults).toEqual([]);
    expect(withCertificates({ [certificate.serial]: certificate.pem }).faults).toEqual([]);
    expect(withPublicKey({ platformCertificates: { [certificate.serial]: certificate.pem } }).faults).toEqual([]);
  });

  it('take every optional setting', () => {
    const { faults, config } = withPublicKey({
      notifyUrl: 'https://refunds.example.com/callback/wechat/1',
      subMchId: '1900000109',
      fundsAccount: 'UNSETTLED',
      baseUrl: 'https://api2.mch.weixin.qq.com',
    });
    expect(faults).toEqual([]);
    expect(config?.subMchId).toBe('1900000109');
  });

  it.each(['http://localhost:9100', 'http://127.0.0.1:9100/wechat', 'http://[::1]:9100'])(
    'take plain http on this machine: %s',
    (baseUrl) => {
      expect(withPublicKey({ baseUrl }).faults).toEqual([]);
    },
  );

  const small = generateKeyPairSync('rsa', { modulusLength: 1024 });
  const curve = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const pkcs1 = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ type: 'pkcs1', format: 'pem' });

  it.each<[string, string, unknown, RegExp]>([
    ['a merchant number with letters', 'mchId', 'wx1900000100', /digits/],
    ['a missing merchant number', 'mchId', undefined, /required/],
    ['a serial number in lower case', 'serialNo', 'f5765756002fdd77', /upper-case/],
    ['a serial number with colons', 'serialNo', 'F5:76:57:56', /upper-case/],
    ['an APIv3 key of 31 bytes', 'apiV3Key', 'x'.repeat(31), /exactly 32 bytes, has 31/],
    ['an APIv3 key of 32 characters but more bytes', 'apiV3Key', 'é'.repeat(32), /has 64/],
    [
      'a private key without PEM lines',
      'privateKey',
      'MIIEvgIBADANBg',
      /PEM text that starts with -----BEGIN PRIVATE KEY-----/,
    ],
    ['a certificate as private key', 'privateKey', certificate.pem, /this is a CERTIFICATE/],
    ['a PKCS#1 private key', 'privateKey', pkcs1, /openssl pkcs8/],
    ['an encrypted private key', 'privateKey', '-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIE', /passphrase/],
    ['a private key cut in half', 'privateKey', vectors.config.privateKey.slice(0, 900), /not a readable PKCS#8/],
    ['a private key with \\n as text', 'privateKey', vectors.config.privateKey.replaceAll('\n', '\\n'), /line breaks/],
    [
      'a private key of 1024 bits',
      'privateKey',
      small.privateKey.export({ type: 'pkcs8', format: 'pem' }),
      /at least 2048 bits, has 1024/,
    ],
    [
      'a private key that is not RSA',
      'privateKey',
      curve.privateKey.export({ type: 'pkcs8', format: 'pem' }),
      /must be an RSA key, is ec/,
    ],
    ['a private key in place of the public one', 'publicKey', vectors.config.privateKey, /this is a PRIVATE KEY/],
    [
      'a public key of 1024 bits',
      'publicKey',
      small.publicKey.export({ type: 'spki', format: 'pem' }),
      /at least 2048/,
    ],
    ['a public key id without its prefix', 'publicKeyId', '0119000001002024', /PUB_KEY_ID_/],
    ['plain http to another machine', 'baseUrl', 'http://api.mch.weixin.qq.com', /https/],
    ['a host that only looks local', 'baseUrl', 'http://127.0.0.1.evil.example', /https/],
    ['a base URL with a query string', 'baseUrl', 'https://api.example?x=1', /query string/],
    ['a base URL with a password', 'baseUrl', 'https://u:p@api.example', /password/],
    ['a base URL that is none', 'baseUrl', 'api.mch.weixin.qq.com', /absolute URL/],
    ['a callback address with a query string', 'notifyUrl', 'https://a.example/cb?account=1', /query string/],
    ['a callback address over plain http', 'notifyUrl', 'http://a.example/cb', /https/],
    ['a callback address that is too long', 'notifyUrl', `https://a.example/${'x'.repeat(256)}`, /256/],
    ['a sub-merchant number with letters', 'subMchId', 'sub', /digits/],
    ['a funds account that does not exist', 'fundsAccount', 'SAVINGS', /AVAILABLE, UNSETTLED/],
    ['a setting that does not exist', 'mchid', '1', /not a setting/],
  ])('refuse %s, naming it', (_, field, value, fault) => {
    const { faults } = withPublicKey({ [field]: value });
    expect(faults).toEqual([{ field, fault: expect.stringMatching(fault) as string }]);
  });

  it('refuse an account that could verify nothing', () => {
    const wanted = [{ field: 'platformCertificates', fault: expect.stringMatching(/unless publicKeyId/) as string }];
    expect(parseConfig(wechatConfig, account).faults).toEqual(wanted);
    expect(withCertificates({}).faults).toEqual(wanted);
  });

  it('refuse one half of the public key pair', () => {
    expect(parseConfig(wechatConfig, { ...account, publicKeyId }).faults).toMatchObject([{ field: 'publicKey' }]);
    expect(parseConfig(wechatConfig, { ...account, publicKey }).faults).toMatchObject([{ field: 'publicKeyId' }]);
  });

  it.each<[string, Record<string, unknown>, RegExp]>([
    ['under the serial number of another', { F5765756002FDD78: certificate.pem }, /serial number is 7132D72A/],
    ['of the merchant', { [account.serialNo]: vectors.config.publicKey }, /merchant certificate/],
    ['under a name that is no serial number', { platform: vectors.config.publicKey }, /entry platform: the name/],
    ['that cannot be read', { [certificate.serial]: certificate.pem.slice(0, 300) }, /not a readable certificate/],
    ['that is a private key', { [certificate.serial]: vectors.config.privateKey }, /this is a PRIVATE KEY/],
  ])('refuse a platform certificate %s', (_, certificates, fault) => {
    expect(withCertificates(certificates).faults).toEqual([
      { field: 'platformCertificates', fault: expect.stringMatching(fault) as string },
    ]);
  });

  it('repeat no secret in a fault', () => {
    const { faults } = withPublicKey({
      privateKey: `${vectors.config.privateKey.slice(0, 400)}`,
      apiV3Key: 'tooShortButStillSecret',
    });
    const text = JSON.stringify(faults);
    expect(faults).toHaveLength(2);
    expect(text).not.toContain('tooShort');
    expect(text).not.toContain(vectors.config.privateKey.slice(40, 80));
  });

  it('mark exactly the two secrets', () => {
    expect(
      Object.entries(wechatConfig)
        .filter(([, field]) => field.secret)
        .map(([name]) => name),
    ).toEqual(['privateKey', 'apiV3Key']);
  });
});

describe('WeChat Pay keys', () => {
  const config: WechatConfig = { ...vectors.config, platformCertificates: { [certificate.serial]: certificate.pem } };

  it('are parsed once, and found by either kind of serial', () => {
    const keys = wechatKeys(config);
    expect([...keys.platform.keys()]).toEqual([certificate.serial, publicKeyId]);
    expect(wechatKeys(config)).toBe(keys);
  });

  it('say which setting is unreadable and nothing of it', () => {
    const broken = { ...config, privateKey: 'my very secret words' };
    expect(() => wechatKeys(broken)).toThrow(GatewayError);
    expect(() => wechatKeys(broken)).toThrow('The WeChat Pay setting privateKey holds no readable key.');
  });
});
