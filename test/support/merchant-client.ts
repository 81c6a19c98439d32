import { expect } from 'vitest';
import { digest, signText, toJson, type Dialect, type DigestType, type Fields } from './wire.js';

export type { Fields } from './wire.js';

/** What the merchant API answers. */
export interface Answer<Data = Record<string, unknown>> {
  httpStatus: number;
  contentType: string;
  headers: Headers;
  /** The body as it came. */
  text: string;
  msg: string;
  code: number;
  data: Data | null;
  sign: string;
  traceId: string;
}

/**
 * A hand-written client of the merchant API. It shares no code with the service, so that a fault in the service's
 * signatures shows. Every answer is checked against what holds for all of them.
 */
export class MerchantClient {
  constructor(
    readonly baseUrl: string,
    readonly secret: string,
    readonly signType: DigestType = 'MD5',
    readonly dialect: Dialect = 'daxpay-v2',
    /** Sent with every call; default: none. */
    readonly headers: Readonly<Record<string, string>> = {},
  ) {}

  signString(fields: Fields): string {
    return signText(fields, this.secret, this.dialect);
  }

  sign(fields: Fields): string {
    return digest(this.signType, this.signString(fields), this.secret);
  }

  /** The signed body, with reqTime now unless given. */
  body(fields: Fields): string {
    const body: Fields = { reqTime: Math.floor(Date.now() / 1000), ...fields };
    return toJson({ ...body, sign: this.sign(body) });
  }

  async call<Data = Record<string, unknown>>(
    path: string,
    fields: Fields,
    headers: Record<string, string> = {},
  ): Promise<Answer<Data>> {
    return this.post<Data>(path, this.body(fields), headers);
  }

  /** The body as it stands. */
  async post<Data = Record<string, unknown>>(
    path: string,
    body: string | Uint8Array<ArrayBuffer>,
    headers: Record<string, string> = {},
  ): Promise<Answer<Data>> {
    return this.send<Data>(path, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...this.headers, ...headers },
      body,
    });
  }

  /** Any request, as it stands. */
  async send<Data = Record<string, unknown>>(path: string, init: RequestInit): Promise<Answer<Data>> {
    const response = await fetch(`${this.baseUrl}${path}`, init);
    const text = await response.text();
    const parsed = JSON.parse(text) as Omit<Answer<Data>, 'httpStatus' | 'contentType' | 'headers' | 'text'>;
    const answer = {
      httpStatus: response.status,
      contentType: response.headers.get('content-type') ?? '',
      headers: response.headers,
      text,
      ...parsed,
    };
    expectEnvelope(answer);
    return answer;
  }

  syncRefund(fields: Fields, headers: Record<string, string> = {}): Promise<Answer<SyncData>> {
    return this.call<SyncData>('/unipay/syncRefund', fields, headers);
  }
}

export interface SyncData {
  gatewayStatus: string;
  success: boolean;
  repair: boolean;
  repairOrderNo: string | null;
  errorMsg: string;
}

/** Wire-protocol §2: the SDK throws away the body of any other status, and reads a missing code as success. */
function expectEnvelope(answer: Answer<unknown>): void {
  expect(answer.httpStatus, answer.text).toBe(200);
  expect(answer.contentType).toBe('application/json; charset=utf-8');
  const envelope = JSON.parse(answer.text) as Record<string, unknown>;
  expect(Object.keys(envelope).sort(), answer.text).toEqual(['code', 'data', 'msg', 'sign', 'traceId']);
  expect(envelope.msg).toBeTypeOf('string');
  expect(envelope.code).toBeTypeOf('number');
  expect(envelope.sign).toBeTypeOf('string');
  if (envelope.code === 0) expect(envelope).toMatchObject({ msg: '', data: expect.any(Object) as object });
  else expect(envelope.data, answer.text).toBeNull();
  expect(envelope.traceId).toMatch(/^[A-Za-z0-9]{12}$/);
  expect(answer.headers.get('x-trace-id')).toBe(envelope.traceId);
}
