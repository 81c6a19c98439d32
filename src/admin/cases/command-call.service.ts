import { Injectable } from '@nestjs/common';
import type { RedriveTarget } from '../../gateway/gateway.port.js';
import { LeaseService, type Lease } from '../../refund/lease.service.js';
import { RedriveSender } from '../../refund/redrive-sender.service.js';
import type { Refund } from '../../refund/refund.entity.js';
import type { SyncRecord } from '../../refund/sync-record.entity.js';
import { DomainError, NotFoundError } from '../../shared/errors.js';
import { SyncRequestService } from '../../sync/sync-request.service.js';

/** The gateway call that a command was followed by. */
export interface CommandCall {
  /** `later`: the next look does what is left, within seconds. */
  state: 'done' | 'later';
  records: SyncRecord[];
}

/** Gateway calls that follow operators' commands: under the refund's lease like every other one, and never while rows are locked. */
@Injectable()
export class CommandCalls {
  constructor(
    private readonly leases: LeaseService,
    private readonly redriveSender: RedriveSender,
    private readonly syncs: SyncRequestService,
  ) {}

  /** Taken before the command is written down, so that no look comes between it and its call. */
  async hold(refundId: string): Promise<Lease> {
    const lease = await this.leases.acquire(refundId);
    if (lease === 'absent') throw new NotFoundError(`no refund ${refundId}`);
    if (lease === 'busy') throw new DomainError('syncRunning', 'a sync of this refund is running: try again');
    return lease;
  }

  async release({ refund, token }: Lease): Promise<void> {
    await this.leases.release(refund.id, token);
  }

  /** @param refund as the command left it. */
  async redrive(refund: Refund, lease: Lease, target: RedriveTarget): Promise<CommandCall> {
    if (refund.gatewayAccountId === null) throw new Error(`refund ${refund.id} has no gateway`);
    const applied = await this.redriveSender.send(refund, lease.payment, refund.gatewayAccountId, target, lease.token);
    return { state: 'done', records: [applied.record] };
  }

  /** One look: it asks once more, and sends the stored request again where the gateway still does not know the refund. */
  async sendAgain(refund: Refund): Promise<CommandCall> {
    const outcome = await this.syncs.request(refund, 'operator');
    return outcome.state === 'done' ? { state: 'done', records: outcome.records } : { state: 'later', records: [] };
  }
}
