import { createDecipheriv, createHash, createHmac, X509Certificate } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { authenticate } from '../../sandbox/wechat-v2/wechat-v2.auth.js';
import { sealReqInfo, signedText, signText, type SignType } from '../../sandbox/wechat-v2/wechat-v2.crypto.js';
import { parseXml } from '../../sandbox/wechat-v2/wechat-v2.xml.js';
import { createSandbox, type Sandbox } from '../../sandbox/server.js';
import vectors from '../vectors/wechat-v2.json' with { type: 'json' };
import { steer, type Steering } from '../support/steer.js';
import { Receiver, send, until } from './support.js';

type Members = Record<string, string>;

interface Config {
  appId: string;
  mchId: string;
  apiKey: string;
  clientCertificate: string;
}

let sandbox: Sandbox;
let gateway: Steering;
let config: Config;
let receiver: Receiver;

beforeAll(async () => {
  sandbox = await createSandbox();
  gateway = steer(sandbox, 'wechat_pay');
  config = sandbox.accounts('v2').find(({ channel }) => channel === 'wechat_pay')?.config as unknown as Config;
  receiver = await Receiver.start();
});
afterAll(async () => {
  await receiver.stop();
  await sandbox.close();
});
beforeEach(async () => {
  await gateway.reset();
  receiver.forget();
});

/** A merchant's own signing: shares no code with either side. */
function sign(members: Members, type: SignType, key = config.apiKey): string {
  const pairs = Object.keys(members)
    .filter((name) => members[name] !== '' && name !== 'sign')
    .sort()
    .map((name) => `${name}=${members[name]}`);
  const text = `${pairs.join('&')}&key=${key}`;
  return (type === 'MD5' ? createHash('md5') : createHmac('sha256', key)).update(text).digest('hex').toUpperCase();
}

function xml(members: Members): string {
  const elements = Object.entries(members).map(([name, value]) => `<${name}><![CDATA[${value}]]></${name}>`);
  return `<xml>${elements.join('')}</xml>`;
}

function read(text: string): Members {
  return Object.fromEntries(
    [...text.matchAll(/<(\w+)><!\[CDATA\[([\s\S]*?)\]\]><\/\1>/g)].map(([, name = '', value = '']) => [name, value]),
  );
}

const QUERY = '/pay/refundquery';
const REFUND = '/secapi/pay/refund';

async function post(path: string, body: string): Promise<Members & { http: string }> {
  const answer = await send(sandbox.url, 'POST', path, { 'Content-Type': 'text/xml' }, body);
  return { ...read(answer.body), http: String(answer.status) };
}

interface Overrides {
  type?: SignType;
  key?: string;
  /** Over the members, before they are signed; null leaves one out. */
  members?: Record<string, string | null>;
  /** Over them afterwards. */
  after?: Members;
}

function call(path: string, own: Members, { type = 'MD5', key, members = {}, after = {} }: Overrides = {}) {
  const all: Record<string, string | null> = {
    appid: config.appId,
    mch_id: config.mchId,
    nonce_str: 'ibuaiVcKdpRxkhJA',
    ...(type === 'MD5' ? {} : { sign_type: type }),
    ...own,
    ...members,
  };
  const said = Object.fromEntries(Object.entries(all).filter((entry): entry is [string, string] => entry[1] !== null));
  return post(path, xml({ ...said, sign: sign(said, type, key), ...after }));
}

const query = (out_refund_no: string, over?: Overrides) => call(QUERY, { out_refund_no }, over);
const refund = (out_refund_no: string, own: Members = {}, over?: Overrides) =>
  call(REFUND, { out_refund_no, out_trade_no: 'TRADE-1', total_fee: '888', refund_fee: '100', ...own }, over);

describe('the published vectors', () => {
  it.each(vectors.signatures)('$name', ({ type, fields, sign: expected }) => {
    expect(
      signText(signedText({ ...fields } as unknown as Members, vectors.apiKey), vectors.apiKey, type as SignType),
    ).toBe(expected);
  });

  it('req_info', () => {
    expect(sealReqInfo(vectors.reqInfo.plaintext, vectors.apiKey)).toBe(vectors.reqInfo.ciphertext);
    expect(createHash('md5').update(vectors.apiKey).digest('hex')).toBe(vectors.reqInfo.aesKey);
  });

  it('the official example is accepted as a request', () => {
    const { fields, sign: given } = vectors.signatures[0] ?? { fields: {}, sign: '' };
    const keys = { appId: 'wxd930ea5d5a258f4f', mchId: '10000100', apiKey: vectors.apiKey, partner: {} };
    expect(authenticate({ ...fields, sign: given } as Members, keys as never)).toEqual({
      signType: 'MD5',
      isPartner: false,
    });
    expect(() => authenticate({ ...fields, sign: given, body: 'x' } as Members, keys as never)).toThrow('签名错误');
  });
});

describe('a request', () => {
  it.each(['MD5', 'HMAC-SHA256'] as const)('signed with %s is answered with the same', async (type) => {
    const { http, sign: given, ...members } = await refund('R1', {}, { type });
    expect([http, members.return_code, members.result_code]).toEqual(['200', 'SUCCESS', 'SUCCESS']);
    expect(given).toBe(sign(members, type));
    expect(members).toMatchObject({
      appid: config.appId,
      mch_id: config.mchId,
      out_refund_no: 'R1',
      out_trade_no: 'TRADE-1',
      refund_fee: '100',
      total_fee: '888',
      refund_id: expect.stringMatching(/^50\d{27}$/) as string,
    });
  });

  it.each<[string, Overrides, string]>([
    ['another key', { key: 'x'.repeat(32) }, '签名错误，请检查后再试'],
    ['a value changed after signing', { after: { refund_fee: '101' } }, '签名错误，请检查后再试'],
    ['a lower-case signature', { after: { sign: 'abc' } }, '签名错误，请检查后再试'],
    ['another kind than it says', { members: { sign_type: 'HMAC-SHA256' } }, '签名错误，请检查后再试'],
    ['a kind that there is not', { members: { sign_type: 'RSA' } }, 'sign_type参数格式错误'],
    ['no application', { members: { appid: null } }, '缺少参数appid'],
    ['another application', { members: { appid: 'wx0' } }, 'appid不存在'],
    ['no merchant', { members: { mch_id: null } }, '缺少参数mch_id'],
    ['another merchant', { members: { mch_id: '1900000999' } }, '商户号mch_id或sub_mch_id不存在'],
    ['a sub-merchant', { members: { sub_mch_id: '1900000109' } }, '商户号mch_id或sub_mch_id不存在'],
    ['no nonce', { members: { nonce_str: null } }, '缺少参数nonce_str'],
    ['a long nonce', { members: { nonce_str: 'x'.repeat(33) } }, 'nonce_str参数长度有误'],
    ['no amount', { members: { refund_fee: null } }, '缺少参数refund_fee'],
    ['yuan', { members: { refund_fee: '1.00' } }, 'invalid refund_fee'],
    ['an exponent', { members: { total_fee: '1e3' } }, 'invalid total_fee'],
    ['nothing', { members: { refund_fee: '0' } }, 'invalid refund_fee'],
    ['more than was paid', { members: { refund_fee: '889' } }, 'invalid refund_fee'],
    ['no refund number', { members: { out_refund_no: null } }, '缺少参数out_refund_no'],
    ['no payment', { members: { out_trade_no: null } }, 'transaction_id和out_trade_no不能同时为空'],
  ])('with %s is not accepted, and not signed for', async (_, over, text) => {
    const answer = await refund('R1', {}, over);
    expect(answer).toEqual({ http: '200', return_code: 'FAIL', return_msg: text });
  });

  it.each<[string, Members, string]>([
    ['a refund number of 65', { out_refund_no: 'R'.repeat(65) }, 'PARAM_ERROR'],
    ['a payment number of 33', { out_trade_no: 'T'.repeat(33) }, 'PARAM_ERROR'],
    ['a reason of 81', { refund_desc: '退'.repeat(81) }, 'PARAM_ERROR'],
    ['dollars', { refund_fee_type: 'USD' }, 'PARAM_ERROR'],
    ['other funds', { refund_account: 'MINE' }, 'PARAM_ERROR'],
    ['a callback address with a query', { notify_url: 'https://m.example/cb?a=1' }, 'PARAM_ERROR'],
  ])('with %s is refused, signed', async (_, own, code) => {
    const { http: _http, sign: given, ...members } = await refund('R1', own);
    expect(members).toMatchObject({ return_code: 'SUCCESS', result_code: 'FAIL', err_code: code });
    expect(given).toBe(sign(members, 'MD5'));
  });

  it.each([
    ['JSON', '{"appid":"x"}', 'XML格式错误'],
    ['a document type', '<!DOCTYPE xml><xml><appid>x</appid></xml>', 'XML格式错误'],
    ['the same name twice', '<xml><appid>x</appid><appid>y</appid></xml>', 'XML格式错误'],
    ['an attribute', '<xml><appid a="1">x</appid></xml>', 'XML格式错误'],
    ['nothing', '', 'post数据为空'],
  ])('that is %s is not read', async (_, body, text) => {
    expect(await post(QUERY, body)).toMatchObject({ return_code: 'FAIL', return_msg: text });
  });

  it('must be a POST; other paths are nobody’s', async () => {
    const answer = await send(sandbox.url, 'GET', QUERY, {}, undefined);
    expect(answer.body).toContain('请使用post方法');
    expect((await send(sandbox.url, 'POST', '/pay/unifiedorder', {}, '<xml/>')).status).toBe(404);
  });

  it('may escape instead of CDATA', () => {
    expect(parseXml('<xml><a>1 &lt; 2 &amp; &#x9000;</a><b/></xml>')).toEqual({ a: '1 < 2 & 退', b: '' });
    expect(parseXml('<xml><a>&nbsp;</a></xml>')).toBeUndefined();
  });
});

describe('a refund', () => {
  it('is the same for the same number and content, refused for other content', async () => {
    const { refund_id: first } = await refund('R1');
    const { refund_id: again } = await refund('R1', {}, { members: { nonce_str: 'another' } });
    expect(again).toBe(first);
    expect(await refund('R1', { refund_fee: '99' })).toMatchObject({ err_code: 'REFUND_FEE_MISMATCH' });
    expect(await gateway.truth('R1')).toMatchObject({ api: 'v2', creates: 3, refundsAtGateway: 1 });
  });

  it('is of what is left of its payment', async () => {
    await gateway.payment('TRADE-1', { amount: 888 });
    await refund('R1', { refund_fee: '800' });
    expect(await refund('R2')).toMatchObject({ err_code: 'INVALID_REQUEST' });
    await refund('R3', { refund_fee: '88' });
    expect(await refund('R4')).toMatchObject({ err_code: 'ERROR', err_code_des: '订单已全额退款' });
    await gateway.settings({ autoPayments: false });
    expect(await refund('R5', { out_trade_no: 'TRADE-9' })).toMatchObject({ err_code: 'ORDERNOTEXIST' });
  });

  it('that came by one API is found by the other’s word for it', async () => {
    await refund('R1');
    expect(await gateway.truth('R1')).toMatchObject({ status: 'processing', api: 'v2' });
    await gateway.refund('R2', 'TRADE-2', 'closed');
    expect(await query('R2')).toMatchObject({ refund_status_0: 'REFUNDCLOSE' });
  });
});

describe('a query', () => {
  it.each([
    ['processing', 'PROCESSING'],
    ['success', 'SUCCESS'],
    ['failed', 'REFUNDCLOSE'],
    ['closed', 'REFUNDCLOSE'],
    ['abnormal', 'CHANGE'],
  ])('%s is %s', async (status, word) => {
    await gateway.refund('R1', 'TRADE-1', status);
    const { http: _http, sign: given, ...members } = await query('R1', { type: 'HMAC-SHA256' });
    expect(given).toBe(sign(members, 'HMAC-SHA256'));
    expect(members).toMatchObject({
      result_code: 'SUCCESS',
      out_trade_no: 'TRADE-1',
      total_fee: '1000',
      refund_count: '1',
      out_refund_no_0: 'R1',
      refund_status_0: word,
      refund_fee_0: '100',
      refund_recv_accout_0: expect.any(String) as string,
    });
    if (word === 'SUCCESS') expect(members.refund_success_time_0).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/);
    else expect(members).not.toHaveProperty('refund_success_time_0');
  });

  it('of what nobody sent says so, signed', async () => {
    const { http: _http, sign: given, ...members } = await query('R9');
    expect(members).toMatchObject({ result_code: 'FAIL', err_code: 'REFUNDNOTEXIST' });
    expect(given).toBe(sign(members, 'MD5'));
  });

  it('by the payment lists ten a page', async () => {
    for (let count = 0; count < 12; count += 1) await gateway.refund(`R${count}`, 'TRADE-1', 'success', { amount: 10 });
    const first = await call(QUERY, { out_trade_no: 'TRADE-1' });
    expect(first).toMatchObject({
      refund_count: '10',
      total_refund_count: '12',
      refund_fee: '120',
      out_refund_no_9: 'R9',
    });
    const rest = await call(QUERY, { transaction_id: first.transaction_id ?? '', offset: '10' });
    expect(rest).toMatchObject({ refund_count: '2', out_refund_no_0: 'R10', out_refund_no_1: 'R11' });
    expect(await call(QUERY, { out_trade_no: 'TRADE-1', offset: '12' })).toMatchObject({ err_code: 'PARAM_ERROR' });
    expect(await call(QUERY, { refund_id: first.refund_id_3 ?? '' })).toMatchObject({ out_refund_no_0: 'R3' });
    expect(await call(QUERY, {})).toMatchObject({ return_code: 'FAIL' });
  });
});

describe('faults', () => {
  beforeEach(() => gateway.refund('R1', 'TRADE-1', 'success'));

  it('spoil answers each in its way', async () => {
    const faulty = async (kind: string, more = {}) => {
      await gateway.fault(kind, { count: 1, ...more });
      return query('R1');
    };
    expect(await faulty('http500')).toMatchObject({ http: '500' });
    expect(await faulty('http429')).toMatchObject({ http: '200', err_code: 'FREQUENCY_LIMITED' });
    expect(await faulty('systemError')).toMatchObject({ err_code: 'SYSTEMERROR' });
    expect(await faulty('wrongAmount')).toMatchObject({ refund_fee_0: '101' });
    expect(await faulty('slow', { slowMs: 20 })).toMatchObject({ refund_status_0: 'SUCCESS' });
    const { http: _http, sign: forged, ...members } = await faulty('badSignature');
    expect(forged).toMatch(/^[0-9A-F]{32}$/);
    expect(forged).not.toBe(sign(members, 'MD5'));
    await gateway.fault('malformed', { count: 1 });
    const cut = await send(sandbox.url, 'POST', QUERY, {}, xml(signedQuery('R1')));
    expect(cut.body).not.toContain('</xml>');
    expect(await faulty('notFoundThenFound')).toMatchObject({ err_code: 'REFUNDNOTEXIST' });
    expect(await query('R1')).toMatchObject({ refund_status_0: 'SUCCESS' });
  });

  it('cut connections before or after the refund is stored', async () => {
    for (const [kind, stored] of [
      ['lostRequest', 0],
      ['lostAnswer', 1],
      ['reset', 0],
    ] as const) {
      await gateway.fault(kind, { count: 1 });
      await expect(refund(`R-${kind}`, { out_trade_no: `T-${kind}` })).rejects.toThrow(/ECONNRESET|hang up/);
      expect(await gateway.truth(`R-${kind}`)).toMatchObject({ creates: 1, refundsAtGateway: stored });
    }
  });

  it('refuse and lose refunds; succeeded ones fail', async () => {
    await gateway.fault('refused', { count: 1 });
    expect(await refund('R2', { out_trade_no: 'T-2' })).toMatchObject({ err_code: 'PARAM_ERROR' });
    expect(await gateway.truth('R2')).toMatchObject({ refundsAtGateway: 0 });
    await gateway.fault('systemError', { count: 2 });
    const codes = [await refund('R3', { out_trade_no: 'T-3' }), await refund('R3', { out_trade_no: 'T-3' })];
    expect(codes.map(({ err_code: code }) => code).sort()).toEqual(['BIZERR_NEED_RETRY', 'SYSTEMERROR']);
    await gateway.fault('successThenFailed', { count: 1 });
    expect(await query('R1')).toMatchObject({ refund_status_0: 'SUCCESS' });
    expect(await query('R1')).toMatchObject({ refund_status_0: 'REFUNDCLOSE' });
  });

  it('too many wrong requests are answered so', async () => {
    await gateway.settings({ failedRatePerSecond: 1 });
    const codes = [];
    for (let count = 0; count < 4; count += 1)
      codes.push((await refund('R1', { out_trade_no: 'TRADE-1', refund_fee: '7' })).err_code);
    expect(codes).toContain('INVALID_REQ_TOO_MUCH');
  });
});

function signedQuery(out_refund_no: string): Members {
  const members = { appid: config.appId, mch_id: config.mchId, nonce_str: 'n', out_refund_no };
  return { ...members, sign: sign(members, 'MD5') };
}

describe('a notification', () => {
  const open = (body: string): Members => {
    const { req_info: sealed = '' } = read(body);
    const key = createHash('md5').update(config.apiKey).digest('hex');
    const decipher = createDecipheriv('aes-256-ecb', key, null);
    return read(Buffer.concat([decipher.update(Buffer.from(sealed, 'base64')), decipher.final()]).toString());
  };

  it('comes to the address of the create, again and again until it is acknowledged by its word', async () => {
    await gateway.settings({ defaultScript: [{ afterMs: 20, status: 'success' }], callbackTimeScale: 0.001 });
    await refund('R1', { notify_url: receiver.url });
    // The receiver answers 200 with JSON: that acknowledges nothing here.
    const [first, second] = await until(
      () => receiver.received,
      (received) => received.length >= 2,
    );
    const envelope = read(first?.body ?? '');
    expect(envelope).toMatchObject({ return_code: 'SUCCESS', appid: config.appId, mch_id: config.mchId });
    expect(envelope).not.toHaveProperty('sign');
    expect(open(first?.body ?? '')).toMatchObject({
      out_refund_no: 'R1',
      out_trade_no: 'TRADE-1',
      refund_fee: '100',
      total_fee: '888',
      refund_status: 'SUCCESS',
      refund_request_source: 'API',
      success_time: expect.stringMatching(/^\d{4}-/) as string,
    });
    expect(open(second?.body ?? '')).toEqual(open(first?.body ?? ''));
    expect(read(second?.body ?? '').nonce_str).not.toBe(envelope.nonce_str);
  });

  it('of another number of bytes has another number of padding bytes, a whole block included', () => {
    for (let length = 0; length <= 32; length += 1) {
      const bytes = Buffer.from(sealReqInfo('x'.repeat(length), config.apiKey), 'base64').length;
      expect(bytes).toBe((Math.floor(length / 16) + 1) * 16);
    }
  });

  it('is of the API by which the refund came', async () => {
    await gateway.refund('R1', 'TRADE-1', 'success', { api: 'v2' });
    await gateway.refund('R2', 'TRADE-2', 'success');
    for (const no of ['R1', 'R2']) await gateway.callBack(no, receiver.url);
    const [older, newer] = receiver.received;
    expect(older?.headers['content-type']).toBe('text/xml');
    expect(open(older?.body ?? '')).toMatchObject({ out_refund_no: 'R1' });
    expect(newer?.headers['content-type']).toBe('application/json');
  });

  it('may say CHANGE and REFUNDCLOSE', async () => {
    await gateway.refund('R1', 'TRADE-1', 'processing', { api: 'v2' });
    for (const status of ['abnormal', 'failed']) await gateway.callBack('R1', receiver.url, { status });
    expect(receiver.received.map(({ body }) => open(body).refund_status)).toEqual(['CHANGE', 'REFUNDCLOSE']);
  });
});

describe('a service provider', () => {
  const partner = { members: { mch_id: '1900000200', sub_mch_id: '1900000209' } };

  it('names its sub-merchant, and is answered with it', async () => {
    const { http: _http, sign: given, ...members } = await refund('R1', {}, partner);
    expect(members).toMatchObject({ result_code: 'SUCCESS', ...partner.members });
    expect(given).toBe(sign(members, 'MD5'));
    for (const sub_mch_id of [null, '1900000210'])
      expect(await refund('R2', {}, { members: { ...partner.members, sub_mch_id } })).toMatchObject({
        return_code: 'FAIL',
        return_msg: '商户号mch_id或sub_mch_id不存在',
      });
  });

  it('has refunds of its own, and the direct merchant has none of them', async () => {
    await refund('R1', {}, partner);
    expect(await query('R1', partner)).toMatchObject({ refund_status_0: 'PROCESSING' });
    expect(await query('R1')).toMatchObject({ err_code: 'REFUNDNOTEXIST' });
    expect(await refund('R1')).toMatchObject({ err_code: 'INVALID_REQUEST' });
    await gateway.callBack('R1', receiver.url, { status: 'success' });
    expect(read(receiver.received[0]?.body ?? '')).toMatchObject(partner.members);
  });
});

describe('the account', () => {
  it('is not among the ordinary ones: two would serve one channel', () => {
    const ordinary = sandbox.accounts().filter(({ channel }) => channel === 'wechat_pay');
    expect(ordinary.map((account) => account.config.apiVersion)).toEqual([undefined]);
  });

  it('has the certificate of the merchant number', () => {
    expect(new X509Certificate(config.clientCertificate).subject).toContain(`CN=${config.mchId}`);
  });

  it('api is for gateways that have several', async () => {
    await expect(steer(sandbox, 'ali_pay').refund('R1', 'TRADE-1', 'success', { api: 'v2' })).rejects.toThrow(
      /api: is unknown here/,
    );
    await expect(gateway.refund('R1', 'TRADE-1', 'success', { api: 'v1' })).rejects.toThrow(/must be one of v3, v2/);
  });
});
