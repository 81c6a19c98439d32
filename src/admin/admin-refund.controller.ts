import { Body, Controller, Get, HttpCode, Param, Post, Query, Req, Res } from '@nestjs/common';
import { ApiBearerAuth, ApiCookieAuth, ApiOperation, ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { DEFAULT_APP_ID, MerchantAppService } from '../merchant/merchant-app.service.js';
import { invalidField } from '../shared/errors.js';
import { actorOf } from './admin.guard.js';
import { ListRefundsDto, RegisterPaymentDto, RegisterRefundDto, SyncRefundsDto } from './admin.dto.js';
import { ApiId, ApiPage, ApiResult } from './api.doc.js';
import { BatchItemModel, SyncAnswerModel } from './batch.model.js';
import { MinRole } from './min-role.js';
import type { Page } from './page.js';
import { ApiProblems } from './problem.doc.js';
import { PaymentRecordModel, RefundDetailModel, RefundRecordModel, RefundWithPaymentModel } from './record.model.js';
import { RefundOperations, type RefundDetail, type SyncView } from './refund-operations.service.js';
import { RefundSelection, type BatchItem } from './refund-selection.service.js';
import type { RefundView } from './refund-view.js';

@ApiTags('Internal API: refunds')
@ApiBearerAuth()
@ApiCookieAuth()
@Controller('admin')
export class AdminRefundController {
  constructor(
    private readonly operations: RefundOperations,
    private readonly selection: RefundSelection,
    private readonly apps: MerchantAppService,
  ) {}

  @Post('payments')
  @MinRole('operator')
  @ApiOperation({ summary: 'Make a payment known, so that POST /unipay/refund can refund it' })
  @ApiResult(201, PaymentRecordModel, 'Made')
  @ApiResult(200, PaymentRecordModel, 'Known already, with the same content')
  @ApiProblems({
    400: 'amount must be an integer of minor units',
    409: 'amount is 1000, but payment P0001 is known with 900',
  })
  async registerPayment(
    @Req() request: FastifyRequest,
    @Body() body: RegisterPaymentDto,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    const { appId, currency = 'CNY', ...facts } = body;
    const { view, created } = await this.operations.registerPayment(
      await this.appId(appId),
      { ...facts, currency },
      actorOf(request),
    );
    void reply.status(created ? 201 : 200);
    return view;
  }

  @Post('refunds')
  @MinRole('operator')
  @ApiOperation({ summary: 'Follow a refund that the merchant sent by itself; its amount is reserved on the payment' })
  @ApiResult(201, RefundWithPaymentModel, 'Followed from now on')
  @ApiResult(200, RefundWithPaymentModel, 'Followed already, with the same content')
  @ApiProblems({
    400: 'amount must be an integer of minor units',
    409: 'amount is 1000, but only 900 of payment P0001 can still be refunded',
  })
  async registerRefund(
    @Req() request: FastifyRequest,
    @Body() body: RegisterRefundDto,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<RefundView> {
    const { appId, currency = 'CNY', ...command } = body;
    const { view, created } = await this.operations.registerRefund(
      await this.appId(appId),
      { ...command, currency },
      actorOf(request),
    );
    void reply.status(created ? 201 : 200);
    return view;
  }

  @Get('refunds')
  @MinRole('viewer')
  @ApiOperation({ summary: 'List refunds in the order of their registration' })
  @ApiPage(RefundRecordModel, 'Refunds')
  @ApiProblems({ 400: 'stuckFor must be a number with s, m, h or d, as in 24h' })
  list(@Query() query: ListRefundsDto): Promise<Page<RefundView>> {
    return this.selection.list(query);
  }

  @Post('refunds/sync')
  @HttpCode(200)
  @MinRole('operator')
  @ApiOperation({
    summary: 'Ask the gateway about every refund that a filter finds, at most 200 of them',
    description:
      'Without `status` and `stuckFor`: those in progress. Answers within 30 s and reports each: `done` was asked, `goesOn` is still being ' +
      'asked, `running` was being asked by somebody else, `queueAway` and `broken` will be asked later by itself, `settlesAtOnce` has ' +
      'no gateway, `notStarted` comes again with `nextCursor`.',
  })
  @ApiPage(BatchItemModel, 'What became of each')
  @ApiProblems({ 400: 'limit must not be greater than 200' })
  syncAll(@Req() request: FastifyRequest, @Body() body: SyncRefundsDto): Promise<Page<BatchItem>> {
    return this.selection.sync(body, actorOf(request));
  }

  @Get('refunds/:id')
  @MinRole('viewer')
  @ApiOperation({ summary: 'A refund, its payment, and all that happened to it in order' })
  @ApiId('the refund')
  @ApiResult(200, RefundDetailModel, 'The refund')
  @ApiProblems({ 404: 'no refund 1' })
  detail(@Param('id') id: string): Promise<RefundDetail> {
    return this.operations.detail(id);
  }

  @Post('refunds/:id/sync')
  @HttpCode(200)
  @MinRole('operator')
  @ApiOperation({ summary: 'Ask the gateway now' })
  @ApiId('the refund')
  @ApiResult(200, SyncAnswerModel, 'Looked at; `records` say what came back and what became of it')
  @ApiResult(202, SyncAnswerModel, 'The wait ran out; the sync goes on')
  @ApiProblems({
    404: 'no refund 1',
    409: 'a sync of this refund is running',
    502: 'the sync queue is away; the refund will be synced later by itself',
  })
  async sync(
    @Req() request: FastifyRequest,
    @Param('id') id: string,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<SyncView> {
    const view = await this.operations.sync(id, actorOf(request));
    if (view.state === 'goesOn') void reply.status(202);
    return view;
  }

  private async appId(given: string | undefined): Promise<string> {
    const appId = given ?? DEFAULT_APP_ID;
    if (!(await this.apps.resolve(appId))) throw invalidField('appId', `${appId} is not a known app`);
    return appId;
  }
}
