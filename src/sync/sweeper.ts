import { Inject, Injectable, Logger, type OnApplicationBootstrap } from '@nestjs/common';
import { SchedulerRegistry } from '@nestjs/schedule';
import { APP_CONFIG, type AppConfig } from '../config/app-config.js';
import { DueRefundService } from '../refund/due-refund.service.js';
import { errorText } from '../shared/errors.js';
import { SYNC_QUEUE, type SyncQueue } from './sync-queue.port.js';

const BATCH = 500;
const SWEEP = 'sweep';

/**
 * Finds refunds left in the refunding state (and those whose end is still looked at) and has them synced. Memory stays
 * constant at any backlog: it claims only as many as the queue has room for.
 */
@Injectable()
export class Sweeper implements OnApplicationBootstrap {
  private readonly logger = new Logger(Sweeper.name);
  private sweeping: Promise<void> | undefined;
  private stopped = false;

  constructor(
    @Inject(APP_CONFIG) private readonly config: AppConfig,
    private readonly due: DueRefundService,
    @Inject(SYNC_QUEUE) private readonly queue: SyncQueue,
    private readonly scheduler: SchedulerRegistry,
  ) {}

  onApplicationBootstrap(): void {
    if (this.config.role === 'api') return;
    this.scheduler.addInterval(
      SWEEP,
      setInterval(() => void this.tick(), this.config.sweepIntervalMs),
    );
  }

  /** Lets a running sweep end and starts no other. */
  async stop(): Promise<void> {
    this.stopped = true;
    await this.sweeping;
  }

  /** Sweeps once: claims what is due, batch by batch, until nothing is due or the queue is full. @returns how many were claimed. */
  async sweep(): Promise<number> {
    const { claimMs } = this.config;
    if (await this.queue.hasForgotten()) await this.due.takeBackClaims(claimMs);
    let claimed = 0;
    while (!this.stopped) {
      const limit = Math.min(BATCH, await this.queue.room());
      if (limit === 0) return claimed;
      const ids = await this.due.claim(limit, claimMs);
      await this.queue.submitMany(ids.map((refundId) => ({ refundId, source: 'sweep' as const })));
      claimed += ids.length;
      if (ids.length < limit) return claimed;
    }
    return claimed;
  }

  /** A sweep that is still running is not started again; one that failed is tried at the next tick. */
  private async tick(): Promise<void> {
    if (this.sweeping !== undefined || this.stopped) return;
    this.sweeping = this.sweep()
      .then((claimed) => {
        if (claimed > 0) this.logger.debug({ msg: 'swept', claimed });
      })
      .catch((error: unknown) =>
        this.logger.error({ msg: 'the sweep failed and is tried again', error: errorText(error) }),
      )
      .finally(() => (this.sweeping = undefined));
    await this.sweeping;
  }
}
