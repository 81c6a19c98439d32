import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { CHANNELS } from '../gateway/gateway.port.js';
import { REFUND_STATUSES, type RefundStatus } from '../refund/refund-status.js';
import { API_TIME } from './api.doc.js';
import { CALLBACK_STATES, PAYMENT_STATUSES, SYNC_EFFECTS, SYNC_RESULTS } from './record.dto.js';

const ID = '2124609641629716480';
const TEXT_OR_NULL = { type: String, nullable: true } as const;
const SOURCES = ['merchant', 'operator', 'callback', 'sweep', 'create'] as const;

export class PaymentRecordModel {
  @ApiProperty({ description: 'Id of the payment', example: ID })
  id: string;

  @ApiProperty({ description: 'The app that it belongs to', example: 'default' })
  appId: string;

  @ApiProperty({ description: "The merchant's number, unique per app", example: 'P0001' })
  businessNo: string;

  @ApiProperty({ ...TEXT_OR_NULL, description: 'What was paid for', example: 'Two tickets' })
  title: string | null;

  @ApiProperty({ enum: CHANNELS, description: 'How it was paid', example: 'wechat_pay' })
  channel: string;

  @ApiProperty({ ...TEXT_OR_NULL, description: 'The account; null: the channel settles at once', example: 'main' })
  gatewayAccountId: string | null;

  @ApiProperty({ description: 'Number under which the gateway knows it', example: 'P0001' })
  outTradeNo: string;

  @ApiProperty({ ...TEXT_OR_NULL, description: "The gateway's own number", example: '4200000000202401010000000001' })
  gatewayPaymentNo: string | null;

  @ApiProperty({ description: 'Amount of the whole payment, minor units', example: 1000 })
  amount: number;

  @ApiProperty({ description: 'ISO 4217', example: 'CNY' })
  currency: string;

  @ApiProperty({ description: 'What can still be refunded, minor units', example: 900 })
  refundableBalance: number;

  @ApiProperty({ description: 'How much more than the payment was refunded, minor units', example: 0 })
  overRefunded: number;

  @ApiProperty({ description: 'What was refunded before the service saw the payment, minor units', example: 0 })
  spentBefore: number;

  @ApiProperty({ description: 'What was refunded with success, minor units', example: 0 })
  refundedAmount: number;

  @ApiProperty({ enum: PAYMENT_STATUSES, description: 'From the refunds in success alone', example: 'success' })
  status: (typeof PAYMENT_STATUSES)[number];

  @ApiProperty({ description: 'Grows with every change', example: 1 })
  version: number;

  @ApiProperty({ ...API_TIME, description: 'When the service learned of it' })
  createdAt: Date;
}

class EvidenceModel {
  @ApiProperty({ description: 'What was said', example: 'processing' })
  kind: string;

  @ApiProperty({ description: 'How it was learned', example: 'query' })
  via: string;

  @ApiProperty({ description: 'Whether the gateway signed it', example: true })
  authenticated: boolean;

  @ApiProperty({ ...API_TIME, description: 'When it was said' })
  seenAt: string;

  @ApiProperty({ description: "The gateway's code", example: 'PROCESSING' })
  code: string;

  @ApiProperty({ description: "The gateway's text", example: '' })
  message: string;

  @ApiPropertyOptional({ ...API_TIME, nullable: true, description: 'Of a success: when the money was returned' })
  finishedAt?: string | null;

  @ApiPropertyOptional({ description: 'What of the answer does not fit this refund', example: 'amount' })
  contradiction?: string;
}

export class RefundRecordModel {
  @ApiProperty({ description: 'Id of the refund', example: ID })
  id: string;

  @ApiProperty({ description: 'The app that it belongs to', example: 'default' })
  appId: string;

  @ApiProperty({ description: "The merchant's number, unique per app", example: 'R0001' })
  refundNo: string;

  @ApiProperty({ description: 'Id of the payment', example: ID })
  paymentId: string;

  @ApiProperty({ enum: CHANNELS, description: 'How it is refunded', example: 'wechat_pay' })
  channel: string;

  @ApiProperty({ ...TEXT_OR_NULL, description: 'The account; null: the channel settles at once', example: 'main' })
  gatewayAccountId: string | null;

  @ApiProperty({ description: 'Number under which the gateway knows the payment', example: 'P0001' })
  outTradeNo: string;

  @ApiProperty({ description: 'Minor units', example: 100 })
  amount: number;

  @ApiProperty({ description: 'ISO 4217', example: 'CNY' })
  currency: string;

  @ApiProperty({ ...TEXT_OR_NULL, description: 'Why it was refunded', example: 'Out of stock' })
  reason: string | null;

  @ApiProperty({
    enum: REFUND_STATUSES,
    description: '`review` waits for a person; merchants see it as `progress`',
    example: 'progress',
  })
  status: RefundStatus;

  @ApiProperty({ description: 'Number under which the gateway knows the refund', example: 'R0001' })
  gatewayRequestNo: string;

  @ApiProperty({ ...API_TIME, nullable: true, description: 'When it was sent, where the gateway asks by time' })
  gatewayRequestTime: Date | null;

  @ApiProperty({ ...TEXT_OR_NULL, description: "The gateway's own number", example: '50000000382019052709732678859' })
  gatewayRefundNo: string | null;

  @ApiProperty({ ...TEXT_OR_NULL, description: 'Why it failed, as a code', example: null })
  errorCode: string | null;

  @ApiProperty({ ...TEXT_OR_NULL, description: 'Why it failed, or what hinders it, in words', example: null })
  errorMsg: string | null;

  @ApiProperty({ ...API_TIME, nullable: true, description: 'When the money was returned' })
  refundTime: Date | null;

  @ApiProperty({ ...TEXT_OR_NULL, description: 'Given back in notifications', example: null })
  attach: string | null;

  @ApiProperty({ ...TEXT_OR_NULL, description: 'Where its end is announced', example: null })
  notifyUrl: string | null;

  @ApiProperty({ description: 'false: the merchant asked not to be told', example: true })
  notify: boolean;

  @ApiProperty({ ...TEXT_OR_NULL, description: 'Address of the customer', example: null })
  clientIp: string | null;

  @ApiProperty({
    enum: ['created', 'registered'],
    description: '`created` by the service, or `registered` as sent by the merchant',
    example: 'registered',
  })
  source: string;

  @ApiProperty({
    enum: ['none', 'inFlight', 'unknown', 'acknowledged', 'refused'],
    description: 'Where the create stands; `none`: the merchant sent it',
    example: 'none',
  })
  createState: string;

  @ApiProperty({ description: 'How often the create was sent', example: 0 })
  createAttempts: number;

  @ApiProperty({ ...API_TIME, nullable: true, description: 'When it was last sent' })
  lastCreateAt: Date | null;

  @ApiProperty({ description: "true while its amount is taken from the payment's balance", example: true })
  reserved: boolean;

  @ApiProperty({ ...API_TIME, nullable: true, description: 'When the gateway is asked next; null: never again' })
  nextSyncAt: Date | null;

  @ApiProperty({ description: 'Looks since the last change', example: 3 })
  syncAttempts: number;

  @ApiProperty({ ...API_TIME, nullable: true, description: 'Since when the gateway does not know it' })
  notFoundSince: Date | null;

  @ApiProperty({ description: 'How often in a row it did not', example: 0 })
  notFoundCount: number;

  @ApiProperty({ ...TEXT_OR_NULL, description: 'The status before the review', example: null })
  statusBeforeReview: RefundStatus | null;

  @ApiProperty({ ...TEXT_OR_NULL, description: 'Why a person is asked, as a code', example: null })
  reviewCode: string | null;

  @ApiProperty({ ...TEXT_OR_NULL, description: 'Why a person is asked, in words', example: null })
  reviewReason: string | null;

  @ApiProperty({ ...TEXT_OR_NULL, description: 'Who has taken the case', example: null })
  reviewOwner: string | null;

  @ApiProperty({ type: EvidenceModel, nullable: true, description: 'What was last learned of it' })
  lastEvidence: object | null;

  @ApiProperty({ description: 'Grows with every change of status', example: 0 })
  version: number;

  @ApiProperty({ ...API_TIME, description: 'When it was sent, as the merchant says' })
  createdAt: Date;

  @ApiProperty({ ...API_TIME, description: 'When the service learned of it' })
  registeredAt: Date;

  @ApiProperty({ ...API_TIME, description: 'When the status last changed' })
  statusChangedAt: Date;
}

export class RefundWithPaymentModel extends RefundRecordModel {
  @ApiProperty({ type: PaymentRecordModel, description: 'Its payment' })
  payment: PaymentRecordModel;
}

class TimelineEntryModel {
  @ApiProperty({
    enum: ['sync', 'callback', 'repair', 'notification', 'audit'],
    description: 'Which kind of record it is',
    example: 'sync',
  })
  type: string;

  @ApiProperty({ ...API_TIME, description: 'When it happened' })
  at: Date;

  @ApiProperty({
    type: Object,
    description: 'The record, as the list of its kind shows it',
    example: { result: 'success' },
  })
  entry: object;
}

export class RefundDetailModel extends RefundWithPaymentModel {
  @ApiProperty({ type: [TimelineEntryModel], description: 'All that happened to it, oldest first' })
  timeline: TimelineEntryModel[];
}

class AnswerModel {
  @ApiProperty({ description: "The gateway's code", example: 'SUCCESS' })
  code: string;

  @ApiProperty({ description: "The gateway's text", example: '' })
  message: string;

  @ApiProperty({ type: Object, description: 'Its fields, redacted', example: { status: 'SUCCESS' } })
  body: object;
}

export class SyncModel {
  @ApiProperty({ description: 'Id of the record', example: ID })
  id: string;

  @ApiProperty({ description: 'The refund', example: ID })
  refundId: string;

  @ApiProperty({ enum: SOURCES, description: 'Who caused it', example: 'sweep' })
  source: string;

  @ApiProperty({
    description: 'What was done: query, create, redrive, callback, or command of an operator',
    example: 'query',
  })
  operation: string;

  @ApiProperty({ ...TEXT_OR_NULL, description: 'Finds it in the logs', example: '4bf92f3577b34da6a3ce929d0e0e4736' })
  traceId: string | null;

  @ApiProperty({ ...API_TIME, description: 'When it began' })
  startedAt: Date;

  @ApiProperty({ ...API_TIME, description: 'When it ended' })
  finishedAt: Date;

  @ApiProperty({ enum: SYNC_RESULTS, description: 'What the gateway said; `error`: nothing', example: 'success' })
  result: string;

  @ApiProperty({ ...TEXT_OR_NULL, description: 'Why nothing, where `result` is error', example: null })
  errorKind: string | null;

  @ApiProperty({ ...TEXT_OR_NULL, description: 'As the merchant API reports it', example: 'refund_success' })
  gatewayStatus: string | null;

  @ApiProperty({ enum: SYNC_EFFECTS, description: 'What became of it', example: 'changed' })
  effect: string;

  @ApiProperty({ enum: REFUND_STATUSES, description: 'The status before', example: 'progress' })
  statusBefore: RefundStatus;

  @ApiProperty({ enum: REFUND_STATUSES, description: 'The status after', example: 'success' })
  statusAfter: RefundStatus;

  @ApiProperty({ description: 'Why this became of it', example: 'the gateway says success' })
  explanation: string;

  @ApiProperty({ ...TEXT_OR_NULL, description: 'Number of the repair; null: nothing changed', example: ID })
  repairNo: string | null;

  @ApiProperty({ type: AnswerModel, nullable: true, description: 'What the gateway said, redacted' })
  answer: object | null;
}

export class RepairModel {
  @ApiProperty({ description: 'Id of the record', example: ID })
  id: string;

  @ApiProperty({ description: 'Shared by both sides; `repairOrderNo` of the merchant API', example: ID })
  repairNo: string;

  @ApiProperty({ enum: ['refund', 'payment'], description: 'Which side', example: 'refund' })
  target: string;

  @ApiProperty({ description: 'Id of the refund or payment', example: ID })
  targetId: string;

  @ApiProperty({ description: 'The refund', example: ID })
  refundId: string;

  @ApiProperty({ enum: SOURCES, description: 'Who caused it', example: 'sweep' })
  source: string;

  @ApiProperty({ description: 'The status before', example: 'progress' })
  statusBefore: string;

  @ApiProperty({ description: 'The status after', example: 'success' })
  statusAfter: string;

  @ApiProperty({ description: 'What could still be refunded of the payment before, minor units', example: 900 })
  balanceBefore: number;

  @ApiProperty({ description: 'And after', example: 900 })
  balanceAfter: number;

  @ApiProperty({ description: 'Why', example: 'the gateway says success' })
  explanation: string;

  @ApiProperty({ description: 'The sync record that it follows from', example: ID })
  syncRecordId: string;

  @ApiProperty({ ...API_TIME, description: 'When' })
  createdAt: Date;

  @ApiProperty({ ...TEXT_OR_NULL, description: 'Place in the hash chain; null: not sealed yet', example: '1042' })
  seq: string | null;

  @ApiProperty({ ...TEXT_OR_NULL, description: 'Hash of the entry, 64 hex digits', example: null })
  hash: string | null;

  @ApiProperty({ ...TEXT_OR_NULL, description: 'Hash of the entry before it', example: null })
  prevHash: string | null;
}

export class CallbackModel {
  @ApiProperty({ description: 'Id of the record', example: ID })
  id: string;

  @ApiProperty({ description: 'The connector', example: 'wechat' })
  gateway: string;

  @ApiProperty({ description: 'The account', example: 'main' })
  gatewayAccountId: string;

  @ApiProperty({ description: 'What tells it from others of the account', example: 'EV-2018022511223320873' })
  eventKey: string;

  @ApiProperty({ description: 'What it is about, in the words of the gateway', example: 'REFUND.SUCCESS' })
  eventType: string;

  @ApiProperty({ ...TEXT_OR_NULL, description: 'The number of the refund that it names', example: 'R0001' })
  gatewayRequestNo: string | null;

  @ApiProperty({ ...TEXT_OR_NULL, description: "The gateway's own number that it names", example: null })
  gatewayRefundNo: string | null;

  @ApiProperty({ ...TEXT_OR_NULL, description: 'The number of the payment that it names', example: 'P0001' })
  outTradeNo: string | null;

  @ApiProperty({ ...TEXT_OR_NULL, description: 'The refund; null: none is known', example: ID })
  refundId: string | null;

  @ApiProperty({ description: 'What it told of the refund', example: 'success' })
  told: string;

  @ApiProperty({ type: AnswerModel, description: 'What the gateway sent, redacted' })
  raw: AnswerModel;

  @ApiProperty({ enum: CALLBACK_STATES, description: 'How far it is', example: 'done' })
  state: string;

  @ApiProperty({ ...TEXT_OR_NULL, description: 'What became of it', example: 'changed' })
  outcome: string | null;

  @ApiProperty({ description: 'How often the gateway sent it', example: 1 })
  deliveries: number;

  @ApiProperty({ ...TEXT_OR_NULL, description: 'Finds it in the logs', example: '4bf92f3577b34da6a3ce929d0e0e4736' })
  traceId: string | null;

  @ApiProperty({ ...API_TIME, description: 'When it came first' })
  receivedAt: Date;

  @ApiProperty({ ...API_TIME, nullable: true, description: 'When it was worked on; null: not yet' })
  processedAt: Date | null;
}

class RefusedSampleModel {
  @ApiProperty({ description: 'Length of its body', example: 512 })
  bytes: number;

  @ApiProperty({
    description: 'SHA-256 of its body, in hex',
    example: '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822c',
  })
  sha256: string;

  @ApiProperty({ ...TEXT_OR_NULL, description: 'Its content type', example: 'application/json' })
  contentType: string | null;

  @ApiProperty({ type: [String], description: 'Names of its headers', example: ['content-type'] })
  headerNames: string[];
}

export class CallbackRefusalModel {
  @ApiProperty({ description: 'The gateway account', example: 'main' })
  gatewayAccountId: string;

  @ApiProperty({ description: 'The connector', example: 'wechat' })
  gateway: string;

  @ApiProperty({ description: 'How many were refused', example: 3 })
  count: number;

  @ApiProperty({ description: 'Why the last one was', example: 'the signature is wrong' })
  lastReason: string;

  @ApiProperty({ type: RefusedSampleModel, description: 'What the last one looked like' })
  lastSample: RefusedSampleModel;

  @ApiProperty({ ...API_TIME, description: 'When the first one came' })
  firstAt: Date;

  @ApiProperty({ ...API_TIME, description: 'When the last one came' })
  lastAt: Date;
}

export class AuditModel {
  @ApiProperty({ description: 'Id of the entry', example: ID })
  id: string;

  @ApiProperty({ description: 'Who: `bootstrap`, `token:<name>` or `user:<name>`', example: 'user:alice' })
  actor: string;

  @ApiProperty({ description: 'What was done', example: 'app.put' })
  action: string;

  @ApiProperty({ description: 'What kind of thing it was done to', example: 'app' })
  targetType: string;

  @ApiProperty({ description: 'Which one', example: 'default' })
  targetId: string;

  @ApiProperty({ type: Object, nullable: true, description: 'How it was, without secrets', example: { enabled: true } })
  before: object | null;

  @ApiProperty({ type: Object, nullable: true, description: 'How it is, without secrets', example: { enabled: false } })
  after: object | null;

  @ApiProperty({ ...TEXT_OR_NULL, description: 'Finds it in the logs', example: '4bf92f3577b34da6a3ce929d0e0e4736' })
  traceId: string | null;

  @ApiProperty({ ...API_TIME, description: 'When' })
  createdAt: Date;

  @ApiProperty({ ...TEXT_OR_NULL, description: 'Place in the hash chain; null: not sealed yet', example: '1042' })
  seq: string | null;

  @ApiProperty({ ...TEXT_OR_NULL, description: 'Hash of the entry, 64 hex digits', example: null })
  hash: string | null;

  @ApiProperty({ ...TEXT_OR_NULL, description: 'Hash of the entry before it', example: null })
  prevHash: string | null;
}

class RefundCountModel {
  @ApiProperty({ enum: CHANNELS, description: 'The channel', example: 'wechat_pay' })
  channel: string;

  @ApiProperty({ enum: REFUND_STATUSES, description: 'The status', example: 'progress' })
  status: RefundStatus;

  @ApiProperty({ description: 'How many refunds', example: 42 })
  count: number;
}

class OldestModel {
  @ApiProperty({ description: 'Id of the refund', example: ID })
  id: string;

  @ApiProperty({ description: "The merchant's number", example: 'R0001' })
  refundNo: string;

  @ApiProperty({ enum: REFUND_STATUSES, description: 'progress or review', example: 'progress' })
  status: RefundStatus;

  @ApiProperty({ ...API_TIME, description: 'When the service learned of it' })
  registeredAt: Date;
}

class SyncCountModel {
  @ApiProperty({ enum: SYNC_RESULTS, description: 'What came back', example: 'processing' })
  result: string;

  @ApiProperty({ description: 'How often', example: 42 })
  count: number;
}

class TodayModel {
  @ApiProperty({ ...API_TIME, description: 'Since when: midnight UTC' })
  from: Date;

  @ApiProperty({ type: [SyncCountModel], description: 'Looks, by what came back' })
  syncs: SyncCountModel[];

  @ApiProperty({ description: 'Changes of status', example: 7 })
  repairs: number;
}

export class StatsModel {
  @ApiProperty({ ...API_TIME, description: 'When they were counted' })
  countedAt: Date;

  @ApiProperty({ type: [RefundCountModel], description: 'Refunds by channel and status; what is missing is 0' })
  refunds: RefundCountModel[];

  @ApiProperty({
    type: OldestModel,
    nullable: true,
    description: 'The refund in progress or review that was registered first; null: there is none',
  })
  oldestUnresolved: OldestModel | null;

  @ApiProperty({ description: 'Refunds whose next look is due and was not taken yet', example: 3 })
  dueBacklog: number;

  @ApiProperty({ type: TodayModel, description: 'What was done today' })
  today: TodayModel;
}
