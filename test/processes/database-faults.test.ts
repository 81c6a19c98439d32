import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sleep, until } from '../support/children.js';
import { hasServerBinaries } from '../support/private-servers.js';
import { Cluster, report, seeded, type ServiceProcess } from '../support/processes.js';

/** Makes: lease 4 s, lock of a job 5 s, claim 16 s. */
const env = { GATEWAY_TIMEOUT_MS: '2000', SWEEP_INTERVAL_MS: '500', SYNC_WAIT_MS: '5000' };
/** The wait of a sync, the time-outs of Redis and database, and what a machine that is busy with other things adds. */
const ANSWERED_WITHIN_MS = 20_000;
/** A lock is waited for 5 s at most, twice when a round of many is done again one by one; and a busy machine. */
const HELD_UP_MS = 20_000;
const LANES = 12;
const KILLS = 20;
const SEED = Number(process.env.PROCESS_TEST_SEED ?? Date.now() % 1_000_000);

/** What became of one request. `unreachable`: the process was killed under it. */
interface Sent {
  code: number | 'unreachable';
  tookMs: number;
}

describe.runIf(hasServerBinaries())('under load', () => {
  let cluster: Cluster;
  let counter = 0;

  beforeAll(async () => {
    cluster = await Cluster.start({ api: 2, workers: 3, accounts: 20, env });
  });
  afterAll(() => cluster.close());

  /** Merchants that send refunds and ask for them, until told to stop. */
  function load(random: () => number, refundNos: string[]): { sent: Sent[]; stop: () => Promise<void> } {
    const sent: Sent[] = [];
    let stopped = false;
    const timed = async (work: () => Promise<{ code: number }>): Promise<Sent> => {
      const startedAt = performance.now();
      const code = await work().then(
        (answer) => answer.code,
        (error: unknown) => {
          // Of fetch; what a test expects of an answer is thrown on.
          if (error instanceof TypeError) return 'unreachable' as const;
          throw error;
        },
      );
      return { code, tookMs: performance.now() - startedAt };
    };
    const lane = async (): Promise<void> => {
      while (!stopped) {
        counter += 1;
        const number = counter;
        const client = cluster.merchant(number);
        if (random() < 0.25) {
          const businessNo = `LOAD-${number % 200}`;
          const body = {
            ...{ businessNo, refundAll: false, refundNo: `CREATE-${number}` },
            refundChannels: [{ channel: 'wechat_pay', amount: 1 + Math.floor(random() * 100) }],
          };
          sent.push(await timed(() => client.call('/unipay/refund', body)));
        } else {
          const refundNo = refundNos[Math.floor(random() * refundNos.length)] ?? '';
          sent.push(await timed(() => client.syncRefund({ refundNo })));
        }
        await sleep(60);
      }
    };
    const lanes = Promise.all(Array.from({ length: LANES }, lane));
    // What goes wrong in a lane is thrown when the load is stopped.
    lanes.catch(() => (stopped = true));
    return {
      sent,
      stop: async () => {
        stopped = true;
        await lanes;
      },
    };
  }

  /** Refunds that hang at the gateway, and payments to refund. */
  async function world(name: string, count: number): Promise<string[]> {
    const statuses = ['success', 'closed', 'success', 'processing'];
    const known = await cluster.seed(
      Array.from({ length: count }, (_, index) => ({
        businessNo: `${name}-PAYMENT-${index}`,
        refunds: [0, 1].map((side) => ({
          ...{ refundNo: `${name}-${index}-${side}`, amount: 300 },
          status: statuses[(index + side) % statuses.length] ?? 'success',
        })),
      })),
    );
    return known.map(({ refundNo }) => refundNo);
  }

  const isAsked = (refundNo: string) =>
    until('the gateway is asked', async () => (await cluster.truth(refundNo)).activeCalls === 1, {
      withinMs: 10_000,
      everyMs: 10,
    });

  /** How many the database has broken since it started. */
  async function deadlocks(): Promise<number> {
    const [row] = await cluster.sql<{ Value: string }>("SHOW GLOBAL STATUS LIKE 'Innodb_deadlocks'");
    return Number(row?.Value ?? 0);
  }

  /** What was left in the middle is taken up again by leases, claims and sweeps; then every refund is what the gateway says. */
  async function settle(): Promise<number> {
    const startedAt = performance.now();
    await until(
      'nothing is left in the middle',
      async () => {
        // Time passes: what waits for its next look an hour from now is looked at.
        await cluster.everythingIsDue();
        await sleep(1_000);
        const [row] = await cluster.sql<{ n: string }>(
          `SELECT COUNT(*) AS n FROM refund WHERE leaseUntil > UTC_TIMESTAMP(3) OR (status = 'progress' AND
             (lastEvidence IS NULL OR lastEvidence NOT LIKE '%"kind":"processing"%' OR source = 'created'))`,
        );
        return Number(row?.n) === 0;
      },
      { withinMs: 60_000 },
    );
    return Math.round(performance.now() - startedAt);
  }

  function tally(sent: readonly Sent[]): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const { code } of sent) counts[code] = (counts[code] ?? 0) + 1;
    return counts;
  }

  async function expectTruth(): Promise<void> {
    const rows = await cluster.sql<{ gatewayRequestNo: string; status: string }>(
      'SELECT gatewayRequestNo, status FROM refund',
    );
    const { items, total } = await cluster.control<{ items: { outRefundNo: string; status: string }[]; total: number }>(
      '/control/refunds?limit=1000',
    );
    expect(total).toBe(items.length);
    const truth = new Map(items.map(({ outRefundNo, status }) => [outRefundNo, status]));
    const wanted: Record<string, string> = {
      success: 'success',
      closed: 'fail',
      failed: 'fail',
      processing: 'progress',
    };
    const wrong = rows.filter(({ gatewayRequestNo, status }) => wanted[truth.get(gatewayRequestNo) ?? ''] !== status);
    expect(wrong).toEqual([]);
  }

  async function payments(): Promise<void> {
    const numbers = Array.from({ length: 200 }, (_, index) => `LOAD-${index}`);
    await cluster.seed(numbers.map((businessNo) => ({ businessNo, amount: 100_000, refunds: [] })));
    for (const outTradeNo of numbers)
      await cluster.control('/control/payments', {
        channel: 'wechat_pay',
        outTradeNo,
        amount: 100_000,
        currency: 'CNY',
      });
  }

  it('MariaDB is killed and started again, twice: nothing is lost or done twice, nobody hangs, no process restarts', async () => {
    await payments();
    const refundNos = await world('DB', 60);
    const pids = cluster.services.map(({ child }) => child.pid);
    const running = load(seeded(SEED), refundNos);
    await cluster.everythingIsDue();
    await sleep(1_500);

    const awayMs: number[] = [];
    for (let time = 0; time < 2; time += 1) {
      const killedAt = performance.now();
      await cluster.mariadb.kill();
      await sleep(1_500);
      const [api] = cluster.apis;
      expect((await api?.ready())?.httpStatus).toBe(503);
      await cluster.mariadb.start();
      awayMs.push(Math.round(performance.now() - killedAt));
      await Promise.all(cluster.services.map((service) => service.becomesReady(20_000)));
      await sleep(1_500);
    }
    const before = running.sent.length;
    await sleep(1_000);
    await running.stop();

    const settledAfterMs = await settle();
    const codes = tally(running.sent);
    const slowestMs = Math.round(Math.max(...running.sent.map(({ tookMs }) => tookMs)));
    report('database killed twice', { seed: SEED, codes, slowestMs, awayMs, settledAfterMs });
    expect(Object.keys(codes).filter((code) => !['0', '10001', '10007', '20000'].includes(code))).toEqual([]);
    expect(slowestMs).toBeLessThan(ANSWERED_WITHIN_MS);
    expect(running.sent.slice(before).some(({ code }) => code === 0)).toBe(true);
    expect(cluster.services.map(({ child }) => child.isRunning && child.pid)).toEqual(pids);
    await expectTruth();
    await cluster.assertInvariants();
  });

  it('deadlocks are run again: whoever asked reads the answer', async () => {
    const pairs = 5;
    const known = await cluster.seed(
      Array.from({ length: pairs }, (_, index) => ({
        businessNo: `DEADLOCK-PAYMENT-${index}`,
        refunds: [{ refundNo: `DEADLOCK-${index}`, amount: 100, status: 'success' }],
      })),
    );
    // InnoDB ends the transaction that has written less: ours writes much, so that it is the service's.
    await cluster.seed(Array.from({ length: 100 }, (_, index) => ({ businessNo: `BALLAST-${index}`, refunds: [] })));
    const before = await deadlocks();
    await cluster.control('/control/settings', { channel: 'wechat_pay', latencyMs: 500 });

    // One after the other: all of them write the same ballast.
    const answers: number[] = [];
    for (const { refundNo, id, paymentId } of known) {
      const answer = cluster.merchant().syncRefund({ refundNo });
      await isAsked(refundNo);
      const wrongOrder = await cluster.connection();
      try {
        await wrongOrder.beginTransaction();
        await wrongOrder.query("UPDATE payment SET title = ? WHERE businessNo LIKE 'BALLAST-%'", [refundNo]);
        await wrongOrder.query('SELECT id FROM refund WHERE id = ? FOR UPDATE', [id]);
        await until(
          'the service waits for our lock',
          async () => (await cluster.sql('SELECT * FROM information_schema.INNODB_LOCK_WAITS')).length > 0,
          { withinMs: 10_000, everyMs: 10 },
        );
        // The service holds the payment and waits for the refund; we hold the refund and want the payment.
        await wrongOrder.query('SELECT id FROM payment WHERE id = ? FOR UPDATE', [paymentId]);
        await wrongOrder.rollback();
      } finally {
        // Also when it failed: what it holds would hold up every test after this one.
        await wrongOrder.end();
      }
      answers.push((await answer).code);
    }
    await cluster.control('/control/settings', { channel: 'wechat_pay', latencyMs: 0 });

    const made = (await deadlocks()) - before;
    report('deadlocks', { made, answers });
    expect(made).toBeGreaterThanOrEqual(pairs);
    expect(answers).toEqual(known.map(() => 0));
    await cluster.assertInvariants();
  });

  it('a process is paused in the middle of a transaction: the locks that it holds hold up nobody else for long', async () => {
    const known = await cluster.seed(
      Array.from({ length: 31 }, (_, index) => ({
        businessNo: `LOCKED-PAYMENT-${index}`,
        refunds: [{ refundNo: `LOCKED-${index}`, amount: 100, status: 'success' }],
      })),
    );
    const [locked, ...others] = known;
    const frozen = await cluster.connection();
    await frozen.beginTransaction();
    await frozen.query('SELECT id FROM refund WHERE id = ? FOR UPDATE', [locked?.id]);

    const startedAt = performance.now();
    const blocked = cluster.merchant().syncRefund({ refundNo: locked?.refundNo });
    const tookMs = await Promise.all(
      others.map(async ({ refundNo }, index) => {
        await until(
          `${refundNo} is synced`,
          async () => (await cluster.merchant(index).syncRefund({ refundNo })).code === 0,
          { withinMs: 60_000 },
        );
        return Math.round(performance.now() - startedAt);
      }),
    );
    await frozen.rollback();
    await frozen.end();

    report('locks held', { slowestMs: Math.max(...tookMs), blockedCode: (await blocked).code });
    expect(Math.max(...tookMs)).toBeLessThan(HELD_UP_MS);
    await until(
      'the blocked one is synced too',
      async () => (await cluster.merchant().syncRefund({ refundNo: locked?.refundNo })).code === 0,
      { withinMs: 60_000 },
    );
    await cluster.assertInvariants();
  });

  it(`processes are killed 20 times at random (seed ${SEED}): every invariant holds at the end`, async () => {
    const random = seeded(SEED + 1);
    const refundNos = await world('KILL', 100);
    const running = load(random, refundNos);
    await cluster.everythingIsDue();

    const failures: unknown[] = [];
    let apis = 0;
    for (let kill = 0; kill < KILLS; kill += 1) {
      await sleep(50 + random() * 700);
      // Mostly workers; an api process now and then, which dies in the middle of creates. One of each is always left.
      const role = random() < 0.2 ? 'api' : 'worker';
      const choice = random();
      const victim = await until<ServiceProcess>(
        `two of ${role} run`,
        async () => {
          const victims = role === 'api' ? cluster.apis : cluster.workers;
          return victims.length >= 2 && victims[Math.floor(choice * victims.length)];
        },
        { withinMs: 30_000 },
      );
      apis += role === 'api' ? 1 : 0;
      await cluster.kill(victim);
      void cluster.add(role).catch((error: unknown) => failures.push(error));
    }
    await until('as many run as before', async () => cluster.apis.length === 2 && cluster.workers.length === 3, {
      withinMs: 30_000,
    });
    await sleep(500);
    await running.stop();

    const settledAfterMs = await settle();
    const codes = tally(running.sent);
    report('killed', { seed: SEED, kills: KILLS, ofApis: apis, codes, settledAfterMs });
    expect(failures).toEqual([]);
    expect(
      Object.keys(codes).filter((code) => !['0', '10001', '10007', '20000', 'unreachable'].includes(code)),
    ).toEqual([]);
    await expectTruth();
    await cluster.assertInvariants();
  });
});
