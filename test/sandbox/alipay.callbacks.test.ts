import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { AlipaySdk } from 'alipay-sdk';
import { AlipayMerchant } from './alipay.support.js';
import { pause, until, type Json } from './support.js';

interface Notice {
  raw: string;
  form: Record<string, string>;
  contentType: string | undefined;
}

let merchant: AlipayMerchant;
let server: Server;
const received: Notice[] = [];
/** Bodies of the answers, the last one for ever; all of them HTTP 200. */
let answers: string[] = ['success'];

beforeAll(async () => {
  merchant = await AlipayMerchant.start();
  server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.once('end', () => {
      const raw = Buffer.concat(chunks).toString('utf8');
      received.push({
        raw,
        form: Object.fromEntries(new URLSearchParams(raw)),
        contentType: request.headers['content-type'],
      });
      response.end((answers.length > 1 ? answers.shift() : answers[0]) ?? '');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
afterAll(async () => {
  await merchant.sandbox.close();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});
beforeEach(async () => {
  await merchant.control('POST', '/reset', { settings: true });
  received.length = 0;
  answers = ['success'];
});

const notifyUrl = (): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}/notify`;
const arrived = async (count: number): Promise<Notice[]> => [
  ...(await until(
    () => received,
    (notices) => notices.length >= count,
  )),
];
async function one(): Promise<Notice> {
  const [notice] = await arrived(1);
  if (!notice) throw new Error('nothing came');
  return notice;
}

/** By the rules alone: without sign and sign_type, sorted, as decoded. */
function verifies({ form }: Notice): boolean {
  const { sign = '', sign_type: _signType, ...signed } = form;
  const text = Object.keys(signed)
    .sort()
    .map((name) => `${name}=${signed[name]}`)
    .join('&');
  return merchant.verifies(text, sign);
}

describe('a notification', () => {
  it('goes to the payment’s address when a create’s refund succeeds: signed, urlencoded, complete', async () => {
    await merchant.payment('TRADE-1', { notifyUrl: notifyUrl() });
    await merchant.setUp({
      defaultScript: [
        { afterMs: 0, status: 'processing' },
        { afterMs: 50, status: 'success' },
      ],
    });
    await merchant.refund({ out_trade_no: 'TRADE-1', out_request_no: 'R1', refund_amount: '1.00' });
    const notice = await one();
    expect(notice.contentType).toBe('application/x-www-form-urlencoded; charset=utf-8');
    expect(verifies(notice)).toBe(true);
    expect(notice.form).toMatchObject({
      notify_type: 'trade_status_sync',
      notify_id: expect.stringMatching(/^\d{8}[0-9a-f]{24}$/) as string,
      app_id: merchant.settings.appId,
      seller_id: merchant.settings.sellerId,
      out_trade_no: 'TRADE-1',
      out_biz_no: 'R1',
      refund_fee: '1.00',
      total_amount: '8.88',
      trade_status: 'TRADE_SUCCESS',
      gmt_refund: expect.stringMatching(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}$/) as string,
      subject: '测试 A+B 50% & more',
    });
    expect(notice.form).not.toHaveProperty('gmt_close');
    expect(notice.raw).toContain('subject=%E6%B5%8B%E8%AF%95+A%2BB+50%25+%26+more');
    await until(
      () => merchant.truth('R1'),
      ({ callbacksAcknowledged }) => callbacksAcknowledged === 1,
    );
  });

  it('is one that the official library accepts', async () => {
    await merchant.register('R1', 'success', { notifyUrl: notifyUrl() });
    const { appId, privateKey, alipayPublicKey } = merchant.settings;
    const sdk = new AlipaySdk({ appId, privateKey, keyType: 'PKCS8', alipayPublicKey });
    expect(sdk.checkNotifySignV2((await one()).form)).toBe(true);
  });

  it('counts what the payment has refunded so far, and closes it with the last of it', async () => {
    const trade = { outTradeNo: 'TRADE-1', notifyUrl: notifyUrl() };
    await merchant.register('R1', 'success', { ...trade, amount: 100 });
    await arrived(1);
    await merchant.register('R2', 'success', { ...trade, amount: 788 });
    const [first, last] = await arrived(2);
    expect([first?.form.refund_fee, first?.form.trade_status]).toEqual(['1.00', 'TRADE_SUCCESS']);
    expect(last?.form).toMatchObject({
      out_biz_no: 'R2',
      refund_fee: '8.88',
      trade_status: 'TRADE_CLOSED',
      gmt_close: expect.any(String) as string,
    });
  });

  it.each(['failed', 'closed', 'abnormal', 'processing'])(
    'is not sent of a refund that is %s: no money moved',
    async (status) => {
      await merchant.register('R1', status, { notifyUrl: notifyUrl() });
      await pause(80);
      expect(received).toEqual([]);
    },
  );

  it('comes again until the answer is exactly success, under the same id', async () => {
    await merchant.setUp({ callbackTimeScale: 0.0001 });
    answers = ['SUCCESS', 'success\n', '{"code":"success"}', 'success'];
    await merchant.register('R1', 'success', { notifyUrl: notifyUrl() });
    await until(
      () => merchant.truth('R1'),
      ({ callbacksAcknowledged }) => callbacksAcknowledged === 1,
    );
    expect(new Set(received.map(({ form }) => form.notify_id)).size).toBe(1);
    expect(received).toHaveLength(4);
    expect(received.every(verifies)).toBe(true);
  });

  it('comes eight times and then no more', async () => {
    await merchant.setUp({ callbackTimeScale: 0.000001 });
    answers = ['fail'];
    await merchant.register('R1', 'success', { notifyUrl: notifyUrl() });
    await arrived(8);
    await pause(150);
    expect(received).toHaveLength(8);
  });

  it.each([
    ['dropCallback', 0],
    ['duplicateCallback', 2],
  ])('%s: %d arrive', async (kind, count) => {
    await merchant.fault(kind);
    await merchant.register('R1', 'success', { notifyUrl: notifyUrl() });
    await pause(150);
    expect(received).toHaveLength(count);
  });
});

describe('a notification that was tampered with', () => {
  const tamperings = ['signature', 'ciphertext', 'tag', 'nonce', 'timestamp', 'serial', 'truncated'];

  it.each(tamperings)('%s: does not verify', async (tamper) => {
    await merchant.register('R1', 'success');
    const { json: result } = await merchant.control('POST', '/callbacks', {
      channel: 'ali_pay',
      outRefundNo: 'R1',
      notifyUrl: notifyUrl(),
      tamper,
    });
    expect(result).toMatchObject({ status: 200, body: 'success' });
    expect(verifies(await one())).toBe(false);
  });

  it('probe: is Alipay’s, for another application', async () => {
    await merchant.register('R1', 'success');
    await merchant.control('POST', '/callbacks', {
      channel: 'ali_pay',
      outRefundNo: 'R1',
      notifyUrl: notifyUrl(),
      tamper: 'probe',
    });
    const notice = await one();
    expect(verifies(notice)).toBe(true);
    expect(notice.form.app_id).not.toBe(merchant.settings.appId);
  });
});

describe('the control API', () => {
  it('gives settings of key mode, and of certificate mode when asked', async () => {
    const configOf = async (query: string): Promise<Json> => {
      const { json } = await merchant.control('GET', `/accounts${query}`);
      const account = (json.items as Json[]).find(({ channel }) => channel === 'ali_pay');
      return account?.config as Json;
    };
    expect(Object.keys(await configOf(''))).toEqual([
      'appId',
      'privateKey',
      'alipayPublicKey',
      'sellerId',
      'gatewayUrl',
    ]);
    expect(Object.keys(await configOf('?variant=certificates'))).toEqual([
      'appId',
      'privateKey',
      'appCert',
      'alipayPublicCert',
      'alipayRootCert',
      'sellerId',
      'gatewayUrl',
    ]);
    expect((await configOf('')).gatewayUrl).toBe(merchant.settings.gatewayUrl);
    expect((await merchant.control('GET', '/accounts?variant=other')).json.error).toMatch(/^variant: /);
  });

  it('sends notifications to this machine alone', async () => {
    const { status, json } = await merchant.control('POST', '/payments', {
      channel: 'ali_pay',
      outTradeNo: 'T1',
      amount: 1,
      currency: 'CNY',
      notifyUrl: 'https://example.com/notify',
    });
    expect([status, json.error]).toEqual([400, expect.stringMatching(/^notifyUrl: /)]);
  });
});
