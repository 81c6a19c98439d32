import { errorText } from '../shared/errors.js';
import {
  PRIORITY,
  type QueueDepth,
  type Submission,
  type SyncHandler,
  type SyncJob,
  type SyncQueue,
} from './sync-queue.port.js';

interface Entry {
  job: SyncJob;
  state: 'waiting' | 'running';
  settled: Promise<void>;
  settle: () => void;
}

/** Jobs that may wait in memory before the sweep is told to pause. */
const MAX_WAITING = 2_000;

/** The queue of the embedded profile: in this process, in memory. */
export class InlineSyncQueue implements SyncQueue {
  private readonly entries = new Map<string, Entry>();
  /** Ids of waiting refunds by priority, first in first out; an id brought forward moves to the end of its new lane. */
  private readonly lanes = new Map<number, Set<string>>(
    [...new Set(Object.values(PRIORITY))].sort().map((priority) => [priority, new Set()]),
  );
  private handler: SyncHandler | undefined;
  private running = 0;
  private stopped = false;

  constructor(
    private readonly concurrency: number,
    private readonly onError: (refundId: string, text: string) => void,
  ) {}

  async start(handler: SyncHandler): Promise<void> {
    this.handler = handler;
    this.pump();
  }

  async submit(job: SyncJob): Promise<Submission> {
    if (this.stopped) return { state: 'accepted', settled: Promise.resolve() };
    const entry = this.entries.get(job.refundId);
    if (entry?.state === 'running') return { state: 'running' };
    return { state: 'accepted', settled: (entry ? this.bringForward(entry, job) : this.add(job)).settled };
  }

  async submitMany(jobs: readonly SyncJob[]): Promise<void> {
    if (this.stopped) return;
    for (const job of jobs) if (!this.entries.has(job.refundId)) this.add(job);
  }

  /** It forgets when its process ends; the claims of that run out by themselves. */
  async hasForgotten(): Promise<boolean> {
    return false;
  }

  async depth(): Promise<QueueDepth> {
    return { waiting: this.entries.size - this.running, running: this.running };
  }

  async room(): Promise<number> {
    return Math.max(0, MAX_WAITING - this.entries.size);
  }

  async ping(): Promise<void> {}

  async stop(): Promise<void> {
    this.stopped = true;
    const running = [...this.entries.values()].filter(({ state }) => state === 'running');
    await Promise.all(running.map(({ settled }) => settled));
    // Whoever waits for a job that never ran reads the database and finds that nothing happened.
    for (const entry of this.entries.values()) entry.settle();
    this.entries.clear();
  }

  private add(job: SyncJob): Entry {
    let settle: () => void = () => undefined;
    const settled = new Promise<void>((resolve) => (settle = resolve));
    const entry: Entry = { job, state: 'waiting', settled, settle };
    this.entries.set(job.refundId, entry);
    this.lane(job).add(job.refundId);
    this.pump();
    return entry;
  }

  private bringForward(entry: Entry, job: SyncJob): Entry {
    if (PRIORITY[job.source] < PRIORITY[entry.job.source]) {
      this.lane(entry.job).delete(job.refundId);
      entry.job = job;
      this.lane(job).add(job.refundId);
    }
    return entry;
  }

  private lane(job: SyncJob): Set<string> {
    const lane = this.lanes.get(PRIORITY[job.source]);
    if (!lane) throw new Error(`no lane for jobs of ${job.source}`);
    return lane;
  }

  private next(): Entry | undefined {
    for (const lane of this.lanes.values()) {
      for (const refundId of lane) {
        lane.delete(refundId);
        return this.entries.get(refundId);
      }
    }
    return undefined;
  }

  private pump(): void {
    while (this.handler && !this.stopped && this.running < this.concurrency) {
      const entry = this.next();
      if (!entry) return;
      entry.state = 'running';
      this.running += 1;
      void this.run(this.handler, entry);
    }
  }

  private async run(handler: SyncHandler, entry: Entry): Promise<void> {
    try {
      await handler(entry.job);
    } catch (error) {
      // The refund keeps its next look, so the failure of one run loses nothing; it must only be seen.
      this.onError(entry.job.refundId, errorText(error));
    } finally {
      this.entries.delete(entry.job.refundId);
      this.running -= 1;
      entry.settle();
      this.pump();
    }
  }
}
