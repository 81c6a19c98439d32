import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { Transform } from 'class-transformer';
import { IsInt, IsOptional, Matches, Max, Min } from 'class-validator';
import type { VisibleStatus } from '../refund/refund-status.js';
import { bothLanguages } from '../shared/http/dto.pipe.js';

export const DEFAULT_EVENTS = 100;
const MAX_EVENTS = 500;

/** A query's values are texts. */
const toInteger = ({ value }: { value: unknown }): unknown =>
  typeof value === 'string' && /^\d{1,9}$/.test(value) ? Number(value) : value;

export class ReadEventsDto {
  @ApiPropertyOptional({
    description: '`nextCursor` of the page before; absent: from the first event',
    example: '1042',
  })
  @IsOptional()
  @Matches(/^\d{1,15}$/, {
    message: bothLanguages('必须是上一页返回的 nextCursor', 'must be the nextCursor of the page before'),
  })
  cursor?: string;

  @ApiPropertyOptional({
    description: 'How many at most',
    default: DEFAULT_EVENTS,
    maximum: MAX_EVENTS,
    minimum: 1,
    example: 100,
  })
  @IsOptional()
  @Transform(toInteger)
  @IsInt({ message: bothLanguages('必须是整数', 'must be an integer') })
  @Min(1, { message: bothLanguages('必须大于 0', 'must be greater than 0') })
  @Max(MAX_EVENTS, { message: bothLanguages(`最大为 ${MAX_EVENTS}`, `must be at most ${MAX_EVENTS}`) })
  limit?: number;

  @ApiPropertyOptional({ description: 'App that calls, where header X-App-Id does not name it', example: 'default' })
  appId?: string;

  @ApiProperty({ description: 'Seconds since 1970', example: '1707408964' })
  reqTime: string;

  @ApiPropertyOptional({
    description: 'Signature over the parameters of the query, as over the fields of a body; not with hmac-body',
    example: 'ecdcc6092add6f96201c4a090e97dbf4',
  })
  sign?: string;
}

/** The parameters of the query that a signature covers. */
export const EVENT_FIELDS = ['cursor', 'limit', 'appId', 'reqTime', 'mchNo', 'nonceStr'] as const;

/** A refund has come to an end. Times are seconds since 1970, amounts minor units. */
export class EventModel {
  @ApiProperty({ description: 'Same as header webhook-id of the notification', example: '1753370980523384832' })
  eventId: string;

  @ApiProperty({
    description: 'What happened',
    enum: ['refund.success', 'refund.fail', 'refund.close'],
    example: 'refund.success',
  })
  type: string;

  @ApiProperty({ description: '19 digits', example: '1753370980523384831' })
  refundId: string;

  @ApiProperty({ description: "The merchant's number", example: 'R0001' })
  refundNo: string;

  @ApiProperty({ description: 'Minor units', example: 100 })
  amount: number;

  @ApiProperty({ description: 'ISO 4217', example: 'CNY' })
  currency: string;

  @ApiProperty({ description: 'How it was refunded', example: 'wechat_pay' })
  channel: string;

  @ApiProperty({ description: 'The status that it reached', enum: ['success', 'fail', 'close'], example: 'success' })
  status: VisibleStatus;

  @ApiProperty({ description: 'When this change happened', example: 1707409000 })
  eventTime: number;

  @ApiProperty({ type: Number, nullable: true, description: 'When the money was returned', example: 1707409000 })
  refundTime: number | null;

  @ApiProperty({ description: 'When the refund was sent', example: 1707408964 })
  createTime: number;

  @ApiProperty({ type: String, nullable: true, description: 'As it was given with the refund', example: null })
  attach: string | null;

  @ApiProperty({ type: String, nullable: true, description: "The gateway's code when it failed", example: null })
  errorCode: string | null;

  @ApiProperty({ description: 'Why it failed, in words', type: String, nullable: true, example: null })
  errorMsg: string | null;
}

export class EventPageModel {
  @ApiProperty({ type: [EventModel], description: 'In the order of the feed, which never changes' })
  items: EventModel[];

  @ApiProperty({
    description: 'Pass it as `cursor` to go on from here; keep it, also when `items` is empty',
    example: '1042',
  })
  nextCursor: string;

  @ApiProperty({ description: 'False: that was all for now', example: false })
  hasMore: boolean;
}
