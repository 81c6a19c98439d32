import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { Transform, Type } from 'class-transformer';
import { IsDate, IsIn, IsInt, IsOptional, IsString, Matches, Max, MaxLength, Min } from 'class-validator';
import type { NotificationAttempt } from '../notification/notification-attempt.entity.js';
import type { NotificationEndpoint } from '../notification/notification-endpoint.entity.js';
import type { NotificationFacts } from '../notification/notification-view.js';
import type { Notification } from '../refund/notification.entity.js';
import { toText } from '../shared/http/transforms.js';

/** As the rows have them; said here once more because an entity is for this module a type alone. */
const STATES = [
  'pending',
  'suppressed',
  'notNeeded',
  'delivered',
  'exhausted',
  'paused',
] as const satisfies readonly Notification['state'][];
const ISO_TIME = /^\d{4}-\d{2}-\d{2}T[\d:.]{5,18}(?:Z|[+-]\d{2}:?\d{2})$/i;
const toDate = ({ value }: { value: unknown }): unknown =>
  typeof value === 'string' && ISO_TIME.test(value) ? new Date(value) : value;
const timeMessage = { message: 'must be a time in ISO 8601 with its zone' };
const cursorMessage = { message: 'must be the nextCursor of the page before' };

class NotificationFilterDto {
  @ApiPropertyOptional({ description: 'Notifications of this app', example: 'default' })
  @IsOptional()
  @IsString()
  @MaxLength(64)
  appId?: string;

  @ApiPropertyOptional({ enum: STATES, description: 'Notifications in this state', example: 'exhausted' })
  @IsOptional()
  @IsIn(STATES)
  state?: (typeof STATES)[number];

  @ApiPropertyOptional({ description: 'Written at or after; ISO 8601', example: '2026-01-01T00:00:00Z' })
  @IsOptional()
  @Transform(toDate)
  @IsDate(timeMessage)
  from?: Date;

  @ApiPropertyOptional({ description: 'Written before; ISO 8601', example: '2026-01-02T00:00:00Z' })
  @IsOptional()
  @Transform(toDate)
  @IsDate(timeMessage)
  to?: Date;

  @ApiPropertyOptional({ description: '`nextCursor` of the page before', example: '1753370980523384832' })
  @IsOptional()
  @Transform(toText)
  @Matches(/^\d{1,19}$/, cursorMessage)
  cursor?: string;
}

export class ListNotificationsDto extends NotificationFilterDto {
  @ApiPropertyOptional({ description: 'Notifications of this refund', example: '1753370980523384831' })
  @IsOptional()
  @Matches(/^\d{1,19}$/, { message: 'must be an id of at most 19 digits' })
  refundId?: string;

  @ApiPropertyOptional({ description: 'How many at most', default: 50, maximum: 500, example: 50 })
  @IsOptional()
  @Type(() => Number)
  @IsInt()
  @Min(1)
  @Max(500)
  limit?: number;
}

export class RedeliverNotificationsDto extends NotificationFilterDto {
  @ApiProperty({ description: 'Written at or after; ISO 8601', example: '2026-01-01T00:00:00Z' })
  @Transform(toDate)
  @IsDate(timeMessage)
  declare from: Date;

  @ApiProperty({ description: 'Written before; ISO 8601', example: '2026-01-02T00:00:00Z' })
  @Transform(toDate)
  @IsDate(timeMessage)
  declare to: Date;

  @ApiPropertyOptional({ description: 'How many at most', default: 100, maximum: 1_000, example: 100 })
  @IsOptional()
  @IsInt()
  @Min(1)
  @Max(1_000)
  limit?: number;
}

export class ListEndpointsDto {
  @ApiPropertyOptional({ description: 'Receivers of this app', example: 'default' })
  @IsOptional()
  @IsString()
  @MaxLength(64)
  appId?: string;

  @ApiPropertyOptional({ description: 'Only paused ones, or only others', example: true })
  @IsOptional()
  @Transform(({ value }: { value: unknown }) => (value === 'true' ? true : value === 'false' ? false : value))
  @IsIn([true, false], { message: 'must be true or false' })
  paused?: boolean;
}

export class NotificationView implements NotificationFacts {
  @ApiProperty({ description: 'Also header webhook-id and eventId of the feed', example: '1753370980523384832' })
  id: string;

  @ApiProperty({ description: 'The app that is told', example: 'default' })
  appId: string;

  @ApiProperty({ description: 'The refund that it tells of', example: '1753370980523384831' })
  refundId: string;

  @ApiProperty({ description: 'The repair that it tells of', example: '1753370980523324312' })
  repairNo: string;

  @ApiProperty({ description: 'The status that it tells', enum: ['success', 'fail', 'close'], example: 'success' })
  refundStatus: Notification['refundStatus'];

  @ApiProperty({
    example: { refundNo: 'R0001', status: 'success' },
    description: 'What it says: amounts in minor units, times in ISO 8601',
    type: Object,
  })
  snapshot: Notification['snapshot'];

  @ApiProperty({ type: String, nullable: true, description: "Null: the app's", example: 'https://shop.example/notify' })
  url: string | null;

  @ApiProperty({ description: 'How far it is', enum: STATES, example: 'delivered' })
  state: Notification['state'];

  @ApiProperty({ description: 'Attempts of the ladder that runs; a redelivery begins anew', example: 1 })
  attempts: number;

  @ApiProperty({
    description: 'When it is tried next; null: not by itself',
    type: String,
    format: 'date-time',
    nullable: true,
    example: null,
  })
  nextAttemptAt: Date | null;

  @ApiProperty({
    description: 'When the receiver confirmed it; null: not yet',
    type: String,
    format: 'date-time',
    nullable: true,
    example: '2026-01-01T00:00:01.000Z',
  })
  deliveredAt: Date | null;

  @ApiProperty({
    type: String,
    nullable: true,
    description: 'The receiver that it waits for while paused',
    example: null,
  })
  endpointId: string | null;

  @ApiProperty({
    description: 'When it was written',
    type: String,
    format: 'date-time',
    example: '2026-01-01T00:00:00.000Z',
  })
  createdAt: Date;
}

export class NotificationPage {
  @ApiProperty({ description: 'Notifications', type: [NotificationView] })
  items: NotificationView[];

  @ApiProperty({ type: String, nullable: true, description: 'Null: that was all', example: null })
  nextCursor: string | null;
}

export class NotificationAttemptView {
  @ApiProperty({ description: 'Id of the attempt', example: '1753370980523384833' })
  id: string;

  @ApiProperty({ description: 'Scheme, host and port', example: 'https://shop.example' })
  origin: string;

  @ApiProperty({ type: Number, nullable: true, description: 'Null: no answer came', example: 200 })
  statusCode: number | null;

  @ApiProperty({ description: 'From the first look at the name to the last byte', example: 37 })
  durationMs: number;

  @ApiProperty({
    type: String,
    nullable: true,
    enum: [
      ...['httpStatus', 'answer', 'answerTooLarge', 'timeout', 'connection', 'tls', 'unknownHost'],
      ...['forbiddenAddress', 'badUrl', 'appSwitchedOff'],
    ],
    description: 'Null: delivered',
    example: null,
  })
  fault: string | null;

  @ApiProperty({ description: 'What went wrong, in words', type: String, nullable: true, example: null })
  detail: string | null;

  @ApiProperty({ type: String, nullable: true, description: 'How the answer begins, redacted', example: 'SUCCESS' })
  answer: string | null;

  @ApiProperty({ description: 'Finds it in the logs', type: String, nullable: true, example: 'vHugexb46msh' })
  traceId: string | null;

  @ApiProperty({ description: 'When it began', type: String, format: 'date-time', example: '2026-01-01T00:00:01.000Z' })
  startedAt: Date;
}

export class NotificationDetail extends NotificationView {
  @ApiProperty({ type: [NotificationAttemptView], description: 'The newest 500, oldest first' })
  attemptList: NotificationAttempt[];
}

export class RedeliveredView {
  @ApiProperty({ description: 'How many were made due', example: 100 })
  redelivered: number;

  @ApiProperty({
    type: String,
    nullable: true,
    description: 'Pass it as `cursor` to go on with the range; null: that was all of it',
    example: '1753370980523384832',
  })
  nextCursor: string | null;
}

export class NotificationEndpointView {
  @ApiProperty({ description: 'Id of the receiver', example: '1753370980523384832' })
  id: string;

  @ApiProperty({ description: 'The app that it belongs to', example: 'default' })
  appId: string;

  @ApiProperty({ description: 'Scheme, host and port', example: 'https://shop.example' })
  origin: string;

  @ApiProperty({ description: 'In a row; 0 after a delivery', example: 3 })
  failures: number;

  @ApiProperty({
    description: 'Since when every delivery has failed; null: the last one did not',
    type: String,
    format: 'date-time',
    nullable: true,
    example: '2026-01-01T00:00:00.000Z',
  })
  failingSince: Date | null;

  @ApiProperty({
    description: 'When one last failed',
    type: String,
    format: 'date-time',
    nullable: true,
    example: '2026-01-01T00:10:00.000Z',
  })
  lastFailureAt: Date | null;

  @ApiProperty({ description: 'Why', type: String, nullable: true, example: 'timeout' })
  lastFault: string | null;

  @ApiProperty({ type: String, format: 'date-time', nullable: true, description: 'Null: not paused', example: null })
  pausedAt: Date | null;
}

export class NotificationEndpointPage {
  @ApiProperty({ description: 'Receivers, by id', type: [NotificationEndpointView] })
  items: NotificationEndpointView[];

  @ApiProperty({ description: 'Always null: the list is whole', type: String, nullable: true, example: null })
  nextCursor: null;
}

export function endpointViewOf(endpoint: NotificationEndpoint): NotificationEndpointView {
  const { id, appId, origin, failures, failingSince, lastFailureAt, lastFault, pausedAt } = endpoint;
  return { id, appId, origin, failures, failingSince, lastFailureAt, lastFault, pausedAt };
}
