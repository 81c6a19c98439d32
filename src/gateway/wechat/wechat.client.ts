import http from 'node:http';
import https from 'node:https';

import { Decorator } from 'wechatpay-axios-plugin';

import { GatewayError } from '../gateway.error.js';
import { unanswered, type GatewayCallKind } from '../refusal-rules.js';
import { startDeadline, transportFault } from '../transport.js';
import { WECHAT_DEFAULT_BASE_URL } from '../wechat-pay.js';
import { wechatKeys, type WechatConfig } from './wechat.config.js';
import type { WechatAnswer } from './wechat.errors.js';

/** A refund object has about 2 KiB; this leaves room for many promotions. */
const MAX_ANSWER_BYTES = 256 * 1024;
const MAX_REQUEST_BYTES = 16 * 1024;
/** As many as the policy's concurrency: the limiter queues, not the socket pool. */
const MAX_SOCKETS = 20;
const MAX_IDLE_SOCKETS = 8;
const IDLE_SOCKET_MS = 30_000;

const METHODS = { query: 'GET', create: 'POST', redrive: 'POST' } as const satisfies Record<GatewayCallKind, string>;

export interface WechatRequest {
  operation: GatewayCallKind;
  /** Path and query string, percent-encoded: sent and signed as they stand. */
  path: string;
  /** JSON text of a create or re-drive, sent as it stands. */
  body?: string;
  /** Serial of the platform key for which fields of the body are encrypted. */
  encryptedFor?: string;
  signal: AbortSignal;
  timeoutMs: number;
}

export interface WechatClient {
  /** Sends one request, once. Throws GatewayError when no answer came; never judges an answer. */
  send(request: WechatRequest): Promise<WechatAnswer>;
}

type Http = ReturnType<typeof Decorator.jsonBased>;
export type WechatTransport = Extract<Http['defaults']['adapter'], (...request: never[]) => unknown>;

const clients = new WeakMap<WechatConfig, WechatClient>();

/** The client of an account: one socket pool and one set of parsed keys per config object. */
export function wechatClient(config: WechatConfig): WechatClient {
  let client = clients.get(config);
  if (!client) {
    client = createWechatClient(config);
    clients.set(config, client);
  }
  return client;
}

/** @param transport replaces the network; specs give one. */
export function createWechatClient(config: WechatConfig, transport?: WechatTransport): WechatClient {
  const instance = connect(config, transport);
  return {
    async send(request) {
      const deadline = startDeadline(request);
      try {
        const response = await instance.request<unknown>({
          method: METHODS[request.operation],
          url: request.path,
          ...payload(request.body),
          ...(request.encryptedFor === undefined ? {} : { headers: { 'Wechatpay-Serial': request.encryptedFor } }),
          signal: deadline.signal,
        });
        const timestamp = headerOf(response.headers, 'wechatpay-timestamp');
        return readAnswer(response, isSeconds(timestamp) ? undefined : 'its timestamp is not a number');
      } catch (error) {
        const unverified = readUnverified(error);
        if (unverified) return unverified;
        throw readFault(request.operation, error, deadline.signal);
      } finally {
        deadline.stop();
      }
    },
  };
}

function connect(config: WechatConfig, transport: WechatTransport | undefined): Http {
  const keys = wechatKeys(config);
  const agent = { keepAlive: true, maxSockets: MAX_SOCKETS, maxFreeSockets: MAX_IDLE_SOCKETS, timeout: IDLE_SOCKET_MS };
  const options = {
    mchid: config.mchId,
    serial: config.serialNo,
    privateKey: keys.merchant,
    certs: Object.fromEntries(keys.platform),
    baseURL: config.baseUrl ?? WECHAT_DEFAULT_BASE_URL,
    headers: {
      Accept: 'application/json',
      // WeChat Pay refuses requests without one (gateways.md §1.2).
      'User-Agent': 'refund-sync',
      // Asks for an answer that is signed with the public key instead of a platform certificate.
      ...(config.publicKeyId === undefined ? {} : { 'Wechatpay-Serial': config.publicKeyId }),
    },
    // The library verifies only what this calls valid: with `true`, refusals are verified like every other answer.
    validateStatus: () => true,
    // The text as received, because the signature is over it; the default would parse it.
    responseType: 'text',
    maxRedirects: 0,
    maxContentLength: MAX_ANSWER_BYTES,
    maxBodyLength: MAX_REQUEST_BYTES,
    proxy: false,
    httpAgent: new http.Agent(agent),
    httpsAgent: new https.Agent(agent),
    ...(transport ? { adapter: transport } : {}),
  };
  try {
    return Decorator.jsonBased(options);
  } catch {
    // Settings that went around the config schema: no platform key at all, or the merchant's certificate among them.
    throw new GatewayError('badConfig', 'The WeChat Pay settings hold no platform key to verify answers with.', {
      code: 'bad_key',
    });
  }
}

/**
 * The library signs `JSON.stringify(data)`, also when `data` is a text already (which would sign a quoted text). So it gets the
 * parsed object to sign, while exactly the given text is sent; `sendCreate` has made sure that the two are the same text.
 */
function payload(body: string | undefined): { data?: unknown; transformRequest?: () => string } {
  return body === undefined ? {} : { data: JSON.parse(body) as unknown, transformRequest: () => body };
}

interface Response {
  status: number;
  headers: unknown;
  data: unknown;
}

function readAnswer(response: Response, unverifiedBecause: string | undefined): WechatAnswer {
  return {
    httpStatus: response.status,
    body: typeof response.data === 'string' ? response.data : '',
    verified: unverifiedBecause === undefined,
    unverifiedBecause: unverifiedBecause ?? null,
    requestId: headerOf(response.headers, 'request-id') ?? null,
    retryAfter: headerOf(response.headers, 'retry-after') ?? null,
  };
}

/** Why the library's verifier refused an answer; the operator reads it, for a wrong clock looks like a forgery. */
const VERIFIER_FAULTS: Readonly<Record<string, string>> = {
  EV3_RES_HEADERS_INCOMPLETE: 'its signature headers are not complete',
  EV3_RES_HEADERS_INCOMPLATE: 'its signature headers are not complete', // as the library spells it
  EV3_RES_HEADER_TIMESTAMP_OFFSET: 'its timestamp is more than 300 s away from our clock',
  EV3_RES_HEADER_PLATFORM_SERIAL: 'it is signed with a key that is not configured',
  EV3_RES_HEADER_SIGNATURE_DIGEST: 'its signature is wrong',
};

/** The library throws when an answer cannot be verified. The answer is in the error, and for refusals it is still of use. */
function readUnverified(error: unknown): WechatAnswer | undefined {
  const code = memberOf(error, 'code');
  const response = memberOf(error, 'response');
  if (typeof code !== 'string' || !code.startsWith('EV3_') || typeof response !== 'object' || response === null)
    return undefined;
  const status = memberOf(response, 'status');
  if (typeof status !== 'number') return undefined;
  return readAnswer(
    { status, headers: memberOf(response, 'headers'), data: memberOf(response, 'data') },
    VERIFIER_FAULTS[code] ?? 'its signature could not be verified',
  );
}

/**
 * What a transport error means. The error itself is dropped: its `config` holds keys, headers and the agent. Only its code and
 * message stay as the cause.
 */
function readFault(operation: GatewayCallKind, error: unknown, signal: AbortSignal): Error {
  const cause = { code: textOf(memberOf(error, 'code')), message: textOf(memberOf(error, 'message')) };
  if (cause.code === 'ERR_CANCELED') {
    return memberOf(signal.reason, 'name') === 'TimeoutError'
      ? unanswered(operation, 'timeout', 'WeChat Pay did not answer in time.', cause)
      : unanswered(operation, 'aborted', 'The call to WeChat Pay was given up.', cause);
  }
  if (cause.message.startsWith('maxContentLength')) {
    return unanswered(operation, 'too_large', `WeChat Pay answered more than ${MAX_ANSWER_BYTES} bytes.`, cause);
  }
  if (cause.message === 'stream has been aborted') {
    return unanswered(operation, 'reset', 'The connection to WeChat Pay was cut within the answer.', cause);
  }
  const fault = transportFault('WeChat Pay', cause.code);
  return unanswered(operation, fault.code, fault.message, cause);
}

function isSeconds(timestamp: string | undefined): boolean {
  // The library's own test lets "abc" pass, because NaN > 300 is false.
  return timestamp !== undefined && /^\d{1,12}$/.test(timestamp);
}

function headerOf(headers: unknown, name: string): string | undefined {
  const value = memberOf(headers, name);
  return typeof value === 'string' ? value.slice(0, 128) : undefined;
}

function memberOf(thing: unknown, name: string): unknown {
  return typeof thing === 'object' && thing !== null ? (thing as Record<string, unknown>)[name] : undefined;
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value.slice(0, 200) : '';
}
