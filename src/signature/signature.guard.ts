import { Injectable, SetMetadata, type CanActivate, type ExecutionContext, Inject } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import type { FastifyRequest } from 'fastify';
import type { InterfaceCode } from '../merchant/merchant-codes.js';
import {
  DEFAULT_APP_ID,
  MerchantAppService,
  type InterfaceSwitches,
  type ResolvedApp,
} from '../merchant/merchant-app.service.js';
import { CLOCK, SECOND_MS, type Clock } from '../shared/clock.js';
import { DomainError, invalidField } from '../shared/errors.js';
import { rawBodyOf } from '../shared/http/http-surface.js';
import { readJsonObject } from '../shared/http/json-body.js';
import { isRefusedName, JsonNumber, toPlain, type JsonObject, type JsonValue } from '../shared/lossless-json.js';
import { isSignName } from './canonical.js';
import { secretsOf } from './app-signature.js';
import { APP_ID_HEADER, NONCE_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER, verifyHmacBody } from './hmac-body.js';
import { verify } from './merchant-signature.js';
import { NonceMemory } from './nonce-memory.js';

interface MerchantInterfaceOptions {
  code: InterfaceCode;
  /** Every field that the interface reads: what a client that signs only those has signed. */
  fields: readonly string[];
}

const MERCHANT_INTERFACE = 'merchantInterface';

/** Marks a route as an interface of the merchant API. */
export const MerchantInterface = (options: MerchantInterfaceOptions) => SetMetadata(MERCHANT_INTERFACE, options);

/** What the guard learned of a request. */
export interface MerchantCall {
  app: ResolvedApp;
  switches: InterfaceSwitches;
}

const calls = new WeakMap<FastifyRequest, MerchantCall>();

/** @throws when the route is not guarded: a programming error. */
export function merchantCallOf(request: FastifyRequest): MerchantCall {
  const call = calls.get(request);
  if (!call) throw new Error('a merchant route without SignatureGuard');
  return call;
}

const APP_ID = /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/;
/** `hmac-body` always has a window, or the nonce could never be forgotten. */
const DEFAULT_WINDOW_S = 300;

/**
 * Checks who calls the merchant API: reads the body (of a GET, the query) without losing a digit, finds the app by header or field (never by the
 * refund), verifies its signature and its time. The route then sees the plain body.
 */
@Injectable()
export class SignatureGuard implements CanActivate {
  private readonly nonces = new NonceMemory();

  constructor(
    private readonly reflector: Reflector,
    private readonly apps: MerchantAppService,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const options = this.reflector.get<MerchantInterfaceOptions | undefined>(MERCHANT_INTERFACE, context.getHandler());
    if (!options) throw new Error('SignatureGuard on a route without @MerchantInterface');
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    const fields = request.method === 'GET' ? readQuery(request) : readJsonObject(request);
    const app = await this.appOf(request, fields);
    const switches = app.interfaces[options.code];
    if (!switches.enabled) throw new DomainError('failed', { zh: '接口已停用', en: 'this interface is switched off' });
    if (switches.requestSign) this.verifySignature(request, fields, app, options.fields);
    this.checkTime(request, fields, app, switches);
    calls.set(request, { app, switches });
    const plain = withoutAbsent(toPlain(fields) as Record<string, unknown>);
    if (request.method === 'GET') request.query = plain;
    else request.body = plain;
    return true;
  }

  private async appOf(request: FastifyRequest, fields: JsonObject): Promise<ResolvedApp> {
    const header = request.headers[APP_ID_HEADER];
    const field = fields.get('appId');
    const given = typeof header === 'string' && header !== '' ? header : field;
    const appId = given === undefined || given === null || given === '' ? DEFAULT_APP_ID : given;
    const app = typeof appId === 'string' && APP_ID.test(appId) ? await this.apps.resolve(appId) : undefined;
    if (!app)
      throw new DomainError('badSignature', { zh: '应用不存在或已停用', en: 'the app is unknown or switched off' });
    return app;
  }

  private verifySignature(
    request: FastifyRequest,
    fields: JsonObject,
    app: ResolvedApp,
    knownFields: readonly string[],
  ): void {
    if (app.dialect === 'hmac-body') {
      this.verifyHeaders(request, app);
      return;
    }
    if (!hasSign(fields)) throw new DomainError('badSignature', { zh: '缺少签名 sign', en: 'sign is missing' });
    const { dialect, signType } = app;
    if (!secretsOf(app).some((secret) => verify({ dialect, signType, secret, fields, knownFields }))) {
      throw new DomainError('badSignature', { zh: '签名 sign 不正确', en: 'sign is wrong' });
    }
  }

  private verifyHeaders(request: FastifyRequest, app: ResolvedApp): void {
    const header = (name: string): string => {
      const value = request.headers[name];
      if (typeof value !== 'string' || value === '')
        throw new DomainError('badSignature', { zh: `缺少请求头 ${name}`, en: `header ${name} is missing` });
      return value;
    };
    const timestamp = header(TIMESTAMP_HEADER);
    const nonce = header(NONCE_HEADER);
    const parts = {
      method: request.method,
      path: request.url,
      appId: app.id,
      timestamp,
      nonce,
      body: rawBodyOf(request),
    };
    const signature = header(SIGNATURE_HEADER);
    if (!secretsOf(app).some((secret) => verifyHmacBody(secret, parts, signature))) {
      throw new DomainError('badSignature', { zh: '请求头签名不正确', en: 'x-signature is wrong' });
    }
    const windowS = app.reqTimeWindowS || DEFAULT_WINDOW_S;
    this.assertInWindow(Number(timestamp), windowS, TIMESTAMP_HEADER);
    const nowMs = this.clock.now().getTime();
    if (!this.nonces.remember(`${app.id}:${nonce}`, nowMs, 2 * windowS * SECOND_MS)) {
      throw new DomainError('badSignature', { zh: '随机数已使用', en: 'x-nonce was used before' });
    }
  }

  /** `reqTime` is required by the document; its window counts only where it is signed. */
  private checkTime(request: FastifyRequest, fields: JsonObject, app: ResolvedApp, switches: InterfaceSwitches): void {
    const value = fields.get('reqTime');
    const absent = value === undefined || value === null || value === '';
    const windowed = switches.requestSign && app.reqTimeWindowS > 0 && app.dialect !== 'hmac-body';
    if (absent) {
      // The 3.0 client may leave its common fields out; without a window nothing needs them.
      if (app.dialect === 'daxpay-v3' && !windowed) return;
      // The document's requests are POSTs; where the headers say the time, a query need not say it again.
      if (app.dialect === 'hmac-body' && request.method === 'GET') return;
      throw invalidField('reqTime', { zh: '不能为空', en: 'is required' });
    }
    const atS = reqTimeS(value);
    if (atS === undefined)
      throw invalidField('reqTime', {
        zh: '必须是秒级时间戳（daxpay-v3 也可用北京时间 yyyy-MM-dd HH:mm:ss）',
        en: 'must be a time stamp in seconds (daxpay-v3: also yyyy-MM-dd HH:mm:ss, Beijing)',
      });
    if (windowed) this.assertInWindow(atS, app.reqTimeWindowS, 'reqTime');
  }

  private assertInWindow(atS: number, windowS: number, what: string): void {
    if (Math.abs(this.clock.now().getTime() / SECOND_MS - atS) > windowS) {
      throw new DomainError('badSignature', {
        zh: `${what} 与服务器时间相差超过 ${windowS} 秒`,
        en: `${what} is more than ${windowS} s away from now`,
      });
    }
  }
}

/**
 * A GET is signed over the parameters of its query as a POST is over the fields of its body: names and values decoded, every value a
 * text.
 *
 * @throws DomainError `unreadable` for a name that is there twice: who signs and who verifies could take different ones.
 */
function readQuery(request: FastifyRequest): JsonObject {
  const start = request.url.indexOf('?');
  const fields: JsonObject = new Map();
  for (const [name, value] of new URLSearchParams(start === -1 ? '' : request.url.slice(start + 1))) {
    if (fields.has(name) || isRefusedName(name))
      throw new DomainError('unreadable', {
        zh: `参数 ${name.slice(0, 40)} 重复或不允许`,
        en: `the parameter ${name.slice(0, 40)} is there twice or not allowed`,
      });
    fields.set(name, value);
  }
  return fields;
}

function hasSign(fields: JsonObject): boolean {
  for (const [name, value] of fields) if (isSignName(name) && typeof value === 'string' && value !== '') return true;
  return false;
}

/** Epoch seconds as a number or digits; the 3.0 client writes Beijing time as text. */
function reqTimeS(value: JsonValue | undefined): number | undefined {
  const text = value instanceof JsonNumber ? value.text : typeof value === 'string' ? value : '';
  if (/^\d{1,12}$/.test(text)) return Number(text);
  if (typeof value !== 'string' || !/^\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}$/.test(text)) return undefined;
  const ms = Date.parse(`${text.replace(' ', 'T')}+08:00`);
  return Number.isNaN(ms) ? undefined : ms / SECOND_MS;
}

/** An empty text counts as absent, and so does null: before validation, after the signature. */
function withoutAbsent(body: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(body).filter(([, value]) => value !== '' && value !== null));
}
