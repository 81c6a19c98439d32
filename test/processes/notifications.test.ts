import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until } from '../support/children.js';
import { hasServerBinaries } from '../support/private-servers.js';
import { Cluster, report } from '../support/processes.js';
import { accept, Receiver, refuse } from '../support/receiver.js';

const REFUNDS = 60;

interface Row {
  id: string;
  state: string;
  attempts: number;
}

describe.runIf(hasServerBinaries())('notifications of one api and two worker processes', () => {
  let cluster: Cluster;
  let receiver: Receiver;
  let counter = 0;

  beforeAll(async () => {
    receiver = await Receiver.start();
    cluster = await Cluster.start({
      ...{ api: 1, workers: 2 },
      env: { NOTIFY_ALLOW: '127.0.0.1', NOTIFY_INTERVAL_MS: '200' },
    });
  });
  afterAll(async () => {
    await cluster.close();
    await receiver.close();
  });

  async function ended(): Promise<string> {
    counter += 1;
    const refundNo = `NOTIFIED-${counter}`;
    const { httpStatus } = await cluster.admin('POST', '/admin/refunds', {
      ...{ refundNo, channel: 'cash_pay', amount: 1, notifyUrl: receiver.url() },
      payment: { businessNo: `P-${refundNo}`, amount: 1 },
    });
    expect(httpStatus).toBe(201);
    return refundNo;
  }

  const rows = (): Promise<Row[]> => cluster.sql<Row>('SELECT id, state, attempts FROM notification');
  const allDelivered = (withinMs: number): Promise<boolean> =>
    until(
      'all are delivered',
      async () => {
        const found = await rows();
        return found.length > 0 && found.every(({ state }) => state === 'delivered');
      },
      { withinMs, everyMs: 200 },
    );

  it('reach the receiver although both workers are killed while they deliver: at least once', async () => {
    receiver.otherwise = () => undefined;
    const refundNo = await ended();
    await until('it was sent', async () => receiver.of(refundNo).length === 1, { withinMs: 10_000 });
    await Promise.all([...cluster.workers].map((worker) => cluster.kill(worker)));
    receiver.otherwise = accept;
    await Promise.all([cluster.add('worker'), cluster.add('worker')]);
    await allDelivered(60_000);
    const received = receiver.of(refundNo);
    expect(received.length).toBeGreaterThanOrEqual(2);
    expect(new Set(received.map(({ headers }) => headers['webhook-id'])).size).toBe(1);
  });

  it('are all delivered while the receiver refuses some, Redis is emptied and a worker is killed', async () => {
    const refusedOnce = new Set<unknown>();
    receiver.otherwise = async (response, received) => {
      const { refundNo } = received.notice;
      const isRefused = String(refundNo).endsWith('3') && !refusedOnce.has(refundNo);
      refusedOnce.add(refundNo);
      await new Promise((resolve) => setTimeout(resolve, 20));
      await (isRefused ? refuse : accept)(response, received);
    };
    const startedAt = performance.now();
    const refundNos: string[] = [];
    for (let count = 0; count < REFUNDS; count += 1) {
      refundNos.push(await ended());
      if (count === REFUNDS / 3) await cluster.redis.command('FLUSHALL');
      const [worker] = cluster.workers;
      if (count === REFUNDS / 2 && worker) await cluster.kill(worker);
    }
    await allDelivered(120_000);
    const sent = refundNos.map((refundNo) => receiver.of(refundNo).length);
    expect(sent.every((times) => times >= 1)).toBe(true);
    report('notifications', {
      refunds: REFUNDS,
      requests: sent.reduce((sum, times) => sum + times, 0),
      allDeliveredAfterMs: Math.round(performance.now() - startedAt),
    });
  });
});
