import { createPrivateKey, createVerify, randomBytes, sign, type KeyObject } from 'node:crypto';
import { createServer, request as httpRequest, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createSandbox, type Sandbox, type SandboxOptions } from '../../sandbox/server.js';

export interface Config {
  mchId: string;
  serialNo: string;
  privateKey: string;
  apiV3Key: string;
  platformCertificates: Record<string, string>;
  publicKeyId: string;
  publicKey: string;
  baseUrl: string;
}

export interface RawAnswer {
  status: number;
  headers: IncomingHttpHeaders;
  body: string;
}

export type Json = Record<string, unknown>;

export interface Overrides {
  scheme?: string;
  mchid?: string;
  serial?: string;
  nonce?: string;
  timestamp?: number;
  /** Signs this target instead of the one that is sent. */
  signedTarget?: string;
  /** Signs this body instead of the one that is sent. */
  signedBody?: string;
  authorization?: string | null;
  headers?: Record<string, string | null>;
  signal?: AbortSignal;
}

/** A merchant's client that shares no code with the sandbox: it signs and verifies with node:crypto by itself. */
export class Merchant {
  private readonly key: KeyObject;

  constructor(
    readonly sandbox: Sandbox,
    readonly config: Config,
  ) {
    this.key = createPrivateKey(config.privateKey);
  }

  static async start(options: SandboxOptions = {}): Promise<Merchant> {
    const sandbox = await createSandbox(options);
    return new Merchant(sandbox, sandbox.accounts()[0]?.config as unknown as Config);
  }

  query(outRefundNo: string, overrides: Overrides = {}): Promise<RawAnswer> {
    return this.call('GET', `/v3/refund/domestic/refunds/${encodeURIComponent(outRefundNo)}`, undefined, overrides);
  }

  create(body: Json | string, overrides: Overrides = {}): Promise<RawAnswer> {
    return this.call(
      'POST',
      '/v3/refund/domestic/refunds',
      typeof body === 'string' ? body : JSON.stringify(body),
      overrides,
    );
  }

  async call(method: string, target: string, body: string | undefined, overrides: Overrides = {}): Promise<RawAnswer> {
    const timestamp = String(overrides.timestamp ?? Math.floor(Date.now() / 1000));
    const nonce = overrides.nonce ?? randomBytes(16).toString('hex');
    const text = `${method}\n${overrides.signedTarget ?? target}\n${timestamp}\n${nonce}\n${overrides.signedBody ?? body ?? ''}\n`;
    const signature = sign('sha256', Buffer.from(text), this.key).toString('base64');
    const authorization =
      `${overrides.scheme ?? 'WECHATPAY2-SHA256-RSA2048'} mchid="${overrides.mchid ?? this.config.mchId}",nonce_str="${nonce}",` +
      `signature="${signature}",timestamp="${timestamp}",serial_no="${overrides.serial ?? this.config.serialNo}"`;
    const headers: Record<string, string | null> = {
      Accept: 'application/json',
      'User-Agent': 'sandbox-test',
      ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
      Authorization: overrides.authorization === undefined ? authorization : overrides.authorization,
      ...overrides.headers,
    };
    return send(this.sandbox.url, method, target, headers, body, overrides.signal);
  }

  /** Whether an answer carries a good signature of one of the platform's keys, chosen by its serial. */
  verifies(answer: { headers: IncomingHttpHeaders; body: string }): boolean {
    const serial = String(answer.headers['wechatpay-serial']);
    const pem = serial === this.config.publicKeyId ? this.config.publicKey : this.config.platformCertificates[serial];
    if (pem === undefined) return false;
    const text = `${String(answer.headers['wechatpay-timestamp'])}\n${String(answer.headers['wechatpay-nonce'])}\n${answer.body}\n`;
    return createVerify('sha256').update(text).verify(pem, String(answer.headers['wechatpay-signature']), 'base64');
  }

  async control(method: string, path: string, body?: unknown): Promise<{ status: number; json: Json }> {
    const answer = await send(
      this.sandbox.url,
      method,
      `/control${path}`,
      {},
      body === undefined ? undefined : JSON.stringify(body),
    );
    return { status: answer.status, json: JSON.parse(answer.body) as Json };
  }

  /** Registers a refund of 100 fen; the script may be given as one status that holds from the start. */
  async register(outRefundNo: string, script: string | Json[], more: Json = {}): Promise<Json> {
    const steps = typeof script === 'string' ? [{ afterMs: 0, status: script }] : script;
    const answer = await this.control('POST', '/refunds', {
      channel: 'wechat_pay',
      outRefundNo,
      outTradeNo: `TRADE-${outRefundNo}`,
      amount: 100,
      currency: 'CNY',
      script: steps,
      ...more,
    });
    if (answer.status >= 300) throw new Error(`${answer.status} ${JSON.stringify(answer.json)}`);
    return answer.json;
  }

  async fault(kind: string, more: Json = {}): Promise<Json> {
    const answer = await this.control('POST', '/faults', { channel: 'wechat_pay', kind, rate: 1, ...more });
    if (answer.status !== 201) throw new Error(`${answer.status} ${JSON.stringify(answer.json)}`);
    return answer.json;
  }

  async settings(more: Json): Promise<Json> {
    const answer = await this.control('POST', '/settings', { channel: 'wechat_pay', ...more });
    if (answer.status !== 200) throw new Error(`${answer.status} ${JSON.stringify(answer.json)}`);
    return answer.json;
  }

  async truth(outRefundNo: string): Promise<Json> {
    return (await this.control('GET', `/refunds/wechat_pay/${encodeURIComponent(outRefundNo)}`)).json;
  }
}

/** A create's body: 100 of 888 fen. */
export function createBody(outRefundNo: string, more: Json = {}): Json {
  return {
    out_trade_no: `TRADE-${outRefundNo}`,
    out_refund_no: outRefundNo,
    amount: { refund: 100, total: 888, currency: 'CNY' },
    ...more,
  };
}

export function json(answer: { body: string }): Json {
  return JSON.parse(answer.body) as Json;
}

export function send(
  baseUrl: string,
  method: string,
  target: string,
  headers: Record<string, string | null>,
  body: string | undefined,
  signal?: AbortSignal,
): Promise<RawAnswer> {
  const { hostname, port } = new URL(baseUrl);
  const present = Object.fromEntries(
    Object.entries(headers).filter((entry): entry is [string, string] => entry[1] !== null),
  );
  if (body !== undefined) present['Content-Length'] = String(Buffer.byteLength(body));
  return new Promise((resolve, reject) => {
    const outgoing = httpRequest(
      { hostname, port, method, path: target, headers: present, agent: false, signal },
      (incoming) => {
        const chunks: Buffer[] = [];
        incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
        incoming.once('end', () =>
          resolve({
            status: incoming.statusCode ?? 0,
            headers: incoming.headers,
            body: Buffer.concat(chunks).toString('utf8'),
          }),
        );
        incoming.once('error', reject);
      },
    );
    outgoing.once('error', reject);
    outgoing.end(body);
  });
}

export interface Received {
  headers: IncomingHttpHeaders;
  body: string;
  atMs: number;
}

/** A merchant's notify endpoint: records what comes and answers as `answers` says, the last one for ever. */
export class Receiver {
  readonly received: Received[] = [];
  answers: (number | 'silence')[] = [200];
  private readonly server: Server;

  private constructor() {
    this.server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.once('end', () => {
        this.received.push({
          headers: request.headers,
          body: Buffer.concat(chunks).toString('utf8'),
          atMs: Date.now(),
        });
        const answer = this.answers.length > 1 ? this.answers.shift() : this.answers[0];
        if (answer === 'silence') return;
        response.writeHead(answer ?? 200).end(answer === 204 ? undefined : '{"code":"X"}');
      });
    });
  }

  static async start(): Promise<Receiver> {
    const receiver = new Receiver();
    await new Promise<void>((resolve) => receiver.server.listen(0, '127.0.0.1', resolve));
    return receiver;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}/notify`;
  }

  forget(): void {
    this.received.length = 0;
    this.answers = [200];
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

/** Looks again until it is true; fails with the last value after `withinMs`. */
export async function until<Value>(
  look: () => Value | Promise<Value>,
  isThere: (value: Value) => boolean,
  withinMs = 3000,
): Promise<Value> {
  const deadline = Date.now() + withinMs;
  for (;;) {
    const value = await look();
    if (isThere(value)) return value;
    if (Date.now() > deadline) throw new Error(`not within ${withinMs} ms; last: ${JSON.stringify(value)}`);
    await pause(10);
  }
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
