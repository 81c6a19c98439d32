import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { DAY_MS } from '../shared/clock.js';
import { durationMs } from '../shared/duration.js';
import { NOTHING_ALLOWED, parseAllowList, type AllowList } from '../shared/outbound/allow-list.js';
import {
  isLoopbackHost,
  LOG_LEVELS,
  MAX_GATEWAY_TIMEOUT_MS,
  ROLES,
  type AppConfig,
  type Role,
  type StuckAfter,
} from './app-config.js';

/** A variable that stops the start. The message is one line: variable, fault, example. */
export class EnvironmentError extends Error {
  override readonly name = 'EnvironmentError';
  constructor(variable: string, fault: string, example: string) {
    super(`${variable} ${fault} (example: ${variable}=${example})`);
  }
}

/** What this start made up by itself and the operator must learn once. */
export interface GeneratedSecrets {
  adminToken?: string;
}

type Environment = Record<string, string | undefined>;

/** A lease outlasts the longest call by as much again, for what comes before it and for the transaction after it. */
const LEASE_PER_TIMEOUT = 2;
/** A job whose worker died is run again after a lease or two; only then is it worth adding once more. */
const CLAIM_PER_LEASE = 4;
const MASTER_KEY_FILE = 'master.key';

/**
 * Reads and checks the environment. With neither DATABASE_URL nor MASTER_KEY set, secrets are generated into DATA_DIR (mode 0600), so
 * that a fresh machine needs no configuration.
 *
 * @throws EnvironmentError for the first bad variable.
 */
export function loadEnvironment(env: Environment): { config: AppConfig; generated: GeneratedSecrets } {
  const production = env.NODE_ENV === 'production';
  const databaseUrl = readDatabaseUrl(env);
  const redisUrl = url(env, 'REDIS_URL', ['redis:', 'rediss:'], 'redis://127.0.0.1:6379/0');
  const dataDir = readDataDir(env);
  const port = integer(env, 'PORT', { fallback: 9000, min: 0, max: 65_535 });
  const embedded = databaseUrl === undefined;
  const generated: GeneratedSecrets = {};
  const masterKey = readMasterKey(env, embedded, dataDir);
  const adminToken = readAdminToken(env, embedded, dataDir, generated);
  const gatewayTimeoutMs = integer(env, 'GATEWAY_TIMEOUT_MS', {
    fallback: MAX_GATEWAY_TIMEOUT_MS,
    min: 1_000,
    max: MAX_GATEWAY_TIMEOUT_MS,
  });
  const leaseMs = LEASE_PER_TIMEOUT * gatewayTimeoutMs;
  const host = text(env, 'HOST') ?? (embedded ? '127.0.0.1' : '0.0.0.0');
  const config: AppConfig = {
    production,
    port,
    host,
    dataDir,
    databaseUrl,
    redisUrl,
    redisPrefix: redisPrefix(env),
    role: role(env, redisUrl),
    masterKey,
    masterKeysOld: readOldMasterKeys(env),
    adminToken,
    firstApp: {
      signSecret: minLength(env, 'SIGN_SECRET', 6, 'a-long-random-text'),
      signType: oneOf(env, 'SIGN_TYPE', ['MD5', 'HMAC_SHA256'] as const, 'MD5'),
      signRequired: boolean(env, 'SIGN_REQUIRED', true),
      reqTimeWindowS: integer(env, 'REQ_TIME_WINDOW_S', { fallback: 300, min: 0, max: 86_400 }),
    },
    syncWaitMs: integer(env, 'SYNC_WAIT_MS', { fallback: 10_000, min: 100, max: 25_000 }),
    syncConcurrency: integer(env, 'SYNC_CONCURRENCY', { fallback: 32, min: 1, max: 1_000 }),
    syncGiveUpMs: duration(env, 'SYNC_GIVE_UP', '30d') ?? 30 * DAY_MS,
    reviewFourEyes: boolean(env, 'REVIEW_FOUR_EYES', false),
    reviewProposalTtlMs: duration(env, 'REVIEW_PROPOSAL_TTL', '24h') ?? DAY_MS,
    stuckAfter: stuckAfter(env),
    sweepIntervalMs: integer(env, 'SWEEP_INTERVAL_MS', { fallback: 5_000, min: 50, max: 3_600_000 }),
    gatewayTimeoutMs,
    leaseMs,
    claimMs: CLAIM_PER_LEASE * leaseMs,
    notFoundGraceMs: duration(env, 'NOT_FOUND_GRACE', '24h'),
    notifyAllow: notifyAllow(env, embedded && !production && isLoopbackHost(host)),
    notifyIntervalMs: integer(env, 'NOTIFY_INTERVAL_MS', { fallback: 1_000, min: 50, max: 3_600_000 }),
    notifyConcurrency: integer(env, 'NOTIFY_CONCURRENCY', { fallback: 128, min: 1, max: 1_000 }),
    notifyPauseAfterMs: duration(env, 'NOTIFY_PAUSE_AFTER', '5d') ?? 5 * DAY_MS,
    sandboxPort: sandboxPort(env, embedded && !production),
    ledgerSealIntervalMs: integer(env, 'LEDGER_SEAL_INTERVAL_MS', { fallback: 2_000, min: 50, max: 3_600_000 }),
    metricsToken: minLength(env, 'METRICS_TOKEN', 16, '$(openssl rand -hex 24)'),
    otel: otel(env),
    logLevel: oneOf(env, 'LOG_LEVEL', LOG_LEVELS, 'info'),
  };
  return { config, generated };
}

/** Where the database is, for tools that read it: nothing is made, nothing is asked for that they do not need. */
export function loadDatabaseEnvironment(env: Environment): {
  databaseUrl: string | undefined;
  dataDir: string;
  /** Absent where there is neither a variable nor a file. */
  masterKey: Buffer | undefined;
  masterKeysOld: readonly Buffer[];
} {
  const databaseUrl = readDatabaseUrl(env);
  const dataDir = readDataDir(env);
  const hasFile = databaseUrl === undefined && existsSync(join(dataDir, MASTER_KEY_FILE));
  const hasKey = text(env, 'MASTER_KEY') !== undefined || hasFile;
  return {
    databaseUrl,
    dataDir,
    masterKey: hasKey ? readMasterKey(env, true, dataDir) : undefined,
    masterKeysOld: readOldMasterKeys(env),
  };
}

function readDatabaseUrl(env: Environment): string | undefined {
  return url(env, 'DATABASE_URL', ['mysql:', 'mariadb:'], 'mysql://user:password@127.0.0.1:3306/refund_sync');
}

function readDataDir(env: Environment): string {
  return resolve(text(env, 'DATA_DIR') ?? './data');
}

/** An empty text counts as absent: `.env.example` lists variables with nothing behind the equals sign. */
function text(env: Environment, name: string): string | undefined {
  const value = env[name]?.trim();
  return value === '' ? undefined : value;
}

function minLength(env: Environment, name: string, min: number, example: string): string | undefined {
  const value = text(env, name);
  if (value !== undefined && value.length < min)
    throw new EnvironmentError(name, `must have at least ${min} characters`, example);
  return value;
}

function integer(env: Environment, name: string, range: { fallback: number; min: number; max: number }): number {
  const value = text(env, name);
  if (value === undefined) return range.fallback;
  const number = /^\d{1,10}$/.test(value) ? Number(value) : NaN;
  if (!(number >= range.min && number <= range.max)) {
    throw new EnvironmentError(
      name,
      `must be a whole number from ${range.min} to ${range.max}, not "${value}"`,
      String(range.fallback),
    );
  }
  return number;
}

function boolean(env: Environment, name: string, fallback: boolean): boolean {
  const value = text(env, name);
  if (value === undefined) return fallback;
  if (value !== 'true' && value !== 'false')
    throw new EnvironmentError(name, `must be true or false, not "${value}"`, String(fallback));
  return value === 'true';
}

function oneOf<const T extends string>(env: Environment, name: string, allowed: readonly T[], fallback: T): T {
  const value = text(env, name);
  if (value === undefined) return fallback;
  const found = allowed.find((entry) => entry === value);
  if (found === undefined)
    throw new EnvironmentError(name, `must be one of ${allowed.join(', ')}, not "${value}"`, fallback);
  return found;
}

function duration(env: Environment, name: string, example: string): number | undefined {
  const value = text(env, name);
  if (value === undefined) return undefined;
  const ms = durationMs(value);
  if (ms === undefined) throw new EnvironmentError(name, `must be a number with s, m, h or d, not "${value}"`, example);
  return ms;
}

/** `3d`, or `3d,stripe=10d`: for all channels, and for some. */
function stuckAfter(env: Environment): StuckAfter {
  const parts = (text(env, 'STUCK_AFTER') ?? '').split(',').filter((part) => part !== '');
  const found: { default: number | undefined; byChannel: Record<string, number> } = {
    default: undefined,
    byChannel: {},
  };
  for (const part of parts) {
    const match = /^(?:([a-z][a-z_]{1,19})=)?(\d{1,6}[smhd])$/.exec(part.trim());
    const ms = match?.[2] === undefined ? undefined : durationMs(match[2]);
    if (ms === undefined) {
      const fault = `must be durations with s, m, h or d, each alone or after a channel and =, not "${part.slice(0, 64)}"`;
      throw new EnvironmentError('STUCK_AFTER', fault, '3d,stripe=10d');
    }
    if (match?.[1] === undefined) found.default = ms;
    else found.byChannel[match[1]] = ms;
  }
  return found;
}

/** The value is never repeated in the fault: it holds a password. */
function url(env: Environment, name: string, protocols: readonly string[], example: string): string | undefined {
  const value = text(env, name);
  if (value === undefined) return undefined;
  if (!URL.canParse(value) || !protocols.includes(new URL(value).protocol)) {
    throw new EnvironmentError(
      name,
      `must be a URL that starts with ${protocols.map((protocol) => `${protocol}//`).join(' or ')}`,
      example,
    );
  }
  return value;
}

/** Named and read as OpenTelemetry says; its other variables (headers, sampler) are read by its library. */
function otel(env: Environment): AppConfig['otel'] {
  const http = ['http:', 'https:'];
  const base = url(env, 'OTEL_EXPORTER_OTLP_ENDPOINT', http, 'http://127.0.0.1:4318');
  const traces = url(env, 'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT', http, 'http://127.0.0.1:4318/v1/traces');
  const tracesUrl = traces ?? (base === undefined ? undefined : `${base.replace(/\/+$/, '')}/v1/traces`);
  if (tracesUrl === undefined || text(env, 'OTEL_SDK_DISABLED') === 'true') return undefined;
  return { tracesUrl, serviceName: text(env, 'OTEL_SERVICE_NAME') ?? 'refund-sync' };
}

function redisPrefix(env: Environment): string {
  const value = text(env, 'REDIS_PREFIX') ?? 'refund-sync';
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(value))
    throw new EnvironmentError('REDIS_PREFIX', 'must be 1 to 64 letters, digits, - and _', 'refund-sync');
  return value;
}

/**
 * A service that nobody outside of this machine reaches, and that moves no real money, may notify receivers on this machine by
 * default: that is how it is tried out.
 */
function notifyAllow(env: Environment, loopbackByDefault: boolean): AllowList {
  const value = text(env, 'NOTIFY_ALLOW') ?? (loopbackByDefault ? '127.0.0.0/8,::1' : 'none');
  if (value === 'none') return NOTHING_ALLOWED;
  const list = parseAllowList(value);
  if ('badEntry' in list)
    throw new EnvironmentError(
      'NOTIFY_ALLOW',
      `must be none, or networks, addresses and host names separated by commas, not "${list.badEntry}"`,
      '10.1.0.0/16,hooks.internal',
    );
  return list;
}

/** The in-process queue reaches one process: splitting roles without Redis would leave the workers without work. */
function role(env: Environment, redisUrl: string | undefined): Role {
  const value = oneOf(env, 'ROLE', ROLES, 'all');
  if (value !== 'all' && redisUrl === undefined)
    throw new EnvironmentError('ROLE', `must be all unless REDIS_URL is set, not "${value}"`, 'all');
  return value;
}

function sandboxPort(env: Environment, byDefault: boolean): number | undefined {
  if (text(env, 'SANDBOX_PORT') === undefined) return byDefault ? 9100 : undefined;
  if (env.NODE_ENV === 'production') {
    throw new EnvironmentError(
      'SANDBOX_PORT',
      'must not be set when NODE_ENV=production: the sandbox moves no money',
      '',
    );
  }
  return integer(env, 'SANDBOX_PORT', { fallback: 9100, min: 1, max: 65_535 });
}

function readMasterKey(env: Environment, embedded: boolean, dataDir: string): Buffer {
  const example = '$(head -c 32 /dev/urandom | base64)';
  const value = text(env, 'MASTER_KEY');
  if (value !== undefined) {
    const key = Buffer.from(value, 'base64');
    if (key.length !== 32)
      throw new EnvironmentError('MASTER_KEY', `must be 32 bytes in base64, not ${key.length}`, example);
    return key;
  }
  if (!embedded)
    throw new EnvironmentError('MASTER_KEY', 'is required with DATABASE_URL: it encrypts secrets at rest', example);
  const { content } = keepSecretFile(dataDir, MASTER_KEY_FILE, () => randomBytes(32).toString('base64'));
  const key = Buffer.from(content, 'base64');
  if (key.length !== 32)
    throw new EnvironmentError(
      'MASTER_KEY',
      `is absent and ${join(dataDir, MASTER_KEY_FILE)} does not hold 32 bytes`,
      example,
    );
  return key;
}

/** The value is never repeated in the fault. */
function readOldMasterKeys(env: Environment): Buffer[] {
  const texts = text(env, 'MASTER_KEY_OLD')?.split(',') ?? [];
  return texts.map((one, index) => {
    const key = Buffer.from(one.trim(), 'base64');
    if (key.length !== 32) {
      const which = texts.length === 1 ? '' : `: key ${index + 1} has ${key.length} bytes`;
      throw new EnvironmentError(
        'MASTER_KEY_OLD',
        `must be keys of 32 bytes in base64, with commas between them${which}`,
        '<the key that MASTER_KEY was before>',
      );
    }
    return key;
  });
}

function readAdminToken(
  env: Environment,
  embedded: boolean,
  dataDir: string,
  generated: GeneratedSecrets,
): string | undefined {
  const value = minLength(env, 'ADMIN_TOKEN', 16, '$(openssl rand -hex 24)');
  if (value !== undefined || !embedded) return value;
  const { content, isNew } = keepSecretFile(dataDir, 'admin.token', () => randomBytes(24).toString('base64url'));
  if (isNew) generated.adminToken = content;
  return content;
}

function keepSecretFile(dataDir: string, name: string, make: () => string): { content: string; isNew: boolean } {
  mkdirSync(dataDir, { recursive: true });
  const path = join(dataDir, name);
  if (existsSync(path)) return { content: readFileSync(path, 'utf8').trim(), isNew: false };
  const content = make();
  writeFileSync(path, `${content}\n`, { mode: 0o600 });
  chmodSync(path, 0o600);
  return { content, isNew: true };
}
