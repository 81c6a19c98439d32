import { Inject, Injectable } from '@nestjs/common';
import { APP_CONFIG, type AppConfig } from '../config/app-config.js';
import { GatewayAccountService, UnusableAccount, type ResolvedAccount } from '../gateway/gateway-account.service.js';
import { GatewayError } from '../gateway/gateway.error.js';
import { GatewayPacing } from '../gateway/pacing/gateway-pacing.service.js';
import { Turn } from '../gateway/pacing/turn.js';
import { DueRefundService } from '../refund/due-refund.service.js';
import { SECOND_MS } from '../shared/clock.js';
import type { SyncJob } from './sync-queue.port.js';

/** People wait this long for their turn, and never more than half of the wait that they are promised. */
const PEOPLE_PATIENCE_MS = 2 * SECOND_MS;
/** The sweep's jobs hold neither lease nor connection meanwhile, only their place in the queue. */
const SWEEP_PATIENCE_MS = 5 * SECOND_MS;
/** Back in the database at least so long: the sweep does not take it up again at once. */
const MIN_POSTPONE_MS = 250;
const POSTPONE_JITTER = 0.2;

/** Waits for the turn of a refund's account before anything is locked. */
@Injectable()
export class SyncTurns {
  constructor(
    private readonly accounts: GatewayAccountService,
    private readonly pacing: GatewayPacing,
    private readonly due: DueRefundService,
    @Inject(APP_CONFIG) private readonly config: AppConfig,
  ) {}

  /**
   * @returns a turn (for people also one that was refused: they are told), undefined for an account that cannot be used, `postponed` when
   *   the refund was put back because it is not its account's turn, `absent` when there is nobody to ask.
   */
  async take(job: SyncJob): Promise<Turn | undefined | 'postponed' | 'absent'> {
    const accountId = job.accountId ?? (await this.due.accountOf(job.refundId));
    if (accountId === null || accountId === undefined) return 'absent';
    const account = await this.resolve(accountId);
    if (!account) return undefined;
    const forPeople = isForPeople(job);
    try {
      return await this.pacing.turn(account, {
        urgent: forPeople,
        patienceMs: forPeople ? Math.min(PEOPLE_PATIENCE_MS, this.config.syncWaitMs / 2) : SWEEP_PATIENCE_MS,
        occupiesPlace: true,
      });
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error;
      return forPeople ? Turn.refused(error) : this.postpone(job, error);
    }
  }

  /**
   * Waits, under the lease, until the gateway may be asked.
   *
   * @returns `go` (for people also when it may not: asking tells them why), `postponed` when the refund was put back.
   */
  async begin(job: SyncJob, turn: Turn | undefined): Promise<'go' | 'postponed'> {
    try {
      await turn?.begin();
      return 'go';
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error;
      return isForPeople(job) ? 'go' : this.postpone(job, error);
    }
  }

  /** How many refunds of an account the sweep should hand over now; `held`: none, until the next sweep. */
  async room(accountId: string): Promise<number | 'held'> {
    const account = await this.resolve(accountId);
    return account ? this.pacing.room(account) : Infinity;
  }

  /** The process stops: jobs that wait for their turn end without one. */
  dismiss(): void {
    this.pacing.dismissJobs();
  }

  private async postpone({ refundId }: SyncJob, refusal: GatewayError): Promise<'postponed'> {
    const afterMs = Math.max(MIN_POSTPONE_MS, refusal.retryAfterMs ?? 0);
    await this.due.postpone(refundId, Math.round(afterMs * (1 + Math.random() * POSTPONE_JITTER)));
    return 'postponed';
  }

  private async resolve(accountId: string): Promise<ResolvedAccount | undefined> {
    try {
      return await this.accounts.resolve(accountId);
    } catch (error) {
      if (error instanceof UnusableAccount) return undefined;
      throw error;
    }
  }
}

function isForPeople({ source }: SyncJob): boolean {
  return source === 'merchant' || source === 'operator';
}
