import { Controller, Get, Query } from '@nestjs/common';
import { ApiBearerAuth, ApiCookieAuth, ApiOperation, ApiTags } from '@nestjs/swagger';
import { CallbackQueryService } from '../callback/callback-query.service.js';
import { CallbackRefusals } from '../callback/callback-refusals.service.js';
import { RefundListService, type RefundStats } from '../refund/refund-list.service.js';
import { ApiList, ApiPage, ApiResult } from './api.doc.js';
import { AuditService } from './audit.service.js';
import { MinRole } from './min-role.js';
import { DEFAULT_PAGE, pageOf, type Page, type TimedPageDto } from './page.js';
import { ApiProblems } from './problem.doc.js';
import { ListAuditDto, ListCallbacksDto, ListPaymentsDto, ListRepairsDto, ListSyncsDto } from './record.dto.js';
import {
  AuditModel,
  CallbackModel,
  CallbackRefusalModel,
  PaymentRecordModel,
  RepairModel,
  StatsModel,
  SyncModel,
} from './record.model.js';

const BAD_LIMIT = { 400: 'limit must not be greater than 500' };

/** What happened, as it was recorded; lists of everything, newest first. */
@ApiTags('Internal API: records')
@ApiBearerAuth()
@ApiCookieAuth()
@MinRole('viewer')
@Controller('admin')
export class AdminRecordController {
  constructor(
    private readonly lists: RefundListService,
    private readonly callbacks: CallbackQueryService,
    private readonly refusals: CallbackRefusals,
    private readonly audit: AuditService,
  ) {}

  @Get('payments')
  @ApiOperation({ summary: 'List payments in the order of their registration' })
  @ApiPage(PaymentRecordModel, 'Payments')
  @ApiProblems(BAD_LIMIT)
  payments(@Query() query: ListPaymentsDto): Promise<Page<PaymentRecordModel>> {
    return page(query, (part) => this.lists.payments(part));
  }

  @Get('syncs')
  @ApiOperation({ summary: 'List looks at refunds and what came of them, newest first' })
  @ApiPage(SyncModel, 'Answers of gateways, and missing ones')
  @ApiProblems(BAD_LIMIT)
  syncs(@Query() query: ListSyncsDto): Promise<Page<SyncModel>> {
    return page(query, (part) => this.lists.syncs(part));
  }

  @Get('repairs')
  @ApiOperation({ summary: 'List changes of status, newest first; each has two sides under one number' })
  @ApiPage(RepairModel, 'Sides of repairs')
  @ApiProblems(BAD_LIMIT)
  repairs(@Query() query: ListRepairsDto): Promise<Page<RepairModel>> {
    return page(query, (part) => this.lists.repairs(part));
  }

  @Get('callbacks')
  @ApiOperation({ summary: 'List callbacks of gateways that verified, newest first' })
  @ApiPage(CallbackModel, 'Callbacks')
  @ApiProblems(BAD_LIMIT)
  listCallbacks(@Query() query: ListCallbacksDto): Promise<Page<CallbackModel>> {
    return page(query, (part) => this.callbacks.list(part));
  }

  @Get('callback-refusals')
  @ApiOperation({ summary: 'How many callbacks of each gateway account were refused, and why the last one was' })
  @ApiList(CallbackRefusalModel, 'Accounts that have refused callbacks, by id')
  async callbackRefusals(): Promise<{ items: CallbackRefusalModel[]; nextCursor: null }> {
    return { items: await this.refusals.list(), nextCursor: null };
  }

  @Get('audit')
  @ApiOperation({ summary: 'List who changed what through the internal API, newest first' })
  @ApiPage(AuditModel, 'Entries of the audit')
  @ApiProblems(BAD_LIMIT)
  listAudit(@Query() query: ListAuditDto): Promise<Page<AuditModel>> {
    return page(query, (part) => this.audit.list(part));
  }

  @Get('stats')
  @ApiOperation({ summary: 'Refunds by channel and status, what waits, and what was done today; at most 5 s old' })
  @ApiResult(200, StatsModel, 'The counts')
  stats(): Promise<RefundStats> {
    return this.lists.stats();
  }
}

async function page<Query extends TimedPageDto, Row extends { id: string }>(
  query: Query,
  list: (part: Query & { limit: number }) => Promise<Row[]>,
): Promise<Page<Row>> {
  const limit = query.limit ?? DEFAULT_PAGE;
  return pageOf(await list({ ...query, limit }), limit, (row) => row);
}
