import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createSandbox } from '../../sandbox/server.js';
import { createBody, json, Merchant, send, type Config, type Json } from './support.js';

let merchant: Merchant;
const R1 = {
  channel: 'wechat_pay',
  outRefundNo: 'R1',
  outTradeNo: 'TRADE-1',
  amount: 100,
  currency: 'CNY',
  script: [{ afterMs: 0, status: 'success' }],
};

beforeAll(async () => {
  merchant = await Merchant.start();
});
afterAll(() => merchant.sandbox.close());
beforeEach(async () => {
  await merchant.control('POST', '/reset', { settings: true });
});

describe('bad input is 400 and names the field', () => {
  const refunds: [string, Json][] = [
    ['channel', { channel: 'paypal' }],
    ['channel', { channel: undefined }],
    ['outRefundNo', { outRefundNo: 'a b' }],
    ['outRefundNo', { outRefundNo: 'R'.repeat(65) }],
    ['outRefundNo', { outRefundNo: 'R/1' }],
    ['outTradeNo', { outTradeNo: 7 }],
    ['amount', { amount: 1.5 }],
    ['amount', { amount: '100' }],
    ['amount', { amount: 0 }],
    ['currency', { currency: 'yuan' }],
    ['script', { script: [] }],
    ['script', { script: 'success' }],
    ['script[0].status', { script: [{ afterMs: 0, status: 'done' }] }],
    ['script[0].afterMs', { script: [{ afterMs: -1, status: 'success' }] }],
    [
      'script[1].afterMs',
      {
        script: [
          { afterMs: 100, status: 'processing' },
          { afterMs: 50, status: 'success' },
        ],
      },
    ],
    ['script[0].after', { script: [{ afterMs: 0, status: 'success', after: 1 }] }],
    ['paymentAmount', { paymentAmount: 99 }],
    ['awaitCreate', { awaitCreate: 'yes' }],
    ['notifyURL', { notifyURL: 'http://127.0.0.1/' }],
  ];
  it.each(refunds)('POST /control/refunds: %s', async (field, change) => {
    const { status, json: answer } = await merchant.control('POST', '/refunds', { ...R1, ...change });
    expect([status, String(answer.error).split(': ')[0]]).toEqual([400, field]);
  });

  const others: [string, string, Json][] = [
    ['/faults', 'kind', { kind: 'earthquake', rate: 1 }],
    ['/faults', 'rate', { kind: 'reset', rate: 1.1 }],
    ['/faults', 'rate', { kind: 'reset' }],
    ['/faults', 'count', { kind: 'reset', rate: 1, count: 0 }],
    ['/faults', 'seed', { kind: 'reset', rate: 1, seed: -1 }],
    ['/faults', 'operation', { kind: 'lostAnswer', rate: 1, operation: 'query' }],
    ['/faults', 'operation', { kind: 'timeout', rate: 1, operation: 'callback' }],
    ['/faults', 'slowMs', { kind: 'reset', rate: 1, slowMs: 5 }],
    ['/payments', 'amount', { outTradeNo: 'TRADE-1', currency: 'CNY' }],
    ['/settings', 'latencyMs', { latencyMs: -5 }],
    ['/settings', 'signErrors', { signErrors: 'never' }],
    ['/settings', 'defaultScript[0].status', { defaultScript: [{ afterMs: 0, status: 'x' }] }],
    ['/settings', 'ratePerSec', { ratePerSec: 5 }],
    ['/callbacks', 'tamper', { outRefundNo: 'R1', tamper: 'all' }],
  ];
  it.each(others)('POST /control%s: %s', async (path, field, body) => {
    const { status, json: answer } = await merchant.control('POST', path, { channel: 'wechat_pay', ...body });
    expect([status, String(answer.error).split(': ')[0]]).toEqual([400, field]);
  });

  it('also for bodies that are no object, and for paths that do not exist', async () => {
    for (const body of ['', '{', '[]', 'null']) {
      const answer = await send(merchant.sandbox.url, 'POST', '/control/refunds', {}, body);
      expect([answer.status, String(json(answer).error).split(': ')[0]]).toEqual([400, 'body']);
    }
    expect((await merchant.control('GET', '/nothing')).status).toBe(404);
    expect((await merchant.control('DELETE', '/refunds')).status).toBe(404);
    expect((await send(merchant.sandbox.url, 'GET', '/elsewhere', {}, undefined)).status).toBe(404);
    expect((await merchant.control('GET', '/refunds?channel=wechat_pay&limt=5')).json.error).toMatch(/^limt: /);
    expect((await merchant.control('GET', '/refunds/wechat_pay/R404')).status).toBe(404);
  });
});

describe('what can be seen', () => {
  it('lists refunds, bounded, with the total', async () => {
    for (const number of ['R1', 'R2', 'R3']) await merchant.register(number, 'success');
    const { json: list } = await merchant.control('GET', '/refunds?channel=wechat_pay&limit=2');
    expect(list).toMatchObject({ total: 3, items: [{ outRefundNo: 'R1', status: 'success' }, { outRefundNo: 'R2' }] });
  });

  it('counts queries, creates, refusals and the peak', async () => {
    await merchant.register('R1', 'success');
    await merchant.query('R1');
    await merchant.create(createBody('R2'));
    await merchant.query('R1', { authorization: null });
    const { json: stats } = await merchant.control('GET', '/stats');
    expect(stats).toMatchObject({
      requests: 3,
      queries: 1,
      creates: 1,
      refusedSignatures: 1,
      rateLimited: 0,
      refunds: 2,
      channels: { wechat_pay: { requests: 3 } },
    });
    expect(stats.requestsPerSecondPeak).toBeGreaterThanOrEqual(1);
  });

  it('infers a payment from its refunds where nobody declared it', async () => {
    await merchant.register('R1', 'success', { outTradeNo: 'TRADE-1' });
    await merchant.register('R2', 'closed', { outTradeNo: 'TRADE-1', amount: 50 });
    await merchant.register('R2', 'closed', { outTradeNo: 'TRADE-1', amount: 60 });
    expect(await merchant.truth('R1')).toMatchObject({ payment: { amount: 160, refunds: 2, refundedAmount: 100 } });
  });

  it('reset forgets refunds, payments, faults and counters; keys stay, settings stay unless asked', async () => {
    await merchant.settings({ latencyMs: 1 });
    await merchant.register('R1', 'success');
    await merchant.query('R1');
    await merchant.fault('http500');
    const before = merchant.sandbox.accounts();
    await merchant.control('POST', '/reset');
    expect((await merchant.control('GET', '/refunds')).json).toEqual({ items: [], total: 0 });
    expect((await merchant.control('GET', '/faults')).json).toEqual({ items: [] });
    expect((await merchant.control('GET', '/stats')).json).toMatchObject({
      requests: 0,
      queries: 0,
      refunds: 0,
      payments: 0,
      channels: { wechat_pay: { faults: {} } },
    });
    expect(merchant.sandbox.accounts()).toEqual(before);
    const settingsOfChannel = async (): Promise<unknown> =>
      ((await merchant.control('GET', '/settings')).json.items as Json[]).find(
        ({ channel }) => channel === 'wechat_pay',
      );
    expect(await settingsOfChannel()).toMatchObject({ latencyMs: 1, autoPayments: true });
    await merchant.control('POST', '/reset', { settings: true });
    expect(await settingsOfChannel()).toMatchObject({ latencyMs: 0 });
    const first = await merchant.register('R1', 'success');
    await merchant.control('POST', '/reset');
    expect((await merchant.register('R1', 'success')).gatewayRefundNo).not.toBe(first.gatewayRefundNo);
  });

  it('answers connector settings for the address at which it was asked', async () => {
    const answer = await send(merchant.sandbox.url, 'GET', '/control/accounts', { Host: 'sandbox:9100' }, undefined);
    const [account] = (json(answer) as { items: { channel: string; gateway: string; config: Config }[] }).items;
    expect([account?.channel, account?.gateway, account?.config.baseUrl]).toEqual([
      'wechat_pay',
      'wechat',
      'http://sandbox:9100',
    ]);
    expect(account?.config.apiV3Key).toMatch(/^[0-9A-Za-z]{32}$/);
    expect(account?.config.privateKey).toMatch(/^-----BEGIN PRIVATE KEY-----/);
    expect(Object.values(account?.config.platformCertificates ?? {})).toEqual([
      expect.stringMatching(/^-----BEGIN CERTIFICATE-----/),
    ]);
    expect(merchant.sandbox.accounts()[0]?.config.baseUrl).toBe(merchant.sandbox.url);
    expect((await merchant.control('GET', '/health')).json).toMatchObject({
      status: 'ok',
      channels: expect.arrayContaining(['wechat_pay']) as string[],
    });
  });
});

describe('keys', () => {
  it('are kept in a file of mode 0600 when one is named, and another file is left alone', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'sandbox-keys-'));
    try {
      const keysFile = join(folder, 'keys.json');
      const first = await createSandbox({ keysFile });
      const accounts = first.accounts();
      await first.close();
      expect((await stat(keysFile)).mode & 0o777).toBe(0o600);
      const second = await createSandbox({ keysFile });
      const again = second.accounts();
      await second.close();
      expect({ ...again[0]?.config, baseUrl: '' }).toEqual({ ...accounts[0]?.config, baseUrl: '' });

      const other = join(folder, 'other.json');
      await writeFile(other, '{"a":1}');
      await expect(createSandbox({ keysFile: other })).rejects.toThrow('SANDBOX_KEYS_FILE');
      expect(await readFile(other, 'utf8')).toBe('{"a":1}');
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
