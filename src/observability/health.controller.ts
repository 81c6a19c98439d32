import { Controller, Get, Res } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiProperty, ApiServiceUnavailableResponse, ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import { ReadinessService, type Readiness } from './readiness.service.js';

class LivenessModel {
  @ApiProperty({ description: 'Always live: the process answers', enum: ['live'], example: 'live' })
  status: 'live';
}

class ReadinessModel implements Readiness {
  @ApiProperty({ description: 'Whether it can work', enum: ['ready', 'notReady'], example: 'ready' })
  status: 'ready' | 'notReady';

  @ApiProperty({
    description:
      'For each part `ok`, or what is wrong with it: database (a write and a read), migrations, queue, sweep (where the process sweeps)',
    type: 'object',
    additionalProperties: { type: 'string' },
    example: { database: 'ok', migrations: 'ok', queue: 'ok', sweep: 'ok' },
  })
  checks: Record<string, string>;

  @ApiProperty({
    description:
      'Does not count for `status`. `silent`: refunds that nobody would ever look at again, always 0; `stuck`: open for longer than their gateway usually takes (STUCK_AFTER). Null: could not be found out',
    type: 'object',
    nullable: true,
    properties: { silent: { type: 'integer', example: 0 }, stuck: { type: 'integer', example: 0 } },
    required: ['silent', 'stuck'],
    example: { silent: 0, stuck: 0 },
  })
  refunds: { silent: number; stuck: number } | null;
}

@ApiTags('Machines')
@Controller('health')
export class HealthController {
  constructor(private readonly readinessService: ReadinessService) {}

  @Get('live')
  @ApiOperation({ summary: 'The process answers; when it does not, start it anew' })
  @ApiOkResponse({ type: LivenessModel })
  live(): LivenessModel {
    return { status: 'live' };
  }

  @Get('ready')
  @ApiOperation({ summary: 'The process can do what its role demands; answered within two seconds' })
  @ApiOkResponse({ type: ReadinessModel })
  @ApiServiceUnavailableResponse({ type: ReadinessModel, description: 'It cannot, and `checks` says why' })
  async ready(@Res({ passthrough: true }) reply: FastifyReply): Promise<ReadinessModel> {
    const readiness = await this.readinessService.readiness();
    void reply.status(readiness.status === 'ready' ? 200 : 503);
    return readiness;
  }
}
