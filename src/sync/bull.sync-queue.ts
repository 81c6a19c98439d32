import { setImmediate } from 'node:timers/promises';
import type { Job, JobOptions, Queue } from 'bull';
import type { Redis } from 'ioredis';
import { errorText } from '../shared/errors.js';
import { redisInTime, withinMs } from '../shared/redis-queue.js';
import {
  PRIORITY,
  QueueUnavailable,
  type QueueDepth,
  type Submission,
  type SyncHandler,
  type SyncJob,
  type SyncQueue,
} from './sync-queue.port.js';

export const BULL_QUEUE = 'refund-sync';

/** The sweep pauses while this many jobs wait: they are in the database anyway. */
const MAX_WAITING = 10_000;
/** A merchant is told within 3 s that Redis does not answer. */
const COMMAND_TIMEOUT_MS = 2_500;
/** What is said to Redis before the process ends takes no longer than this, each. */
const STOP_STEP_MS = 1_000;
/** People who wait for what other processes are doing still get their answer when it comes within this. */
const STOP_WAIT_MS = 5_000;
/** A job is added so often when it is gone before it can be looked at. */
const MAX_ADDS = 3;

interface Waiter {
  /** Of the job that is waited for; unknown until it is added. */
  jobTimestamp: number | undefined;
  /** Of the newest job that is known to be done. */
  doneTimestamp: number;
  settled: Promise<void>;
  resolve: () => void;
}

/**
 * The queue of the production profile: Bull, one job per refund with the refund's id as job id, so that a second job for the same refund
 * cannot exist. Jobs are removed when they are done, and the id is free again.
 *
 * Bull may run a job twice when a worker stalls, and Redis may lose all of them: the lease in the refund row and the
 * next look in the database make both harmless.
 */
export class BullSyncQueue implements SyncQueue {
  /** Who waits in this process, by refund id. */
  private readonly waiters = new Map<string, Set<Waiter>>();
  private readonly running = new Set<Promise<void>>();
  private stopped = false;

  constructor(
    private readonly queue: Queue<SyncJob>,
    private readonly options: {
      /** 0: this process only submits. */
      concurrency: number;
      /** Every connection that Bull was given; it closes none that it did not make itself. */
      connections: readonly Redis[];
      onError: (what: string, text: string) => void;
    },
  ) {
    queue.on('error', (error) => options.onError('redis', errorText(error)));
    queue.on('global:completed', (jobId, result) => this.settle(String(jobId), Number(result)));
    // Of jobs that stalled too often; when their next run would be is for the sweep to say.
    queue.on('global:failed', (jobId) => this.settle(String(jobId), Date.now()));
  }

  async start(handler: SyncHandler): Promise<void> {
    if (this.options.concurrency === 0) return;
    const working = this.queue.process(this.options.concurrency, async (job: Job<SyncJob>) => {
      const run = handler({ ...job.data, refundId: String(job.id) }).catch((error: unknown) =>
        // Not thrown on: Bull would store it, and a failed job ends as a done one does. The refund keeps its next look.
        this.options.onError(`sync of refund ${String(job.id)}`, errorText(error)),
      );
      this.running.add(run);
      await run;
      this.running.delete(run);
      return job.timestamp;
    });
    // Ends when the queue closes; until then its faults come as 'error' events.
    working.catch((error: unknown) => this.options.onError('worker', errorText(error)));
  }

  async submit(job: SyncJob): Promise<Submission> {
    if (this.stopped) throw new QueueUnavailable('this process is stopping');
    return this.inTime(() => this.submitNow(job));
  }

  async submitMany(jobs: readonly SyncJob[]): Promise<void> {
    if (jobs.length === 0 || this.stopped) return;
    // A job id that exists is left as it is by Redis itself.
    await this.inTime(() => this.queue.addBulk(jobs.map((job) => ({ data: job, opts: optionsOf(job) }))));
  }

  /** A key beside the jobs is gone when they are. Of many processes that look, one is told. */
  async hasForgotten(): Promise<boolean> {
    const key = this.queue.toKey('remembers');
    return (await this.inTime(() => this.queue.client.set(key, '1', 'NX'))) === 'OK';
  }

  async depth(): Promise<QueueDepth> {
    const { waiting, active, delayed } = await this.inTime(() => this.queue.getJobCounts());
    return { waiting: waiting + delayed, running: active };
  }

  async room(): Promise<number> {
    return Math.max(0, MAX_WAITING - (await this.inTime(() => this.queue.getWaitingCount())));
  }

  async stop(): Promise<void> {
    this.stopped = true;
    // Takes no further job. Not by close() yet: the way in which it waits for running jobs ends the process when Redis is away.
    await this.inStep('pause', this.queue.pause(true, true));
    while (this.running.size > 0) await Promise.all(this.running);
    const waiting = [...this.waiters.values()].flatMap((waiters) => [...waiters]);
    await withinMs(Promise.all(waiting.map(({ settled }) => settled)), STOP_WAIT_MS);
    // A connection is answered in order: when this is, Redis knows of the jobs that ended just now.
    await setImmediate();
    await this.inStep('ping', this.queue.client.ping());
    await this.inStep('close', this.queue.close(true));
    for (const connection of this.options.connections) connection.disconnect();
    for (const { resolve } of waiting) resolve();
    this.waiters.clear();
  }

  async ping(): Promise<void> {
    await this.inTime(() => this.queue.client.ping());
  }

  private async submitNow(job: SyncJob): Promise<Submission> {
    // Waiting begins before the job is added: it may be done before add() returns.
    const waiter = this.wait(job.refundId);
    try {
      const stored = await this.addOrFind(job);
      if (stored === 'running') {
        waiter.settle();
        return { state: 'running' };
      }
      if (stored) waiter.bindTo(stored.timestamp);
      else waiter.settle();
      return { state: 'accepted', settled: waiter.settled };
    } catch (error) {
      waiter.settle();
      throw error;
    }
  }

  /**
   * Adds first and looks afterwards: a job of this id that exists already is left as it is by Redis itself.
   *
   * @returns the job that waits for this refund, with this job's priority at least; `running` when it cannot be had because it runs;
   *   undefined when each was done before it could be looked at.
   */
  private async addOrFind(job: SyncJob): Promise<Job<SyncJob> | 'running' | undefined> {
    for (let attempt = 1; attempt <= MAX_ADDS; attempt += 1) {
      const added = await this.queue.add(job, optionsOf(job));
      const stored = await this.queue.getJob(job.refundId);
      // Done, it or the one that was there before it: nobody can tell, so it is asked for once more.
      if (!stored) continue;
      if (isSame(stored, added)) return stored;
      // One that had not begun looks after this moment; one that had may be back in the line, if its worker died.
      if (stored.processedOn !== undefined) {
        if (await stored.isActive()) return 'running';
        if ((await this.queue.getJob(job.refundId)) === null) continue;
      }
      if (isAsUrgent(stored, job)) return stored;
      if (!(await this.takeOut(stored))) return 'running';
    }
    return undefined;
  }

  /** Bull 4 has no change of priority. @returns false when the job cannot be removed: then it is running. */
  private async takeOut(job: Job<SyncJob>): Promise<boolean> {
    try {
      await job.remove();
      return true;
    } catch {
      // Gone meanwhile is as good as taken out; still there means that a worker holds it.
      return (await this.queue.getJob(job.id)) === null;
    }
  }

  private wait(refundId: string): {
    settled: Promise<void>;
    bindTo: (jobTimestamp: number) => void;
    settle: () => void;
  } {
    let resolve: () => void = () => undefined;
    const settled = new Promise<void>((resolvePromise) => (resolve = resolvePromise));
    const waiter: Waiter = { jobTimestamp: undefined, doneTimestamp: 0, settled, resolve };
    const waiting = this.waiters.get(refundId) ?? new Set();
    waiting.add(waiter);
    this.waiters.set(refundId, waiting);
    void settled.then(() => {
      waiting.delete(waiter);
      if (waiting.size === 0 && this.waiters.get(refundId) === waiting) this.waiters.delete(refundId);
    });
    const bindTo = (jobTimestamp: number): void => {
      waiter.jobTimestamp = jobTimestamp;
      if (waiter.doneTimestamp >= jobTimestamp) resolve();
    };
    return { settled, bindTo, settle: resolve };
  }

  /** The event of an earlier job with the same id, which may come late, must not wake who waits for a later one. */
  private settle(refundId: string, doneTimestamp: number): void {
    for (const waiter of this.waiters.get(refundId) ?? []) {
      waiter.doneTimestamp = Math.max(waiter.doneTimestamp, doneTimestamp);
      if (waiter.jobTimestamp !== undefined && waiter.doneTimestamp >= waiter.jobTimestamp) waiter.resolve();
    }
  }

  private async inStep(what: string, work: Promise<unknown>): Promise<void> {
    await withinMs(
      work.catch((error: unknown) => this.options.onError(what, errorText(error))),
      STOP_STEP_MS,
    );
  }

  private async inTime<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await redisInTime(this.queue.client, COMMAND_TIMEOUT_MS, work);
    } catch (error) {
      throw new QueueUnavailable(errorText(error));
    }
  }
}

/** Whether what is stored is what was added, and not a job of the same id that was there before. */
function isSame(stored: Job<SyncJob>, added: Job<SyncJob>): boolean {
  return stored.timestamp === added.timestamp && stored.data.traceId === added.data.traceId;
}

function isAsUrgent(stored: Job<SyncJob>, { source }: SyncJob): boolean {
  const priority = stored.opts.priority ?? 0;
  // In Bull no priority comes last.
  return priority !== 0 && priority <= PRIORITY[source];
}

/** The sweep's jobs have no priority: in Bull those come last, and adding them costs the same however many wait. */
function optionsOf(job: SyncJob): JobOptions {
  return {
    jobId: job.refundId,
    removeOnComplete: true,
    removeOnFail: true,
    attempts: 1,
    ...(job.source === 'sweep' ? {} : { priority: PRIORITY[job.source] }),
  };
}
