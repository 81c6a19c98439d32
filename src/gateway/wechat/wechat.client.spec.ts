import { createPrivateKey, generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Formatter, Rsa } from 'wechatpay-axios-plugin';

import vectors from '../../../test/vectors/wechat-v3.json' with { type: 'json' };
import { GatewayError } from '../gateway.error.js';
import { createWechatClient, wechatClient, type WechatRequest, type WechatTransport } from './wechat.client.js';
import type { WechatConfig } from './wechat.config.js';

const { W0, W1, W2, W3 } = vectors.signatures;
const config: WechatConfig = vectors.config;
const platformKey = createPrivateKey(vectors.keyA.privateKey);
const now = vectors.requestTime.timestamp * 1000;

type Sent = Parameters<WechatTransport>[0];
type Reply = Pick<Awaited<ReturnType<WechatTransport>>, 'status' | 'data'> & { headers: Record<string, string> };

/** A network of one exchange: keeps what was sent, answers what the test says. */
function network(reply: Reply | (() => never)) {
  const sent: Sent[] = [];
  const transport: WechatTransport = async (request) => {
    await Promise.resolve();
    sent.push(request);
    if (typeof reply === 'function') return reply();
    return { ...reply, statusText: '', config: request };
  };
  return { transport, sent };
}

interface Signing {
  timestamp?: string;
  nonce?: string;
  serial?: string;
  key?: KeyObject;
}

function signed(
  status: number,
  data: string,
  {
    timestamp = String(now / 1000),
    nonce = 'n0nce',
    serial = vectors.config.publicKeyId,
    key = platformKey,
  }: Signing = {},
): Reply {
  const signature = sign('RSA-SHA256', Buffer.from(`${timestamp}\n${nonce}\n${data}\n`), key).toString('base64');
  return {
    status,
    data,
    headers: {
      'wechatpay-timestamp': timestamp,
      'wechatpay-nonce': nonce,
      'wechatpay-serial': serial,
      'wechatpay-signature': signature,
      'request-id': 'REQ-1',
    },
  };
}

const query = (over: Partial<WechatRequest> = {}): WechatRequest => ({
  operation: 'query',
  path: '/v3/refund/domestic/refunds/TEST-REFUND-0001',
  signal: new AbortController().signal,
  timeoutMs: 1000,
  ...over,
});
const create = (body: string): WechatRequest =>
  query({ operation: 'create', path: '/v3/refund/domestic/refunds', body });

async function exchange(reply: Reply | (() => never), request = query(), account = config) {
  const { transport, sent } = network(reply);
  const answer = await createWechatClient(account, transport).send(request);
  return { answer, sent: sent[0] as Sent };
}

async function failure(reply: () => never, request = query()): Promise<GatewayError> {
  const error: unknown = await exchange(reply, request).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(GatewayError);
  return error as GatewayError;
}

const authorization = (request: Sent) =>
  Object.fromEntries(
    [...String(request.headers.get('Authorization')).matchAll(/(\w+)="([^"]*)"/g)].map((match) => [match[1], match[2]]),
  );

beforeEach(() => {
  vi.useFakeTimers({ now, toFake: ['Date'] });
  vi.spyOn(Formatter, 'nonce').mockReturnValue(vectors.requestTime.nonce);
});

afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

describe('a request', () => {
  it('is signed as the official vector W0 is', () => {
    expect(Rsa.sign(W0.text, createPrivateKey(vectors.keyA.privateKey))).toBe(W0.signature);
  });

  it('to query is signed as vector W1', async () => {
    const { sent } = await exchange(signed(200, '{}'));
    expect(authorization(sent)).toEqual({
      mchid: config.mchId,
      serial_no: config.serialNo,
      timestamp: String(vectors.requestTime.timestamp),
      nonce_str: vectors.requestTime.nonce,
      signature: W1.signature,
    });
    expect(sent.method).toBe('get');
    expect(sent.data).toBeUndefined();
  });

  it('to create sends exactly the given text, signed as vector W2', async () => {
    const { sent } = await exchange(signed(200, '{}'), create(W2.body));
    expect(sent.data).toBe(W2.body);
    expect(authorization(sent).signature).toBe(W2.signature);
  });

  it('sends a text as it stands, however it is spaced', async () => {
    const { sent } = await exchange(signed(200, '{}'), create('{ "a" : 1 } '));
    expect(sent.data).toBe('{ "a" : 1 } ');
  });

  it('carries the headers that WeChat Pay asks for', async () => {
    const { sent } = await exchange(signed(200, '{}'), create(W2.body));
    expect(sent.headers.get('Accept')).toBe('application/json');
    expect(sent.headers.get('User-Agent')).toBe('refund-sync');
    expect(sent.headers.get('Content-Type')).toMatch(/^application\/json/);
    expect(sent.headers.get('Wechatpay-Serial')).toBe(vectors.config.publicKeyId);
  });

  it('asks for no public key where none is configured', async () => {
    const { serial, pem } = vectors.platformCertificate;
    const account = {
      ...config,
      publicKeyId: undefined,
      publicKey: undefined,
      platformCertificates: { [serial]: pem },
    };
    const { sent, answer } = await exchange(signed(200, '{}', { serial }), query(), account);
    expect(sent.headers.has('Wechatpay-Serial')).toBe(false);
    expect(answer.verified).toBe(true);
  });

  it('follows no redirect, uses no proxy, and bounds what it reads and sends', async () => {
    const { sent } = await exchange(signed(200, '{}'));
    expect(sent).toMatchObject({
      maxRedirects: 0,
      proxy: false,
      maxContentLength: 262_144,
      baseURL: 'https://api.mch.weixin.qq.com',
    });
    expect(sent.httpsAgent).toMatchObject({ keepAlive: true, maxSockets: 20 });
  });
});

describe('an answer', () => {
  it('is verified (vector W3) and handed on as received', async () => {
    const reply = {
      status: 200,
      data: W3.body,
      headers: {
        'wechatpay-timestamp': W3.timestamp,
        'wechatpay-nonce': W3.nonce,
        'wechatpay-serial': vectors.config.publicKeyId,
        'wechatpay-signature': W3.signature,
      },
    };
    const { answer } = await exchange(reply);
    expect(answer).toEqual({
      httpStatus: 200,
      body: W3.body,
      verified: true,
      unverifiedBecause: null,
      requestId: null,
      retryAfter: null,
    });
  });

  it.each([400, 403, 404, 429, 500])('of status %i is verified like any other', async (status) => {
    const body = '{"code":"X","message":"退款"}';
    const proven = await exchange(signed(status, body));
    expect(proven.answer).toMatchObject({ httpStatus: status, body, verified: true, requestId: 'REQ-1' });
    const unsigned = await exchange({ status, data: body, headers: { 'retry-after': '7' } });
    expect(unsigned.answer).toMatchObject({ httpStatus: status, body, verified: false, retryAfter: '7' });
    const forged = await exchange({ ...signed(status, body), data: body.replace('X', 'Y') });
    expect(forged.answer).toMatchObject({ httpStatus: status, verified: false });
  });

  const stranger = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
  const stripped = signed(200, '{}');
  delete stripped.headers['wechatpay-nonce'];

  it.each<[string, Reply, RegExp]>([
    ['without headers', { status: 200, data: '{}', headers: {} }, /not complete/],
    ['without one of the headers', stripped, /not complete/],
    ['signed by a stranger', signed(200, '{}', { key: stranger }), /signature is wrong/],
    ['with an unknown serial', signed(200, '{}', { serial: 'PUB_KEY_ID_9' }), /not configured/],
    ['with the serial __proto__', signed(200, '{}', { serial: '__proto__' }), /not configured/],
    ['301 s old', signed(200, '{}', { timestamp: String(now / 1000 - 301) }), /300 s/],
    ['301 s early', signed(200, '{}', { timestamp: String(now / 1000 + 301) }), /300 s/],
    ['with a timestamp that is no number', signed(200, '{}', { timestamp: 'soon' }), /not a number/],
    ['whose body was changed', { ...signed(200, '{"a":1}'), data: '{"a":2}' }, /signature is wrong/],
    [
      'that is a signature probe',
      {
        ...signed(200, '{}'),
        headers: { ...signed(200, '{}').headers, 'wechatpay-signature': 'WECHATPAY/SIGNTEST/abc' },
      },
      /signature is wrong/,
    ],
  ])('%s is unverified', async (_, reply, because) => {
    const { answer } = await exchange(reply);
    expect(answer).toMatchObject({
      httpStatus: 200,
      verified: false,
      unverifiedBecause: expect.stringMatching(because) as string,
    });
  });
});

describe('a failed call', () => {
  const fail =
    (code: string, message = 'no') =>
    (): never => {
      throw Object.assign(new Error(message), {
        code,
        config: { privateKey: 'KEY', headers: { Authorization: 'SIGNATURE' } },
      });
    };

  it.each([
    ['ECONNABORTED', 'timeout'],
    ['ETIMEDOUT', 'timeout'],
    ['ECONNRESET', 'reset'],
    ['EPIPE', 'reset'],
    ['ECONNREFUSED', 'unreachable'],
    ['ENOTFOUND', 'unreachable'],
    ['EAI_AGAIN', 'unreachable'],
    ['CERT_HAS_EXPIRED', 'tls'],
    ['DEPTH_ZERO_SELF_SIGNED_CERT', 'tls'],
    ['ERR_TLS_CERT_ALTNAME_INVALID', 'tls'],
    ['HPE_INVALID_CONSTANT', 'malformed'],
    ['E_NEW', 'transport'],
  ])('with %s is %s: a query unavailable, a create ambiguous', async (transportCode, code) => {
    expect(await failure(fail(transportCode))).toMatchObject({ kind: 'unavailable', code });
    expect(await failure(fail(transportCode), create(W2.body))).toMatchObject({
      kind: 'ambiguous',
      code,
      nothingHappened: false,
    });
  });

  it('with too long an answer, or one cut off, is told apart', async () => {
    expect((await failure(fail('ERR_BAD_RESPONSE', 'maxContentLength size of 262144 exceeded'))).code).toBe(
      'too_large',
    );
    expect((await failure(fail('ERR_BAD_RESPONSE', 'stream has been aborted'))).code).toBe('reset');
  });

  it('that was given up before it was sent sends nothing', async () => {
    const { transport, sent } = network(signed(200, '{}'));
    const request = query({ signal: AbortSignal.abort() });
    await expect(createWechatClient(config, transport).send(request)).rejects.toMatchObject({
      kind: 'unavailable',
      code: 'aborted',
    });
    expect(sent).toEqual([]);
  });

  it('ends at its time limit whatever the transport does', async () => {
    const stuck: WechatTransport = (request) =>
      new Promise((_, reject) => {
        request.signal?.addEventListener?.('abort', () =>
          reject(Object.assign(new Error('canceled'), { code: 'ERR_CANCELED' })),
        );
      });
    const sending = createWechatClient(config, stuck).send(query({ timeoutMs: 20 }));
    await expect(sending).rejects.toMatchObject({ kind: 'unavailable', code: 'timeout' });
  });

  it('leaves nothing of the request in its error', async () => {
    const thrown = await failure(fail('ECONNRESET', 'socket hang up'));
    expect(thrown.cause).toEqual({ code: 'ECONNRESET', message: 'socket hang up' });
    const text = inspect(thrown, { depth: 12, showHidden: true });
    for (const secret of ['KEY', 'SIGNATURE', 'Authorization', 'config', 'WECHATPAY2', config.apiV3Key]) {
      expect(text).not.toContain(secret);
    }
  });

  it('cannot start without a key to verify answers with', () => {
    expect(() => createWechatClient({ ...config, publicKey: undefined })).toThrow(GatewayError);
  });
});

describe('the client of an account', () => {
  it('is made once per config object', () => {
    expect(wechatClient(config)).toBe(wechatClient(config));
    expect(wechatClient({ ...config })).not.toBe(wechatClient(config));
  });
});
