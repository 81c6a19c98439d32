import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { firstIdAt } from '../src/shared/ids.js';
import { stuckRefund, uniqueNo } from './support/builders.js';
import { FakeClock } from './support/fake-clock.js';
import { callbacksWorkedOn, callbackUrl, callBack, truth } from './support/gateway.js';
import { startService, WECHAT_ACCOUNT, type TestService } from './support/service.js';

interface Listed {
  id: string;
  [name: string]: unknown;
}

interface Page {
  items: Listed[];
  nextCursor: string | null;
  errors?: { field: string }[];
}

const clock = new FakeClock();
let service: TestService;
beforeAll(async () => {
  service = await startService({ clock });
});
afterAll(() => service.close());

async function list(path: string): Promise<Page> {
  const { httpStatus, body } = await service.admin<Page>('GET', `/admin/${path}`);
  expect(httpStatus, JSON.stringify(body)).toBe(200);
  return body;
}

/** Every item, by pages of this size. */
async function whole(path: string, limit: number): Promise<Listed[]> {
  const all: Listed[] = [];
  for (let cursor: string | null = ''; cursor !== null;) {
    const part: Page = await list(`${path}&limit=${limit}${cursor === '' ? '' : `&cursor=${cursor}`}`);
    expect(part.items.length).toBeLessThanOrEqual(limit);
    all.push(...part.items);
    cursor = part.nextCursor;
  }
  return all;
}

const ids = (items: readonly { id: string }[]): string[] => items.map(({ id }) => id);
const now = (): string => clock.now().toISOString();

describe('records', () => {
  it('syncs, repairs and callbacks of a refund, newest first', async () => {
    const refund = await stuckRefund(service, { callbackUrl: callbackUrl(service) });
    await service.admin('POST', `/admin/refunds/${refund.id}/sync`);
    await service.admin('POST', `/admin/refunds/${refund.id}/sync`);
    await callBack(service, refund.refundNo, { status: 'success' });
    await callbacksWorkedOn(service);
    const syncs = await whole(`syncs?refundId=${refund.id}`, 2);
    expect(syncs.map(({ source, result }) => [source, result])).toEqual([
      ['callback', 'success'],
      ['operator', 'processing'],
      ['operator', 'processing'],
    ]);
    expect(ids(await whole(`syncs?refundId=${refund.id}&source=operator&result=processing`, 1))).toEqual(
      ids(syncs.slice(1)),
    );
    const repairs = await whole(`repairs?refundId=${refund.id}`, 1);
    expect(repairs.map(({ target }) => target).sort()).toEqual(['payment', 'refund']);
    expect(await whole(`repairs?repairNo=${String(repairs[0]?.repairNo)}&target=refund`, 5)).toHaveLength(1);
    const callbacks = await whole(`callbacks?refundId=${refund.id}&state=done`, 1);
    expect(callbacks).toMatchObject([{ gatewayAccountId: WECHAT_ACCOUNT, refundId: refund.id }]);
    expect(ids(await whole(`payments?businessNo=${refund.businessNo}`, 1))).toEqual([refund.paymentId]);
  });

  it('the audit says who changed what, newest first, by filter', async () => {
    const from = now();
    const appId = uniqueNo('app-');
    const secret = 'a secret that nobody may read';
    await service.admin('PUT', `/admin/apps/${appId}`, { signSecret: secret, name: 'First' });
    await service.admin('PUT', `/admin/apps/${appId}`, { name: 'Second' });
    const entries = await whole(`audit?targetType=app&targetId=${appId}&from=${from}`, 1);
    expect(entries).toMatchObject([
      { actor: 'bootstrap', action: 'app.put', before: { name: 'First' }, after: { name: 'Second' } },
      { actor: 'bootstrap', action: 'app.put', before: null, after: { name: 'First', signSecret: '***' } },
    ]);
    expect(JSON.stringify(entries)).not.toContain(secret);
    expect(await whole(`audit?actor=user:nobody&from=${from}`, 10)).toEqual([]);
    expect(await whole(`audit?to=${from}&targetId=${appId}`, 10)).toEqual([]);
  });
});

describe('refunds', () => {
  it('page through all of one channel and status, each once, in the order of registration', async () => {
    const from = now();
    const made = [];
    for (let i = 0; i < 5; i += 1) made.push(await stuckRefund(service));
    const cash = await cashRefund();
    clock.advance(1_000);
    const later = now();
    await stuckRefund(service);
    const range = `from=${from}&to=${later}`;
    expect(ids(await whole(`refunds?${range}&channel=wechat_pay`, 2))).toEqual(ids(made));
    expect(ids(await whole(`refunds?${range}&status=progress`, 2))).toEqual(ids(made));
    expect(ids(await whole(`refunds?${range}`, 4))).toEqual([...ids(made), cash]);
    expect(ids(await whole(`refunds?${range}&channel=cash_pay`, 1))).toEqual([cash]);
    expect(ids(await whole(`refunds?${range}&appId=nobody`, 1))).toEqual([]);
  });

  it('that are stuck: in progress or review for as long as was asked', async () => {
    clock.advance(3_600_000);
    const from = now();
    const old = await stuckRefund(service, { gateway: 'abnormal' });
    const older = await stuckRefund(service);
    await service.admin('POST', `/admin/refunds/${old.id}/sync`);
    await cashRefund();
    clock.advance(2 * 3_600_000);
    const fresh = await stuckRefund(service);
    expect((await service.refund(old.id)).status).toBe('review');
    expect(ids(await whole(`refunds?from=${from}&stuckFor=1h`, 1))).toEqual([old.id, older.id]);
    expect(ids(await whole(`refunds?from=${from}&stuckFor=1h&status=review`, 1))).toEqual([old.id]);
    expect(ids(await whole(`refunds?from=${from}&stuckFor=1h&status=success`, 1))).toEqual([]);
    expect(ids(await whole(`refunds?from=${from}&status=progress`, 1))).toEqual([older.id, fresh.id]);
  });

  it.each([
    ['refunds?limit=0', 'limit'],
    ['refunds?limit=501', 'limit'],
    ['refunds?cursor=x', 'cursor'],
    ['refunds?from=2026-01-01T00:00:00', 'from'],
    ['refunds?stuckFor=0h', 'stuckFor'],
    ['syncs?result=nothing', 'result'],
    ['callbacks?state=lost', 'state'],
    ['repairs?target=order', 'target'],
  ])('%s is refused', async (path, field) => {
    const { httpStatus, body } = await service.admin<Page>('GET', `/admin/${path}`);
    expect([httpStatus, body.errors?.map((fault) => fault.field)]).toEqual([400, [field]]);
  });
});

describe('stats', () => {
  it('count what there is', async () => {
    interface Stats {
      refunds: { channel: string; status: string; count: number }[];
      oldestUnresolved: { id: string } | null;
      dueBacklog: number;
      today: { syncs: { result: string; count: number }[]; repairs: number };
    }
    const { httpStatus, body } = await service.admin<Stats>('GET', '/admin/stats');
    expect(httpStatus).toBe(200);
    const progress = await whole('refunds?status=progress&channel=wechat_pay', 500);
    expect(body.refunds).toContainEqual({ channel: 'wechat_pay', status: 'progress', count: progress.length });
    const review = await whole('refunds?status=review', 500);
    expect(body.oldestUnresolved?.id).toBe([...ids(progress), ...ids(review)].sort()[0]);
    expect(body.dueBacklog).toBeGreaterThan(0);
    expect(body.today.syncs.reduce((sum, { count }) => sum + count, 0)).toBeGreaterThan(0);
  });
});

describe('batch sync', () => {
  it('asks about each that the filter finds and says how it went', async () => {
    clock.advance(1_000);
    const from = now();
    const good = await stuckRefund(service, { gateway: 'success' });
    const hanging = await stuckRefund(service);
    await cashRefund();
    const { httpStatus, body } = await service.admin<Page>('POST', '/admin/refunds/sync', { from });
    expect(httpStatus, JSON.stringify(body)).toBe(200);
    expect(body).toEqual({
      items: [
        {
          id: good.id,
          refundNo: good.refundNo,
          outcome: 'done',
          statusBefore: 'progress',
          statusAfter: 'success',
        },
        {
          id: hanging.id,
          refundNo: hanging.refundNo,
          outcome: 'done',
          statusBefore: 'progress',
          statusAfter: 'progress',
        },
      ],
      nextCursor: null,
    });
    expect((await truth(service, good.refundNo)).queries).toBe(1);
    const [entry] = await whole(`audit?action=refunds.sync&from=${from}`, 10);
    expect(entry).toMatchObject({ after: { filter: { status: 'progress' }, refunds: 2 } });
  });

  it('is bounded and goes on where it stopped', async () => {
    clock.advance(1_000);
    const from = now();
    const made = [];
    for (let i = 0; i < 3; i += 1) made.push(await stuckRefund(service));
    const first = await service.admin<Page>('POST', '/admin/refunds/sync', { from, limit: 2 });
    expect(ids(first.body.items)).toEqual(ids(made.slice(0, 2)));
    const cursor = first.body.nextCursor;
    const rest = await service.admin<Page>('POST', '/admin/refunds/sync', { from, limit: 2, cursor });
    expect(ids(rest.body.items)).toEqual(ids(made.slice(2)));
    expect((await service.admin('POST', '/admin/refunds/sync', { limit: 201 })).httpStatus).toBe(400);
  });
});

describe('large tables', () => {
  it.each([
    ['refund', `status = 'progress' AND id > '1' ORDER BY id ASC LIMIT 50`],
    ['refund', `status = 'review' AND channel = 'stripe' AND id > '1' ORDER BY id ASC LIMIT 50`],
    ['refund', `appId = 'x' AND id > '1' ORDER BY id ASC LIMIT 50`],
    ['refund', `registeredAt >= '2026-01-01' AND id >= '${firstIdAt(new Date())}' ORDER BY id ASC LIMIT 50`],
    ['sync_record', `refundId = '1' AND id < '9' ORDER BY id DESC LIMIT 50`],
    ['sync_record', `id >= '${firstIdAt(new Date())}' ORDER BY id DESC LIMIT 50`],
    ['repair_record', `refundId = '1' ORDER BY id DESC LIMIT 50`],
    ['callback_record', `state = 'unmatched' ORDER BY id DESC LIMIT 50`],
    ['audit_entry', `actor = 'x' ORDER BY id DESC LIMIT 50`],
    ['audit_entry', `targetType = 'app' AND targetId = 'x' ORDER BY id DESC LIMIT 50`],
  ])('%s where %s goes by an index and sorts nothing', async (table, where) => {
    if (service.db.isMysql) return;
    const plan = await service.db.read((manager) =>
      manager.query<{ detail: string }[]>(`EXPLAIN QUERY PLAN SELECT * FROM ${table} WHERE ${where}`),
    );
    expect(plan.map(({ detail }) => detail).join('; ')).toMatch(/^SEARCH \w+ USING INDEX [^;]*$/);
  });

  it('statistics are counted from indexes', async () => {
    if (service.db.isMysql) return;
    const plan = await service.db.read((manager) =>
      manager.query<{ detail: string }[]>(
        'EXPLAIN QUERY PLAN SELECT channel, status, COUNT(*) FROM refund GROUP BY channel, status',
      ),
    );
    expect(plan.map(({ detail }) => detail)).toEqual([expect.stringMatching(/^SCAN refund USING COVERING INDEX /)]);
  });
});

/** A refund that has its end. */
async function cashRefund(): Promise<string> {
  const { httpStatus, body } = await service.admin<{ id: string }>('POST', '/admin/refunds', {
    refundNo: uniqueNo('R'),
    channel: 'cash_pay',
    amount: 1,
    payment: { businessNo: uniqueNo('P'), amount: 10 },
  });
  expect(httpStatus, JSON.stringify(body)).toBe(201);
  return body.id;
}
