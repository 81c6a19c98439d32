import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { Transform } from 'class-transformer';
import { IsIP, IsOptional, IsString, Matches, MaxLength } from 'class-validator';
import { bothLanguages } from '../shared/http/dto.pipe.js';
import { toText } from '../shared/http/transforms.js';

export class SyncRefundDto {
  @ApiPropertyOptional({
    description: 'Id of the refund, up to 19 digits; as text or as a bare integer. Wins over refundNo.',
    example: '1753370980523384832',
  })
  @IsOptional()
  @Transform(toText)
  @Matches(/^\d{1,19}$/, { message: bothLanguages('必须是最多 19 位的数字', 'must be at most 19 digits') })
  refundId?: string;

  @ApiPropertyOptional({
    description: "The merchant's refund number. refundId and refundNo must not both be absent.",
    example: 'R0001',
    maxLength: 100,
  })
  @IsOptional()
  @IsString({ message: bothLanguages('必须是文本', 'must be a text') })
  @MaxLength(100, { message: bothLanguages('最长 100 个字符', 'must have at most 100 characters') })
  refundNo?: string;

  @ApiPropertyOptional({
    description: "The user's address, IPv4 or IPv6; some gateways require it.",
    example: '127.0.0.1',
  })
  @IsOptional()
  @IsIP(undefined, { message: bothLanguages('必须是 IPv4 或 IPv6 地址', 'must be an IPv4 or IPv6 address') })
  // An IPv6 zone may have any length.
  @MaxLength(64, { message: bothLanguages('最长 64 个字符', 'must have at most 64 characters') })
  clientIp?: string;

  @ApiProperty({
    description: 'Time of the request, seconds since 1970; as an integer or as digits.',
    example: 1707408964,
  })
  reqTime: number | string;

  @ApiPropertyOptional({
    description: 'Signature; required unless switched off for this app and interface.',
    example: '072695d112892e382a7093b81e6a52af',
  })
  @IsOptional()
  sign?: string;

  @ApiPropertyOptional({
    description: 'App that calls, where header X-App-Id does not name it. Default: "default".',
    example: 'default',
  })
  @IsOptional()
  appId?: string;
}

export const SYNC_REFUND_FIELDS = ['refundId', 'refundNo', 'clientIp', 'reqTime', 'appId'] as const;
