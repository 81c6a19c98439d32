import { ApiPropertyOptional } from '@nestjs/swagger';
import { Transform } from 'class-transformer';
import { IsIn, IsOptional, IsString, Matches, MaxLength } from 'class-validator';
import { CHANNELS } from '../gateway/gateway.port.js';
import type { SyncSource } from '../refund/sync-record.entity.js';
import { toText } from '../shared/http/transforms.js';
import { TimedPageDto } from './page.js';

export const PAYMENT_STATUSES = ['success', 'partial_refund', 'refunded'] as const;
export const SYNC_RESULTS = ['success', 'failed', 'processing', 'notFound', 'abnormal', 'error', 'command'] as const;
export const SYNC_EFFECTS = ['changed', 'unchanged', 'superseded'] as const;
export const CALLBACK_STATES = ['stored', 'unmatched', 'done', 'expired'] as const;
/** As in the records themselves; an entity of another module is only a type here. */
const SYNC_SOURCES = ['merchant', 'operator', 'callback', 'sweep', 'create'] as const satisfies readonly SyncSource[];
const REPAIR_TARGETS = ['refund', 'payment'] as const;
const ID = /^\d{1,19}$/;
const idMessage = { message: 'must be an id' };

export class ListPaymentsDto extends TimedPageDto {
  @ApiPropertyOptional({ description: 'Of one app', example: 'default' })
  @IsOptional()
  @IsString()
  @MaxLength(64)
  appId?: string;

  @ApiPropertyOptional({ description: "The merchant's number of the payment", example: 'P0001' })
  @IsOptional()
  @IsString()
  @MaxLength(100)
  businessNo?: string;

  @ApiPropertyOptional({ enum: CHANNELS, description: 'Of one channel', example: 'wechat_pay' })
  @IsOptional()
  @IsIn(CHANNELS)
  channel?: string;

  @ApiPropertyOptional({ enum: PAYMENT_STATUSES, description: 'In one status', example: 'success' })
  @IsOptional()
  @IsIn(PAYMENT_STATUSES)
  status?: (typeof PAYMENT_STATUSES)[number];
}

export class ListSyncsDto extends TimedPageDto {
  @ApiPropertyOptional({ description: 'Of one refund', example: '2124609641629716480' })
  @IsOptional()
  @Transform(toText)
  @Matches(ID, idMessage)
  refundId?: string;

  @ApiPropertyOptional({ enum: SYNC_SOURCES, description: 'Who caused the look', example: 'sweep' })
  @IsOptional()
  @IsIn(SYNC_SOURCES)
  source?: SyncSource;

  @ApiPropertyOptional({ enum: SYNC_RESULTS, description: 'What came back', example: 'success' })
  @IsOptional()
  @IsIn(SYNC_RESULTS)
  result?: (typeof SYNC_RESULTS)[number];

  @ApiPropertyOptional({ enum: SYNC_EFFECTS, description: 'What became of it', example: 'changed' })
  @IsOptional()
  @IsIn(SYNC_EFFECTS)
  effect?: (typeof SYNC_EFFECTS)[number];
}

export class ListRepairsDto extends TimedPageDto {
  @ApiPropertyOptional({ description: 'Of one refund', example: '2124609641629716480' })
  @IsOptional()
  @Transform(toText)
  @Matches(ID, idMessage)
  refundId?: string;

  @ApiPropertyOptional({
    description: '`repairOrderNo` of the merchant API: both sides of one repair',
    example: '2124609641629716480',
  })
  @IsOptional()
  @Transform(toText)
  @Matches(ID, idMessage)
  repairNo?: string;

  @ApiPropertyOptional({ enum: REPAIR_TARGETS, description: 'One side of each repair', example: 'refund' })
  @IsOptional()
  @IsIn(REPAIR_TARGETS)
  target?: (typeof REPAIR_TARGETS)[number];

  @ApiPropertyOptional({ enum: SYNC_SOURCES, description: 'Who caused it', example: 'sweep' })
  @IsOptional()
  @IsIn(SYNC_SOURCES)
  source?: SyncSource;
}

export class ListCallbacksDto extends TimedPageDto {
  @ApiPropertyOptional({ description: 'Of one refund', example: '2124609641629716480' })
  @IsOptional()
  @Transform(toText)
  @Matches(ID, idMessage)
  refundId?: string;

  @ApiPropertyOptional({ description: 'Of one connector', example: 'wechat' })
  @IsOptional()
  @IsString()
  @MaxLength(20)
  gateway?: string;

  @ApiPropertyOptional({ description: 'Of one gateway account', example: 'main' })
  @IsOptional()
  @IsString()
  @MaxLength(64)
  gatewayAccountId?: string;

  @ApiPropertyOptional({ description: 'By the number under which the gateway knows the refund', example: 'R0001' })
  @IsOptional()
  @IsString()
  @MaxLength(64)
  gatewayRequestNo?: string;

  @ApiPropertyOptional({
    enum: CALLBACK_STATES,
    description: '`unmatched`: no refund has its numbers, it waits for a day; `expired`: none appeared',
    example: 'unmatched',
  })
  @IsOptional()
  @IsIn(CALLBACK_STATES)
  state?: (typeof CALLBACK_STATES)[number];
}

export class ListAuditDto extends TimedPageDto {
  @ApiPropertyOptional({ description: 'Who: `bootstrap`, `token:<name>` or `user:<name>`', example: 'bootstrap' })
  @IsOptional()
  @IsString()
  @MaxLength(100)
  actor?: string;

  @ApiPropertyOptional({ description: 'What was done', example: 'app.put' })
  @IsOptional()
  @IsString()
  @MaxLength(100)
  action?: string;

  @ApiPropertyOptional({ description: 'What kind of thing it was done to', example: 'app' })
  @IsOptional()
  @IsString()
  @MaxLength(40)
  targetType?: string;

  @ApiPropertyOptional({ description: 'Which one', example: 'default' })
  @IsOptional()
  @IsString()
  @MaxLength(100)
  targetId?: string;
}
