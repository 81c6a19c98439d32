import { ApiProperty } from '@nestjs/swagger';
import { REFUND_STATUSES, type RefundStatus } from '../refund/refund-status.js';
import { RefundRecordModel, SyncModel } from './record.model.js';
import { BATCH_OUTCOMES, type BatchItem, type BatchOutcome } from './refund-selection.service.js';

export class BatchItemModel implements BatchItem {
  @ApiProperty({ description: 'Id of the refund', example: '2124609641629716480' })
  id: string;

  @ApiProperty({ description: "The merchant's number", example: 'R0001' })
  refundNo: string;

  @ApiProperty({ enum: BATCH_OUTCOMES, description: 'How its sync went', example: 'done' })
  outcome: BatchOutcome;

  @ApiProperty({ enum: REFUND_STATUSES, description: 'The status before', example: 'progress' })
  statusBefore: RefundStatus;

  @ApiProperty({ enum: REFUND_STATUSES, description: 'The status after, as far as it is known', example: 'success' })
  statusAfter: RefundStatus;
}

export class SyncAnswerModel {
  @ApiProperty({ enum: ['done', 'goesOn'], description: 'goesOn: the wait ran out', example: 'done' })
  state: string;

  @ApiProperty({ type: RefundRecordModel, description: 'The refund as it is now' })
  refund: RefundRecordModel;

  @ApiProperty({ type: [SyncModel], description: 'What came of this look, oldest first' })
  records: SyncModel[];
}
