import { Inject, Injectable } from '@nestjs/common';
import { selectByIds } from '../database/bulk.js';
import { Db } from '../database/db.js';
import { GatewayAccountService, UnusableAccount } from '../gateway/gateway-account.service.js';
import { Alerts } from '../shared/alerts.js';
import { CLOCK, type Clock } from '../shared/clock.js';
import { ApplyService, type Applied } from './apply.service.js';
import { previewOf, type CommandPreview } from './command-preview.js';
import type { DecisionPolicy } from './decide.js';
import { CommandRefused, decideCommand, type CommandVerdict, type OperatorCommand } from './decide-command.js';
import { Payment } from './payment.entity.js';
import { PolicyService } from './policy.service.js';
import { Refund } from './refund.entity.js';

/** A command as an operator gives it. */
export interface GivenCommand {
  command: OperatorCommand;
  /** Of the refund as the operator saw it. */
  expectedVersion: number;
  note: string;
  /** Of the preview; the command is applied exactly as shown there or not at all. */
  digest?: string | undefined;
  /** What changes the command's effect, without secrets. */
  options?: Readonly<Record<string, string>>;
}

export type Considered = { allowed: true; preview: CommandPreview } | Extract<CommandVerdict, { allowed: false }>;

export interface CarriedOut {
  applied: Applied;
  preview: CommandPreview;
}

/** Previews operators' commands, and carries them out by apply() in one transaction with what else must be written. */
@Injectable()
export class OperatorCommands {
  constructor(
    private readonly db: Db,
    private readonly applyService: ApplyService,
    private readonly accounts: GatewayAccountService,
    private readonly policies: PolicyService,
    private readonly alerts: Alerts,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  /** What each command would do to this refund now, or why it may not be given. Writes nothing. */
  async consider(refund: Refund, payment: Payment, given: GivenCommand): Promise<Considered> {
    return this.weigh(refund, payment, given, await this.policyOf(refund.gatewayAccountId));
  }

  /**
   * @param alongside writes what belongs to the command, in its transaction; run again with it after a deadlock.
   * @param leaseToken the command is followed by a gateway call under this lease.
   * @throws CommandRefused; then nothing was written.
   */
  async carryOut(
    refundId: string,
    given: GivenCommand,
    alongside: (carriedOut: CarriedOut) => Promise<void>,
    leaseToken?: string,
  ): Promise<CarriedOut> {
    const startedAt = this.clock.now();
    const known = await this.db.read((manager) => manager.findOneByOrFail(Refund, { id: refundId }));
    const policy = await this.policyOf(known.gatewayAccountId);
    const carriedOut = await this.db.transaction(async (manager) => {
      const payments = await selectByIds(manager, Payment, [known.paymentId], { forUpdate: true });
      const refunds = await selectByIds(manager, Refund, [refundId], { forUpdate: true });
      const [payment, refund] = [payments.get(known.paymentId), refunds.get(refundId)];
      if (!payment || !refund) throw new Error(`refund ${refundId} or its payment is gone`);
      const considered = this.weigh(refund, payment, given, policy);
      if (!considered.allowed) throw new CommandRefused(considered);
      if (given.digest !== undefined && given.digest !== considered.preview.digest)
        throw new CommandRefused({
          code: 'changed',
          why: 'what the preview showed is not what would be done now: the refund, its payment or what the gateway says has changed; look at it again',
        });
      const { command, expectedVersion, note } = given;
      const applied = await this.applyService.applyWithin(manager, {
        refundId,
        paymentId: payment.id,
        input: { kind: 'command', command, expectedVersion, note },
        context: {
          source: 'operator',
          policy,
          startedAt,
          answer: null,
          ...(leaseToken === undefined ? {} : { leaseToken }),
        },
      });
      if (applied.decision.effect === 'superseded')
        throw new CommandRefused({ code: 'changed', why: applied.decision.explanation });
      const done = { applied, preview: considered.preview };
      await alongside(done);
      return done;
    });
    this.alertOf(carriedOut);
    return carriedOut;
  }

  private alertOf({ applied: { decision, refund, record }, preview }: CarriedOut): void {
    if (!decision.overRefund) return;
    this.alerts.raise('OVER_REFUNDED', 'more was refunded of a payment than it had', {
      refundId: refund.id,
      refundNo: refund.refundNo,
      appId: refund.appId,
      paymentId: refund.paymentId,
      currency: refund.currency,
      missing: decision.overRefund,
      overRefunded: preview.payment.overRefunded.to,
      repairNo: record.repairNo,
    });
  }

  private weigh(refund: Refund, payment: Payment, given: GivenCommand, policy: DecisionPolicy): Considered {
    const facts = { refund, refundableBalance: payment.refundableBalance };
    const { command, expectedVersion, note, options } = given;
    const input = { kind: 'command' as const, command, expectedVersion, note };
    const verdict = decideCommand(facts, input, policy, this.clock.now());
    return verdict.allowed
      ? { allowed: true, preview: previewOf(refund, payment, command, verdict, options) }
      : verdict;
  }

  /** Of an account that cannot be opened nothing is known, so nothing is offered that would call it. */
  private async policyOf(accountId: string | null): Promise<DecisionPolicy> {
    if (accountId === null) return this.policies.forInstantChannel();
    try {
      return this.policies.forAccount(await this.accounts.resolve(accountId));
    } catch (error) {
      if (error instanceof UnusableAccount) return this.policies.withoutAccount();
      throw error;
    }
  }
}
