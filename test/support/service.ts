import 'reflect-metadata';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { createSandbox, type Sandbox } from '../../sandbox/server.js';
import { loadEnvironment } from '../../src/config/environment.js';
import { createApp } from '../../src/create-app.js';
import { Db } from '../../src/database/db.js';
import { GatewayAccountService } from '../../src/gateway/gateway-account.service.js';
import { Payment } from '../../src/refund/payment.entity.js';
import { Refund } from '../../src/refund/refund.entity.js';
import { RefundQueryService, type RefundHistory } from '../../src/refund/refund-query.service.js';
import type { Clock } from '../../src/shared/clock.js';
import { Sweeper } from '../../src/sync/sweeper.js';
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
}

/** The service as it runs in production, on a database of its own, with a sandbox of its own. */
export interface TestService {
  app: NestFastifyApplication;
  url: string;
  /** Where SQLite and the generated keys are. */
  dataDir: string;
  sandbox: Sandbox;
  merchant: MerchantClient;
  db: Db;
  sweeper: Sweeper;
  syncs: SyncService;
  admin<T = Record<string, unknown>>(
    method: string,
    path: string,
    body?: unknown,
  ): Promise<{ httpStatus: number; body: T }>;
  control<T = Record<string, unknown>>(path: string, body?: unknown): Promise<T>;
  refund(id: string): Promise<Refund>;
  payment(id: string): Promise<Payment>;
  history(id: string): Promise<RefundHistory>;
  close(): Promise<void>;
}

/** Sweeping is off unless a test turns it on: it calls `sweeper.sweep()` when it means to. */
const NEVER_MS = '3600000';

export async function startService(options: StartOptions = {}): Promise<TestService> {
  const dataDir = mkdtempSync(join(tmpdir(), 'refund-sync-test-'));
  const database = options.database ?? (await testDatabase());
  const sandbox = options.sandbox ?? (await createSandbox());
  const { config } = loadEnvironment({
    DATA_DIR: dataDir,
    PORT: '0',
    HOST: '127.0.0.1',
    ADMIN_TOKEN,
    SIGN_SECRET,
    SWEEP_INTERVAL_MS: NEVER_MS,
    LOG_LEVEL: 'silent',
    ...database.env,
    ...options.env,
  });
  const { app } = await createApp(config, false, options.clock);
  await app.listen(0, '127.0.0.1');
  const url = await app.getUrl();
  const accounts = app.get(GatewayAccountService);
  for (const { channel, gateway, config: settings } of sandbox.accounts()) {
    const id = `sandbox-${gateway}`;
    await accounts.put(id, {
      channel,
      sandbox: true,
      config: { ...settings, notifyUrl: `${url}/callback/${gateway}/${id}` },
    });
  }
  const db = app.get(Db);
  const refunds = app.get(RefundQueryService);
  return {
    app,
    url,
    dataDir,
    sandbox,
    merchant: new MerchantClient(url, SIGN_SECRET),
    db,
    sweeper: app.get(Sweeper),
    syncs: app.get(SyncService),
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
    close: async () => {
      await app.close();
      if (!options.sandbox) await sandbox.close();
      if (!options.database) await database.drop();
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
}
