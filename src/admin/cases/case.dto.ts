import { ApiProperty, ApiPropertyOptional, type ApiPropertyOptions } from '@nestjs/swagger';
import { Type } from 'class-transformer';
import {
  IsBoolean,
  IsIn,
  IsInt,
  IsObject,
  IsOptional,
  IsString,
  Matches,
  MaxLength,
  Min,
  MinLength,
  ValidateIf,
  ValidateNested,
} from 'class-validator';
import { CHANNELS } from '../../gateway/gateway.port.js';
import type { CommandPreview } from '../../refund/command-preview.js';
import {
  OPERATOR_COMMANDS,
  REFUSAL_CODES,
  type OperatorCommand,
  type RefusalCode,
} from '../../refund/decide-command.js';
import { REVIEW_CODES, type ReviewCode } from '../../refund/review-code.js';
import { REFUND_STATUSES, type RefundStatus } from '../../refund/refund-status.js';
import { PageDto } from '../page.js';
import { PROPOSAL_STATES, type CaseProposal, type ProposalState } from './case-proposal.entity.js';
import type { Resolution } from './resolution.js';

const ID: ApiPropertyOptions = { description: 'Id of the refund', example: '2124609641629716480' };
const TIME: ApiPropertyOptions = { type: String, format: 'date-time', example: '2026-01-01T08:00:00.000Z' };
const COMMAND = { enum: OPERATOR_COMMANDS, example: 'acceptSuccess' };
const MINOR: ApiPropertyOptions = { type: Number, example: 100 };
const OWNER = 'As the audit names people: `user:<name>`, `token:<name>`, or any text of yours';
const MAX_NOTE = 300;

export class ListCasesDto extends PageDto {
  @ApiPropertyOptional({ description: 'Cases of this app', example: 'default' })
  @IsOptional()
  @IsString()
  @MaxLength(64)
  appId?: string;

  @ApiPropertyOptional({ enum: CHANNELS, description: 'Cases of this channel', example: 'wechat_pay' })
  @IsOptional()
  @IsIn(CHANNELS)
  channel?: string;

  @ApiPropertyOptional({ enum: REVIEW_CODES, description: 'Cases for this reason', example: 'abnormal' })
  @IsOptional()
  @IsIn(REVIEW_CODES)
  reason?: ReviewCode;

  @ApiPropertyOptional({ description: '`none`: cases that nobody has taken', example: 'user:alice' })
  @IsOptional()
  @IsString()
  @MaxLength(100)
  owner?: string;

  @ApiPropertyOptional({ description: 'Cases for at least this long: a number with s, m, h or d', example: '24h' })
  @IsOptional()
  @Matches(/^\d{1,6}[smhd]$/, { message: 'must be a number with s, m, h or d, as in 24h' })
  olderThan?: string;
}

export class AssignCaseDto {
  @ApiPropertyOptional({
    type: String,
    nullable: true,
    description: `Who takes the case; null: nobody; left out: whoever asks. ${OWNER}`,
    example: 'user:alice',
  })
  @ValidateIf((dto: AssignCaseDto) => dto.owner !== undefined && dto.owner !== null)
  @Matches(/^[^\s\p{C}](?:[^\p{C}]{0,98}[^\s\p{C}])?$/u, { message: 'must be text of 1 to 100 characters, or null' })
  owner?: string | null;
}

const REDRIVE_TARGETS = ['merchantAccount', 'payerCard'] as const;

export class RedriveTargetDto {
  @ApiProperty({
    enum: REDRIVE_TARGETS,
    description: "Where the money goes: to the merchant's account at the gateway, or to a card that the payer named",
    example: 'merchantAccount',
  })
  @IsIn(REDRIVE_TARGETS)
  to: (typeof REDRIVE_TARGETS)[number];

  @ApiPropertyOptional({ description: "payerCard: the bank in the gateway's words", example: 'ICBC_DEBIT' })
  @IsOptional()
  @Matches(/^[A-Z0-9_]{1,16}$/, { message: 'must be 1 to 16 capital letters, digits and _' })
  bankCode?: string;

  @ApiPropertyOptional({ description: 'payerCard: number of the card; never stored', example: '6222020000000000000' })
  @IsOptional()
  @Matches(/^\d{8,30}$/, { message: 'must be 8 to 30 digits' })
  accountNo?: string;

  @ApiPropertyOptional({ description: 'payerCard: whose card it is; never stored', example: 'Zhang San' })
  @IsOptional()
  @IsString()
  @MinLength(1)
  @MaxLength(64)
  holderName?: string;
}

export class ResolveCaseDto {
  @ApiProperty({ ...COMMAND, description: 'What to do with the case; reopen takes back an end' })
  @IsIn(OPERATOR_COMMANDS)
  command: OperatorCommand;

  @ApiProperty({
    description: 'Why; kept with the records',
    maxLength: MAX_NOTE,
    example: 'ticket 4711: bank confirms',
  })
  @IsString()
  @MinLength(1)
  @MaxLength(MAX_NOTE)
  note: string;

  @ApiProperty({ description: '`version` of the refund as it was seen', example: 1 })
  @IsInt({ message: 'must be a whole number' })
  @Min(0)
  expectedVersion: number;

  @ApiPropertyOptional({ description: 'true: only say what would be done', default: false, example: true })
  @IsOptional()
  @IsBoolean()
  dryRun?: boolean;

  @ApiPropertyOptional({
    description: '`digest` of the preview that was shown: done exactly so, or answered 409',
    example: '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08',
  })
  @IsOptional()
  @Matches(/^[0-9a-f]{64}$/, { message: 'must be the digest of a preview' })
  preview?: string;

  @ApiPropertyOptional({ type: RedriveTargetDto, description: "redrive: where to; default: the merchant's account" })
  @IsOptional()
  @IsObject({ message: 'must be an object' })
  @ValidateNested()
  @Type(() => RedriveTargetDto)
  redrive?: RedriveTargetDto;
}

export class ConfirmProposalDto {
  @ApiPropertyOptional({ description: 'Kept with the records', maxLength: MAX_NOTE, example: 'checked with the bank' })
  @IsOptional()
  @IsString()
  @MaxLength(MAX_NOTE)
  note?: string;

  @ApiPropertyOptional({
    type: RedriveTargetDto,
    description: 'redrive to a card: the card once more, because a proposal does not keep it',
  })
  @IsOptional()
  @IsObject({ message: 'must be an object' })
  @ValidateNested()
  @Type(() => RedriveTargetDto)
  redrive?: RedriveTargetDto;
}

export class RejectProposalDto {
  @ApiProperty({ description: 'Why not', maxLength: MAX_NOTE, example: 'the customer has the money already' })
  @IsString()
  @MinLength(1)
  @MaxLength(MAX_NOTE)
  note: string;
}

export class WithdrawProposalDto {
  @ApiPropertyOptional({ description: 'Why', maxLength: MAX_NOTE, example: 'wrong case' })
  @IsOptional()
  @IsString()
  @MaxLength(MAX_NOTE)
  note?: string;
}

export class LastEvidenceView {
  @ApiProperty({ description: 'What the gateway said, normalised', example: 'abnormal' })
  kind: string;

  @ApiProperty({
    description: 'How it was learned',
    enum: ['query', 'create', 'redrive', 'callback'],
    example: 'query',
  })
  via: string;

  @ApiProperty({ description: 'Proven to come from the gateway', example: true })
  authenticated: boolean;

  @ApiProperty({ ...TIME, description: 'When' })
  seenAt: string;

  @ApiProperty({ description: "The gateway's own code", example: 'ABNORMAL' })
  code: string;

  @ApiProperty({ description: "The gateway's own text", example: 'The bank card is void' })
  message: string;

  @ApiPropertyOptional({
    example: null,
    type: String,
    nullable: true,
    description: 'Of a success: when the money was returned',
  })
  finishedAt?: string | null;

  @ApiPropertyOptional({
    description: 'What of the answer does not fit this refund',
    example: 'the gateway refunded 99 CNY, but 100 CNY was asked for',
  })
  contradiction?: string;
}

export class CaseView {
  @ApiProperty(ID)
  refundId: string;

  @ApiProperty({ description: "The merchant's number of the refund", example: 'R0001' })
  refundNo: string;

  @ApiProperty({ description: 'App of the merchant', example: 'default' })
  appId: string;

  @ApiProperty({ enum: CHANNELS, description: 'Channel', example: 'wechat_pay' })
  channel: string;

  @ApiProperty({ type: String, nullable: true, description: 'Account at the gateway', example: 'wechat-main' })
  gatewayAccountId: string | null;

  @ApiProperty({ ...MINOR, description: 'Amount of the refund, minor units' })
  amount: number;

  @ApiProperty({ description: 'Its currency', example: 'CNY' })
  currency: string;

  @ApiProperty({ enum: REFUND_STATUSES, description: '`review`: it is a case', example: 'review' })
  status: RefundStatus;

  @ApiProperty({ description: 'Give it as `expectedVersion`', example: 1 })
  version: number;

  @ApiProperty({ description: 'The amount is taken from the refundable balance', example: true })
  reserved: boolean;

  @ApiProperty({
    enum: REFUND_STATUSES,
    nullable: true,
    description: 'Status before it became a case; null: it is none',
    example: 'progress',
  })
  statusBefore: RefundStatus | null;

  @ApiProperty({ enum: REVIEW_CODES, nullable: true, description: 'Why; see docs/cases.md', example: 'abnormal' })
  reason: ReviewCode | null;

  @ApiProperty({
    type: String,
    nullable: true,
    description: 'Why, in one sentence',
    example: 'the gateway reports an abnormal refund: the bank card is void',
  })
  reasonText: string | null;

  @ApiProperty({ type: String, nullable: true, description: 'Who has taken it', example: 'user:alice' })
  owner: string | null;

  @ApiProperty({ ...TIME, description: 'Since when it has this status' })
  since: Date;

  @ApiProperty({ description: 'How long that is', example: 86400 })
  ageSeconds: number;

  @ApiProperty({ type: LastEvidenceView, nullable: true, description: 'What the gateway said last' })
  lastEvidence: object | null;

  @ApiProperty({ ...TIME, nullable: true, description: 'When the gateway is asked next' })
  nextLookAt: Date | null;
}

/** For the document alone: `{from, to}`. */
const changeOf = (description: string, example: { from: unknown; to: unknown }): ApiPropertyOptions => {
  const member = { type: typeof example.from as 'string', example: example.from };
  return {
    description,
    type: 'object',
    properties: { from: member, to: { ...member, example: example.to } },
    required: ['from', 'to'],
    example,
  };
};

class PreviewPaymentView {
  @ApiProperty({ description: 'Id of the payment', example: '2124609641629716479' })
  id: string;

  @ApiProperty({ description: "The merchant's number of it", example: 'P0001' })
  businessNo: string;

  @ApiProperty(changeOf('Status of the payment', { from: 'partial_refund', to: 'success' }))
  status: object;

  @ApiProperty(changeOf('What may still be refunded, minor units', { from: 900, to: 1000 }))
  refundableBalance: object;

  @ApiProperty(changeOf('What was refunded beyond the payment, minor units', { from: 0, to: 0 }))
  overRefunded: object;

  @ApiProperty(changeOf('What was refunded, minor units', { from: 0, to: 0 }))
  refundedAmount: object;
}

export class PreviewView {
  @ApiProperty({ ...COMMAND, description: 'The command' })
  command: OperatorCommand;

  @ApiProperty(ID)
  refundId: string;

  @ApiProperty({ description: 'Give it as `expectedVersion`', example: 1 })
  version: number;

  @ApiProperty({
    description: 'Give it as `preview`: then exactly this is done, or nothing',
    example: '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08',
  })
  digest: string;

  @ApiProperty(changeOf('Status of the refund', { from: 'review', to: 'close' }))
  status: object;

  @ApiProperty(changeOf('Status as the merchant sees it', { from: 'progress', to: 'close' }))
  merchantStatus: object;

  @ApiProperty(changeOf('Whether the amount is taken from the refundable balance', { from: true, to: false }))
  reserved: object;

  @ApiProperty({ type: PreviewPaymentView, description: 'What becomes of the payment' })
  payment: object;

  @ApiProperty({ ...MINOR, description: 'Amount of the refund, minor units' })
  amount: number;

  @ApiProperty({ description: 'Its currency', example: 'CNY' })
  currency: string;

  @ApiProperty({
    description: 'The effect on money, in words',
    example: '1.00 CNY become refundable again; it is 10.00 CNY then',
  })
  moneyEffect: string;

  @ApiProperty({ description: 'What the merchant is told', example: 'the merchant is told that the refund is close' })
  notification: string;

  @ApiProperty({
    enum: ['sendAgain', 'redrive'],
    nullable: true,
    description: 'The call to the gateway that follows',
    example: null,
  })
  gatewayCall: string | null;

  @ApiProperty({ type: [String], description: 'What one should know before one confirms', example: [] })
  warnings: readonly string[];
}

export class ResolutionOptionView {
  @ApiProperty({ ...COMMAND, description: 'The command' })
  command: OperatorCommand;

  @ApiProperty({ description: 'Whether it may be given now', example: true })
  allowed: boolean;

  @ApiProperty({ enum: REFUSAL_CODES, nullable: true, description: 'Why not, as a code', example: null })
  refusal: RefusalCode | null;

  @ApiProperty({ type: String, nullable: true, description: 'Why not, in one sentence', example: null })
  why: string | null;

  @ApiProperty({ type: PreviewView, nullable: true, description: 'What it would change' })
  preview: CommandPreview | null;
}

export class EvidenceView {
  @ApiProperty({ description: 'Id of the record', example: '2124609641629716481' })
  id: string;

  @ApiProperty({ description: 'query, create, redrive or callback', example: 'query' })
  how: string;

  @ApiProperty({ ...TIME, description: 'When' })
  at: Date;

  @ApiProperty({ description: 'What it amounts to', example: 'abnormal' })
  result: string;

  @ApiProperty({ description: 'What became of it', example: 'a person must look' })
  explanation: string;

  @ApiProperty({
    type: Object,
    nullable: true,
    description: 'What the gateway said: code, message, body; redacted',
    example: { code: 'ABNORMAL', message: '', body: { status: 'ABNORMAL' } },
  })
  answer: object | null;
}

class CasePaymentView {
  @ApiProperty({ description: 'Id of the payment', example: '2124609641629716479' })
  id: string;

  @ApiProperty({ description: "The merchant's number of it", example: 'P0001' })
  businessNo: string;

  @ApiProperty({ ...MINOR, description: 'Its amount, minor units', example: 1000 })
  amount: number;

  @ApiProperty({ description: 'Its currency', example: 'CNY' })
  currency: string;

  @ApiProperty({ description: 'success, partial_refund or refunded', example: 'success' })
  status: string;

  @ApiProperty({ ...MINOR, description: 'What may still be refunded', example: 900 })
  refundableBalance: number;

  @ApiProperty({ ...MINOR, description: 'What was refunded beyond the payment', example: 0 })
  overRefunded: number;

  @ApiProperty({ ...MINOR, description: 'What was refunded', example: 0 })
  refundedAmount: number;
}

export class ProposalView {
  @ApiProperty({ description: 'Id of the proposal', example: '2124609641629716482' })
  id: string;

  @ApiProperty(ID)
  refundId: string;

  @ApiProperty({ ...COMMAND, description: 'What is proposed' })
  command: OperatorCommand;

  @ApiProperty({ description: 'Why', example: 'ticket 4711: bank confirms' })
  note: string;

  @ApiProperty({
    enum: PROPOSAL_STATES,
    description: '`outdated`: no longer what it had been when somebody wanted to confirm it',
    example: 'open',
  })
  state: ProposalState;

  @ApiProperty({ type: PreviewView, description: 'What would be done, and nothing else' })
  preview: CommandPreview;

  @ApiProperty({ description: 'Who proposed it', example: 'token:anna' })
  proposedBy: string;

  @ApiProperty({ ...TIME, description: 'When' })
  proposedAt: Date;

  @ApiProperty({ ...TIME, description: 'When it is void' })
  expiresAt: Date;

  @ApiProperty({ type: String, nullable: true, description: 'Who settled it', example: 'token:ben' })
  settledBy: string | null;

  @ApiProperty({ ...TIME, nullable: true, description: 'When' })
  settledAt: Date | null;

  @ApiProperty({ type: String, nullable: true, description: 'What they said', example: 'checked with the bank' })
  settleNote: string | null;
}

export class CaseDetailView extends CaseView {
  @ApiProperty({ type: CasePaymentView, description: 'The payment' })
  payment: CasePaymentView;

  @ApiProperty({ type: [ResolutionOptionView], description: 'Every command: its preview, or why it may not be given' })
  resolutions: ResolutionOptionView[];

  @ApiProperty({ type: [EvidenceView], description: 'What the gateway said, the newest 20, oldest first' })
  evidence: EvidenceView[];

  @ApiProperty({ type: [ProposalView], description: 'What was proposed, oldest first' })
  proposals: ProposalView[];
}

class CommandCallView {
  @ApiProperty({ enum: ['done', 'later'], description: '`later`: within seconds, by the next look', example: 'done' })
  state: string;

  @ApiProperty({ type: [Object], description: 'Sync records of the call', example: [] })
  records: object[];
}

export class ResolutionView {
  @ApiProperty({ enum: ['previewed', 'proposed', 'applied'], description: 'What became of it', example: 'applied' })
  state: Resolution['state'];

  @ApiProperty({ type: CaseView, description: 'The refund as it is now' })
  refund: CaseView;

  @ApiProperty({ type: PreviewView, description: 'What was shown, and was done if it was applied' })
  preview: CommandPreview;

  @ApiProperty({
    type: String,
    nullable: true,
    description: 'Number of the two repair records; null: the status did not change',
    example: '2124609641629716483',
  })
  repairNo: string | null;

  @ApiProperty({ type: CommandCallView, nullable: true, description: 'The call to the gateway that followed' })
  call: object | null;

  @ApiProperty({ type: ProposalView, nullable: true, description: 'What another operator must confirm' })
  proposal: ProposalView | null;
}

export function proposalViewOf({
  openFor: _o,
  options: _p,
  expectedVersion: _v,
  previewDigest: _d,
  ...view
}: CaseProposal): ProposalView {
  return view;
}

export function resolutionViewOf(resolution: Resolution, refund: CaseView): ResolutionView {
  const { state, preview } = resolution;
  return {
    state,
    refund,
    preview,
    repairNo: state === 'applied' ? resolution.repairNo : null,
    call: state === 'applied' ? resolution.call : null,
    proposal: state === 'proposed' ? proposalViewOf(resolution.proposal) : null,
  };
}
