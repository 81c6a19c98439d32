import { Inject, Injectable } from '@nestjs/common';
import { NotificationEndpoints } from '../../notification/notification-endpoint.service.js';
import { COUNT_CAP, RefundStatistics } from '../../refund/refund-statistics.service.js';
import { CLOCK, SECOND_MS, type Clock } from '../../shared/clock.js';
import { MetricsRegistry } from './metrics.registry.js';
import type { MetricsSource } from './metrics-source.js';

/** Whether merchants are told in time. */
@Injectable()
export class NotificationMetrics implements MetricsSource {
  readonly name = 'notifications';
  readonly goodForMs = 5 * SECOND_MS;
  private readonly outbox;
  private readonly lag;
  private readonly pausedEndpoints;

  constructor(
    metrics: MetricsRegistry,
    private readonly statistics: RefundStatistics,
    private readonly endpoints: NotificationEndpoints,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {
    this.outbox = metrics.gauge(
      'notifications',
      `Notifications that are not delivered: waiting, paused with their receiver, given up; counted up to ${COUNT_CAP} each`,
      ['state'],
    );
    this.lag = metrics.gauge(
      'notification_lag_seconds',
      'For how long the first notification has been due and was not sent; 0 when none is due',
    );
    this.pausedEndpoints = metrics.gauge(
      'notification_endpoints_paused',
      'Receivers that failed for days and are sent nothing until they are resumed',
    );
  }

  async refresh(): Promise<void> {
    const { counts, oldestDueAt } = await this.statistics.outbox();
    for (const [state, count] of Object.entries(counts)) this.outbox.set({ state }, count);
    const lagMs = oldestDueAt === null ? 0 : this.clock.now().getTime() - oldestDueAt.getTime();
    this.lag.set(Math.max(0, lagMs / 1_000));
    this.pausedEndpoints.set(await this.endpoints.pausedCount());
  }

  reset(): void {
    this.outbox.reset();
    for (const gauge of [this.lag, this.pausedEndpoints]) gauge.set(NaN);
  }
}
