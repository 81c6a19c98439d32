import { createServer, request as httpRequest, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { FindOptionsWhere } from 'typeorm';
import { expect } from 'vitest';
import { CallbackRecord } from '../../src/callback/callback-record.entity.js';
import { GatewayAccountService } from '../../src/gateway/gateway-account.service.js';
import { caughtRequest } from './caught-request.js';
import { WECHAT_ACCOUNT, type TestService } from './service.js';

export const CHANNEL = 'wechat_pay';

/** A refund as the gateway has it, and how often it was spoken of. */
export interface Truth {
  status: string;
  queries: number;
  creates: number;
  activeCalls: number;
  maxConcurrentCalls: number;
  refundsAtGateway: number;
  callbacksSent: number;
  callbacksAcknowledged: number;
  callbacksDropped: number;
  gatewayRefundNo: string | null;
  payment: { refunds: number; refundedAmount: number } | null;
}

/** @param no the number under which the gateway knows the refund. */
export function truth(service: TestService, no: string): Promise<Truth> {
  return service.control<Truth>(`/control/refunds/${CHANNEL}/${encodeURIComponent(no)}`);
}

/** Resolves when the gateway has this many calls about the refund under way. */
export async function untilAsked(service: TestService, no: string, calls = 1): Promise<void> {
  await expect.poll(async () => (await truth(service, no)).activeCalls, { timeout: 5_000, interval: 5 }).toBe(calls);
}

export interface FaultOptions {
  rate?: number;
  count?: number;
  operation?: 'query' | 'create' | 'callback' | 'any';
  outRefundNo?: string;
  slowMs?: number;
  delayMs?: number;
  seed?: number;
}

/** Makes calls go wrong; always, unless told otherwise. */
export async function fault(service: TestService, kind: string, options: FaultOptions = {}): Promise<void> {
  await service.control('/control/faults', { channel: CHANNEL, kind, rate: 1, ...options });
}

export async function clearFaults(service: TestService): Promise<void> {
  await fetch(`${service.sandbox.url}/control/faults`, { method: 'DELETE' });
}

export function settings(service: TestService, changes: Record<string, unknown>): Promise<unknown> {
  return service.control('/control/settings', { channel: CHANNEL, ...changes });
}

/** Changes what the gateway says of a refund from now on. Where the refund has a notify URL, the gateway calls back. */
export async function setTruth(
  service: TestService,
  refund: { refundNo: string; businessNo: string; amount?: number },
  status: string,
): Promise<void> {
  await service.control('/control/refunds', {
    channel: CHANNEL,
    outRefundNo: refund.refundNo,
    outTradeNo: refund.businessNo,
    amount: refund.amount ?? 100,
    currency: 'CNY',
    script: [{ afterMs: 0, status }],
  });
}

export function callbackUrl(service: TestService, accountId = WECHAT_ACCOUNT): string {
  return `${service.url}/callback/wechat/${accountId}`;
}

export interface CallbackOptions {
  /** Told instead of the truth. */
  status?: string;
  tamper?: string;
  /** Default: the service's own address for the sandbox's account. */
  notifyUrl?: string;
}

/** One genuine callback (unless tampered with), now. @returns what the service answered. */
export function callBack(
  service: TestService,
  no: string,
  options: CallbackOptions = {},
): Promise<{ id: string; status: number | null; body: string; acknowledged: boolean }> {
  return service.control('/control/callbacks', {
    channel: CHANNEL,
    outRefundNo: no,
    notifyUrl: callbackUrl(service),
    ...options,
  });
}

export function storedCallbacks(
  service: TestService,
  by: FindOptionsWhere<CallbackRecord> = {},
): Promise<CallbackRecord[]> {
  return service.db.read((manager) => manager.find(CallbackRecord, { where: by, order: { id: 'ASC' } }));
}

/** Resolves when no stored callback waits to be worked on, and what they asked for has been done. */
export async function callbacksWorkedOn(service: TestService): Promise<void> {
  await expect
    .poll(async () => (await storedCallbacks(service, { state: 'stored' })).length, { timeout: 5_000, interval: 5 })
    .toBe(0);
  await service.idle();
}

/** The sandbox's settings for its WeChat Pay, keys included. */
export function wechatSettings({ sandbox }: TestService): Record<string, unknown> {
  const account = sandbox.accounts().find(({ gateway }) => gateway === 'wechat');
  if (!account) throw new Error('this sandbox has no WeChat Pay');
  return account.config;
}

/** Replaces settings of the sandbox's account; secrets that are not given stay. */
export async function changeAccount(
  service: TestService,
  changes: { config?: Record<string, unknown>; notFoundPolicy?: 'review' | 'close' },
  id = WECHAT_ACCOUNT,
): Promise<void> {
  await service.app.get(GatewayAccountService).put(id, {
    channel: CHANNEL,
    sandbox: true,
    ...changes,
    config: { ...wechatSettings(service), notifyUrl: callbackUrl(service, id), ...changes.config },
  });
}

export interface WireAnswer {
  status: number;
  headers: IncomingHttpHeaders;
  body: string;
}

/** Something on the wire between the service and the gateway: sees every answer, and changes those it wants to. */
export class Meddler {
  /** What becomes of an answer; default: nothing. */
  meddle: (answer: WireAnswer) => WireAnswer = (answer) => answer;
  readonly seen: WireAnswer[] = [];
  private readonly server: Server;

  /** What an account must have as its `baseUrl` for its calls to pass here. */
  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  private constructor(target: string) {
    this.server = createServer((request, response) => {
      const { hostname, port } = new URL(target);
      const forwarded = httpRequest(
        { hostname, port, method: request.method, path: request.url, headers: request.headers, agent: false },
        (incoming) => {
          const chunks: Buffer[] = [];
          incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
          incoming.once('end', () => {
            const genuine = {
              status: incoming.statusCode ?? 0,
              headers: incoming.headers,
              body: Buffer.concat(chunks).toString('utf8'),
            };
            this.seen.push(genuine);
            const { status, headers, body } = this.meddle(genuine);
            response.writeHead(status, { ...headers, 'content-length': Buffer.byteLength(body) }).end(body);
          });
        },
      );
      forwarded.once('error', () => response.destroy());
      request.pipe(forwarded);
    });
  }

  /** Puts itself between a service and its sandbox. */
  static async between(service: TestService): Promise<Meddler> {
    const meddler = new Meddler(service.sandbox.url);
    await new Promise<void>((resolve) => meddler.server.listen(0, '127.0.0.1', resolve));
    await changeAccount(service, { config: { baseUrl: meddler.url } });
    return meddler;
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

/** The answer as it was, without the headers that prove where it comes from. */
export function unsigned(answer: WireAnswer): WireAnswer {
  const headers = Object.entries(answer.headers).filter(([name]) => !name.startsWith('wechatpay-'));
  return { ...answer, headers: Object.fromEntries(headers) };
}

/** A callback as it went over the wire: the same bytes can be delivered again, elsewhere, or changed. */
export interface WireCallback {
  headers: Record<string, string>;
  body: string;
}

/** A genuine callback that was caught before it arrived anywhere. */
export async function caughtCallback(
  service: TestService,
  no: string,
  options: Omit<CallbackOptions, 'notifyUrl'> = {},
): Promise<WireCallback> {
  const { headers, body } = await caughtRequest((url) => callBack(service, no, { ...options, notifyUrl: url }));
  const kept = Object.entries(headers).filter(([name]) => /^(content-type|wechatpay-)/.test(name));
  return { headers: Object.fromEntries(kept) as Record<string, string>, body: body.toString() };
}

export async function deliver(
  url: string,
  { headers, body }: WireCallback,
): Promise<{ status: number; contentType: string; body: string }> {
  const response = await fetch(url, { method: 'POST', headers, body });
  return {
    status: response.status,
    contentType: response.headers.get('content-type') ?? '',
    body: await response.text(),
  };
}
