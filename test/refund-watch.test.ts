import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Refund } from '../src/refund/refund.entity.js';
import { RefundAges } from '../src/refund/refund-age.service.js';
import { Alerts } from '../src/shared/alerts.js';
import { DAY_MS, HOUR_MS, MINUTE_MS } from '../src/shared/clock.js';
import { RefundWatch } from '../src/sync/refund-watch.js';
import { stuckRefund } from './support/builders.js';
import { FakeClock } from './support/fake-clock.js';
import { logLines, startService, type TestService } from './support/service.js';

describe('the watch over open refunds', () => {
  const clock = new FakeClock();
  let service: TestService;
  beforeAll(async () => {
    service = await startService({ clock, env: { STUCK_AFTER: '2d,stripe=10d' } });
  });
  afterAll(() => service.close());

  const raised = (code: 'REFUNDS_SILENT' | 'REFUNDS_STUCK') => service.app.get(Alerts).counts().get(code) ?? 0;
  const watch = () => service.app.get(RefundWatch);
  const alertLines = (code: string) => logLines.filter((line) => line.includes(`"${code}"`));

  async function aged(ages: readonly number[]): Promise<string[]> {
    const ids: string[] = [];
    for (const ageMs of ages) {
      const createdAt = new Date(clock.now().getTime() - ageMs).toISOString();
      ids.push((await stuckRefund(service, { amount: 1, more: { createdAt } })).id);
    }
    return ids;
  }

  it('finds nothing where nothing is open', async () => {
    expect(await watch().check()).toEqual({ silent: 0, ages: [] });
    expect([raised('REFUNDS_SILENT'), raised('REFUNDS_STUCK')]).toEqual([0, 0]);
  });

  it('tells ages by channel against the norm, and raises an alert once for what is older', async () => {
    const ids = await aged([
      ...Array.from({ length: 5 }, () => 30_000),
      ...Array.from({ length: 4 }, () => 90 * MINUTE_MS),
      DAY_MS + HOUR_MS,
    ]);
    const [ages] = (await watch().check()).ages;
    expect(ages).toMatchObject({
      channel: 'wechat_pay',
      unresolved: 10,
      p50Ms: MINUTE_MS,
      p90Ms: 2 * HOUR_MS,
      normMs: 2 * DAY_MS,
      stuck: 0,
    });
    // No percentile is more than the oldest.
    expect(ages?.p99Ms).toBe(ages?.oldestMs);
    expect(ages?.oldestMs).toBeGreaterThanOrEqual(DAY_MS + HOUR_MS);
    expect(ages?.oldestMs).toBeLessThan(DAY_MS + HOUR_MS + MINUTE_MS);
    expect(raised('REFUNDS_STUCK')).toBe(0);

    clock.advance(DAY_MS);
    await watch().check();
    await watch().check();
    expect(raised('REFUNDS_STUCK')).toBe(1);
    expect(JSON.parse(alertLines('REFUNDS_STUCK').at(-1) ?? '{}')).toMatchObject({
      level: 'error',
      code: 'REFUNDS_STUCK',
      channel: 'wechat_pay',
      stuck: 1,
    });

    // An end is no longer open, and what comes up anew is said anew.
    await service.db.read((manager) => manager.update(Refund, ids, { status: 'success', nextSyncAt: null }));
    expect((await watch().check()).ages).toEqual([]);
    await aged([3 * DAY_MS]);
    await watch().check();
    expect(raised('REFUNDS_STUCK')).toBe(2);
  });

  it('counts the silent ones by an index that holds nothing else', async () => {
    const { db } = service;
    const condition = db.isMysql
      ? 'silent = 1'
      : "status NOT IN ('success','fail','close','review') AND (nextSyncAt IS NULL OR gatewayAccountId IS NULL)";
    const plan: unknown = await db.read((manager) =>
      manager.query(`EXPLAIN ${db.isMysql ? '' : 'QUERY PLAN '}SELECT COUNT(*) FROM refund WHERE ${condition}`),
    );
    expect(JSON.stringify(plan)).toContain('ix_refund_silent');
  });

  it('takes the norm from the environment, by channel', () => {
    const ages = service.app.get(RefundAges);
    expect([ages.normMs('stripe'), ages.normMs('ali_pay')]).toEqual([10 * DAY_MS, 2 * DAY_MS]);
  });

  it('raises an alert for a refund that nobody would look at again', async () => {
    const [id = ''] = await aged([MINUTE_MS]);
    const { nextSyncAt } = await service.refund(id);
    await service.db.read((manager) => manager.update(Refund, { id }, { nextSyncAt: null }));
    expect((await watch().check()).silent).toBe(1);
    expect(raised('REFUNDS_SILENT')).toBe(1);
    expect(alertLines('REFUNDS_SILENT')).toHaveLength(1);
    const health = async () => (await (await fetch(`${service.url}/health/ready`)).json()) as Record<string, unknown>;
    expect(await health()).toMatchObject({ status: 'ready', refunds: { silent: 1, stuck: 1 } });
    const metrics = async () => (await fetch(`${service.url}/metrics`)).text();
    expect(await metrics()).toMatch(/refund_sync_silent_refunds 1\n/);
    expect(await metrics()).toMatch(/refund_sync_stuck_refunds\{channel="wechat_pay"\} 1\n/);
    expect(await metrics()).toMatch(/refund_sync_alerts_total\{code="REFUNDS_SILENT"\} 1\n/);
    await service.db.read((manager) => manager.update(Refund, { id }, { nextSyncAt }));
    await watch().check();
    expect((await watch().vigilance()).silent).toBe(0);
    // Health is good for half a second.
    await expect.poll(health).toMatchObject({ status: 'ready', refunds: { silent: 0 } });
  });

  it('has norms of the gateways where the environment has none', async () => {
    const plain = await startService();
    const ages = plain.app.get(RefundAges);
    expect(['wechat_pay', 'ali_pay', 'union_pay', 'stripe'].map((channel) => ages.normMs(channel) / DAY_MS)).toEqual([
      5, 1, 14, 10,
    ]);
    await plain.close();
  });
});
