import { createHash, createHmac } from 'node:crypto';

/** What the merchant API answers. */
export interface Answer<Data = Record<string, unknown>> {
  httpStatus: number;
  contentType: string;
  headers: Headers;
  msg: string;
  code: number;
  data: Data | null;
  sign: string;
  traceId: string;
}

export type Fields = Record<string, string | number | boolean | undefined>;

/**
 * A hand-written client of the merchant API: flat fields, dialect daxpay-v2. It shares no code with the service, so that a
 * fault in the service's signatures shows.
 */
export class MerchantClient {
  constructor(
    readonly baseUrl: string,
    readonly secret: string,
    readonly signType: 'MD5' | 'HMAC_SHA256' = 'MD5',
  ) {}

  signString(fields: Fields): string {
    const pairs = Object.keys(fields)
      .filter((name) => name !== 'sign' && fields[name] !== undefined)
      .sort()
      .map((name) => `${name}=${String(fields[name])}`);
    return `${pairs.join('&')}&key=${this.secret}`;
  }

  sign(fields: Fields): string {
    const text = this.signString(fields);
    return this.signType === 'MD5'
      ? createHash('md5').update(text).digest('hex')
      : createHmac('sha256', this.secret).update(text).digest('hex');
  }

  /** Signed, with reqTime now unless given. */
  async call<Data = Record<string, unknown>>(
    path: string,
    fields: Fields,
    headers: Record<string, string> = {},
  ): Promise<Answer<Data>> {
    const body: Fields = { reqTime: Math.floor(Date.now() / 1000), ...fields };
    return this.post<Data>(path, JSON.stringify({ ...body, sign: this.sign(body) }), headers);
  }

  /** The body as it stands. */
  async post<Data = Record<string, unknown>>(
    path: string,
    body: string | Uint8Array<ArrayBuffer>,
    headers: Record<string, string> = {},
  ): Promise<Answer<Data>> {
    const response = await fetch(`${this.baseUrl}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body,
    });
    const parsed = (await response.json()) as Omit<Answer<Data>, 'httpStatus' | 'contentType' | 'headers'>;
    return {
      httpStatus: response.status,
      contentType: response.headers.get('content-type') ?? '',
      headers: response.headers,
      ...parsed,
    };
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
