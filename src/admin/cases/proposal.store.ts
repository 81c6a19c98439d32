import { Inject, Injectable } from '@nestjs/common';
import { LessThanOrEqual } from 'typeorm';
import { APP_CONFIG, type AppConfig } from '../../config/app-config.js';
import { Db, isDuplicate } from '../../database/db.js';
import type { CommandPreview } from '../../refund/command-preview.js';
import { addMs, CLOCK, type Clock } from '../../shared/clock.js';
import { ConflictError, NotFoundError } from '../../shared/errors.js';
import { IdGenerator, isId } from '../../shared/ids.js';
import { CaseProposal, type ProposalState } from './case-proposal.entity.js';

/** A refund's proposals are few; the newest tell. */
const LIMIT = 50;

/** Keeps what operators propose for others to confirm. Each method runs within the caller's transaction, if there is one. */
@Injectable()
export class ProposalStore {
  constructor(
    private readonly db: Db,
    private readonly ids: IdGenerator,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(APP_CONFIG) private readonly config: AppConfig,
  ) {}

  /** @throws ConflictError while another one is open. */
  async open(
    preview: CommandPreview,
    given: { note: string; options: Record<string, string> | null },
    actor: string,
  ): Promise<CaseProposal> {
    const now = this.clock.now();
    const { refundId } = preview;
    const proposal: CaseProposal = {
      id: this.ids.next(),
      refundId,
      openFor: refundId,
      command: preview.command,
      ...given,
      expectedVersion: preview.version,
      previewDigest: preview.digest,
      preview,
      state: 'open',
      proposedBy: actor,
      proposedAt: now,
      expiresAt: addMs(now, this.config.reviewProposalTtlMs),
      settledBy: null,
      settledAt: null,
      settleNote: null,
    };
    try {
      await this.db.read(async (manager) => {
        const overdue = { openFor: refundId, expiresAt: LessThanOrEqual(now) };
        await manager.update(CaseProposal, overdue, { state: 'expired', openFor: null, settledAt: now });
        await manager.insert(CaseProposal, proposal);
      });
    } catch (error) {
      if (isDuplicate(error))
        throw new ConflictError('command', 'cannot be proposed: another proposal for this case is open');
      throw error;
    }
    return proposal;
  }

  /** As it stands now: an open one whose time is up counts as expired. @throws NotFoundError */
  async find(refundId: string, id: string): Promise<CaseProposal> {
    const found = isId(id) ? await this.db.read((manager) => manager.findOneBy(CaseProposal, { id, refundId })) : null;
    if (!found) throw new NotFoundError(`no proposal ${id.slice(0, 32)} for this refund`);
    return this.asOfNow(found);
  }

  /** The newest, oldest first. */
  async ofRefund(refundId: string): Promise<CaseProposal[]> {
    const newest = await this.db.read((manager) =>
      manager.find(CaseProposal, { where: { refundId }, order: { id: 'DESC' }, take: LIMIT }),
    );
    return newest.reverse().map((proposal) => this.asOfNow(proposal));
  }

  /** @throws ConflictError when somebody has settled it meanwhile. */
  async settle(
    proposal: CaseProposal,
    state: Exclude<ProposalState, 'open' | 'expired'>,
    actor: string,
    note: string | null,
  ): Promise<CaseProposal> {
    const change = { state, openFor: null, settledBy: actor, settledAt: this.clock.now(), settleNote: note };
    const written = await this.db.read((manager) =>
      manager.update(CaseProposal, { id: proposal.id, state: 'open' }, change),
    );
    if (written.affected !== 1) throw new ConflictError('proposal', 'has been settled meanwhile');
    return { ...proposal, ...change };
  }

  private asOfNow(proposal: CaseProposal): CaseProposal {
    const over = proposal.state === 'open' && proposal.expiresAt <= this.clock.now();
    return over ? { ...proposal, state: 'expired', settledAt: proposal.expiresAt } : proposal;
  }
}
