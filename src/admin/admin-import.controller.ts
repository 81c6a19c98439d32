import { Readable } from 'node:stream';
import { Controller, HttpCode, Post, Query, Req, Res } from '@nestjs/common';
import {
  ApiBearerAuth,
  ApiBody,
  ApiConsumes,
  ApiCookieAuth,
  ApiOperation,
  ApiPropertyOptional,
  ApiResponse,
  ApiTags,
} from '@nestjs/swagger';
import { IsIn, IsOptional } from 'class-validator';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { UnsupportedTypeError } from '../shared/errors.js';
import { actorOf, StreamedBody } from './admin.guard.js';
import { csvLines, ndjsonLines } from './import-lines.js';
import { MinRole } from './min-role.js';
import { ApiProblems } from './problem.doc.js';
import { RefundImport } from './refund-import.service.js';

const NDJSON = 'application/x-ndjson';
const REPORTS = ['all', 'refused'] as const;
const BOOLEANS = ['true', 'false'] as const;

class ImportRefundsDto {
  @ApiPropertyOptional({
    enum: BOOLEANS,
    default: 'false',
    description: 'true: every line is checked as if it were registered, and nothing is kept',
    example: 'true',
  })
  @IsOptional()
  @IsIn(BOOLEANS)
  dryRun?: (typeof BOOLEANS)[number];

  @ApiPropertyOptional({
    enum: REPORTS,
    default: 'all',
    description: 'refused: only the lines that were not taken, and the summary',
    example: 'all',
  })
  @IsOptional()
  @IsIn(REPORTS)
  report?: (typeof REPORTS)[number];
}

/** Neither side moved for so long: whoever imports is gone. */
const STALL_MS = 120_000;

const EXAMPLE_LINE = JSON.stringify({
  refundNo: 'R0002',
  channel: 'wechat_pay',
  amount: 100,
  payment: { businessNo: 'P0002', amount: 1000 },
});
const EXAMPLE_CSV = 'refundNo,channel,amount,payment.businessNo,payment.amount\nR0003,wechat_pay,100,P0003,1000\n';
const EXAMPLE_REPORT = [
  { line: 1, outcome: 'created', refundNo: 'R0002', id: '2124609641629716480' },
  { line: 2, outcome: 'refused', refundNo: 'R0009', errors: [{ field: 'amount', fault: 'is required' }] },
  { summary: { lines: 2, created: 1, known: 0, refused: 1, dryRun: false, complete: true } },
]
  .map((line) => `${JSON.stringify(line)}\n`)
  .join('');

@ApiTags('Internal API: refunds')
@ApiBearerAuth()
@ApiCookieAuth()
@Controller('admin/refunds')
export class AdminImportController {
  constructor(private readonly imports: RefundImport) {}

  @Post('import')
  @HttpCode(200)
  @MinRole('operator')
  @StreamedBody()
  @ApiOperation({
    summary: 'Follow refunds by the million: NDJSON or CSV in, a report per line out, while it comes in',
    description:
      'Every line is what POST /admin/refunds takes; in CSV the header names the members, those of the payment as `payment.businessNo`. ' +
      'Of any size, in constant memory. Each line is registered whole or not at all, and a line that is sent again is `known`: an import ' +
      'that broke off (no summary, or `complete: false`) is sent again from its beginning. Read the report while you send, as curl does; ' +
      'with `report=refused` it is short. A dry run sees what other lines of the same 50 would take from a balance, not more.',
  })
  @ApiConsumes(NDJSON, 'text/csv')
  @ApiBody({
    description: 'The refunds',
    required: true,
    schema: { type: 'string' },
    examples: {
      ndjson: { summary: 'NDJSON', value: `${EXAMPLE_LINE}\n` },
      csv: { summary: 'CSV', value: EXAMPLE_CSV },
    },
  })
  @ApiResponse({
    status: 200,
    description: 'The report in NDJSON: what became of each line, and a summary at the end',
    content: { [NDJSON]: { schema: { type: 'string' }, example: EXAMPLE_REPORT } },
  })
  @ApiProblems({
    400: 'dryRun must be one of the following values: true, false',
    415: 'send application/x-ndjson or text/csv',
  })
  import(@Req() request: FastifyRequest, @Query() query: ImportRefundsDto, @Res() reply: FastifyReply): void {
    const body = request.body;
    if (!(body instanceof Readable)) throw new UnsupportedTypeError('send application/x-ndjson or text/csv');
    const isCsv = request.headers['content-type']?.startsWith('text/csv') === true;
    const options = { dryRun: query.dryRun === 'true', report: query.report ?? 'all' };
    const report = this.imports.run(isCsv ? csvLines(body) : ndjsonLines(body), options, actorOf(request));
    endWhenStalled(request, reply);
    void reply
      .header('content-type', `${NDJSON}; charset=utf-8`)
      // Proxies that collect answers would hold the report back.
      .header('x-accel-buffering', 'no')
      .send(Readable.from(report, { objectMode: true, highWaterMark: 2 }));
  }
}

function endWhenStalled({ raw: { socket } }: FastifyRequest, reply: FastifyReply): void {
  const end = (): void => void socket.destroy();
  socket.setTimeout(STALL_MS, end);
  reply.raw.once('close', () => {
    socket.setTimeout(0);
    socket.off('timeout', end);
  });
}
