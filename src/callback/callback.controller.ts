import { Controller, Param, Post, Req, Res } from '@nestjs/common';
import { ApiOperation, ApiParam, ApiResponse, ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { rawBodyOf } from '../shared/http/http-surface.js';
import { CallbackProcessor } from './callback.processor.js';
import { CallbackService } from './callback.service.js';

@ApiTags('Gateway callbacks')
@Controller('callback')
export class CallbackController {
  constructor(
    private readonly callbacks: CallbackService,
    private readonly processor: CallbackProcessor,
  ) {}

  @Post(':gateway/:accountId')
  @ApiOperation({
    summary: "A gateway's callback: verified over its exact bytes, stored once, acknowledged in the gateway's own form",
  })
  @ApiParam({ name: 'gateway', description: 'The connector', example: 'wechat' })
  @ApiParam({ name: 'accountId', description: 'Id of the gateway account', example: 'main' })
  @ApiResponse({ status: 200, description: 'Taken; gateways that want another status or body get it' })
  @ApiResponse({
    status: '4XX',
    description: 'It does not verify; status and body are what the gateway takes for a refusal',
  })
  async receive(
    @Param('gateway') gateway: string,
    @Param('accountId') accountId: string,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    const headers = Object.fromEntries(
      Object.entries(request.headers).map(([name, value]) => [name, Array.isArray(value) ? value.join(', ') : value]),
    );
    const { answer, record } = await this.callbacks.receive(gateway, accountId, { headers, body: rawBodyOf(request) });
    void reply.status(answer.status).header('content-type', answer.contentType).send(answer.body);
    // The gateway has its answer; should the process die now, the stored record is found again.
    if (record) await this.processor.process(record);
  }
}
