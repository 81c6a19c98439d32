import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { requestJson } from './http.js';

const SERVICE_MAIN = fileURLToPath(new URL('../src/main.js', import.meta.url));
const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 5_000;
const MAX_OUTPUT_CHARS = 20_000;
/** Of our environment the service gets these alone: a DATABASE_URL that is set must never be what a demo writes to. */
const INHERITED = ['PATH', 'HOME', 'LANG', 'TZ', 'TMPDIR', 'TEMP', 'TMP', 'SystemRoot'];
/** Loaded before the service: ends it when this process is gone, even if nobody could tell it (kill -9). */
const END_WITH_PARENT = `data:text/javascript,process.once('disconnect',()=>process.exit(1))`;

/** The service as a user starts it, with a database that is thrown away. */
export class ServiceProcess {
  url = '';
  sandboxUrl = '';
  readonly adminToken = randomBytes(24).toString('hex');
  readonly signSecret = randomBytes(16).toString('hex');
  stopping = false;
  /** Resolves with the exit code when the process is gone, whoever ended it. */
  readonly ended: Promise<number | null>;

  private resolveEnded: (code: number | null) => void = () => undefined;
  private child: ChildProcess | undefined;
  private dataDir: string | undefined;
  private written = '';

  constructor() {
    this.ended = new Promise((resolve) => (this.resolveEnded = resolve));
  }

  /** @throws Error when it does not come up, with what it said. */
  async start(): Promise<void> {
    if (!existsSync(SERVICE_MAIN)) throw new Error(`${SERVICE_MAIN} is missing: npm run build`);
    const [freePort, otherFreePort] = await freePorts();
    const port = process.env.PORT || String(freePort);
    const sandboxPort = process.env.SANDBOX_PORT || String(otherFreePort);
    this.url = `http://127.0.0.1:${port}`;
    this.sandboxUrl = `http://127.0.0.1:${sandboxPort}`;
    await this.refuseForeignSandbox();
    this.dataDir = mkdtempSync(join(tmpdir(), 'refund-sync-demo-'));
    const child = spawn(process.execPath, ['--enable-source-maps', '--import', END_WITH_PARENT, SERVICE_MAIN], {
      env: {
        ...Object.fromEntries(INHERITED.map((name) => [name, process.env[name]])),
        PORT: port,
        SANDBOX_PORT: sandboxPort,
        DATA_DIR: this.dataDir,
        ADMIN_TOKEN: this.adminToken,
        SIGN_SECRET: this.signSecret,
        LOG_LEVEL: 'warn',
        // The service would find and repair these refunds by itself within seconds; here the requests shall be seen to do it.
        SWEEP_INTERVAL_MS: '3600000',
        NOTIFY_INTERVAL_MS: '200',
      },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    this.child = child;
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.written = (this.written + text).slice(-MAX_OUTPUT_CHARS);
      });
    }
    child.once('error', (error) => (this.written += `${error.message}\n`));
    child.once('close', (code) => this.resolveEnded(code));
    await this.ready();
  }

  /** What it wrote last. */
  output(): string {
    return this.written;
  }

  /** Ends the process, by force if need be, and removes its database. Can be called at any time and more than once. */
  async stop(): Promise<void> {
    this.stopping = true;
    const { child } = this;
    if (child && child.exitCode === null && child.signalCode === null) {
      child.kill('SIGTERM');
      const force = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
      await this.ended;
      clearTimeout(force);
    }
    if (this.dataDir !== undefined) rmSync(this.dataDir, { recursive: true, force: true });
  }

  /** Ready means more than listening: the sandbox's gateway account must be there. */
  private async ready(): Promise<void> {
    let gone = false;
    void this.ended.then(() => (gone = true));
    const deadlineMs = Date.now() + START_TIMEOUT_MS;
    while (Date.now() < deadlineMs && !gone) {
      if (await this.hasGatewayAccount()) return;
      await sleep(50);
    }
    throw new Error(gone ? 'the service could not start' : `the service was not ready within ${START_TIMEOUT_MS} ms`);
  }

  private async hasGatewayAccount(): Promise<boolean> {
    try {
      const { adminToken: token, url } = this;
      const path = `${url}/admin/gateway-accounts`;
      const { body } = await requestJson<{ items?: { channel: string }[] }>('GET', path, { token });
      return body.items?.some(({ channel }) => channel === 'wechat_pay') ?? false;
    } catch {
      // Not listening yet.
      return false;
    }
  }

  /** The service uses a sandbox that it finds on the port, and the demo would change how that one behaves. */
  private async refuseForeignSandbox(): Promise<void> {
    const found = await requestJson('GET', `${this.sandboxUrl}/control/health`).catch(() => undefined);
    if (found) throw new Error(`something listens on ${this.sandboxUrl} already; the demo needs a port of its own`);
  }
}

/** Two ports that were free a moment ago. */
async function freePorts(): Promise<[number, number]> {
  const servers = [createServer(), createServer()] as const;
  const ports = await Promise.all(
    servers.map(
      (server) =>
        new Promise<number>((resolve, reject) => {
          server.once('error', reject);
          server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port));
        }),
    ),
  );
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return [ports[0] ?? 0, ports[1] ?? 0];
}
