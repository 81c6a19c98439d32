import { hash } from 'node:crypto';
import { Body, Controller, Post, Req, UseGuards, UseInterceptors } from '@nestjs/common';
import { ApiBody, ApiExtraModels, ApiOperation, ApiProperty, ApiTags, getSchemaPath } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import { isInstantChannel } from '../gateway/gateway.port.js';
import { DomainError, invalidField } from '../shared/errors.js';
import { toDto } from '../shared/http/dto.pipe.js';
import { ApiEnvelope } from '../shared/http/envelope.doc.js';
import { decimalToMinor } from '../shared/money.js';
import { OutboundPolicy } from '../shared/outbound/outbound-policy.js';
import { EnvelopeInterceptor } from '../signature/envelope.interceptor.js';
import { MerchantInterface, merchantCallOf, SignatureGuard } from '../signature/signature.guard.js';
import type { CreateRefund } from './create-writer.service.js';
import { CreateService } from './create.service.js';
import type { Payment } from './payment.entity.js';
import {
  QUERY_FIELDS,
  QueryRefundDto,
  REFUND_FIELDS,
  RefundChannelDto,
  RefundV2Dto,
  RefundV3Dto,
} from './refund.dto.js';
import type { Refund } from './refund.entity.js';
import { RefundLookup } from './refund-lookup.service.js';
import { RefundQueryService } from './refund-query.service.js';
import { visibleStatus, type VisibleStatus } from './refund-status.js';

/** A refund as merchants read it. Times are seconds since 1970, amounts minor units. */
export class RefundModel {
  @ApiProperty({ description: '19 digits', example: '1753370980523384832' })
  refundId: string;

  @ApiProperty({ description: "The merchant's number", example: 'R0001' })
  refundNo: string;

  @ApiProperty({ description: '19 digits', example: '1753370980523384831' })
  paymentId: string;

  @ApiProperty({ description: 'The merchant’s number of the payment', example: 'P0001' })
  businessNo: string;

  @ApiProperty({ description: 'What was paid for', example: 'Two tickets', type: String, nullable: true })
  title: string | null;

  @ApiProperty({ description: 'Minor units', example: 100 })
  amount: number;

  @ApiProperty({ description: 'ISO 4217', example: 'CNY' })
  currency: string;

  @ApiProperty({ description: 'What of the payment can still be refunded, minor units', example: 900 })
  refundableBalance: number;

  @ApiProperty({ example: true, description: 'False for channels that settle at once' })
  asyncPay: boolean;

  @ApiProperty({
    description: 'The channel; null when it settles at once',
    type: String,
    nullable: true,
    example: 'wechat_pay',
  })
  asyncChannel: string | null;

  @ApiProperty({ description: 'Exactly one', type: [RefundChannelDto] })
  refundChannels: RefundChannelDto[];

  @ApiProperty({ description: 'Where it stands', example: 'success', enum: ['progress', 'success', 'fail', 'close'] })
  status: VisibleStatus;

  @ApiProperty({ example: null, type: String, nullable: true, description: "The gateway's code when it failed" })
  errorCode: string | null;

  @ApiProperty({ description: 'Why it failed, or what hinders it', example: null, type: String, nullable: true })
  errorMsg: string | null;

  @ApiProperty({ example: 1707409000, type: Number, nullable: true, description: 'When the money was returned' })
  refundTime: number | null;

  @ApiProperty({ description: 'When the refund was sent', example: 1707408964 })
  createTime: number;

  @ApiProperty({ description: 'As it was given with the refund', example: null, type: String, nullable: true })
  attach: string | null;
}

@ApiTags('Merchant API')
@Controller()
@UseGuards(SignatureGuard)
@UseInterceptors(EnvelopeInterceptor)
export class RefundController {
  constructor(
    private readonly creates: CreateService,
    private readonly lookup: RefundLookup,
    private readonly refunds: RefundQueryService,
    private readonly outbound: OutboundPolicy,
  ) {}

  @Post('unipay/refund')
  @MerchantInterface({ code: 'refund', fields: REFUND_FIELDS })
  @ApiOperation({ summary: 'Refund a payment: the service sends it to the gateway and drives it to its end' })
  @ApiExtraModels(RefundV2Dto, RefundV3Dto)
  @ApiBody({ schema: { oneOf: [{ $ref: getSchemaPath(RefundV2Dto) }, { $ref: getSchemaPath(RefundV3Dto) }] } })
  @ApiEnvelope(
    RefundModel,
    '10005, 10006, 20000 with a text that says why, 20052. Code 0 with status `progress` means: taken, the end follows.',
  )
  async refund(@Req() request: FastifyRequest): Promise<RefundModel> {
    const { app } = merchantCallOf(request);
    const command =
      app.dialect === 'daxpay-v3'
        ? fromV3(await toDto(RefundV3Dto, request.body))
        : fromV2(await toDto(RefundV2Dto, request.body), numberOf(request.body));
    this.outbound.check('notifyUrl', command.notifyUrl);
    const { refund, payment } = await this.creates.create(app.id, command);
    return modelOf(refund, payment);
  }

  @Post('uni/query/refundOrder')
  @MerchantInterface({ code: 'queryRefund', fields: QUERY_FIELDS })
  @ApiOperation({ summary: 'Read a refund as the service knows it; the gateway is not asked' })
  @ApiEnvelope(RefundModel, '10005, 10006, 20041 no such refund, 20052.')
  async query(@Req() request: FastifyRequest, @Body() body: QueryRefundDto): Promise<RefundModel> {
    const refundNo = body.refundNo ?? body.bizRefundNo;
    if (body.refundId === undefined && refundNo === undefined) {
      throw new DomainError('invalid', {
        zh: 'refundId 和 refundNo 不能同时为空',
        en: 'refundId and refundNo must not both be absent',
      });
    }
    const refund = await this.lookup.findForApp(merchantCallOf(request).app.id, { refundId: body.refundId, refundNo });
    if (!refund) throw new DomainError('refundNotFound', '');
    return modelOf(refund, await this.refunds.payment(refund.paymentId));
  }
}

/**
 * The number of a refund whose merchant gave it none. The document's client sends a request again by itself when a connection closes
 * without an answer: the same content, `reqTime` and `sign` included, must be the same refund and not a second one.
 */
function numberOf(body: unknown): string {
  return `req-${hash('sha256', JSON.stringify(body)).slice(0, 32)}`;
}

function fromV2(dto: RefundV2Dto, refundNoIfAbsent: string): CreateRefund {
  const channel = dto.refundChannels?.[0];
  const amount = dto.refundAll === true ? 'all' : channel?.amount;
  if (amount === undefined)
    throw invalidField('refundChannels', {
      zh: '必须恰好有一个通道，除非 refundAll 为 true',
      en: 'must have exactly one channel unless refundAll is true',
    });
  return {
    payment: paymentRef(dto.paymentId, dto.businessNo, 'paymentId', 'businessNo'),
    amount,
    channel: channel?.channel,
    refundNo: dto.refundNo ?? refundNoIfAbsent,
    notify: dto.notNotify !== true,
    ...common(dto),
  };
}

function fromV3(dto: RefundV3Dto): CreateRefund {
  return {
    payment: paymentRef(dto.orderNo, dto.bizOrderNo, 'orderNo', 'bizOrderNo'),
    amount: (currency) => {
      const amount = decimalToMinor(dto.amount, currency);
      if (amount === undefined || amount === 0)
        throw invalidField('amount', { zh: `不是 ${currency} 的有效金额`, en: `is no amount of ${currency}` });
      return amount;
    },
    refundNo: dto.bizRefundNo,
    notify: true,
    ...common(dto),
  };
}

function common({ reason, attach, notifyUrl, clientIp }: RefundV2Dto | RefundV3Dto) {
  return { reason, attach, notifyUrl, clientIp };
}

function paymentRef(
  id: string | undefined,
  businessNo: string | undefined,
  idField: string,
  noField: string,
): CreateRefund['payment'] {
  if (id !== undefined) return { id };
  if (businessNo !== undefined) return { businessNo };
  throw new DomainError(
    'invalid',
    { zh: `${idField} 和 ${noField} 不能同时为空`, en: `${idField} and ${noField} must not both be absent` },
    { faults: [idField, noField].map((field) => ({ field, fault: 'must not be absent together with the other' })) },
  );
}

function modelOf(refund: Refund, payment: Payment): RefundModel {
  const asyncPay = !isInstantChannel(refund.channel);
  return {
    refundId: refund.id,
    refundNo: refund.refundNo,
    paymentId: refund.paymentId,
    businessNo: payment.businessNo,
    title: payment.title,
    amount: refund.amount,
    currency: refund.currency,
    refundableBalance: payment.refundableBalance,
    asyncPay,
    asyncChannel: asyncPay ? refund.channel : null,
    refundChannels: [{ channel: refund.channel, amount: refund.amount }],
    status: visibleStatus(refund.status),
    errorCode: refund.errorCode,
    errorMsg: refund.errorMsg,
    refundTime: refund.refundTime === null ? null : seconds(refund.refundTime),
    createTime: seconds(refund.createdAt),
    attach: refund.attach,
  };
}

function seconds(time: Date): number {
  return Math.floor(time.getTime() / 1_000);
}
