import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { Type } from 'class-transformer';
import {
  IsBoolean,
  IsDefined,
  IsIn,
  IsInt,
  IsObject,
  IsOptional,
  IsString,
  IsUrl,
  Matches,
  Max,
  MaxLength,
  Min,
  MinLength,
  ValidateBy,
  ValidateNested,
} from 'class-validator';
import { CHANNELS } from '../gateway/gateway.port.js';
import { SIGN_DIALECT_NAMES, type SignDialectName } from '../merchant/merchant-codes.js';
import { REFUND_STATUSES, type RefundStatus } from '../refund/refund-status.js';
import { MERCHANT_NUMBER } from '../refund/refund.dto.js';
import { IsTime } from './iso-time.js';
import { TimedPageDto } from './page.js';
import { isCurrency, MAX_AMOUNT_MINOR } from '../shared/money.js';
import { SIGN_TYPES, type SignType } from '../shared/sign-type.js';

export const DEFAULT_BATCH = 50;
export const MAX_BATCH = 200;

/** A number under which a gateway knows something; connectors narrow it further. */
const GATEWAY_NUMBER = /^[\x21-\x7e]{1,64}$/;
const numberMessage = { message: 'must be 1 to 100 printable characters without a space at either end' };
const gatewayNumberMessage = { message: 'must be 1 to 64 visible ASCII characters' };
const HTTP_URL = { protocols: ['http', 'https'], require_protocol: true, require_tld: false };

function IsCurrency() {
  return ValidateBy({
    name: 'isCurrency',
    validator: {
      validate: (value: unknown) => typeof value === 'string' && isCurrency(value),
      defaultMessage: () => 'must be an ISO 4217 currency in upper case',
    },
  });
}

export class PaymentDto {
  @ApiProperty({ description: "The merchant's number of the payment, unique per app", example: 'P0001' })
  @Matches(MERCHANT_NUMBER, numberMessage)
  businessNo: string;

  @ApiProperty({ description: 'Amount of the whole payment, minor units', example: 1000 })
  @IsInt({ message: 'must be an integer of minor units' })
  @Min(1)
  @Max(MAX_AMOUNT_MINOR)
  amount: number;

  @ApiPropertyOptional({ description: 'What was paid for', example: 'Two tickets' })
  @IsOptional()
  @IsString()
  @MaxLength(200)
  title?: string;

  @ApiPropertyOptional({
    description: 'Number under which the merchant sent the payment to the gateway; default businessNo',
    example: 'P0001',
  })
  @IsOptional()
  @Matches(GATEWAY_NUMBER, gatewayNumberMessage)
  outTradeNo?: string;

  @ApiPropertyOptional({
    description: "The gateway's own number of the payment",
    example: '4200000000202401010000000001',
  })
  @IsOptional()
  @Matches(GATEWAY_NUMBER, gatewayNumberMessage)
  gatewayPaymentNo?: string;

  @ApiPropertyOptional({
    description: 'What was refunded before the service saw the payment; counts as spent',
    default: 0,
    example: 0,
  })
  @IsOptional()
  @IsInt({ message: 'must be an integer of minor units' })
  @Min(0)
  @Max(MAX_AMOUNT_MINOR)
  refundedAmount?: number;
}

export class RegisterPaymentDto extends PaymentDto {
  @ApiPropertyOptional({ description: 'The app that it belongs to', example: 'default', default: 'default' })
  @IsOptional()
  @IsString()
  @MaxLength(64)
  appId?: string;

  @ApiProperty({ description: 'How it was paid', enum: CHANNELS, example: 'wechat_pay' })
  @IsIn(CHANNELS)
  channel: string;

  @ApiPropertyOptional({ description: 'ISO 4217', default: 'CNY', example: 'CNY' })
  @IsOptional()
  @IsCurrency()
  currency?: string;

  @ApiPropertyOptional({ example: 'sandbox-wechat', description: 'Required when several accounts serve the channel' })
  @IsOptional()
  @IsString()
  @MaxLength(64)
  gatewayAccountId?: string;
}

export class RegisterRefundDto {
  @ApiPropertyOptional({ description: 'The app that it belongs to', example: 'default', default: 'default' })
  @IsOptional()
  @IsString()
  @MaxLength(64)
  appId?: string;

  @ApiProperty({ description: "The merchant's refund number, unique per app", example: 'R0001' })
  @Matches(MERCHANT_NUMBER, numberMessage)
  refundNo: string;

  @ApiProperty({ description: 'How it is refunded', enum: CHANNELS, example: 'wechat_pay' })
  @IsIn(CHANNELS)
  channel: string;

  @ApiProperty({ description: 'Minor units', example: 100 })
  @IsInt({ message: 'must be an integer of minor units' })
  @Min(1)
  @Max(MAX_AMOUNT_MINOR)
  amount: number;

  @ApiPropertyOptional({ description: 'ISO 4217', default: 'CNY', example: 'CNY' })
  @IsOptional()
  @IsCurrency()
  currency?: string;

  @ApiPropertyOptional({ example: 'sandbox-wechat', description: 'Required when several accounts serve the channel' })
  @IsOptional()
  @IsString()
  @MaxLength(64)
  gatewayAccountId?: string;

  @ApiPropertyOptional({
    description: 'Number under which the merchant sent the refund to the gateway; default refundNo',
    example: 'R0001',
  })
  @IsOptional()
  @Matches(GATEWAY_NUMBER, gatewayNumberMessage)
  gatewayRequestNo?: string;

  @ApiPropertyOptional({
    description: 'When it was sent; ISO 8601. Required for union_pay: the txnTime of the refund, to the second',
    example: '2026-01-01T08:00:00Z',
  })
  @IsOptional()
  @IsTime()
  gatewayRequestTime?: Date;

  @ApiPropertyOptional({
    example: '50000000382019052709732678859',
    description: "The gateway's own number of the refund",
  })
  @IsOptional()
  @Matches(GATEWAY_NUMBER, gatewayNumberMessage)
  gatewayRefundNo?: string;

  @ApiPropertyOptional({ description: 'Why it is refunded', example: 'Out of stock', maxLength: 300 })
  @IsOptional()
  @IsString()
  @MaxLength(300)
  reason?: string;

  @ApiPropertyOptional({ example: 'order 42', description: 'Given back in notifications', maxLength: 2000 })
  @IsOptional()
  @IsString()
  @MaxLength(2000)
  attach?: string;

  @ApiPropertyOptional({
    description: 'Where to announce the end; default: the address of the app',
    example: 'https://shop.example/notify',
  })
  @IsOptional()
  @IsUrl(HTTP_URL, { message: 'must be an http or https address' })
  @MaxLength(500)
  notifyUrl?: string;

  @ApiPropertyOptional({
    description: 'When the merchant sent the refund; ISO 8601; default now',
    example: '2026-01-01T08:00:00Z',
  })
  @IsOptional()
  @IsTime()
  createdAt?: Date;

  @ApiProperty({ type: PaymentDto, description: 'The payment; made if unknown, compared if known' })
  @IsDefined({ message: 'is required' })
  @IsObject({ message: 'must be an object' })
  @ValidateNested()
  @Type(() => PaymentDto)
  payment: PaymentDto;
}

export class ListRefundsDto extends TimedPageDto {
  @ApiPropertyOptional({ enum: REFUND_STATUSES, description: 'In one status', example: 'progress' })
  @IsOptional()
  @IsIn(REFUND_STATUSES)
  status?: RefundStatus;

  @ApiPropertyOptional({ enum: CHANNELS, description: 'Of one channel', example: 'wechat_pay' })
  @IsOptional()
  @IsIn(CHANNELS)
  channel?: string;

  @ApiPropertyOptional({ description: 'Of one app', example: 'default' })
  @IsOptional()
  @IsString()
  @MaxLength(64)
  appId?: string;

  @ApiPropertyOptional({
    description: 'In progress or review, unchanged for this long: a number with s, m, h or d',
    example: '24h',
  })
  @IsOptional()
  @Matches(/^\d{1,6}[smhd]$/, { message: 'must be a number with s, m, h or d, as in 24h' })
  stuckFor?: string;
}

/** Which refunds are synced; the same filters as those of the list. */
export class SyncRefundsDto extends ListRefundsDto {
  @ApiPropertyOptional({
    description: 'How many at most',
    default: DEFAULT_BATCH,
    minimum: 1,
    maximum: MAX_BATCH,
    example: 20,
  })
  @IsOptional()
  @IsInt()
  @Min(1)
  @Max(MAX_BATCH)
  override limit?: number;
}

export class PutAppDto {
  @ApiPropertyOptional({ description: 'For people', example: 'Main shop', maxLength: 100 })
  @IsOptional()
  @IsString()
  @MaxLength(100)
  name?: string;

  @ApiPropertyOptional({
    description: 'How requests and answers are signed',
    example: 'daxpay-v2',
    enum: SIGN_DIALECT_NAMES,
  })
  @IsOptional()
  @IsIn(SIGN_DIALECT_NAMES)
  dialect?: SignDialectName;

  @ApiPropertyOptional({ example: 'HMAC_SHA256', enum: SIGN_TYPES, description: 'SM3 with daxpay-v3 alone' })
  @IsOptional()
  @IsIn(SIGN_TYPES)
  signType?: SignType;

  @ApiPropertyOptional({
    example: 'Z0x3b1Yw5mRk8qVtJ2nCfHsLdGpXaQeU',
    description: 'Never answered; required for a new app',
    minLength: 6,
    maxLength: 256,
  })
  @IsOptional()
  @IsString()
  @MinLength(6)
  @MaxLength(256)
  signSecret?: string;

  @ApiPropertyOptional({ description: 'Seconds that reqTime may be away from now; 0 = not checked', example: 300 })
  @IsOptional()
  @IsInt()
  @Min(0)
  @Max(86_400)
  reqTimeWindowS?: number;

  @ApiPropertyOptional({
    example: 'https://shop.example/notify',
    type: String,
    nullable: true,
    description: 'Where ends are announced when the refund names no address',
  })
  @IsOptional()
  @IsUrl(HTTP_URL, { message: 'must be an http or https address' })
  @MaxLength(500)
  notifyUrl?: string | null;

  @ApiPropertyOptional({ description: 'false: every request of the app is refused', example: true })
  @IsOptional()
  @IsBoolean()
  enabled?: boolean;
}

export class RotateSecretDto {
  @ApiPropertyOptional({
    description: 'The new secret; generated when it is left out',
    minLength: 6,
    maxLength: 256,
    example: 'uT4oXw9eKd7PzB1mLq6RcHyN3sVaJf8G',
  })
  @IsOptional()
  @IsString()
  @MinLength(6)
  @MaxLength(256)
  signSecret?: string;
}

export class PutInterfaceDto {
  @ApiPropertyOptional({ example: true, description: 'Off: every call is answered 20000' })
  @IsOptional()
  @IsBoolean()
  enabled?: boolean;

  @ApiPropertyOptional({ example: true, description: 'Whether requests must be signed' })
  @IsOptional()
  @IsBoolean()
  requestSign?: boolean;

  @ApiPropertyOptional({ example: false, description: 'Whether answers are signed' })
  @IsOptional()
  @IsBoolean()
  responseSign?: boolean;
}

export class PutGatewayAccountDto {
  @ApiPropertyOptional({
    example: null,
    type: String,
    nullable: true,
    description: 'The app that may use it; null: every app',
  })
  @IsOptional()
  @IsString()
  @MaxLength(64)
  appId?: string | null;

  @ApiProperty({ description: 'The channel that it serves', enum: CHANNELS, example: 'wechat_pay' })
  @IsIn(CHANNELS)
  channel: string;

  @ApiPropertyOptional({ description: 'For people', example: 'Main shop', maxLength: 100 })
  @IsOptional()
  @IsString()
  @MaxLength(100)
  name?: string;

  @ApiProperty({
    type: Object,
    description: "The connector's settings; secret ones that are left out keep their value. Never answered.",
    example: { mchId: '1900000100' },
  })
  @IsObject({ message: 'must be an object' })
  config: Record<string, unknown>;

  @ApiPropertyOptional({ description: 'false: takes no new refunds', example: true, default: true })
  @IsOptional()
  @IsBoolean()
  enabled?: boolean;

  @ApiPropertyOptional({
    enum: ['review', 'close'],
    default: 'review',
    description: 'What becomes of a refund that the gateway never heard of, after the grace period',
  })
  @IsOptional()
  @IsIn(['review', 'close'])
  notFoundPolicy?: 'review' | 'close';

  @ApiPropertyOptional({
    type: Number,
    nullable: true,
    description: 'Calls a second over all processes, where fewer than the connector declares; null: as declared',
    example: 50,
  })
  @IsOptional()
  @IsInt({ message: 'must be a whole number' })
  @Min(1)
  ratePerSecond?: number | null;

  @ApiPropertyOptional({
    type: Number,
    nullable: true,
    description: 'Calls at the same time over all processes, likewise',
    example: 10,
  })
  @IsOptional()
  @IsInt({ message: 'must be a whole number' })
  @Min(1)
  maxConcurrency?: number | null;
}
