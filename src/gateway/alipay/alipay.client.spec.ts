import { createPrivateKey, sign, verify, type KeyObject } from 'node:crypto';
import { inspect } from 'node:util';
import { AlipaySdk } from 'alipay-sdk';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import vectors from '../../../test/vectors/alipay.json' with { type: 'json' };
import { GatewayError } from '../gateway.error.js';
import { alipayClient, type AlipayRequest, type AlipayTransport } from './alipay.client.js';
import type { AlipayConfig } from './alipay.config.js';

const { keyA, certificates, signatures } = vectors;
const config: AlipayConfig = {
  appId: '2021000000000000',
  privateKey: keyA.privateKey,
  alipayPublicKey: keyA.publicKey,
};
const inCertificateMode: AlipayConfig = {
  appId: config.appId,
  privateKey: config.privateKey,
  appCert: certificates.appCert,
  alipayPublicCert: certificates.alipayPublicCert,
  alipayRootCert: certificates.alipayRootCert,
};
const alipayKeyA = createPrivateKey(keyA.privateKey);
const alipayKeyB = createPrivateKey(certificates.alipayPrivateKey);
const QUERY_CONTENT =
  '{"out_trade_no":"TESTORDER0001","out_request_no":"TESTREFUND0001","query_options":["gmt_refund_pay"]}';
const ANSWER = '{"code":"10000","msg":"Success"}';
const QUERY_MEMBER = 'alipay_trade_fastpay_refund_query_response';

interface Sent {
  url: URL;
  init: RequestInit;
  /** Of URL and form together. */
  parameters: Record<string, string>;
  form: string[];
}

/** A network of one exchange: keeps what was sent, answers what the test says. */
function network(reply: (signal: AbortSignal) => Response | Promise<Response>) {
  const sent: Sent[] = [];
  const transport: AlipayTransport = async (input, init = {}) => {
    const url = new URL(input);
    const form = new URLSearchParams(init.body as string);
    sent.push({ url, init, parameters: Object.fromEntries([...url.searchParams, ...form]), form: [...form.keys()] });
    return reply(init.signal as AbortSignal);
  };
  return { transport, sent };
}

const rsa2 = (text: string, key: KeyObject = alipayKeyA) =>
  sign('RSA-SHA256', Buffer.from(text), key).toString('base64');
const envelope = (response: string, more = `,"sign":"${rsa2(response)}"`, member = QUERY_MEMBER) =>
  new Response(`{"${member}":${response}${more}}`, { headers: { trace_id: 'TRACE-1' } });

const query = (over: Partial<AlipayRequest> = {}): AlipayRequest => ({
  operation: 'query',
  bizContent: QUERY_CONTENT,
  signal: new AbortController().signal,
  timeoutMs: 1000,
  ...over,
});

async function exchange(reply: () => Response | Promise<Response>, request = query(), account = config) {
  const { transport, sent } = network(reply);
  const answer = await alipayClient(account, transport).send(request);
  return { answer, sent: sent[0] as Sent };
}

async function failure(reply: (signal: AbortSignal) => Response | Promise<Response>, request = query()) {
  const { transport } = network(reply);
  const error: unknown = await alipayClient(config, transport)
    .send(request)
    .catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(GatewayError);
  return error as GatewayError;
}

beforeEach(() => {
  // 08:00 in GMT+8, the time of vector A1.
  vi.useFakeTimers({ now: Date.UTC(2024, 0, 1), toFake: ['Date'] });
});
afterEach(() => {
  vi.useRealTimers();
});

describe('a request', () => {
  it('to query is vector A1: parameters, time in GMT+8, signature', async () => {
    const { sent } = await exchange(() => envelope(ANSWER));
    expect(sent.parameters).toEqual({
      app_id: '2021000000000000',
      method: 'alipay.trade.fastpay.refund.query',
      format: 'JSON',
      charset: 'utf-8',
      sign_type: 'RSA2',
      timestamp: '2024-01-01 08:00:00',
      version: '1.0',
      biz_content: QUERY_CONTENT,
      sign: signatures.A1.signature,
    });
  });

  it('carries public parameters in the URL and the business in the form, and follows no redirect', async () => {
    const { sent } = await exchange(() => envelope(ANSWER));
    expect(`${sent.url.origin}${sent.url.pathname}`).toBe('https://openapi.alipay.com/gateway.do');
    expect(sent.form).toEqual(['biz_content']);
    expect(sent.init).toMatchObject({ method: 'POST', redirect: 'manual' });
    expect(new Headers(sent.init.headers).get('content-type')).toBe('application/x-www-form-urlencoded;charset=utf-8');
  });

  it('to create sends and signs exactly the text that was prepared', async () => {
    const payload = '{ "out_request_no" : "R1",  "refund_amount":"1.00","refund_reason":"50% & 退款 + /" }';
    const { sent } = await exchange(() => envelope(ANSWER), query({ operation: 'create', bizContent: payload }));
    expect(sent.parameters).toMatchObject({ method: 'alipay.trade.refund', biz_content: payload });
    const { sign: signature = '', ...signed } = sent.parameters;
    const text = Object.keys(signed)
      .sort()
      .map((name) => `${name}=${signed[name]}`)
      .join('&');
    expect(verify('RSA-SHA256', Buffer.from(text), keyA.publicKey, Buffer.from(signature, 'base64'))).toBe(true);
  });

  it('goes to the configured gateway', async () => {
    const { sent } = await exchange(() => envelope(ANSWER), query(), {
      ...config,
      gatewayUrl: 'http://127.0.0.1:9100/gateway.do',
    });
    expect(sent.url.host).toBe('127.0.0.1:9100');
  });

  it('is signed as the official library signs it, in key mode and in certificate mode', async () => {
    vi.stubEnv('TZ', 'Asia/Shanghai');
    try {
      for (const account of [config, inCertificateMode]) {
        const { sent } = await exchange(() => envelope(ANSWER), query(), account);
        const sdk = new AlipaySdk({
          appId: config.appId,
          privateKey: keyA.privateKey,
          keyType: 'PKCS8',
          ...(account === config
            ? { alipayPublicKey: keyA.publicKey }
            : {
                appCertContent: certificates.appCert,
                alipayPublicCertContent: certificates.alipayPublicCert,
                alipayRootCertContent: certificates.alipayRootCert,
              }),
        });
        const theirs = sdk.sdkExecute(
          'alipay.trade.fastpay.refund.query',
          { format: 'JSON', bizContent: JSON.parse(QUERY_CONTENT) as Record<string, unknown> },
          { bizContentAutoSnakeCase: false },
        );
        expect(sent.parameters).toEqual(Object.fromEntries(new URLSearchParams(theirs)));
      }
    } finally {
      vi.unstubAllEnvs();
    }
  });

  it('names its certificates in certificate mode', async () => {
    const { sent } = await exchange(() => envelope(ANSWER), query(), inCertificateMode);
    expect(sent.url.searchParams.get('app_cert_sn')).toBe(certificates.appCertSn);
    expect(sent.url.searchParams.get('alipay_root_cert_sn')).toBe(certificates.alipayRootCertSn);
  });

  it('that cannot be signed is not sent', async () => {
    const { transport, sent } = network(() => envelope(ANSWER));
    const client = alipayClient({ ...config, privateKey: 'broken' }, transport);
    await expect(client.send(query())).rejects.toMatchObject({ kind: 'badConfig', code: 'bad_key' });
    expect(sent).toEqual([]);
  });
});

describe('an answer', () => {
  it('is verified over its exact text: vector A2', async () => {
    const { text, signature } = signatures.A2;
    const { answer } = await exchange(() => envelope(text, `,"sign":"${signature}"`));
    expect(answer).toMatchObject({ httpStatus: 200, traceId: 'TRACE-1', response: { verified: true } });
    expect(answer.response?.fields.get('refund_amount')).toBe('1.00');
  });

  it('is verified with white space and escaped slashes inside', async () => {
    const text = String.raw`{"code":"10000", "msg" : "Success","store_name":"a\/b \"sign\""}`;
    const { answer } = await exchange(() => envelope(text));
    expect(answer.response?.verified).toBe(true);
  });

  it.each<[string, string, string]>([
    ['without a signature', '', 'it has no signature'],
    ['with the signature of another answer', `,"sign":"${signatures.A2.signature}"`, 'its signature is wrong'],
    ['with a signature that is none', ',"sign":"QUJD"', 'its signature is wrong'],
    ['signed by somebody else', `,"sign":"${rsa2(ANSWER, alipayKeyB)}"`, 'its signature is wrong'],
  ])('%s is read and not believed', async (_how, more, unverifiedBecause) => {
    const { answer } = await exchange(() => envelope(ANSWER, more));
    expect(answer.response).toMatchObject({ verified: false, unverifiedBecause });
  });

  it('whose signature covers the same content written otherwise is not believed', async () => {
    const { answer } = await exchange(() => envelope('{"code": "10000","msg":"Success"}', `,"sign":"${rsa2(ANSWER)}"`));
    expect(answer.response?.verified).toBe(false);
  });

  it('of certificate mode is verified with the certificate, which it names', async () => {
    const more = (certSn: string) => `,"alipay_cert_sn":"${certSn}","sign":"${rsa2(ANSWER, alipayKeyB)}"`;
    const ours = await exchange(() => envelope(ANSWER, more(certificates.alipayCertSn)), query(), inCertificateMode);
    expect(ours.answer.response?.verified).toBe(true);
    const renewed = await exchange(() => envelope(ANSWER, more('0'.repeat(32))), query(), inCertificateMode);
    expect(renewed.answer.response).toMatchObject({
      verified: false,
      unverifiedBecause: 'it is signed with an Alipay certificate that is not the configured one',
    });
  });

  it.each([
    ['an error page', new Response('<html>502</html>')],
    ['nothing', new Response(null)],
    ['an answer to another method', envelope(ANSWER, undefined, 'alipay_trade_refund_response')],
  ])('that is %s is no answer of the gateway', async (_what, reply) => {
    const { answer } = await exchange(() => reply);
    expect(answer).toMatchObject({ httpStatus: 200, response: null });
  });

  it.each([302, 403, 429, 500, 502, 503])('with HTTP %d is not read, whatever it says', async (status) => {
    const { answer } = await exchange(
      () => new Response(`{"${QUERY_MEMBER}":${ANSWER},"sign":"${rsa2(ANSWER)}"}`, { status }),
    );
    expect(answer).toMatchObject({ httpStatus: status, response: null });
  });
});

describe('no answer', () => {
  const fetchFailed = (code: string) =>
    new TypeError('fetch failed', { cause: Object.assign(new Error(code), { code }) });

  it.each([
    ['ECONNRESET', 'reset'],
    ['UND_ERR_SOCKET', 'reset'],
    ['ECONNREFUSED', 'unreachable'],
    ['ENOTFOUND', 'unreachable'],
    ['UND_ERR_CONNECT_TIMEOUT', 'timeout'],
    ['CERT_HAS_EXPIRED', 'tls'],
    ['HPE_INVALID_CONSTANT', 'malformed'],
    ['EWHATEVER', 'transport'],
  ])('because of %s: %s', async (errorCode, code) => {
    const lost = () => Promise.reject(fetchFailed(errorCode));
    expect(await failure(lost)).toMatchObject({ kind: 'unavailable', code });
    expect(await failure(lost, query({ operation: 'create' }))).toMatchObject({ kind: 'ambiguous', code });
  });

  /** As fetch does it: the promise of an aborted call is rejected with the signal's reason. */
  const silence = (signal: AbortSignal) =>
    new Promise<Response>((_resolve, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason as Error));
    });

  it('in time is a time-out', async () => {
    expect(await failure(silence, query({ timeoutMs: 20 }))).toMatchObject({ kind: 'unavailable', code: 'timeout' });
  });

  it('in time is a time-out also where bytes drip', async () => {
    const drip = (signal: AbortSignal) => {
      let timer: NodeJS.Timeout;
      const body = new ReadableStream<Uint8Array>({
        start(controller) {
          timer = setInterval(() => controller.enqueue(Buffer.from(' ')), 5);
          signal.addEventListener('abort', () => {
            clearInterval(timer);
            controller.error(signal.reason);
          });
        },
      });
      return new Response(body);
    };
    expect(await failure(drip, query({ timeoutMs: 60 }))).toMatchObject({ kind: 'unavailable', code: 'timeout' });
  });

  it('because the caller gave up', async () => {
    const caller = new AbortController();
    setTimeout(() => caller.abort(), 10);
    expect(await failure(silence, query({ signal: caller.signal }))).toMatchObject({
      kind: 'unavailable',
      code: 'aborted',
    });
  });

  it('of a sensible size: it is not read to its end', async () => {
    let pulled = 0;
    const endless = () =>
      new Response(
        new ReadableStream<Uint8Array>({
          pull(controller) {
            pulled += 1;
            controller.enqueue(new Uint8Array(64 * 1024));
          },
        }),
      );
    expect(await failure(endless)).toMatchObject({ kind: 'unavailable', code: 'too_large' });
    expect(pulled).toBeLessThan(10);
  });

  it('says nothing of keys, signatures or content', async () => {
    const cause = Object.assign(new Error(`connect to ${config.privateKey}`.slice(0, 20)), { code: 'ECONNRESET' });
    const error = await failure(() => Promise.reject(new TypeError('fetch failed', { cause })));
    const printed = inspect(error, { depth: 9 });
    for (const secret of ['MII', 'sign=', 'TESTREFUND0001']) expect(printed).not.toContain(secret);
  });
});
