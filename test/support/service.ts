import 'reflect-metadata';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { expect } from 'vitest';
import { createSandbox, type Sandbox } from '../../sandbox/server.js';
import { CallbackProcessor } from '../../src/callback/callback.processor.js';
import { loadEnvironment } from '../../src/config/environment.js';
import { createApp } from '../../src/create-app.js';
import { Db } from '../../src/database/db.js';
import { GatewayAccountService } from '../../src/gateway/gateway-account.service.js';
import type { GatewayPolicy, RefundGateway } from '../../src/gateway/gateway.port.js';
import { GatewayRegistry } from '../../src/gateway/gateway.registry.js';
import { JsonLogger } from '../../src/observability/json-logger.js';
import { Payment } from '../../src/refund/payment.entity.js';
import { Refund } from '../../src/refund/refund.entity.js';
import { RefundQueryService, type RefundHistory } from '../../src/refund/refund-query.service.js';
import type { Clock } from '../../src/shared/clock.js';
import { Sweeper } from '../../src/sync/sweeper.js';
import { SYNC_QUEUE, type SyncQueue } from '../../src/sync/sync-queue.port.js';
import { SyncService } from '../../src/sync/sync.service.js';
import { MerchantClient } from './merchant-client.js';
import { testDatabase, type TestDatabase } from './test-database.js';

export const SIGN_SECRET = '123456';
export const ADMIN_TOKEN = 'admin-token-of-the-tests';
export const WECHAT_ACCOUNT = 'sandbox-wechat';

export interface StartOptions {
  clock?: Clock;
  /** Over the defaults of the tests. */
  env?: Record<string, string>;
  /** Share one sandbox between services; else each has its own. */
  sandbox?: Sandbox;
  /** Share one database; whoever made it drops it. */
  database?: TestDatabase;
  /** One more instance of this service, running or stopped: its database, keys and sandbox, which that one cleans up. */
  beside?: TestService;
  /** Over what the connectors declare: their time-out of ten seconds would be ten seconds of waiting. */
  policy?: Partial<GatewayPolicy>;
}

/** The service as it runs in production, on a database of its own, with a sandbox of its own. */
export interface TestService {
  app: NestFastifyApplication;
  url: string;
  /** Where SQLite and the generated keys are. */
  dataDir: string;
  database: TestDatabase;
  sandbox: Sandbox;
  merchant: MerchantClient;
  db: Db;
  sweeper: Sweeper;
  syncs: SyncService;
  queue: SyncQueue;
  callbacks: CallbackProcessor;
  admin<T = Record<string, unknown>>(
    method: string,
    path: string,
    body?: unknown,
  ): Promise<{ httpStatus: number; body: T }>;
  control<T = Record<string, unknown>>(path: string, body?: unknown): Promise<T>;
  refund(id: string): Promise<Refund>;
  payment(id: string): Promise<Payment>;
  history(id: string): Promise<RefundHistory>;
  /** Resolves when no callback is being worked on, and nothing waits or runs in the in-process queue. */
  idle(): Promise<void>;
  /** As a deploy does it: ends, and leaves database and sandbox to the next instance. */
  stop(): Promise<void>;
  /** Ends and cleans up. */
  close(): Promise<void>;
}

/** What the services of this test file have logged, at every level: Nest has one logger for all of them. */
export const logLines: string[] = [];

const logSink = new Writable({
  write(chunk: Buffer, _encoding, done) {
    logLines.push(chunk.toString('utf8'));
    done();
  },
});

/** Sweeping and sealing are off unless a test turns them on: it calls `sweeper.sweep()` when it means to. */
const NEVER_MS = '3600000';

export async function startService(options: StartOptions = {}): Promise<TestService> {
  const { beside } = options;
  const dataDir = beside?.dataDir ?? mkdtempSync(join(tmpdir(), 'refund-sync-test-'));
  const database = beside?.database ?? options.database ?? (await testDatabase());
  const sandbox = beside?.sandbox ?? options.sandbox ?? (await createSandbox());
  const { config } = loadEnvironment({
    DATA_DIR: dataDir,
    PORT: '0',
    HOST: '127.0.0.1',
    ADMIN_TOKEN,
    SIGN_SECRET,
    SWEEP_INTERVAL_MS: NEVER_MS,
    LEDGER_SEAL_INTERVAL_MS: NEVER_MS,
    NOTIFY_INTERVAL_MS: NEVER_MS,
    NOTIFY_ALLOW: '127.0.0.0/8',
    LOG_LEVEL: 'silent',
    ...database.env,
    ...options.env,
  });
  const { app } = await createApp(config, new JsonLogger('trace', logSink), { clock: options.clock });
  if (options.policy) overridePolicies(app.get(GatewayRegistry), options.policy);
  await app.listen(0, '127.0.0.1');
  const url = await app.getUrl();
  const accounts = app.get(GatewayAccountService);
  for (const { channel, gateway, config: settings, webhook } of beside ? [] : sandbox.accounts()) {
    const id = `sandbox-${gateway}`;
    const notifyUrl = `${url}/callback/${gateway}/${id}`;
    await accounts.put(id, {
      channel,
      sandbox: true,
      config: webhook ? settings : { ...settings, notifyUrl },
    });
    if (webhook) {
      const body = JSON.stringify({ channel, webhookUrl: notifyUrl });
      await fetch(`${sandbox.url}/control/settings`, { method: 'POST', body });
    }
  }
  const db = app.get(Db);
  const refunds = app.get(RefundQueryService);
  const queue = app.get<SyncQueue>(SYNC_QUEUE);
  const emptyQueueRoom = await queue.room();
  const callbacks = watch(app.get(CallbackProcessor));
  let stopped: Promise<void> | undefined;
  const stop = (): Promise<void> => (stopped ??= app.close());
  return {
    app,
    url,
    dataDir,
    database,
    sandbox,
    merchant: new MerchantClient(url, options.env?.SIGN_SECRET ?? SIGN_SECRET),
    db,
    sweeper: app.get(Sweeper),
    syncs: app.get(SyncService),
    queue,
    callbacks,
    admin: async <T>(method: string, path: string, body?: unknown) => {
      const response = await fetch(`${url}${path}`, {
        method,
        headers: {
          authorization: `Bearer ${ADMIN_TOKEN}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      });
      return { httpStatus: response.status, body: (await response.json()) as T };
    },
    control: async <T>(path: string, body?: unknown) => {
      const response = await fetch(`${sandbox.url}${path}`, {
        method: body === undefined ? 'GET' : 'POST',
        ...(body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
      });
      if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
      return (await response.json()) as T;
    },
    refund: (id) => db.read((manager) => manager.findOneByOrFail(Refund, { id })),
    payment: (id) => db.read((manager) => manager.findOneByOrFail(Payment, { id })),
    history: (id) => refunds.history(id),
    idle: () =>
      expect
        .poll(async () => [callbacks.inHand, await queue.room()], { timeout: 20_000, interval: 5 })
        .toEqual([0, emptyQueueRoom]),
    stop,
    close: async () => {
      await stop();
      if (beside) return;
      if (!options.sandbox) await sandbox.close();
      if (!options.database) await database.drop();
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
}

/** Counts the callbacks that are being worked on: their gateway has its answer already. */
function watch(processor: CallbackProcessor): CallbackProcessor & { inHand: number } {
  const original = processor.process.bind(processor);
  const watched = Object.assign(processor, { inHand: 0 });
  watched.process = async (record) => {
    watched.inHand += 1;
    try {
      await original(record);
    } finally {
      watched.inHand -= 1;
    }
  };
  return watched;
}

/** For this one instance; the connectors themselves, which others share, stay as they are. */
function overridePolicies(registry: GatewayRegistry, policy: Partial<GatewayPolicy>): void {
  const overridden = new Map<RefundGateway, RefundGateway>();
  const override = (gateway: RefundGateway | undefined): RefundGateway | undefined => {
    if (!gateway || [...overridden.values()].includes(gateway)) return gateway;
    const own = overridden.get(gateway) ?? { ...gateway, policy: { ...gateway.policy, ...policy } };
    overridden.set(gateway, own);
    return own;
  };
  const forChannel = registry.forChannel.bind(registry);
  const forAccount = registry.forAccount.bind(registry);
  registry.forChannel = (channel) => override(forChannel(channel));
  registry.forAccount = (channel, settings) => override(forAccount(channel, settings));
}
