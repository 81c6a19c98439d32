import { Injectable, Logger } from '@nestjs/common';
import type { ResolvedAccount } from '../gateway/gateway-account.service.js';
import type { Turn } from '../gateway/pacing/turn.js';
import type { Applied } from '../refund/apply.service.js';
import { CreateSender } from '../refund/create-sender.service.js';
import { LeaseService, type Lease } from '../refund/lease.service.js';
import { SyncGateway } from './sync-gateway.service.js';
import type { SyncJob } from './sync-queue.port.js';
import { SyncTurns } from './sync-turn.service.js';

/** After a superseded answer the gateway is asked again at once, this often; then the next look does it. */
const MAX_ROUNDS = 2;

/**
 * One look at one refund: its account's turn, lease, question, decision, and where the gateway's rule allows it the same create once more.
 * Every answer, and every missing one, ends in apply().
 */
@Injectable()
export class SyncService {
  private readonly logger = new Logger(SyncService.name);

  constructor(
    private readonly leases: LeaseService,
    private readonly gateway: SyncGateway,
    private readonly createSender: CreateSender,
    private readonly turns: SyncTurns,
  ) {}

  /**
   * @returns `busy` when another process holds the refund, `absent` when it does not exist (or settles at once), `postponed` when it is not
   *   its account's turn and nobody waits for it, else what became of it.
   */
  async sync(job: SyncJob): Promise<Applied | 'busy' | 'absent' | 'postponed'> {
    for (let round = 1; ; round += 1) {
      const turn = await this.turns.take(job);
      if (turn === 'absent' || turn === 'postponed') return turn;
      try {
        const lease = await this.leases.acquire(job.refundId);
        if (lease === 'busy' || lease === 'absent') return lease;
        const applied = await this.look(job, lease, turn);
        if (applied === 'absent' || applied === 'postponed') return applied;
        if (applied.decision.followUp !== 'askAgain' || round >= MAX_ROUNDS) return applied;
      } finally {
        turn?.end();
      }
    }
  }

  private async look(job: SyncJob, lease: Lease, turn: Turn | undefined): Promise<Applied | 'absent' | 'postponed'> {
    const { refund } = lease;
    if (refund.gatewayAccountId === null) {
      await this.leases.release(refund.id, lease.token);
      return 'absent';
    }
    let released = false;
    try {
      if ((await this.turns.begin(job, turn)) === 'postponed') return 'postponed';
      const { applied, account } = await this.gateway.ask(job, lease, refund.gatewayAccountId, turn);
      released = applied.refund.leaseToken !== lease.token;
      this.log(job, applied);
      if (applied.decision.followUp !== 'replayCreate' || account === undefined) return applied;
      const repeated = await this.repeatCreate(job, lease, applied, account);
      released = (repeated ?? applied).refund.leaseToken !== lease.token;
      return repeated ?? applied;
    } finally {
      // For what ended without a commit that gave it back.
      if (!released)
        await this.leases.release(refund.id, lease.token).catch((error: unknown) => {
          this.logger.warn({
            msg: 'the lease could not be given back and will run out',
            refundId: refund.id,
            error: String(error),
          });
        });
    }
  }

  private async repeatCreate(
    job: SyncJob,
    lease: Lease,
    applied: Applied,
    account: ResolvedAccount,
  ): Promise<Applied | undefined> {
    const { refund } = applied;
    if (!(await this.leases.renew(refund.id, lease.token))) return undefined;
    if (!(await this.createSender.announceRepeat(refund, lease.token))) return undefined;
    const repeated = await this.createSender.send(refund, lease.payment, account, {
      source: job.source,
      leaseToken: lease.token,
    });
    this.log(job, repeated);
    return repeated;
  }

  private log(job: SyncJob, { record, decision }: Applied): void {
    const line = {
      msg: decision.effect === 'changed' ? 'refund repaired' : 'refund looked at',
      refundId: record.refundId,
      source: job.source,
      operation: record.operation,
      result: record.result,
      errorKind: record.errorKind ?? undefined,
      statusBefore: record.statusBefore,
      statusAfter: record.statusAfter,
      repairNo: record.repairNo ?? undefined,
      explanation: record.explanation,
    };
    if (decision.effect === 'changed' && decision.status === 'review')
      this.logger.warn({ ...line, msg: 'refund needs a person' });
    else if (decision.effect === 'changed') this.logger.log(line);
    else this.logger.debug(line);
  }
}
