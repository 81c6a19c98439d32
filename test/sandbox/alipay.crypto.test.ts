import { createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto';
import { AlipaySdk } from 'alipay-sdk';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  certificateNumber,
  notificationMessage,
  requestMessage,
  signMessage,
  verifyMessage,
} from '../../sandbox/alipay/alipay.crypto.js';
import { createSandbox, type Sandbox } from '../../sandbox/server.js';
import vectors from '../vectors/alipay.json' with { type: 'json' };
import type { AlipayCertificateSettings } from './alipay.support.js';

const keyA = { private: createPrivateKey(vectors.keyA.privateKey), public: createPublicKey(vectors.keyA.publicKey) };
const publicKey = (base64: string) =>
  createPublicKey({ key: Buffer.from(base64, 'base64'), format: 'der', type: 'spki' });
const parametersOf = (text: string): Record<string, string> =>
  Object.fromEntries(
    text.split(/&(?=[a-z_]+=)/).map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]),
  );

describe('the published vectors', () => {
  it.each(Object.entries(vectors.signatures))('%s is signed and verified', async (_name, { text, signature }) => {
    expect(await signMessage(text, keyA.private)).toBe(signature);
    expect(verifyMessage(text, signature, keyA.public)).toBe(true);
    expect(verifyMessage(`${text}x`, signature, keyA.public)).toBe(false);
  });

  it('A-REAL-1 and A-REAL-2, which Alipay signed, are verified', () => {
    const { reply, notification } = vectors.real;
    expect(verifyMessage(reply.text, reply.signature, publicKey(reply.publicKey))).toBe(true);
    const message = notificationMessage({ ...parametersOf(notification.text), sign: 'x', sign_type: 'RSA2' });
    expect(message).toBe(notification.text);
    expect(verifyMessage(message, notification.signature, publicKey(notification.publicKey))).toBe(true);
  });

  it('A1 and A3 are put together from their parameters: sign_type is signed in requests, not in notifications', () => {
    const { A1, A3 } = vectors.signatures;
    expect(requestMessage(new Map(Object.entries({ ...parametersOf(A1.text), sign: 'x', empty: '' }).reverse()))).toBe(
      A1.text,
    );
    expect(notificationMessage({ ...parametersOf(A3.text), sign_type: 'RSA2', sign: 'x' })).toBe(A3.text);
  });

  it('a signature that is no base64 is simply wrong', () => {
    expect(verifyMessage('x', '<script>', keyA.public)).toBe(false);
    expect(verifyMessage('x', '', keyA.public)).toBe(false);
  });
});

describe('the numbers of certificates', () => {
  it('are those of certificates that OpenSSL made', () => {
    const { appCert, appCertSn } = vectors.certificates;
    const certificate = new X509Certificate(appCert);
    expect(certificateNumber(certificate.issuer.split('\n'), BigInt(`0x${certificate.serialNumber}`))).toBe(appCertSn);
  });
});

describe('the sandbox’s own certificates', () => {
  let sandbox: Sandbox;
  let settings: AlipayCertificateSettings;
  beforeAll(async () => {
    sandbox = await createSandbox();
    const account = sandbox.accounts('certificates').find(({ channel }) => channel === 'ali_pay');
    settings = account?.config as unknown as AlipayCertificateSettings;
  });
  afterAll(() => sandbox.close());

  it('are X.509: the authority signs itself and the two others', () => {
    const [root, app, alipay] = [settings.alipayRootCert, settings.appCert, settings.alipayPublicCert].map(
      (pem) => new X509Certificate(pem),
    );
    for (const certificate of [root, app, alipay]) {
      expect(certificate?.verify(root?.publicKey ?? keyA.public)).toBe(true);
      expect(new Date(certificate?.validTo ?? 0).getTime()).toBeGreaterThan(Date.now());
    }
    expect(app?.checkPrivateKey(createPrivateKey(settings.privateKey))).toBe(true);
    expect(app?.subject).toContain(`CN=${settings.appId}`);
    expect(settings).not.toHaveProperty('alipayPublicKey');
  });

  it('have the numbers that the official library works out, and are asked for by them', async () => {
    const sdk = new AlipaySdk({
      appId: settings.appId,
      privateKey: settings.privateKey,
      keyType: 'PKCS8',
      gateway: settings.gatewayUrl,
      appCertContent: settings.appCert,
      alipayPublicCertContent: settings.alipayPublicCert,
      alipayRootCertContent: settings.alipayRootCert,
    });
    await fetch(`${sandbox.url}/control/refunds`, {
      method: 'POST',
      body: JSON.stringify({
        channel: 'ali_pay',
        outRefundNo: 'R1',
        outTradeNo: 'T1',
        amount: 100,
        currency: 'CNY',
        script: [{ afterMs: 0, status: 'success' }],
      }),
    });
    const bizContent = { out_trade_no: 'T1', out_request_no: 'R1' };
    const answer = await sdk.exec('alipay.trade.fastpay.refund.query', { bizContent }, { validateSign: true });
    expect(answer).toMatchObject({ code: '10000', refundStatus: 'REFUND_SUCCESS', refundAmount: '1.00' });
  });
});
