import { Injectable, Logger } from '@nestjs/common';
import { errorText } from '../../shared/errors.js';
import { Shared, within } from '../within.js';
import { LedgerMetrics } from './ledger-metrics.js';
import { MetricsRegistry } from './metrics.registry.js';
import type { MetricsSource } from './metrics-source.js';
import { NotificationMetrics } from './notification-metrics.js';
import { ProcessMetrics } from './process-metrics.js';
import { RefundMetrics } from './refund-metrics.js';
import { VigilanceMetrics } from './vigilance-metrics.js';

/** Prometheus waits ten seconds for the whole answer. */
const LOOKUP_TIMEOUT_MS = 3_000;

/** Answers the scrape: what was counted, and what is looked up for it. */
@Injectable()
export class MetricsService {
  private readonly logger = new Logger('Metrics');
  private readonly sources: Shared<void>[];
  private readonly failures;

  constructor(
    private readonly metrics: MetricsRegistry,
    refunds: RefundMetrics,
    notifications: NotificationMetrics,
    ledger: LedgerMetrics,
    process: ProcessMetrics,
    vigilance: VigilanceMetrics,
  ) {
    this.failures = metrics.counter(
      'metrics_failures_total',
      'Times that metrics could not be looked up; they are left out of the answer then',
      ['source'],
    );
    this.sources = [refunds, notifications, ledger, process, vigilance].map((source) => {
      this.failures.inc({ source: source.name }, 0);
      return new Shared(() => this.refresh(source), source.goodForMs);
    });
  }

  async text(): Promise<{ contentType: string; body: string }> {
    await Promise.all(this.sources.map((source) => source.get()));
    return this.metrics.text();
  }

  private async refresh(source: MetricsSource): Promise<void> {
    try {
      await within(source.refresh(), LOOKUP_TIMEOUT_MS);
    } catch (error) {
      source.reset();
      this.failures.inc({ source: source.name });
      this.logger.warn({ msg: 'metrics could not be looked up', source: source.name, error: errorText(error) });
    }
  }
}
