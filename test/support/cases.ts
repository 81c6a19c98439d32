import type { TestService } from './service.js';

export interface CaseAnswer {
  httpStatus: number;
  body: Record<string, unknown> & {
    state?: string;
    preview?: Preview;
    refund?: { status: string; version: number };
    repairNo?: string | null;
    proposal?: { id: string; state: string; settledBy: string | null } | null;
    call?: { state: string; records: { operation: string; result: string }[] } | null;
    detail?: string;
    errors?: { field: string; fault: string }[];
  };
}

export interface Preview {
  digest: string;
  version: number;
  status: { from: string; to: string };
  merchantStatus: { from: string; to: string };
  reserved: { from: boolean; to: boolean };
  payment: {
    refundableBalance: { from: number; to: number };
    overRefunded: { from: number; to: number };
    refundedAmount: { from: number; to: number };
    status: { from: string; to: string };
  };
  moneyEffect: string;
  notification: string;
  gatewayCall: string | null;
  warnings: string[];
}

/** An operator with a token of its own. */
export class Operator {
  private constructor(
    private readonly service: Pick<TestService, 'url'>,
    private readonly token: string,
    readonly actor: string,
  ) {}

  static async named(service: TestService, name: string, role = 'operator'): Promise<Operator> {
    const { httpStatus, body } = await service.admin<{ token: string }>('POST', '/admin/tokens', { name, role });
    if (httpStatus !== 201) throw new Error(`no token for ${name}: ${httpStatus}`);
    return new Operator(service, body.token, `token:${name}`);
  }

  async call(method: string, path: string, body?: unknown): Promise<CaseAnswer> {
    const response = await fetch(`${this.service.url}${path}`, {
      method,
      headers: { authorization: `Bearer ${this.token}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return { httpStatus: response.status, body: (await response.json()) as CaseAnswer['body'] };
  }

  async version(refundId: string): Promise<number> {
    return Number((await this.call('GET', `/admin/cases/${refundId}`)).body['version']);
  }

  async preview(refundId: string, command: string, more: Record<string, unknown> = {}): Promise<CaseAnswer> {
    const expectedVersion = await this.version(refundId);
    const body = { command, note: 'why not', expectedVersion, dryRun: true, ...more };
    return this.call('POST', `/admin/refunds/${refundId}/resolve`, body);
  }

  /** As a person does it: look, preview, then exactly that. */
  async settle(refundId: string, command: string, more: Record<string, unknown> = {}): Promise<CaseAnswer> {
    const shown = await this.preview(refundId, command, more);
    if (shown.httpStatus !== 200) return shown;
    return this.apply(refundId, command, shown, more);
  }

  apply(
    refundId: string,
    command: string,
    { body }: CaseAnswer,
    more: Record<string, unknown> = {},
  ): Promise<CaseAnswer> {
    const { version: expectedVersion, digest: preview } = body.preview ?? {};
    return this.call('POST', `/admin/refunds/${refundId}/resolve`, {
      command,
      note: 'as the bank says',
      expectedVersion,
      preview,
      ...more,
    });
  }

  proposal(refundId: string, id: string, what: string, body: unknown = {}): Promise<CaseAnswer> {
    return this.call('POST', `/admin/cases/${refundId}/proposals/${id}/${what}`, body);
  }
}
