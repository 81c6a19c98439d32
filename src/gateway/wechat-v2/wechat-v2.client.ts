import { randomBytes } from 'node:crypto';
import { Agent, fetch as fetchThrough } from 'undici';

import { fetchOnce } from '../fetch-once.js';
import type { GatewayOperation } from '../refusal-rules.js';
import { WECHAT_DEFAULT_BASE_URL } from '../wechat-pay.js';
import { signTypeOf, type WechatV2Config } from './wechat-v2.config.js';
import type { WechatV2Answer } from './wechat-v2.errors.js';
import { isSigned, signFields } from './wechat-v2.signature.js';
import { readXml, writeXml } from './wechat-v2.xml.js';

/** One refund has about 2 KiB; this leaves room for many coupons. */
const MAX_ANSWER_BYTES = 256 * 1024;
/** As many as the policy's concurrency: the limiter queues, not the socket pool. */
const MAX_SOCKETS = 20;
const IDLE_SOCKET_MS = 30_000;

const PATHS = { query: '/pay/refundquery', create: '/secapi/pay/refund' } as const satisfies Record<
  GatewayOperation,
  string
>;

export interface WechatV2Request {
  operation: GatewayOperation;
  /** What the request says, without nonce and signature. */
  fields: Readonly<Record<string, string>>;
  signal: AbortSignal;
  timeoutMs: number;
}

export interface WechatV2Client {
  /** Sends one request, once. Throws GatewayError when no answer came; never judges an answer. */
  send(request: WechatV2Request): Promise<WechatV2Answer>;
}

const clients = new WeakMap<WechatV2Config, WechatV2Client>();

/** The client of an account: one socket pool per config object. */
export function wechatV2Client(config: WechatV2Config): WechatV2Client {
  let client = clients.get(config);
  if (!client) {
    client = createWechatV2Client(config);
    clients.set(config, client);
  }
  return client;
}

/** @param transport replaces the network; specs give one. */
export function createWechatV2Client(config: WechatV2Config, transport = networkOf(config)): WechatV2Client {
  return {
    async send({ operation, fields, signal, timeoutMs }) {
      const { status, headers, body } = await fetchOnce({
        gateway: 'WeChat Pay',
        call: { operation, signal, timeoutMs },
        url: `${config.baseUrl ?? WECHAT_DEFAULT_BASE_URL}${PATHS[operation]}`,
        headers: { 'Content-Type': 'text/xml; charset=utf-8' },
        body: signedXml(fields, config),
        maxAnswerBytes: MAX_ANSWER_BYTES,
        transport,
      });
      return readAnswer(status, headers.get('retry-after'), body, config);
    },
  };
}

/**
 * Shows the merchant's certificate to whoever asks for one: refunds are taken from its holder alone, and whether queries ask differs
 * (gateways.md §2).
 */
function networkOf(config: WechatV2Config): typeof fetch {
  const { clientCertificate: cert, clientKey: key, caCertificate: ca } = config;
  const connect = {
    ...(cert === undefined || key === undefined ? {} : { cert, key }),
    ...(ca === undefined ? {} : { ca }),
  };
  const dispatcher = new Agent({ connections: MAX_SOCKETS, keepAliveTimeout: IDLE_SOCKET_MS, connect });
  const throughAgent = (url: string, init: object) => fetchThrough(url, { ...init, dispatcher });
  // Node's own fetch is this one, of another version: what is used of both is the same.
  return throughAgent as unknown as typeof fetch;
}

function signedXml(fields: Readonly<Record<string, string>>, config: WechatV2Config): string {
  const type = signTypeOf(config);
  const signed = { ...fields, nonce_str: randomBytes(16).toString('hex'), sign_type: type };
  return writeXml(Object.entries({ ...signed, sign: signFields(Object.entries(signed), config.apiKey, type) }));
}

function readAnswer(
  httpStatus: number,
  retryAfter: string | null,
  body: Buffer,
  config: WechatV2Config,
): WechatV2Answer {
  const fields = readXml(body.toString('utf8'), 'xml');
  return {
    httpStatus,
    fields,
    verified: fields !== undefined && isSigned(fields, config.apiKey, signTypeOf(config)),
    retryAfter: retryAfter?.slice(0, 128) ?? null,
  };
}
