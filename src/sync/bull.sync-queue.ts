import type { Job, JobOptions, Queue } from 'bull';
import { errorText } from '../shared/errors.js';
import {
  PRIORITY,
  QueueUnavailable,
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

/**
 * The queue of the production profile: Bull, one job per refund with the refund's id as job id, so that a second job for the same refund
 * cannot exist. Jobs are removed when they are done, and the id is free again.
 *
 * Bull may run a job twice when a worker stalls, and Redis may lose all of them: the lease in the refund row and the
 * next look in the database make both harmless.
 */
export class BullSyncQueue implements SyncQueue {
  /** Who waits in this process, by refund id and the time stamp of the job. */
  private readonly waiters = new Map<string, Set<{ jobTimestamp: number | undefined; resolve: () => void }>>();
  private stopped = false;

  constructor(
    private readonly queue: Queue<SyncJob>,
    private readonly options: {
      /** 0: this process only submits. */
      concurrency: number;
      onError: (what: string, text: string) => void;
    },
  ) {
    queue.on('error', (error) => options.onError('redis', errorText(error)));
    queue.on('global:completed', (jobId, result) => this.settle(String(jobId), result));
    queue.on('global:failed', (jobId) => this.settle(String(jobId), undefined));
  }

  async start(handler: SyncHandler): Promise<void> {
    if (this.options.concurrency === 0) return;
    const working = this.queue.process(this.options.concurrency, async (job: Job<SyncJob>) => {
      try {
        await handler({ refundId: String(job.id), source: job.data.source });
      } catch (error) {
        this.options.onError(`sync of refund ${String(job.id)}`, errorText(error));
        // Bull stores what is thrown: a sentence without data, never the error itself.
        throw withoutStack(new Error('the sync failed inside the service; its log says why'));
      }
      return job.timestamp;
    });
    // Ends when the queue closes; until then its faults come as 'error' events.
    working.catch((error: unknown) => this.options.onError('worker', errorText(error)));
  }

  async submit(job: SyncJob): Promise<Submission> {
    if (this.stopped) return { state: 'accepted', settled: Promise.resolve() };
    return this.inTime(this.submitNow(job));
  }

  async submitMany(jobs: readonly SyncJob[]): Promise<void> {
    if (jobs.length === 0 || this.stopped) return;
    // A job id that exists is left as it is by Redis itself.
    await this.inTime(this.queue.addBulk(jobs.map((job) => ({ data: job, opts: optionsOf(job) }))));
  }

  async room(): Promise<number> {
    return Math.max(0, MAX_WAITING - (await this.inTime(this.queue.getWaitingCount())));
  }

  async stop(): Promise<void> {
    this.stopped = true;
    await this.queue.close();
    for (const waiting of this.waiters.values()) for (const { resolve } of waiting) resolve();
    this.waiters.clear();
  }

  async ping(): Promise<void> {
    await this.inTime(this.queue.client.ping());
  }

  private async submitNow(job: SyncJob): Promise<Submission> {
    const existing = await this.queue.getJob(job.refundId);
    if (existing) {
      if (await existing.isActive()) return { state: 'running' };
      const isFirst = (existing.opts.priority ?? 0) !== 0 && (existing.opts.priority ?? 0) <= PRIORITY[job.source];
      if (!isFirst && !(await this.takeOut(existing))) return { state: 'running' };
    }
    // Waiting begins before the job is added: it may be done before add() returns.
    const waiter = this.wait(job.refundId);
    try {
      await this.queue.add(job, optionsOf(job));
      const stored = await this.queue.getJob(job.refundId);
      if (stored) waiter.bindTo(stored.timestamp);
      else waiter.settle();
      return { state: 'accepted', settled: waiter.settled };
    } catch (error) {
      waiter.settle();
      throw error;
    }
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
    let resolvePromise: () => void = () => undefined;
    const settled = new Promise<void>((resolve) => (resolvePromise = resolve));
    const entry: { jobTimestamp: number | undefined; resolve: () => void } = {
      jobTimestamp: undefined,
      resolve: resolvePromise,
    };
    const waiting = this.waiters.get(refundId) ?? new Set();
    waiting.add(entry);
    this.waiters.set(refundId, waiting);
    const forget = (): void => {
      waiting.delete(entry);
      if (waiting.size === 0 && this.waiters.get(refundId) === waiting) this.waiters.delete(refundId);
    };
    void settled.then(forget);
    return { settled, bindTo: (jobTimestamp) => (entry.jobTimestamp = jobTimestamp), settle: resolvePromise };
  }

  /** An event of an earlier job with the same id must not wake who waits for a later one. */
  private settle(refundId: string, result: string | undefined): void {
    const doneTimestamp = result === undefined ? NaN : Number(result);
    for (const entry of this.waiters.get(refundId) ?? []) {
      const isEarlier = entry.jobTimestamp !== undefined && doneTimestamp < entry.jobTimestamp;
      if (!isEarlier) entry.resolve();
    }
  }

  private async inTime<T>(work: Promise<T>): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(
        () => reject(new QueueUnavailable(`Redis did not answer within ${COMMAND_TIMEOUT_MS} ms`)),
        COMMAND_TIMEOUT_MS,
      );
    });
    try {
      return await Promise.race([work, timeout]);
    } catch (error) {
      throw error instanceof QueueUnavailable ? error : new QueueUnavailable(errorText(error));
    } finally {
      clearTimeout(timer);
    }
  }
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

function withoutStack(error: Error): Error {
  error.stack = `${error.name}: ${error.message}`;
  return error;
}
