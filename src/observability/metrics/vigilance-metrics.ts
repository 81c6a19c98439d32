import { Injectable } from '@nestjs/common';
import { ALERT_CODES, Alerts } from '../../shared/alerts.js';
import { SECOND_MS } from '../../shared/clock.js';
import { RefundWatch } from '../../sync/refund-watch.js';
import { MetricsRegistry } from './metrics.registry.js';
import type { MetricsSource } from './metrics-source.js';

/** Ages of open refunds against the norm of their gateway, and what somebody was woken for. */
@Injectable()
export class VigilanceMetrics implements MetricsSource {
  readonly name = 'vigilance';
  readonly goodForMs = 5 * SECOND_MS;
  private readonly stuck;
  private readonly norm;
  private readonly age;
  private readonly alertsTotal;

  constructor(
    metrics: MetricsRegistry,
    private readonly watch: RefundWatch,
    private readonly alerts: Alerts,
  ) {
    this.stuck = metrics.gauge('stuck_refunds', 'Refunds that have been open for longer than the norm', ['channel']);
    this.norm = metrics.gauge('refund_norm_seconds', 'How long a refund may be open before it counts as stuck', [
      'channel',
    ]);
    this.age = metrics.gauge(
      'unresolved_refund_age_seconds',
      'Age of the refunds that are not at their end; rounded up to a minute, hour or day count',
      ['channel', 'quantile'],
    );
    this.alertsTotal = metrics.counter('alerts_total', 'Alerts raised by this process', ['code']);
  }

  async refresh(): Promise<void> {
    const { ages } = await this.watch.vigilance();
    this.reset();
    for (const { channel, stuck, normMs, p50Ms, p90Ms, p99Ms, oldestMs } of ages) {
      this.stuck.set({ channel }, stuck);
      this.norm.set({ channel }, normMs / SECOND_MS);
      const quantiles = { '0.5': p50Ms, '0.9': p90Ms, '0.99': p99Ms, '1': oldestMs };
      for (const [quantile, ms] of Object.entries(quantiles)) this.age.set({ channel, quantile }, ms / SECOND_MS);
    }
    this.alertsTotal.reset();
    for (const code of ALERT_CODES) this.alertsTotal.inc({ code }, this.alerts.counts().get(code) ?? 0);
  }

  reset(): void {
    for (const gauge of [this.stuck, this.norm, this.age]) gauge.reset();
  }
}
