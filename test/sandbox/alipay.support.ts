import { createPrivateKey, createSign, createVerify, type KeyObject } from 'node:crypto';
import { createSandbox, type Sandbox, type SandboxOptions } from '../../sandbox/server.js';
import { send, type Json, type RawAnswer } from './support.js';

export interface AlipaySettings {
  appId: string;
  privateKey: string;
  alipayPublicKey: string;
  sellerId: string;
  gatewayUrl: string;
}

export interface AlipayCertificateSettings extends Omit<AlipaySettings, 'alipayPublicKey'> {
  appCert: string;
  alipayPublicCert: string;
  alipayRootCert: string;
}

export const REFUND = 'alipay.trade.refund';
export const QUERY = 'alipay.trade.fastpay.refund.query';

/** What a call changes of a good request. A parameter that is null is left out. */
export interface Overrides {
  parameters?: Record<string, string | null>;
  /** Changes after signing. */
  unsigned?: Record<string, string>;
  /** All parameters in the URL, by GET. */
  get?: boolean;
  signal?: AbortSignal;
}

/** An answer taken apart without a JSON parser: the response is the text between its name and the next member. */
export interface Reply extends RawAnswer {
  /** Name of the response's member. */
  member: string;
  /** Its exact text. */
  text: string;
  response: Json;
  sign: string | null;
  /** Whether the signature is Alipay's. */
  verified: boolean;
}

/** An application's client that shares no code with the sandbox, nor with the connector. */
export class AlipayMerchant {
  private readonly key: KeyObject;

  private constructor(
    readonly sandbox: Sandbox,
    readonly settings: AlipaySettings,
  ) {
    this.key = createPrivateKey(settings.privateKey);
  }

  static async start(options: SandboxOptions = {}): Promise<AlipayMerchant> {
    const sandbox = await createSandbox(options);
    const account = sandbox.accounts().find(({ channel }) => channel === 'ali_pay');
    return new AlipayMerchant(sandbox, account?.config as unknown as AlipaySettings);
  }

  query(content: Json, overrides: Overrides = {}): Promise<Reply> {
    return this.call(QUERY, JSON.stringify({ query_options: ['gmt_refund_pay'], ...content }), overrides);
  }

  refund(content: Json, overrides: Overrides = {}): Promise<Reply> {
    return this.call(REFUND, JSON.stringify(content), overrides);
  }

  async call(method: string, bizContent: string, overrides: Overrides = {}): Promise<Reply> {
    const all: Record<string, string | null> = {
      app_id: this.settings.appId,
      method,
      charset: 'utf-8',
      sign_type: 'RSA2',
      timestamp: new Date(Date.now() + 8 * 3_600_000).toISOString().slice(0, 19).replace('T', ' '),
      version: '1.0',
      biz_content: bizContent,
      ...overrides.parameters,
    };
    const parameters = Object.fromEntries(
      Object.entries(all).filter((entry): entry is [string, string] => entry[1] !== null),
    );
    const text = Object.keys(parameters)
      .sort()
      .filter((name) => name !== 'sign' && parameters[name] !== '')
      .map((name) => `${name}=${parameters[name]}`)
      .join('&');
    const sign = createSign('RSA-SHA256').update(text).sign(this.key, 'base64');
    const signed: Record<string, string> = overrides.parameters?.sign === null ? parameters : { sign, ...parameters };
    const { biz_content: content, ...rest } = { ...signed, ...overrides.unsigned };
    const inUrl = new URLSearchParams(
      overrides.get && content !== undefined ? { ...rest, biz_content: content } : rest,
    );
    const answer = await send(
      this.sandbox.url,
      overrides.get ? 'GET' : 'POST',
      `/gateway.do?${inUrl.toString()}`,
      overrides.get ? {} : { 'Content-Type': 'application/x-www-form-urlencoded;charset=utf-8' },
      overrides.get || content === undefined ? undefined : new URLSearchParams({ biz_content: content }).toString(),
      overrides.signal,
    );
    return this.read(answer);
  }

  verifies(text: string, sign: string, publicKey = this.settings.alipayPublicKey): boolean {
    return createVerify('RSA-SHA256').update(text).verify(publicKey, sign, 'base64');
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

  /** Registers a refund of 100 of 888 fen; the script may be given as one status that holds from the start. */
  async register(outRefundNo: string, script: string | Json[], more: Json = {}): Promise<Json> {
    return this.post('/refunds', {
      outRefundNo,
      outTradeNo: `TRADE-${outRefundNo}`,
      amount: 100,
      paymentAmount: 888,
      currency: 'CNY',
      script: typeof script === 'string' ? [{ afterMs: 0, status: script }] : script,
      ...more,
    });
  }

  payment(outTradeNo: string, more: Json = {}): Promise<Json> {
    return this.post('/payments', { outTradeNo, amount: 888, currency: 'CNY', ...more });
  }

  fault(kind: string, more: Json = {}): Promise<Json> {
    return this.post('/faults', { kind, rate: 1, ...more });
  }

  setUp(more: Json): Promise<Json> {
    return this.post('/settings', more);
  }

  async truth(outRefundNo: string): Promise<Json> {
    return (await this.control('GET', `/refunds/ali_pay/${encodeURIComponent(outRefundNo)}`)).json;
  }

  private async post(path: string, body: Json): Promise<Json> {
    const answer = await this.control('POST', path, { channel: 'ali_pay', ...body });
    if (answer.status >= 300) throw new Error(`${answer.status} ${JSON.stringify(answer.json)}`);
    return answer.json;
  }

  private read(answer: RawAnswer): Reply {
    const [, member = '', text = ''] =
      /^\{"(\w+)":(\{.*?\})(?:,"alipay_cert_sn":"\w+")?(?:,"sign":"[^"]*")?\}$/.exec(answer.body) ?? [];
    const sign = /"sign":"([^"]*)"\}$/.exec(answer.body)?.[1] ?? null;
    return {
      ...answer,
      member,
      text,
      response: text === '' ? {} : (JSON.parse(text) as Json),
      sign,
      verified: sign !== null && this.verifies(text, sign),
    };
  }
}
