import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';

import vectors from '../../../test/vectors/alipay.json' with { type: 'json' };
import { parseConfig } from '../config-schema.js';
import { GatewayError } from '../gateway.error.js';
import { alipayConfig, alipayKeys, type AlipayConfig } from './alipay.config.js';

const { keyA, certificates } = vectors;
const { appCert, alipayPublicCert, alipayRootCert } = certificates;
const alipayPublicKey = createPublicKey(certificates.alipayPrivateKey)
  .export({ type: 'spki', format: 'pem' })
  .toString();
const bare = (pem: string) => pem.replace(/-----[^-]+-----|\s/g, '');

const account = { appId: '2021000000000000', privateKey: keyA.privateKey };
const inKeyMode = (over: Record<string, unknown> = {}) =>
  parseConfig(alipayConfig, { ...account, alipayPublicKey, ...over });
const withCertificates = (over: Record<string, unknown> = {}) =>
  parseConfig(alipayConfig, { ...account, appCert, alipayPublicCert, alipayRootCert, ...over });

describe('Alipay settings', () => {
  it('take key mode and certificate mode', () => {
    expect(inKeyMode().faults).toEqual([]);
    expect(withCertificates().faults).toEqual([]);
  });

  it('take every optional setting', () => {
    const { faults } = inKeyMode({
      sellerId: '2088000000000000',
      gatewayUrl: 'https://openapi-sandbox.dl.alipaydev.com/gateway.do',
      notifyUrl: 'https://refunds.example.com/callback/alipay/1',
    });
    expect(faults).toEqual([]);
  });

  const pkcs1 = generateKeyPairSync('rsa', { modulusLength: 2048 })
    .privateKey.export({ type: 'pkcs1', format: 'pem' })
    .toString();

  it.each([
    ['PKCS#8 PEM', keyA.privateKey],
    ['PKCS#1 PEM', pkcs1],
    ['bare PKCS#8 base64', bare(keyA.privateKey)],
    ['bare PKCS#1 base64, as the key tool prints it for languages other than Java', bare(pkcs1)],
    ['PEM whose line breaks were lost', keyA.privateKey.replaceAll('\n', ' ')],
  ])('take a private key as %s', (_form, privateKey) => {
    expect(inKeyMode({ privateKey }).faults).toEqual([]);
    expect(alipayKeys({ ...account, alipayPublicKey, privateKey }).app.type).toBe('private');
  });

  it('take the Alipay public key as bare base64, as the console shows it', () => {
    expect(inKeyMode({ alipayPublicKey: bare(alipayPublicKey) }).faults).toEqual([]);
  });

  it('mark the private key as the only secret', () => {
    const secret = Object.entries(alipayConfig).filter(([, field]) => field.secret);
    expect(secret.map(([name]) => name)).toEqual(['privateKey']);
  });

  const small = generateKeyPairSync('rsa', { modulusLength: 1024 });
  const curve = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const pem = { type: 'pkcs8', format: 'pem' } as const;

  it.each<[string, string, unknown, RegExp]>([
    ['an application id with letters', 'appId', 'wx2021', /digits/],
    ['a missing application id', 'appId', undefined, /required/],
    ['a missing private key', 'privateKey', undefined, /required/],
    ['a public key as private key', 'privateKey', keyA.publicKey, /private key, this is a PUBLIC KEY/],
    ['a private key that is cut off', 'privateKey', keyA.privateKey.slice(0, 900), /not one whole PEM block/],
    ['base64 of something else as private key', 'privateKey', 'AAAA', /not a readable RSA private key/],
    ['words as private key', 'privateKey', 'my secret key!', /neither PEM nor base64/],
    [
      'an encrypted private key',
      'privateKey',
      '-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIE\n-----END ENCRYPTED PRIVATE KEY-----',
      /passphrase/,
    ],
    ['a short RSA key', 'privateKey', small.privateKey.export(pem), /at least 2048 bits, has 1024/],
    ['a key on a curve', 'privateKey', curve.privateKey.export(pem), /must be an RSA key, is ec/],
    ['a private key as public key', 'alipayPublicKey', keyA.privateKey, /public key, this is a PRIVATE KEY/],
    ['a bare private key as public key', 'alipayPublicKey', bare(keyA.privateKey), /public key, this is a private key/],
    ['a certificate as public key', 'alipayPublicKey', alipayPublicCert, /alipayPublicCert/],
    ['its own public key', 'alipayPublicKey', keyA.publicKey, /应用公钥/],
    ['no key of Alipay at all', 'alipayPublicKey', undefined, /required, unless appCert/],
    ['a seller id that is none', 'sellerId', '2021000000000000', /2088/],
    ['plain http', 'gatewayUrl', 'http://openapi.alipay.com/gateway.do', /https/],
    ['a gateway with a query', 'gatewayUrl', 'https://openapi.alipay.com/gateway.do?a=1', /query/],
    ['a notify URL that is none', 'notifyUrl', 'refunds', /absolute URL/],
    ['a setting of another gateway', 'mchId', '1900000100', /not a setting of this gateway/],
  ])('refuse %s', (_what, field, value, fault) => {
    const { faults } = inKeyMode({ [field]: value });
    expect(faults).toHaveLength(1);
    expect(faults[0]).toMatchObject({ field, fault: expect.stringMatching(fault) as string });
  });

  it.each<[string, string, Record<string, unknown>, RegExp]>([
    ['a missing root certificate', 'alipayRootCert', { alipayRootCert: undefined }, /required with appCert and alipay/],
    ['a missing application certificate', 'appCert', { appCert: undefined }, /required with alipayPublicCert/],
    ['both modes at once', 'alipayPublicKey', { alipayPublicKey }, /left out in certificate mode/],
    ['a public key instead of a certificate', 'appCert', { appCert: keyA.publicKey }, /BEGIN CERTIFICATE/],
    ['a broken certificate', 'appCert', { appCert: appCert.slice(0, 300) }, /not a readable certificate/],
    ['a root file without certificates', 'alipayRootCert', { alipayRootCert: 'roots' }, /BEGIN CERTIFICATE/],
  ])('refuse %s', (_what, field, over, fault) => {
    const { faults } = withCertificates(over);
    expect(faults).toContainEqual({ field, fault: expect.stringMatching(fault) as string });
  });

  it('refuse the two certificates in each other’s place', () => {
    const { faults } = withCertificates({ appCert: alipayPublicCert, alipayPublicCert: appCert });
    expect(faults).toEqual([
      { field: 'appCert', fault: 'belongs to another key than privateKey' },
      { field: 'alipayPublicCert', fault: expect.stringMatching(/certificate of the application/) as string },
    ]);
  });

  it('refuse a root file without an RSA root, which would have no number', () => {
    const [, onCurve] = alipayRootCert.split(/(?=-----BEGIN)/);
    expect(withCertificates({ alipayRootCert: onCurve }).faults).toEqual([
      { field: 'alipayRootCert', fault: expect.stringMatching(/RSA root/) as string },
    ]);
  });

  it('never repeat the private key', () => {
    const wrong = bare(keyA.privateKey).slice(0, 400);
    expect(JSON.stringify(inKeyMode({ privateKey: wrong }).faults)).not.toContain(wrong.slice(0, 24));
  });
});

describe('the keys of an account', () => {
  it('are parsed once per config object, and print as nothing', () => {
    const config: AlipayConfig = { ...account, alipayPublicKey };
    expect(alipayKeys(config)).toBe(alipayKeys(config));
    expect(inspect(alipayKeys(config), { depth: 5 })).not.toContain('MII');
  });

  it('have no certificate numbers in key mode', () => {
    expect(alipayKeys({ ...account, alipayPublicKey }).certificates).toBeNull();
  });

  it('have the numbers of the certificates, of the roots only RSA ones', () => {
    const keys = alipayKeys({ ...account, appCert, alipayPublicCert, alipayRootCert });
    const { appCertSn, alipayCertSn, alipayRootCertSn } = certificates;
    expect(keys.certificates).toEqual({ appCertSn, alipayCertSn, alipayRootCertSn });
    expect(alipayRootCertSn).toMatch(/^[0-9a-f]{32}_[0-9a-f]{32}$/);
    expect(keys.alipay.equals(createPublicKey(certificates.alipayPrivateKey))).toBe(true);
  });

  it.each<[string, Partial<AlipayConfig>]>([
    ['privateKey', { privateKey: 'gone' }],
    ['alipayPublicKey', { alipayPublicKey: undefined }],
    ['alipayPublicCert', { alipayPublicCert: 'gone' }],
    ['appCert', { appCert: 'gone', alipayPublicCert, alipayRootCert }],
  ])('that cannot be read are badConfig naming %s', (setting, over) => {
    try {
      alipayKeys({ ...account, alipayPublicKey, ...over });
      expect.unreachable();
    } catch (error) {
      expect(error).toBeInstanceOf(GatewayError);
      expect(error).toMatchObject({ kind: 'badConfig', code: 'bad_key' });
      expect((error as Error).message).toContain(setting);
    }
  });
});
