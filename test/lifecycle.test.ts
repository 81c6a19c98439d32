import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createSandbox, type Sandbox } from '../sandbox/server.js';
import { uniqueNo } from './support/builders.js';
import { builtService } from './support/built-service.js';
import { Child, freePort } from './support/children.js';
import { CHANNEL, type Truth } from './support/gateway.js';
import { MerchantClient } from './support/merchant-client.js';

const START_MS = 30_000;
/** A deploy waits ten seconds, as a rule. */
const STOP_MS = 10_000;
const ADMIN_TOKEN = 'admin-token-of-the-lifecycle';
const SIGN_SECRET = 'sign-secret-of-the-lifecycle';

/** The built service, as a person or a supervisor starts it. */
class Running {
  private constructor(
    readonly child: Child,
    readonly url: string,
  ) {}

  static async start(main: string, env: Record<string, string>): Promise<Running> {
    const child = await launch(main, env);
    const line = await child.line((said) => said.includes('"msg":"listening"'), START_MS);
    // What a start says besides follows at once.
    await pause(50);
    return new Running(child, (JSON.parse(line) as { url: string }).url);
  }

  /** Its structured log: stdout alone. */
  get log(): string[] {
    return this.child.logs.filter((line) => line.startsWith('{'));
  }

  /** What it said to the person who started it. */
  get said(): string[] {
    return this.child.logs.filter((line) => !line.startsWith('{'));
  }

  async admin<T = Record<string, unknown>>(
    method: string,
    path: string,
    body?: unknown,
    token = ADMIN_TOKEN,
  ): Promise<{ httpStatus: number; body: T }> {
    const response = await fetch(`${this.url}${path}`, {
      method,
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return { httpStatus: response.status, body: (await response.json()) as T };
  }

  merchant(secret = SIGN_SECRET): MerchantClient {
    return new MerchantClient(this.url, secret);
  }

  async status(id: string): Promise<string> {
    return (await this.admin<{ status: string }>('GET', `/admin/refunds/${id}`)).body.status;
  }
}

async function launch(main: string, env: Record<string, string>): Promise<Child> {
  return Child.start('the service', process.execPath, ['--enable-source-maps', main], {
    cwd: tmpdir(),
    env: { PATH: process.env.PATH, PORT: '0', ...env },
  });
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

let main: string;
let sandbox: Sandbox;
let folder: string;
let children: Running[] = [];

beforeAll(async () => {
  main = join(await builtService(), 'src/main.js');
  sandbox = await createSandbox();
}, 180_000);
afterAll(() => sandbox.close());
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'refund-sync-life-'));
});
afterEach(async () => {
  for (const { child } of children) if (child.isRunning) await child.kill();
  children = [];
  await fetch(`${sandbox.url}/control/faults`, { method: 'DELETE' });
  rmSync(folder, { recursive: true, force: true });
});

/** A lease is two of these, a claim eight: what a process that was killed has held is free again soon. */
const SHORT_LEASES = { GATEWAY_TIMEOUT_MS: '1000' };

/** For a process that is started so much later than it is: what others have held is free by then. */
function later(ms: number): Record<string, string> {
  const moved = `const Real = Date;
    globalThis.Date = class extends Real {
      constructor(...given) { if (given.length === 0) super(Real.now() + ${ms}); else super(...given); }
      static now() { return Real.now() + ${ms}; }
    };`;
  return { NODE_OPTIONS: `--import data:text/javascript,${encodeURIComponent(moved)}` };
}

/** Settings under which the service uses the sandbox of this test. */
function settings(): Record<string, string> {
  return {
    DATA_DIR: join(folder, 'data'),
    SANDBOX_PORT: String(sandbox.port),
    ADMIN_TOKEN,
    SIGN_SECRET,
    SWEEP_INTERVAL_MS: '100',
  };
}

async function start(env: Record<string, string> = settings()): Promise<Running> {
  const running = await Running.start(main, env);
  children.push(running);
  return running;
}

async function control<T = Record<string, unknown>>(path: string, body?: unknown): Promise<T> {
  const response = await fetch(`${sandbox.url}/control${path}`, {
    method: body === undefined ? 'GET' : 'POST',
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  return (await response.json()) as T;
}

const truth = (no: string) => control<Truth>(`/refunds/${CHANNEL}/${no}`);

/** A refund that the gateway has finished, and of which the service has just been told. */
async function stuck(service: Running): Promise<{ id: string; refundNo: string }> {
  const refundNo = uniqueNo('R');
  const businessNo = uniqueNo('PAYMENT');
  const script = [{ afterMs: 0, status: 'success' }];
  await control('/refunds', {
    channel: CHANNEL,
    outRefundNo: refundNo,
    outTradeNo: businessNo,
    amount: 100,
    currency: 'CNY',
    script,
  });
  const registered = await service.admin<{ id: string }>('POST', '/admin/refunds', {
    refundNo,
    channel: CHANNEL,
    amount: 100,
    payment: { businessNo, amount: 1000 },
  });
  expect(registered.httpStatus).toBe(201);
  return { id: registered.body.id, refundNo };
}

async function slow(slowMs: number, operation: string, count = 1): Promise<void> {
  await control('/faults', { channel: CHANNEL, kind: 'slow', rate: 1, count, slowMs, operation });
}

/** What the service has left on the disk. */
function rows(): { id: string; status: string; leaseToken: string | null }[] {
  const database = new Database(join(settings().DATA_DIR ?? '', 'refund-sync.db'), { readonly: true });
  try {
    const found = database.prepare('SELECT id, status, leaseToken FROM refund ORDER BY id').all();
    return found as ReturnType<typeof rows>;
  } finally {
    database.close();
  }
}

describe('a first start', () => {
  it('on an empty folder makes schema, keys and first app, and shows each secret once', async () => {
    const { ADMIN_TOKEN: _token, SIGN_SECRET: _secret, ...env } = settings();
    const first = await start(env);
    const token = secretIn(first.said, /^ADMIN_TOKEN \(shown once, kept in .*\): (\S+)$/);
    const secret = secretIn(first.said, /^SIGN_SECRET of app "default" \(shown once\): (\S+)$/);
    expect(first.said).toHaveLength(2);

    expect(await (await fetch(`${first.url}/health/ready`)).json()).toMatchObject({ status: 'ready' });
    expect(await first.admin('GET', '/admin/apps', undefined, token)).toMatchObject({
      httpStatus: 200,
      body: { items: [{ id: 'default' }] },
    });
    expect(await first.admin('GET', '/admin/apps')).toMatchObject({ httpStatus: 401 });
    expect(await first.merchant(secret).syncRefund({ refundNo: 'nobody' })).toMatchObject({ code: 20041 });
    expect(await first.merchant().syncRefund({ refundNo: 'nobody' })).toMatchObject({ code: 20052 });

    const masterKey = readFileSync(join(env.DATA_DIR ?? '', 'master.key'), 'utf8').trim();
    for (const name of ['master.key', 'admin.token'])
      expect(statSync(join(env.DATA_DIR ?? '', name)).mode & 0o777).toBe(0o600);
    const database = readFileSync(join(env.DATA_DIR ?? '', 'refund-sync.db')).toString('latin1');
    for (const text of [first.log.join('\n'), database])
      for (const hidden of [token, secret, masterKey]) expect(text).not.toContain(hidden);
    expect(await first.child.terminate(STOP_MS)).toMatchObject({ code: 0 });

    const second = await start(env);
    expect(second.said).toEqual([]);
    expect(await second.admin('GET', '/admin/apps', undefined, token)).toMatchObject({ httpStatus: 200 });
    expect(await second.merchant(secret).syncRefund({ refundNo: 'nobody' })).toMatchObject({ code: 20041 });
    expect(await second.child.terminate(STOP_MS)).toMatchObject({ code: 0 });
  });

  function secretIn(lines: readonly string[], form: RegExp): string {
    const found = lines.map((line) => form.exec(line)?.[1]).find((secret) => secret !== undefined);
    if (found === undefined) throw new Error(`it did not say ${form}:\n${lines.join('\n')}`);
    expect(found.length).toBeGreaterThanOrEqual(24);
    return found;
  }
});

describe('a start that cannot succeed', () => {
  async function expectRefusal(env: Record<string, string>, line: RegExp): Promise<void> {
    const child = await launch(main, { ...settings(), ...env });
    expect(await child.ended).toEqual({ code: 1, signal: null });
    await expect.poll(() => child.logs.length).toBeGreaterThan(0);
    await pause(50);
    const said = child.logs.filter((text) => !text.startsWith('{'));
    expect(said).toEqual([expect.stringMatching(line)]);
  }

  it('says why in one line, which names the variable, and ends with code 1', async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
    const { port } = taken.address() as AddressInfo;
    const file = join(folder, 'file');
    writeFileSync(file, '');

    // At once, for each takes its time to load. The other variables: src/config/environment.spec.ts.
    await Promise.all([
      expectRefusal({ PORT: 'abc' }, /^PORT must be a whole number from 0 to 65535, not "abc" \(example: PORT=9000\)$/),
      expectRefusal(
        { DATABASE_URL: 'postgres://u:secretpw@h/d' },
        /^DATABASE_URL must be a URL that starts with mysql:\/\/ or mariadb:\/\/(?!.*secretpw)/,
      ),
      expectRefusal({ DATA_DIR: join(file, 'data') }, /^refund-sync could not start: .*ENOTDIR/),
    ]);
    expect(existsSync(join(folder, 'data/refund-sync.db'))).toBe(false);
    await expectRefusal({ PORT: String(port) }, /^refund-sync could not start: .*EADDRINUSE/);
    taken.close();
  });
});

describe('an end', () => {
  it('by SIGTERM lets syncs come to their end, those that people wait for and those of the sweep, and exits with 0', async () => {
    const service = await start();
    await slow(800, 'query', 2);
    const swept = await stuck(service);
    await expect.poll(async () => (await truth(swept.refundNo)).activeCalls, { timeout: 5_000 }).toBe(1);
    const asked = await stuck(service);
    const answer = service.merchant().syncRefund({ refundNo: asked.refundNo });
    await expect.poll(async () => (await truth(asked.refundNo)).activeCalls, { timeout: 5_000 }).toBe(1);

    const exit = await service.child.terminate(STOP_MS);

    expect(exit).toMatchObject({ code: 0, signal: null });
    expect(await answer).toMatchObject({ code: 0, data: { gatewayStatus: 'refund_success', repair: true } });
    expect(rows()).toEqual([
      { id: swept.id, status: 'success', leaseToken: null },
      { id: asked.id, status: 'success', leaseToken: null },
    ]);
    for (const { refundNo } of [swept, asked]) expect(await truth(refundNo)).toMatchObject({ queries: 1 });
  });

  it('by SIGKILL in the middle of a sync and a create loses neither, and makes no second refund', async () => {
    const quick = { ...settings(), ...SHORT_LEASES };
    const service = await start(quick);
    const businessNo = uniqueNo('PAYMENT');
    await service.admin('POST', '/admin/payments', { businessNo, channel: CHANNEL, amount: 500 });
    await control('/settings', {
      channel: CHANNEL,
      defaultScript: [{ afterMs: 0, status: 'success' }],
      autoCallback: false,
    });
    await slow(900, 'query');
    const synced = await stuck(service);
    await expect.poll(async () => (await truth(synced.refundNo)).activeCalls, { timeout: 5_000 }).toBe(1);
    await slow(900, 'create');
    const fields = { businessNo, refundAll: true, refundNo: uniqueNo('R') };
    const answer = service
      .merchant()
      .call('/unipay/refund', fields)
      .catch(() => 'no answer');
    await expect.poll(() => control('/stats'), { timeout: 5_000, interval: 5 }).toMatchObject({ creates: 1 });
    await service.child.kill();

    expect(await answer).toBe('no answer');
    const created = rows().find(({ id }) => id !== synced.id);
    expect(rows()).toEqual([
      { id: synced.id, status: 'progress', leaseToken: expect.any(String) as string },
      { id: created?.id, status: 'progress', leaseToken: expect.any(String) as string },
    ]);
    const next = await start({ ...quick, ...later(9_000) });
    for (const id of [synced.id, created?.id ?? ''])
      await expect.poll(() => next.status(id), { timeout: 20_000, interval: 100 }).toBe('success');
    expect(await next.merchant().call('/unipay/refund', fields)).toMatchObject({
      code: 0,
      data: { refundId: created?.id, status: 'success' },
    });
    expect(await truth(synced.refundNo)).toMatchObject({ queries: 2, maxConcurrentCalls: 1 });
    expect(await truth(created?.id ?? '')).toMatchObject({
      creates: 1,
      refundsAtGateway: 1,
      payment: { refunds: 1, refundedAmount: 500 },
    });
  }, 60_000);

  it.each(['SIGTERM', 'SIGKILL'] as const)('by %s takes the sandbox along that it has started', async (signal) => {
    const port = await freePort();
    const service = await start({ ...settings(), SANDBOX_PORT: String(port) });
    const health = () =>
      fetch(`http://127.0.0.1:${port}/control/health`).then(
        ({ status }) => status,
        () => 'gone',
      );
    expect(await health()).toBe(200);
    expect(service.log.some((line) => line.includes('SANDBOX: the gateways are simulated'))).toBe(true);
    service.child.signal(signal);
    await service.child.ended;
    await expect.poll(health, { timeout: 5_000 }).toBe('gone');
  });
});
