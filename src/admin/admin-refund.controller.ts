import { Body, Controller, Get, HttpCode, Param, Post, Query, Req, Res } from '@nestjs/common';
import { ApiBearerAuth, ApiOperation, ApiResponse, ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { MerchantAppService, DEFAULT_APP_ID } from '../merchant/merchant-app.service.js';
import { invalidField } from '../shared/errors.js';
import { actorOf } from './admin.guard.js';
import { ListRefundsDto, RegisterPaymentDto, RegisterRefundDto } from './admin.dto.js';
import { MinRole } from './min-role.js';
import { RefundOperations, type RefundDetail, type RefundView, type SyncView } from './refund-operations.service.js';

@ApiTags('Internal API: refunds')
@ApiBearerAuth()
@Controller('admin')
export class AdminRefundController {
  constructor(
    private readonly operations: RefundOperations,
    private readonly apps: MerchantAppService,
  ) {}

  @MinRole('operator')
  @Post('payments')
  @ApiOperation({ summary: 'Make a payment known, so that POST /unipay/refund can refund it' })
  @ApiResponse({ status: 201, description: 'Made' })
  @ApiResponse({ status: 200, description: 'Known already, with the same content' })
  @ApiResponse({ status: 409, description: 'Known with other content; the problem names the field' })
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

  @MinRole('operator')
  @Post('refunds')
  @ApiOperation({ summary: 'Follow a refund that the merchant sent by itself; its amount is reserved on the payment' })
  @ApiResponse({ status: 201, description: 'Followed from now on' })
  @ApiResponse({ status: 200, description: 'Followed already, with the same content' })
  @ApiResponse({
    status: 409,
    description: 'Other content under this number, or more than the refundable balance; the problem names the field',
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

  @MinRole('viewer')
  @Get('refunds')
  @ApiOperation({ summary: 'List refunds in the order of their registration' })
  list(@Query() query: ListRefundsDto): Promise<{ items: RefundView[]; nextCursor: string | null }> {
    return this.operations.list(query);
  }

  @MinRole('viewer')
  @Get('refunds/:id')
  @ApiOperation({ summary: 'A refund, its payment, and all that happened to it in order' })
  @ApiResponse({ status: 404, description: 'No such refund' })
  detail(@Param('id') id: string): Promise<RefundDetail> {
    return this.operations.detail(id);
  }

  @MinRole('operator')
  @Post('refunds/:id/sync')
  @HttpCode(200)
  @ApiOperation({ summary: 'Ask the gateway now' })
  @ApiResponse({ status: 200, description: 'Looked at; `records` say what came back and what became of it' })
  @ApiResponse({ status: 202, description: 'The wait ran out; the sync goes on' })
  @ApiResponse({ status: 409, description: 'A sync of this refund is running, or its channel settles at once' })
  async sync(@Param('id') id: string, @Res({ passthrough: true }) reply: FastifyReply): Promise<SyncView> {
    const view = await this.operations.sync(id);
    if (view.state === 'goesOn') void reply.status(202);
    return view;
  }

  private async appId(given: string | undefined): Promise<string> {
    const appId = given ?? DEFAULT_APP_ID;
    if (!(await this.apps.resolve(appId))) throw invalidField('appId', `${appId} is not a known app`);
    return appId;
  }
}
