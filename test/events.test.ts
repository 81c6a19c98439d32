import { createHash, createHmac, randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { insertRows } from '../src/database/bulk.js';
import { NotificationRelay } from '../src/notification/notification.relay.js';
import { Notification } from '../src/refund/notification.entity.js';
import { IdGenerator } from '../src/shared/ids.js';
import { MerchantClient, type Answer } from './support/merchant-client.js';
import { newMerchant, putApp } from './support/merchants.js';
import { endedRefund, laterNotification } from './support/notifications.js';
import { startService, type TestService } from './support/service.js';
import { hasMysql } from './support/services.js';
import { testDatabase } from './support/test-database.js';
import type { Dialect, DigestType, Fields } from './support/wire.js';

interface Event {
  eventId: string;
  type: string;
  refundId: string;
  refundNo: string;
  status: string;
}

interface Page {
  items: Event[];
  nextCursor: string;
  hasMore: boolean;
}

const nowS = (): number => Math.floor(Date.now() / 1_000);

/** A merchant who reads the feed: the parameters of the query are signed as the fields of a body are. */
function read(
  client: MerchantClient,
  fields: Fields = {},
  headers: Record<string, string> = {},
): Promise<Answer<Page>> {
  const query: Fields = { reqTime: String(nowS()), ...fields };
  return ask(client, { ...query, sign: client.sign(query) }, headers);
}

function ask(client: MerchantClient, query: Fields, headers: Record<string, string> = {}): Promise<Answer<Page>> {
  const parameters = new URLSearchParams(
    Object.entries(query).map(([name, value]): [string, string] => [name, String(value as string)]),
  );
  return client.send<Page>(`/events?${parameters.toString()}`, { headers: { ...client.headers, ...headers } });
}

describe('GET /events', () => {
  let service: TestService;
  beforeAll(async () => {
    service = await startService();
  });
  afterAll(() => service.close());

  const merchant = async (dialect: Dialect = 'daxpay-v2', signType: DigestType = 'MD5'): Promise<MerchantClient> =>
    (await newMerchant(service, { dialect, signType })).client;
  const appOf = (client: MerchantClient): string => client.headers['x-app-id'] ?? '';

  it('gives all ends of the app, page by page, and then what came since', async () => {
    const client = await merchant();
    const refunds = [];
    for (let count = 0; count < 5; count += 1) refunds.push(await endedRefund(service, { appId: appOf(client) }));
    await endedRefund(service);

    const first = await read(client, { limit: '3' });
    expect(first).toMatchObject({ code: 0, data: { hasMore: true } });
    const second = await read(client, { limit: '3', cursor: first.data?.nextCursor });
    expect(second).toMatchObject({ code: 0, data: { hasMore: false } });
    const events = [...(first.data?.items ?? []), ...(second.data?.items ?? [])];
    expect(events.map(({ eventId }) => eventId)).toEqual(refunds.map(({ notificationId }) => notificationId));
    expect(events[0]).toEqual({
      ...{ eventId: refunds[0]?.notificationId, type: 'refund.success', status: 'success' },
      ...{ refundId: refunds[0]?.refundId, refundNo: refunds[0]?.refundNo, amount: 100, currency: 'CNY' },
      ...{ channel: 'cash_pay', attach: null, errorCode: null, errorMsg: null },
      ...{ eventTime: expect.any(Number), refundTime: expect.any(Number), createTime: expect.any(Number) },
    });

    const cursor = second.data?.nextCursor ?? '';
    expect(await read(client, { cursor })).toMatchObject({ data: { items: [], nextCursor: cursor, hasMore: false } });
    const { notificationId } = await endedRefund(service, { appId: appOf(client) });
    expect(await read(client, { cursor })).toMatchObject({ data: { items: [{ eventId: notificationId }] } });
    // The same question has the same answer, whatever came since.
    expect((await read(client, { limit: '3' })).data?.items).toEqual(first.data?.items);
  });

  it('also of refunds whose merchant wants no notification, and in the order of a refund’s changes, whatever clock made the ids', async () => {
    const client = await merchant();
    const { refundId, notificationId } = await endedRefund(service, { appId: appOf(client) });
    await laterNotification(service, refundId, {
      id: String(BigInt(notificationId) - 7_000n),
      state: 'suppressed',
      nextAttemptAt: null,
    });
    const { data } = await read(client);
    expect(data?.items.map(({ status }) => status)).toEqual(['success', 'fail']);
  });

  it.each([
    ['daxpay-v2', 'MD5'],
    ['daxpay-v2', 'HMAC_SHA256'],
    ['daxpay-v3', 'HMAC_SHA256'],
  ] as const)('is signed over its parameters: %s with %s', async (dialect, signType) => {
    const client = await merchant(dialect, signType);
    expect(await read(client, { cursor: '0', limit: '1' })).toMatchObject({ code: 0 });
    const query: Fields = { cursor: '0', limit: '1', reqTime: String(nowS()) };
    const sign = client.sign(query);
    expect(await ask(client, { ...query, limit: '2', sign })).toMatchObject({ code: 20052 });
    expect(await ask(client, query)).toMatchObject({ code: 20052 });
    expect(await read(client, { reqTime: String(nowS() - 1_000) })).toMatchObject({ code: 20052 });
  });

  it('is signed by headers: hmac-body, over the path with its query', async () => {
    const { appId, secret } = await newMerchant(service);
    await putApp(service, appId, { dialect: 'hmac-body' });
    const { notificationId } = await endedRefund(service, { appId });
    const client = new MerchantClient(service.url, secret);
    const call = (path: string, signedPath: string): Promise<Answer<Page>> => {
      const [timestamp, nonce] = [String(nowS()), randomBytes(12).toString('hex')];
      const empty = createHash('sha256').update('').digest('hex');
      const lines = ['GET', signedPath, appId, timestamp, nonce, empty].map((line) => `${line}\n`).join('');
      const signature = createHmac('sha256', secret).update(lines).digest('hex');
      return client.send<Page>(path, {
        headers: { 'x-app-id': appId, 'x-timestamp': timestamp, 'x-nonce': nonce, 'x-signature': signature },
      });
    };
    expect(await call('/events?limit=5', '/events?limit=5')).toMatchObject({
      code: 0,
      data: { items: [{ eventId: notificationId }] },
    });
    expect(await call('/events?limit=6', '/events?limit=5')).toMatchObject({ code: 20052 });
  });

  it('answers faults as the merchant API does', async () => {
    const client = await merchant();
    expect(await read(client, { cursor: 'x' })).toMatchObject({ code: 10006, msg: expect.stringContaining('cursor') });
    expect(await read(client, { limit: '0' })).toMatchObject({ code: 10006, msg: expect.stringContaining('limit') });
    expect(await read(client, { limit: '501' })).toMatchObject({ code: 10006 });
    const twice = await client.send('/events?limit=1&limit=2', {});
    expect(twice).toMatchObject({ code: 10005 });
    await service.admin('PUT', `/admin/apps/${appOf(client)}/interfaces/events`, { enabled: false });
    expect(await read(client)).toMatchObject({ code: 20000 });
  });

  it('signs its answer where the app wants that', async () => {
    const client = await merchant();
    await service.admin('PUT', `/admin/apps/${appOf(client)}/interfaces/events`, { responseSign: true });
    const { refundId } = await endedRefund(service, { appId: appOf(client) });
    const { data, sign } = await read(client);
    expect(data?.items).toMatchObject([{ refundId }]);
    expect(sign).toBe(client.sign(data as unknown as Fields));
  });
});

describe.runIf(await hasMysql())('the feed on MariaDB', () => {
  it('skips nothing while events are committed in another order than their ids were made, by many, for readers of two services', async () => {
    const database = await testDatabase('mysql');
    const first = await startService({ env: database.env, database });
    const second = await startService({ env: database.env, database, sandbox: first.sandbox });
    const client = first.merchant;
    const ids = [new IdGenerator(), new IdGenerator()];
    const { notificationId } = await endedRefund(first);
    const model = await first.db.read((manager) => manager.findOneByOrFail(Notification, { id: notificationId }));
    const written: string[] = [];
    let writing = true;

    /** Each holds its transactions open for a while after the ids were made, as a loaded apply() does. */
    const writer = async (index: number): Promise<void> => {
      const { db } = index % 2 === 0 ? first : second;
      for (let round = 0; round < 12; round += 1) {
        await db.transaction(async (manager) => {
          const rows = Array.from({ length: 3 }, () => {
            const id = ids[index % 2]?.next() ?? '';
            return { ...model, id, repairNo: id, refundId: id, position: null };
          });
          await insertRows(manager, Notification, rows);
          await new Promise((resolve) => setTimeout(resolve, ((index * 7 + round * 13) % 10) * 8));
          written.push(...rows.map(({ id }) => id));
        });
      }
    };
    /** Goes on from where it stopped, as a merchant does. */
    const reader = async (url: string): Promise<string[]> => {
      const merchant = new MerchantClient(url, client.secret);
      const seen: string[] = [];
      let cursor = '0';
      for (;;) {
        const isOver = !writing;
        const { data } = await read(merchant, { cursor, limit: '7' });
        seen.push(...(data?.items ?? []).map(({ eventId }) => eventId));
        cursor = data?.nextCursor ?? cursor;
        if (isOver && data?.items.length === 0) return seen;
      }
    };
    const relays = [first, second].map(async (service) => {
      while (writing) await service.app.get(NotificationRelay).relay();
    });
    const readers = [first.url, second.url].map(reader);
    await Promise.all(Array.from({ length: 8 }, (_, index) => writer(index)));
    writing = false;
    const [one = [], two = []] = await Promise.all(readers);
    await Promise.all(relays);

    expect(written).toHaveLength(288);
    expect([...one].sort()).toEqual([notificationId, ...written].sort());
    expect(two).toEqual(one);
    // Else this test would show nothing: a feed by id would have skipped some of them.
    const isLate = one.some((id, index) => index > 0 && BigInt(id) < BigInt(one[index - 1] ?? '0'));
    expect(isLate).toBe(true);
    await second.close();
    await first.close();
    await database.drop();
  });
});
