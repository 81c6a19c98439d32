import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sleep, until } from '../support/children.js';
import { hasServerBinaries } from '../support/private-servers.js';
import { Cluster, report, type ServiceProcess } from '../support/processes.js';

/** Makes: lease 4 s, lock of a job 5 s, a look for stalled jobs every 2 s. */
const GATEWAY_TIMEOUT_MS = 2_000;
const LEASE_MS = 2 * GATEWAY_TIMEOUT_MS;
/** Longer than everything: the gateway still works on the first call when the second comes. */
const SLOW_MS = 30_000;

describe.runIf(hasServerBinaries())('a lease', () => {
  let cluster: Cluster;
  let counter = 0;
  /** Refunds whose lease was taken away on purpose while the gateway worked on their call. */
  const stolenLeases: string[] = [];

  beforeAll(async () => {
    const env = { GATEWAY_TIMEOUT_MS: String(GATEWAY_TIMEOUT_MS), SWEEP_INTERVAL_MS: '300', SYNC_WAIT_MS: '25000' };
    cluster = await Cluster.start({ api: 1, workers: 0, env });
  });
  afterAll(() => cluster.close());

  const names = () => {
    counter += 1;
    return { refundNo: `LEASE-${counter}`, businessNo: `LEASE-PAYMENT-${counter}` };
  };
  const makeSlow = (refundNo: string, slowMs: number) =>
    cluster.control('/control/faults', {
      ...{ channel: 'wechat_pay', kind: 'slow', operation: 'query', rate: 1, count: 1 },
      ...{ slowMs, outRefundNo: refundNo },
    });
  const isAsked = (refundNo: string) =>
    until(
      `the gateway is being asked about ${refundNo}`,
      async () => (await cluster.truth(refundNo)).activeCalls === 1,
      {
        withinMs: 20_000,
        everyMs: 10,
      },
    );
  const statusOf = async (id: string) =>
    (await cluster.sql<{ status: string }>('SELECT status FROM refund WHERE id = ?', [id]))[0]?.status;
  const recordsOf = (id: string) =>
    cluster.sql<{ effect: string; result: string; operation: string; errorKind: string | null }>(
      'SELECT effect, result, operation, errorKind FROM sync_record WHERE refundId = ? ORDER BY id',
      [id],
    );
  const repairsOf = async (id: string) =>
    (await cluster.sql<{ repairNo: string }>('SELECT repairNo FROM repair_record WHERE refundId = ?', [id])).map(
      ({ repairNo }) => repairNo,
    );

  /** Stops a process in the middle of its gateway call, beyond its lease. */
  async function paused(service: ServiceProcess, refundNo: string): Promise<void> {
    await isAsked(refundNo);
    service.pause();
  }

  it.each([
    ['the gateway still works on its call', SLOW_MS, 2],
    ['its answer has come and lies unread', 500, 1],
  ])(
    'of a paused worker runs out: another finishes, and the late result is recorded and not used (%s)',
    async (_case, slowMs, concurrent) => {
      const named = names();
      await makeSlow(named.refundNo, slowMs);
      if (concurrent > 1) stolenLeases.push(named.refundNo);
      const first = await cluster.add('worker');
      // Due at once: the sweep of the only worker takes it.
      const refund = await cluster.register({ ...named, status: 'success' });
      await paused(first, refund.refundNo);
      const pausedAt = performance.now();

      const second = await cluster.add('worker');
      await until('another worker finishes', async () => (await statusOf(refund.id)) === 'success', {
        withinMs: 30_000,
      });
      const tookMs = Math.round(performance.now() - pausedAt);
      expect(tookMs).toBeGreaterThan(LEASE_MS / 2);
      first.resume();
      await until('the late result is recorded', async () => (await recordsOf(refund.id)).length === 2, {
        withinMs: 10_000,
      });

      const records = await recordsOf(refund.id);
      expect(records.map(({ effect }) => effect)).toEqual(['changed', 'superseded']);
      expect(await repairsOf(refund.id)).toHaveLength(2);
      expect((await cluster.truth(refund.refundNo)).maxConcurrentQueries).toBe(concurrent);
      report('lease', {
        case: _case,
        takenOverAfterMs: tookMs,
        lateResult: records[1]?.result,
        lateError: records[1]?.errorKind,
      });
      await cluster.assertInvariants({ stolenLeases });
      await Promise.all([cluster.stop(first), cluster.stop(second)]);
    },
  );

  it('of a worker that was killed runs out: its job is run again by another, and who waits gets the answer', async () => {
    const refund = await cluster.register({ ...names(), status: 'processing' });
    const first = await cluster.add('worker');
    await until('the sweep has looked', async () => (await recordsOf(refund.id)).length === 1, { withinMs: 20_000 });
    await cluster.atGateway({ ...refund, amount: 100, paymentAmount: 1_000, status: 'success' });
    await makeSlow(refund.refundNo, SLOW_MS);

    const answer = cluster.merchant().syncRefund({ refundNo: refund.refundNo });
    await isAsked(refund.refundNo);
    await cluster.kill(first);
    const killedAt = performance.now();
    const second = await cluster.add('worker');

    expect(await answer).toMatchObject({ code: 0, data: { gatewayStatus: 'refund_success', repair: true } });
    report('lease', { case: 'killed', runAgainAfterMs: Math.round(performance.now() - killedAt) });
    expect((await recordsOf(refund.id)).map(({ effect }) => effect)).toEqual(['unchanged', 'changed']);
    expect(await repairsOf(refund.id)).toHaveLength(2);
    const jobs = await cluster.redis.command('KEYS', `*:${refund.id}`);
    expect(jobs).toEqual([]);
    await cluster.stop(second);
  });

  it('of a process that was paused while it sent a refund runs out: one refund at the gateway, one result', async () => {
    const { businessNo } = names();
    await cluster.control('/control/payments', {
      channel: 'wechat_pay',
      outTradeNo: businessNo,
      amount: 1_000,
      currency: 'CNY',
    });
    await cluster.admin('POST', '/admin/payments', { businessNo, channel: 'wechat_pay', amount: 1_000 });
    const worker = await cluster.add('worker');
    await cluster.control('/control/faults', {
      ...{ channel: 'wechat_pay', kind: 'slow', operation: 'create', rate: 1, count: 1, slowMs: SLOW_MS },
    });
    const [api] = cluster.apis;

    const answer = cluster.merchant().call<{ refundId: string }>('/unipay/refund', {
      businessNo,
      refundAll: false,
      refundNo: `CREATED-${businessNo}`,
      refundChannels: [{ channel: 'wechat_pay', amount: 400 }],
    });
    const [row] = await until(
      'the refund is being sent',
      async () => {
        const rows = await cluster.sql<{ id: string }>('SELECT id FROM refund WHERE refundNo = ?', [
          `CREATED-${businessNo}`,
        ]);
        return rows.length === 1 && rows;
      },
      { withinMs: 10_000, everyMs: 10 },
    );
    const id = row?.id ?? '';
    await until(
      'the gateway has the call',
      async () =>
        cluster.truth(id).then(
          ({ activeCalls }) => activeCalls === 1,
          () => false,
        ),
      { withinMs: 5_000, everyMs: 10 },
    );
    api?.pause();
    // Asked by the sweep when the lease of the sender runs out; the gateway has stored it and says "processing", then "success".
    await until('the sweep has looked', async () => (await recordsOf(id)).length >= 1, { withinMs: 30_000 });
    await sleep(1_600);
    await cluster.everythingIsDue();
    await until('the refund ends', async () => (await statusOf(id)) === 'success', { withinMs: 30_000 });
    api?.resume();

    expect((await answer).httpStatus).toBe(200);
    await until(
      'the late answer is recorded',
      async () => (await recordsOf(id)).some(({ operation }) => operation === 'create'),
      { withinMs: 10_000 },
    );
    const records = await recordsOf(id);
    expect(records.filter(({ effect }) => effect === 'changed')).toHaveLength(1);
    expect(records.filter(({ operation }) => operation === 'create').map(({ effect }) => effect)).toEqual([
      'superseded',
    ]);
    expect(await repairsOf(id)).toHaveLength(2);
    const truth = await cluster.truth(id);
    expect(truth).toMatchObject({ refundsAtGateway: 1, creates: 1 });
    stolenLeases.push(id);
    await cluster.assertInvariants({ stolenLeases });
    await cluster.stop(worker);
  });
});
