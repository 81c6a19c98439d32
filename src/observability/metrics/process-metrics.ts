import { Inject, Injectable } from '@nestjs/common';
import { APP_CONFIG, type AppConfig } from '../../config/app-config.js';
import { GatewayPacing } from '../../gateway/pacing/gateway-pacing.service.js';
import { SECOND_MS } from '../../shared/clock.js';
import { Sweeper } from '../../sync/sweeper.js';
import { SYNC_QUEUE, type SyncQueue } from '../../sync/sync-queue.port.js';
import { MetricsRegistry } from './metrics.registry.js';
import type { MetricsSource } from './metrics-source.js';

/** Accounts that are told, in the order in which this process first called them. */
const MAX_ACCOUNTS = 100;

/** What this process knows: its queue, its sweep, and the gateway accounts as it sees them. */
@Injectable()
export class ProcessMetrics implements MetricsSource {
  readonly name = 'process';
  readonly goodForMs = SECOND_MS;
  private readonly jobs;
  private readonly sweepAge;
  private readonly circuit;
  private readonly pace;
  private readonly inFlight;
  private readonly waiting;
  private readonly refusals;

  constructor(
    metrics: MetricsRegistry,
    private readonly pacing: GatewayPacing,
    private readonly sweeper: Sweeper,
    @Inject(SYNC_QUEUE) private readonly queue: SyncQueue,
    @Inject(APP_CONFIG) { role }: AppConfig,
  ) {
    this.jobs = metrics.gauge('queue_jobs', 'Jobs in the sync queue; with Redis those of all processes', ['state']);
    this.sweepAge = metrics.gauge(
      'sweep_age_seconds',
      'For how long the sweep of this process has got nowhere; NaN where it does not sweep (ROLE=api)',
    );
    this.circuit = metrics.gauge('circuit_open', '1: the gateway does not answer, and the account is left alone', [
      'account',
    ]);
    this.pace = metrics.gauge('gateway_pace_calls_per_second', 'Calls a second that the account may make now', [
      'account',
    ]);
    this.inFlight = metrics.gauge('gateway_calls_in_flight', 'Calls of the account under way, in all processes', [
      'account',
    ]);
    this.waiting = metrics.gauge('gateway_calls_waiting', 'Who waits in this process for the turn of the account', [
      'account',
    ]);
    this.refusals = metrics.counter(
      'gateway_refusals_total',
      'paced, circuitOpen: calls that were not made; limited: calls that the gateway refused as too many',
      ['account', 'reason'],
    );
    metrics.gauge('info', 'Always 1; what this process is', ['role']).set({ role }, 1);
  }

  async refresh(): Promise<void> {
    for (const gauge of [this.circuit, this.pace, this.inFlight, this.waiting]) gauge.reset();
    this.refusals.reset();
    for (const of of this.pacing.snapshot().slice(0, MAX_ACCOUNTS)) {
      const account = of.accountId;
      this.circuit.set({ account }, of.circuit === 'open' ? 1 : 0);
      this.pace.set({ account }, of.perSecond);
      this.inFlight.set({ account }, of.inFlight);
      this.waiting.set({ account }, of.waiting);
      for (const reason of ['paced', 'circuitOpen', 'limited'] as const)
        this.refusals.inc({ account, reason }, of[reason]);
    }
    this.sweepAge.set((this.sweeper.silentForMs() ?? NaN) / 1_000);
    const { waiting, running } = await this.queue.depth();
    this.jobs.set({ state: 'waiting' }, waiting);
    this.jobs.set({ state: 'running' }, running);
  }

  reset(): void {
    this.jobs.reset();
  }
}
