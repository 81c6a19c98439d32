import { constants, createDecipheriv, createPublicKey, publicEncrypt, X509Certificate } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createBody, json, Merchant, pause, type Json, type Overrides } from './support.js';

let merchant: Merchant;

beforeAll(async () => {
  merchant = await Merchant.start();
});
afterAll(() => merchant.sandbox.close());
beforeEach(async () => {
  await merchant.control('POST', '/reset', { settings: true });
});

describe('who may ask', () => {
  const cases: { name: string; overrides: Overrides; status: number; code: string }[] = [
    { name: 'no Authorization', overrides: { authorization: null }, status: 401, code: 'SIGN_ERROR' },
    { name: 'another scheme', overrides: { scheme: 'WECHATPAY2-SHA256-RSA4096' }, status: 401, code: 'SIGN_ERROR' },
    { name: 'a bearer token', overrides: { authorization: 'Bearer token' }, status: 401, code: 'SIGN_ERROR' },
    {
      name: 'four of the five values',
      overrides: {
        authorization: 'WECHATPAY2-SHA256-RSA2048 mchid="1",nonce_str="2",timestamp="1704067200",serial_no="3"',
      },
      status: 401,
      code: 'SIGN_ERROR',
    },
    {
      name: 'a clock 6 minutes slow',
      overrides: { timestamp: Math.floor(Date.now() / 1000) - 360 },
      status: 401,
      code: 'SIGN_ERROR',
    },
    {
      name: 'a clock 6 minutes fast',
      overrides: { timestamp: Math.floor(Date.now() / 1000) + 360 },
      status: 401,
      code: 'SIGN_ERROR',
    },
    { name: 'an unknown merchant', overrides: { mchid: '1900000999' }, status: 404, code: 'MCH_NOT_EXISTS' },
    { name: 'another certificate', overrides: { serial: 'ABCDEF' }, status: 401, code: 'SIGN_ERROR' },
    {
      name: 'a signature over another path',
      overrides: { signedTarget: '/v3/refund/domestic/refunds/R2' },
      status: 401,
      code: 'SIGN_ERROR',
    },
    { name: 'a nonce of 33 characters', overrides: { nonce: 'n'.repeat(33) }, status: 401, code: 'SIGN_ERROR' },
    { name: 'no User-Agent', overrides: { headers: { 'User-Agent': null } }, status: 400, code: 'INVALID_REQUEST' },
    { name: 'no Accept', overrides: { headers: { Accept: null } }, status: 400, code: 'INVALID_REQUEST' },
    {
      name: 'Accept of something else',
      overrides: { headers: { Accept: 'text/html' } },
      status: 400,
      code: 'INVALID_REQUEST',
    },
    {
      name: 'a platform serial that does not exist',
      overrides: { headers: { 'Wechatpay-Serial': 'PUB_KEY_ID_0100' } },
      status: 400,
      code: 'PARAM_ERROR',
    },
  ];

  it.each(cases)('refuses $name with a signed $status $code', async ({ overrides, status, code }) => {
    await merchant.register('R1', 'success');
    const answer = await merchant.query('R1', overrides);
    expect(answer.status).toBe(status);
    expect(json(answer).code).toBe(code);
    expect(merchant.verifies(answer)).toBe(true);
  });

  it('refuses a body that was changed after signing, and tells what it verified', async () => {
    const sent = JSON.stringify(createBody('R-CHANGED'));
    const answer = await merchant.create(sent, { signedBody: sent.replace('100', '200') });
    expect(answer.status).toBe(401);
    const detail = json(answer).detail as {
      sign_information: { sign_message_length: number; truncated_sign_message: string; url: string };
    };
    expect(detail.sign_information.url).toBe('/v3/refund/domestic/refunds');
    expect(detail.sign_information.truncated_sign_message.startsWith('POST\n/v3/refund/domestic/refunds\n')).toBe(true);
    expect((await merchant.truth('R-CHANGED')).error).toBe('outRefundNo: was never heard of');
  });

  it('refuses a nonce that was used before, and counts it', async () => {
    await merchant.register('R1', 'success');
    expect((await merchant.query('R1', { nonce: 'once' })).status).toBe(200);
    const again = await merchant.query('R1', { nonce: 'once' });
    expect([again.status, json(again).code]).toEqual([401, 'SIGN_ERROR']);
    const { json: stats } = await merchant.control('GET', '/stats');
    expect(stats).toMatchObject({ replayedNonces: 1, refusedSignatures: 1, queries: 1 });
  });

  it('verifies the path as transmitted: percent-encoded, and with its query', async () => {
    await merchant.register('A|b*c@d', 'success');
    const answer = await merchant.query('A|b*c@d');
    expect([answer.status, json(answer).out_refund_no]).toEqual([200, 'A|b*c@d']);
    const decoded = await merchant.query('A|b*c@d', { signedTarget: '/v3/refund/domestic/refunds/A|b*c@d' });
    expect(decoded.status).toBe(401);
    const withQuery = '/v3/refund/domestic/refunds/A%7Cb*c%40d?sub_mchid=1900000109';
    expect((await merchant.call('GET', withQuery, undefined)).status).toBe(200);
    expect((await merchant.call('GET', withQuery, undefined, { signedTarget: withQuery.split('?')[0] })).status).toBe(
      401,
    );
  });

  it('signs errors as told: all, none, or those to authenticated requests', async () => {
    expect(merchant.verifies(await merchant.query('NONE'))).toBe(true);
    await merchant.settings({ signErrors: false });
    expect((await merchant.query('NONE')).headers['wechatpay-signature']).toBeUndefined();
    await merchant.settings({ signErrors: 'authenticated' });
    expect(merchant.verifies(await merchant.query('NONE'))).toBe(true);
    expect((await merchant.query('NONE', { authorization: null })).headers['wechatpay-signature']).toBeUndefined();
  });

  it('answers unknown paths 404 and wrong methods 405, both empty', async () => {
    expect(await merchant.call('GET', '/v3/nothing/here', undefined)).toMatchObject({ status: 404, body: '' });
    expect(await merchant.call('GET', '/v3/refund/domestic/refunds', undefined)).toMatchObject({
      status: 405,
      body: '',
    });
  });
});

describe('what a query answers', () => {
  const statuses: [string, number, string][] = [
    ['processing', 200, 'PROCESSING'],
    ['success', 200, 'SUCCESS'],
    ['failed', 200, 'CLOSED'],
    ['closed', 200, 'CLOSED'],
    ['abnormal', 200, 'ABNORMAL'],
  ];

  it.each(statuses)('%s is HTTP %i %s, signed with the platform certificate', async (scripted, http, wire) => {
    await merchant.register('R1', scripted, { paymentAmount: 888 });
    const answer = await merchant.query('R1');
    expect(answer.status).toBe(http);
    expect(merchant.verifies(answer)).toBe(true);
    expect(Object.keys(merchant.config.platformCertificates)).toContain(answer.headers['wechatpay-serial']);
    expect(answer.headers['wechatpay-signature-type']).toBe('WECHATPAY2-SHA256-RSA2048');
    expect(answer.headers['request-id']).toMatch(/^08[0-9A-F]{40}-0$/);
    const refund = json(answer);
    expect(refund).toMatchObject({
      out_refund_no: 'R1',
      out_trade_no: 'TRADE-R1',
      channel: 'ORIGINAL',
      funds_account: 'AVAILABLE',
      status: wire,
      amount: {
        total: 888,
        refund: 100,
        payer_total: 888,
        payer_refund: 100,
        settlement_refund: 100,
        settlement_total: 888,
        discount_refund: 0,
        currency: 'CNY',
      },
    });
    expect(refund.refund_id).toMatch(/^50\d{27}$/);
    expect(refund.transaction_id).toMatch(/^4200\d{24}$/);
    expect(refund.create_time).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+08:00$/);
    expect(Math.abs(Date.parse(String(refund.create_time)) - Date.now())).toBeLessThan(5000);
    expect('success_time' in refund).toBe(wire === 'SUCCESS');
  });

  it('notFound and unknown numbers are 404 RESOURCE_NOT_EXISTS, signed', async () => {
    await merchant.register('R1', 'notFound');
    for (const number of ['R1', 'NEVER']) {
      const answer = await merchant.query(number);
      expect([answer.status, json(answer).code, merchant.verifies(answer)]).toEqual([404, 'RESOURCE_NOT_EXISTS', true]);
    }
    expect(await merchant.truth('R1')).toMatchObject({ status: 'notFound', refundsAtGateway: 1, queries: 1 });
    expect(await merchant.truth('NEVER')).toMatchObject({ status: 'notFound', refundsAtGateway: 0, queries: 1 });
  });

  it('a request in public-key mode is answered under the public key', async () => {
    await merchant.register('R1', 'success');
    const answer = await merchant.query('R1', { headers: { 'Wechatpay-Serial': merchant.config.publicKeyId } });
    expect(answer.headers['wechatpay-serial']).toBe(merchant.config.publicKeyId);
    expect(merchant.config.publicKeyId).toMatch(/^PUB_KEY_ID_\d+$/);
    expect(merchant.verifies(answer)).toBe(true);
  });

  it('walks through a script by the time since registration', async () => {
    let aheadMs = 0;
    const later = await Merchant.start({ now: () => Date.now() + aheadMs });
    try {
      await later.register('R1', [
        { afterMs: 0, status: 'notFound' },
        { afterMs: 60_000, status: 'processing' },
        { afterMs: 120_000, status: 'abnormal' },
        { afterMs: 180_000, status: 'success' },
      ]);
      const seen: unknown[] = [];
      for (aheadMs = 0; aheadMs <= 240_000; aheadMs += 60_000) {
        const answer = await later.query('R1');
        seen.push(answer.status === 404 ? 404 : json(answer).status);
      }
      expect(seen).toEqual([404, 'PROCESSING', 'ABNORMAL', 'SUCCESS', 'SUCCESS']);
      const { create_time: created, success_time: succeeded } = json(
        await later.query('R1', { timestamp: Math.floor(Date.now() / 1000) + 240 }),
      );
      expect(Date.parse(String(succeeded)) - Date.parse(String(created))).toBe(180_000);
    } finally {
      await later.sandbox.close();
    }
  });

  it('posting a number again replaces its script and keeps its identity', async () => {
    const first = await merchant.register('R1', 'processing');
    await merchant.query('R1');
    const second = await merchant.register('R1', 'closed');
    expect(second).toMatchObject({
      status: 'closed',
      gatewayRefundNo: first.gatewayRefundNo,
      queries: 1,
      refundsAtGateway: 1,
    });
  });
});

describe('what a create must say', () => {
  const faults: [string, Json | string, string][] = [
    [
      'a text as amount',
      createBody('R1', { amount: { refund: '100', total: 888, currency: 'CNY' } }),
      '/amount/refund',
    ],
    [
      'a fraction of a fen',
      createBody('R1', { amount: { refund: 1.5, total: 888, currency: 'CNY' } }),
      '/amount/refund',
    ],
    [
      '100.0 instead of 100',
      JSON.stringify(createBody('R1')).replace('"refund":100', '"refund":100.0'),
      '/amount/refund',
    ],
    ['8.88e2 instead of 888', JSON.stringify(createBody('R1')).replace('888', '8.88e2'), '/amount/total'],
    ['nothing to refund', createBody('R1', { amount: { refund: 0, total: 888, currency: 'CNY' } }), '/amount/refund'],
    [
      'more than the total',
      createBody('R1', { amount: { refund: 889, total: 888, currency: 'CNY' } }),
      '/amount/refund',
    ],
    ['another currency', createBody('R1', { amount: { refund: 1, total: 888, currency: 'USD' } }), '/amount/currency'],
    ['no currency', createBody('R1', { amount: { refund: 1, total: 888 } }), '/amount/currency'],
    ['no amount', createBody('R1', { amount: undefined }), '/amount'],
    ['no refund number', createBody('R1', { out_refund_no: undefined }), '/out_refund_no'],
    ['a refund number with a space', createBody('R1', { out_refund_no: 'R 1' }), '/out_refund_no'],
    ['a refund number of 65', createBody('R1', { out_refund_no: 'R'.repeat(65) }), '/out_refund_no'],
    ['no payment', createBody('R1', { out_trade_no: undefined }), '/out_trade_no'],
    ['a payment number of 5', createBody('R1', { out_trade_no: 'T-123' }), '/out_trade_no'],
    ['a payment number of 33', createBody('R1', { out_trade_no: 'T'.repeat(33) }), '/out_trade_no'],
    ['a reason of 81 characters', createBody('R1', { reason: '退'.repeat(81) }), '/reason'],
    ['plain http to elsewhere', createBody('R1', { notify_url: 'http://merchant.example/n' }), '/notify_url'],
    ['a notify URL with a query', createBody('R1', { notify_url: 'https://merchant.example/n?a=1' }), '/notify_url'],
    ['a funds account of its own', createBody('R1', { funds_account: 'POCKET' }), '/funds_account'],
    ['a partner field', createBody('R1', { sub_mchid: '1900000109' }), '/sub_mchid'],
    [
      'goods without an id',
      createBody('R1', { goods_detail: [{ unit_price: 1, refund_amount: 1, refund_quantity: 1 }] }),
      '/goods_detail/0/merchant_goods_id',
    ],
    [
      'a funding split that does not add up',
      createBody('R1', {
        amount: { refund: 100, total: 888, currency: 'CNY', from: [{ account: 'AVAILABLE', amount: 99 }] },
      }),
      '/amount/from',
    ],
    ['a list', '[]', '/'],
    ['half a body', '{"out_trade_no":', '/'],
  ];

  it.each(faults)('%s → signed 400 PARAM_ERROR that names the field', async (_name, body, field) => {
    const answer = await merchant.create(body);
    expect([answer.status, json(answer).code, (json(answer).detail as Json).field]).toEqual([
      400,
      'PARAM_ERROR',
      field,
    ]);
    expect(merchant.verifies(answer)).toBe(true);
  });

  it('refuses another content type', async () => {
    const answer = await merchant.create(createBody('R1'), { headers: { 'Content-Type': 'text/plain' } });
    expect([answer.status, json(answer).code]).toEqual([400, 'INVALID_REQUEST']);
  });
});

describe('what a create does', () => {
  beforeEach(() => merchant.settings({ defaultScript: [{ afterMs: 0, status: 'processing' }] }));

  it('accepts with PROCESSING, then follows the default script', async () => {
    await merchant.settings({
      defaultScript: [
        { afterMs: 0, status: 'processing' },
        { afterMs: 60, status: 'success' },
      ],
    });
    const created = await merchant.create(
      createBody('R1', { reason: '商品已售完', notify_url: 'https://merchant.example/n' }),
    );
    expect([created.status, json(created).status, merchant.verifies(created)]).toEqual([200, 'PROCESSING', true]);
    await pause(80);
    expect(json(await merchant.query('R1'))).toMatchObject({ status: 'SUCCESS', refund_id: json(created).refund_id });
  });

  it('is idempotent for the same content, whatever the order of members, and refuses other content', async () => {
    const first = await merchant.create(createBody('R1', { reason: 'a' }));
    const again = await merchant.create({
      amount: { currency: 'CNY', total: 888, refund: 100 },
      reason: 'a',
      out_refund_no: 'R1',
      out_trade_no: 'TRADE-R1',
    });
    expect(again.status).toBe(200);
    expect(json(again)).toEqual(json(first));
    for (const other of [
      createBody('R1', { reason: 'b' }),
      createBody('R1', { reason: 'a', amount: { refund: 99, total: 888, currency: 'CNY' } }),
    ]) {
      const refused = await merchant.create(other);
      expect([refused.status, json(refused).code]).toEqual([400, 'INVALID_REQUEST']);
    }
    expect(await merchant.truth('R1')).toMatchObject({
      creates: 4,
      refundsAtGateway: 1,
      payment: { refunds: 1, refundedAmount: 100 },
    });
  });

  it('checks the total of a declared payment and the sum of its refunds; closed ones give back', async () => {
    await merchant.control('POST', '/payments', {
      channel: 'wechat_pay',
      outTradeNo: 'TRADE-1',
      amount: 300,
      currency: 'CNY',
    });
    const take = (number: string, refund: number, total = 300): Promise<{ status: number; body: string }> =>
      merchant.create({ out_trade_no: 'TRADE-1', out_refund_no: number, amount: { refund, total, currency: 'CNY' } });
    expect(json(await take('R0', 100, 301)).code).toBe('INVALID_REQUEST');
    expect((await take('R1', 200)).status).toBe(200);
    expect(json(await take('R2', 101)).code).toBe('INVALID_REQUEST');
    expect((await take('R3', 100)).status).toBe(200);
    expect(json(await take('R4', 1)).message).toBe('订单已全额退款');
    await merchant.register('R1', 'closed', { outTradeNo: 'TRADE-1', amount: 200 });
    expect((await take('R5', 200)).status).toBe(200);
  });

  it('with autoPayments off an unknown payment is 404 RESOURCE_NOT_EXISTS', async () => {
    await merchant.settings({ autoPayments: false });
    const answer = await merchant.create(createBody('R1'));
    expect([answer.status, json(answer).code]).toEqual([404, 'RESOURCE_NOT_EXISTS']);
    await merchant.control('POST', '/payments', {
      channel: 'wechat_pay',
      outTradeNo: 'TRADE-R1',
      amount: 888,
      currency: 'CNY',
      transactionId: '4200009',
    });
    expect((await merchant.create(createBody('R1'))).status).toBe(200);
    expect(
      (await merchant.create({ ...createBody('R2', { out_trade_no: undefined }), transaction_id: '4200009' })).status,
    ).toBe(200);
    expect(
      json(await merchant.create(createBody('R3', { out_trade_no: 'TRADE-R1', transaction_id: '4200010' }))).code,
    ).toBe('INVALID_REQUEST');
  });

  it('a refund that awaits its create is not found before it, and then follows its own script', async () => {
    await merchant.register('R1', 'closed', { awaitCreate: true, paymentAmount: 888 });
    expect((await merchant.query('R1')).status).toBe(404);
    expect(await merchant.truth('R1')).toMatchObject({ awaitCreate: true, refundsAtGateway: 0 });
    expect(json(await merchant.create(createBody('R1'))).status).toBe('CLOSED');
    expect(await merchant.truth('R1')).toMatchObject({ status: 'closed', awaitCreate: false, refundsAtGateway: 1 });
  });

  it('a create of a refund that the control API put there is a repeat', async () => {
    const registered = await merchant.register('R1', 'processing', { paymentAmount: 888 });
    expect(json(await merchant.create(createBody('R1'))).refund_id).toBe(registered.gatewayRefundNo);
    await merchant.register('R2', 'processing', { paymentAmount: 999 });
    expect(json(await merchant.create(createBody('R2'))).code).toBe('INVALID_REQUEST');
  });
});

describe('apply-abnormal-refund', () => {
  const apply = (refundId: unknown, body: Json, overrides: Overrides = {}): Promise<{ status: number; body: string }> =>
    merchant.call(
      'POST',
      `/v3/refund/domestic/refunds/${String(refundId)}/apply-abnormal-refund`,
      JSON.stringify(body),
      overrides,
    );

  it('sends an abnormal refund on, once, to a card that was encrypted for the platform', async () => {
    await merchant.settings({
      defaultScript: [
        { afterMs: 0, status: 'processing' },
        { afterMs: 40, status: 'success' },
      ],
    });
    const { gatewayRefundNo } = await merchant.register('R1', 'abnormal');
    const encrypt = (text: string): string =>
      publicEncrypt(
        {
          key: createPublicKey(merchant.config.publicKey),
          padding: constants.RSA_PKCS1_OAEP_PADDING,
          oaepHash: 'sha1',
        },
        Buffer.from(text),
      ).toString('base64');
    const card = {
      out_refund_no: 'R1',
      type: 'USER_BANK_CARD',
      bank_type: 'CMB_CREDIT',
      bank_account: encrypt('6225'),
      real_name: encrypt('张三'),
    };
    expect(json(await apply(gatewayRefundNo, card)).code).toBe('PARAM_ERROR');
    const wrongKey = Object.keys(merchant.config.platformCertificates)[0] ?? '';
    expect(
      (json(await apply(gatewayRefundNo, card, { headers: { 'Wechatpay-Serial': wrongKey } })).detail as Json).field,
    ).toBe('/bank_account');
    const accepted = await apply(gatewayRefundNo, card, {
      headers: { 'Wechatpay-Serial': merchant.config.publicKeyId },
    });
    expect([accepted.status, json(accepted).status, json(accepted).channel]).toEqual([
      200,
      'PROCESSING',
      'OTHER_BANKCARD',
    ]);
    await pause(60);
    expect(json(await merchant.query('R1')).status).toBe('SUCCESS');
    expect(json(await apply(gatewayRefundNo, { out_refund_no: 'R1', type: 'MERCHANT_BANK_CARD' })).code).toBe(
      'INVALID_REQUEST',
    );
    expect(await merchant.truth('R1')).toMatchObject({ redrives: 4, status: 'success' });
  });

  it('knows refunds by the platform number only, and both numbers must fit', async () => {
    const { gatewayRefundNo } = await merchant.register('R1', 'abnormal');
    expect((await apply('50000', { out_refund_no: 'R1', type: 'MERCHANT_BANK_CARD' })).status).toBe(404);
    expect(json(await apply(gatewayRefundNo, { out_refund_no: 'R2', type: 'MERCHANT_BANK_CARD' })).code).toBe(
      'INVALID_REQUEST',
    );
    expect(json(await apply(gatewayRefundNo, { out_refund_no: 'R1', type: 'CASH' })).code).toBe('PARAM_ERROR');
  });
});

describe('presign', () => {
  it('repeats an unchanged answer with its signature, and signs a changed one anew', async () => {
    await merchant.register('R1', 'processing');
    const nonceOf = async (): Promise<unknown> => {
      const answer = await merchant.query('R1');
      expect(merchant.verifies(answer)).toBe(true);
      return answer.headers['wechatpay-nonce'];
    };
    expect(await nonceOf()).not.toBe(await nonceOf());
    await merchant.settings({ presign: 'certificate' });
    await merchant.register('R1', 'processing');
    const first = await nonceOf();
    expect(await nonceOf()).toBe(first);
    await merchant.register('R1', 'success');
    expect(await nonceOf()).not.toBe(first);
    await merchant.fault('badSignature', { count: 1 });
    expect(merchant.verifies(await merchant.query('R1'))).toBe(false);
    await nonceOf();
  });
});

describe('platform certificates', () => {
  interface Listed {
    serial_no: string;
    effective_time: string;
    expire_time: string;
    encrypt_certificate: { algorithm: string; nonce: string; associated_data: string; ciphertext: string };
  }
  const list = async (): Promise<Listed[]> => {
    const answer = await merchant.call('GET', '/v3/certificates', undefined);
    expect([answer.status, merchant.verifies(answer)]).toEqual([200, true]);
    return json(answer).data as Listed[];
  };
  const open = ({ encrypt_certificate: { nonce, associated_data: aad, ciphertext } }: Listed): X509Certificate => {
    const bytes = Buffer.from(ciphertext, 'base64');
    const decipher = createDecipheriv('aes-256-gcm', merchant.config.apiV3Key, nonce);
    decipher.setAAD(Buffer.from(aad));
    decipher.setAuthTag(bytes.subarray(-16));
    return new X509Certificate(Buffer.concat([decipher.update(bytes.subarray(0, -16)), decipher.final()]));
  };
  const rotate = async (more: Json = {}): Promise<Json> =>
    (await merchant.control('POST', '/certificates', { channel: 'wechat_pay', ...more })).json;
  // Its own sandbox: the others' merchant would not know the keys any more.
  let ordinary: Merchant;
  let aheadMs = 0;
  beforeAll(async () => {
    ordinary = merchant;
    merchant = await Merchant.start({ now: () => Date.now() + aheadMs });
  });
  afterAll(async () => {
    await merchant.sandbox.close();
    merchant = ordinary;
  });

  it('are listed, encrypted with the APIv3 key, signed like every answer', async () => {
    const [only, ...more] = await list();
    expect(more).toEqual([]);
    const [[serial, pem] = ['', '']] = Object.entries(merchant.config.platformCertificates);
    expect(only).toMatchObject({
      serial_no: serial,
      effective_time: expect.stringMatching(/\+08:00$/) as string,
      encrypt_certificate: { algorithm: 'AEAD_AES_256_GCM', associated_data: 'certificate' },
    });
    expect(only && open(only).serialNumber).toBe(serial);
    expect(only && open(only).toString()).toBe(new X509Certificate(pem).toString());
    expect((await merchant.call('GET', '/v3/certificates', undefined, { serial: 'AB' })).status).toBe(401);
    expect((await merchant.call('POST', '/v3/certificates', '{}')).status).toBe(405);
  });

  it('come side by side while one replaces the other; the old one is listed until its end', async () => {
    const { serial, replacedSerial } = await rotate({ expireOldInMs: 60_000 });
    const answer = await merchant.call('GET', '/v3/certificates', undefined);
    expect(answer.headers['wechatpay-serial']).toBe(serial);
    const both = json(answer).data as Listed[];
    expect(both.map((entry) => entry.serial_no)).toEqual([replacedSerial, serial]);
    expect(both.map((entry) => open(entry).serialNumber)).toEqual([replacedSerial, serial]);
    const asked = await merchant.query('NONE', { headers: { 'Wechatpay-Serial': String(replacedSerial) } });
    expect(asked.headers['wechatpay-serial']).toBe(replacedSerial);
    aheadMs = 61_000;
    const later = await merchant.call('GET', '/v3/certificates', undefined);
    expect((json(later).data as Listed[]).map((entry) => entry.serial_no)).toEqual([serial]);
    const late = await merchant.query('NONE', { headers: { 'Wechatpay-Serial': String(replacedSerial) } });
    expect([late.status, json(late).code]).toEqual([400, 'PARAM_ERROR']);
  });

  it('change where the gateway announces it, and nowhere else', async () => {
    const answer = await merchant.control('POST', '/certificates', { channel: 'ali_pay' });
    expect([answer.status, answer.json.error]).toEqual([
      400,
      'channel: this gateway announces no change of certificates',
    ]);
  });
});

describe('a service provider', () => {
  const SUB = '1900000209';
  const partner = { mchid: '1900000200' };
  const ask = (no: string, sub: string | null) =>
    merchant.call(
      'GET',
      `/v3/refund/domestic/refunds/${no}${sub === null ? '' : `?sub_mchid=${sub}`}`,
      undefined,
      partner,
    );

  it('names its sub-merchant in every request', async () => {
    expect((await merchant.create(createBody('R1', { sub_mchid: SUB }), partner)).status).toBe(200);
    expect((await ask('R1', SUB)).status).toBe(200);
    for (const sub of [null, '1900000210'])
      expect(json(await ask('R1', sub))).toMatchObject({ code: 'PARAM_ERROR', detail: { field: 'sub_mchid' } });
    for (const more of [{}, { sub_mchid: '1900000210' }])
      expect(json(await merchant.create(createBody('R2', more), partner)).detail).toMatchObject({
        field: '/sub_mchid',
      });
  });

  it('has refunds of its own, and the direct merchant has none of them', async () => {
    await merchant.create(createBody('R1', { sub_mchid: SUB }), partner);
    expect((await merchant.query('R1')).status).toBe(404);
    await merchant.create(createBody('R2'));
    expect((await ask('R2', SUB)).status).toBe(404);
    expect(json(await merchant.create(createBody('R1'))).code).toBe('INVALID_REQUEST');
  });
});
