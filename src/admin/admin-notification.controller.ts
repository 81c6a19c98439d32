import { Body, Controller, Get, HttpCode, Param, Post, Query, Req } from '@nestjs/common';
import { ApiBearerAuth, ApiOperation, ApiResponse, ApiTags } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import { NotificationEndpoints } from '../notification/notification-endpoint.service.js';
import { NotificationRecords } from '../notification/notification-records.service.js';
import { notificationFacts } from '../notification/notification-view.js';
import { NotFoundError } from '../shared/errors.js';
import {
  endpointViewOf,
  ListEndpointsDto,
  ListNotificationsDto,
  NotificationDetail,
  NotificationEndpointPage,
  NotificationEndpointView,
  NotificationPage,
  NotificationView,
  RedeliverNotificationsDto,
  RedeliveredView,
} from './admin-notification.dto.js';
import { actorOf } from './admin.guard.js';
import { AuditService } from './audit.service.js';
import { ApiId } from './api.doc.js';
import { ApiProblems } from './problem.doc.js';
import { MinRole } from './min-role.js';

const DEFAULT_PAGE = 50;
const DEFAULT_RANGE = 100;
const MAX_ENDPOINTS = 500;

@ApiTags('Internal API: notifications')
@ApiBearerAuth()
@Controller('admin')
export class AdminNotificationController {
  constructor(
    private readonly records: NotificationRecords,
    private readonly endpoints: NotificationEndpoints,
    private readonly audit: AuditService,
  ) {}

  @MinRole('viewer')
  @Get('notifications')
  @ApiOperation({ summary: 'List notifications to merchants, in the order in which they were written' })
  @ApiResponse({ status: 200, type: NotificationPage, description: 'A page of them' })
  @ApiProblems({ 400: 'limit must not be greater than 500' })
  async list(@Query() query: ListNotificationsDto): Promise<NotificationPage> {
    const { cursor: afterId, limit = DEFAULT_PAGE, ...filter } = query;
    const found = await this.records.list({ ...filter, afterId, limit });
    return {
      items: found.map(notificationFacts),
      nextCursor: found.length === limit ? (found.at(-1)?.id ?? null) : null,
    };
  }

  @MinRole('viewer')
  @Get('notifications/:id')
  @ApiOperation({ summary: 'A notification with its attempts, oldest first' })
  @ApiId('the notification')
  @ApiResponse({ status: 200, type: NotificationDetail, description: 'The notification' })
  @ApiProblems({ 404: 'No such notification' })
  async detail(@Param('id') id: string): Promise<NotificationDetail> {
    const notification = await this.records.find(idOf(id));
    return { ...notificationFacts(notification), attemptList: await this.records.attempts(notification.id) };
  }

  @MinRole('operator')
  @Post('notifications/redeliver')
  @HttpCode(200)
  @ApiOperation({ summary: 'Deliver the notifications of a range again, at most 1,000 in one call, oldest first' })
  @ApiResponse({ status: 200, type: RedeliveredView, description: 'How many are due now' })
  @ApiProblems({ 400: 'from is required' })
  async redeliverMany(
    @Req() request: FastifyRequest,
    @Body() body: RedeliverNotificationsDto,
  ): Promise<RedeliveredView> {
    const { cursor: afterId, limit = DEFAULT_RANGE, appId, state, from, to } = body;
    const { redelivered, lastId, more } = await this.records.redeliverMany({ appId, state, from, to, afterId, limit });
    await this.audit.record({
      actor: actorOf(request),
      action: 'notification.redeliverRange',
      targetType: 'notification',
      targetId: appId ?? '*',
      after: { appId, state, from, to, afterId, redelivered, lastId },
    });
    return { redelivered, nextCursor: more ? lastId : null };
  }

  @MinRole('operator')
  @Post('notifications/:id/redeliver')
  @HttpCode(200)
  @ApiOperation({ summary: 'Deliver a notification again, now, with the whole ladder before it' })
  @ApiId('the notification')
  @ApiResponse({ status: 200, type: NotificationView, description: 'It is due now' })
  @ApiProblems({ 404: 'No such notification', 409: 'The merchant asked not to be notified, or the receiver is paused' })
  async redeliver(@Req() request: FastifyRequest, @Param('id') id: string): Promise<NotificationView> {
    const { before, after } = await this.records.redeliver(idOf(id));
    await this.audit.record({
      actor: actorOf(request),
      action: 'notification.redeliver',
      targetType: 'notification',
      targetId: after.id,
      before: { state: before.state, attempts: before.attempts },
      after: { state: after.state, attempts: after.attempts, refundId: after.refundId },
    });
    return notificationFacts(after);
  }

  @MinRole('viewer')
  @Get('notification-endpoints')
  @ApiOperation({ summary: 'Receivers that have failed: since when, and which are paused' })
  @ApiResponse({ status: 200, type: NotificationEndpointPage, description: 'All of them' })
  async listEndpoints(@Query() query: ListEndpointsDto): Promise<NotificationEndpointPage> {
    const found = await this.endpoints.list({ ...query, limit: MAX_ENDPOINTS });
    return { items: found.map(endpointViewOf), nextCursor: null };
  }

  @MinRole('admin')
  @Post('notification-endpoints/:id/resume')
  @HttpCode(200)
  @ApiOperation({ summary: 'Send to a paused receiver again; what waited for it is delivered now' })
  @ApiId('the receiver')
  @ApiResponse({ status: 200, type: NotificationEndpointView, description: 'It is sent to again' })
  @ApiProblems({ 404: 'No such endpoint', 409: 'It is not paused' })
  async resume(@Req() request: FastifyRequest, @Param('id') id: string): Promise<NotificationEndpointView> {
    const { before, after } = await this.endpoints.resume(idOf(id));
    await this.audit.record({
      actor: actorOf(request),
      action: 'notificationEndpoint.resume',
      targetType: 'notificationEndpoint',
      targetId: id,
      before: endpointViewOf(before),
      after: endpointViewOf(after),
    });
    return endpointViewOf(after);
  }
}

function idOf(text: string): string {
  if (!/^\d{1,19}$/.test(text)) throw new NotFoundError(`nothing has the id ${text.slice(0, 32)}`);
  return text;
}
