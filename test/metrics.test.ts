import { readFileSync } from 'node:fs';
import type { EntityManager } from 'typeorm';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { insertRows } from '../src/database/bulk.js';
import { LedgerService } from '../src/ledger/ledger.service.js';
import { DueRefundService } from '../src/refund/due-refund.service.js';
import { Notification } from '../src/refund/notification.entity.js';
import { Payment } from '../src/refund/payment.entity.js';
import { Refund } from '../src/refund/refund.entity.js';
import { RefundStatistics } from '../src/refund/refund-statistics.service.js';
import { SilentRefunds } from '../src/refund/silent-refund.service.js';
import { IdGenerator } from '../src/shared/ids.js';
import { stuckRefund, uniqueNo } from './support/builders.js';
import { startService, WECHAT_ACCOUNT, type TestService } from './support/service.js';

const MANY = 3_000;
const ids = new IdGenerator();

/** Values by name and labels, as Prometheus reads them: `name{a="b"}`. */
async function scrape(service: TestService, headers: Record<string, string> = {}): Promise<Map<string, number>> {
  const response = await fetch(`${service.url}/metrics`, { headers });
  expect(response.status).toBe(200);
  expect(response.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/);
  const samples = new Map<string, number>();
  for (const line of (await response.text()).split('\n')) {
    const [, name, value] = /^([a-z_]+(?:\{.*\})?) (\S+)$/.exec(line) ?? [];
    if (name !== undefined && value !== undefined) samples.set(name, value === 'Nan' ? NaN : Number(value));
  }
  return samples;
}

const syncs = (labels: string): string => `refund_sync_syncs_total{${labels}}`;

describe('the metrics of a service', () => {
  let service: TestService;
  beforeAll(async () => {
    service = await startService();
  });
  afterAll(() => service.close());

  it('count what was asked, what came of it, and how long everything took', async () => {
    const before = await scrape(service);
    const { id, refundNo } = await stuckRefund(service, { gateway: 'success' });
    await service.merchant.syncRefund({ refundNo });
    const unanswered = await stuckRefund(service);
    await service.control('/control/faults', { channel: 'wechat_pay', kind: 'http500', rate: 1, count: 1 });
    await service.admin('POST', `/admin/refunds/${unanswered.id}/sync`);
    await service.admin('GET', `/admin/refunds/${id}`);
    await fetch(`${service.url}/nothing/at/${id}`);

    const after = await scrape(service);
    const grown = (name: string): number => (after.get(name) ?? 0) - (before.get(name) ?? 0);
    expect(grown(syncs('channel="wechat_pay",source="merchant",outcome="success",effect="changed"'))).toBe(1);
    expect(grown(syncs('channel="wechat_pay",source="operator",outcome="unavailable",effect="unchanged"'))).toBe(1);
    expect(grown('refund_sync_status_changes_total{channel="wechat_pay",from="progress",to="success"}')).toBe(1);
    expect(grown('refund_sync_jobs_total{source="merchant",outcome="asked"}')).toBe(1);
    expect(grown('refund_sync_job_duration_seconds_count{source="merchant"}')).toBe(1);
    const calls = (outcome: string): string =>
      `refund_sync_gateway_call_duration_seconds_count{channel="wechat_pay",operation="query",outcome="${outcome}"}`;
    expect([grown(calls('success')), grown(calls('unavailable'))]).toEqual([1, 1]);
    const requests = 'refund_sync_http_request_duration_seconds_count';
    expect(grown(`${requests}{method="POST",route="/unipay/syncRefund",status="200"}`)).toBe(1);
    expect(grown(`${requests}{method="GET",route="/admin/refunds/:id",status="200"}`)).toBe(1);
    expect(grown(`${requests}{method="GET",route="other",status="404"}`)).toBe(1);
    // No id, number or path of a caller is ever a label: their number has no bound.
    for (const name of after.keys()) expect(name).not.toMatch(/\d{19}|nothing|R[0-9a-z]+x\d/);
    expect(after.get('process_cpu_seconds_total')).toBeGreaterThan(0);
    expect(after.get('refund_sync_info{role="all"}')).toBe(1);
    const account = `{account="${WECHAT_ACCOUNT}"}`;
    await expect.poll(async () => (await scrape(service)).get(`refund_sync_circuit_open${account}`)).toBe(0);
    expect((await scrape(service)).get(`refund_sync_gateway_pace_calls_per_second${account}`)).toBeGreaterThan(0);
  });

  it('look up what the database knows at most once in five seconds, and say when they could not', async () => {
    const statistics = vi.spyOn(service.app.get(RefundStatistics), 'unresolved');
    await expect.poll(async () => (await scrape(service), statistics.mock.calls.length)).toBe(1);
    await Promise.all([scrape(service), scrape(service), scrape(service)]);
    expect(statistics).toHaveBeenCalledTimes(1);
    statistics.mockRejectedValue(new Error('the database is away'));
    const failures = 'refund_sync_metrics_failures_total{source="refunds"}';
    await expect.poll(async () => (await scrape(service)).get(failures)).toBe(1);
    const samples = await scrape(service);
    expect(samples.has('refund_sync_unresolved_refunds{channel="wechat_pay",status="progress"}')).toBe(false);
    expect(samples.get('refund_sync_over_refunded_payments')).toBeNaN();
    expect(samples.get('refund_sync_ledger_head_genuine')).toBe(1);
    statistics.mockRestore();
  });

  it('are for the machine itself alone, unless a token is set', async () => {
    const forwarded = await fetch(`${service.url}/metrics`, { headers: { 'x-forwarded-for': '127.0.0.1' } });
    expect(forwarded.status).toBe(401);
    expect(await forwarded.json()).toMatchObject({
      status: 401,
      detail: expect.stringContaining('METRICS_TOKEN') as string,
    });

    const token = 'a-token-of-the-metrics';
    const guarded = await startService({ env: { METRICS_TOKEN: token }, sandbox: service.sandbox });
    try {
      expect((await fetch(`${guarded.url}/metrics`)).status).toBe(401);
      const wrong = await fetch(`${guarded.url}/metrics`, { headers: { authorization: 'Bearer another-token-xxx' } });
      expect(wrong.status).toBe(401);
      expect(await wrong.text()).not.toContain(token);
      await scrape(guarded, { authorization: `Bearer ${token}`, 'x-forwarded-for': '10.0.0.1' });
    } finally {
      await guarded.close();
    }
  });
});

/** Names without what Prometheus adds to those of histograms. */
function namesIn(text: string): Set<string> {
  const names = text.match(/\b(?:refund_sync|process|nodejs)_[a-z0-9_]+\b/g) ?? [];
  return new Set(names.map((name) => name.replace(/_(?:bucket|count|sum)$/, '')));
}

describe('alert rules, dashboard and documentation', () => {
  const read = (path: string): string => readFileSync(new URL(`../${path}`, import.meta.url), 'utf8');
  const rules = read('deploy/prometheus/alerts.yml');
  const dashboard = JSON.parse(read('deploy/grafana/refund-sync.json')) as {
    panels: { type: string; title: string; targets?: { expr: string }[] }[];
  };
  const docs = read('docs/operations.md');
  let exported: Set<string>;
  let own: string[];

  beforeAll(async () => {
    const service = await startService();
    const text = await (await fetch(`${service.url}/metrics`)).text();
    await service.close();
    exported = new Set([...text.matchAll(/^# TYPE (\S+) /gm)].map(([, name]) => name ?? ''));
    own = [...exported].filter((name) => name.startsWith('refund_sync_'));
  });

  it('use metrics that there are', () => {
    const used = dashboard.panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr)).join('\n');
    expect([...namesIn(used)].filter((name) => !exported.has(name))).toEqual([]);
    expect([...namesIn(rules)].filter((name) => !exported.has(name))).toEqual([]);
    expect(namesIn(rules).size).toBeGreaterThan(15);
  });

  it('use every metric of ours: one that nobody looks at is not worth its cost', () => {
    const used = namesIn(JSON.stringify(dashboard) + rules);
    expect(own.filter((name) => !used.has(name))).toEqual([]);
    expect(own.length).toBeGreaterThan(25);
  });

  it('explain every metric and every alert, and nothing that is not there', () => {
    const explained = namesIn(docs);
    expect(own.filter((name) => !explained.has(name))).toEqual([]);
    expect([...explained].filter((name) => !exported.has(name))).toEqual([]);
    const alerts = [...rules.matchAll(/- alert: (\w+)/g)].map(([, name]) => name ?? '');
    expect(alerts.length).toBeGreaterThan(10);
    expect(alerts.filter((name) => !docs.includes(`\`${name}\``))).toEqual([]);
  });
});

describe('what the database is asked for the metrics', () => {
  let service: TestService;
  beforeAll(async () => {
    service = await startService();
    const { id } = await stuckRefund(service);
    const refund = await service.refund(id);
    const payment = await service.payment(refund.paymentId);
    const longAgo = new Date('2026-01-01T00:00:00Z');
    await service.db.transaction(async (manager) => {
      const refunds = Array.from({ length: MANY }, (_, index): Refund => {
        const no = uniqueNo('M');
        const ended = index % 3 !== 0;
        const more = ended ? { status: 'success' as const, nextSyncAt: null } : { nextSyncAt: longAgo };
        return { ...refund, id: ids.next(), refundNo: no, gatewayRequestNo: no, createdAt: longAgo, ...more };
      });
      await insertRows(manager, Refund, refunds);
      const payments = Array.from({ length: MANY }, (_, index): Payment => {
        const no = uniqueNo('M');
        return { ...payment, id: ids.next(), businessNo: no, outTradeNo: no, overRefunded: index < 3 ? 1 : 0 };
      });
      await insertRows(manager, Payment, payments);
      const row = manager.create(Notification, {
        ...{ appId: 'default', refundId: id, refundStatus: 'success', snapshot: {} as never, url: null },
        ...{ state: 'delivered', attempts: 0, nextAttemptAt: null, createdAt: longAgo },
      });
      const notifications = Array.from({ length: MANY }, (_, index): Notification => {
        const due = index === 7 ? { state: 'pending' as const, nextAttemptAt: longAgo } : {};
        return { ...withoutNothing(row, manager), id: ids.next(), repairNo: ids.next(), ...due };
      });
      await insertRows(manager, Notification, notifications);
      if (service.db.isMysql) await manager.query('ANALYZE TABLE refund, payment, notification');
    });
  });
  afterAll(() => service.close());

  /** Columns of other features that may not be null get something. */
  function withoutNothing(row: Notification, manager: EntityManager): Notification {
    const filled = { ...row } as Record<string, unknown>;
    for (const column of manager.dataSource.getMetadata(Notification).columns) {
      const { propertyName, isNullable, type } = column;
      if (filled[propertyName] === undefined) filled[propertyName] = isNullable ? null : type === 'varchar' ? '' : 0;
    }
    return filled as unknown as Notification;
  }

  it('is right', async () => {
    const samples = await scrape(service);
    expect(samples.get('refund_sync_unresolved_refunds{channel="wechat_pay",status="progress"}')).toBe(MANY / 3 + 1);
    expect(samples.get('refund_sync_unresolved_refunds{channel="stripe",status="review"}')).toBe(0);
    const sinceS = (Date.now() - Date.parse('2026-01-01T00:00:00Z')) / 1_000;
    const age = (name: string): number => Math.abs((samples.get(name) ?? NaN) - sinceS);
    expect(age('refund_sync_oldest_unresolved_age_seconds{channel="wechat_pay"}')).toBeLessThan(60);
    expect(samples.get('refund_sync_oldest_unresolved_age_seconds{channel="stripe"}')).toBe(0);
    expect(samples.get(`refund_sync_due_refunds{account="${WECHAT_ACCOUNT}"}`)).toBeGreaterThanOrEqual(MANY / 3);
    expect(age(`refund_sync_oldest_due_age_seconds{account="${WECHAT_ACCOUNT}"}`)).toBeLessThan(60);
    expect(samples.get('refund_sync_notifications{state="pending"}')).toBe(1);
    expect(age('refund_sync_notification_lag_seconds')).toBeLessThan(60);
    expect(samples.get('refund_sync_over_refunded_payments')).toBe(3);
    expect(samples.get('refund_sync_silent_refunds')).toBe(0);
    expect(samples.get('refund_sync_ledger_sealed_entries')).toBe(0);
    expect(samples.get('refund_sync_queue_jobs{state="waiting"}')).toBe(0);
  });

  it('is answered by an index, and never by reading a whole table', async () => {
    const statements: { sql: string; parameters: unknown[] }[] = [];
    const read = service.db.read.bind(service.db);
    const spy = vi.spyOn(service.db, 'read').mockImplementation((work) =>
      read((manager) => {
        const watched = new Proxy(manager, {
          get: (target, key) =>
            key === 'query'
              ? (sql: string, parameters: unknown[] = []) => {
                  statements.push({ sql, parameters });
                  return target.query(sql, parameters);
                }
              : (Reflect.get(target, key) as unknown),
        });
        return work(watched);
      }),
    );
    const statistics = service.app.get(RefundStatistics);
    const accountIds = await service.app.get(DueRefundService).accountIds();
    statements.length = 0;
    await statistics.unresolved();
    await statistics.due(accountIds);
    await statistics.outbox();
    await statistics.overRefundedPayments();
    await service.app.get(SilentRefunds).count();
    await service.app.get(LedgerService).state();
    spy.mockRestore();

    expect(statements.length).toBeGreaterThanOrEqual(6);
    for (const { sql, parameters } of statements) {
      const explain = `EXPLAIN ${service.db.isMysql ? '' : 'QUERY PLAN '}${sql}`;
      const plan = await read((manager) => manager.query<Record<string, unknown>[]>(explain, parameters));
      const scans = plan.filter((step) =>
        service.db.isMysql
          ? /^(refund|payment|notification|repair_record|audit_entry)$/.test(String(step['table'])) &&
            ['ALL', 'index'].includes(String(step['type']))
          : /^SCAN (refund|payment|notification|repair_record|audit_entry)\b(?! USING (COVERING )?INDEX ix_(payment_overRefunded|refund_silent))/.test(
              String(step['detail']),
            ),
      );
      expect({ sql, scans }).toEqual({ sql, scans: [] });
    }
  });
});
