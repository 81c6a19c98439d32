import { Inject, Injectable } from '@nestjs/common';
import { APP_CONFIG, type AppConfig } from '../config/app-config.js';
import { DueRefundService } from '../refund/due-refund.service.js';
import type { Refund } from '../refund/refund.entity.js';
import { RefundLookup } from '../refund/refund-lookup.service.js';
import type { SyncRecord } from '../refund/sync-record.entity.js';
import { CLOCK, type Clock } from '../shared/clock.js';
import { currentTrace } from '../shared/trace.js';
import { QueueUnavailable, SYNC_QUEUE, type Submission, type SyncJob, type SyncQueue } from './sync-queue.port.js';

export type SyncOutcome =
  /** Looked at: the records of this look, oldest first (never none), and the refund after it. */
  | { state: 'done'; records: SyncRecord[]; refund: Refund }
  /** Somebody else is looking at this very refund right now. */
  | { state: 'running' }
  /** The wait ran out; the sync goes on. */
  | { state: 'goesOn' }
  /** The queue takes no jobs now. */
  | { state: 'queueAway' }
  /** The look ended without a record: the service itself failed. */
  | { state: 'broken' };

/** Asks for a look at a refund and waits for its outcome. */
@Injectable()
export class SyncRequestService {
  constructor(
    @Inject(SYNC_QUEUE) private readonly queue: SyncQueue,
    private readonly refunds: RefundLookup,
    private readonly due: DueRefundService,
    @Inject(APP_CONFIG) private readonly config: AppConfig,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  /**
   * The outcome is read from the records, not from the queue: a removed job has none, and a job that ran twice has two.
   */
  async request(
    { id: refundId, gatewayAccountId }: { id: string; gatewayAccountId?: string | null },
    source: SyncJob['source'],
  ): Promise<SyncOutcome> {
    const before = await this.refunds.newestSyncId(refundId);
    const accountId = gatewayAccountId ?? undefined;
    const { traceId, traceparent } = currentTrace() ?? {};
    const submission = await this.submit({ refundId, source, accountId, traceId, traceparent });
    if (submission === 'queueAway') return this.later(refundId, { state: 'queueAway' });
    if (submission.state === 'running') return { state: 'running' };
    const settled = await settledWithin(submission.settled, this.config.syncWaitMs);
    const { refund, records } = await this.refunds.lookedAtSince(refundId, before);
    if (records.length === 0 && !settled) return this.later(refundId, { state: 'goesOn' });
    if (!refund) return { state: 'broken' };
    if (records.length > 0 && settled) return { state: 'done', records, refund };
    if (!settled) return { state: 'goesOn' };
    const leased = refund.leaseUntil !== null && refund.leaseUntil.getTime() > this.clock.now().getTime();
    return { state: leased ? 'running' : 'broken' };
  }

  /** Whoever asked is told that the sync goes on by itself; the next sweep sees to it, also when the job was lost. */
  private async later(refundId: string, outcome: SyncOutcome): Promise<SyncOutcome> {
    await this.due.hint(refundId);
    return outcome;
  }

  private async submit(job: SyncJob): Promise<Submission | 'queueAway'> {
    try {
      return await this.queue.submit(job);
    } catch (error) {
      if (error instanceof QueueUnavailable) return 'queueAway';
      throw error;
    }
  }
}

async function settledWithin(settled: Promise<void>, waitMs: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), waitMs);
  });
  try {
    return await Promise.race([settled.then(() => true), timeout]);
  } finally {
    clearTimeout(timer);
  }
}
