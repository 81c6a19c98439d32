import {
  createCipheriv,
  createPrivateKey,
  createSecretKey,
  generateKeyPairSync,
  sign,
  type KeyObject,
} from 'node:crypto';
import { describe, expect, it } from 'vitest';

import vectors from '../../../test/vectors/wechat-v3.json' with { type: 'json' };
import { CallbackRejected, type RawCallback } from '../gateway.port.js';
import { wechatCallback } from './wechat.callback.js';
import { openAead } from './wechat.encryption.js';
import type { WechatConfig } from './wechat.config.js';

const { G0, G1 } = vectors.aead;
const config: WechatConfig = vectors.config;
const platformKey = createPrivateKey(vectors.keyA.privateKey);
const receivedAt = new Date('2024-01-01T00:05:02Z');
const sentAt = receivedAt.getTime() / 1000 - 1;

const genuineResource = {
  algorithm: 'AEAD_AES_256_GCM',
  original_type: 'refund',
  ciphertext: G1.ciphertext,
  associated_data: G1.associatedData,
  nonce: G1.nonce,
};

const genuineEvent = {
  id: '8bf1d1f4-0000-5f3c-9f5e-000000000001',
  create_time: '2024-01-01T08:05:01+08:00',
  event_type: 'REFUND.SUCCESS',
  resource_type: 'encrypt-resource',
  summary: '退款成功',
  resource: genuineResource as Record<string, unknown>,
};

/** A resource that WeChat Pay would make of this content. */
function seal(content: unknown): Record<string, unknown> {
  const cipher = createCipheriv('aes-256-gcm', config.apiV3Key, G1.nonce).setAAD(Buffer.from(G1.associatedData));
  const sealed = [cipher.update(typeof content === 'string' ? content : JSON.stringify(content)), cipher.final()];
  return { ...genuineResource, ciphertext: Buffer.concat([...sealed, cipher.getAuthTag()]).toString('base64') };
}

const content = (over: Record<string, unknown> = {}) => ({
  ...(JSON.parse(G1.plaintext) as Record<string, unknown>),
  ...over,
});

interface Sending {
  event?: unknown;
  body?: Buffer;
  timestamp?: string;
  nonce?: string;
  serial?: string;
  key?: KeyObject;
}

/** A callback as WeChat Pay would send it. */
function send({
  event = genuineEvent,
  body = Buffer.from(JSON.stringify(event)),
  timestamp = String(sentAt),
  nonce = 'c5ac7061fccab6bf3e254dcf98995b8c',
  serial = vectors.config.publicKeyId,
  key = platformKey,
}: Sending = {}): RawCallback {
  const signed = Buffer.concat([Buffer.from(`${timestamp}\n${nonce}\n`), body, Buffer.from('\n')]);
  return {
    body,
    receivedAt,
    headers: {
      'wechatpay-timestamp': timestamp,
      'wechatpay-nonce': nonce,
      'wechatpay-serial': serial,
      'wechatpay-signature': sign('RSA-SHA256', signed, key).toString('base64'),
      'wechatpay-signature-type': 'WECHATPAY2-SHA256-RSA2048',
    },
  };
}

const sendEvent = (over: Record<string, unknown>) => send({ event: { ...genuineEvent, ...over } });
const sendResource = (over: Record<string, unknown>) => sendEvent({ resource: { ...genuineResource, ...over } });
const sendContent = (over: Record<string, unknown>, event: Record<string, unknown> = {}) =>
  sendEvent({ ...event, resource: seal(content(over)) });
const receive = (raw: RawCallback, over: Partial<WechatConfig> = {}) =>
  wechatCallback.receive(raw, { ...config, ...over });

describe('a genuine callback', () => {
  it('becomes an observation (vector G1)', () => {
    expect(receive(send())).toEqual({
      eventKey: '8bf1d1f4-0000-5f3c-9f5e-000000000001',
      eventType: 'REFUND.SUCCESS',
      gatewayRequestNo: 'TEST-REFUND-0001',
      gatewayRefundNo: '50000000382019052709732678859',
      outTradeNo: 'TESTORDER0001',
      observation: {
        kind: 'success',
        authenticated: true,
        amountMinor: 100,
        currency: 'CNY',
        gatewayRefundNo: '50000000382019052709732678859',
        finishedAt: new Date('2024-01-01T00:05:00Z'),
        identity: {
          gatewayRequestNo: 'TEST-REFUND-0001',
          gatewayRefundNo: '50000000382019052709732678859',
          outTradeNo: 'TESTORDER0001',
          gatewayPaymentNo: '4200000000202401010000000001',
          merchantId: '1900000100',
        },
        raw: {
          code: 'SUCCESS',
          message: '',
          body: {
            mchid: '1900000100',
            out_refund_no: 'TEST-REFUND-0001',
            refund_id: '50000000382019052709732678859',
            out_trade_no: 'TESTORDER0001',
            transaction_id: '4200000000202401010000000001',
            refund_status: 'SUCCESS',
            success_time: '2024-01-01T08:05:00+08:00',
            amount: { total: 888, refund: 100, payer_total: 888, payer_refund: 100 },
            event_type: 'REFUND.SUCCESS',
          },
        },
      },
    });
  });

  it.each([
    ['REFUND.CLOSED', 'CLOSED', 'failed'],
    ['REFUND.CLOSED', 'CLOSE', 'failed'],
    ['REFUND.ABNORMAL', 'ABNORMAL', 'abnormal'],
  ])('%s with %s is %s', (event_type, refund_status, kind) => {
    const raw = sendContent({ refund_status, success_time: undefined }, { event_type });
    expect(receive(raw).observation).toMatchObject({ kind, raw: { code: refund_status } });
  });

  it('may be signed with a platform certificate while the account has moved to the public key', () => {
    const { serial, pem } = vectors.platformCertificate;
    expect(receive(send({ serial }), { platformCertificates: { [serial]: pem } }).observation.kind).toBe('success');
  });

  it.each([300, -300])('may be %i s old', (offset) => {
    expect(receive(send({ timestamp: String(sentAt + 1 + offset) })).observation.kind).toBe('success');
  });

  it('of a service provider names both merchants', () => {
    const raw = sendContent({ mchid: undefined, sp_mchid: '1900000100', sub_mchid: '1900000109' });
    expect(receive(raw, { subMchId: '1900000109' }).observation.identity.merchantId).toBe('1900000100/1900000109');
  });

  it('leaves another merchant’s number to be compared', () => {
    expect(receive(sendContent({ mchid: '1900009999' })).observation.identity.merchantId).toBe('1900009999');
  });

  it('without associated data is decrypted all the same', () => {
    const cipher = createCipheriv('aes-256-gcm', config.apiV3Key, G1.nonce);
    const sealed = [cipher.update(G1.plaintext), cipher.final()];
    const ciphertext = Buffer.concat([...sealed, cipher.getAuthTag()]).toString('base64');
    expect(receive(sendResource({ associated_data: undefined, ciphertext })).observation.kind).toBe('success');
  });
});

describe('a callback is refused', () => {
  const stranger = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
  const withHeader = (name: string, value: string | undefined): RawCallback => {
    const raw = send();
    return { ...raw, headers: { ...raw.headers, [name]: value } };
  };
  const withBody = (change: (text: string) => string): RawCallback => {
    const raw = send();
    return { ...raw, body: Buffer.from(change(raw.body.toString())) };
  };
  const flip = (base64: string, index: number): string => {
    const bytes = Buffer.from(base64, 'base64');
    const at = index < 0 ? bytes.length + index : index;
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    return bytes.toString('base64');
  };

  it.each<[string, () => RawCallback, RegExp]>([
    ['without a signature', () => withHeader('wechatpay-signature', undefined), /headers are missing/],
    ['without a timestamp', () => withHeader('wechatpay-timestamp', undefined), /headers are missing/],
    ['without a nonce', () => withHeader('wechatpay-nonce', ''), /headers are missing/],
    ['without a serial', () => withHeader('wechatpay-serial', undefined), /headers are missing/],
    ['with an empty signature', () => withHeader('wechatpay-signature', ''), /headers are missing/],
    [
      'as a signature probe',
      () => withHeader('wechatpay-signature', 'WECHATPAY/SIGNTEST/c2lnbmF0dXJl'),
      /signature is wrong/,
    ],
    ['with a signature that is no base64', () => withHeader('wechatpay-signature', '???'), /signature is wrong/],
    [
      'with another nonce',
      () => withHeader('wechatpay-nonce', 'd5ac7061fccab6bf3e254dcf98995b8c'),
      /signature is wrong/,
    ],
    ['with another timestamp', () => withHeader('wechatpay-timestamp', String(sentAt + 1)), /signature is wrong/],
    ['six minutes old', () => send({ timestamp: String(sentAt - 360) }), /300 s/],
    ['six minutes early', () => send({ timestamp: String(sentAt + 360) }), /300 s/],
    ['with a timestamp that is no number', () => send({ timestamp: 'NaN' }), /not a number/],
    ['with a timestamp in exponents', () => send({ timestamp: '17e8' }), /not a number/],
    ['with a line break in its nonce', () => send({ nonce: 'a\nb' }), /nonce is malformed/],
    ['with an unknown serial', () => send({ serial: 'PUB_KEY_ID_9' }), /not configured/],
    ['with the serial __proto__', () => send({ serial: '__proto__' }), /not configured/],
    ['with the merchant’s own serial', () => send({ serial: vectors.config.serialNo }), /not configured/],
    ['signed by a stranger', () => send({ key: stranger }), /signature is wrong/],
    ['with one space more in its body', () => withBody((text) => `${text} `), /signature is wrong/],
    [
      'with a changed event',
      () => withBody((text) => text.replace('REFUND.SUCCESS', 'REFUND.CLOSED')),
      /signature is wrong/,
    ],
    ['with an empty body', () => withBody(() => ''), /signature is wrong/],
    ['with a body that is no JSON', () => send({ body: Buffer.from('退款成功') }), /not a JSON object/],
    ['with a body that is an array', () => send({ event: [genuineEvent] }), /not a JSON object/],
    ['without an id', () => sendEvent({ id: undefined }), /usable id/],
    ['with an id that is too long', () => sendEvent({ id: 'x'.repeat(129) }), /usable id/],
    ['about a payment', () => sendEvent({ event_type: 'TRANSACTION.SUCCESS' }), /not about a refund/],
    ['with the event type toString', () => sendEvent({ event_type: 'toString' }), /not about a refund/],
    ['without a resource', () => sendEvent({ resource: undefined }), /no resource/],
    ['with another algorithm', () => sendResource({ algorithm: 'AEAD_SM4_GCM' }), /algorithm/],
    ['with another type of resource', () => sendResource({ original_type: 'transaction' }), /not a refund/],
    ['without a ciphertext', () => sendResource({ ciphertext: undefined }), /ciphertext or nonce/],
    [
      'with a ciphertext that is only a tag',
      () => sendResource({ ciphertext: Buffer.alloc(16).toString('base64') }),
      /cannot be decrypted/,
    ],
    ['with a short ciphertext', () => sendResource({ ciphertext: 'AAAA' }), /cannot be decrypted/],
    ['with a tampered ciphertext', () => sendResource({ ciphertext: flip(G1.ciphertext, 10) }), /cannot be decrypted/],
    ['with a tampered tag', () => sendResource({ ciphertext: flip(G1.ciphertext, -1) }), /cannot be decrypted/],
    [
      'with a cut tag',
      () => sendResource({ ciphertext: Buffer.from(G1.ciphertext, 'base64').subarray(0, -4).toString('base64') }),
      /cannot be decrypted/,
    ],
    ['with other associated data', () => sendResource({ associated_data: 'transaction' }), /cannot be decrypted/],
    ['with another GCM nonce', () => sendResource({ nonce: 'Xluk4a9R25RW' }), /cannot be decrypted/],
    ['with a GCM nonce of the wrong length', () => sendResource({ nonce: 'uluk4a9R25R' }), /nonce of the resource/],
    ['with a resource that is no JSON', () => sendEvent({ resource: seal('message') }), /decrypted resource/],
    ['without a refund number', () => sendContent({ out_refund_no: undefined }), /out_refund_no/],
    ['without a status', () => sendContent({ refund_status: undefined }), /refund_status/],
    ['with an amount as text', () => sendContent({ amount: { refund: '100' } }), /amount\.refund/],
    ['with an event that contradicts its refund', () => sendContent({ refund_status: 'CLOSED' }), /contradict/],
    ['with a status nobody knows', () => sendContent({ refund_status: 'REFUNDED' }), /contradict/],
    ['without a merchant', () => sendContent({ mchid: undefined }), /no merchant/],
  ])('%s', (_, raw, reason) => {
    expect(() => receive(raw())).toThrow(CallbackRejected);
    expect(() => receive(raw())).toThrow(reason);
  });

  it('whose bytes differ, although they read as the same text', () => {
    const raw = sendEvent({ summary: '\uFFFD' });
    const at = raw.body.indexOf(Buffer.from('\uFFFD'));
    const body = Buffer.concat([raw.body.subarray(0, at), Buffer.from([0xff]), raw.body.subarray(at + 3)]);
    expect(body.toString()).toBe(raw.body.toString());
    expect(receive(raw).observation.kind).toBe('success');
    expect(() => receive({ ...raw, body })).toThrow(/signature is wrong/);
  });

  it('for another sub-merchant', () => {
    const raw = sendContent({ mchid: undefined, sp_mchid: '1900000100', sub_mchid: '1900000108' });
    expect(() => receive(raw, { subMchId: '1900000109' })).toThrow(/sub-merchant/);
    expect(() => receive(send(), { subMchId: '1900000109' })).toThrow(/sub-merchant/);
  });

  it('when the account has another APIv3 key', () => {
    expect(() => receive(send(), { apiV3Key: 'x'.repeat(32) })).toThrow(/wrong apiV3Key/);
  });

  it('when the account’s keys cannot be read', () => {
    expect(() => receive(send(), { privateKey: 'broken' })).toThrow(CallbackRejected);
  });

  it('in words that repeat nothing of it', () => {
    const raw = sendResource({ ciphertext: flip(G1.ciphertext, 10) });
    let message = '';
    try {
      receive(raw);
    } catch (error) {
      message = String(error);
    }
    expect(message).toBe(
      'CallbackRejected: WeChat Pay callback refused: the resource cannot be decrypted (tampered with, or a wrong apiV3Key).',
    );
  });
});

describe('the answers', () => {
  it('are what WeChat Pay wants to read', () => {
    expect(wechatCallback.accepted).toMatchObject({ status: 200 });
    expect(JSON.parse(wechatCallback.accepted.body)).toEqual({ code: 'SUCCESS', message: '成功' });
    expect(wechatCallback.rejected).toMatchObject({ status: 401 });
    expect(JSON.parse(wechatCallback.rejected.body)).toMatchObject({ code: 'FAIL' });
  });
});

describe('AEAD_AES_256_GCM', () => {
  it.each([
    ['G0', G0],
    ['G1', G1],
  ])('opens vector %s', (_, { key, nonce, associatedData, ciphertext, plaintext }) => {
    expect(openAead(createSecretKey(key, 'utf8'), nonce, associatedData, ciphertext)).toBe(plaintext);
  });
});
