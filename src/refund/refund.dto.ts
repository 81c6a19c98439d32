import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { Transform, Type } from 'class-transformer';
import {
  ArrayMaxSize,
  ArrayMinSize,
  IsArray,
  IsBoolean,
  IsIn,
  IsInt,
  IsObject,
  IsIP,
  IsOptional,
  IsString,
  IsUrl,
  Matches,
  Max,
  MaxLength,
  Min,
  ValidateNested,
} from 'class-validator';
import { CHANNELS } from '../gateway/gateway.port.js';
import { bothLanguages } from '../shared/http/dto.pipe.js';
import { MAX_AMOUNT_MINOR } from '../shared/money.js';
import { toText } from '../shared/http/transforms.js';

/** Numbers of merchants: printable, no white space at the ends, so that no database takes two of them for one. */
export const MERCHANT_NUMBER = /^(?! )[^\p{Cc}\p{Cs}]{1,100}(?<! )$/u;

const text = { message: bothLanguages('必须是文本', 'must be a text') };
const number = {
  message: bothLanguages(
    '必须是 1 到 100 个可见字符，首尾不能有空格',
    'must be 1 to 100 printable characters without a space at either end',
  ),
};
const atMost = (max: number) => ({
  message: bothLanguages(`最长 ${max} 个字符`, `must have at most ${max} characters`),
});
const id = { message: bothLanguages('必须是最多 19 位的数字', 'must be at most 19 digits') };
const url = { message: bothLanguages('必须是 http 或 https 地址', 'must be an http or https address') };
const ip = { message: bothLanguages('必须是 IPv4 或 IPv6 地址', 'must be an IPv4 or IPv6 address') };

export class RefundChannelDto {
  @ApiProperty({ description: "The payment's channel", enum: CHANNELS, example: 'wechat_pay' })
  @IsIn(CHANNELS, {
    message: bothLanguages(`必须是 ${CHANNELS.join(', ')} 之一`, `must be one of ${CHANNELS.join(', ')}`),
  })
  channel: string;

  @ApiProperty({ description: 'Minor units (fen)', example: 100, minimum: 1 })
  @IsInt({ message: bothLanguages('必须是整数（最小货币单位）', 'must be an integer of minor units') })
  @Min(1, { message: bothLanguages('必须大于 0', 'must be greater than 0') })
  @Max(MAX_AMOUNT_MINOR, { message: bothLanguages('过大', 'is too large') })
  amount: number;
}

/** What both dialects ask for. */
class RefundRequestDto {
  @ApiPropertyOptional({
    example: 'Out of stock',
    description: 'Why; shown to the user by some gateways',
    maxLength: 300,
  })
  @IsOptional()
  @IsString(text)
  @MaxLength(300, atMost(300))
  reason?: string;

  @ApiPropertyOptional({ example: 'order 42', description: 'Given back in notifications', maxLength: 2000 })
  @IsOptional()
  @IsString(text)
  @MaxLength(2000, atMost(2000))
  attach?: string;

  @ApiPropertyOptional({
    description: 'Where to announce the end; default: the address of the app',
    example: 'https://shop.example/notify',
  })
  @IsOptional()
  @IsUrl({ protocols: ['http', 'https'], require_protocol: true, require_tld: false }, url)
  @MaxLength(500, atMost(500))
  notifyUrl?: string;

  @ApiPropertyOptional({ description: "The user's address, IPv4 or IPv6", example: '127.0.0.1' })
  @IsOptional()
  @IsIP(undefined, ip)
  // An IPv6 zone may have any length.
  @MaxLength(64, atMost(64))
  clientIp?: string;

  @ApiPropertyOptional({
    description: 'Seconds since 1970 (daxpay-v3: also yyyy-MM-dd HH:mm:ss, Beijing)',
    example: 1707408964,
  })
  reqTime?: number | string;

  @ApiPropertyOptional({ description: 'Signature', example: 'ecdcc6092add6f96201c4a090e97dbf4' })
  @IsOptional()
  sign?: string;

  @ApiPropertyOptional({ example: 'default', description: 'App that calls, where header X-App-Id does not name it' })
  @IsOptional()
  appId?: string;
}

/** `POST /unipay/refund` of dialects daxpay-v2 and hmac-body. */
export class RefundV2Dto extends RefundRequestDto {
  @ApiPropertyOptional({ description: 'Id of the payment; wins over businessNo', example: '1753370980523384832' })
  @IsOptional()
  @Transform(toText)
  @Matches(/^\d{1,19}$/, id)
  paymentId?: string;

  @ApiPropertyOptional({ description: "The merchant's number of the payment", example: 'P0001' })
  @IsOptional()
  @IsString(text)
  @MaxLength(100, atMost(100))
  businessNo?: string;

  @ApiPropertyOptional({ description: 'Refund all that is left; then refundChannels may be left out', default: false })
  @IsOptional()
  @IsBoolean({ message: bothLanguages('必须是 true 或 false', 'must be true or false') })
  refundAll?: boolean;

  @ApiPropertyOptional({
    description:
      "The merchant's refund number, unique per app; default: made from the request, so that the same request again is the same refund",
    example: 'R0001',
  })
  @IsOptional()
  @IsString(text)
  @Matches(MERCHANT_NUMBER, number)
  refundNo?: string;

  @ApiPropertyOptional({ type: [RefundChannelDto], description: 'Exactly one channel' })
  @IsOptional()
  @IsArray({ message: bothLanguages('必须是数组', 'must be a list') })
  @ArrayMinSize(1, { message: bothLanguages('必须恰好有一个通道', 'must have exactly one channel') })
  @ArrayMaxSize(1, { message: bothLanguages('必须恰好有一个通道', 'must have exactly one channel') })
  // ValidateNested takes a list inside the list for one more list of channels, and an empty one for nothing to check.
  @IsObject({ each: true, message: bothLanguages('必须是对象', 'must be an object') })
  @ValidateNested({ each: true, message: bothLanguages('必须是对象', 'must be an object') })
  @Type(() => RefundChannelDto)
  refundChannels?: RefundChannelDto[];

  @ApiPropertyOptional({ description: 'Do not announce the end', default: false })
  @IsOptional()
  @IsBoolean({ message: bothLanguages('必须是 true 或 false', 'must be true or false') })
  notNotify?: boolean;
}

/** `POST /unipay/refund` of dialect daxpay-v3. */
export class RefundV3Dto extends RefundRequestDto {
  @ApiPropertyOptional({ example: '1753370980523384832', description: 'Id of the payment; wins over bizOrderNo' })
  @IsOptional()
  @Transform(toText)
  @Matches(/^\d{1,19}$/, id)
  orderNo?: string;

  @ApiPropertyOptional({ description: "The merchant's number of the payment", example: 'P0001' })
  @IsOptional()
  @IsString(text)
  @MaxLength(100, atMost(100))
  bizOrderNo?: string;

  @ApiProperty({ description: "The merchant's refund number, unique per app", example: 'R0001' })
  @IsString(text)
  @Matches(MERCHANT_NUMBER, number)
  bizRefundNo: string;

  @ApiProperty({ description: "Decimal by the currency's digits (CNY: yuan)", example: '1.10' })
  @Transform(toText)
  @Matches(/^\d{1,13}(\.\d{1,6})?$/, { message: bothLanguages('必须是十进制金额', 'must be a plain decimal amount') })
  amount: string;
}

export const REFUND_FIELDS = [
  ...['paymentId', 'businessNo', 'refundAll', 'refundNo', 'refundChannels', 'notNotify'],
  ...['orderNo', 'bizOrderNo', 'bizRefundNo', 'amount', 'mchNo', 'nonceStr'],
  ...['reason', 'attach', 'notifyUrl', 'clientIp', 'reqTime', 'appId'],
] as const;

export class QueryRefundDto {
  @ApiPropertyOptional({ description: 'Id of the refund; wins over refundNo', example: '1753370980523384832' })
  @IsOptional()
  @Transform(toText)
  @Matches(/^\d{1,19}$/, id)
  refundId?: string;

  @ApiPropertyOptional({ description: "The merchant's refund number", example: 'R0001' })
  @IsOptional()
  @IsString(text)
  @MaxLength(100, atMost(100))
  refundNo?: string;

  @ApiPropertyOptional({ example: 'R0001', description: 'daxpay-v3: the same as refundNo' })
  @IsOptional()
  @IsString(text)
  @MaxLength(100, atMost(100))
  bizRefundNo?: string;

  @ApiProperty({ description: 'Seconds since 1970', example: 1707408964 })
  reqTime: number | string;

  @ApiPropertyOptional({ example: 'ecdcc6092add6f96201c4a090e97dbf4', description: 'Signature' })
  @IsOptional()
  sign?: string;
}

export const QUERY_FIELDS = [
  ...['refundId', 'refundNo', 'bizRefundNo', 'mchNo', 'nonceStr', 'attach', 'returnUrl', 'notNotify', 'notifyUrl'],
  ...['clientIp', 'reqTime', 'appId'],
] as const;
