import { Controller, Param, Post, Req, Res } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
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
