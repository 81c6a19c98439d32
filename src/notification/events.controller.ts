import { Controller, Get, Query, Req, UseGuards, UseInterceptors } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import type { Notification } from '../refund/notification.entity.js';
import { ApiEnvelope } from '../shared/http/envelope.doc.js';
import { EnvelopeInterceptor } from '../signature/envelope.interceptor.js';
import { MerchantInterface, merchantCallOf, SignatureGuard } from '../signature/signature.guard.js';
import { EventFeed } from './event-feed.service.js';
import { DEFAULT_EVENTS, EVENT_FIELDS, ReadEventsDto, type EventModel, EventPageModel } from './events.dto.js';

@ApiTags('Merchant API')
@Controller()
@UseGuards(SignatureGuard)
@UseInterceptors(EnvelopeInterceptor)
export class EventsController {
  constructor(private readonly feed: EventFeed) {}

  @Get('events')
  @MerchantInterface({ code: 'events', fields: EVENT_FIELDS })
  @ApiOperation({
    summary:
      'All ends of refunds of the app, in an order that never changes: nothing is missed, whatever was not delivered',
  })
  @ApiEnvelope(EventPageModel, '10006 bad cursor or limit, 20052 bad signature.')
  async read(@Req() request: FastifyRequest, @Query() query: ReadEventsDto): Promise<EventPageModel> {
    const { cursor = '0', limit = DEFAULT_EVENTS } = query;
    const events = await this.feed.read(merchantCallOf(request).app.id, Number(cursor), limit);
    return {
      items: events.map(modelOf),
      nextCursor: String(events.at(-1)?.position ?? cursor),
      hasMore: events.length === limit,
    };
  }
}

function modelOf({ id, snapshot, createdAt }: Notification): EventModel {
  const { refundId, refundNo, amount, currency, channel, status, attach, errorCode, errorMsg } = snapshot;
  return {
    eventId: id,
    type: `refund.${status}`,
    refundId,
    refundNo,
    amount,
    currency,
    channel,
    status,
    eventTime: seconds(createdAt),
    refundTime: snapshot.refundTime === null ? null : seconds(new Date(snapshot.refundTime)),
    createTime: seconds(new Date(snapshot.createTime)),
    attach,
    errorCode,
    errorMsg,
  };
}

function seconds(time: Date): number {
  return Math.floor(time.getTime() / 1_000);
}
