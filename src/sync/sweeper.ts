import { Inject, Injectable, Logger, type OnApplicationBootstrap } from '@nestjs/common';
import { SchedulerRegistry } from '@nestjs/schedule';
import { APP_CONFIG, type AppConfig } from '../config/app-config.js';
import { DueRefundService } from '../refund/due-refund.service.js';
import { errorText } from '../shared/errors.js';
import { SYNC_QUEUE, type SyncQueue } from './sync-queue.port.js';
import { SyncTurns } from './sync-turn.service.js';

const BATCH = 500;
const SWEEP = 'sweep';
/** Accounts with more due refunds than their pace allows at once are handed more after this. */
const FEED_PAUSE_MS = 50;

/**
 * Finds refunds left in the refunding state (and those whose end is still looked at) and has them synced. Memory stays
 * constant at any backlog: it claims only as many as the queue has room for and the account's pace allows.
 */
@Injectable()
export class Sweeper implements OnApplicationBootstrap {
  private readonly logger = new Logger(Sweeper.name);
  private sweeping: Promise<void> | undefined;
  private stopped = false;
  private wake: (() => void) | undefined;
  /** When the sweep last got somewhere; by `performance.now()`. */
  private aliveAtMs = performance.now();

  constructor(
    @Inject(APP_CONFIG) private readonly config: AppConfig,
    private readonly due: DueRefundService,
    @Inject(SYNC_QUEUE) private readonly queue: SyncQueue,
    private readonly turns: SyncTurns,
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
    this.wake?.();
    await this.sweeping;
  }

  /**
   * How long the sweep of this process has got nowhere, in milliseconds: about the interval when all is well; while a long backlog is worked
   * off it counts from the last claim.
   *
   * @returns undefined where this process does not sweep.
   */
  silentForMs(): number | undefined {
    return this.config.role === 'api' ? undefined : performance.now() - this.aliveAtMs;
  }

  /**
   * Sweeps once: claims what is due, account by account, until nothing is due, the queue is full or the accounts that are left may not be
   * called for now.
   *
   * @returns how many were claimed.
   */
  async sweep(): Promise<number> {
    let accountIds = await this.accounts();
    let listedAtMs = performance.now();
    let claimed = 0;
    while (!this.stopped && accountIds.length > 0) {
      const more: string[] = [];
      let largest = 0;
      for (const accountId of accountIds) {
        const outcome = await this.sweepAccount(accountId);
        this.aliveAtMs = performance.now();
        claimed += outcome.claimed;
        largest = Math.max(largest, outcome.claimed);
        if (outcome.more) more.push(accountId);
      }
      accountIds = more;
      if (more.length === 0) break;
      if (largest < BATCH) await this.pause(FEED_PAUSE_MS);
      // While the backlog of some is worked off, refunds of others become due.
      if (performance.now() - listedAtMs >= this.config.sweepIntervalMs) {
        accountIds = await this.accounts();
        listedAtMs = performance.now();
      }
    }
    return claimed;
  }

  private async accounts(): Promise<string[]> {
    const accountIds = await this.due.accountIds();
    if (await this.queue.hasForgotten())
      for (const accountId of accountIds) await this.due.takeBackClaims(accountId, this.config.claimMs);
    return accountIds;
  }

  private async sweepAccount(accountId: string): Promise<{ claimed: number; more: boolean }> {
    const queueRoom = await this.queue.room();
    const room = queueRoom === 0 ? 0 : await this.turns.room(accountId);
    // An account that may not be called keeps its refunds where they are, until the next sweep.
    if (queueRoom === 0 || room === 'held') return { claimed: 0, more: false };
    const limit = Math.min(BATCH, queueRoom, room);
    if (limit === 0) return { claimed: 0, more: true };
    const ids = await this.due.claim(accountId, limit, this.config.claimMs);
    await this.queue.submitMany(ids.map((refundId) => ({ refundId, source: 'sweep' as const, accountId })));
    return { claimed: ids.length, more: ids.length === limit };
  }

  /** A sweep that is still running is not started again; one that failed is tried at the next tick. */
  private async tick(): Promise<void> {
    if (this.sweeping !== undefined || this.stopped) return;
    this.sweeping = this.sweep()
      .then((claimed) => {
        this.aliveAtMs = performance.now();
        if (claimed > 0) this.logger.debug({ msg: 'swept', claimed });
      })
      .catch((error: unknown) =>
        this.logger.error({ msg: 'the sweep failed and is tried again', error: errorText(error) }),
      )
      .finally(() => (this.sweeping = undefined));
    await this.sweeping;
  }

  private async pause(ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
