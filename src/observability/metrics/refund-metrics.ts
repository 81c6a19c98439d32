import { Inject, Injectable } from '@nestjs/common';
import { DueRefundService } from '../../refund/due-refund.service.js';
import { COUNT_CAP, RefundStatistics } from '../../refund/refund-statistics.service.js';
import { SilentRefunds } from '../../refund/silent-refund.service.js';
import { CLOCK, SECOND_MS, type Clock } from '../../shared/clock.js';
import { MetricsRegistry } from './metrics.registry.js';
import type { MetricsSource } from './metrics-source.js';

const CAPPED = `counted up to ${COUNT_CAP}`;

/** What the database knows: the same from every process. */
@Injectable()
export class RefundMetrics implements MetricsSource {
  readonly name = 'refunds';
  readonly goodForMs = 5 * SECOND_MS;
  private readonly unresolved;
  private readonly oldestUnresolved;
  private readonly due;
  private readonly oldestDue;
  private readonly overRefunded;
  private readonly silent;

  constructor(
    metrics: MetricsRegistry,
    private readonly statistics: RefundStatistics,
    private readonly dueRefunds: DueRefundService,
    private readonly silentRefunds: SilentRefunds,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {
    this.unresolved = metrics.gauge('unresolved_refunds', `Refunds that are not at their end, ${CAPPED}`, [
      'channel',
      'status',
    ]);
    this.oldestUnresolved = metrics.gauge(
      'oldest_unresolved_age_seconds',
      'Age of the oldest refund that is not at its end, since it was sent; 0 when there is none',
      ['channel'],
    );
    this.due = metrics.gauge('due_refunds', `Refunds whose next look is due, ${CAPPED}; the first 100 accounts`, [
      'account',
    ]);
    this.oldestDue = metrics.gauge('oldest_due_age_seconds', 'For how long the first of them has been due', [
      'account',
    ]);
    this.silent = metrics.gauge(
      'silent_refunds',
      'Refunds that are not at their end, are no case, and that nobody will look at again: always 0',
    );
    this.overRefunded = metrics.gauge(
      'over_refunded_payments',
      `Payments of which more was refunded than was paid, ${CAPPED}`,
    );
  }

  async refresh(): Promise<void> {
    const nowMs = this.clock.now().getTime();
    const ageS = (since: Date | null): number => (since === null ? 0 : Math.max(0, (nowMs - since.getTime()) / 1_000));
    const groups = await this.statistics.unresolved();
    const oldest = new Map<string, number>();
    for (const { channel, status, count, oldestAt } of groups) {
      this.unresolved.set({ channel, status }, count);
      oldest.set(channel, Math.max(oldest.get(channel) ?? 0, ageS(oldestAt)));
    }
    for (const [channel, seconds] of oldest) this.oldestUnresolved.set({ channel }, seconds);

    const due = await this.statistics.due(await this.dueRefunds.accountIds());
    // An account that is gone takes its metrics along.
    this.due.reset();
    this.oldestDue.reset();
    for (const { accountId: account, count, oldestDueAt } of due) {
      this.due.set({ account }, count);
      this.oldestDue.set({ account }, ageS(oldestDueAt));
    }

    this.overRefunded.set(await this.statistics.overRefundedPayments());
    this.silent.set(await this.silentRefunds.count());
  }

  reset(): void {
    for (const gauge of [this.unresolved, this.oldestUnresolved, this.due, this.oldestDue]) gauge.reset();
    // A metric without labels that is reset is 0, which here would say that all is well.
    this.overRefunded.set(NaN);
    this.silent.set(NaN);
  }
}
