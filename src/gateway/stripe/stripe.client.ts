import http from 'node:http';
import https from 'node:https';

import Stripe from 'stripe';

import { urlFault } from '../config-checks.js';
import { GatewayError } from '../gateway.error.js';
import { unanswered, type GatewayOperation } from '../refusal-rules.js';
import { startDeadline, transportFault } from '../transport.js';
import { STRIPE_DEFAULT_BASE_URL, type StripeConfig } from './stripe.config.js';
import type { StripeAnswer } from './stripe.errors.js';

/** Pins the form of the answers (`Stripe-Version`): an account's own default can be years old. The library's types are of this one. */
export const STRIPE_API_VERSION: Stripe.LatestApiVersion = '2026-10-28.endive';

/** A page of 100 refunds has about 150 KiB; merchants' metadata can be ten times that. */
const MAX_ANSWER_BYTES = 2 * 1024 * 1024;
/** As many as the policy's concurrency: the limiter queues, not the socket pool. */
const MAX_SOCKETS = 10;
const MAX_IDLE_SOCKETS = 4;
const IDLE_SOCKET_MS = 20_000;
const PAGE_SIZE = 100;

export type PaymentFilter = { payment_intent: string } | { charge: string };

/** What can be asked of Stripe. */
export type StripeQuestion =
  | { kind: 'retrieve'; refundId: string }
  /** Newest first. */
  | { kind: 'list'; of: PaymentFilter; startingAfter?: string }
  /** Form-encoded text of a create, sent as it stands. */
  | { kind: 'create'; payload: string; idempotencyKey: string };

export type StripeRequest = StripeQuestion & { signal: AbortSignal; timeoutMs: number };

export interface StripeClient {
  /** Sends one request, once. Throws GatewayError when no answer came; never judges an answer. */
  send(request: StripeRequest): Promise<StripeAnswer>;
}

/** What the library hands over to be sent. */
export interface StripeWire {
  url: string;
  method: string;
  headers: Record<string, string>;
  /** Empty for a GET. */
  body: string;
  agent: http.Agent;
  signal: AbortSignal;
  maxAnswerBytes: number;
}
export interface StripeReply {
  status: number;
  headers: Readonly<Record<string, string | string[] | undefined>>;
  body: string;
}
export type StripeTransport = (wire: StripeWire) => Promise<StripeReply>;

const clients = new WeakMap<StripeConfig, StripeClient>();

/** The client of an account: one socket pool per config object. */
export function stripeClient(config: StripeConfig): StripeClient {
  let client = clients.get(config);
  if (!client) {
    client = createStripeClient(config);
    clients.set(config, client);
  }
  return client;
}

/** @param transport replaces the network; specs give one. */
export function createStripeClient(config: StripeConfig, transport: StripeTransport = sendOverHttp): StripeClient {
  const base = baseOf(config);
  const options = {
    keepAlive: true,
    maxSockets: MAX_SOCKETS,
    maxFreeSockets: MAX_IDLE_SOCKETS,
    timeout: IDLE_SOCKET_MS,
  };
  const agent = base.protocol === 'https:' ? new https.Agent(options) : new http.Agent(options);
  return {
    async send(request) {
      const operation = operationOf(request);
      const deadline = startDeadline(request);
      const exchange = new Exchange(request, transport, agent, base.origin, deadline.signal);
      try {
        await ask(libraryFor(config, base, exchange), request, config.accountId);
      } catch (error) {
        // Only of requests that it does not even make: what it is answered, it does not get to see.
        exchange.fault ??= error;
      } finally {
        deadline.stop();
      }
      if (exchange.reply) return readAnswer(exchange.reply, config.accountId);
      throw readFault(operation, exchange.fault, deadline.signal);
    },
  };
}

export function operationOf({ kind }: StripeQuestion): GatewayOperation {
  return kind === 'create' ? 'create' : 'query';
}

function baseOf({ baseUrl = STRIPE_DEFAULT_BASE_URL }: StripeConfig): URL {
  // Settings that went around the config schema. Over plain http nothing would prove where an answer comes from.
  const fault = urlFault(baseUrl);
  if (fault !== undefined)
    throw new GatewayError('badConfig', `The Stripe setting baseUrl ${fault}.`, { code: 'bad_url' });
  return new URL(baseUrl);
}

/** One for each call (0.3 ms), because the library gives its HTTP client nothing to tell calls apart by. */
function libraryFor(config: StripeConfig, base: URL, httpClient: Stripe.HttpClient): Stripe {
  return new Stripe(config.secretKey, {
    apiVersion: STRIPE_API_VERSION,
    host: base.hostname,
    port: base.port === '' ? (base.protocol === 'https:' ? 443 : 80) : Number(base.port),
    protocol: base.protocol === 'https:' ? 'https' : 'http',
    maxNetworkRetries: 0,
    telemetry: false,
    httpClient,
    appInfo: { name: 'refund-sync' },
  });
}

async function ask(stripe: Stripe, request: StripeQuestion, accountId: string | undefined): Promise<unknown> {
  const options: Stripe.RequestOptions = accountId === undefined ? {} : { stripeAccount: accountId };
  switch (request.kind) {
    case 'retrieve':
      return stripe.refunds.retrieve(request.refundId, {}, options);
    case 'list':
      return stripe.refunds.list(
        {
          ...request.of,
          limit: PAGE_SIZE,
          ...(request.startingAfter === undefined ? {} : { starting_after: request.startingAfter }),
        },
        options,
      );
    case 'create':
      return stripe.refunds.create(paramsOf(request.payload), { ...options, idempotencyKey: request.idempotencyKey });
  }
}

/** The library encodes parameters by itself; `Exchange` makes sure that its text is the one that was prepared. */
export function paramsOf(payload: string): Stripe.RefundCreateParams {
  const params: Record<string, string | Record<string, string>> = {};
  for (const [name, value] of new URLSearchParams(payload)) {
    const [, outer, inner] = /^([a-z_]+)\[([^\]]+)\]$/.exec(name) ?? [];
    if (outer === undefined || inner === undefined) {
      params[name] = value;
      continue;
    }
    const members = params[outer];
    params[outer] = { ...(typeof members === 'object' ? members : {}), [inner]: value };
  }
  return params;
}

/**
 * The HTTP client of one call. The library's own one sends a request again when its connection was closed, also with
 * `maxNetworkRetries: 0` (stripe 23.1, RequestSender._shouldRetry), knows no signal, and reads answers of any size. This one sends once:
 * the library repeats what fails with ECONNRESET or EPIPE, or is answered 409 or 5xx, so it gets to see neither.
 */
class Exchange implements Stripe.HttpClient {
  reply: StripeReply | undefined;
  fault: unknown;

  constructor(
    private readonly request: StripeQuestion,
    private readonly transport: StripeTransport,
    private readonly agent: http.Agent,
    private readonly origin: string,
    private readonly signal: AbortSignal,
  ) {}

  getClientName(): string {
    return 'refund-sync';
  }

  async makeRequest(
    _host: string,
    _port: string,
    path: string,
    method: string,
    headers: object,
    body: string,
  ): Promise<Stripe.HttpClientResponse> {
    try {
      if (this.request.kind === 'create' && body !== this.request.payload) {
        throw new GatewayError('rejected', 'The prepared create is not what prepareCreate makes; it was not sent.', {
          code: 'invalid_payload',
        });
      }
      this.reply = await this.transport({
        url: `${this.origin}${path}`,
        method,
        headers: Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)])),
        body,
        agent: this.agent,
        signal: this.signal,
        maxAnswerBytes: MAX_ANSWER_BYTES,
      });
    } catch (error) {
      this.fault = error;
    }
    return NOTHING;
  }
}

/** What the library reads in place of the answer. */
const NOTHING: Stripe.HttpClientResponse = {
  getStatusCode: () => 200,
  getHeaders: () => ({}),
  getRawResponse: () => ({}),
  toStream: () => undefined,
  toJSON: () => Promise.resolve({}),
};

class TooLarge extends Error {
  override readonly name = 'TooLarge';
}

/** Redirects are not followed and proxies of the environment are not used. */
function sendOverHttp({ url, method, headers, body, agent, signal, maxAnswerBytes }: StripeWire): Promise<StripeReply> {
  return new Promise((resolve, reject) => {
    const { request } = url.startsWith('https:') ? https : http;
    const outgoing = request(url, { method, headers, agent, signal }, (incoming) => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      incoming.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > maxAnswerBytes) outgoing.destroy(new TooLarge());
        else chunks.push(chunk);
      });
      incoming.once('error', reject);
      incoming.once('end', () => {
        resolve({
          status: incoming.statusCode ?? 0,
          headers: incoming.headers,
          body: Buffer.concat(chunks).toString('utf8'),
        });
      });
    });
    outgoing.once('error', reject);
    outgoing.end(body);
  });
}

function readAnswer({ status, headers, body }: StripeReply, accountId: string | undefined): StripeAnswer {
  const header = (name: string): string | null => {
    const value = headers[name];
    return typeof value === 'string' ? value.slice(0, 128) : null;
  };
  return {
    httpStatus: status,
    body,
    requestId: header('request-id'),
    account: accountId === undefined ? null : header('stripe-account'),
    replayed: header('idempotent-replayed') === 'true',
    retryAfter: header('retry-after'),
  };
}

/** What a transport error means. Of the error itself only its code and message stay, as the cause. */
function readFault(operation: GatewayOperation, error: unknown, signal: AbortSignal): GatewayError {
  if (error instanceof GatewayError) return error;
  if (signal.aborted) {
    return signal.reason instanceof DOMException && signal.reason.name === 'TimeoutError'
      ? unanswered(operation, 'timeout', 'Stripe did not answer in time.')
      : unanswered(operation, 'aborted', 'The call to Stripe was given up.');
  }
  if (error instanceof TooLarge)
    return unanswered(operation, 'too_large', `Stripe answered more than ${MAX_ANSWER_BYTES} bytes.`);
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  const cause = { code, message: error instanceof Error ? error.message.slice(0, 200) : 'no request was made' };
  const fault = transportFault('Stripe', code);
  return unanswered(operation, fault.code, fault.message, cause);
}
