import { Column, Entity, PrimaryColumn } from 'typeorm';
import type { CommandPreview } from '../../refund/command-preview.js';
import type { OperatorCommand } from '../../refund/decide-command.js';

export const PROPOSAL_STATES = ['open', 'confirmed', 'rejected', 'withdrawn', 'expired', 'outdated'] as const;
/** `outdated`: when somebody wanted to confirm it, it was no longer what it had been. */
export type ProposalState = (typeof PROPOSAL_STATES)[number];

/** What one operator wants done with a case and another one has to confirm. Never deleted. */
@Entity('case_proposal')
export class CaseProposal {
  @PrimaryColumn('bigint')
  id: string;

  @Column('bigint')
  refundId: string;

  /** The refund's id while the proposal is open, else null: unique, so that a refund has at most one open proposal. */
  @Column('bigint', { nullable: true })
  openFor: string | null;

  @Column('varchar')
  command: OperatorCommand;

  @Column('varchar')
  note: string;

  /** What changes the command's effect, such as where a re-drive sends the money. No card data, no secret. */
  @Column('simple-json', { nullable: true })
  options: Record<string, string> | null;

  @Column('int')
  expectedVersion: number;

  @Column('varchar')
  previewDigest: string;

  /** What whoever confirms is shown, and what is then done. */
  @Column('simple-json')
  preview: CommandPreview;

  @Column('varchar')
  state: ProposalState;

  @Column('varchar')
  proposedBy: string;

  @Column('datetime', { precision: 3 })
  proposedAt: Date;

  @Column('datetime', { precision: 3 })
  expiresAt: Date;

  @Column('varchar', { nullable: true })
  settledBy: string | null;

  @Column('datetime', { precision: 3, nullable: true })
  settledAt: Date | null;

  @Column('varchar', { nullable: true })
  settleNote: string | null;
}
