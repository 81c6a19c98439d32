import http from 'node:http';
import https from 'node:https';

import { Decorator } from 'wechatpay-axios-plugin';

import { GatewayError } from '../gateway.error.js';
import { unanswered, type GatewayCallKind } from '../refusal-rules.js';
import { startDeadline, transportFault } from '../transport.js';
import { WECHAT_DEFAULT_BASE_URL } from '../wechat-pay.js';
import { wechatKeys, type WechatConfig } from './wechat.config.js';
import type { WechatAnswer } from './wechat.errors.js';
import { platformKeysOf, readCertificates, type PlatformKeys } from './wechat.platform-keys.js';
import { MAX_CLOCK_OFFSET_S, signatureFault, type SignatureFault, type SignedByPlatform } from './wechat.signature.js';

/** A refund object has about 2 KiB; this leaves room for many promotions. */
const MAX_ANSWER_BYTES = 256 * 1024;
const MAX_REQUEST_BYTES = 16 * 1024;
/** As many as the policy's concurrency: the limiter queues, not the socket pool. */
const MAX_SOCKETS = 20;
const MAX_IDLE_SOCKETS = 8;
const IDLE_SOCKET_MS = 30_000;

/** An RSA signature of 4096 bits has 684 characters of base64. */
const MAX_SIGNATURE_CHARS = 1024;
const CERTIFICATES_PATH = '/v3/certificates';
const REFRESH_TIMEOUT_MS = 10_000;

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
  /** As PlatformKeys.refresh. */
  refreshKeys(serial: string): Promise<void>;
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

/**
 * Asks for the platform certificates of the moment, because something was signed under `serial`; at most once in a while.
 *
 * @returns when that is over. Never rejects.
 */
export async function refreshPlatformKeys(config: WechatConfig, serial: string): Promise<void> {
  try {
    await wechatClient(config).refreshKeys(serial);
  } catch {
    // Settings that hold no usable key: the account's calls say so.
  }
}

/** @param transport replaces the network; specs give one. */
export function createWechatClient(config: WechatConfig, transport?: WechatTransport): WechatClient {
  const instance = connect(config, transport);
  const keys = platformKeysOf(config);

  /** The library's own verifier knows neither the end of a certificate nor the next one, and passes a timestamp that is no number. */
  const exchange = (method: string, url: string, more: object, signal: AbortSignal): Promise<Response> =>
    instance.request<unknown>({ method, url, ...more, signal, transformResponse: (data: unknown) => data });

  /** The list is signed like every answer, perhaps under a certificate that is only in it. */
  async function download(known: PlatformKeys): Promise<string> {
    const deadline = startDeadline({ signal: new AbortController().signal, timeoutMs: REFRESH_TIMEOUT_MS });
    try {
      const response = await exchange('GET', CERTIFICATES_PATH, {}, deadline.signal);
      if (response.status !== 200) throw new Error(`the list of certificates was answered with ${response.status}`);
      const message = signedMessage(response);
      const body = message.body.toString('utf8');
      const fault = signatureFault(
        message,
        known.withCertificates(readCertificates(body, config)),
        new Date(Date.now()),
      );
      if (fault !== undefined) throw new Error(`the list of certificates is not believed: ${SIGNATURE_FAULTS[fault]}`);
      return body;
    } catch (error) {
      // Causes hold requests, and requests hold keys.
      throw memberOf(error, 'config') === undefined && error instanceof Error
        ? error
        : new Error('the list of certificates could not be fetched');
    } finally {
      deadline.stop();
    }
  }

  return {
    async send(request) {
      const deadline = startDeadline(request);
      try {
        const { body, encryptedFor } = request;
        const headers = encryptedFor === undefined ? {} : { headers: { 'Wechatpay-Serial': encryptedFor } };
        const method = METHODS[request.operation];
        const response = await exchange(method, request.path, { ...payload(body), ...headers }, deadline.signal);
        const message = signedMessage(response);
        let fault = signatureFault(message, keys, new Date(Date.now()));
        if (fault === 'unknownKey' || fault === 'expiredKey') {
          await beforeAbort(keys.refresh(message.serial, download), deadline.signal);
          fault = signatureFault(message, keys, new Date(Date.now()));
        }
        return readAnswer(response, message.body, fault && reasonOf(fault, keys));
      } catch (error) {
        throw readFault(request.operation, error, deadline.signal);
      } finally {
        deadline.stop();
      }
    },

    refreshKeys: (serial) => keys.refresh(serial, download),
  };
}

function reasonOf(fault: SignatureFault, keys: PlatformKeys): string {
  const reason = SIGNATURE_FAULTS[fault];
  return fault === 'unknownKey' && keys.refreshFault !== undefined ? `${reason} (${keys.refreshFault})` : reason;
}

/** The call's own time limit goes on while the certificates are fetched. */
async function beforeAbort(work: Promise<void>, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  let giveUp: () => void = () => undefined;
  const aborted = new Promise<void>((resolve) => (giveUp = resolve));
  signal.addEventListener('abort', giveUp, { once: true });
  await Promise.race([work, aborted]);
  signal.removeEventListener('abort', giveUp);
}

function connect(config: WechatConfig, transport: WechatTransport | undefined): Http {
  const keys = wechatKeys(config);
  const agent = { keepAlive: true, maxSockets: MAX_SOCKETS, maxFreeSockets: MAX_IDLE_SOCKETS, timeout: IDLE_SOCKET_MS };
  const options = {
    mchid: config.mchId,
    serial: config.serialNo,
    privateKey: keys.merchant,
    // It wants some; what answers are verified with is our own (exchange).
    certs: Object.fromEntries([...keys.platform].map(([serial, { key }]) => [serial, key])),
    baseURL: config.baseUrl ?? WECHAT_DEFAULT_BASE_URL,
    headers: {
      Accept: 'application/json',
      // WeChat Pay refuses requests without one (gateways.md §1.2).
      'User-Agent': 'refund-sync',
      // Asks for an answer that is signed with the public key instead of a platform certificate.
      ...(config.publicKeyId === undefined ? {} : { 'Wechatpay-Serial': config.publicKeyId }),
    },
    // Refusals are answers too, and verified like every other.
    validateStatus: () => true,
    // The bytes as received, because the signature is over them.
    responseType: 'arraybuffer' as const,
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

function signedMessage({ headers, data }: Response): SignedByPlatform {
  return {
    timestamp: headerOf(headers, 'wechatpay-timestamp') ?? '',
    nonce: headerOf(headers, 'wechatpay-nonce') ?? '',
    serial: headerOf(headers, 'wechatpay-serial') ?? '',
    signature: headerOf(headers, 'wechatpay-signature', MAX_SIGNATURE_CHARS) ?? '',
    body: bytesOf(data),
  };
}

/** A text when a spec's network answers; bytes from the wire. */
function bytesOf(data: unknown): Buffer {
  if (Buffer.isBuffer(data)) return data;
  return Buffer.from(typeof data === 'string' ? data : '');
}

function readAnswer(response: Response, body: Buffer, unverifiedBecause: string | undefined): WechatAnswer {
  return {
    httpStatus: response.status,
    body: body.toString('utf8'),
    verified: unverifiedBecause === undefined,
    unverifiedBecause: unverifiedBecause ?? null,
    requestId: headerOf(response.headers, 'request-id') ?? null,
    retryAfter: headerOf(response.headers, 'retry-after') ?? null,
  };
}

/** Why an answer is not believed; the operator reads it, for a wrong clock looks like a forgery. */
const SIGNATURE_FAULTS: Readonly<Record<SignatureFault, string>> = {
  incomplete: 'its signature headers are not complete',
  timestampForm: 'its timestamp is not a number',
  timestampOffset: `its timestamp is more than ${MAX_CLOCK_OFFSET_S} s away from our clock`,
  nonceForm: 'its nonce is malformed',
  unknownKey: 'it is signed with a key that is not configured',
  expiredKey: 'it is signed with a certificate that has expired',
  wrong: 'its signature is wrong',
};

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

function headerOf(headers: unknown, name: string, maxChars = 128): string | undefined {
  const value = memberOf(headers, name);
  return typeof value === 'string' ? value.slice(0, maxChars) : undefined;
}

function memberOf(thing: unknown, name: string): unknown {
  return typeof thing === 'object' && thing !== null ? (thing as Record<string, unknown>)[name] : undefined;
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value.slice(0, 200) : '';
}
