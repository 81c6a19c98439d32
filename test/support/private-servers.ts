import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { Redis } from 'ioredis';
import { createConnection } from 'mysql2/promise';
import { Child, freePort, reaper, until } from './children.js';

/**
 * A MariaDB and a Redis of a test's own, from the binaries that are installed: to be killed, paused and started again without
 * harming anybody else's.
 */

const START_TIMEOUT_MS = 30_000;
const LOG_FILE_SIZE = '--innodb-log-file-size=16M';

/** Debian keeps servers where only root's PATH looks. */
function binary(name: string): string | undefined {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin'];
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
}

const BINARIES = ['mariadbd', 'mariadb-install-db', 'redis-server'] as const;

/** In CI (REQUIRE_SERVICES=1) a missing binary is a failure, not a reason to skip. */
export function hasServerBinaries(): boolean {
  const missing = BINARIES.filter((name) => binary(name) === undefined);
  if (missing.length === 0) return true;
  if (process.env.REQUIRE_SERVICES === '1') throw new Error(`${missing.join(', ')} is required and not installed`);
  process.stderr.write(`\nSKIPPED: ${missing.join(', ')} is not installed; tests with private servers do not run\n`);
  return false;
}

function pathOf(name: (typeof BINARIES)[number]): string {
  const path = binary(name);
  if (path === undefined) throw new Error(`${name} is not installed`);
  return path;
}

/** MariaDB refuses to run as root unless it is told to. */
function asRoot(): string[] {
  return process.getuid?.() === 0 ? ['--user=root'] : [];
}

/** An empty data folder, to be copied: it takes seconds to make, and a moment to copy. */
export async function makeMariadbTemplate(): Promise<string> {
  const folder = await newFolder('mariadb-template');
  await promisify(execFile)(
    pathOf('mariadb-install-db'),
    [
      '--no-defaults',
      ...asRoot(),
      `--datadir=${folder}`,
      '--auth-root-authentication-method=normal',
      '--skip-test-db',
      LOG_FILE_SIZE,
    ],
    { timeout: 60_000 },
  );
  return folder;
}

async function newFolder(name: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), `refund-sync-${name}-`));
  reaper.rememberFolder(folder);
  return folder;
}

export class PrivateMariadb {
  private child: Child | undefined;

  private constructor(
    private readonly folder: string,
    readonly port: number,
  ) {}

  /** @param template from `makeMariadbTemplate()`. */
  static async start(template: string): Promise<PrivateMariadb> {
    const folder = await newFolder('mariadb');
    await cp(template, folder, { recursive: true });
    const server = new PrivateMariadb(folder, await freePort());
    await server.start();
    const connection = await createConnection(server.url());
    await connection.query('CREATE DATABASE refund_sync CHARACTER SET utf8mb4 COLLATE utf8mb4_bin');
    await connection.end();
    return server;
  }

  /** With the database of the service, or of the server alone. */
  url(database = ''): string {
    return `mysql://root@127.0.0.1:${this.port}/${database}`;
  }

  /** As in production: every commit is on the disk before it is answered. */
  async start(): Promise<void> {
    this.child = await Child.start('mariadbd', pathOf('mariadbd'), [
      '--no-defaults',
      ...asRoot(),
      `--datadir=${this.folder}`,
      `--port=${this.port}`,
      '--bind-address=127.0.0.1',
      `--socket=${join(this.folder, 's')}`,
      `--pid-file=${join(this.folder, 'pid')}`,
      '--skip-name-resolve',
      '--max-connections=300',
      '--innodb-buffer-pool-size=64M',
      LOG_FILE_SIZE,
      '--innodb-flush-log-at-trx-commit=1',
      '--performance-schema=OFF',
    ]);
    const child = this.child;
    await until(
      'MariaDB answers',
      async () => {
        if (!child.isRunning) throw new Error(`mariadbd ended:\n${child.tail()}`);
        try {
          const connection = await createConnection({ uri: this.url(), connectTimeout: 1_000 });
          await connection.end();
          return true;
        } catch {
          return false;
        }
      },
      { withinMs: START_TIMEOUT_MS, everyMs: 100 },
    );
  }

  async kill(): Promise<void> {
    await this.child?.kill();
  }

  pause(): void {
    this.child?.signal('SIGSTOP');
  }

  resume(): void {
    this.child?.signal('SIGCONT');
  }

  async close(): Promise<void> {
    await this.kill();
    await rm(this.folder, { recursive: true, force: true });
  }
}

export class PrivateRedis {
  private child: Child | undefined;

  private constructor(
    private readonly folder: string,
    readonly port: number,
  ) {}

  static async start(): Promise<PrivateRedis> {
    const server = new PrivateRedis(await newFolder('redis'), await freePort());
    await server.start();
    return server;
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}/0`;
  }

  /** Keeps nothing on the disk: started again, it is empty. */
  async start(): Promise<void> {
    const child = await Child.start('redis-server', pathOf('redis-server'), [
      ...['--port', String(this.port), '--bind', '127.0.0.1', '--dir', this.folder],
      ...['--save', '', '--appendonly', 'no'],
    ]);
    this.child = child;
    await until(
      'Redis answers',
      async () => {
        if (!child.isRunning) throw new Error(`redis-server ended:\n${child.tail()}`);
        return this.command('PING').catch(() => false as const);
      },
      { withinMs: START_TIMEOUT_MS, everyMs: 50 },
    );
  }

  /** One command over a connection of its own. */
  async command(name: string, ...args: string[]): Promise<unknown> {
    const redis = new Redis(this.url, { lazyConnect: true, retryStrategy: () => null, maxRetriesPerRequest: 0 });
    redis.on('error', () => undefined);
    try {
      await redis.connect();
      return await redis.call(name, ...args);
    } finally {
      redis.disconnect();
    }
  }

  async kill(): Promise<void> {
    await this.child?.kill();
  }

  pause(): void {
    this.child?.signal('SIGSTOP');
  }

  resume(): void {
    this.child?.signal('SIGCONT');
  }

  async close(): Promise<void> {
    await this.kill();
    await rm(this.folder, { recursive: true, force: true });
  }
}
