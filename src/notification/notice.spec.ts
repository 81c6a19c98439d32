import { readFileSync } from 'node:fs';
import { Webhook } from 'standardwebhooks';
import { describe, expect, it } from 'vitest';
import type { ResolvedApp } from '../merchant/merchant-app.service.js';
import type { NotificationSnapshot } from '../refund/notification.entity.js';
import { parseJson, type JsonObject } from '../shared/lossless-json.js';
import { signFor } from '../signature/app-signature.js';
import { noticeFields, signedNotice } from './notice.js';

interface Vector {
  name: string;
  body: string;
  md5: string;
  hmacSha256: string;
}

const vectors = JSON.parse(
  readFileSync(new URL('../../test/vectors/daxpay-2.0.json', import.meta.url), 'utf8'),
) as Vector[];
const full = vectors.find(({ name }) => name === 'notice-refund-full');

const snapshot: NotificationSnapshot = {
  refundId: '1755122354444210176',
  refundNo: 'R0001',
  amount: 101,
  currency: 'CNY',
  channel: 'wechat_pay',
  asyncPay: true,
  status: 'success',
  refundTime: '2024-02-08T16:16:40.000Z',
  createTime: '2024-02-08T16:16:04.000Z',
  attach: '{"order":"1"}',
  errorCode: null,
  errorMsg: null,
};

const app = { dialect: 'daxpay-v2', signType: 'MD5', signSecret: '123456', previousSignSecret: null } as ResolvedApp;

describe('the notice', () => {
  it('has what the reference system’s has, in its order and with its values; a refund here has one channel', () => {
    const expected = parseJson(full?.body ?? '') as JsonObject;
    expected.delete('sign');
    expected.set('refundChannels', parseJson('[{"channel":"wechat_pay","amount":101}]'));
    expect([...noticeFields(snapshot)]).toEqual([...expected]);
  });

  it('leaves out what is absent', () => {
    const fields = noticeFields({ ...snapshot, asyncPay: false, refundTime: null, attach: null });
    expect([...fields.keys()]).toEqual([
      ...['refundId', 'refundNo', 'asyncPay', 'amount', 'refundChannels', 'status', 'createTime'],
    ]);
  });

  it('is signed as the real SDK signs its own', () => {
    const fields = parseJson(full?.body ?? '') as JsonObject;
    expect(signFor(app, fields)).toBe(full?.md5);
    expect(signFor({ ...app, signType: 'HMAC_SHA256' }, fields)).toBe(full?.hmacSha256);
    expect(signFor({ ...app, dialect: 'hmac-body' }, fields)).toBe(full?.hmacSha256);
  });

  it.each(['123456', 'ключ 密钥 ☃', 'whsec_looks like one'])(
    'is verified by Standard Webhooks with the secret %s',
    (signSecret) => {
      const { body, headers } = signedNotice({ ...app, signSecret }, '1755122354444210999', snapshot, new Date());
      const webhook = new Webhook(`whsec_${Buffer.from(signSecret).toString('base64')}`);
      expect(webhook.verify(body, headers)).toMatchObject({ refundNo: 'R0001' });
      expect(() => webhook.verify(body.replace('101', '102'), headers)).toThrow();
      expect(() => webhook.verify(body, { ...headers, 'webhook-id': '1' })).toThrow();
    },
  );

  it('is verified with the old secret and with the new one while the secret is rotated', () => {
    const rotating = { ...app, signSecret: 'the new one', previousSignSecret: 'the old one' };
    const { body, headers } = signedNotice(rotating, '1755122354444210999', snapshot, new Date());
    for (const secret of ['the new one', 'the old one'])
      expect(new Webhook(secret, { format: 'raw' }).verify(body, headers)).toMatchObject({ refundNo: 'R0001' });
    expect(() => new Webhook('another', { format: 'raw' }).verify(body, headers)).toThrow();
  });
});
