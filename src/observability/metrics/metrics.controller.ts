import { Controller, Get, Res, UseGuards } from '@nestjs/common';
import {
  ApiBearerAuth,
  ApiOkResponse,
  ApiOperation,
  ApiProduces,
  ApiTags,
  ApiUnauthorizedResponse,
} from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import { MetricsGuard } from './metrics.guard.js';
import { MetricsService } from './metrics.service.js';

@ApiTags('Machines')
@ApiBearerAuth()
@Controller('metrics')
@UseGuards(MetricsGuard)
export class MetricsController {
  constructor(private readonly metrics: MetricsService) {}

  @Get()
  @ApiOperation({
    summary: 'Metrics for Prometheus',
    description:
      'With METRICS_TOKEN for its bearer; without it only for direct requests from the machine itself. What is looked up in the database is at most five seconds old.',
  })
  @ApiProduces('text/plain')
  @ApiOkResponse({
    description: 'Text format of Prometheus',
    schema: { type: 'string', example: 'refund_sync_due_refunds{account="main"} 3\n' },
  })
  @ApiUnauthorizedResponse({ description: 'Wrong or no token, or without METRICS_TOKEN a request from elsewhere' })
  async scrape(@Res() reply: FastifyReply): Promise<void> {
    const { contentType, body } = await this.metrics.text();
    await reply.header('content-type', contentType).header('cache-control', 'no-store').send(body);
  }
}
