import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { until } from '../support/children.js';
import { hasServerBinaries } from '../support/private-servers.js';
import { Cluster, report, withLimit, type KnownRefund } from '../support/processes.js';

const SWEEP_INTERVAL_MS = 1_000;
/** A merchant is told within this that Redis does not answer. */
const TOLD_WITHIN_MS = 3_000;
/** What a machine that is busy with other things may add. */
const SLACK_MS = 2_000;
const QUEUE_AWAY = '同步失败: 同步队列暂时不可用，稍后会自动同步';

describe.runIf(hasServerBinaries())('Redis', () => {
  let cluster: Cluster;
  let batch = 0;

  beforeAll(async () => {
    // The lease and the claim keep their real lengths, 30 s and 2 minutes: what comes back sooner does not come from them.
    const env = { SWEEP_INTERVAL_MS: String(SWEEP_INTERVAL_MS), SYNC_CONCURRENCY: '2', SYNC_WAIT_MS: '5000' };
    cluster = await Cluster.start({ api: 2, workers: 2, accounts: 10, env });
  });
  afterEach(async () => {
    await cluster.control('/control/settings', { channel: 'wechat_pay', latencyMs: 0 });
  });
  afterAll(() => cluster.close());

  async function refunds(count: number): Promise<KnownRefund[]> {
    batch += 1;
    return cluster.seed(
      Array.from({ length: count }, (_, index) => ({
        businessNo: `REDIS-PAYMENT-${batch}-${index}`,
        refunds: [{ refundNo: `REDIS-${batch}-${index}`, amount: 100, status: 'success' }],
      })),
    );
  }

  const inProgress = async (): Promise<number> =>
    Number((await cluster.sql<{ n: string }>("SELECT COUNT(*) AS n FROM refund WHERE status = 'progress'"))[0]?.n);
  const waitingJobs = async (): Promise<number> =>
    Number(await cluster.redis.command('LLEN', '{refund-sync}:refund-sync:wait'));
  const allEnd = (withinMs: number) =>
    until('every refund has ended', async () => (await inProgress()) === 0, { withinMs, everyMs: 100 });
  const allReady = () => Promise.all(cluster.services.map((service) => service.becomesReady(20_000)));

  async function timedSync(refundNo: string, index = 0): Promise<{ code: number; msg: string; tookMs: number }> {
    const startedAt = performance.now();
    const { code, msg } = await cluster.merchant(index).syncRefund({ refundNo });
    return { code, msg, tookMs: Math.round(performance.now() - startedAt) };
  }

  it('is emptied while jobs wait: the next sweep picks all of them up again, long before their claims run out', async () => {
    const known = await refunds(120);
    await cluster.control('/control/settings', { channel: 'wechat_pay', latencyMs: 1_000 });
    await cluster.everythingIsDue();
    await until('jobs wait', async () => (await waitingJobs()) >= 10, { withinMs: 20_000, everyMs: 10 });

    const waitingJobsBefore = await waitingJobs();
    await cluster.redis.command('FLUSHALL');
    const flushedAt = performance.now();
    const [claims] = await cluster.sql<{ n: string }>(
      'SELECT COUNT(*) AS n FROM refund WHERE nextSyncAt BETWEEN UTC_TIMESTAMP(3) + INTERVAL 90 SECOND AND UTC_TIMESTAMP(3) + INTERVAL 3 MINUTE',
    );
    await cluster.control('/control/settings', { channel: 'wechat_pay', latencyMs: 0 });
    await allEnd(60_000);
    const allDoneAfterMs = Math.round(performance.now() - flushedAt);

    report('redis emptied', { waitingJobsBefore, claimsLost: Number(claims?.n), allDoneAfterMs });
    expect(Number(claims?.n)).toBeGreaterThanOrEqual(10);
    // One sweep, a second of the slow gateway, and the work itself.
    expect(allDoneAfterMs).toBeLessThan(SWEEP_INTERVAL_MS + 20_000);
    const truths = await withLimit(16, known, ({ refundNo }) => cluster.truth(refundNo));
    expect(truths.filter(({ maxConcurrentCalls }) => maxConcurrentCalls > 1)).toEqual([]);
    await cluster.assertInvariants();
  });

  it('loses the job that a merchant waits for: the merchant is told that the sync goes on, and it does', async () => {
    const [refund] = await refunds(1);
    const blockers = await refunds(20);
    await cluster.control('/control/settings', { channel: 'wechat_pay', latencyMs: 2_000 });
    // Merchants take every place of the workers, so that the last one's job waits.
    const others = blockers.map(({ refundNo }, index) => timedSync(refundNo, index));
    await until('every place is taken', async () => (await waitingJobs()) > 10, { withinMs: 10_000, everyMs: 10 });

    const answer = timedSync(refund?.refundNo ?? '');
    const job = `{refund-sync}:refund-sync:${refund?.id}`;
    await until('the job is there', async () => Number(await cluster.redis.command('EXISTS', job)) === 1, {
      withinMs: 5_000,
      everyMs: 10,
    });
    await cluster.redis.command('FLUSHALL');
    await cluster.control('/control/settings', { channel: 'wechat_pay', latencyMs: 0 });

    const { code, msg } = await answer;
    expect({ code, msg }).toEqual({ code: 20_000, msg: '同步失败: 等待超时，同步在后台继续' });
    await Promise.all(others);
    await allEnd(15_000);
  });

  it.each([
    ['killed', 'ECONNREFUSED'],
    ['frozen', 'did not answer'],
  ] as const)(
    'is %s: merchants are told within 3 s, the processes say that they are not ready, and work resumes by itself',
    async (how, why) => {
      const known = await refunds(40);
      expect(await timedSync(known[0]?.refundNo ?? '')).toMatchObject({ code: 0 });
      if (how === 'killed') await cluster.redis.kill();
      else cluster.redis.pause();

      const answers = await withLimit(20, known.slice(1), ({ refundNo }, index) => timedSync(refundNo, index));
      const slowestMs = Math.max(...answers.map(({ tookMs }) => tookMs));
      for (const { code, msg } of answers) expect({ code, msg }).toEqual({ code: 20_000, msg: QUEUE_AWAY });
      expect(slowestMs).toBeLessThan(TOLD_WITHIN_MS + SLACK_MS);
      const startedAt = performance.now();
      const [english] = await Promise.all([
        cluster.merchant().syncRefund({ refundNo: known[1]?.refundNo }, { 'accept-language': 'en' }),
        ...cluster.services.map(async (service) => {
          const { httpStatus, body } = await service.ready();
          expect(httpStatus).toBe(503);
          expect(body).toMatchObject({ status: 'notReady', checks: { database: 'ok', queue: expect.any(String) } });
          expect(body.checks.queue).not.toBe('ok');
          expect((await fetch(`${service.url}/health/live`)).status).toBe(200);
        }),
      ]);
      expect(performance.now() - startedAt).toBeLessThan(TOLD_WITHIN_MS + SLACK_MS);
      expect(english.msg).toBe(
        'the sync did not succeed: the sync queue is away, the refund will be synced later by itself',
      );
      expect(await inProgress()).toBe(known.length - 1);

      if (how === 'killed') await cluster.redis.start();
      else cluster.redis.resume();
      const backAt = performance.now();
      await allReady();
      const readyAfterMs = Math.round(performance.now() - backAt);
      // Nobody asks again: those that were refused are synced by themselves.
      await allEnd(20_000);
      report(`redis ${how}`, { why, slowestMs, readyAfterMs, allDoneAfterMs: Math.round(performance.now() - backAt) });
      const [later] = await refunds(1);
      expect(await timedSync(later?.refundNo ?? '')).toMatchObject({ code: 0 });
      await cluster.assertInvariants();
    },
  );

  it('is away while a process is told to stop in the middle of its work, and while one starts: both do what they are told', async () => {
    const [refund] = await refunds(1);
    await Promise.all(cluster.workers.slice(1).map((worker) => cluster.stop(worker)));
    const [worker] = cluster.workers;
    await cluster.control('/control/settings', { channel: 'wechat_pay', latencyMs: 2_000 });
    await cluster.sql('UPDATE refund SET nextSyncAt = UTC_TIMESTAMP(3) WHERE id = ?', [refund?.id]);
    await until('the gateway is asked', async () => (await cluster.truth(refund?.refundNo ?? '')).activeCalls === 1, {
      withinMs: 10_000,
      everyMs: 10,
    });
    await cluster.redis.kill();

    const ended = worker?.child.terminate(15_000);
    // What the gateway answered is not thrown away.
    expect(await ended, worker?.child.tail()).toMatchObject({ code: 0 });
    expect(await inProgress()).toBe(0);
    const { tookMs } = (await ended) ?? {};
    for (const gone of [worker]) if (gone) cluster.services.splice(cluster.services.indexOf(gone), 1);

    const another = await cluster.add('worker');
    expect((await another.ready()).httpStatus).toBe(503);
    const idle = await cluster.add('worker');
    const { tookMs: idleTookMs } = await idle.child.terminate(10_000);
    cluster.services.splice(cluster.services.indexOf(idle), 1);
    report('redis away', { busyStoppedAfterMs: Math.round(tookMs ?? 0), idleStoppedAfterMs: Math.round(idleTookMs) });
    await cluster.control('/control/settings', { channel: 'wechat_pay', latencyMs: 0 });
    await cluster.redis.start();
    await allReady();
    const [later] = await refunds(1);
    expect(await timedSync(later?.refundNo ?? '')).toMatchObject({ code: 0 });
    await cluster.assertInvariants();
  });
});
