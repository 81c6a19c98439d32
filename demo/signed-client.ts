import { createHash, createHmac } from 'node:crypto';

/** A bigint is sent as a bare JSON integer with all its digits, as the Java SDK sends refund ids. */
export type Value = string | number | bigint | boolean | Value[] | { [name: string]: Value };
export type Fields = Record<string, Value>;

export interface Credentials {
  appId: string;
  secret: string;
  signType: 'MD5' | 'HMAC_SHA256';
}

/** The envelope of the merchant API. */
export interface Answer<Data> {
  msg: string;
  code: number;
  data: Data | null;
  sign: string;
  traceId: string;
}

/** `data` of POST /unipay/syncRefund. */
export interface SyncAnswer {
  gatewayStatus: string;
  success: boolean;
  repair: boolean;
  repairOrderNo: string | null;
  errorMsg: string;
}

/** What we read of `data` of POST /unipay/refund. */
export interface RefundAnswer {
  refundId: string;
  status: string;
}

const TIMEOUT_MS = 20_000;

/** A merchant's client, dialect daxpay-v2, in sixty lines: docs/merchant-api.md is all it needs. */
export class SignedClient {
  constructor(
    private readonly baseUrl: string,
    private readonly credentials: Credentials,
  ) {}

  /** The body that is sent: the fields, the time now, and the signature over both. */
  body(fields: Fields): string {
    const timed: Fields = { ...fields, reqTime: Math.floor(Date.now() / 1000) };
    return writeJson({ ...timed, sign: this.sign(timed) });
  }

  call<Data>(path: string, fields: Fields): Promise<Answer<Data>> {
    return this.send(path, this.body(fields));
  }

  /** @param body as `body()` made it. */
  async send<Data>(path: string, body: string): Promise<Answer<Data>> {
    const { appId } = this.credentials;
    const response = await fetch(`${this.baseUrl}${path}`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'accept-language': 'en',
        ...(appId === 'default' ? {} : { 'x-app-id': appId }),
      },
      body,
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    if (response.status !== 200) throw new Error(`${path}: HTTP ${response.status}, and not 200 as for every answer`);
    return (await response.json()) as Answer<Data>;
  }

  private sign(fields: Fields): string {
    const { secret, signType } = this.credentials;
    const pairs = Object.keys(fields)
      .sort()
      .map((name) => `${name}=${signedText(fields[name] ?? '')}`);
    const text = `${pairs.join('&').replace(/["\\]/g, '')}&key=${secret}`;
    return signType === 'MD5'
      ? createHash('md5').update(text).digest('hex')
      : createHmac('sha256', secret).update(text).digest('hex');
  }
}

/** Nested values are signed without quotes, their names in alphabetical order. */
function signedText(value: Value): string {
  if (Array.isArray(value)) return `[${value.map(signedText).join(',')}]`;
  if (typeof value !== 'object') return String(value);
  const names = Object.keys(value).sort((a, b) => (a.toLowerCase() < b.toLowerCase() ? -1 : 1));
  return `{${names.map((name) => `${name}:${signedText(value[name] ?? '')}`).join(',')}}`;
}

/** JSON.stringify refuses a bigint, and a number would lose the last digits of an id. */
function writeJson(value: Value): string {
  if (typeof value === 'bigint') return value.toString();
  if (Array.isArray(value)) return `[${value.map(writeJson).join(',')}]`;
  if (typeof value !== 'object') return JSON.stringify(value);
  return `{${Object.entries(value)
    .map(([name, member]) => `${JSON.stringify(name)}:${writeJson(member)}`)
    .join(',')}}`;
}

/** For a POSIX shell. */
export function formatCurl(url: string, body: string): string {
  return [
    `curl -s ${url} \\`,
    `  -H 'content-type: application/json' -H 'accept-language: en' \\`,
    `  -d '${body.replaceAll("'", `'\\''`)}'`,
  ].join('\n');
}
