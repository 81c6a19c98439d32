import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { resealEverything } from '../src/database/reseal.js';
import { GatewayAccountService } from '../src/gateway/gateway-account.service.js';
import type { ProbeResult } from '../src/gateway/account-probe.service.js';
import { Sealer } from '../src/ledger/sealer.service.js';
import { SecretBox } from '../src/shared/secret-box.js';
import { stuckRefund } from './support/builders.js';
import { builtService } from './support/built-service.js';
import { changeAccount, CHANNEL, clearFaults, fault, wechatSettings } from './support/gateway.js';
import { logLines, SIGN_SECRET, startService, WECHAT_ACCOUNT, type TestService } from './support/service.js';
import { testDatabase, type TestDatabase } from './support/test-database.js';

const newKey = (): string => randomBytes(32).toString('base64');

describe('the test of a connection', () => {
  let service: TestService;
  beforeAll(async () => {
    service = await startService({ policy: { timeoutMs: 1_000 } });
  });
  afterAll(() => service.close());

  const test = async (id: string): Promise<ProbeResult> => {
    const { httpStatus, body } = await service.admin<ProbeResult>('POST', `/admin/gateway-accounts/${id}/test`);
    expect(httpStatus).toBe(200);
    return body;
  };

  it.each(['wechat', 'alipay', 'unionpay', 'stripe'])(
    'of %s finds it reachable, accepted and verified',
    async (gateway) => {
      const result = await test(`sandbox-${gateway}`);
      expect(result).toMatchObject({
        ...{ ok: true, reachable: true, credentialsAccepted: true, answerVerified: true, fault: null },
        latencyMs: expect.any(Number) as number,
        testedAt: expect.stringMatching(/Z$/) as string,
      });
    },
  );

  it('is audited, and neither answers nor logs a secret', async () => {
    await test(WECHAT_ACCOUNT);
    const { body } = await service.admin<{ items?: unknown }>('GET', '/admin/gateway-accounts');
    const { privateKey, apiV3Key } = wechatSettings(service) as Record<string, string>;
    const audited = await service.db.read((manager) =>
      manager.query<{ after: string }[]>(
        "SELECT actor, after FROM audit_entry WHERE action = 'gatewayAccount.test' ORDER BY id",
      ),
    );
    expect(audited.at(-1)?.after).toContain('latencyMs');
    for (const text of [JSON.stringify(body), JSON.stringify(audited), logLines.join('\n')]) {
      expect(text).not.toContain(privateKey);
      expect(text).not.toContain(apiV3Key);
    }
  });

  it.each([
    ['timeout', { reachable: false, fault: { code: 'timeout' } }],
    ['reset', { reachable: false }],
    ['http500', { reachable: true, credentialsAccepted: null, fault: { kind: 'unavailable' } }],
    ['http429', { reachable: true, fault: { kind: 'rateLimited' } }],
    [
      'badSignature',
      { answerVerified: false, fault: { code: expect.stringMatching(/unsigned|bad_signature/) as string } },
    ],
  ])('says what is wrong: %s', async (kind, expected) => {
    // An account of its own each time: the pace of a gateway that just failed would be in the way.
    const id = `probe-${kind}`;
    await service.app
      .get(GatewayAccountService)
      .put(id, { channel: CHANNEL, config: wechatSettings(service), appId: 'somebody-else' });
    await fault(service, kind, { operation: 'query' });
    const result = await test(id);
    await clearFaults(service);
    expect(result).toMatchObject({ ok: false, ...expected });
    expect(result.fault?.message).not.toBe('');
  });

  it('tells a wrong key from a gateway that is away', async () => {
    const accounts = service.app.get(GatewayAccountService);
    const put = (id: string, config: Record<string, unknown>) =>
      accounts.put(id, { channel: CHANNEL, appId: 'somebody-else', config: { ...wechatSettings(service), ...config } });
    await put('wrong-serial', { serialNo: '0123456789ABCDEF0123456789ABCDEF01234567' });
    expect(await test('wrong-serial')).toMatchObject({
      ...{ ok: false, reachable: true, credentialsAccepted: false, fault: { kind: 'badConfig' } },
    });
    await put('nobody-there', { baseUrl: 'http://127.0.0.1:9' });
    expect(await test('nobody-there')).toMatchObject({
      ...{ ok: false, reachable: false, credentialsAccepted: null, fault: { code: 'unreachable' } },
    });
  });

  it('of an account that cannot be opened says so, and the others are still listed', async () => {
    await service.db.read((manager) =>
      manager.query("UPDATE gateway_account SET sealedConfig = 'v1.00000000.AAAA.AAAA' WHERE id = 'wrong-serial'"),
    );
    const other = await startService({ beside: service });
    const { body } = await other.admin<ProbeResult>('POST', '/admin/gateway-accounts/wrong-serial/test');
    expect(body).toMatchObject({ ok: false, reachable: null, fault: { code: 'account_unusable' } });
    expect(await other.admin('GET', '/admin/gateway-accounts')).toMatchObject({ httpStatus: 200 });
    await other.close();
  });

  it('of no account is a 404', async () => {
    expect(await service.admin('POST', '/admin/gateway-accounts/nobody/test')).toMatchObject({ httpStatus: 404 });
  });
});

describe('a new master key', () => {
  const run = promisify(execFile);
  const [first, second] = [newKey(), newKey()];
  let database: TestDatabase;
  let before: TestService;
  beforeAll(async () => {
    database = await testDatabase();
    before = await startService({ database, env: { MASTER_KEY: first } });
  });
  afterAll(async () => {
    await before.close();
    await database.drop();
  });

  const restart = (env: Record<string, string>) => startService({ beside: before, env });

  /** As `npm run rotate-master-key` runs it. */
  async function rotate(env: Record<string, string>): Promise<{ code: number; out: string; error: string }> {
    const script = join(await builtService(), 'src/rotate-master-key.js');
    const environment = { ...process.env, ...database.env, DATA_DIR: before.dataDir, ...env };
    return run(process.execPath, [script], { env: environment }).then(
      ({ stdout, stderr }) => ({ code: 0, out: stdout, error: stderr }),
      ({ code, stdout, stderr }: { code: number; stdout: string; stderr: string }) => ({
        ...{ code, out: stdout, error: stderr },
      }),
    );
  }

  const keysInUse = async (): Promise<string[]> => {
    const texts: { sealed: string }[] = await before.db.read((manager) =>
      manager.query(
        'SELECT sealedConfig AS sealed FROM gateway_account UNION SELECT sealedSignSecret FROM merchant_app',
      ),
    );
    return [...new Set(texts.map(({ sealed }) => sealed.split('.')[1] ?? ''))];
  };
  const keyId = (key: string): string => new SecretBox(Buffer.from(key, 'base64')).keyId;

  it('without the old one opens nothing, and the command says so and changes nothing', async () => {
    const { code, out } = await rotate({ MASTER_KEY: second });
    expect(code).toBe(1);
    expect(out).toMatch(/gateway_account\.sealedConfig: 0 encrypted anew, 0 had key \w+, 4 could not be opened/);
    expect(out).toContain(`sealed with key ${keyId(first)}`);
    expect(out).not.toContain(first);
    expect(await keysInUse()).toEqual([keyId(first)]);
    expect((await rotate({ MASTER_KEY: second, MASTER_KEY_OLD: 'short' })).error).toMatch(
      /^MASTER_KEY_OLD must be keys/,
    );
  }, 180_000);

  it('with the old one serves as before, while the command runs and after, until the old one is gone for good', async () => {
    const { refundNo } = await stuckRefund(before, { gateway: 'success' });
    await before.merchant.syncRefund({ refundNo });
    await before.app.get(Sealer).seal();
    const both = { MASTER_KEY: second, MASTER_KEY_OLD: `${newKey()}, ${first}` };
    const during = await restart(both);
    const serves = async (service: TestService): Promise<void> => {
      const { refundNo: another, id } = await stuckRefund(service, { gateway: 'success' });
      expect(await service.merchant.syncRefund({ refundNo: another })).toMatchObject({ code: 0 });
      expect(await service.refund(id)).toMatchObject({ status: 'success' });
      const head = await service.admin<{ genuine: boolean }>('GET', '/admin/ledger/head');
      expect(head.body.genuine).toBe(true);
    };
    await serves(during);
    // What is written meanwhile is under the new key already.
    await changeAccount(during, {});

    const [{ code, out }] = await Promise.all([rotate(both), serves(during)]);

    expect(code).toBe(0);
    expect(out).toMatch(/gateway_account\.sealedConfig: 3 encrypted anew, 1 had key \w+, 0 could not be opened/);
    expect(out).toMatch(/merchant_app\.sealedSignSecret: 1 encrypted anew/);
    expect(out).toContain('ledger head: signed');
    for (const secret of [first, second, SIGN_SECRET]) expect(out).not.toContain(secret);
    expect(await keysInUse()).toEqual([keyId(second)]);
    await during.close();
    const after = await restart({ MASTER_KEY: second });
    await serves(after);
    const again = await rotate({ MASTER_KEY: second });
    expect([again.code, again.out]).toEqual([0, expect.stringMatching(/sealedConfig: 0 encrypted anew, 4 had key/)]);
    await after.close();
  }, 180_000);

  it('is met by every column that holds something sealed', async () => {
    const sealedColumns = before.db.read(async (manager) =>
      manager.connection.entityMetadatas.flatMap(({ tableName, columns }) =>
        columns
          .filter(({ propertyName }) => /seal/i.test(propertyName))
          .map((column) => `${tableName}.${column.databaseName}`),
      ),
    );
    const box = new SecretBox(Buffer.from(second, 'base64'));
    const metadatas = await before.db.read(async (manager) => manager.connection.entityMetadatas);
    const reports = await resealEverything(before.db, box, metadatas);
    const times = ['ledger_head.sealedAt'];
    expect(reports.map(({ table, column }) => `${table}.${column}`)).toEqual(
      (await sealedColumns).filter((name) => !times.includes(name)),
    );
  });

  it('goes through any number of rows, and steps over the one that cannot be opened', async () => {
    const box = new SecretBox(Buffer.from(first, 'base64'));
    const rows = Array.from({ length: 250 }, (_, index) => `many-${String(index).padStart(3, '0')}`);
    const now = '2026-01-31 08:00:00.000';
    for (const id of rows) {
      const sealed = id === 'many-120' ? box.seal('x', 'merchant_app:another') : box.seal(id, `merchant_app:${id}`);
      await before.db.read((manager) =>
        manager.query(
          'INSERT INTO merchant_app (id, name, dialect, signType, sealedSignSecret, reqTimeWindowS, enabled, createdAt, updatedAt) VALUES (?,?,?,?,?,?,?,?,?)',
          [id, id, 'daxpay-v2', 'MD5', sealed, 300, 1, now, now],
        ),
      );
    }
    const both = new SecretBox(Buffer.from(second, 'base64'), [Buffer.from(first, 'base64')]);
    const metadatas = await before.db.read(async (manager) =>
      manager.connection.entityMetadatas.filter(({ tableName }) => tableName === 'merchant_app'),
    );
    const [report] = await resealEverything(before.db, both, metadatas);
    expect(report).toMatchObject({
      resealed: 249,
      failed: [{ id: 'many-120', fault: expect.stringContaining('belongs elsewhere') as string }],
    });
  });
});
