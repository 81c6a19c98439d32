import { Inject, Injectable } from '@nestjs/common';
import { APP_CONFIG, type AppConfig } from '../../config/app-config.js';
import { Db } from '../../database/db.js';
import type { RedriveTarget } from '../../gateway/gateway.port.js';
import type { CommandPreview } from '../../refund/command-preview.js';
import { CommandRefused } from '../../refund/decide-command.js';
import { OperatorCommands, type CarriedOut, type GivenCommand } from '../../refund/operator-command.service.js';
import type { Payment } from '../../refund/payment.entity.js';
import type { Refund } from '../../refund/refund.entity.js';
import { ConflictError, ForbiddenError, invalidField } from '../../shared/errors.js';
import { AuditService } from '../audit.service.js';
import type { ConfirmProposalDto, ResolveCaseDto } from './case.dto.js';
import type { CaseProposal } from './case-proposal.entity.js';
import { CommandCalls, type CommandCall } from './command-call.service.js';
import { ProposalStore } from './proposal.store.js';
import type { Resolution } from './resolution.js';

/** Previews and applies what operators decide on cases, or has another operator confirm it first (REVIEW_FOUR_EYES). */
@Injectable()
export class ResolutionService {
  private readonly fourEyes: boolean;

  constructor(
    private readonly db: Db,
    private readonly commands: OperatorCommands,
    private readonly proposals: ProposalStore,
    private readonly audit: AuditService,
    private readonly calls: CommandCalls,
    @Inject(APP_CONFIG) config: AppConfig,
  ) {
    this.fourEyes = config.reviewFourEyes;
  }

  /** @throws ConflictError when the command is refused, or no longer is what was previewed. */
  async resolve(refund: Refund, payment: Payment, asked: ResolveCaseDto, actor: string): Promise<Resolution> {
    const target = targetOf(asked);
    const given: GivenCommand = {
      command: asked.command,
      expectedVersion: asked.expectedVersion,
      note: asked.note,
      digest: asked.preview,
      ...(target === undefined ? {} : { options: { to: target.to } }),
    };
    if (asked.dryRun === true) return { state: 'previewed', preview: await this.preview(refund, payment, given) };
    // To wait changes nothing that a second pair of eyes could save.
    if (this.fourEyes && given.command !== 'keepWaiting') return this.propose(refund, payment, given, actor);
    return this.carryOut(refund, given, target, async (done) => {
      await this.audit.record({ actor, ...auditOf(done, { note: given.note }) });
    });
  }

  /** Does what another operator proposed, exactly as it was shown. */
  async confirm(refund: Refund, proposalId: string, body: ConfirmProposalDto, actor: string): Promise<Resolution> {
    const proposal = await this.openProposal(refund.id, proposalId);
    if (proposal.proposedBy === actor)
      throw new ForbiddenError(`${actor} has proposed this: another operator must confirm it`);
    const { command, expectedVersion, note, previewDigest } = proposal;
    const target = targetOf({ command, redrive: body.redrive }, proposal.options?.['to']);
    const given: GivenCommand = {
      command,
      expectedVersion,
      note,
      digest: previewDigest,
      ...(proposal.options === null ? {} : { options: proposal.options }),
    };
    try {
      return await this.carryOut(refund, given, target, async (done) => {
        await this.proposals.settle(proposal, 'confirmed', actor, body.note ?? null);
        const four = { proposalId: proposal.id, proposedBy: proposal.proposedBy, confirmNote: body.note ?? null };
        await this.audit.record({ actor, ...auditOf(done, { note, ...four }) });
      });
    } catch (error) {
      if (error instanceof Outdated) await this.close(proposal, 'outdated', actor, error.message);
      throw error;
    }
  }

  /** Another operator says no. */
  async reject(refund: Refund, proposalId: string, note: string, actor: string): Promise<CaseProposal> {
    const proposal = await this.openProposal(refund.id, proposalId);
    if (proposal.proposedBy === actor) throw new ForbiddenError(`${actor} has proposed this: withdraw it instead`);
    return this.close(proposal, 'rejected', actor, note);
  }

  /** Whoever proposed it takes it back. */
  async withdraw(refund: Refund, proposalId: string, note: string | undefined, actor: string): Promise<CaseProposal> {
    const proposal = await this.openProposal(refund.id, proposalId);
    if (proposal.proposedBy !== actor)
      throw new ForbiddenError(`only ${proposal.proposedBy} can withdraw this: reject it instead`);
    return this.close(proposal, 'withdrawn', actor, note ?? null);
  }

  private async preview(refund: Refund, payment: Payment, given: GivenCommand): Promise<CommandPreview> {
    const considered = await this.commands.consider(refund, payment, given);
    if (!considered.allowed) throw refusal(new CommandRefused(considered), given);
    return considered.preview;
  }

  private async propose(refund: Refund, payment: Payment, given: GivenCommand, actor: string): Promise<Resolution> {
    const preview = await this.preview(refund, payment, given);
    if (given.digest !== undefined && given.digest !== preview.digest)
      throw new Outdated('preview', 'is not what would be done now: look at the case again');
    const { note, options = null } = given;
    const proposal = await this.db.transaction(async () => {
      const opened = await this.proposals.open(preview, { note, options }, actor);
      await this.audit.record({
        actor,
        action: 'case.propose',
        targetType: 'refund',
        targetId: refund.id,
        after: { proposalId: opened.id, command: given.command, note, expiresAt: opened.expiresAt },
      });
      return opened;
    });
    return { state: 'proposed', preview, proposal };
  }

  private async carryOut(
    refund: Refund,
    given: GivenCommand,
    target: RedriveTarget | undefined,
    alongside: (done: CarriedOut) => Promise<void>,
  ): Promise<Resolution> {
    const lease = target === undefined ? undefined : await this.calls.hold(refund.id);
    let call: CommandCall | null = null;
    try {
      const { applied, preview } = await this.commands
        .carryOut(refund.id, given, alongside, lease?.token)
        .catch((error: unknown) => {
          throw error instanceof CommandRefused ? refusal(error, given) : error;
        });
      if (lease && target) call = await this.calls.redrive(applied.refund, lease, target);
      else if (given.command === 'sendAgain') call = await this.calls.sendAgain(refund);
      return { state: 'applied', preview, repairNo: applied.record.repairNo, call };
    } finally {
      // Harmless after the answer's commit, which has given it back.
      if (lease) await this.calls.release(lease);
    }
  }

  private async openProposal(refundId: string, id: string): Promise<CaseProposal> {
    const proposal = await this.proposals.find(refundId, id);
    if (proposal.state !== 'open') throw new ConflictError('proposal', `is ${proposal.state}`);
    return proposal;
  }

  private close(
    proposal: CaseProposal,
    state: 'rejected' | 'withdrawn' | 'outdated',
    actor: string,
    note: string | null,
  ): Promise<CaseProposal> {
    return this.db.transaction(async () => {
      const closed = await this.proposals.settle(proposal, state, actor, note?.slice(0, 300) ?? null);
      await this.audit.record({
        actor,
        action: `case.proposal.${state}`,
        targetType: 'refund',
        targetId: proposal.refundId,
        after: { proposalId: proposal.id, command: proposal.command, proposedBy: proposal.proposedBy, note },
      });
      return closed;
    });
  }
}

/** The refund is no longer what the operator saw. */
class Outdated extends ConflictError {}

function refusal({ code, message }: CommandRefused, given: GivenCommand): ConflictError {
  if (code !== 'changed') return new ConflictError('command', `${given.command} is refused (${code}): ${message}`);
  return new Outdated(given.digest === undefined ? 'expectedVersion' : 'preview', `is outdated: ${message}`);
}

/** Card data stays in the request: a proposal keeps only where the money goes. */
function targetOf(
  { command, redrive }: Pick<ResolveCaseDto, 'command' | 'redrive'>,
  proposedTo?: string,
): RedriveTarget | undefined {
  if (command !== 'redrive') {
    if (redrive !== undefined) throw invalidField('redrive', 'is for the command redrive alone');
    return undefined;
  }
  const to = redrive?.to ?? proposedTo ?? 'merchantAccount';
  if (proposedTo !== undefined && to !== proposedTo)
    throw invalidField('redrive.to', `must be ${proposedTo}, as proposed`);
  if (to !== 'payerCard') return { to: 'merchantAccount' };
  const { bankCode, accountNo, holderName } = redrive ?? {};
  if (bankCode === undefined) throw invalidField('redrive.bankCode', 'is required');
  if (accountNo === undefined) throw invalidField('redrive.accountNo', 'is required');
  if (holderName === undefined) throw invalidField('redrive.holderName', 'is required');
  return { to, bankCode, accountNo, holderName };
}

function auditOf({ applied, preview }: CarriedOut, more: Record<string, unknown>) {
  const { status, reserved, payment } = preview;
  const side = (which: 'from' | 'to') => ({
    status: status[which],
    reserved: reserved[which],
    refundableBalance: payment.refundableBalance[which],
    overRefunded: payment.overRefunded[which],
  });
  return {
    action: `case.${preview.command}`,
    targetType: 'refund',
    targetId: preview.refundId,
    before: { ...side('from'), version: preview.version },
    after: { ...side('to'), version: applied.refund.version, repairNo: applied.record.repairNo, ...more },
  };
}
