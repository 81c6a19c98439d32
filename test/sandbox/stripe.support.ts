import { createHmac } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { createSandbox, type Sandbox, type SandboxOptions } from '../../sandbox/server.js';
import { send, type Json, type RawAnswer } from './support.js';

export interface StripeSettings {
  secretKey: string;
  webhookSecret: string;
  baseUrl: string;
}

export interface StripeOverrides {
  /** Without it the key of the account. */
  authorization?: string | null;
  idempotencyKey?: string;
  headers?: Record<string, string | null>;
  signal?: AbortSignal;
}

/** A merchant's client of Stripe that shares no code with the sandbox. */
export class StripeMerchant {
  private constructor(
    readonly sandbox: Sandbox,
    readonly config: StripeSettings,
  ) {}

  static async start(options: SandboxOptions = {}): Promise<StripeMerchant> {
    const sandbox = await createSandbox(options);
    const account = sandbox.accounts().find(({ channel }) => channel === 'stripe');
    return new StripeMerchant(sandbox, account?.config as unknown as StripeSettings);
  }

  create(form: string | Record<string, string>, overrides: StripeOverrides = {}): Promise<RawAnswer> {
    return this.call(
      'POST',
      '/v1/refunds',
      typeof form === 'string' ? form : new URLSearchParams(form).toString(),
      overrides,
    );
  }

  retrieve(id: unknown, overrides: StripeOverrides = {}): Promise<RawAnswer> {
    return this.call('GET', `/v1/refunds/${String(id)}`, undefined, overrides);
  }

  list(query: string, overrides: StripeOverrides = {}): Promise<RawAnswer> {
    return this.call('GET', `/v1/refunds?${query}`, undefined, overrides);
  }

  async call(
    method: string,
    target: string,
    form: string | undefined,
    overrides: StripeOverrides = {},
  ): Promise<RawAnswer> {
    const headers: Record<string, string | null> = {
      Authorization:
        overrides.authorization === undefined ? `Bearer ${this.config.secretKey}` : overrides.authorization,
      'Stripe-Version': '2026-10-28.endive',
      'Content-Type': 'application/x-www-form-urlencoded',
      'Idempotency-Key': overrides.idempotencyKey ?? null,
      ...overrides.headers,
    };
    return send(this.sandbox.url, method, target, headers, form, overrides.signal);
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

  /** The same for what must go well. */
  async told(path: string, body: Json): Promise<Json> {
    const answer = await this.control('POST', path, { channel: 'stripe', ...body });
    if (answer.status >= 300) throw new Error(`${answer.status} ${JSON.stringify(answer.json)}`);
    return answer.json;
  }

  /** Registers a refund of 100 cents; the script may be given as one status that holds from the start. */
  register(outRefundNo: string, script: string | Json[], more: Json = {}): Promise<Json> {
    const steps = typeof script === 'string' ? [{ afterMs: 0, status: script }] : script;
    return this.told('/refunds', {
      outRefundNo,
      outTradeNo: `pi_${outRefundNo}`,
      amount: 100,
      currency: 'USD',
      script: steps,
      ...more,
    });
  }

  /** A payment of 888 cents. */
  payment(outTradeNo: string, more: Json = {}): Promise<Json> {
    return this.told('/payments', { outTradeNo, amount: 888, currency: 'USD', ...more });
  }

  fault(kind: string, more: Json = {}): Promise<Json> {
    return this.told('/faults', { kind, rate: 1, ...more });
  }

  settings(more: Json): Promise<Json> {
    return this.told('/settings', more);
  }

  async truth(outRefundNo: string): Promise<Json> {
    return (await this.control('GET', `/refunds/stripe/${encodeURIComponent(outRefundNo)}`)).json;
  }

  /** Whether an event carries a good signature, and how old it is. */
  verifies(event: { headers: IncomingHttpHeaders; body: string }): { ok: boolean; ageSeconds: number } {
    const [, timestamp, v1] = /^t=(\d+),v1=([0-9a-f]{64})/.exec(String(event.headers['stripe-signature'])) ?? [];
    const expected = createHmac('sha256', this.config.webhookSecret).update(`${timestamp}.${event.body}`).digest('hex');
    return { ok: v1 === expected, ageSeconds: Date.now() / 1000 - Number(timestamp) };
  }
}

/** What an API error says: status and code, or type where there is no code. */
export function errorOf(answer: RawAnswer): string {
  const { error } = JSON.parse(answer.body) as { error?: { code?: string; type: string } };
  return `${answer.status} ${error ? (error.code ?? error.type) : 'ok'}`;
}
