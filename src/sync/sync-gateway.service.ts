import { Inject, Injectable } from '@nestjs/common';
import { GatewayAccountService, UnusableAccount, type ResolvedAccount } from '../gateway/gateway-account.service.js';
import { GatewayCaller } from '../gateway/gateway.caller.js';
import { GatewayError } from '../gateway/gateway.error.js';
import type { Turn } from '../gateway/pacing/turn.js';
import { ApplyService, type Applied } from '../refund/apply.service.js';
import { mayRepeatCreate } from '../refund/decide.js';
import { gatewayAnswer } from '../refund/gateway-answer.js';
import type { Lease } from '../refund/lease.service.js';
import { PolicyService } from '../refund/policy.service.js';
import { refundOrderOf } from '../refund/refund-order.js';
import { CLOCK, type Clock } from '../shared/clock.js';
import type { SyncJob } from './sync-queue.port.js';

/** Asks the gateway about a leased refund and applies the answer. */
@Injectable()
export class SyncGateway {
  constructor(
    private readonly accounts: GatewayAccountService,
    private readonly caller: GatewayCaller,
    private readonly applyService: ApplyService,
    private readonly policies: PolicyService,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  /**
   * The lease goes back with the commit, unless the same create is to be sent next under it.
   */
  async ask(
    job: SyncJob,
    lease: Lease,
    accountId: string,
    turn: Turn | undefined,
  ): Promise<{ applied: Applied; account: ResolvedAccount | undefined }> {
    const { refund, payment, token } = lease;
    const startedAt = this.clock.now();
    const account = await this.resolve(accountId);
    const answer = await gatewayAnswer(
      account instanceof GatewayError
        ? Promise.reject(account)
        : this.caller.query(account, refundOrderOf(refund, payment), turn),
      'query',
      refund.version,
    );
    const mayRepeat = !(account instanceof GatewayError) && mayRepeatCreate(refund, account.gateway.policy);
    const applied = await this.applyService.apply(refund.id, payment.id, answer.input, {
      source: job.source,
      policy: account instanceof GatewayError ? this.policies.withoutAccount() : this.policies.forAccount(account),
      startedAt,
      answer: answer.raw,
      leaseToken: token,
      releaseLease: !mayRepeat,
    });
    return { applied, account: account instanceof GatewayError ? undefined : account };
  }

  /** An account that is gone or cannot be opened is recorded like any other reason not to be able to ask. */
  private async resolve(accountId: string): Promise<ResolvedAccount | GatewayError> {
    try {
      return await this.accounts.resolve(accountId);
    } catch (error) {
      if (error instanceof UnusableAccount)
        return new GatewayError('badConfig', error.message, { code: 'account_unusable' });
      throw error;
    }
  }
}
