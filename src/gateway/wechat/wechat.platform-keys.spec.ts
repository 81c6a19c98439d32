import { createCipheriv, createPrivateKey, generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { makeCertificate, type Name } from '../../../sandbox/certificate.js';
import vectors from '../../../test/vectors/wechat-v3.json' with { type: 'json' };
import { CallbackRejected } from '../gateway.port.js';
import { wechatCallback } from './wechat.callback.js';
import { createWechatClient, type WechatTransport } from './wechat.client.js';
import type { WechatConfig } from './wechat.config.js';
import { PlatformKeys, readCertificates } from './wechat.platform-keys.js';

const NOW = Date.UTC(2026, 0, 1);
const DAY = 86_400_000;
const NAME: Name = [['CN', 'Tenpay.com']];
const account = (): WechatConfig => ({ ...vectors.config });

interface Issued {
  serial: string;
  privateKey: KeyObject;
  entry: Record<string, unknown>;
}

/** A certificate as the list has it. */
function issued(
  serial: string,
  over: { expireTime?: string; key?: string; named?: string; pem?: string } = {},
): Issued {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const pem =
    over.pem ??
    makeCertificate({
      serial: BigInt(`0x${serial}`),
      issuer: NAME,
      subject: NAME,
      publicKey,
      signingKey: privateKey,
      expiresAtMs: NOW + 30 * DAY,
    });
  const cipher = createCipheriv('aes-256-gcm', over.key ?? vectors.config.apiV3Key, '61f9c719728a');
  cipher.setAAD(Buffer.from('certificate'));
  const ciphertext = Buffer.concat([cipher.update(pem), cipher.final(), cipher.getAuthTag()]).toString('base64');
  return {
    serial: over.named ?? serial,
    privateKey,
    entry: {
      serial_no: over.named ?? serial,
      effective_time: '2025-12-31T00:00:00+08:00',
      ...(over.expireTime === undefined ? {} : { expire_time: over.expireTime }),
      encrypt_certificate: {
        algorithm: 'AEAD_AES_256_GCM',
        nonce: '61f9c719728a',
        associated_data: 'certificate',
        ciphertext,
      },
    },
  };
}

const listOf = (...certificates: Issued[]): string => JSON.stringify({ data: certificates.map(({ entry }) => entry) });

beforeEach(() => void vi.useFakeTimers({ now: NOW, toFake: ['Date'] }));
afterEach(() => void vi.useRealTimers());

describe('a list of certificates', () => {
  it('is opened with the APIv3 key; each lasts until the earlier of its two ends', () => {
    const long = issued('5A01AAAA');
    const ending = issued('5A02AAAA', { expireTime: '2026-01-02T08:00:00+08:00' });
    const read = readCertificates(listOf(long, ending), account());
    expect([...read].map(([serial, { expiresAtMs }]) => [serial, expiresAtMs])).toEqual([
      ['5A01AAAA', NOW + 30 * DAY],
      ['5A02AAAA', NOW + DAY],
    ]);
  });

  it.each([
    ['under another key', () => issued('5A01AAAA', { key: 'x'.repeat(32) })],
    ['under another number than its own', () => issued('5A01AAAA', { named: '5A02AAAA' })],
    ['that is the merchant’s', () => issued('5A01AAAA', { named: vectors.config.serialNo })],
    ['that is none', () => issued('5A01AAAA', { pem: 'no certificate' })],
  ])('leaves out one %s', (_, bad) => {
    expect([...readCertificates(listOf(bad(), issued('5B01AAAA')), account()).keys()]).toEqual(['5B01AAAA']);
    expect(() => readCertificates(listOf(bad()), account())).toThrow('none that the apiV3Key opens');
  });

  it.each(['', '{}', '{"data":{}}', '{"data":[null,1,{"serial_no":1}]}'])('%s holds none', (body) => {
    expect(() => readCertificates(body, account())).toThrow('none that the apiV3Key opens');
  });
});

describe('the keys of an account', () => {
  const next = issued('5A01AAAA', { expireTime: '2026-01-02T08:00:00+08:00' });
  let clockMs = 0;
  let downloads: string[];
  const keysWith = (list: string | Error) => {
    clockMs = 1_000_000;
    downloads = [];
    const keys = new PlatformKeys(account(), () => clockMs);
    const refresh = (serial: string) =>
      keys.refresh(serial, () => {
        downloads.push(serial);
        return list instanceof Error ? Promise.reject(list) : Promise.resolve(list);
      });
    return { keys, refresh };
  };

  it('learn a new certificate, and let it go at its end', async () => {
    const { keys, refresh } = keysWith(listOf(next));
    expect(keys.find('5A01AAAA', new Date(NOW))).toBe('unknown');
    await refresh('5A01AAAA');
    expect(keys.find('5A01AAAA', new Date(NOW))).toHaveProperty('asymmetricKeyType', 'rsa');
    expect(keys.find('5A01AAAA', new Date(NOW + DAY))).toHaveProperty('asymmetricKeyType', 'rsa');
    expect(keys.find('5A01AAAA', new Date(NOW + DAY + 1))).toBe('expired');
    // Those of the settings stay beside it.
    expect(keys.find(vectors.config.publicKeyId, new Date(NOW + 365 * DAY))).toHaveProperty('asymmetricKeyType', 'rsa');
  });

  it('ask once in five minutes, however many unknown numbers come', async () => {
    const { refresh } = keysWith(listOf(next));
    await Promise.all(['5A01AAAA', '5A02AAAA', '5A03AAAA'].map(refresh));
    await refresh('5A04AAAA');
    clockMs += 5 * 60_000 - 1;
    await refresh('5A05AAAA');
    expect(downloads).toEqual(['5A01AAAA']);
    clockMs += 1;
    await refresh('5A06AAAA');
    expect(downloads).toEqual(['5A01AAAA', '5A06AAAA']);
  });

  it('do not ask for public keys, which are in no list, nor for what is no number', async () => {
    const { refresh } = keysWith(listOf(next));
    for (const serial of ['PUB_KEY_ID_9', '', '__proto__', '5a01aaaa']) await refresh(serial);
    expect(downloads).toEqual([]);
  });

  it('keep what they have when the list cannot be had, and say why', async () => {
    const { keys, refresh } = keysWith(new Error('the list of certificates was answered with 403'));
    await refresh('5A01AAAA');
    expect(keys.refreshFault).toBe('the list of certificates was answered with 403');
    expect(keys.find('5A01AAAA', new Date(NOW))).toBe('unknown');
    expect(keys.find(vectors.config.publicKeyId, new Date(NOW))).toHaveProperty('asymmetricKeyType', 'rsa');
  });

  it('encrypt for the public key, else for the certificate that lasts longest', async () => {
    const { keys } = keysWith(listOf(next));
    expect(keys.forEncryption(new Date(NOW))?.serial).toBe(vectors.config.publicKeyId);
    const { serial, pem } = vectors.platformCertificate;
    const { publicKeyId: _id, publicKey: _key, ...older } = account();
    const certificates = new PlatformKeys({ ...older, platformCertificates: { [serial]: pem } });
    await certificates.refresh('5A01AAAA', () => Promise.resolve(listOf(next)));
    expect(certificates.forEncryption(new Date(NOW))?.serial).toBe(serial);
    expect(certificates.forEncryption(new Date(Date.UTC(2200, 0, 1)))).toBeUndefined();
  });
});

describe('while certificates change', () => {
  const old = issued('5A0FAAAA');
  const next = issued('5A01AAAA');

  interface Reply {
    status: number;
    body: string;
    by: Issued | { serial: string; privateKey: KeyObject };
  }
  const stranger = { serial: '5A01AAAA', privateKey: generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey };

  /** WeChat Pay: answers the list and the refund as told, signed. */
  function platform(list: Reply, refund: Reply) {
    const asked: string[] = [];
    const transport: WechatTransport = async (request) => {
      await Promise.resolve();
      const isList = request.url === '/v3/certificates';
      asked.push(isList ? 'list' : 'refund');
      const { status, body, by } = isList ? list : refund;
      const timestamp = String(Math.floor(Date.now() / 1000));
      return {
        status,
        data: body,
        statusText: '',
        config: request,
        headers: {
          'wechatpay-timestamp': timestamp,
          'wechatpay-nonce': 'n',
          'wechatpay-serial': by.serial,
          'wechatpay-signature': sign('sha256', Buffer.from(`${timestamp}\nn\n${body}\n`), by.privateKey).toString(
            'base64',
          ),
        },
      };
    };
    return { asked, transport };
  }

  const known = { serial: vectors.config.publicKeyId, privateKey: createPrivateKey(vectors.keyA.privateKey) };
  const refundBy = (by: Reply['by'], status = 200): Reply => ({ status, body: vectors.refundAnswer, by });
  const list = (over: Partial<Reply> = {}): Reply => ({ status: 200, body: listOf(old, next), by: known, ...over });
  const ask = (client: ReturnType<typeof createWechatClient>) =>
    client.send({ operation: 'query', path: '/x', signal: new AbortController().signal, timeoutMs: 1000 });

  it('an answer under a new one is believed in the same call, and those under the old one as well', async () => {
    const { asked, transport } = platform(list(), refundBy(next));
    const client = createWechatClient(account(), transport);
    expect(await ask(client)).toMatchObject({ verified: true });
    expect(await ask(client)).toMatchObject({ verified: true });
    expect(asked).toEqual(['refund', 'list', 'refund']);
  });

  it('a refusal under a new one is proven too', async () => {
    const { transport } = platform(list(), refundBy(next, 404));
    expect(await ask(createWechatClient(account(), transport))).toMatchObject({ httpStatus: 404, verified: true });
  });

  it('a list signed with a certificate that is only in it is believed: the APIv3 key vouches for it', async () => {
    const { transport } = platform(list({ by: next }), refundBy(next));
    expect(await ask(createWechatClient(account(), transport))).toMatchObject({ verified: true });
  });

  it.each([
    ['answered with an error', list({ status: 403, body: '{"code":"NO_AUTH"}' }), /answered with 403/],
    ['signed by a stranger', list({ by: stranger }), /not believed: its signature is wrong/],
    ['empty', list({ body: '{"data":[]}' }), /apiV3Key opens/],
  ])('a list that is %s changes nothing', async (_, reply, because) => {
    const { asked, transport } = platform(reply, refundBy(next));
    const client = createWechatClient(account(), transport);
    expect(await ask(client)).toMatchObject({
      verified: false,
      unverifiedBecause: expect.stringMatching(because) as string,
    });
    await ask(client);
    expect(asked).toEqual(['refund', 'list', 'refund']);
  });

  it('a stranger who uses a known number is not believed', async () => {
    const { transport } = platform(list(), refundBy(stranger));
    expect(await ask(createWechatClient(account(), transport))).toMatchObject({
      verified: false,
      unverifiedBecause: 'its signature is wrong',
    });
  });

  it('a certificate of the settings that has expired proves nothing any more', async () => {
    const config: WechatConfig = {
      ...account(),
      platformCertificates: { [vectors.platformCertificate.serial]: vectors.platformCertificate.pem },
    };
    vi.setSystemTime(Date.UTC(2200, 0, 1));
    const body = Buffer.from('{}');
    const receivedAt = new Date();
    const timestamp = String(receivedAt.getTime() / 1000);
    const headers = {
      'wechatpay-timestamp': timestamp,
      'wechatpay-nonce': 'n',
      'wechatpay-serial': vectors.platformCertificate.serial,
      'wechatpay-signature': sign('sha256', Buffer.from(`${timestamp}\nn\n{}\n`), known.privateKey).toString('base64'),
    };
    // Nothing listens there: the list that is asked for in the background is not had.
    const offline = { ...config, baseUrl: 'http://127.0.0.1:1' };
    const receive = () => wechatCallback.receive({ headers, body, receivedAt }, offline);
    expect(receive).toThrow(CallbackRejected);
    expect(receive).toThrow('signed with a certificate that has expired');
  });
});
