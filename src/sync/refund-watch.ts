import { Inject, Injectable, Logger, type OnApplicationBootstrap } from '@nestjs/common';
import { SchedulerRegistry } from '@nestjs/schedule';
import { APP_CONFIG, type AppConfig } from '../config/app-config.js';
import { RefundAges, type ChannelAges } from '../refund/refund-age.service.js';
import { SilentRefunds } from '../refund/silent-refund.service.js';
import { Alerts } from '../shared/alerts.js';
import { HOUR_MS, MINUTE_MS, SECOND_MS } from '../shared/clock.js';
import { errorText } from '../shared/errors.js';

const WATCH = 'refund-watch';
/** Between two rounds at least, and so much longer than a round takes that it costs the database a twentieth of its time at most. */
const MIN_PAUSE_MS = MINUTE_MS;
const PAUSE_PER_ROUND = 20;
/** What goes on is said again so often. */
const REPEAT_MS = HOUR_MS;

/** What the last round found. */
export interface RefundVigilance {
  /** Refunds that nobody would ever look at again: always 0. */
  silent: number;
  ages: ChannelAges[];
}

/** Looks after what no single refund shows: that none is forgotten, and that none takes too long. */
@Injectable()
export class RefundWatch implements OnApplicationBootstrap {
  private readonly logger = new Logger(RefundWatch.name);
  private readonly said = new Map<string, number>();
  private found: { vigilance: RefundVigilance; atMs: number; tookMs: number } | undefined;
  private checking: Promise<RefundVigilance> | undefined;

  constructor(
    private readonly silentRefunds: SilentRefunds,
    private readonly ages: RefundAges,
    private readonly alerts: Alerts,
    private readonly scheduler: SchedulerRegistry,
    @Inject(APP_CONFIG) private readonly config: AppConfig,
  ) {}

  onApplicationBootstrap(): void {
    if (this.config.role === 'api') return;
    const interval = setInterval(() => {
      if (!this.isFresh()) void this.tick();
    }, MIN_PAUSE_MS);
    interval.unref();
    this.scheduler.addInterval(WATCH, interval);
  }

  /** For health and metrics. To count the silent ones costs nothing; ages are a minute or so old, however often one asks. */
  async vigilance(): Promise<RefundVigilance> {
    if (this.found === undefined || !this.isFresh()) return this.check();
    return { ...this.found.vigilance, silent: await this.silentRefunds.count() };
  }

  /** Looks now, and raises what somebody must know. */
  async check(): Promise<RefundVigilance> {
    this.checking ??= this.round().finally(() => {
      this.checking = undefined;
    });
    return this.checking;
  }

  private async round(): Promise<RefundVigilance> {
    const startedMs = performance.now();
    const vigilance = { silent: await this.silentRefunds.count(), ages: await this.ages.measure() };
    this.found = { vigilance, atMs: performance.now(), tookMs: performance.now() - startedMs };
    const worries = new Map<string, () => void>();
    if (vigilance.silent > 0)
      worries.set('silent', () =>
        this.alerts.raise('REFUNDS_SILENT', 'refunds are not at their end, are no case, and nobody will look at them', {
          count: vigilance.silent,
        }),
      );
    for (const ages of vigilance.ages)
      if (ages.stuck > 0)
        worries.set(`stuck ${ages.channel}`, () =>
          this.alerts.raise('REFUNDS_STUCK', 'refunds have been open for longer than is usual at their gateway', {
            ...ages,
          }),
        );
    this.say(worries);
    return vigilance;
  }

  private isFresh(): boolean {
    if (this.found === undefined) return false;
    const goodForMs = Math.max(MIN_PAUSE_MS - SECOND_MS, PAUSE_PER_ROUND * this.found.tookMs);
    return performance.now() - this.found.atMs < goodForMs;
  }

  private say(worries: ReadonlyMap<string, () => void>): void {
    for (const what of this.said.keys()) if (!worries.has(what)) this.said.delete(what);
    for (const [what, say] of worries) {
      const saidMs = this.said.get(what);
      if (saidMs !== undefined && performance.now() - saidMs < REPEAT_MS) continue;
      this.said.set(what, performance.now());
      say();
    }
  }

  private async tick(): Promise<void> {
    try {
      await this.check();
    } catch (error) {
      this.logger.warn({ msg: 'the watch over open refunds could not look', error: errorText(error) });
    }
  }
}
