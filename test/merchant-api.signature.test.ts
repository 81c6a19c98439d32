import { createHash, createHmac, randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { InterfaceSetting } from '../src/merchant/interface-setting.entity.js';
import { knownPayment, stuckRefund, uniqueNo } from './support/builders.js';
import { MerchantClient, type Answer, type SyncData } from './support/merchant-client.js';
import { newMerchant, putApp, turn } from './support/merchants.js';
import {
  ADMIN_TOKEN,
  logLines,
  SIGN_SECRET,
  startService,
  WECHAT_ACCOUNT,
  type TestService,
} from './support/service.js';
import { allRows, rowCounts } from './support/tables.js';
import { digest, signText, type Dialect, type DigestType, type Fields } from './support/wire.js';

const SYNC = '/unipay/syncRefund';

const nowS = (): number => Math.floor(Date.now() / 1000);

let service: TestService;
beforeAll(async () => {
  service = await startService();
});
afterAll(() => service.close());

describe('a signature that is not right', () => {
  const right = (): Fields => ({ refundNo: 'R1', reqTime: nowS(), clientIp: '127.0.0.1' });

  it.each([
    ['missing', () => right()],
    ['empty', () => ({ ...right(), sign: '' })],
    ['null', () => ({ ...right(), sign: null })],
    ['a number', () => ({ ...right(), sign: 72695112892 })],
    ['a list of the right one', () => ({ ...right(), sign: [service.merchant.sign(right())] })],
    ['wrong', () => ({ ...right(), sign: '0'.repeat(32) })],
    ['in upper case', () => ({ ...right(), sign: service.merchant.sign(right()).toUpperCase() })],
    ['with white space', () => ({ ...right(), sign: `${service.merchant.sign(right())} ` })],
    ['cut short', () => ({ ...right(), sign: service.merchant.sign(right()).slice(1) })],
    ['there twice in different case', () => ({ ...right(), sign: service.merchant.sign(right()), Sign: 'x' })],
    [
      'of another digest',
      () => ({ ...right(), sign: digest('HMAC_SHA256', signText(right(), SIGN_SECRET), SIGN_SECRET) }),
    ],
    ['of another secret', () => ({ ...right(), sign: digest('MD5', signText(right(), '1234567'), '') })],
    ['of no secret', () => ({ ...right(), sign: digest('MD5', signText(right(), ''), '') })],
    [
      'of another dialect',
      () => ({ ...right(), sign: digest('MD5', signText(right(), SIGN_SECRET, 'daxpay-v3'), '') }),
    ],
    ['of another number', () => ({ ...right(), refundNo: 'R2', sign: service.merchant.sign(right()) })],
    ['of another time', () => ({ ...right(), reqTime: nowS() + 1, sign: service.merchant.sign(right()) })],
    ['of another address', () => ({ ...right(), clientIp: '::1', sign: service.merchant.sign(right()) })],
    ['of fewer fields', () => ({ ...right(), refundId: '1', sign: service.merchant.sign(right()) })],
    [
      'in the key-value form of another rule',
      () => ({
        ...right(),
        sign: createHash('md5').update(signText(right(), SIGN_SECRET).replace('&key=', '&sign=')).digest('hex'),
      }),
    ],
  ] as [string, () => Fields][])('%s: 20052, nothing is written', async (_case, fieldsOf) => {
    const before = await rowCounts(service);
    const answer = await service.merchant.post(SYNC, JSON.stringify(fieldsOf()));
    expect(answer).toMatchObject({ code: 20052, sign: '' });
    // What would have been right is never told.
    expect(answer.text).not.toMatch(/[0-9a-f]{32}/);
    expect(await rowCounts(service)).toEqual(before);
  });

  it('comes before what is wrong with the fields, and before whether there is such a refund', async () => {
    const { refundNo } = await stuckRefund(service);
    for (const fields of [{ refundNo, reqTime: nowS() }, { reqTime: nowS() }, { refundId: 'x' }, { refundNo }])
      expect(await service.merchant.post(SYNC, JSON.stringify({ ...fields, sign: 'x' }))).toMatchObject({
        code: 20052,
      });
  });

  it('text that looks like the separators is one value', async () => {
    const trap = { refundNo: `R1&reqTime=${nowS()}&key=${SIGN_SECRET}` };
    expect(await service.merchant.syncRefund(trap)).toMatchObject({ code: 20041 });
    // The signature of two fields does not cover one field that reads the same.
    const sign = service.merchant.sign({ clientIp: '127.0.0.1', refundNo: 'R1' });
    const joined = JSON.stringify({ clientIp: '127.0.0.1&refundNo=R1', sign, reqTime: nowS() });
    expect(await service.merchant.post(SYNC, joined)).toMatchObject({ code: 20052 });
  });

  it('a nested sign takes part', async () => {
    const fields: Fields = { refundNo: 'nobody', reqTime: nowS(), more: { sign: 'inner' } };
    expect(await service.merchant.syncRefund(fields)).toMatchObject({ code: 20041 });
    const sign = service.merchant.sign(fields);
    const changed = JSON.stringify({ ...fields, more: { sign: 'other' }, sign });
    expect(await service.merchant.post(SYNC, changed)).toMatchObject({ code: 20052 });
  });
});

describe('dialect and digest are the app’s', () => {
  const supported: { dialect: Dialect; signType: DigestType }[] = [
    { dialect: 'daxpay-v2', signType: 'MD5' },
    { dialect: 'daxpay-v2', signType: 'HMAC_SHA256' },
    { dialect: 'daxpay-v3', signType: 'MD5' },
    { dialect: 'daxpay-v3', signType: 'HMAC_SHA256' },
    { dialect: 'daxpay-v3', signType: 'SM3' },
  ];

  it.each(supported)('$dialect with $signType, and no other', async (chosen) => {
    const { client, appId, secret } = await newMerchant(service, chosen);
    const { refundNo } = await stuckRefund(service, { gateway: 'success', more: { appId } });
    expect(await client.syncRefund({ refundNo, clientIp: '::1' })).toMatchObject({ code: 0, data: { repair: true } });

    for (const other of supported.filter((candidate) => candidate !== chosen)) {
      const wrong = new MerchantClient(service.url, secret, other.signType, other.dialect, { 'x-app-id': appId });
      expect(await wrong.syncRefund({ refundNo }), JSON.stringify(other)).toMatchObject({ code: 20052 });
    }
  });

  it('daxpay-v3 ignores the case of the hex, and takes Beijing time or none', async () => {
    const { client, appId } = await newMerchant(service, { dialect: 'daxpay-v3', signType: 'SM3' });
    const { refundNo } = await stuckRefund(service, { more: { appId } });
    const beijing = new Date(Date.now() + 8 * 3_600_000).toISOString().slice(0, 19).replace('T', ' ');
    for (const reqTime of [beijing, nowS(), String(nowS())]) {
      const fields: Fields = { refundNo, reqTime };
      const body = JSON.stringify({ ...fields, sign: client.sign(fields).toUpperCase() });
      expect(await client.post(SYNC, body), String(reqTime)).toMatchObject({ code: 0 });
    }
    // The same digits as UTC are eight hours away.
    const utc = new Date().toISOString().slice(0, 19).replace('T', ' ');
    expect(await client.syncRefund({ refundNo, reqTime: utc })).toMatchObject({ code: 20052 });
    expect(await client.syncRefund({ refundNo, reqTime: undefined })).toMatchObject({ code: 10006 });
    await putApp(service, appId, { reqTimeWindowS: 0 });
    expect(await client.syncRefund({ refundNo, reqTime: undefined })).toMatchObject({ code: 0 });
  });

  it('a change of secret, digest or dialect works at once, and the old one no longer', async () => {
    const { client, appId, secret } = await newMerchant(service);
    const { refundNo } = await stuckRefund(service, { more: { appId } });
    expect(await client.syncRefund({ refundNo })).toMatchObject({ code: 0 });

    await putApp(service, appId, { signSecret: 'the next secret' });
    expect(await client.syncRefund({ refundNo })).toMatchObject({ code: 20052 });
    const next = new MerchantClient(service.url, 'the next secret', 'MD5', 'daxpay-v2', client.headers);
    expect(await next.syncRefund({ refundNo })).toMatchObject({ code: 0 });

    await putApp(service, appId, { signSecret: secret, dialect: 'daxpay-v3', signType: 'SM3' });
    expect(await next.syncRefund({ refundNo })).toMatchObject({ code: 20052 });
    expect(await client.syncRefund({ refundNo })).toMatchObject({ code: 20052 });
    const modern = new MerchantClient(service.url, secret, 'SM3', 'daxpay-v3', client.headers);
    expect(await modern.syncRefund({ refundNo })).toMatchObject({ code: 0 });
  });

  it.each([
    ['an empty secret', { signSecret: '' }, 'signSecret'],
    ['a short secret', { signSecret: '12345' }, 'signSecret'],
    ['a secret that is no text', { signSecret: 123_456 }, 'signSecret'],
    ['no secret for a new app', {}, 'signSecret'],
    ['SM3 without daxpay-v3', { signSecret: 'long enough', signType: 'SM3' }, 'signType'],
    ['an unknown digest', { signSecret: 'long enough', signType: 'SHA1' }, 'signType'],
    ['an unknown dialect', { signSecret: 'long enough', dialect: 'daxpay-v1' }, 'dialect'],
    ['a negative window', { signSecret: 'long enough', reqTimeWindowS: -1 }, 'reqTimeWindowS'],
    ['a notify address of another kind', { signSecret: 'long enough', notifyUrl: 'ftp://x' }, 'notifyUrl'],
  ])('%s is refused when it is set', async (_case, put, field) => {
    const appId = uniqueNo('bad-');
    const { httpStatus, body } = await service.admin<{ errors: { field: string }[] }>(
      'PUT',
      `/admin/apps/${appId}`,
      put,
    );
    expect(httpStatus).toBe(400);
    expect(body.errors.map((fault) => fault.field)).toContain(field);
    expect(await service.merchant.syncRefund({ refundNo: 'R1' }, { 'x-app-id': appId })).toMatchObject({ code: 20052 });
  });

  it('daxpay-v2 does not stay with a digest that it does not know', async () => {
    const { appId } = await newMerchant(service, { dialect: 'daxpay-v3', signType: 'SM3' });
    const { httpStatus } = await service.admin('PUT', `/admin/apps/${appId}`, { dialect: 'daxpay-v2' });
    expect(httpStatus).toBe(400);
  });
});

describe('hmac-body', () => {
  interface Signed {
    path?: string;
    signedPath?: string;
    method?: string;
    timestamp?: string;
    secondsAhead?: number;
    nonce?: string;
    appId?: string;
    secret?: string;
    body?: string;
    signedBody?: string;
    headers?: Record<string, string | undefined>;
  }

  let appId: string;
  let secret: string;
  let refundNo: string;
  beforeAll(async () => {
    ({ appId, secret } = await newMerchant(service));
    await putApp(service, appId, { dialect: 'hmac-body' });
    ({ refundNo } = await stuckRefund(service, { more: { appId } }));
  });

  /** Signs as wire-protocol §3 says; each option spoils one part. */
  function call(options: Signed = {}): Promise<Answer<SyncData>> {
    const { path = SYNC, secondsAhead = 0, nonce = randomBytes(12).toString('hex') } = options;
    const timestamp = options.timestamp ?? String(nowS() + secondsAhead);
    const body = options.body ?? JSON.stringify({ refundNo, reqTime: nowS() });
    const hash = createHash('sha256')
      .update(options.signedBody ?? body)
      .digest('hex');
    const lines = [
      options.method ?? 'POST',
      options.signedPath ?? path,
      options.appId ?? appId,
      timestamp,
      nonce,
      hash,
    ];
    const signature = createHmac('sha256', options.secret ?? secret)
      .update(lines.map((line) => `${line}\n`).join(''))
      .digest('hex');
    const headers: Record<string, string | undefined> = {
      'x-app-id': appId,
      'x-timestamp': timestamp,
      'x-nonce': nonce,
      'x-signature': signature,
      ...options.headers,
    };
    const given = Object.entries(headers).filter((entry): entry is [string, string] => entry[1] !== undefined);
    return service.merchant.post<SyncData>(path, body, Object.fromEntries(given));
  }

  it.each([
    ['', {}],
    ['on the other address', { path: '/unipay/syncPay' }],
    ['with a doubled slash, as it stands in the request line', { path: '//unipay/syncRefund' }],
    ['with a query, as it stands in the request line', { path: `${SYNC}?a=1` }],
    ['almost five minutes old', { secondsAhead: -290 }],
    ['with the app named in the body', { headers: { 'x-app-id': undefined } }],
  ] as [string, Signed][])('is verified %s', async (_case, options) => {
    const body = JSON.stringify({ refundNo, reqTime: nowS(), appId });
    expect(await call({ body, ...options })).toMatchObject({ code: 0 });
  });

  it.each([
    ['another path', { signedPath: '/unipay/syncPay' }],
    ['the path without its query', { path: `${SYNC}?a=1`, signedPath: SYNC }],
    ['another method', { method: 'GET' }],
    ['another app', { appId: 'default' }],
    ['another secret', { secret: SIGN_SECRET }],
    ['another body', { signedBody: '{}' }],
    ['an old time', { secondsAhead: -310 }],
    ['a future time', { secondsAhead: 310 }],
    ['a time in milliseconds', { timestamp: String(Date.now()) }],
    ['another time than signed', { headers: { 'x-timestamp': String(nowS() - 1) } }],
    ['another nonce than signed', { headers: { 'x-nonce': 'another-nonce' } }],
    ['a short nonce', { nonce: '1234567' }],
    ['a nonce with a space', { nonce: '1234 5678' }],
    ['no timestamp', { headers: { 'x-timestamp': undefined } }],
    ['no nonce', { headers: { 'x-nonce': undefined } }],
    ['no signature', { headers: { 'x-signature': undefined } }],
    ['an empty signature', { headers: { 'x-signature': '' } }],
    ['a short signature', { headers: { 'x-signature': 'abc' } }],
  ] as [string, Signed][])('refuses %s', async (_case, options) => {
    expect(await call(options)).toMatchObject({ code: 20052 });
  });

  it('takes a nonce once, of each app', async () => {
    const nonce = randomBytes(12).toString('hex');
    // A request that failed its signature does not use the nonce up.
    expect(await call({ nonce, signedBody: 'x' })).toMatchObject({ code: 20052 });
    const together = await Promise.all([call({ nonce }), call({ nonce }), call({ nonce })]);
    expect(together.map(({ code }) => code === 20052).sort()).toEqual([false, true, true]);
    expect(await call({ nonce })).toMatchObject({ code: 20052 });
    expect(await call({ nonce, path: '/unipay/syncPay' })).toMatchObject({ code: 20052 });

    const other = await newMerchant(service);
    await putApp(service, other.appId, { dialect: 'hmac-body' });
    const body = JSON.stringify({ refundNo: 'nobody', reqTime: nowS() });
    expect(
      await call({ nonce, body, appId: other.appId, secret: other.secret, headers: { 'x-app-id': other.appId } }),
    ).toMatchObject({ code: 20041 });
  });

  it('has its window where reqTime has none, and does not look at the field sign', async () => {
    await putApp(service, appId, { reqTimeWindowS: 0 });
    expect(await call({ secondsAhead: -310 })).toMatchObject({ code: 20052 });
    expect(await call({ body: JSON.stringify({ refundNo, reqTime: 1, sign: 'x' }) })).toMatchObject({ code: 0 });
    await putApp(service, appId, { reqTimeWindowS: 300 });
  });

  it('is not replaced by a signature of the other dialects', async () => {
    const client = new MerchantClient(service.url, secret, 'MD5', 'daxpay-v2', { 'x-app-id': appId });
    expect(await client.syncRefund({ refundNo })).toMatchObject({ code: 20052 });
  });

  it('answers are signed with HMAC over data', async () => {
    await turn(service, appId, 'syncRefund', { responseSign: true });
    const answer = await call();
    expect(answer.code).toBe(0);
    expect(answer.sign).toBe(digest('HMAC_SHA256', signText({ ...answer.data }, secret), secret));
    await turn(service, appId, 'syncRefund', { responseSign: false });
  });
});

describe('which app', () => {
  it('the one in the header, else the one in the body, else default', async () => {
    const one = await newMerchant(service);
    const two = await newMerchant(service);
    const number = uniqueNo('SAME');
    // The same number in three apps: three refunds.
    const ids: Record<string, string> = {};
    for (const appId of ['default', one.appId, two.appId]) {
      const { body, httpStatus } = await service.admin<{ id: string }>('POST', '/admin/refunds', {
        appId,
        refundNo: number,
        gatewayRequestNo: uniqueNo('G'),
        channel: 'wechat_pay',
        amount: 1,
        payment: { businessNo: uniqueNo('P'), amount: 1 },
      });
      expect(httpStatus).toBe(201);
      ids[appId] = body.id;
    }
    const asked = async (appId: string): Promise<number> => (await service.history(ids[appId] ?? '')).syncs.length;
    const named = new MerchantClient(service.url, one.secret);

    expect(await service.merchant.syncRefund({ refundNo: number })).toMatchObject({ code: 0 });
    expect([await asked('default'), await asked(one.appId), await asked(two.appId)]).toEqual([1, 0, 0]);
    expect(await named.syncRefund({ refundNo: number, appId: one.appId })).toMatchObject({ code: 0 });
    expect([await asked('default'), await asked(one.appId), await asked(two.appId)]).toEqual([1, 1, 0]);
    // The header wins; the field is a field like any other then, and signed.
    expect(await two.client.syncRefund({ refundNo: number, appId: one.appId })).toMatchObject({ code: 0 });
    expect([await asked('default'), await asked(one.appId), await asked(two.appId)]).toEqual([1, 1, 1]);
    // An empty header names nobody.
    expect(await named.syncRefund({ refundNo: number, appId: one.appId }, { 'x-app-id': '' })).toMatchObject({
      code: 0,
    });
    expect(await asked(one.appId)).toBe(2);
  });

  it("another app's refund is none: by id, by number, on every interface", async () => {
    const mine = await newMerchant(service);
    const theirs = await stuckRefund(service, { gateway: 'success' });
    for (const fields of [{ refundId: theirs.id }, { refundId: BigInt(theirs.id) }, { refundNo: theirs.refundNo }]) {
      expect(await mine.client.syncRefund(fields)).toMatchObject({ code: 20041 });
      expect(await mine.client.call('/uni/query/refundOrder', fields)).toMatchObject({ code: 20041 });
    }
    expect((await service.history(theirs.id)).syncs).toHaveLength(0);

    const payment = await knownPayment(service);
    const before = await rowCounts(service);
    for (const by of [{ paymentId: payment.id }, { businessNo: payment.businessNo }])
      expect(await mine.client.call('/unipay/refund', { ...by, refundAll: true })).toMatchObject({ code: 20000 });
    expect(await rowCounts(service)).toEqual(before);
  });

  it('the secret is chosen by the app alone, never by the refund', async () => {
    const owner = await newMerchant(service);
    const { id } = await stuckRefund(service, { gateway: 'success', more: { appId: owner.appId } });
    const withoutApp = new MerchantClient(service.url, owner.secret);
    expect(await withoutApp.syncRefund({ refundId: id })).toMatchObject({ code: 20052 });
    expect(await service.merchant.syncRefund({ refundId: id })).toMatchObject({ code: 20041 });
  });

  it.each([
    'nobody',
    '../default',
    'default ',
    'DEFAULT',
    'constructor',
    '__proto__',
    'a'.repeat(65),
    'default, default',
  ])('unknown: %s', async (appId) => {
    const answer = await service.merchant.syncRefund({ refundNo: 'R1', appId });
    expect(answer).toMatchObject({ code: 20052 });
    if (appId.trim() === appId)
      expect(await service.merchant.syncRefund({ refundNo: 'R1' }, { 'x-app-id': appId })).toMatchObject({
        code: 20052,
      });
  });

  it('a number, a list, true', async () => {
    for (const appId of [1, ['default'], true, { id: 'default' }])
      expect(await service.merchant.syncRefund({ refundNo: 'R1', appId })).toMatchObject({ code: 20052 });
  });

  it('one that is switched off, until it is on again', async () => {
    const { client, appId } = await newMerchant(service);
    const { refundNo } = await stuckRefund(service, { more: { appId } });
    await putApp(service, appId, { enabled: false });
    expect(await client.syncRefund({ refundNo })).toMatchObject({ code: 20052 });
    // As an unknown one: who asks learns nothing about which apps there are.
    const unknown = await client.syncRefund({ refundNo }, { 'x-app-id': 'nobody' });
    expect((await client.syncRefund({ refundNo })).msg).toBe(unknown.msg);
    await putApp(service, appId, { enabled: true });
    expect(await client.syncRefund({ refundNo })).toMatchObject({ code: 0 });
  });
});

describe('the switches of an interface', () => {
  it('requestSign off: no signature and a wrong one are the same', async () => {
    const { client, appId } = await newMerchant(service);
    const { refundNo } = await stuckRefund(service, { more: { appId } });
    const unsigned = (fields: Fields) => client.post(SYNC, JSON.stringify({ refundNo, ...fields }));
    expect(await unsigned({ reqTime: nowS() })).toMatchObject({ code: 20052 });

    await turn(service, appId, 'syncRefund', { requestSign: false });
    expect(await unsigned({ reqTime: nowS() })).toMatchObject({ code: 0 });
    expect(await unsigned({ reqTime: nowS(), sign: '' })).toMatchObject({ code: 0 });
    expect(await unsigned({ reqTime: nowS(), sign: 'wrong' })).toMatchObject({ code: 0 });
    expect(await unsigned({ reqTime: nowS(), sign: 5 })).toMatchObject({ code: 0 });
    expect(await client.syncRefund({ refundNo })).toMatchObject({ code: 0 });
    // The time is not protected by anything then, but the document still asks for it.
    expect(await unsigned({ reqTime: 1 })).toMatchObject({ code: 0 });
    expect(await unsigned({})).toMatchObject({ code: 10006 });
    // Of this interface alone, and of this app alone.
    expect(await client.post('/uni/query/refundOrder', JSON.stringify({ refundNo, reqTime: nowS() }))).toMatchObject({
      code: 20052,
    });
    expect(await service.merchant.post(SYNC, JSON.stringify({ refundNo, reqTime: nowS() }))).toMatchObject({
      code: 20052,
    });

    await turn(service, appId, 'syncRefund', { requestSign: true });
    expect(await unsigned({ reqTime: nowS() })).toMatchObject({ code: 20052 });
  });

  it('requestSign off holds for hmac-body too', async () => {
    const { client, appId } = await newMerchant(service);
    await putApp(service, appId, { dialect: 'hmac-body' });
    const { refundNo } = await stuckRefund(service, { more: { appId } });
    const body = JSON.stringify({ refundNo, reqTime: nowS() });
    expect(await client.post(SYNC, body)).toMatchObject({ code: 20052 });
    await turn(service, appId, 'syncRefund', { requestSign: false });
    expect(await client.post(SYNC, body)).toMatchObject({ code: 0 });
  });

  it('turned by another process work here within 5 s', async () => {
    const { client, appId } = await newMerchant(service);
    const { refundNo } = await stuckRefund(service, { more: { appId } });
    const body = JSON.stringify({ refundNo, reqTime: nowS() });
    expect(await client.post(SYNC, body)).toMatchObject({ code: 20052 });
    await service.db.read((manager) =>
      manager.insert(InterfaceSetting, {
        appId,
        code: 'syncRefund',
        enabled: true,
        requestSign: false,
        responseSign: false,
        updatedAt: new Date(),
      }),
    );
    await expect.poll(async () => (await client.post(SYNC, body)).code, { timeout: 5_000, interval: 200 }).toBe(0);
  });

  it('enabled off: 20000, signed or not', async () => {
    const { client, appId } = await newMerchant(service);
    const { id, refundNo } = await stuckRefund(service, { gateway: 'success', more: { appId } });
    await turn(service, appId, 'syncRefund', { enabled: false });
    for (const path of [SYNC, '/unipay/syncPay']) {
      expect(await client.call(path, { refundNo })).toMatchObject({ code: 20000 });
      expect(await client.post(path, '{}')).toMatchObject({ code: 20000 });
    }
    expect((await service.history(id)).syncs).toHaveLength(0);
    expect(await client.call('/uni/query/refundOrder', { refundNo })).toMatchObject({ code: 0 });
    await turn(service, appId, 'syncRefund', { enabled: true });
    expect(await client.syncRefund({ refundNo })).toMatchObject({ code: 0 });
  });

  it('of an unknown app or interface are 404 and 400', async () => {
    const put = (path: string, body: unknown) => service.admin('PUT', path, body);
    expect((await put('/admin/apps/nobody/interfaces/syncRefund', { enabled: false })).httpStatus).toBe(404);
    expect((await put('/admin/apps/default/interfaces/pay', { enabled: false })).httpStatus).toBe(400);
    expect((await put('/admin/apps/default/interfaces/syncRefund', { enabled: 'no' })).httpStatus).toBe(400);
    expect((await put('/admin/apps/default/interfaces/syncRefund', { requestSign: 0 })).httpStatus).toBe(400);
    expect(await service.merchant.post(SYNC, '{}')).toMatchObject({ code: 20052 });
  });
});

describe('refund and queryRefund are unsigned only on a machine that nobody else reaches', () => {
  it('may be while HOST is loopback', async () => {
    const { client, appId } = await newMerchant(service);
    const payment = await knownPayment(service, { appId });
    await turn(service, appId, 'refund', { requestSign: false });
    await turn(service, appId, 'queryRefund', { requestSign: false });
    const body = { businessNo: payment.businessNo, refundAll: true, refundNo: uniqueNo('R'), reqTime: nowS() };
    expect(await client.post('/unipay/refund', JSON.stringify(body))).toMatchObject({ code: 0 });
    expect(await client.post('/uni/query/refundOrder', JSON.stringify(body))).toMatchObject({ code: 0 });
  });

  it.each(['0.0.0.0', '10.1.2.3', '::', 'refunds.example'])('never while HOST is %s', async (host) => {
    // It listens on loopback here all the same; what it believes of itself counts.
    const open = await startService({ env: { HOST: host, SIGN_REQUIRED: 'false' }, sandbox: service.sandbox });
    try {
      const payment = await knownPayment(open);
      const unsigned = JSON.stringify({ businessNo: payment.businessNo, refundAll: true, reqTime: nowS() });
      // SIGN_REQUIRED=false reaches the sync alone.
      expect(await open.merchant.post(SYNC, JSON.stringify({ refundNo: 'R1', reqTime: nowS() }))).toMatchObject({
        code: 20041,
      });
      expect(await open.merchant.post('/unipay/refund', unsigned)).toMatchObject({ code: 20052 });

      for (const code of ['refund', 'queryRefund']) {
        const { httpStatus, body } = await open.admin<{ errors: { field: string }[] }>(
          'PUT',
          `/admin/apps/default/interfaces/${code}`,
          { requestSign: false },
        );
        expect(httpStatus).toBe(400);
        expect(body.errors.map(({ field }) => field)).toEqual(['requestSign']);
      }
      // Nor where the switch was turned while HOST was still loopback.
      for (const code of ['refund', 'queryRefund'] as const)
        await open.db.read((manager) =>
          manager.save(InterfaceSetting, {
            appId: 'default',
            code,
            enabled: true,
            requestSign: false,
            responseSign: false,
            updatedAt: new Date(),
          }),
        );
      await putApp(open, 'default', { name: 'read again' });
      expect(await open.merchant.post('/unipay/refund', unsigned)).toMatchObject({ code: 20052 });
      expect(
        await open.merchant.post('/uni/query/refundOrder', JSON.stringify({ refundNo: 'R1', reqTime: nowS() })),
      ).toMatchObject({ code: 20052 });
      expect((await open.payment(payment.id)).refundableBalance).toBe(1000);
      const { body } = await open.admin<{ items: { interfaces: Record<string, { requestSign: boolean }> }[] }>(
        'GET',
        '/admin/apps',
      );
      // And what operators read is what holds.
      expect(body.items[0]?.interfaces).toMatchObject({
        syncRefund: { requestSign: false },
        refund: { requestSign: true },
        queryRefund: { requestSign: true },
      });
    } finally {
      await open.close();
    }
  });
});

describe('signed answers', () => {
  it.each([
    ['daxpay-v2', 'MD5'],
    ['daxpay-v2', 'HMAC_SHA256'],
    ['daxpay-v3', 'MD5'],
    ['daxpay-v3', 'HMAC_SHA256'],
    ['daxpay-v3', 'SM3'],
  ] as [Dialect, DigestType][])('%s with %s: sign covers data, null fields left out', async (dialect, signType) => {
    const { client, appId, secret } = await newMerchant(service, { dialect, signType });
    const { refundNo } = await stuckRefund(service, { gateway: 'success', more: { appId } });
    await turn(service, appId, 'syncRefund', { responseSign: true });
    await turn(service, appId, 'queryRefund', { responseSign: true });

    const repaired = await client.syncRefund({ refundNo });
    expect(repaired.data).toMatchObject({ repair: true });
    expect(repaired.sign).toBe(digest(signType, signText({ ...repaired.data }, secret, dialect), secret));
    const again = await client.syncRefund({ refundNo });
    expect(again.data).toMatchObject({ repair: false, repairOrderNo: null });
    // Spelt out once, so that a shared misreading would show.
    const text = `errorMsg=&gatewayStatus=refund_success&repair=false&success=true&key=${secret}`;
    expect(again.sign).toBe(digest(signType, dialect === 'daxpay-v3' ? text.toUpperCase() : text, secret));

    const read = await client.call<Fields>('/uni/query/refundOrder', { refundNo });
    expect(read.sign).toBe(digest(signType, signText(read.data ?? {}, secret, dialect), secret));

    await turn(service, appId, 'syncRefund', { responseSign: false });
    expect((await client.syncRefund({ refundNo })).sign).toBe('');
  });

  it('an error has no data, and no signature', async () => {
    const { client, appId } = await newMerchant(service);
    await turn(service, appId, 'syncRefund', { responseSign: true });
    expect(await client.syncRefund({ refundNo: 'nobody' })).toMatchObject({ code: 20041, sign: '' });
    expect(await client.syncRefund({})).toMatchObject({ code: 10006, sign: '' });
  });

  it('the very letters of the answer in Chinese are covered', async () => {
    const { client, appId, secret } = await newMerchant(service);
    const { refundNo } = await stuckRefund(service, { gateway: 'abnormal', more: { appId } });
    await turn(service, appId, 'syncRefund', { responseSign: true });
    const answer = await client.syncRefund({ refundNo });
    expect(answer.data?.errorMsg).toMatch(/\p{Script=Han}/u);
    expect(answer.sign).toBe(digest('MD5', signText({ ...answer.data }, secret), secret));
  });
});

describe('secrets', () => {
  it('are in no answer, no record, and nowhere in clear at rest', async () => {
    const secret = `hush-${randomBytes(16).toString('hex')}`;
    const apiV3Key = randomBytes(16).toString('hex');
    const appId = uniqueNo('app-');
    const sandboxed = service.sandbox.accounts().find(({ channel }) => channel === 'wechat_pay');
    const config = { ...sandboxed?.config, notifyUrl: 'https://shop.example/callback' } as Record<string, unknown>;
    const privateKey = String(config.privateKey);
    // A line from the middle of the key: how the PEM is wrapped does not matter.
    const keyLine = privateKey.split('\n')[5] ?? '';
    expect(keyLine.length).toBeGreaterThan(40);

    const answers: unknown[] = [];
    const ask = async (method: string, path: string, body?: unknown): Promise<number> => {
      const answer = await service.admin(method, path, body);
      answers.push(answer.body);
      return answer.httpStatus;
    };
    expect(await ask('PUT', `/admin/apps/${appId}`, { signSecret: secret })).toBe(200);
    expect(
      await ask('PUT', '/admin/gateway-accounts/hushed', {
        appId,
        channel: 'wechat_pay',
        config: { ...config, apiV3Key },
      }),
    ).toBe(200);
    // What is wrong with a setting is told without repeating it.
    for (const wrong of [
      { apiV3Key: `${apiV3Key}x` },
      { privateKey: privateKey.replace('BEGIN', 'BEGUN') },
      { privateKey: keyLine },
      { mchId: [secret] },
      { privateKey: { pem: privateKey } },
    ])
      expect(
        await ask('PUT', '/admin/gateway-accounts/hushed', {
          appId,
          channel: 'wechat_pay',
          config: { ...config, apiV3Key, ...wrong },
        }),
        JSON.stringify(Object.keys(wrong)),
      ).toBe(400);
    expect(await ask('PUT', `/admin/apps/${appId}`, { signSecret: [secret] })).toBe(400);
    expect(await ask('GET', '/admin/apps')).toBe(200);
    expect(await ask('GET', '/admin/gateway-accounts')).toBe(200);

    const client = new MerchantClient(service.url, secret, 'MD5', 'daxpay-v2', { 'x-app-id': appId });
    const { id, refundNo } = await stuckRefund(service, { gateway: 'success', more: { appId } });
    answers.push((await client.syncRefund({ refundNo })).text);
    expect(await ask('GET', `/admin/refunds/${id}`)).toBe(200);
    expect(await ask('GET', '/admin/refunds')).toBe(200);
    expect(await ask('POST', `/admin/refunds/${id}/sync`)).toBe(200);

    const told = JSON.stringify(answers);
    const stored = await allRows(service);
    const logged = logLines.join('');
    expect(logged).toContain(id);
    for (const hidden of [secret, apiV3Key, keyLine, ADMIN_TOKEN]) {
      expect(told).not.toContain(hidden);
      expect(stored).not.toContain(hidden);
      expect(logged).not.toContain(hidden);
    }
    expect(told).not.toMatch(/sealed|"v1\./);
    // They are there, only not readable; the apps and accounts were really stored.
    expect(stored).toContain(appId);
    expect(stored).toContain('hushed');

    const files = readdirSync(service.dataDir).filter((name) => name.startsWith('refund-sync.db'));
    expect(files.length > 0).toBe(process.env.TEST_DATABASE !== 'mysql');
    for (const name of files) {
      const bytes = readFileSync(join(service.dataDir, name));
      for (const hidden of [secret, apiV3Key, keyLine, ADMIN_TOKEN]) expect(bytes.includes(hidden), name).toBe(false);
    }
    const onDisk = files.some((name) => readFileSync(join(service.dataDir, name)).includes(appId));
    expect(onDisk).toBe(files.length > 0);
  });

  it('stay as they are when other settings of an account change', async () => {
    const sandboxed = service.sandbox.accounts().find(({ channel }) => channel === 'wechat_pay');
    const { privateKey: _key, apiV3Key: _apiKey, ...open } = sandboxed?.config ?? {};
    const { httpStatus } = await service.admin('PUT', `/admin/gateway-accounts/${WECHAT_ACCOUNT}`, {
      channel: 'wechat_pay',
      config: { ...open, notifyUrl: `${service.url}/callback/wechat/${WECHAT_ACCOUNT}` },
    });
    expect(httpStatus).toBe(200);
    const { refundNo } = await stuckRefund(service, { gateway: 'success' });
    expect(await service.merchant.syncRefund({ refundNo })).toMatchObject({ code: 0, data: { repair: true } });
  });
});
