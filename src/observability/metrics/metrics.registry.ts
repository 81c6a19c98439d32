import { Injectable } from '@nestjs/common';
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';

export const METRIC_PREFIX = 'refund_sync_';

/** From a cache to the longest call to a gateway, in seconds. */
const GATEWAY_BUCKETS_S = [0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 15];
const HTTP_BUCKETS_S = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/** The metrics of one service; its own, not the library's global one, because tests run several services in one process. */
@Injectable()
export class MetricsRegistry {
  readonly registry = new Registry();
  private hasDefaults = false;

  counter<Label extends string>(name: string, help: string, labelNames: readonly Label[]): Counter<Label> {
    return new Counter({ name: METRIC_PREFIX + name, help, labelNames, registers: [this.registry] });
  }

  gauge<Label extends string = never>(name: string, help: string, labelNames: readonly Label[] = []): Gauge<Label> {
    return new Gauge({ name: METRIC_PREFIX + name, help, labelNames, registers: [this.registry] });
  }

  histogram<Label extends string>(
    name: string,
    help: string,
    labelNames: readonly Label[],
    kind: 'gateway' | 'http',
  ): Histogram<Label> {
    const buckets = kind === 'http' ? HTTP_BUCKETS_S : GATEWAY_BUCKETS_S;
    return new Histogram({ name: METRIC_PREFIX + name, help, labelNames, buckets, registers: [this.registry] });
  }

  /** Everything in the text format of Prometheus. */
  async text(): Promise<{ contentType: string; body: string }> {
    // Those of the process watch its event loop and its memory: only where somebody asks for them.
    if (!this.hasDefaults) collectDefaultMetrics({ register: this.registry });
    this.hasDefaults = true;
    return { contentType: this.registry.contentType, body: await this.registry.metrics() };
  }
}
