import { Inject, Injectable, Logger } from '@nestjs/common';
import { DEFAULT_APP_ID, MerchantAppService } from '../merchant/merchant-app.service.js';
import type { RegisterRefund } from '../refund/register.service.js';
import { CLOCK, type Clock } from '../shared/clock.js';
import { DomainError, errorText, invalidField, type FieldFault } from '../shared/errors.js';
import { toDto } from '../shared/http/dto.pipe.js';
import { RegisterRefundDto } from './admin.dto.js';
import { AuditService } from './audit.service.js';
import type { ImportLine } from './import-lines.js';
import { assertPlausibleTimes } from './plausible-times.js';
import { RefundIntake } from './refund-intake.service.js';

export interface ImportOptions {
  /** Everything is checked and nothing is kept. */
  dryRun: boolean;
  /** `refused`: only the lines that were not taken. */
  report: 'all' | 'refused';
}

/** What became of one line. */
interface LineReport {
  line: number;
  outcome: 'created' | 'known' | 'refused';
  refundNo?: string;
  /** Absent in a dry run, and of what was refused. */
  id?: string;
  errors?: readonly FieldFault[];
}

interface Summary {
  lines: number;
  created: number;
  known: number;
  refused: number;
  dryRun: boolean;
  /** False: the import broke off; what was reported is done, and the rest can be sent again. */
  complete: boolean;
  detail?: string;
}

/** One transaction for so many: a commit for each would wait for the disk each time. */
const BATCH = 50;

interface Command {
  appId: string;
  command: RegisterRefund;
}

/** Registers refunds line by line as they come in, and says of each what became of it. Holds one batch at a time. */
@Injectable()
export class RefundImport {
  private readonly logger = new Logger('Import');

  constructor(
    private readonly intake: RefundIntake,
    private readonly apps: MerchantAppService,
    private readonly audit: AuditService,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  /**
   * Each line is registered whole or not at all, as by POST /admin/refunds, and the same line again is `known`: an import that broke off
   * is sent again from its beginning.
   *
   * @returns the report in NDJSON: a line for each line, and a summary at the end. Nothing is read while nobody takes it.
   */
  async *run(lines: AsyncIterable<ImportLine>, options: ImportOptions, actor: string): AsyncGenerator<string> {
    const summary: Summary = {
      lines: 0,
      created: 0,
      known: 0,
      refused: 0,
      dryRun: options.dryRun,
      complete: false,
    };
    try {
      for await (const batch of batches(lines, BATCH)) {
        const reports = await this.register(batch, options, actor);
        for (const { outcome } of reports) summary[outcome] += 1;
        summary.lines += reports.length;
        const told = reports.filter(({ outcome }) => options.report === 'all' || outcome === 'refused');
        if (told.length > 0) yield told.map((report) => `${JSON.stringify(report)}\n`).join('');
      }
      summary.complete = true;
    } catch (error) {
      this.logger.error({ msg: 'an import broke off', error: errorText(error), lines: summary.lines });
      summary.detail = 'the import broke off; what was reported is done, send the rest again';
    } finally {
      await this.audit.record({
        actor,
        action: 'refunds.import',
        targetType: 'refunds',
        targetId: 'import',
        after: summary,
      });
    }
    yield `${JSON.stringify({ summary })}\n`;
  }

  private async register(
    batch: readonly ImportLine[],
    { dryRun }: ImportOptions,
    actor: string,
  ): Promise<LineReport[]> {
    const read = await Promise.all(batch.map((line) => this.read(line)));
    const commands = read.filter((one): one is Command => !(one instanceof DomainError));
    const results = await this.intake.refunds(commands, { dryRun }, actor);
    let next = 0;
    return batch.map(({ line, value }, index) => {
      const one = read[index];
      const result = one instanceof DomainError ? one : results[next++];
      const refundNo = typeof value?.refundNo === 'string' ? { refundNo: value.refundNo.slice(0, 100) } : {};
      if (result === undefined || result instanceof DomainError)
        return { line, outcome: 'refused', ...refundNo, errors: faultsOf(result) };
      const id = dryRun && result.created ? {} : { id: result.refund.id };
      return { line, outcome: result.created ? 'created' : 'known', ...refundNo, ...id };
    });
  }

  private async read({ value, fault }: ImportLine): Promise<Command | DomainError> {
    if (fault !== undefined) return invalidField(fault.field, fault.fault);
    try {
      const { appId = DEFAULT_APP_ID, currency = 'CNY', ...command } = await toDto(RegisterRefundDto, value);
      assertPlausibleTimes(command, this.clock.now());
      if (!(await this.apps.resolve(appId))) return invalidField('appId', `${appId} is not a known app`);
      return { appId, command: { ...command, currency } };
    } catch (error) {
      if (error instanceof DomainError) return error;
      throw error;
    }
  }
}

function faultsOf(error: DomainError | undefined): readonly FieldFault[] {
  if (error === undefined || error.faults.length > 0) return error?.faults ?? [];
  return [{ field: 'line', fault: error.message }];
}

async function* batches(lines: AsyncIterable<ImportLine>, size: number): AsyncGenerator<ImportLine[]> {
  let batch: ImportLine[] = [];
  for await (const line of lines) {
    batch.push(line);
    if (batch.length < size) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}
