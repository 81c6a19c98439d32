import { Inject, Injectable, Logger, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { SchedulerRegistry } from '@nestjs/schedule';
import { addMs, CLOCK, DAY_MS, SECOND_MS, type Clock } from '../shared/clock.js';
import { errorText } from '../shared/errors.js';
import { SYNC_QUEUE, type SyncQueue } from '../sync/sync-queue.port.js';
import { CallbackApplying } from './callback-applying.service.js';
import type { CallbackRecord } from './callback-record.entity.js';
import { CallbackStore } from './callback.store.js';

/** A gateway can call back before the merchant has told us of the refund, or its own create has been answered. */
const UNMATCHED_FOR_MS = DAY_MS;
/** What is stored but not worked on after this long was left behind by a process that died. */
const LEFT_BEHIND_MS = 10 * SECOND_MS;
const RETRY_INTERVAL_MS = 10 * SECOND_MS;
const BATCH = 100;
const EXPIRE_BATCH = 1_000;

/** Works on stored callbacks: through decide and apply, like everything else. */
@Injectable()
export class CallbackProcessor implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly logger = new Logger(CallbackProcessor.name);
  private busy: Promise<void> | undefined;
  private stopped = false;

  constructor(
    private readonly store: CallbackStore,
    private readonly applying: CallbackApplying,
    @Inject(SYNC_QUEUE) private readonly queue: SyncQueue,
    private readonly scheduler: SchedulerRegistry,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  onApplicationBootstrap(): void {
    this.scheduler.addInterval(
      'callbacks-left-behind',
      setInterval(() => void this.tick(), RETRY_INTERVAL_MS),
    );
  }

  async onApplicationShutdown(): Promise<void> {
    this.stopped = true;
    await this.busy;
  }

  /** Never throws: what fails is found again by the next round. */
  async process(record: CallbackRecord): Promise<void> {
    try {
      const refund = await this.store.refundOf(record);
      if (!refund) {
        await this.store.finish(record, 'unmatched', null, 'no refund with this number is known yet', this.clock.now());
        return;
      }
      const { outcome, askNow } = await this.applying.apply(record, refund);
      await this.store.finish(record, 'done', refund.id, outcome, this.clock.now());
      if (askNow) await this.queue.submitMany([{ refundId: refund.id, source: 'callback' }]);
    } catch (error) {
      this.logger.error({
        msg: 'a stored callback could not be worked on and is tried again',
        callbackId: record.id,
        error: errorText(error),
      });
    }
  }

  /** @returns how many callbacks were left behind and taken in hand here. */
  async processLeftBehind(): Promise<number> {
    return this.processClaimed(await this.store.leftBehind(addMs(this.clock.now(), -LEFT_BEHIND_MS), BATCH));
  }

  /** Works on callbacks that came before their refund was known. @returns how many were taken in hand here. */
  async processAppeared(): Promise<number> {
    let worked = 0;
    for (let afterId = '0'; ;) {
      const records = await this.store.appeared(afterId, BATCH);
      worked += await this.processClaimed(records);
      const last = records.at(-1);
      if (last === undefined || records.length < BATCH) return worked;
      afterId = last.id;
    }
  }

  /** @returns how many callbacks have waited for their refund in vain. */
  async expireUnmatched(): Promise<number> {
    const now = this.clock.now();
    const outcome = 'no refund with this number became known within 24 hours';
    return this.store.expire(addMs(now, -UNMATCHED_FOR_MS), EXPIRE_BATCH, outcome, now);
  }

  private async processClaimed(records: readonly CallbackRecord[]): Promise<number> {
    let claimed = 0;
    for (const record of records) {
      const now = this.clock.now();
      if (this.stopped || !(await this.store.claim(record, addMs(now, -LEFT_BEHIND_MS), now))) continue;
      claimed += 1;
      await this.process(record);
    }
    return claimed;
  }

  private async rounds(): Promise<void> {
    await this.processLeftBehind();
    await this.expireUnmatched();
    await this.processAppeared();
  }

  private async tick(): Promise<void> {
    if (this.busy !== undefined || this.stopped) return;
    this.busy = this.rounds()
      .catch((error: unknown) =>
        this.logger.error({ msg: 'looking for callbacks left behind failed', error: errorText(error) }),
      )
      .finally(() => (this.busy = undefined));
    await this.busy;
  }
}
