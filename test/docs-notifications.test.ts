import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Child, freePort } from './support/children.js';
import { endedRefund, notificationOf, relayed } from './support/notifications.js';
import { Receiver } from './support/receiver.js';
import { SIGN_SECRET, startService, type TestService } from './support/service.js';

const page = readFileSync(new URL('../docs/notifications.md', import.meta.url), 'utf8');

/** The code that the page shows under `<!-- test: name -->`. */
function sample(name: string): string {
  const code = new RegExp(`<!-- test: ${name} -->\\s+\`\`\`\\w+\\n([\\s\\S]*?)\`\`\``).exec(page)?.[1];
  if (code === undefined) throw new Error(`docs/notifications.md has no sample ${name}`);
  return code;
}

describe('the code of docs/notifications.md', () => {
  let service: TestService;
  let folder: string;
  beforeAll(async () => {
    service = await startService();
    folder = mkdtempSync(join(tmpdir(), 'refund-sync-docs-'));
  });
  afterAll(async () => {
    await service.close();
    rmSync(folder, { recursive: true, force: true });
  });

  function write(name: string, code: string): string {
    const path = join(folder, name);
    writeFileSync(path, code);
    return path;
  }

  it('receives, verifies and acknowledges a notification, and refuses a forged one', async () => {
    const port = await freePort();
    const path = write('receiver.mjs', sample('receiver'));
    const receiver = await Child.start('receiver', process.execPath, [path], {
      env: { ...process.env, SIGN_SECRET, PORT: String(port) },
    });
    await receiver.line((line) => line === 'listening', 10_000);
    const notifyUrl = `http://127.0.0.1:${port}/`;
    const { refundNo, notificationId } = await endedRefund(service, { notifyUrl });
    await relayed(service);
    expect(await notificationOf(service, notificationId)).toMatchObject({ state: 'delivered' });
    await receiver.line((line) => line === `refund ${refundNo} of 100: success`, 5_000);

    const forged = await fetch(notifyUrl, {
      method: 'POST',
      headers: {
        'webhook-id': '1',
        'webhook-timestamp': String(Math.floor(Date.now() / 1_000)),
        'webhook-signature': `v1,${Buffer.alloc(32).toString('base64')}`,
      },
      body: '{"refundNo":"R"}',
    });
    expect(forged.status).toBe(401);
    expect((await fetch(notifyUrl, { method: 'POST', body: '{}' })).status).toBe(401);
    await receiver.kill();
  });

  it('checks the sign in the body', async () => {
    const { isSigned } = (await import(pathToFileURL(write('sign.mjs', sample('sign'))).href)) as {
      isSigned: (body: string, secret: string) => boolean;
    };
    const receiver = await Receiver.start();
    const { refundNo } = await endedRefund(service, { notifyUrl: receiver.url(), attach: 'a "quoted" \\ text & more' });
    await relayed(service);
    const body = receiver.of(refundNo)[0]?.body ?? '';
    expect(isSigned(body, SIGN_SECRET)).toBe(true);
    expect(isSigned(body.replace('"amount":100', '"amount":101'), SIGN_SECRET)).toBe(false);
    expect(isSigned(body, 'another secret')).toBe(false);
    await receiver.close();
  });

  it('reads the feed', async () => {
    const { refundNo } = await endedRefund(service);
    const { stdout } = await promisify(execFile)('bash', ['-c', sample('feed')], {
      env: { ...process.env, BASE: service.url, SECRET: SIGN_SECRET },
    });
    const { code, data } = JSON.parse(stdout) as { code: number; data: { items: { refundNo: string }[] } };
    expect(code).toBe(0);
    expect(data.items.map((item) => item.refundNo)).toContain(refundNo);
  });
});
