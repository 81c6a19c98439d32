import { readFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { gunzipSync } from 'node:zlib';
import type { Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stuckRefund, uniqueNo } from './support/builders.js';
import type { Answer } from './support/merchant-client.js';
import { newMerchant } from './support/merchants.js';
import { exchange, head, open } from './support/raw-http.js';
import { SIGN_SECRET, startService, type TestService } from './support/service.js';
import { rowCounts } from './support/tables.js';
import { Digits, type Fields, type Wire } from './support/wire.js';

const SYNC = '/unipay/syncRefund';
const HAN = /\p{Script=Han}/u;

const nowS = (): number => Math.floor(Date.now() / 1000);

let service: TestService;
beforeAll(async () => {
  service = await startService();
});
afterAll(() => service.close());

let patient: string;
/** A request like every good one. */
async function expectGoodRequestToWork(): Promise<void> {
  patient ??= (await stuckRefund(service)).refundNo;
  expect(await service.merchant.syncRefund({ refundNo: patient })).toMatchObject({ code: 0 });
}

describe('the two addresses', () => {
  it.each(['/unipay/syncRefund', '/unipay/syncPay', '//unipay/syncRefund', '//unipay//syncPay', `${SYNC}?from=old`])(
    'serves %s',
    async (path) => {
      const { refundNo } = await stuckRefund(service, { gateway: 'success' });
      const answer = await service.merchant.call(path, { refundNo });
      expect(answer).toMatchObject({ code: 0, data: { gatewayStatus: 'refund_success', repair: true } });
      expect(Object.keys(answer.data ?? {}).sort()).toEqual(
        ['errorMsg', 'gatewayStatus', 'repair', 'repairOrderNo', 'success'].sort(),
      );
    },
  );
});

describe('every answer has HTTP 200 and the whole envelope', () => {
  // What all answers have in common is checked by the client itself, for each one.
  it.each([
    ['no signature', SYNC, { method: 'POST', body: '{"refundNo":"R1","reqTime":1}' }, 20052],
    ['no JSON', SYNC, { method: 'POST', body: '{' }, 10005],
    ['no body', SYNC, { method: 'POST' }, 10005],
    ['GET', SYNC, { method: 'GET' }, 10005],
    ['PUT', SYNC, { method: 'PUT', body: '{}' }, 10005],
    ['DELETE', '/unipay/syncPay', { method: 'DELETE' }, 10005],
    ['PATCH', '/unipay/refund', { method: 'PATCH', body: '{}' }, 10005],
    ['OPTIONS', SYNC, { method: 'OPTIONS' }, 10005],
    ['an unknown path below /unipay', '/unipay/nothing/here', { method: 'POST', body: '{}' }, 10005],
    ['an unknown path below /uni', '/uni/query/payOrder', { method: 'POST', body: '{}' }, 10005],
    ['an unknown path, doubled slash', '//unipay/nothing', { method: 'POST', body: '{}' }, 10005],
    ['the bare prefix', '/unipay/', { method: 'POST', body: '{}' }, 10005],
    ['the prefix in percent signs', '/%75nipay/syncRefund', { method: 'POST', body: '{' }, 10005],
    ['a path that cannot be decoded', '/unipay/%zz', { method: 'POST', body: '{}' }, 10005],
    ['a very long path', `/unipay/${'x'.repeat(5_000)}`, { method: 'POST', body: '{}' }, 10005],
  ] as [string, string, RequestInit, number][])('%s', async (_case, path, init, code) => {
    const answer = await service.merchant.send(path, { headers: { 'content-type': 'application/json' }, ...init });
    expect(answer.code, answer.text).toBe(code);
    expect(answer.text).not.toMatch(/node_modules|\.ts:|\.js:|SELECT/);
  });

  it('an absolute request target, as some proxies send it', async () => {
    const { received } = await exchange(
      service.url,
      head(`http://shop.example${SYNC}`, 'Content-Length: 1', 'Connection: close') + '{',
    );
    expect(received).toMatch(/^HTTP\/1\.1 200 /);
    expect(received).toContain('"code":10005');
  });

  it('HEAD has the status and the trace, and no body', async () => {
    const response = await fetch(`${service.url}${SYNC}`, { method: 'HEAD' });
    expect(response.status).toBe(200);
    expect(response.headers.get('x-trace-id')).toMatch(/^[A-Za-z0-9]{12}$/);
    expect(await response.text()).toBe('');
  });

  it('outside of the merchant API statuses are what they say', async () => {
    for (const path of ['/nothing', '/unipays/syncRefund', '/admin/nothing']) {
      const response = await fetch(`${service.url}${path}`, { method: 'POST' });
      expect(response.status, path).toBe(404);
      expect(response.headers.get('content-type')).toBe('application/problem+json; charset=utf-8');
    }
  });

  it('a new trace for each request, good or bad', async () => {
    const answers = await Promise.all(
      Array.from({ length: 40 }, (_, index) =>
        index % 2 === 0
          ? service.merchant.syncRefund({ refundNo: 'nobody' })
          : service.merchant.post('/unipay/nothing', '{}'),
      ),
    );
    expect(new Set(answers.map(({ traceId }) => traceId)).size).toBe(answers.length);
  });
});

describe('compression', () => {
  it.each(['gzip', 'gzip, deflate', 'deflate', 'br', 'identity'])(
    'an answer to Accept-Encoding: %s can be read',
    async (accepted) => {
      const { refundNo } = await stuckRefund(service);
      const body = service.merchant.body({ refundNo });
      const { headers, bytes } = await new Promise<{ headers: NodeJS.Dict<string | string[]>; bytes: Buffer }>(
        (resolve, reject) => {
          const request = httpRequest(
            `${service.url}${SYNC}`,
            { method: 'POST', headers: { 'content-type': 'application/json', 'accept-encoding': accepted } },
            (response) => {
              const chunks: Buffer[] = [];
              response.on('data', (chunk: Buffer) => chunks.push(chunk));
              response.on('end', () => resolve({ headers: response.headers, bytes: Buffer.concat(chunks) }));
            },
          );
          request.on('error', reject);
          request.end(body);
        },
      );
      // The SDK cannot read zlib's deflate, and knows no brotli.
      expect([undefined, 'gzip']).toContain(headers['content-encoding']);
      const text = (headers['content-encoding'] === 'gzip' ? gunzipSync(bytes) : bytes).toString('utf8');
      expect(JSON.parse(text)).toMatchObject({ code: 0 });
      if (headers['content-length'] !== undefined) expect(Number(headers['content-length'])).toBe(bytes.length);
    },
  );

  it('a compressed request is unreadable, not half read', async () => {
    const { gzipSync } = await import('node:zlib');
    const body = new Uint8Array(gzipSync(service.merchant.body({ refundNo: 'R1' })));
    expect(await service.merchant.post(SYNC, body, { 'content-encoding': 'gzip' })).toMatchObject({ code: 10005 });
  });
});

describe('refundId keeps all its digits', () => {
  it('as a bare integer and as text; its neighbours are other refunds', async () => {
    const { id } = await stuckRefund(service, { gateway: 'success' });
    expect(id).toMatch(/^\d{19}$/);
    // Whoever read it as a double would take its neighbours for it.
    expect(Number(id)).toBe(Number(BigInt(id) + 1n));

    for (const neighbour of [BigInt(id) - 1n, BigInt(id) + 1n]) {
      expect(await service.merchant.syncRefund({ refundId: neighbour })).toMatchObject({ code: 20041 });
      expect(await service.merchant.syncRefund({ refundId: String(neighbour) })).toMatchObject({ code: 20041 });
    }
    expect((await service.history(id)).syncs).toHaveLength(0);
    expect(await service.merchant.syncRefund({ refundId: BigInt(id) })).toMatchObject({
      code: 0,
      data: { repair: true },
    });
    expect(await service.merchant.syncRefund({ refundId: id })).toMatchObject({ code: 0, data: { repair: false } });
    expect((await service.history(id)).syncs).toHaveLength(2);
  });

  it.each([
    ['2^53 + 1', 9_007_199_254_740_993n, 20041],
    ['the largest Long', 9_223_372_036_854_775_807n, 20041],
    ['more than a Long', 9_999_999_999_999_999_999n, 20041],
    ['zero', 0, 20041],
    ['20 digits', '17533709805233848320', 10006],
    ['a sign', '-1753370980523384832', 10006],
    ['a negative integer', -5, 10006],
    ['letters', '1753370980523384832x', 10006],
    ['white space', ' 1753370980523384832', 10006],
    ['Arabic digits', '١٢٣', 10006],
    ['a fraction', new Digits('1753370980523384832.0'), 10006],
    ['an exponent', new Digits('1e18'), 10006],
    ['a boolean', true, 10006],
    ['a list', ['1753370980523384832'], 10006],
    ['an object', { id: '1753370980523384832' }, 10006],
    ['SQL', "1' OR '1'='1", 10006],
  ] as [string, Wire, number][])('%s', async (_case, refundId, code) => {
    const answer = await service.merchant.syncRefund({ refundId });
    expect(answer.code, answer.text).toBe(code);
    if (code === 10006) expect(answer.msg).toContain('refundId');
  });

  it('refundId wins over refundNo', async () => {
    const meant = await stuckRefund(service, { gateway: 'success' });
    const other = await stuckRefund(service, { gateway: 'success' });
    expect(await service.merchant.syncRefund({ refundId: meant.id, refundNo: other.refundNo })).toMatchObject({
      code: 0,
    });
    expect((await service.refund(meant.id)).status).toBe('success');
    expect((await service.refund(other.id)).status).toBe('progress');
    // And it stays so when there is no refund of that id.
    expect(await service.merchant.syncRefund({ refundId: 42, refundNo: other.refundNo })).toMatchObject({
      code: 20041,
    });
    expect((await service.history(other.id)).syncs).toHaveLength(0);
  });
});

describe('refundNo', () => {
  it.each([
    ['other case', (no: string) => no.toLowerCase()],
    ['a space behind', (no: string) => `${no} `],
    ['a space before', (no: string) => ` ${no}`],
    ['full-width letters', (no: string) => no.replace('R', 'Ｒ')],
    ['a combining accent', (no: string) => `${no}\u0301`],
    ['NUL behind', (no: string) => `${no}\u0000`],
    ['a wildcard', (no: string) => `${no.slice(0, -1)}_`],
    ['a zero-width space', (no: string) => `${no}\u200b`],
  ])('%s is another number', async (_case, other) => {
    const { id, refundNo } = await stuckRefund(service, { gateway: 'success' });
    expect(other(refundNo)).not.toBe(refundNo);
    expect(await service.merchant.syncRefund({ refundNo: other(refundNo) })).toMatchObject({ code: 20041 });
    expect((await service.refund(id)).status).toBe('progress');
  });

  it('of 100 characters, emoji included, is found', async () => {
    const refundNo = `${uniqueNo('退款')}👨‍👩‍👧`.padEnd(80, '号');
    await service.admin('POST', '/admin/refunds', {
      refundNo,
      gatewayRequestNo: uniqueNo('G'),
      channel: 'wechat_pay',
      amount: 1,
      payment: { businessNo: uniqueNo('P'), amount: 1 },
    });
    expect(await service.merchant.syncRefund({ refundNo })).toMatchObject({ code: 0 });
  });

  it.each([
    ['101 characters', 'R'.repeat(101)],
    ['a number', 123],
    ['a list', ['R1']],
    ['an object', { toString: 'R1' }],
    ['false', false],
  ] as [string, Wire][])('%s is refused, and named', async (_case, refundNo) => {
    const answer = await service.merchant.syncRefund({ refundNo });
    expect(answer).toMatchObject({ code: 10006 });
    expect(answer.msg).toContain('refundNo');
  });
});

describe('an empty text counts as absent', () => {
  it.each([
    ['refundId empty, refundNo given', (no: string, _id: string) => ({ refundId: '', refundNo: no })],
    ['refundNo empty, refundId given', (_no: string, id: string) => ({ refundNo: '', refundId: id })],
    ['clientIp empty', (no: string) => ({ refundNo: no, clientIp: '' })],
    ['all but one null', (no: string) => ({ refundNo: no, refundId: null, clientIp: null, appId: null })],
    ['app empty', (no: string) => ({ refundNo: no, appId: '' })],
  ] as [string, (no: string, id: string) => Fields][])('%s', async (_case, fieldsOf) => {
    const { refundNo, id } = await stuckRefund(service);
    const fields: Fields = { reqTime: nowS(), ...fieldsOf(refundNo, id) };
    const withoutEmpty = Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== ''));
    // The SDK signs the empty text, who follows the document leaves it out: both are right.
    for (const sign of [service.merchant.sign(fields), service.merchant.sign(withoutEmpty)]) {
      const answer = await service.merchant.post(SYNC, JSON.stringify({ ...fields, sign }));
      expect(answer.code, answer.text).toBe(0);
    }
  });

  it.each([
    ['both absent', {}],
    ['both empty', { refundId: '', refundNo: '' }],
    ['both null', { refundId: null, refundNo: null }],
    ['one empty', { refundNo: '' }],
  ] as [string, Fields][])('%s: 10006 names both', async (_case, fields) => {
    for (const language of ['zh', 'en']) {
      const answer = await service.merchant.syncRefund(fields, { 'accept-language': language });
      expect(answer.code).toBe(10006);
      expect(answer.msg).toContain('refundId');
      expect(answer.msg).toContain('refundNo');
    }
  });
});

describe('fields that the interface does not know', () => {
  /** The request of the document, word for word but for the time and the number. */
  const example = (refundNo?: string): Fields => ({
    clientIp: '127.0.0.1',
    attach: 'attach',
    notifyUrl: 'http://127.0.0.1/notifyUrl',
    reqTime: String(nowS()),
    businessNo: 'P0001',
    expiredTime: '123457711',
    ...(refundNo === undefined ? {} : { refundNo }),
  });

  it("are accepted: the document's example, signed over all its fields", async () => {
    const { refundNo } = await stuckRefund(service);
    const fields = example(refundNo);
    const sign = service.merchant.sign(fields);
    expect(await service.merchant.post(SYNC, JSON.stringify({ ...fields, sign }))).toMatchObject({ code: 0 });
  });

  it('and signed over those of the interface alone', async () => {
    const { refundNo } = await stuckRefund(service);
    const fields = example(refundNo);
    const sign = service.merchant.sign({ refundNo, clientIp: fields.clientIp, reqTime: fields.reqTime });
    expect(await service.merchant.post(SYNC, JSON.stringify({ ...fields, sign }))).toMatchObject({ code: 0 });
  });

  it('but not signed over some third choice', async () => {
    const { refundNo } = await stuckRefund(service);
    const fields = example(refundNo);
    for (const left of ['attach', 'clientIp', 'reqTime', 'refundNo']) {
      const sign = service.merchant.sign({ ...fields, [left]: undefined });
      expect(await service.merchant.post(SYNC, JSON.stringify({ ...fields, sign })), left).toMatchObject({
        code: 20052,
      });
    }
  });

  it('the example as it is printed names no refund', async () => {
    const fields = example();
    const answer = await service.merchant.post(
      SYNC,
      JSON.stringify({ ...fields, sign: service.merchant.sign(fields) }),
    );
    expect(answer).toMatchObject({ code: 10006 });
    expect(answer.msg).toContain('refundId');
    expect(answer.msg).toContain('refundNo');
  });

  it('also under names that JavaScript objects have already', async () => {
    const { refundNo } = await stuckRefund(service);
    const fields: Fields = { refundNo, reqTime: nowS() };
    for (const name of ['toString', 'valueOf', 'hasOwnProperty', '__defineGetter__', 'then', 'length', 'isPrototypeOf'])
      fields[name] = 'x';
    fields.toJSON = { refundNo: 'another' };
    const answer = await service.merchant.post(SYNC, service.merchant.body(fields));
    expect(answer.code, answer.text).toBe(0);
    expect(Object.prototype).not.toHaveProperty('refundNo');
  });
});

describe('reqTime', () => {
  it.each([
    ['an integer', () => nowS()],
    ['digits', () => String(nowS())],
    ['290 s ago', () => nowS() - 290],
    ['290 s ahead', () => nowS() + 290],
  ] as [string, () => Wire][])('%s is accepted', async (_case, reqTime) => {
    const { refundNo } = await stuckRefund(service);
    expect(await service.merchant.syncRefund({ refundNo, reqTime: reqTime() })).toMatchObject({ code: 0 });
  });

  it.each([
    ['missing', undefined],
    ['empty', ''],
    ['null', null],
    ['letters', 'now'],
    ['a fraction', new Digits('1707408964.5')],
    ['an exponent', new Digits('1.7e9')],
    ['a negative number', -5],
    ['milliseconds', Date.now()],
    ['a boolean', true],
    ['a list', [1707408964]],
    ['white space', ' 1707408964'],
    ['1e400', new Digits('1e400')],
    ['a date of the 3.0 client that does not exist', '2024-02-30 25:61:61'],
  ] as [string, Wire][])('%s: 10006 names it', async (_case, reqTime) => {
    const { id, refundNo } = await stuckRefund(service, { gateway: 'success' });
    for (const language of ['zh', 'en']) {
      const answer = await service.merchant.syncRefund({ refundNo, reqTime }, { 'accept-language': language });
      expect(answer.code, answer.text).toBe(10006);
      expect(answer.msg).toContain('reqTime');
    }
    expect((await service.refund(id)).status).toBe('progress');
  });

  it.each([-310, 310, -86_400])('%s s away from now is outside of the window', async (awayS) => {
    const { id, refundNo } = await stuckRefund(service, { gateway: 'success' });
    expect(await service.merchant.syncRefund({ refundNo, reqTime: nowS() + awayS })).toMatchObject({ code: 20052 });
    expect((await service.refund(id)).status).toBe('progress');
  });

  it('is not compared where the window is 0, and still asked for', async () => {
    const { client, appId } = await newMerchant(service, { reqTimeWindowS: 0 });
    const { refundNo } = await stuckRefund(service, { more: { appId } });
    expect(await client.syncRefund({ refundNo, reqTime: '123123121' })).toMatchObject({ code: 0 });
    expect(await client.syncRefund({ refundNo, reqTime: 99_999_999_999 })).toMatchObject({ code: 0 });
    expect(await client.syncRefund({ refundNo, reqTime: undefined })).toMatchObject({ code: 10006 });
    expect(await client.syncRefund({ refundNo, reqTime: 'soon' })).toMatchObject({ code: 10006 });
  });
});

describe('clientIp', () => {
  it.each(['127.0.0.1', '203.0.113.7', '::1', '2001:db8::1', '::ffff:203.0.113.7', 'fe80::1%eth0'])(
    '%s is an address',
    async (clientIp) => {
      const { refundNo } = await stuckRefund(service);
      expect(await service.merchant.syncRefund({ refundNo, clientIp })).toMatchObject({ code: 0 });
    },
  );

  it.each([
    '256.1.1.1',
    '1.2.3',
    '01.2.3.4',
    '127.0.0.1 ',
    '127.0.0.1:80',
    '2001:db8::1::2',
    '[::1]',
    'localhost',
    '1.2.3.4,5.6.7.8',
    2_130_706_433,
    ['127.0.0.1'],
    `fe80::1%${'z'.repeat(200)}`,
  ] as Wire[])('%s is none: 10006 names it', async (clientIp) => {
    const { refundNo } = await stuckRefund(service);
    const answer = await service.merchant.syncRefund({ refundNo, clientIp });
    expect(answer.code, answer.text).toBe(10006);
    expect(answer.msg).toContain('clientIp');
  });
});

describe('language', () => {
  const missing = (language?: string): Promise<Answer<unknown>> =>
    service.merchant.syncRefund({ refundNo: 'nobody' }, language === undefined ? {} : { 'accept-language': language });

  it.each([undefined, 'zh-CN,zh;q=0.9', 'zh', '*', '', 'english', 'fr'])(
    'Accept-Language %s: Chinese',
    async (language) => {
      expect((await missing(language)).msg).toBe('未查询到退款订单');
    },
  );

  it.each(['en', 'en-US,en;q=0.9,zh;q=0.8', 'EN-gb', ' en'])('Accept-Language %s: English', async (language) => {
    expect((await missing(language)).msg).toBe('no such refund');
  });

  it.each([
    ['10005', '{', 'the body cannot be read'],
    ['10006', undefined, 'invalid parameter'],
    ['20052', '{"refundNo":"R1","reqTime":1}', 'the signature is missing'],
  ])('of %s, with what is wrong', async (code, body, english) => {
    const text = body ?? service.merchant.body({ refundNo: 'R1', reqTime: 'x', clientIp: 'y' });
    const zh = await service.merchant.post(SYNC, text);
    const en = await service.merchant.post(SYNC, text, { 'accept-language': 'en' });
    expect([String(zh.code), String(en.code)]).toEqual([code, code]);
    expect(zh.msg).toMatch(HAN);
    expect(en.msg).toContain(english);
    expect(en.msg).not.toMatch(HAN);
  });

  it('says in Chinese what is wrong with a field', async () => {
    const detail = async (fields: Fields) => (await service.merchant.syncRefund(fields)).msg.split(': ')[1];
    expect(await detail({ refundNo: 'R1', reqTime: undefined })).toMatch(HAN);
    expect(await detail({ refundNo: 'R1', reqTime: 'x' })).toMatch(HAN);
    expect(await detail({ refundNo: 'R1', clientIp: 'x' })).toMatch(HAN);
    expect(await detail({ refundId: 'x' })).toMatch(HAN);
    expect(await detail({})).toMatch(HAN);
  });
});

describe('a body that cannot be read', () => {
  const json = 'application/json';
  const good = (): string => service.merchant.body({ refundNo: 'R1' });
  const bytes = (...parts: (string | number[])[]): Uint8Array<ArrayBuffer> =>
    new Uint8Array(
      Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part) : Buffer.from(part)))),
    );

  it.each([
    ['no JSON', () => 'refundNo=R1', json],
    ['cut off', () => good().slice(0, -1), json],
    ['something behind it', () => `${good()}{}`, json],
    ['a comma too many', () => '{"refundNo":"R1","reqTime":1,}', json],
    ['single quotes', () => "{'refundNo':'R1'}", json],
    ['a comment', () => '{"refundNo":"R1"/**/}', json],
    ['NaN', () => '{"refundNo":"R1","reqTime":NaN}', json],
    ['a list', () => `[${good()}]`, json],
    ['null', () => 'null', json],
    ['a number', () => '1753370980523384832', json],
    ['a text', () => '"R1"', json],
    ['true', () => 'true', json],
    ['nothing', () => '', json],
    ['white space', () => ' \r\n\t ', json],
    ['invalid UTF-8', () => bytes('{"refundNo":"R', [0xff, 0xfe], '1"}'), json],
    ['overlong UTF-8', () => bytes('{"refundNo":"R', [0xc0, 0xaf], '"}'), json],
    ['UTF-8 of a lone surrogate', () => bytes('{"refundNo":"R', [0xed, 0xa0, 0x80], '"}'), json],
    ['an escaped lone surrogate', () => '{"refundNo":"R\\ud800"}', json],
    ['UTF-16', () => new Uint8Array(Buffer.from(good(), 'utf16le')), json],
    ['a byte order mark', () => bytes([0xef, 0xbb, 0xbf], good()), json],
    ['a control character', () => '{"refundNo":"R\n1"}', json],
    ['a name twice, same value', () => '{"refundNo":"R1","refundNo":"R1","reqTime":1}', json],
    ['a name twice, other value', () => '{"refundNo":"R1","reqTime":1,"refundNo":"R2"}', json],
    ['a name twice, once escaped', () => '{"refundNo":"R1","refund\\u004eo":"R2"}', json],
    ['a name twice, deep inside', () => '{"refundNo":"R1","more":[{"a":1,"a":1}]}', json],
    ['__proto__', () => '{"refundNo":"R1","__proto__":{"refundId":"1"}}', json],
    ['__proto__ escaped', () => '{"refundNo":"R1","\\u005f_proto__":{"isAdmin":true}}', json],
    ['constructor', () => '{"refundNo":"R1","constructor":{"prototype":{"x":1}}}', json],
    ['prototype, nested', () => '{"refundNo":"R1","more":{"prototype":1}}', json],
    ['400 digits', () => `{"refundId":${'9'.repeat(400)}}`, json],
    ['a number with 60 000 digits', () => `{"refundNo":"R1","reqTime":0.${'1'.repeat(60_000)}}`, json],
    ['a leading zero', () => '{"refundId":01}', json],
    ['nesting', () => `{"refundNo":"R1","more":${'['.repeat(17)}${']'.repeat(17)}}`, json],
    ['30 000 brackets', () => '['.repeat(30_000), json],
    ['10 000 objects in each other', () => '{"a":'.repeat(10_000), json],
    ['too many values', () => `{"refundNo":"R1","more":[${'1,'.repeat(5_000)}1]}`, json],
    ['too many names', () => `{${Array.from({ length: 3_000 }, (_, i) => `"f${i}":1`).join(',')}}`, json],
    ['more than 64 KiB', () => good().padEnd(64 * 1024 + 1), json],
    ['a mebibyte', () => good().padEnd(1024 * 1024), json],
    ['no content type', () => bytes(good()), ''],
    ['text/plain', good, 'text/plain'],
    ['a form', () => 'refundNo=R1&reqTime=1', 'application/x-www-form-urlencoded'],
    ['multipart', () => '--x\r\n\r\n{}\r\n--x--', 'multipart/form-data; boundary=x'],
    ['another JSON type', good, 'application/problem+json'],
    ['a type that only begins so', good, 'application/jsonp'],
    ['another charset', good, 'application/json; charset=gbk'],
    ['no type at all', good, 'json'],
  ] as [string, () => string | Uint8Array<ArrayBuffer>, string][])(
    '%s: 10005, nothing is written, the next request works',
    async (_case, bodyOf, contentType) => {
      const body = bodyOf();
      const before = await rowCounts(service);
      for (const language of ['zh', 'en']) {
        const answer = await service.merchant.send(SYNC, {
          method: 'POST',
          headers: { ...(contentType === '' ? {} : { 'content-type': contentType }), 'accept-language': language },
          body,
        });
        expect(answer.code, answer.text).toBe(10005);
        expect(answer.msg.length).toBeGreaterThan(language === 'zh' ? 6 : 20);
        expect(answer.msg.length).toBeLessThan(300);
      }
      expect(await rowCounts(service)).toEqual(before);
      await expectGoodRequestToWork();
    },
  );

  it('the same on the other interfaces', async () => {
    const before = await rowCounts(service);
    for (const path of ['/unipay/syncPay', '/unipay/refund', '/uni/query/refundOrder']) {
      for (const body of ['', '{', '[]', '{"a":1,"a":1}', '{"__proto__":1}', `"${'x'.repeat(70_000)}"`])
        expect(await service.merchant.post(path, body), `${path} ${body.slice(0, 20)}`).toMatchObject({ code: 10005 });
    }
    expect(await rowCounts(service)).toEqual(before);
  });

  it('in chunks without a length, more than 64 KiB', async () => {
    const before = await rowCounts(service);
    const chunk = `${'x'.repeat(8 * 1024)}`;
    const stream = new ReadableStream<Uint8Array>({
      start(controller) {
        controller.enqueue(Buffer.from('{"refundNo":"'));
        for (let index = 0; index < 20; index += 1) controller.enqueue(Buffer.from(chunk));
        controller.close();
      },
    });
    const init = { method: 'POST', headers: { 'content-type': json }, body: stream, duplex: 'half' };
    expect(await service.merchant.send(SYNC, init as RequestInit)).toMatchObject({ code: 10005 });
    expect(await rowCounts(service)).toEqual(before);
    await expectGoodRequestToWork();
  });

  it('but 64 KiB, 16 levels and 2000 values are fine', async () => {
    const { refundNo } = await stuckRefund(service);
    const full = service.merchant.body({ refundNo }).padEnd(64 * 1024);
    expect(await service.merchant.post(SYNC, full)).toMatchObject({ code: 0 });

    let nested: Wire = 'x';
    for (let level = 0; level < 15; level += 1) nested = [nested];
    expect(await service.merchant.syncRefund({ refundNo, more: nested })).toMatchObject({ code: 0 });
    const many = Array.from({ length: 1_990 }, () => 1);
    expect(await service.merchant.syncRefund({ refundNo, more: many })).toMatchObject({ code: 0 });
  });

  it.each([
    'application/json;charset=UTF-8',
    'APPLICATION/JSON',
    'application/json ; charset="utf-8"',
    'application/json; charset=utf8; v=1',
  ])('content type %s is JSON', async (contentType) => {
    const { refundNo } = await stuckRefund(service);
    const body = service.merchant.body({ refundNo });
    expect(await service.merchant.post(SYNC, body, { 'content-type': contentType })).toMatchObject({ code: 0 });
  });

  it('1e400 is a number, and no field has such a one', async () => {
    const before = await rowCounts(service);
    for (const field of ['refundId', 'reqTime', 'clientIp']) {
      const answer = await service.merchant.syncRefund({ refundNo: 'R1', [field]: new Digits('1e400') });
      expect(answer.code, field).toBe(10006);
      expect(answer.msg).toContain(field);
    }
    // A number under which there is no refund.
    expect(await service.merchant.syncRefund({ refundNo: new Digits('1e400') })).toMatchObject({ code: 20041 });
    expect(await rowCounts(service)).toEqual(before);
  });
});

describe("what the document's real client sends", () => {
  interface Vector {
    name: string;
    path: string;
    body: string;
    secret: string;
  }
  const file = new URL('./vectors/daxpay-2.0.json', import.meta.url);
  const vectors = (JSON.parse(readFileSync(file, 'utf8')) as Vector[]).filter(
    ({ path, secret, body }) =>
      secret === SIGN_SECRET && body.includes('"sign"') && ['/unipay/syncRefund', '/unipay/syncPay'].includes(path),
  );

  it('is verified byte for byte', async () => {
    await service.admin('PUT', '/admin/apps/sdk', { signSecret: SIGN_SECRET, reqTimeWindowS: 0 });
    expect(vectors.length).toBeGreaterThan(30);
    for (const { name, path, body } of vectors) {
      const answer = await service.merchant.post(path, body, { 'x-app-id': 'sdk' });
      // Verified, and then: no such refund, or a field that is missing or malformed. Never an error of ours.
      expect([20041, 10006], `${name}: ${answer.text}`).toContain(answer.code);
      const forged = body.replace(/"sign":"(.)/, (_, digit) => `"sign":"${digit === '0' ? '1' : '0'}`);
      expect(await service.merchant.post(path, forged, { 'x-app-id': 'sdk' }), name).toMatchObject({ code: 20052 });
    }
  });
});

describe('a connection that lies', () => {
  it('a truncated body ends the connection', async () => {
    const { closed, tookMs } = await exchange(service.url, head(SYNC, 'Content-Length: 500') + '{"refundNo":', {
      finish: true,
    });
    expect({ closed, soon: tookMs < 8_000 }).toEqual({ closed: true, soon: true });
    await expectGoodRequestToWork();
  });

  it('a length shorter than the body: the rest is no second request', async () => {
    const before = await rowCounts(service);
    const body = service.merchant.body({ refundNo: 'nobody' });
    const { received, closed } = await exchange(
      service.url,
      head(SYNC, `Content-Length: ${Buffer.byteLength(body) - 5}`) + body,
      { finish: true },
    );
    expect(closed).toBe(true);
    expect(received).not.toMatch(/"code":(?:0|20041)\b/);
    expect(received.match(/^HTTP\/1\.1 /gm)).toHaveLength(1);
    expect(await rowCounts(service)).toEqual(before);
    await expectGoodRequestToWork();
  });

  it.each([
    ['two lengths', ['Content-Length: 2', 'Content-Length: 3']],
    ['length and chunks', ['Content-Length: 2', 'Transfer-Encoding: chunked']],
    ['a negative length', ['Content-Length: -1']],
    ['a broken chunk', ['Transfer-Encoding: chunked']],
    ['an unknown coding', ['Transfer-Encoding: gzip, identity']],
  ])('%s: refused at once', async (_case, lines) => {
    const before = await rowCounts(service);
    const { received, closed, tookMs } = await exchange(service.url, head(SYNC, ...lines) + 'zz\r\n{}\r\n0\r\n\r\n', {
      finish: true,
    });
    expect({ closed, soon: tookMs < 8_000 }).toEqual({ closed: true, soon: true });
    expect(received).not.toContain('"code":0');
    expect(await rowCounts(service)).toEqual(before);
    await expectGoodRequestToWork();
  });

  it('chunks that stop in the middle', async () => {
    const { closed, tookMs } = await exchange(
      service.url,
      head(SYNC, 'Transfer-Encoding: chunked') + 'ff\r\n{"refundNo":',
      { finish: true },
    );
    expect({ closed, soon: tookMs < 8_000 }).toEqual({ closed: true, soon: true });
  });

  it('two requests in one go are answered one after the other', async () => {
    const first = service.merchant.body({ refundNo: 'nobody' });
    const { received } = await exchange(
      service.url,
      head(SYNC, `Content-Length: ${Buffer.byteLength(first)}`) +
        first +
        head(SYNC, 'Content-Length: 1', 'Connection: close') +
        '{',
    );
    expect([...received.matchAll(/"code":(\d+)/g)].map(([, code]) => code)).toEqual(['20041', '10005']);
  });

  it('fifty silent connections keep nobody waiting, and are not kept for ever', async () => {
    const silent: Socket[] = [];
    for (let index = 0; index < 50; index += 1) {
      const socket = await open(service.url);
      socket.on('error', () => undefined);
      socket.write(index % 2 === 0 ? 'POST /unipay/sync' : head(SYNC, 'Content-Length: 100') + '{');
      silent.push(socket);
    }
    try {
      await expectGoodRequestToWork();
      const server = service.app.getHttpServer() as { headersTimeout: number };
      const { initialConfig } = service.app.getHttpAdapter().getInstance() as unknown as {
        initialConfig: { handlerTimeout: number };
      };
      expect(initialConfig.handlerTimeout).toBeGreaterThan(0);
      expect(initialConfig.handlerTimeout).toBeLessThanOrEqual(60_000);
      expect(server.headersTimeout).toBeGreaterThan(0);
    } finally {
      for (const socket of silent) socket.destroy();
    }
  });

  it('a caller that hangs up does not stop the sync', async () => {
    const { id, refundNo } = await stuckRefund(service, { gateway: 'success' });
    await service.control('/control/faults', {
      channel: 'wechat_pay',
      kind: 'slow',
      rate: 1,
      count: 1,
      slowMs: 600,
      outRefundNo: refundNo,
    });
    const body = service.merchant.body({ refundNo });
    const socket = await open(service.url);
    socket.write(head(SYNC, `Content-Length: ${Buffer.byteLength(body)}`) + body);
    await expect
      .poll(async () => (await service.refund(id)).leaseToken, { timeout: 10_000, interval: 5 })
      .not.toBeNull();
    socket.destroy();
    await expect.poll(async () => (await service.refund(id)).status, { timeout: 10_000 }).toBe('success');
  });
});
