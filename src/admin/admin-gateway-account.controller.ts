import { Controller, HttpCode, Param, Post, Req } from '@nestjs/common';
import { ApiBearerAuth, ApiOkResponse, ApiOperation, ApiParam, ApiProperty, ApiTags } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import { AccountProbe, type ProbeResult } from '../gateway/account-probe.service.js';
import { GatewayAccountService } from '../gateway/gateway-account.service.js';
import { GATEWAY_ERROR_KINDS, type GatewayErrorKind } from '../gateway/gateway.error.js';
import { NotFoundError } from '../shared/errors.js';
import { actorOf } from './admin.guard.js';
import { AuditService } from './audit.service.js';
import { MinRole } from './min-role.js';
import { ApiProblems } from './problem.doc.js';

class ProbeFaultDto {
  @ApiProperty({ enum: GATEWAY_ERROR_KINDS, description: 'Who has to act', example: 'badConfig' })
  kind: GatewayErrorKind;

  @ApiProperty({ description: "The gateway's code, or ours in lower case", example: 'SIGN_ERROR' })
  code: string;

  @ApiProperty({
    description: 'One sentence for people; holds no secret',
    example: 'WeChat Pay answered the query with 401 SIGN_ERROR: the signature was not accepted.',
  })
  message: string;
}

class ProbeResultDto implements ProbeResult {
  @ApiProperty({
    description: 'Reached, credentials accepted, and the answer proven to be the gateway’s',
    example: true,
  })
  ok: boolean;

  @ApiProperty({ type: Boolean, nullable: true, description: 'The gateway answered; null: not told', example: true })
  reachable: boolean | null;

  @ApiProperty({
    type: Boolean,
    nullable: true,
    description: 'It knows the merchant and accepted our signature or key; null: not told',
    example: true,
  })
  credentialsAccepted: boolean | null;

  @ApiProperty({
    type: Boolean,
    nullable: true,
    description: 'Its answer is proven to be its own (Stripe signs nothing: by TLS); null: not told',
    example: true,
  })
  answerVerified: boolean | null;

  @ApiProperty({ description: 'Milliseconds until the answer or the fault', example: 84 })
  latencyMs: number;

  @ApiProperty({
    type: ProbeFaultDto,
    nullable: true,
    description: 'What is wrong; null when all is well',
    example: null,
  })
  fault: ProbeFaultDto | null;

  @ApiProperty({ type: String, format: 'date-time', description: 'UTC', example: '2026-01-31T08:00:00.123Z' })
  testedAt: Date;
}

@ApiTags('Internal API: settings')
@ApiBearerAuth()
@Controller('admin/gateway-accounts')
export class AdminGatewayAccountController {
  constructor(
    private readonly accounts: GatewayAccountService,
    private readonly probe: AccountProbe,
    private readonly audit: AuditService,
  ) {}

  @Post(':id/test')
  @HttpCode(200)
  @MinRole('admin')
  @ApiOperation({
    summary: 'Test the connection of a gateway account: asks for a refund that cannot exist, and changes nothing there',
  })
  @ApiParam({ name: 'id', description: 'Id of the account', example: 'wechat-main' })
  @ApiOkResponse({ type: ProbeResultDto, description: 'What was found' })
  @ApiProblems({ 404: 'There is no such gateway account' })
  async test(@Req() request: FastifyRequest, @Param('id') id: string): Promise<ProbeResult> {
    if (!(await this.accounts.find(id))) throw new NotFoundError(`no gateway account ${id.slice(0, 64)}`);
    const result = await this.probe.test(id);
    await this.audit.record({
      actor: actorOf(request),
      action: 'gatewayAccount.test',
      targetType: 'gatewayAccount',
      targetId: id,
      after: result,
    });
    return result;
  }
}
