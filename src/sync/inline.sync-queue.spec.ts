import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { InlineSyncQueue } from './inline.sync-queue.js';
import type { SyncJob } from './sync-queue.port.js';

/** Lets everything run that waits for nothing but promises. */
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

interface Bench {
  queue: InlineSyncQueue;
  /** Every run, in order. */
  runs: SyncJob[];
  /** Ids that are in the handler now. */
  running: string[];
  errors: [string, string][];
  finish(refundId: string): Promise<void>;
  fail(refundId: string, error: Error): Promise<void>;
}

/** A queue whose jobs run until the test ends them. */
async function aQueue({ concurrency = 1, started = true } = {}): Promise<Bench> {
  const runs: SyncJob[] = [];
  const running: string[] = [];
  const errors: [string, string][] = [];
  const ends = new Map<string, { resolve: () => void; reject: (error: Error) => void }>();
  const end = async (refundId: string, how: 'resolve' | 'reject', error: Error): Promise<void> => {
    const job = ends.get(refundId);
    if (!job) throw new Error(`${refundId} is not running`);
    ends.delete(refundId);
    running.splice(running.indexOf(refundId), 1);
    if (how === 'resolve') job.resolve();
    else job.reject(error);
    await settle();
  };
  const queue = new InlineSyncQueue(concurrency, (...error) => errors.push(error));
  if (started) {
    await queue.start((job) => {
      runs.push(job);
      running.push(job.refundId);
      return new Promise((resolve, reject) => ends.set(job.refundId, { resolve, reject }));
    });
  }
  return {
    queue,
    runs,
    running,
    errors,
    finish: (refundId) => end(refundId, 'resolve', new Error()),
    fail: (refundId, error) => end(refundId, 'reject', error),
  };
}

const job = (refundId: string, source: SyncJob['source'] = 'sweep'): SyncJob => ({ refundId, source });

/** Whether a submission's promise has been settled by now. */
function watch(settled: Promise<void>): { done: boolean } {
  const state = { done: false };
  void settled.then(() => (state.done = true));
  return state;
}

async function accepted(queue: InlineSyncQueue, submitted: SyncJob): Promise<{ done: boolean }> {
  const submission = await queue.submit(submitted);
  if (submission.state !== 'accepted') throw new Error(`${submitted.refundId} is ${submission.state}`);
  return watch(submission.settled);
}

describe('jobs', () => {
  it('of different refunds run side by side, up to the limit; the next one starts when one ends', async () => {
    const { queue, running, finish } = await aQueue({ concurrency: 2 });
    await queue.submitMany([job('A'), job('B'), job('C')]);
    expect(running).toEqual(['A', 'B']);
    await finish('A');
    expect(running).toEqual(['B', 'C']);
  });

  it('of a refund that runs are refused at once, and the running one is not repeated', async () => {
    const { queue, runs, finish } = await aQueue({ concurrency: 2 });
    await queue.submit(job('A', 'merchant'));
    expect(await queue.submit(job('A', 'merchant'))).toEqual({ state: 'running' });
    await queue.submitMany([job('A')]);
    await finish('A');
    expect(runs).toEqual([job('A', 'merchant')]);
  });

  it('of a refund that ran may run again', async () => {
    const { queue, runs, finish } = await aQueue();
    await queue.submit(job('A'));
    await finish('A');
    await queue.submit(job('A'));
    expect(runs).toHaveLength(2);
  });

  it('settle when they have been run, not before', async () => {
    const { queue, finish } = await aQueue();
    const first = await accepted(queue, job('A'));
    const second = await accepted(queue, job('B'));
    await settle();
    expect([first.done, second.done]).toEqual([false, false]);
    await finish('A');
    expect([first.done, second.done]).toEqual([true, false]);
    await finish('B');
    expect(second.done).toBe(true);
  });

  it('wait until somebody works', async () => {
    const { queue } = await aQueue({ started: false });
    const waiting = await accepted(queue, job('A'));
    const runs: string[] = [];
    await queue.start(async ({ refundId }) => void runs.push(refundId));
    await settle();
    expect([runs, waiting.done]).toEqual([['A'], true]);
  });

  it('that fail are reported, settle, and free their place', async () => {
    const { queue, errors, running, fail, finish } = await aQueue();
    const first = await accepted(queue, job('A'));
    await queue.submit(job('B'));
    await fail('A', new TypeError('broken'));
    expect(first.done).toBe(true);
    expect(errors).toEqual([['A', 'TypeError: broken']]);
    expect(running).toEqual(['B']);
    await finish('B');
    expect(await queue.submit(job('A'))).toMatchObject({ state: 'accepted' });
  });

  it('settle when the handler throws before its first await', async () => {
    const errors: string[] = [];
    const queue = new InlineSyncQueue(1, (refundId) => errors.push(refundId));
    await queue.start(() => {
      throw new Error('at once');
    });
    const [first, second] = [await accepted(queue, job('A')), await accepted(queue, job('B'))];
    await settle();
    expect([first.done, second.done, errors]).toEqual([true, true, ['A', 'B']]);
  });
});

describe('the order of waiting jobs', () => {
  /** Runs one job after the other; the first keeps the place taken until all have been submitted. */
  async function orderOf(submit: (queue: InlineSyncQueue) => Promise<void>): Promise<string[]> {
    const { queue, runs, running, finish } = await aQueue();
    await queue.submit(job('first'));
    await submit(queue);
    while (running[0] !== undefined) await finish(running[0]);
    return runs.slice(1).map(({ refundId, source }) => `${refundId} ${source}`);
  }

  it('is: people, then hints, then the sweep; within each the first come', async () => {
    expect(
      await orderOf(async (queue) => {
        await queue.submitMany([job('S1', 'sweep'), job('C1', 'callback'), job('S2', 'sweep')]);
        await queue.submit(job('M1', 'merchant'));
        await queue.submit(job('O1', 'operator'));
        await queue.submitMany([job('C2', 'callback')]);
        await queue.submit(job('M2', 'merchant'));
      }),
    ).toEqual(['M1 merchant', 'O1 operator', 'M2 merchant', 'C1 callback', 'C2 callback', 'S1 sweep', 'S2 sweep']);
  });

  it('changes for a refund that somebody waits for now: it is brought forward and run once', async () => {
    expect(
      await orderOf(async (queue) => {
        await queue.submitMany([job('S1'), job('S2'), job('S3')]);
        await queue.submit(job('S3', 'merchant'));
      }),
    ).toEqual(['S3 merchant', 'S1 sweep', 'S2 sweep']);
  });

  it('does not change for the worse, nor for who comes again', async () => {
    expect(
      await orderOf(async (queue) => {
        await queue.submit(job('M1', 'merchant'));
        await queue.submit(job('M2', 'merchant'));
        await queue.submit(job('M1', 'sweep'));
        await queue.submit(job('M1', 'operator'));
      }),
    ).toEqual(['M1 merchant', 'M2 merchant']);
  });

  it('is left as it is by hints and the sweep', async () => {
    expect(
      await orderOf(async (queue) => {
        await queue.submitMany([job('S1', 'sweep'), job('S2', 'sweep')]);
        await queue.submitMany([job('S2', 'callback')]);
      }),
    ).toEqual(['S1 sweep', 'S2 sweep']);
  });

  it('wakes everybody who waits for the same refund by its one run', async () => {
    const { queue, finish, runs } = await aQueue();
    await queue.submit(job('first'));
    await queue.submitMany([job('A')]);
    const waiting = [await accepted(queue, job('A', 'merchant')), await accepted(queue, job('A', 'operator'))];
    await finish('first');
    expect(waiting.map(({ done }) => done)).toEqual([false, false]);
    await finish('A');
    expect(waiting.map(({ done }) => done)).toEqual([true, true]);
    expect(runs).toHaveLength(2);
  });
});

describe('the room for the sweep', () => {
  it('shrinks with every refund in the queue, waiting or running, and grows again', async () => {
    const { queue, finish } = await aQueue();
    const empty = await queue.room();
    expect(empty).toBeGreaterThan(0);
    await queue.submitMany([job('A'), job('B'), job('A')]);
    expect(await queue.room()).toBe(empty - 2);
    await finish('A');
    expect(await queue.room()).toBe(empty - 1);
  });

  it('is never less than nothing', async () => {
    const { queue } = await aQueue();
    const room = await queue.room();
    await queue.submitMany(Array.from({ length: room + 5 }, (_, index) => job(`R${index}`)));
    expect(await queue.room()).toBe(0);
  });
});

describe('stop', () => {
  it('waits for the running jobs, starts no other, and wakes who waits for one that never ran', async () => {
    const { queue, runs, finish } = await aQueue();
    await queue.submit(job('A'));
    const neverRun = await accepted(queue, job('B'));
    const stopped = watch(queue.stop());
    await settle();
    expect([stopped.done, neverRun.done]).toEqual([false, false]);
    await finish('A');
    expect([stopped.done, neverRun.done]).toEqual([true, true]);
    expect(runs).toEqual([job('A')]);
  });

  it('is over at once when nothing runs', async () => {
    const { queue } = await aQueue({ started: false });
    const neverRun = await accepted(queue, job('A'));
    await queue.stop();
    await settle();
    expect(neverRun.done).toBe(true);
  });

  it('waits for a running job that fails, too', async () => {
    const { queue, fail } = await aQueue();
    await queue.submit(job('A'));
    const stopped = watch(queue.stop());
    await fail('A', new Error('late'));
    expect(stopped.done).toBe(true);
  });

  // The second call took the first one's place: who had called first waited for ever.
  it('may be called twice', async () => {
    const { queue, finish } = await aQueue();
    await queue.submit(job('A'));
    const both = [watch(queue.stop()), watch(queue.stop())];
    await finish('A');
    expect(both.map(({ done }) => done)).toEqual([true, true]);
  });

  it('takes no more jobs, and lets nobody wait for one', async () => {
    const { queue, runs } = await aQueue();
    const room = await queue.room();
    await queue.stop();
    const late = await accepted(queue, job('A', 'merchant'));
    await queue.submitMany([job('B')]);
    await settle();
    expect([late.done, runs, await queue.room()]).toEqual([true, [], room]);
  });
});

describe('whatever happens in whatever order', () => {
  const refundId = fc.constantFrom('A', 'B', 'C', 'D', 'E');
  const source = fc.constantFrom('merchant' as const, 'operator' as const, 'callback' as const, 'sweep' as const);
  const operations = fc.array(
    fc.oneof(
      fc.record({ does: fc.constant('submit' as const), refundId, source }),
      fc.record({ does: fc.constant('submitMany' as const), ids: fc.array(refundId, { maxLength: 4 }), source }),
      fc.record({ does: fc.constant('finish' as const), which: fc.nat(4) }),
      fc.record({ does: fc.constant('fail' as const), which: fc.nat(4) }),
    ),
    { maxLength: 40 },
  );

  it('no refund runs twice at once, no place stays empty while somebody waits, and everybody is woken by a run', async () => {
    await fc.assert(
      fc.asyncProperty(operations, fc.integer({ min: 1, max: 3 }), async (steps, concurrency) => {
        const { queue, runs, running, finish, fail } = await aQueue({ concurrency });
        const room = await queue.room();
        const waiters: { refundId: string; ranBefore: number; state: { done: boolean } }[] = [];
        const runsOf = (id: string) => runs.filter((run) => run.refundId === id).length;

        const check = async (): Promise<void> => {
          expect(new Set(running).size).toBe(running.length);
          expect(running.length).toBeLessThanOrEqual(concurrency);
          const waiting = room - (await queue.room()) - running.length;
          expect(waiting).toBeGreaterThanOrEqual(0);
          if (waiting > 0) expect(running.length).toBe(concurrency);
          // Woken when the first run that began after one began to wait has ended: not earlier, not later.
          for (const { refundId, ranBefore, state } of waiters) {
            const runsSince = runsOf(refundId) - ranBefore;
            expect(state.done).toBe(runsSince > 1 || (runsSince === 1 && !running.includes(refundId)));
          }
        };

        for (const step of steps) {
          if (step.does === 'submit') {
            const wasRunning = running.includes(step.refundId);
            const ranBefore = runsOf(step.refundId);
            const submission = await queue.submit(job(step.refundId, step.source));
            expect(submission.state).toBe(wasRunning ? 'running' : 'accepted');
            if (submission.state === 'accepted')
              waiters.push({ refundId: step.refundId, ranBefore, state: watch(submission.settled) });
          } else if (step.does === 'submitMany') {
            await queue.submitMany(step.ids.map((id) => job(id, step.source)));
          } else {
            const id = running[step.which];
            if (id !== undefined) await (step.does === 'finish' ? finish(id) : fail(id, new Error('broken')));
          }
          await check();
        }
        while (running[0] !== undefined) await finish(running[0]);
        expect(waiters.every(({ state }) => state.done)).toBe(true);
        expect(await queue.room()).toBe(room);
      }),
      { numRuns: 60 },
    );
  });
});
