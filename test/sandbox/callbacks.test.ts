import { createDecipheriv } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createBody, json, Merchant, pause, Receiver, until, type Json, type Received } from './support.js';

let merchant: Merchant;
let receiver: Receiver;

beforeAll(async () => {
  merchant = await Merchant.start();
  receiver = await Receiver.start();
});
afterAll(async () => {
  await merchant.sandbox.close();
  await receiver.stop();
});
beforeEach(async () => {
  await merchant.control('POST', '/reset', { settings: true });
  receiver.forget();
});

/** Decrypts with node:crypto, tag checked. */
function open(received: Received): Json {
  const { resource } = json(received) as { resource: { ciphertext: string; nonce: string; associated_data: string } };
  const bytes = Buffer.from(resource.ciphertext, 'base64');
  const decipher = createDecipheriv('aes-256-gcm', merchant.config.apiV3Key, resource.nonce);
  decipher.setAAD(Buffer.from(resource.associated_data));
  decipher.setAuthTag(bytes.subarray(-16));
  return JSON.parse(
    Buffer.concat([decipher.update(bytes.subarray(0, -16)), decipher.final()]).toString('utf8'),
  ) as Json;
}

async function arrived(count: number): Promise<Received[]> {
  return [
    ...(await until(
      () => receiver.received,
      (received) => received.length >= count,
    )),
  ];
}

const words = (received: Received[]): unknown[] => received.map((one) => open(one).refund_status);

describe('a notification', () => {
  it('is encrypted, signed and complete when a create’s refund succeeds', async () => {
    await merchant.settings({
      defaultScript: [
        { afterMs: 0, status: 'processing' },
        { afterMs: 50, status: 'success' },
      ],
    });
    const created = json(await merchant.create(createBody('R1', { notify_url: receiver.url })));
    const [first] = await arrived(1);
    if (!first) throw new Error('nothing came');
    expect(merchant.verifies(first)).toBe(true);
    expect(first.headers['wechatpay-signature-type']).toBe('WECHATPAY2-SHA256-RSA2048');
    expect(json(first)).toMatchObject({
      id: expect.stringMatching(/^[0-9a-f-]{36}$/) as string,
      create_time: expect.stringMatching(/\+08:00$/) as string,
      resource_type: 'encrypt-resource',
      event_type: 'REFUND.SUCCESS',
      summary: '退款成功',
      resource: {
        original_type: 'refund',
        algorithm: 'AEAD_AES_256_GCM',
        associated_data: 'refund',
        nonce: expect.stringMatching(/^[0-9A-Za-z]{12}$/) as string,
      },
    });
    expect(open(first)).toEqual({
      mchid: merchant.config.mchId,
      out_trade_no: 'TRADE-R1',
      transaction_id: created.transaction_id,
      out_refund_no: 'R1',
      refund_id: created.refund_id,
      refund_status: 'SUCCESS',
      success_time: expect.stringMatching(/\+08:00$/) as string,
      user_received_account: '支付用户零钱',
      amount: { total: 888, refund: 100, payer_total: 888, payer_refund: 100 },
    });
    await until(
      () => merchant.truth('R1'),
      ({ callbacksAcknowledged }) => callbacksAcknowledged === 1,
    );
    expect(await merchant.truth('R1')).toMatchObject({ status: 'success', callbacksSent: 1 });
  });

  it.each([
    ['closed', 'CLOSED'],
    ['failed', 'CLOSED'],
    ['abnormal', 'ABNORMAL'],
  ])('tells of %s as %s, without a success time', async (status, word) => {
    await merchant.register('R1', status, { notifyUrl: receiver.url });
    const [first] = await arrived(1);
    if (!first) throw new Error('nothing came');
    expect(json(first).event_type).toBe(`REFUND.${word}`);
    expect(open(first)).toMatchObject({ refund_status: word });
    expect('success_time' in open(first)).toBe(false);
  });

  it('comes once per change of status, never before the query says the same', async () => {
    await merchant.register(
      'R1',
      [
        { afterMs: 0, status: 'processing' },
        { afterMs: 50, status: 'abnormal' },
        { afterMs: 100, status: 'abnormal' },
        { afterMs: 150, status: 'success' },
      ],
      { notifyUrl: receiver.url },
    );
    await arrived(1);
    expect(json(await merchant.query('R1')).status).not.toBe('PROCESSING');
    await arrived(2);
    await pause(50);
    expect(words(receiver.received)).toEqual(['ABNORMAL', 'SUCCESS']);
    await merchant.register('R1', 'success');
    await pause(50);
    expect(receiver.received.length).toBe(2);
  });

  it('uses the key that the create asked for, or the one that the settings name', async () => {
    await merchant.settings({ defaultScript: [{ afterMs: 0, status: 'success' }] });
    await merchant.create(createBody('R1', { notify_url: receiver.url }), {
      headers: { 'Wechatpay-Serial': merchant.config.publicKeyId },
    });
    await arrived(1);
    await merchant.settings({ callbackKey: 'certificate' });
    await merchant.create(createBody('R2', { notify_url: receiver.url }), {
      headers: { 'Wechatpay-Serial': merchant.config.publicKeyId },
    });
    const [first, second] = await arrived(2);
    expect(first?.headers['wechatpay-serial']).toBe(merchant.config.publicKeyId);
    expect(Object.keys(merchant.config.platformCertificates)).toContain(second?.headers['wechatpay-serial']);
    for (const one of receiver.received) expect(merchant.verifies(one)).toBe(true);
  });

  it('goes to loopback only: elsewhere it is counted as skipped', async () => {
    await merchant.settings({ defaultScript: [{ afterMs: 0, status: 'success' }] });
    await merchant.create(createBody('R1', { notify_url: 'https://merchant.example/n' }));
    await until(
      () => merchant.truth('R1'),
      ({ callbacksSkipped }) => callbacksSkipped === 1,
    );
    expect((await merchant.truth('R1')).callbacksSent).toBe(0);
    const refused = await merchant.control('POST', '/callbacks', { channel: 'wechat_pay', outRefundNo: 'R1' });
    expect(refused.status).toBe(400);
    for (const notifyUrl of [
      'http://10.0.0.1/n',
      'http://localhost.evil.example/n',
      'http://0.0.0.0/n',
      'file:///etc/passwd',
      'http://127.0.0.1/n?x=1',
    ]) {
      const { status, json: answer } = await merchant.control('POST', '/refunds', {
        channel: 'wechat_pay',
        outRefundNo: 'R2',
        outTradeNo: 'TRADE-2',
        amount: 1,
        currency: 'CNY',
        script: [{ afterMs: 0, status: 'success' }],
        notifyUrl,
      });
      expect([status, String(answer.error).split(':')[0]]).toEqual([400, 'notifyUrl']);
    }
  });

  it('can be switched off', async () => {
    await merchant.settings({ autoCallback: false });
    await merchant.register('R1', 'success', { notifyUrl: receiver.url });
    await pause(60);
    expect(receiver.received.length).toBe(0);
  });
});

describe('until it is acknowledged', () => {
  it('repeats the same notification, freshly signed, with growing pauses', async () => {
    await merchant.settings({ callbackTimeScale: 0.004 });
    receiver.answers = [500, 404, 302, 204];
    await merchant.register('R1', 'success', { notifyUrl: receiver.url });
    const received = await arrived(4);
    await until(
      () => merchant.truth('R1'),
      ({ callbacksAcknowledged }) => callbacksAcknowledged === 1,
    );
    await pause(100);
    expect(receiver.received.length).toBe(4);
    expect(new Set(received.map(({ body }) => body)).size).toBe(1);
    expect(new Set(received.map(({ headers }) => headers['wechatpay-nonce'])).size).toBe(4);
    for (const one of received) expect(merchant.verifies(one)).toBe(true);
    const pauses = received.slice(1).map(({ atMs }, index) => atMs - (received[index]?.atMs ?? 0));
    // 15 s, 15 s, 30 s at 4 ‰.
    expect(pauses[0]).toBeGreaterThanOrEqual(58);
    expect(pauses[2]).toBeGreaterThanOrEqual(118);
    expect(await merchant.truth('R1')).toMatchObject({ callbacksSent: 4, callbacksAcknowledged: 1 });
  });

  it('gives up on a receiver that is too slow, and after the documented number of attempts', async () => {
    await merchant.settings({ callbackTimeScale: 0, callbackTimeoutMs: 25 });
    receiver.answers = ['silence'];
    await merchant.register('R1', 'success', { notifyUrl: receiver.url });
    await until(
      () => merchant.truth('R1'),
      ({ callbacksSent }) => callbacksSent === 16,
    );
    await pause(80);
    expect(await merchant.truth('R1')).toMatchObject({ callbacksSent: 16, callbacksAcknowledged: 0 });
  });

  it('a reset ends it', async () => {
    await merchant.settings({ callbackTimeScale: 0.002 });
    receiver.answers = [500];
    await merchant.register('R1', 'success', { notifyUrl: receiver.url });
    await arrived(2);
    await merchant.control('POST', '/reset');
    const sent = receiver.received.length;
    await pause(120);
    expect(receiver.received.length).toBe(sent);
  });
});

describe('callbacks that go wrong', () => {
  it('dropCallback: nothing comes', async () => {
    await merchant.fault('dropCallback', { count: 1 });
    await merchant.register('R1', 'success', { notifyUrl: receiver.url });
    await until(
      () => merchant.truth('R1'),
      ({ callbacksDropped }) => callbacksDropped === 1,
    );
    await pause(40);
    expect(receiver.received.length).toBe(0);
  });

  it('duplicateCallback: the same notification twice', async () => {
    await merchant.fault('duplicateCallback');
    await merchant.register('R1', 'success', { notifyUrl: receiver.url });
    const received = await arrived(2);
    expect(new Set(received.map(({ body }) => body)).size).toBe(1);
  });

  it('lateCallback: long after the query knows', async () => {
    await merchant.fault('lateCallback', { delayMs: 150 });
    const begun = Date.now();
    await merchant.register('R1', 'success', { notifyUrl: receiver.url });
    const [first] = await arrived(1);
    expect((first?.atMs ?? 0) - begun).toBeGreaterThanOrEqual(145);
  });

  it('reorderCallbacks: the older news comes after the newer', async () => {
    await merchant.fault('reorderCallbacks', { delayMs: 1000 });
    await merchant.register(
      'R1',
      [
        { afterMs: 0, status: 'abnormal' },
        { afterMs: 60, status: 'success' },
      ],
      { notifyUrl: receiver.url },
    );
    expect(words(await arrived(2))).toEqual(['SUCCESS', 'ABNORMAL']);
  });

  it('reorderCallbacks: with nothing to change places with, it comes after delayMs', async () => {
    await merchant.fault('reorderCallbacks', { delayMs: 60 });
    await merchant.register('R1', 'success', { notifyUrl: receiver.url });
    expect(words(await arrived(1))).toEqual(['SUCCESS']);
  });

  it('badSignature, malformed and wrongAmount can be aimed at callbacks; the next attempt is genuine', async () => {
    await merchant.settings({ callbackTimeScale: 0.001 });
    receiver.answers = [401, 200];
    await merchant.fault('badSignature', { operation: 'callback', outRefundNo: 'R1' });
    await merchant.register('R1', 'success', { notifyUrl: receiver.url });
    expect((await arrived(2)).map((one) => merchant.verifies(one))).toEqual([false, true]);
    await merchant.fault('wrongAmount', { operation: 'callback', outRefundNo: 'R2' });
    await merchant.register('R2', 'success', { notifyUrl: receiver.url });
    const wrong = (await arrived(3))[2];
    if (!wrong) throw new Error('nothing came');
    expect(open(wrong).amount).toMatchObject({ refund: 101 });
  });

  it('successThenFailed tells of the failure too', async () => {
    await merchant.register('R1', 'success', { notifyUrl: receiver.url });
    await arrived(1);
    await merchant.fault('successThenFailed');
    await merchant.query('R1');
    expect(words(await arrived(2))).toEqual(['SUCCESS', 'CLOSED']);
  });
});

describe('POST /control/callbacks', () => {
  it('sends one now and answers what the receiver said', async () => {
    await merchant.register('R1', 'success');
    receiver.answers = [204];
    const { status, json: answer } = await merchant.control('POST', '/callbacks', {
      channel: 'wechat_pay',
      outRefundNo: 'R1',
      notifyUrl: receiver.url,
    });
    expect(status).toBe(200);
    expect(answer).toMatchObject({ status: 204, body: '', acknowledged: true, eventType: 'REFUND.SUCCESS' });
  });

  it('can tell what is not true, and reports a receiver that is not there', async () => {
    await merchant.register('R1', 'processing', { notifyUrl: receiver.url });
    expect((await merchant.control('POST', '/callbacks', { channel: 'wechat_pay', outRefundNo: 'R1' })).status).toBe(
      400,
    );
    await merchant.control('POST', '/callbacks', { channel: 'wechat_pay', outRefundNo: 'R1', status: 'success' });
    expect(words(receiver.received)).toEqual(['SUCCESS']);
    const nobody = await merchant.control('POST', '/callbacks', {
      channel: 'wechat_pay',
      outRefundNo: 'R1',
      status: 'success',
      notifyUrl: 'http://127.0.0.1:9/n',
    });
    expect(nobody.json).toMatchObject({
      status: null,
      acknowledged: false,
      error: expect.stringContaining('ECONNREFUSED') as string,
    });
  });

  const tamperings: [string, (received: Received) => boolean][] = [
    ['signature', (received) => !merchant.verifies(received)],
    ['nonce', (received) => !merchant.verifies(received)],
    [
      'serial',
      (received) =>
        !Object.keys(merchant.config.platformCertificates).includes(String(received.headers['wechatpay-serial'])),
    ],
    [
      'probe',
      (received) =>
        String(received.headers['wechatpay-signature']).startsWith('WECHATPAY/SIGNTEST/') &&
        !merchant.verifies(received),
    ],
    [
      'timestamp',
      (received) =>
        merchant.verifies(received) && Date.now() / 1000 - Number(received.headers['wechatpay-timestamp']) > 301,
    ],
    ['ciphertext', (received) => merchant.verifies(received) && fails(() => open(received))],
    ['tag', (received) => merchant.verifies(received) && fails(() => open(received))],
    ['truncated', (received) => merchant.verifies(received) && fails(() => json(received))],
  ];

  it.each(tamperings)('tamper %s is wrong in just that way', async (tamper, isWrong) => {
    await merchant.register('R1', 'success');
    receiver.answers = [401];
    const { json: answer } = await merchant.control('POST', '/callbacks', {
      channel: 'wechat_pay',
      outRefundNo: 'R1',
      notifyUrl: receiver.url,
      tamper,
    });
    expect(answer).toMatchObject({ status: 401, body: '{"code":"X"}', acknowledged: false });
    const [received] = receiver.received;
    expect(received && isWrong(received)).toBe(true);
  });
});

function fails(run: () => unknown): boolean {
  try {
    run();
    return false;
  } catch {
    // Exactly what the tampering is for.
    return true;
  }
}
