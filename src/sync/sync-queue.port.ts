import type { SyncSource } from '../refund/sync-record.entity.js';

export const SYNC_QUEUE = Symbol('SyncQueue');

/** All that travels through a queue: no refund data, no secret. */
export interface SyncJob {
  refundId: string;
  source: Exclude<SyncSource, 'create'>;
  /** Of the refund, where whoever submits knows it. */
  accountId?: string;
  /** Of the request that asked, so that its log lines and the record of the sync are found together. */
  traceId?: string;
  /** W3C trace context of that request, where traces are exported. */
  traceparent?: string;
}

/** People who wait come first, hints next, the sweep last. Smaller is sooner. */
export const PRIORITY: Record<SyncJob['source'], number> = { merchant: 1, operator: 1, callback: 2, sweep: 3 };

export type Submission =
  /** A sync of this refund is running right now; nothing was added. */
  | { state: 'running' }
  /** The job waits, or waited already and was brought forward. `settled` resolves when it has been run, however that went. */
  | { state: 'accepted'; settled: Promise<void> };

export interface QueueDepth {
  waiting: number;
  running: number;
}

/** The queue did not answer in time, or refused. Nothing is lost: the sweep finds the refund again. */
export class QueueUnavailable extends Error {
  override readonly name = 'QueueUnavailable';
}

export type SyncHandler = (job: SyncJob) => Promise<void>;

/**
 * Serialises syncs per refund and runs them in parallel across refunds. It is a hint, not the truth: the lease in the
 * refund row keeps two calls apart, and what a queue forgets the sweep finds again.
 */
export interface SyncQueue {
  /** Called once, before anything is submitted. */
  start(handler: SyncHandler): Promise<void>;
  /** For somebody who waits. @throws QueueUnavailable */
  submit(job: SyncJob): Promise<Submission>;
  /** For hints and the sweep: refunds that wait or run already are left as they are. @throws QueueUnavailable */
  submitMany(jobs: readonly SyncJob[]): Promise<void>;
  /** True once after jobs were lost that had been added: a claim made for them is void. @throws QueueUnavailable */
  hasForgotten(): Promise<boolean>;
  /** How many jobs there are. @throws QueueUnavailable */
  depth(): Promise<QueueDepth>;
  /** How many more jobs the sweep should add now; bounds memory at any backlog. */
  room(): Promise<number>;
  /** @throws QueueUnavailable when the queue cannot take jobs now. */
  ping(): Promise<void>;
  /** Takes no more jobs and waits for the running ones. */
  stop(): Promise<void>;
}
