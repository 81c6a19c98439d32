import { createCipheriv, createHash } from 'node:crypto';
import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import vectors from '../../../test/vectors/wechat-v2.json' with { type: 'json' };
import { parseConfig } from '../config-schema.js';
import { GatewayError } from '../gateway.error.js';
import { CallbackRejected, type GatewayCall, type RefundOrder } from '../gateway.port.js';
import type { Observation } from '../observation.js';
import type { GatewayOperation } from '../refusal-rules.js';
import { wechatV2Callback } from './wechat-v2.callback.js';
import { createWechatV2Client } from './wechat-v2.client.js';
import { wechatV2Config, type WechatV2Config } from './wechat-v2.config.js';
import { WECHAT_V2_REFUSALS } from './wechat-v2.errors.js';
import { createWechatV2Gateway } from './wechat-v2.gateway.js';
import { signFields, type WechatSignType } from './wechat-v2.signature.js';
import { kindOfStatus, WECHAT_V2_STATUS } from './wechat-v2.status.js';
import { readXml, writeXml } from './wechat-v2.xml.js';

const config: WechatV2Config = {
  apiVersion: 'v2',
  appId: 'wxd930ea5d5a258f4f',
  mchId: '10000100',
  apiKey: vectors.apiKey,
  clientCertificate: 'checked elsewhere',
  clientKey: 'checked elsewhere',
};
const order = (over: Partial<RefundOrder> = {}): RefundOrder => ({
  gatewayRequestNo: 'TESTREFUND0001',
  gatewayRequestTime: null,
  gatewayRefundNo: null,
  outTradeNo: 'TESTORDER0001',
  gatewayPaymentNo: null,
  amountMinor: 100,
  paymentAmountMinor: 888,
  currency: 'CNY',
  reason: null,
  clientIp: null,
  ...over,
});

/** What WeChat Pay answers to a query of one refund (names as captured). */
const queried: Record<string, string> = {
  return_code: 'SUCCESS',
  return_msg: 'OK',
  result_code: 'SUCCESS',
  appid: config.appId,
  mch_id: config.mchId,
  nonce_str: 'TeqClE3i0mvn3DrK',
  out_trade_no: 'TESTORDER0001',
  transaction_id: '4200000000202401010000000001',
  total_fee: '888',
  refund_count: '1',
  refund_fee: '100',
  out_refund_no_0: 'TESTREFUND0001',
  refund_id_0: '50000000382019052709732678859',
  refund_channel_0: 'ORIGINAL',
  refund_fee_0: '100',
  settlement_refund_fee_0: '90',
  coupon_type_0_0: 'CASH',
  coupon_refund_fee_0: '10',
  coupon_refund_count_0: '1',
  coupon_refund_id_0_0: '2000000000000000001',
  refund_status_0: 'SUCCESS',
  refund_recv_accout_0: '支付用户的零钱',
  refund_success_time_0: '2024-01-01 08:05:00',
};
const accepted: Record<string, string> = {
  return_code: 'SUCCESS',
  return_msg: 'OK',
  result_code: 'SUCCESS',
  appid: config.appId,
  mch_id: config.mchId,
  nonce_str: 'N',
  out_trade_no: 'TESTORDER0001',
  transaction_id: '4200000000202401010000000001',
  out_refund_no: 'TESTREFUND0001',
  refund_id: '50000000382019052709732678859',
  refund_fee: '100',
  total_fee: '888',
  cash_fee: '888',
};
const refusal = (code: string, over: Record<string, string> = {}): Record<string, string> => ({
  return_code: 'SUCCESS',
  return_msg: 'OK',
  result_code: 'FAIL',
  err_code: code,
  err_code_des: '说明',
  appid: config.appId,
  mch_id: config.mchId,
  nonce_str: 'N',
  ...over,
});

function signed(fields: Record<string, string>, type: WechatSignType = 'HMAC-SHA256', key = config.apiKey): string {
  return writeXml(Object.entries({ ...fields, sign: signFields(Object.entries(fields), key, type) }));
}

interface Sent {
  url: string;
  fields: Record<string, string>;
}

/** A gateway over a network that answers `body`; keeps what was sent. */
function answering(body: string | (() => never), status = 200, headers: Record<string, string> = {}) {
  const sent: Sent[] = [];
  const network = (async (url: string, init: { body: string }) => {
    await Promise.resolve();
    sent.push({ url, fields: Object.fromEntries(readXml(init.body, 'xml') ?? []) });
    return new Response(typeof body === 'string' ? body : body(), { status, headers });
  }) as unknown as typeof fetch;
  const gateway = createWechatV2Gateway((account) => createWechatV2Client(account, network));
  const call = (over: Partial<RefundOrder>, account: Partial<WechatV2Config>): GatewayCall<WechatV2Config> => ({
    config: { ...config, ...account },
    order: order(over),
    signal: new AbortController().signal,
    timeoutMs: 1000,
  });
  return {
    sent,
    query: (over: Partial<RefundOrder> = {}, account: Partial<WechatV2Config> = {}) =>
      gateway.queryRefund(call(over, account)),
    create: (over: Partial<RefundOrder> = {}, account: Partial<WechatV2Config> = {}, payload?: string) => {
      const { order: what, config: of } = call(over, account);
      const text = payload ?? gateway.prepareCreate?.(what, of) ?? '';
      return gateway.sendCreate?.(call(over, account), text) ?? Promise.reject(new Error('none'));
    },
    prepare: (over: Partial<RefundOrder> = {}, account: Partial<WechatV2Config> = {}) =>
      gateway.prepareCreate?.(order(over), { ...config, ...account }) ?? '',
  };
}

async function errorOf(call: Promise<Observation>): Promise<GatewayError> {
  const outcome: unknown = await call.catch((error: unknown) => error);
  expect(outcome).toBeInstanceOf(GatewayError);
  expect(inspect(outcome, { depth: 9 })).not.toContain(config.apiKey);
  return outcome as GatewayError;
}

describe('a query', () => {
  it('is by our number, signed, with a nonce of its own each time', async () => {
    const { query, sent } = answering(signed(queried));
    await query();
    await query();
    expect(sent[0]?.url).toBe('https://api.mch.weixin.qq.com/pay/refundquery');
    const { nonce_str: nonce, sign, ...fields } = sent[0]?.fields ?? {};
    expect(fields).toEqual({
      appid: config.appId,
      mch_id: config.mchId,
      out_refund_no: 'TESTREFUND0001',
      sign_type: 'HMAC-SHA256',
    });
    expect(nonce).toMatch(/^[0-9a-f]{32}$/);
    expect(sign).toBe(signFields(Object.entries(sent[0]?.fields ?? {}), config.apiKey, 'HMAC-SHA256'));
    expect(sent[1]?.fields.nonce_str).not.toBe(nonce);
  });

  it('names the sub-merchant in service-provider mode', async () => {
    const { query, sent } = answering(signed({ ...queried, sub_mch_id: '10000200' }));
    const observation = await query({}, { subMchId: '10000200', subAppId: 'wx2' });
    expect(sent[0]?.fields).toMatchObject({ sub_mch_id: '10000200', sub_appid: 'wx2' });
    expect(observation.identity.merchantId).toBe('10000100/10000200');
  });

  it('that finds a success says what, how much, when, and of whom', async () => {
    const observation = await answering(signed(queried)).query();
    expect(observation).toMatchObject({
      kind: 'success',
      authenticated: true,
      amountMinor: 100,
      currency: 'CNY',
      gatewayRefundNo: '50000000382019052709732678859',
      finishedAt: new Date('2024-01-01T00:05:00Z'),
      identity: {
        gatewayRequestNo: 'TESTREFUND0001',
        gatewayRefundNo: '50000000382019052709732678859',
        outTradeNo: 'TESTORDER0001',
        gatewayPaymentNo: '4200000000202401010000000001',
        merchantId: '10000100',
      },
    });
    expect(JSON.stringify(observation)).not.toMatch(/零钱|coupon_refund_id/);
  });

  it.each(Object.entries({ ...WECHAT_V2_STATUS, SOMETHING_NEW: 'processing' }))('%s is %s', async (status, kind) => {
    expect(kindOfStatus(status)).toBe(kind);
    expect(await answering(signed({ ...queried, refund_status_0: status })).query()).toMatchObject({
      kind,
      authenticated: true,
      raw: { code: status },
    });
  });

  it('finds our refund among others, whatever its index', async () => {
    const others: Record<string, string> = {};
    for (const [name, value] of Object.entries(queried)) {
      others[name] = value;
      if (/_0$/.test(name)) others[name.replace(/_0$/, '_1')] = value;
    }
    const body = { ...others, out_refund_no_0: 'ANOTHER', refund_fee_0: '1', refund_status_0: 'PROCESSING' };
    expect(await answering(signed(body)).query()).toMatchObject({ kind: 'success', amountMinor: 100 });
  });

  it.each([
    ['another refund', { out_refund_no_0: 'ANOTHER' }, 'out_refund_no_0'],
    ['no status', { refund_status_0: '' }, 'refund_status_0'],
    ['a fraction', { refund_fee_0: '1.00' }, 'refund_fee_0'],
    ['nothing', { refund_fee_0: '0' }, 'refund_fee_0'],
    ['an odd currency', { fee_type: 'yuan' }, 'fee_type'],
  ])('that is answered with %s concludes nothing', async (_, over, field) => {
    const error = await errorOf(answering(signed({ ...queried, ...over })).query());
    expect(error).toMatchObject({ kind: 'unavailable', code: 'malformed' });
    expect(error.message).toContain(field);
  });

  it.each([
    ['no signature', writeXml(Object.entries(queried))],
    ['another key', signed(queried, 'HMAC-SHA256', config.apiKey.replace('1', '2'))],
    ['the weaker kind of signature', signed(queried, 'MD5')],
    ['a field changed', signed(queried).replace('<refund_fee_0>100', '<refund_fee_0>101')],
  ])('is not believed with %s', async (_, body) => {
    expect(await errorOf(answering(body).query())).toMatchObject({ kind: 'unavailable', code: 'bad_signature' });
  });

  it('of an account with MD5 takes MD5', async () => {
    const { query, sent } = answering(signed(queried, 'MD5'));
    expect(await query({}, { signType: 'MD5' })).toMatchObject({ kind: 'success' });
    expect(sent[0]?.fields.sign).toMatch(/^[0-9A-F]{32}$/);
  });

  it.each([true, false])('REFUNDNOTEXIST is not found, and never failed; signed: %s', async (isSigned) => {
    const fields = refusal('REFUNDNOTEXIST');
    const body = isSigned ? signed(fields) : writeXml(Object.entries(fields));
    expect(await answering(body).query()).toMatchObject({ kind: 'notFound', authenticated: isSigned });
  });

  it.each([
    ['a page', '<html><body>502</body></html>'],
    ['a document type', `<!DOCTYPE xml>${signed(queried)}`],
    ['nothing', ''],
  ])('that is answered with %s is malformed', async (_, body) => {
    expect(await errorOf(answering(body).query())).toMatchObject({ kind: 'unavailable', code: 'malformed' });
  });

  it('of a number that WeChat Pay cannot have is not sent', async () => {
    const { query, sent } = answering(signed(queried));
    expect(await errorOf(query({ gatewayRequestNo: '退款' }))).toMatchObject({ kind: 'rejected' });
    expect(sent).toEqual([]);
  });
});

describe('refusals', () => {
  const answered = (operation: GatewayOperation, body: string, status = 200, headers = {}) => {
    const gateway = answering(body, status, headers);
    return errorOf(operation === 'query' ? gateway.query() : gateway.create());
  };

  it.each<[GatewayOperation, string, string, boolean]>([
    ['create', 'SYSTEMERROR', 'ambiguous', false],
    ['create', 'BIZERR_NEED_RETRY', 'ambiguous', false],
    ['create', 'ERROR', 'ambiguous', false],
    ['create', 'ORDER_NOT_READY', 'ambiguous', false],
    ['create', 'CERT_ERROR', 'badConfig', false],
    ['create', 'ORDERNOTEXIST', 'ambiguous', false],
    ['create', 'PARAM_ERROR', 'rejected', true],
    ['create', 'USER_ACCOUNT_ABNORMAL', 'rejected', true],
    ['create', 'TRADE_OVERDUE', 'rejected', true],
    ['create', 'NOTENOUGH', 'rejected', false],
    ['create', 'REFUND_FEE_MISMATCH', 'rejected', false],
    ['create', 'INVALID_REQUEST', 'rejected', false],
    ['create', 'INVALID_TRANSACTIONID', 'rejected', false],
    ['create', 'SOMETHING_NEW', 'rejected', false],
    ['create', 'REFUNDNOTEXIST', 'rejected', false],
    ['create', 'INVALID_REQ_TOO_MUCH', 'rateLimited', false],
    ['create', 'SIGNERROR', 'badConfig', false],
    ['query', 'SYSTEMERROR', 'unavailable', false],
    ['query', 'PARAM_ERROR', 'rejected', false],
    ['query', 'FREQUENCY_LIMITED', 'rateLimited', false],
    ['query', 'APPID_NOT_EXIST', 'badConfig', false],
    ['query', 'XML_FORMAT_ERROR', 'badConfig', false],
  ])('%s %s is %s, nothing happened: %s', async (operation, code, kind, nothingHappened) => {
    expect(await answered(operation, signed(refusal(code)))).toMatchObject({ kind, code, nothingHappened });
    // Without a signature it proves nothing.
    const unsigned = writeXml(Object.entries(refusal(code)));
    expect(await answered(operation, unsigned)).toMatchObject({ kind, code, nothingHappened: false });
  });

  it('name as proof only what each is documented to prove', () => {
    const proofs = WECHAT_V2_REFUSALS.filter(({ nothingHappened }) => nothingHappened);
    expect(proofs.map(({ code }) => code)).toEqual(['PARAM_ERROR', 'USER_ACCOUNT_ABNORMAL', 'TRADE_OVERDUE']);
    for (const rule of proofs) expect(rule).toMatchObject({ on: ['create'], outcome: 'rejected', http: 200 });
  });

  it.each([
    ['签名失败', 'badConfig', 'badConfig'],
    ['请求需要双向证书', 'badConfig', 'badConfig'],
    ['appid不存在', 'badConfig', 'badConfig'],
    ['频率超过限制', 'rateLimited', 'rateLimited'],
    ['system error', 'unavailable', 'ambiguous'],
    ['invalid refund_fee', 'rejected', 'rejected'],
    ['', 'rejected', 'rejected'],
  ])('return_code FAIL "%s" has no signature and proves nothing', async (text, onQuery, onCreate) => {
    // Also when whoever sent it adds a code and a right signature: the message as such was not accepted.
    const body = signed({ return_code: 'FAIL', return_msg: text, err_code: 'PARAM_ERROR' });
    expect(await answered('query', body)).toMatchObject({ kind: onQuery, code: 'return_fail', nothingHappened: false });
    expect(await answered('create', body)).toMatchObject({ kind: onCreate, nothingHappened: false });
  });

  it.each<[number, GatewayOperation, string]>([
    [500, 'query', 'unavailable'],
    [502, 'create', 'ambiguous'],
    [429, 'query', 'rateLimited'],
    [400, 'create', 'badConfig'],
    [400, 'query', 'unavailable'],
    [302, 'create', 'ambiguous'],
    [404, 'query', 'unavailable'],
  ])('HTTP %s to a %s is %s, whatever its body says', async (status, operation, kind) => {
    expect(await answered(operation, signed(queried), status)).toMatchObject({ kind, nothingHappened: false });
    expect(await answered(operation, '<html>', status)).toMatchObject({ kind, code: `http_${status}` });
  });

  it('wait as long as they are asked to, else a minute', async () => {
    const body = signed(refusal('FREQUENCY_LIMITED'));
    expect(await answered('query', body)).toMatchObject({ retryAfterMs: 60_000 });
    expect(await answered('query', '', 429, { 'retry-after': '120' })).toMatchObject({ retryAfterMs: 120_000 });
  });

  it('keep WeChat Pay’s words, and nothing that looks like a key', async () => {
    const text = `证书 ${'A'.repeat(64)}`;
    const error = await answered('create', signed(refusal('NOTENOUGH', { err_code_des: text })));
    expect(error.raw).toMatchObject({ code: 'NOTENOUGH', message: '证书 [redacted]' });
  });
});

describe('a create', () => {
  it('sends whole fen, and what the account says', async () => {
    const { create, prepare, sent } = answering(signed(accepted));
    const account = {
      notifyUrl: 'https://m.example/cb',
      refundAccount: 'REFUND_SOURCE_RECHARGE_FUNDS',
      subMchId: '10000200',
    } as const;
    const said = { reason: '质量 <50%> & "so"' };
    await create(said, account);
    const { nonce_str: _nonce, sign: _sign, ...fields } = sent[0]?.fields ?? {};
    expect(sent[0]?.url).toBe('https://api.mch.weixin.qq.com/secapi/pay/refund');
    expect(fields).toEqual({
      appid: config.appId,
      mch_id: config.mchId,
      sub_mch_id: '10000200',
      out_trade_no: 'TESTORDER0001',
      out_refund_no: 'TESTREFUND0001',
      total_fee: '888',
      refund_fee: '100',
      refund_fee_type: 'CNY',
      refund_desc: '质量 <50%> & "so"',
      notify_url: 'https://m.example/cb',
      refund_account: 'REFUND_SOURCE_RECHARGE_FUNDS',
      sign_type: 'HMAC-SHA256',
    });
    expect(prepare(said, account)).toBe(prepare(said, account));
    expect(prepare(said, account)).not.toMatch(/sign|nonce/);
  });

  it('that is accepted is under way, and no more', async () => {
    expect(await answering(signed(accepted)).create()).toMatchObject({
      kind: 'processing',
      authenticated: true,
      gatewayRefundNo: '50000000382019052709732678859',
      identity: { gatewayRequestNo: 'TESTREFUND0001', outTradeNo: 'TESTORDER0001', merchantId: '10000100' },
    });
  });

  it('whose acceptance is not signed, or names no refund, is of unknown outcome', async () => {
    const unsigned = answering(writeXml(Object.entries(accepted)));
    expect(await errorOf(unsigned.create())).toMatchObject({ kind: 'ambiguous', code: 'bad_signature' });
    const { out_refund_no: _gone, ...nameless } = accepted;
    expect(await errorOf(answering(signed(nameless)).create())).toMatchObject({ kind: 'ambiguous', code: 'malformed' });
  });

  it('without a client certificate is not sent', async () => {
    const { clientCertificate: _none, clientKey: _nor, ...without } = config;
    const { sent } = answering(signed(accepted));
    const gateway = createWechatV2Gateway(() => ({ send: () => Promise.reject(new Error('sent')) }));
    const payload = gateway.prepareCreate?.(order(), without) ?? '';
    const call = { config: without, order: order(), signal: new AbortController().signal, timeoutMs: 1000 };
    expect(await errorOf(gateway.sendCreate?.(call, payload) ?? Promise.reject(new Error()))).toMatchObject({
      kind: 'badConfig',
      code: 'no_client_certificate',
    });
    expect(sent).toEqual([]);
  });

  it.each([
    ['of another refund', (payload: string) => payload.replace('TESTREFUND0001', 'TESTREFUND0002')],
    ['that nobody prepared', (payload: string) => ` ${payload}`],
    ['that is none', () => 'x'],
  ])('with a payload %s is not sent', async (_, change) => {
    const { create, prepare, sent } = answering(signed(accepted));
    expect(await errorOf(create({}, {}, change(prepare())))).toMatchObject({
      kind: 'rejected',
      code: 'invalid_payload',
      nothingHappened: false,
    });
    expect(sent).toEqual([]);
  });

  it('that is lost on the way is of unknown outcome', async () => {
    const broken = () => {
      throw Object.assign(new TypeError('fetch failed'), { cause: { code: 'ECONNRESET', message: 'socket hang up' } });
    };
    expect(await errorOf(answering(broken).create())).toMatchObject({ kind: 'ambiguous', code: 'reset' });
    expect(await errorOf(answering(broken).query())).toMatchObject({ kind: 'unavailable', code: 'reset' });
  });
});

describe('a callback', () => {
  const content: Record<string, string> = {
    out_refund_no: 'TESTREFUND0001',
    out_trade_no: 'TESTORDER0001',
    refund_id: '50000000382019052709732678859',
    refund_fee: '100',
    refund_status: 'SUCCESS',
    settlement_refund_fee: '100',
    success_time: '2024-01-01 08:05:00',
    total_fee: '888',
    transaction_id: '4200000000202401010000000001',
    refund_recv_accout: '支付用户零钱',
  };
  const seal = (plaintext: string, key = config.apiKey): string => {
    const cipher = createCipheriv('aes-256-ecb', createHash('md5').update(key).digest('hex'), null);
    return Buffer.concat([cipher.update(plaintext), cipher.final()]).toString('base64');
  };
  const rootOf = (fields: Record<string, string>) =>
    writeXml(Object.entries(fields)).replace('<xml>', '<root>').replace('</xml>', '</root>');
  const envelope = (over: Record<string, string> = {}, told: Record<string, string> = content): string =>
    writeXml(
      Object.entries({
        return_code: 'SUCCESS',
        appid: config.appId,
        mch_id: config.mchId,
        nonce_str: 'N',
        req_info: seal(rootOf(told)),
        ...over,
      }),
    );
  const receive = (body: string, account: Partial<WechatV2Config> = {}) =>
    wechatV2Callback.receive(
      { headers: {}, body: Buffer.from(body), receivedAt: new Date() },
      { ...config, ...account },
    );

  it('is translated, and believed in nothing: its cipher can be tampered with block by block', () => {
    expect(receive(envelope())).toMatchObject({
      eventType: 'REFUND.SUCCESS',
      gatewayRequestNo: 'TESTREFUND0001',
      gatewayRefundNo: '50000000382019052709732678859',
      outTradeNo: 'TESTORDER0001',
      observation: { kind: 'success', authenticated: false, amountMinor: 100, identity: { merchantId: '10000100' } },
    });
    expect(JSON.stringify(receive(envelope()))).not.toContain('零钱');
  });

  it('has the same key in every repetition, and another for other news', () => {
    const { eventKey } = receive(envelope());
    expect(eventKey).toMatch(/^[0-9a-f]{64}$/);
    expect(receive(envelope({ nonce_str: 'M' })).eventKey).toBe(eventKey);
    expect(receive(envelope({}, { ...content, refund_status: 'CHANGE' })).eventKey).not.toBe(eventKey);
  });

  it.each([
    ['REFUNDCLOSE', 'failed'],
    ['CHANGE', 'abnormal'],
  ])('%s is %s', (refund_status, kind) => {
    expect(receive(envelope({}, { ...content, refund_status })).observation.kind).toBe(kind);
  });

  it.each([
    ['another merchant', envelope({ mch_id: '10000101' })],
    ['another application', envelope({ appid: 'wx1' })],
    ['a sub-merchant that is not ours', envelope({ sub_mch_id: '10000200' })],
    ['no result', envelope({ return_code: 'FAIL' })],
    ['another key', envelope({ req_info: seal(rootOf(content), 'x'.repeat(32)) })],
    [
      'a block left out',
      envelope({
        req_info: Buffer.from(seal(rootOf(content)), 'base64')
          .subarray(16)
          .toString('base64'),
      }),
    ],
    ['no req_info', envelope({ req_info: '' })],
    ['what is no base64', envelope({ req_info: '<>' })],
    ['something else than a refund', envelope({ req_info: seal('<root><a>1</a></root>') })],
    ['a document type inside', envelope({ req_info: seal(`<!DOCTYPE r>${rootOf(content)}`) })],
    ['a status that is not notified', envelope({}, { ...content, refund_status: 'PROCESSING' })],
    ['no amount', envelope({}, { ...content, refund_fee: '' })],
    ['JSON', '{"id":"1"}'],
    ['a file', '<!DOCTYPE r [<!ENTITY e SYSTEM "file:///etc/passwd">]><xml><return_code>&e;</return_code></xml>'],
    ['nothing', ''],
  ])('with %s is refused', (_, body) => {
    expect(() => receive(body)).toThrow(CallbackRejected);
  });

  it('of a service provider is for its sub-merchant alone', () => {
    const body = envelope({ sub_mch_id: '10000200' });
    expect(receive(body, { subMchId: '10000200' }).observation.identity.merchantId).toBe('10000100/10000200');
    expect(() => receive(body, { subMchId: '10000201' })).toThrow(CallbackRejected);
    expect(() => receive(envelope(), { subMchId: '10000200' })).toThrow(CallbackRejected);
  });

  it('is answered in XML', () => {
    expect(Object.fromEntries(readXml(wechatV2Callback.accepted.body, 'xml') ?? [])).toEqual({
      return_code: 'SUCCESS',
      return_msg: 'OK',
    });
    expect(wechatV2Callback.rejected.body).toContain('FAIL');
  });
});

describe('the settings', () => {
  const faultsOf = (settings: Record<string, unknown>) =>
    parseConfig(wechatV2Config, {
      apiVersion: 'v2',
      appId: config.appId,
      mchId: config.mchId,
      apiKey: config.apiKey,
      ...settings,
    }).faults.map(({ field, fault }) => `${field} ${fault}`);

  it('need a key and its owner, and a certificate only to make refunds', () => {
    expect(faultsOf({})).toEqual([]);
    expect(faultsOf({ appId: '', apiKey: '' })).toEqual([
      expect.stringContaining('appId is required'),
      expect.stringContaining('apiKey is required'),
    ]);
  });

  it.each([
    [{ apiVersion: 'v3' }, 'apiVersion must be v2'],
    [{ apiKey: 'short' }, 'apiKey must be exactly 32 ASCII characters without spaces, has 5'],
    [{ signType: 'RSA' }, 'signType must be one of MD5, HMAC-SHA256'],
    [{ mchId: 'x' }, 'mchId must be 1 to 32 digits'],
    [{ clientCertificate: 'x' }, 'clientCertificate must be PEM text that starts with -----BEGIN CERTIFICATE-----'],
    [{ clientKey: 'x' }, 'clientKey must be PEM text that starts with -----BEGIN PRIVATE KEY-----'],
    [{ subAppId: 'wx2' }, 'subAppId needs subMchId'],
    [
      { refundAccount: 'MINE' },
      'refundAccount must be one of REFUND_SOURCE_UNSETTLED_FUNDS, REFUND_SOURCE_RECHARGE_FUNDS',
    ],
    [{ baseUrl: 'http://example.com' }, 'baseUrl must be https (plain http is for loopback addresses only)'],
    [{ privateKey: 'x' }, expect.stringContaining('privateKey is not a setting of this gateway')],
  ])('%j: %s', (settings, fault) => {
    expect(faultsOf(settings)).toEqual([fault]);
  });
});
