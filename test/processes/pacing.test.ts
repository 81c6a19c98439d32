import { availableParallelism, loadavg } from 'node:os';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sleep, until } from '../support/children.js';
import { hasServerBinaries } from '../support/private-servers.js';
import { Cluster, report } from '../support/processes.js';

const LIMIT_PER_S = 100;
const REFUNDS = 1_500;
const WARM_UP_MS = 2_000;
const MEASURED_MS = 11_000;
const WANTED_SHARE = 0.95;
/** Of a machine that others keep busy: whoever gets no processor cannot keep a gateway busy. */
const WANTED_SHARE_CROWDED = 0.4;

interface Stats {
  requests: number;
  rateLimited: number;
  requestsPerSecondPeak: number;
}

describe.runIf(hasServerBinaries())('three worker processes and a gateway that allows 100 calls a second', () => {
  let cluster: Cluster;

  beforeAll(async () => {
    cluster = await Cluster.start({ api: 1, workers: 3, env: { SWEEP_INTERVAL_MS: '500' } });
  });
  afterAll(() => cluster.close());

  it('keep it busy and are never refused', async () => {
    // WeChat Pay's connector declares this very limit.
    await cluster.control('/control/settings', {
      ...{ channel: 'wechat_pay', ratePerSecond: LIMIT_PER_S, latencyMs: 20, presign: 'publicKey' },
    });
    await cluster.seed(
      Array.from({ length: REFUNDS }, (_, index) => ({
        businessNo: `PACED-PAYMENT-${index}`,
        refunds: [{ refundNo: `PACED-${index}`, amount: 100, status: 'success' }],
      })),
    );
    const stats = () => cluster.control<Stats>('/control/stats');

    const isCrowded = (loadavg()[0] ?? 0) > 2 * availableParallelism();
    await cluster.everythingIsDue();
    await until('the first call comes', async () => (await stats()).requests > 0, { withinMs: 20_000, everyMs: 10 });
    const startedAt = performance.now();
    await sleep(WARM_UP_MS);
    const samples = [{ atMs: performance.now(), ...(await stats()) }];
    while (performance.now() - startedAt < WARM_UP_MS + MEASURED_MS) {
      await sleep(1_000);
      samples.push({ atMs: performance.now(), ...(await stats()) });
    }

    const first = samples[0];
    const last = samples.at(-1);
    if (!first || !last) throw new Error('nothing was measured');
    const seconds = (last.atMs - first.atMs) / 1_000;
    const perSecond = (last.requests - first.requests) / seconds;
    report('pacing', {
      limitPerSecond: LIMIT_PER_S,
      seconds: Math.round(seconds * 10) / 10,
      callsPerSecond: Math.round(perSecond * 10) / 10,
      used: `${((100 * perSecond) / LIMIT_PER_S).toFixed(1)} %`,
      refusedInWarmUp: first.rateLimited,
      refusedAfter: last.rateLimited - first.rateLimited,
      isMachineCrowded: isCrowded,
      mostInOneSecond: last.requestsPerSecondPeak,
      eachSecond: samples.slice(1).map(({ requests }, index) => requests - (samples[index]?.requests ?? 0)),
    });
    expect(last.rateLimited - first.rateLimited).toBe(0);
    expect(perSecond).toBeGreaterThanOrEqual((isCrowded ? WANTED_SHARE_CROWDED : WANTED_SHARE) * LIMIT_PER_S);

    await until(
      'every refund has ended',
      async () => (await cluster.sql("SELECT id FROM refund WHERE status = 'progress' LIMIT 1")).length === 0,
      { withinMs: 30_000, everyMs: 200 },
    );
    const { requests } = await stats();
    // Each is asked about once: waiting for its turn is no call, and leaves no record.
    expect(requests).toBe(REFUNDS);
    const [records] = await cluster.sql<{ count: string }>('SELECT COUNT(*) AS count FROM sync_record');
    expect(Number(records?.count)).toBe(REFUNDS);
  });
});
