import { Injectable, type OnApplicationShutdown, type OnModuleInit } from '@nestjs/common';
import { GatewayError } from '../../gateway/gateway.error.js';
import { gatewayCalls } from '../../gateway/gateway.telemetry.js';
import { appliedAnswers, type AppliedEvent } from '../../refund/refund.telemetry.js';
import { syncRuns } from '../../sync/sync.telemetry.js';
import { MetricsRegistry } from './metrics.registry.js';

/** Counts what happens. Labels are closed sets (channels, sources, outcomes), never an id or a text. */
@Injectable()
export class EventMetrics implements OnModuleInit, OnApplicationShutdown {
  private readonly syncs;
  private readonly statusChanges;
  private readonly jobs;
  private readonly jobSeconds;
  private readonly callSeconds;
  private readonly startedAtMs = new WeakMap<object, number>();
  private subscriptions: (() => void)[] = [];

  constructor(metrics: MetricsRegistry) {
    this.syncs = metrics.counter(
      'syncs_total',
      'Answers of gateways that were applied, or their lack. outcome: what was said, or why nothing was; effect: what became of it',
      ['channel', 'source', 'outcome', 'effect'],
    );
    this.statusChanges = metrics.counter('status_changes_total', 'Changes of the status of refunds', [
      'channel',
      'from',
      'to',
    ]);
    this.jobs = metrics.counter(
      'jobs_total',
      'Jobs of the sync queue that ran, by how they ended. broken: by a fault of the service itself',
      ['source', 'outcome'],
    );
    this.jobSeconds = metrics.histogram(
      'job_duration_seconds',
      'How long jobs of the sync queue ran, the wait for their turn at the gateway included',
      ['source'],
      'gateway',
    );
    this.callSeconds = metrics.histogram(
      'gateway_call_duration_seconds',
      'How long gateways took to answer. outcome: what was said, or why nothing was',
      ['channel', 'operation', 'outcome'],
      'gateway',
    );
  }

  onModuleInit(): void {
    const begin = (event: object): void => void this.startedAtMs.set(event, performance.now());
    this.subscriptions = [
      gatewayCalls.subscribe({
        begin,
        end: (event, outcome) => {
          const { channel, operation } = event;
          const labels = {
            channel,
            operation,
            outcome: 'result' in outcome ? outcome.result.kind : kindOf(outcome.error),
          };
          this.callSeconds.observe(labels, this.secondsSince(event));
        },
      }),
      syncRuns.subscribe({
        begin,
        end: (job, outcome) => {
          const { source } = job;
          this.jobs.inc({ source, outcome: 'error' in outcome ? 'broken' : nameOf(outcome.result) });
          this.jobSeconds.observe({ source }, this.secondsSince(job));
        },
      }),
      appliedAnswers.subscribe((event) => this.applied(event)),
    ];
  }

  onApplicationShutdown(): void {
    for (const end of this.subscriptions) end();
  }

  private applied({ channel, record }: AppliedEvent): void {
    const { source, effect, statusBefore: from, statusAfter: to } = record;
    this.syncs.inc({ channel, source, outcome: record.errorKind ?? record.result, effect });
    if (from !== to) this.statusChanges.inc({ channel, from, to });
  }

  private secondsSince(event: object): number {
    return (performance.now() - (this.startedAtMs.get(event) ?? performance.now())) / 1_000;
  }
}

function kindOf(error: unknown): string {
  return error instanceof GatewayError ? error.kind : 'broken';
}

/** `asked`: the gateway was, however that went; else why not. */
function nameOf(result: string | object): string {
  return typeof result === 'string' ? result : 'asked';
}
