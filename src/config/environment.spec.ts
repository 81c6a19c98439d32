import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadEnvironment } from './environment.js';

describe('loadEnvironment', () => {
  let dataDir: string;
  beforeEach(() => {
    dataDir = mkdtempSync(join(tmpdir(), 'refund-sync-env-'));
  });
  afterEach(() => rmSync(dataDir, { recursive: true, force: true }));
  const load = (env: Record<string, string>) => loadEnvironment({ DATA_DIR: dataDir, ...env });

  it('needs nothing on a fresh machine, and keeps what it generated', () => {
    const first = load({});
    expect(first.config).toMatchObject({
      port: 9000,
      host: '127.0.0.1',
      role: 'all',
      syncWaitMs: 10_000,
      sandboxPort: 9100,
    });
    expect(first.generated.adminToken).toHaveLength(32);
    expect(statSync(join(dataDir, 'master.key')).mode & 0o777).toBe(0o600);
    const second = load({});
    expect(second.config.masterKey.equals(first.config.masterKey)).toBe(true);
    expect(second.config.adminToken).toBe(first.generated.adminToken);
    expect(second.generated).toEqual({});
  });

  it.each([
    [{ PORT: 'abc' }, 'PORT must be a whole number from 0 to 65535, not "abc" (example: PORT=9000)'],
    [{ PORT: '70000' }, 'PORT must be a whole number'],
    [{ ROLE: 'boss' }, 'ROLE must be one of all, api, worker, not "boss"'],
    [{ SIGN_TYPE: 'SHA1' }, 'SIGN_TYPE must be one of MD5, HMAC_SHA256'],
    [{ SIGN_REQUIRED: 'yes' }, 'SIGN_REQUIRED must be true or false'],
    [{ SIGN_SECRET: '1' }, 'SIGN_SECRET must have at least 6 characters'],
    [{ MASTER_KEY: 'short' }, 'MASTER_KEY must be 32 bytes in base64'],
    [{ MASTER_KEY_OLD: `${'A'.repeat(43)}=,short` }, 'MASTER_KEY_OLD must be keys of 32 bytes in base64'],
    [
      { DATABASE_URL: 'postgres://x:secretpw@y/z' },
      'DATABASE_URL must be a URL that starts with mysql:// or mariadb://',
    ],
    [{ DATABASE_URL: 'mysql://a:b@c/d' }, 'MASTER_KEY is required with DATABASE_URL'],
    [{ REVIEW_FOUR_EYES: 'yes' }, 'REVIEW_FOUR_EYES must be true or false'],
    [{ REVIEW_PROPOSAL_TTL: '0h' }, 'REVIEW_PROPOSAL_TTL must be a number with s, m, h or d'],
    [{ STUCK_AFTER: '3d,stripe=soon' }, 'STUCK_AFTER must be durations with s, m, h or d'],
    [{ NOT_FOUND_GRACE: '24' }, 'NOT_FOUND_GRACE must be a number with s, m, h or d'],
    [{ NOTIFY_ALLOW: '10.0.0.0/8,not a host' }, 'NOTIFY_ALLOW must be none, or networks, addresses and host names'],
    [{ NOTIFY_PAUSE_AFTER: '5' }, 'NOTIFY_PAUSE_AFTER must be a number with s, m, h or d'],
    [{ NODE_ENV: 'production', SANDBOX_PORT: '9100' }, 'SANDBOX_PORT must not be set when NODE_ENV=production'],
  ])('%j stops the start with one line', (env, line) => {
    let message = '';
    try {
      load(env);
    } catch (error) {
      message = (error as Error).message;
    }
    expect(message).toContain(line);
    expect(message).not.toContain('\n');
    expect(message).not.toContain('secretpw');
  });

  it('reads norms for all channels and for some', () => {
    expect(load({}).config.stuckAfter).toEqual({ default: undefined, byChannel: {} });
    expect(load({ STUCK_AFTER: '3d, stripe=10d,wechat_pay=36h' }).config.stuckAfter).toEqual({
      default: 259_200_000,
      byChannel: { stripe: 864_000_000, wechat_pay: 129_600_000 },
    });
  });

  it('lets notifications reach this machine only where nobody else reaches the service and no real money moves', () => {
    const networks = (env: Record<string, string>) => load(env).config.notifyAllow.networks.length;
    expect(networks({})).toBe(2);
    expect(networks({ NOTIFY_ALLOW: 'none' })).toBe(0);
    expect(networks({ HOST: '0.0.0.0' })).toBe(0);
    expect(networks({ NODE_ENV: 'production' })).toBe(0);
    expect(
      networks({
        DATABASE_URL: 'mysql://a:b@c/d',
        MASTER_KEY: Buffer.alloc(32, 1).toString('base64'),
        HOST: '127.0.0.1',
      }),
    ).toBe(0);
    expect(networks({ NODE_ENV: 'production', NOTIFY_ALLOW: '10.1.0.0/16' })).toBe(1);
  });

  it('opens to the network only with a server database, and has no sandbox then', () => {
    const { config } = load({ DATABASE_URL: 'mysql://a:b@c/d', MASTER_KEY: Buffer.alloc(32, 1).toString('base64') });
    expect(config.host).toBe('0.0.0.0');
    expect(config.sandboxPort).toBeUndefined();
    expect(config.adminToken).toBeUndefined();
  });
});
