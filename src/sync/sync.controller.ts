import { Body, Controller, Post, Req, UseGuards, UseInterceptors } from '@nestjs/common';
import { ApiOperation, ApiProperty, ApiTags } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import { isInstantChannel } from '../gateway/gateway.port.js';
import { RefundLookup } from '../refund/refund-lookup.service.js';
import type { GatewayStatus } from '../refund/sync-record.entity.js';
import { languageOf } from '../shared/envelope.js';
import { DomainError } from '../shared/errors.js';
import { ApiEnvelope } from '../shared/http/envelope.doc.js';
import { EnvelopeInterceptor } from '../signature/envelope.interceptor.js';
import { MerchantInterface, merchantCallOf, SignatureGuard } from '../signature/signature.guard.js';
import { syncAnswerOf, type SyncAnswer } from './sync-answer.js';
import { SYNC_REFUND_FIELDS, SyncRefundDto } from './sync-refund.dto.js';
import { SyncRequestService } from './sync-request.service.js';

class SyncAnswerModel implements SyncAnswer {
  @ApiProperty({
    description: 'What the gateway says',
    enum: ['refund_success', 'refund_fail', 'refund_progress', 'pay_not_found'],
  })
  gatewayStatus: GatewayStatus;

  @ApiProperty({ description: 'False when a person must settle the refund; errorMsg says so', example: true })
  success: boolean;

  @ApiProperty({ description: 'Whether the status that the merchant sees changed in this call', example: true })
  repair: boolean;

  @ApiProperty({
    type: String,
    nullable: true,
    description: 'Repair number, 19 digits; null when nothing was repaired',
    example: '1753370980523324312',
  })
  repairOrderNo: string | null;

  @ApiProperty({ description: 'Why the refund failed or waits for a person; else empty', example: '' })
  errorMsg: string;
}

@ApiTags('Merchant API')
@Controller()
@UseGuards(SignatureGuard)
@UseInterceptors(EnvelopeInterceptor)
export class SyncController {
  constructor(
    private readonly refunds: RefundLookup,
    private readonly syncs: SyncRequestService,
  ) {}

  /** The document names `/unipay/syncPay`; its real client posts to `/unipay/syncRefund`. Both are served. */
  @Post(['unipay/syncRefund', 'unipay/syncPay'])
  @MerchantInterface({ code: 'syncRefund', fields: SYNC_REFUND_FIELDS })
  @ApiOperation({ summary: 'Sync a refund: ask the gateway now, repair what differs' })
  @ApiEnvelope(
    SyncAnswerModel,
    '10005 unreadable body, 10006 bad field, 10007 a sync of this refund is running, 20000 the gateway could not be asked or the sync goes on, 20030 nothing to sync, 20041 no such refund, 20042 closed, 20052 bad signature.',
  )
  async syncRefund(@Req() request: FastifyRequest, @Body() body: SyncRefundDto): Promise<SyncAnswer> {
    if (body.refundId === undefined && body.refundNo === undefined) {
      throw new DomainError(
        'invalid',
        { zh: 'refundId 和 refundNo 不能同时为空', en: 'refundId and refundNo must not both be absent' },
        {
          faults: ['refundId', 'refundNo'].map((field) => ({
            field,
            fault: 'must not be absent together with the other',
          })),
        },
      );
    }
    const { app } = merchantCallOf(request);
    const refund = await this.refunds.findForApp(app.id, body);
    if (!refund) throw new DomainError('refundNotFound', '');
    if (isInstantChannel(refund.channel)) throw new DomainError('instantChannel', '');
    if (refund.status === 'close') throw new DomainError('refundClosed', '');
    const outcome = await this.syncs.request(refund, 'merchant');
    return syncAnswerOf(outcome, languageOf(request.headers['accept-language']));
  }
}
