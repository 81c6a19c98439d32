import { mkdtemp, rm } from 'node:fs/promises';
import { randomBytes } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createConnection, createPool, type Connection, type Pool, type RowDataPacket } from 'mysql2/promise';
import { DataSource } from 'typeorm';
import { inject } from 'vitest';
import { dataSourceOptions } from '../../src/database/data-source-options.js';
import { Db } from '../../src/database/db.js';
import { newRefund } from '../../src/refund/new-refund.js';
import { Payment } from '../../src/refund/payment.entity.js';
import { Refund } from '../../src/refund/refund.entity.js';
import { HOUR_MS, systemClock } from '../../src/shared/clock.js';
import { IdGenerator } from '../../src/shared/ids.js';
import { Child, reaper, until } from './children.js';
import { assertInvariants, type InvariantOptions } from './invariants.js';
import { MerchantClient } from './merchant-client.js';
import { PrivateMariadb, PrivateRedis } from './private-servers.js';
import { ADMIN_TOKEN, logLines, SIGN_SECRET } from './service.js';

/**
 * The production profile as it runs: processes of the compiled service on a MariaDB and a Redis of their own, with the sandbox
 * as a process too.
 */

export type Role = 'all' | 'api' | 'worker';

const START_TIMEOUT_MS = 60_000;

/** One process of the service. */
export class ServiceProcess {
  private constructor(
    readonly name: string,
    readonly role: Role,
    readonly url: string,
    readonly child: Child,
  ) {}

  /** Waits until it listens; that it is ready is asked of `ready()`. */
  static async start(name: string, role: Role, env: Record<string, string>, cwd: string): Promise<ServiceProcess> {
    const main = join(inject('compiledService'), 'src/main.js');
    const child = await Child.start(name, process.execPath, ['--enable-source-maps', main], {
      cwd,
      env: { PATH: process.env.PATH, ROLE: role, PORT: '0', HOST: '127.0.0.1', ...env },
    });
    const line = await child.line((said) => said.includes('"msg":"listening"'), START_TIMEOUT_MS);
    const { url } = JSON.parse(line) as { url: string };
    return new ServiceProcess(name, role, url, child);
  }

  async ready(): Promise<{ httpStatus: number; body: { status: string; checks: Record<string, string> } }> {
    const response = await fetch(`${this.url}/health/ready`);
    return { httpStatus: response.status, body: (await response.json()) as never };
  }

  async becomesReady(withinMs = START_TIMEOUT_MS): Promise<void> {
    await until(`${this.name} is ready`, async () => (await this.ready()).httpStatus === 200, { withinMs });
  }

  pause(): void {
    this.child.signal('SIGSTOP');
  }

  resume(): void {
    this.child.signal('SIGCONT');
  }

  /** Lines of the log, as far as they are JSON. */
  logged(): { level: string; msg: string; [name: string]: unknown }[] {
    return this.child.logs.flatMap((line) => {
      try {
        return [JSON.parse(line) as never];
      } catch {
        return [];
      }
    });
  }
}

export interface ClusterOptions {
  api: number;
  workers: number;
  env?: Record<string, string>;
  /** Every account has a rate limit of its own; the sandbox knows the same merchant under all of them. */
  accounts?: number;
}

export interface GatewayTruth {
  outRefundNo: string;
  status: string;
  queries: number;
  creates: number;
  activeCalls: number;
  maxConcurrentQueries: number;
  maxConcurrentCalls: number;
  refundsAtGateway: number;
}

/** A refund as the tests know it. */
export interface KnownRefund {
  id: string;
  refundNo: string;
  businessNo: string;
  paymentId: string;
}

export interface SeededPayment {
  businessNo: string;
  amount?: number;
  /** `status`: what the gateway says. */
  refunds: readonly { refundNo: string; amount: number; status: string }[];
}

interface SandboxAccount {
  channel: string;
  gateway: string;
  config: Record<string, unknown>;
}

export class Cluster {
  readonly services: ServiceProcess[] = [];
  /** Every process that ever ran, also those that were killed. */
  readonly everything: ServiceProcess[] = [];
  private readonly masterKey = randomBytes(32).toString('base64');
  private sandboxAccounts: SandboxAccount[] = [];
  private readonly ids = new IdGenerator();
  private pool: Pool | undefined;
  private counter = 0;

  private constructor(
    readonly mariadb: PrivateMariadb,
    readonly redis: PrivateRedis,
    private readonly sandbox: { url: string; child: Child },
    private readonly folder: string,
    private readonly options: ClusterOptions,
  ) {}

  static async start(options: ClusterOptions): Promise<Cluster> {
    const folder = await mkdtemp(join(tmpdir(), 'refund-sync-cluster-'));
    reaper.rememberFolder(folder);
    const [mariadb, redis, sandbox] = await Promise.all([
      PrivateMariadb.start(inject('mariadbTemplate')),
      PrivateRedis.start(),
      startSandbox(folder),
    ]);
    const cluster = new Cluster(mariadb, redis, sandbox, folder, options);
    try {
      // The first one alone: it makes the schema.
      await cluster.add('api');
      await cluster.putAccounts();
      await Promise.all([
        ...Array.from({ length: options.api - 1 }, () => cluster.add('api')),
        ...Array.from({ length: options.workers }, () => cluster.add('worker')),
      ]);
      await Promise.all(cluster.services.map((service) => service.becomesReady()));
    } catch (error) {
      await cluster.close();
      throw error;
    }
    return cluster;
  }

  get apis(): ServiceProcess[] {
    return this.services.filter(({ role, child }) => role === 'api' && child.isRunning);
  }

  get workers(): ServiceProcess[] {
    return this.services.filter(({ role, child }) => role === 'worker' && child.isRunning);
  }

  /** Starts one more process. */
  async add(role: Role, env: Record<string, string> = {}): Promise<ServiceProcess> {
    this.counter += 1;
    const name = `${role}-${this.counter}`;
    const service = await ServiceProcess.start(name, role, { ...this.environment(), ...env }, this.folder);
    this.services.push(service);
    this.everything.push(service);
    return service;
  }

  environment(): Record<string, string> {
    return {
      DATABASE_URL: this.mariadb.url('refund_sync'),
      REDIS_URL: this.redis.url,
      MASTER_KEY: this.masterKey,
      ADMIN_TOKEN,
      SIGN_SECRET,
      LOG_LEVEL: 'info',
      ...this.options.env,
    };
  }

  /** No goodbye. */
  async kill(service: ServiceProcess): Promise<void> {
    await service.child.kill();
    this.services.splice(this.services.indexOf(service), 1);
  }

  /** As a deploy does it. */
  async stop(service: ServiceProcess): Promise<void> {
    await service.child.terminate();
    this.services.splice(this.services.indexOf(service), 1);
  }

  merchant(index = 0): MerchantClient {
    const { apis } = this;
    const api = apis[index % apis.length];
    if (!api) throw new Error('no api process is running');
    return new MerchantClient(api.url, SIGN_SECRET);
  }

  async admin<T = Record<string, unknown>>(
    method: string,
    path: string,
    body?: unknown,
    via = this.apis[0],
  ): Promise<{ httpStatus: number; body: T }> {
    const response = await fetch(`${via?.url}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${ADMIN_TOKEN}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return { httpStatus: response.status, body: (await response.json()) as T };
  }

  async control<T = Record<string, unknown>>(path: string, body?: unknown): Promise<T> {
    const response = await fetch(`${this.sandbox.url}${path}`, {
      method: body === undefined ? 'GET' : 'POST',
      ...(body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
    });
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    return (await response.json()) as T;
  }

  async clearFaults(): Promise<void> {
    await fetch(`${this.sandbox.url}/control/faults`, { method: 'DELETE' });
  }

  truth(refundNo: string): Promise<GatewayTruth> {
    return this.control<GatewayTruth>(`/control/refunds/wechat_pay/${refundNo}`);
  }

  /** What the gateway says of a refund from now on. */
  async atGateway(refund: {
    refundNo: string;
    businessNo: string;
    amount: number;
    paymentAmount: number;
    status: string;
  }): Promise<void> {
    await this.control('/control/refunds', {
      channel: 'wechat_pay',
      outRefundNo: refund.refundNo,
      outTradeNo: refund.businessNo,
      amount: refund.amount,
      paymentAmount: refund.paymentAmount,
      currency: 'CNY',
      script: [{ afterMs: 0, status: refund.status }],
    });
  }

  /** Follow mode: the merchant has sent it, the gateway knows it, the service is told of it. */
  async register(refund: {
    refundNo: string;
    businessNo: string;
    amount?: number;
    paymentAmount?: number;
    status: string;
  }): Promise<KnownRefund> {
    const { refundNo, businessNo, amount = 100, paymentAmount = 1_000, status } = refund;
    await this.atGateway({ refundNo, businessNo, amount, paymentAmount, status });
    this.counter += 1;
    const { httpStatus, body } = await this.admin<{ id: string; payment: { id: string }; detail?: string }>(
      'POST',
      '/admin/refunds',
      {
        refundNo,
        channel: 'wechat_pay',
        amount,
        gatewayAccountId: this.accountOf(businessNo),
        payment: { businessNo, amount: paymentAmount },
      },
      this.apis[this.counter % this.apis.length],
    );
    if (httpStatus !== 201) throw new Error(`not registered: ${httpStatus} ${body.detail}`);
    return { id: body.id, refundNo, businessNo, paymentId: body.payment.id };
  }

  /**
   * Many at once: rows as a registration writes them, without its requests. Their next look is an hour away.
   *
   * @returns them in the order given.
   */
  async seed(payments: readonly SeededPayment[]): Promise<KnownRefund[]> {
    const now = new Date();
    const nextSyncAt = new Date(now.getTime() + HOUR_MS);
    const rows = payments.map(({ businessNo, amount = 1_000, refunds }) => {
      const taken = refunds.reduce((total, refund) => total + refund.amount, 0);
      const payment = Object.assign(new Payment(), {
        ...{ id: this.ids.next(), appId: 'default', businessNo, outTradeNo: businessNo, title: null },
        ...{ channel: 'wechat_pay', gatewayAccountId: this.accountOf(businessNo), gatewayPaymentNo: null },
        ...{ amount, currency: 'CNY', refundableBalance: amount - taken, overRefunded: 0, spentBefore: 0 },
        ...{ refundedAmount: 0, status: 'success', version: 0, createdAt: now },
      } satisfies Payment);
      return {
        payment,
        refunds: refunds.map((refund) =>
          newRefund(
            {
              ...{ id: this.ids.next(), refundNo: refund.refundNo, gatewayRequestNo: refund.refundNo },
              ...{ amount: refund.amount, source: 'registered', createdAt: now, nextSyncAt },
            },
            payment,
            now,
          ),
        ),
      };
    });
    await this.withDb((db) =>
      db.transaction(async (manager) => {
        await manager.insert(
          Payment,
          rows.map(({ payment }) => payment),
        );
        await manager.insert(
          Refund,
          rows.flatMap((row) => row.refunds),
        );
      }),
    );
    await withLimit(16, payments, async ({ businessNo, amount = 1_000, refunds }) => {
      for (const refund of refunds) await this.atGateway({ businessNo, paymentAmount: amount, ...refund });
    });
    return rows.flatMap(({ payment, refunds }) =>
      refunds.map(({ id, refundNo }) => ({ id, refundNo, businessNo: payment.businessNo, paymentId: payment.id })),
    );
  }

  /** Both refunds of a payment must have its account. */
  accountOf(businessNo: string): string {
    const { accounts = 1 } = this.options;
    const sum = [...businessNo].reduce((total, char) => total * 31 + char.charCodeAt(0), 7);
    return `wechat-${sum % accounts}`;
  }

  async sql<Row = Record<string, unknown>>(text: string, values: unknown[] = []): Promise<Row[]> {
    this.pool ??= createPool({
      uri: this.mariadb.url('refund_sync'),
      connectionLimit: 4,
      supportBigNumbers: true,
      bigNumberStrings: true,
      timezone: 'Z',
    });
    const [rows] = await this.pool.query<RowDataPacket[]>(text, values);
    return rows as Row[];
  }

  /** A connection of the caller's own, who ends it. */
  connection(): Promise<Connection> {
    return createConnection(this.mariadb.url('refund_sync'));
  }

  /** Time passes: every planned look is due. */
  async everythingIsDue(): Promise<void> {
    await this.sql('UPDATE refund SET nextSyncAt = UTC_TIMESTAMP(3) WHERE nextSyncAt IS NOT NULL');
  }

  /** I1 to I5, I7 and I8 over the whole database, the sandbox's books and every log line. */
  async assertInvariants(options: InvariantOptions = {}): Promise<void> {
    logLines.length = 0;
    for (const { child } of this.everything) logLines.push(...child.logs);
    await this.withDb((db) => {
      const view = {
        db,
        url: this.apis[0]?.url ?? '',
        dataDir: this.folder,
        database: { env: this.environment(), drop: () => Promise.resolve() },
        sandbox: { accounts: () => this.sandboxAccounts },
        merchant: this.merchant(),
        control: <T>(path: string, body?: unknown) => this.control<T>(path, body),
      };
      return assertInvariants(view, options);
    });
  }

  /** Ends everything, the services as a deploy does it. */
  async close(): Promise<void> {
    await this.pool?.end().catch(() => undefined);
    const left = this.services.filter(({ child }) => child.isRunning);
    for (const { child } of left) child.signal('SIGCONT');
    const ends = await Promise.allSettled(left.map(({ child }) => child.terminate()));
    await Promise.all([this.sandbox.child.kill(), this.mariadb.close(), this.redis.close()]);
    await rm(this.folder, { recursive: true, force: true });
    for (const end of ends) if (end.status === 'rejected') throw end.reason;
  }

  private async withDb<T>(work: (db: Db) => Promise<T>): Promise<T> {
    const databaseUrl = this.mariadb.url('refund_sync');
    const dataSource = new DataSource(dataSourceOptions({ databaseUrl, dataDir: this.folder, syncConcurrency: 1 }));
    await dataSource.initialize();
    try {
      return await work(new Db(dataSource, systemClock));
    } finally {
      await dataSource.destroy();
    }
  }

  private async putAccounts(): Promise<void> {
    const { items } = await this.control<{ items: SandboxAccount[] }>('/control/accounts');
    this.sandboxAccounts = items;
    const wechat = items.find(({ gateway }) => gateway === 'wechat');
    if (!wechat) throw new Error('the sandbox plays no WeChat');
    for (let index = 0; index < (this.options.accounts ?? 1); index += 1) {
      const { httpStatus, body } = await this.admin('PUT', `/admin/gateway-accounts/wechat-${index}`, {
        channel: wechat.channel,
        config: wechat.config,
      });
      if (httpStatus !== 200) throw new Error(`PUT account: ${httpStatus} ${JSON.stringify(body)}`);
    }
  }
}

async function startSandbox(cwd: string): Promise<{ url: string; child: Child }> {
  const main = join(inject('compiledService'), 'sandbox/main.js');
  const env = { PATH: process.env.PATH, SANDBOX_PORT: '0' };
  const child = await Child.start('sandbox', process.execPath, [main], { cwd, env, ipc: true });
  const { listening } = (await Promise.race([child.message, child.ended])) as { listening?: number };
  if (listening === undefined) throw new Error(`the sandbox did not start:\n${child.tail()}`);
  return { url: `http://127.0.0.1:${listening}`, child };
}

/** Runs everything, never more than `limit` at once. @returns the results in order. */
export async function withLimit<In, Out>(
  limit: number,
  items: readonly In[],
  work: (item: In, index: number) => Promise<Out>,
): Promise<Out[]> {
  const results = new Array<Out>(items.length);
  let next = 0;
  const lane = async (): Promise<void> => {
    for (let index = next++; index < items.length; index = next++)
      results[index] = await work(items[index] as In, index);
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, lane));
  return results;
}

/** Numbers from 0 to 1; the same seed gives the same ones. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Figures of a run, for whoever reads its output. */
export function report(title: string, figures: Record<string, unknown>): void {
  process.stdout.write(`[${title}] ${JSON.stringify(figures)}\n`);
}
