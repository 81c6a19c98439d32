import { Inject, Injectable } from '@nestjs/common';
import { LedgerService, UNSEALED_CAP } from '../../ledger/ledger.service.js';
import { CLOCK, SECOND_MS, type Clock } from '../../shared/clock.js';
import { MetricsRegistry } from './metrics.registry.js';
import type { MetricsSource } from './metrics-source.js';

/** Where the hash chain stands. */
@Injectable()
export class LedgerMetrics implements MetricsSource {
  readonly name = 'ledger';
  readonly goodForMs = 5 * SECOND_MS;
  private readonly sealed;
  private readonly unsealed;
  private readonly oldestUnsealed;
  private readonly genuine;

  constructor(
    metrics: MetricsRegistry,
    private readonly ledger: LedgerService,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {
    this.sealed = metrics.gauge('ledger_sealed_entries', 'Repair records and audit entries in the hash chain');
    this.unsealed = metrics.gauge(
      'ledger_unsealed_entries',
      `Rows that wait for their place in it, counted up to ${UNSEALED_CAP} a table`,
    );
    this.oldestUnsealed = metrics.gauge(
      'ledger_oldest_unsealed_age_seconds',
      'Age of the oldest row that waits; 0 when none does',
    );
    this.genuine = metrics.gauge(
      'ledger_head_genuine',
      '1: the head was written with this MASTER_KEY; 0: it was not, and nothing is sealed',
    );
  }

  async refresh(): Promise<void> {
    const { seq, unsealed, oldestUnsealedAt, genuine } = await this.ledger.state();
    const ageMs = oldestUnsealedAt === null ? 0 : this.clock.now().getTime() - oldestUnsealedAt.getTime();
    this.sealed.set(seq);
    this.unsealed.set(unsealed);
    this.oldestUnsealed.set(Math.max(0, ageMs / 1_000));
    this.genuine.set(genuine ? 1 : 0);
  }

  reset(): void {
    for (const gauge of [this.sealed, this.unsealed, this.oldestUnsealed, this.genuine]) gauge.set(NaN);
  }
}
