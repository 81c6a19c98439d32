import { randomBytes } from 'node:crypto';
import { Inject, Injectable, type BeforeApplicationShutdown } from '@nestjs/common';
import { APP_CONFIG, type AppConfig } from '../config/app-config.js';
import { Db } from '../database/db.js';
import { SECOND_MS } from '../shared/clock.js';
import { errorText } from '../shared/errors.js';
import { RefundWatch } from '../sync/refund-watch.js';
import { Sweeper } from '../sync/sweeper.js';
import { SYNC_QUEUE, type SyncQueue } from '../sync/sync-queue.port.js';
import { HealthProbe } from './health-probe.entity.js';
import { Shared, within } from './within.js';

/** Whoever asks waits two seconds at most. */
const PROBE_TIMEOUT_MS = 1_500;
/** Asking costs a write: somebody who asks all the time gets the last answer. */
const GOOD_FOR_MS = 500;
/** A sweep that got nowhere for so long, and for three of its intervals, does not work. */
const SWEEP_SILENT_MS = 60 * SECOND_MS;
const PROBE_ID = 1;

export interface Readiness {
  status: 'ready' | 'notReady';
  /** For each part `ok`, or what is wrong with it. */
  checks: Record<string, string>;
  /**
   * Not the health of a process, so it does not count for `status`: refunds that nobody would ever look at again (always 0), and those that
   * have been open for longer than their gateway's norm. Null when that could not be found out.
   */
  refunds: { silent: number; stuck: number } | null;
}

/** Whether this process can do what its role demands, tried out and not guessed. */
@Injectable()
export class ReadinessService implements BeforeApplicationShutdown {
  private readonly checked = new Shared(() => this.check(), GOOD_FOR_MS);
  private stopping = false;

  constructor(
    private readonly db: Db,
    private readonly sweeper: Sweeper,
    private readonly watch: RefundWatch,
    @Inject(SYNC_QUEUE) private readonly queue: SyncQueue,
    @Inject(APP_CONFIG) private readonly config: AppConfig,
  ) {}

  /** While the process ends it still answers, but nothing new should come. */
  beforeApplicationShutdown(): void {
    this.stopping = true;
  }

  async readiness(): Promise<Readiness> {
    if (this.stopping) return { status: 'notReady', checks: { process: 'is stopping' }, refunds: null };
    return this.checked.get();
  }

  private async check(): Promise<Readiness> {
    const probes: Record<string, () => Promise<unknown>> = {
      database: () => this.writeAndRead(),
      migrations: () => this.migrated(),
      queue: () => this.queue.ping(),
      ...(this.config.role === 'api' ? {} : { sweep: async () => this.sweeps() }),
    };
    const [results, refunds] = await Promise.all([
      Promise.all(Object.entries(probes).map(async ([part, probe]) => [part, await resultOf(probe)] as const)),
      this.openRefunds(),
    ]);
    const ready = results.every(([, result]) => result === 'ok');
    return { status: ready ? 'ready' : 'notReady', checks: Object.fromEntries(results), refunds };
  }

  private async openRefunds(): Promise<Readiness['refunds']> {
    try {
      const { silent, ages } = await within(this.watch.vigilance(), PROBE_TIMEOUT_MS);
      return { silent, stuck: ages.reduce((total, { stuck }) => total + stuck, 0) };
    } catch {
      // What keeps it from being found out is among the checks.
      return null;
    }
  }

  /** A replica, a full disk and a read-only file all read well. */
  private async writeAndRead(): Promise<void> {
    const token = randomBytes(8).toString('hex');
    await this.db.read((manager) => manager.update(HealthProbe, { id: PROBE_ID }, { token }));
    const row = await this.db.read((manager) => manager.findOneBy(HealthProbe, { id: PROBE_ID }));
    if (!row) throw new Error('the row of the probe is gone');
  }

  private async migrated(): Promise<void> {
    const missing = await this.db.missingMigrations();
    if (missing > 0) throw new Error(`${missing} migrations are not applied`);
  }

  private sweeps(): void {
    const silentMs = this.sweeper.silentForMs() ?? 0;
    if (silentMs > Math.max(SWEEP_SILENT_MS, 3 * this.config.sweepIntervalMs))
      throw new Error(`the sweep has got nowhere for ${Math.round(silentMs / SECOND_MS)} s`);
  }
}

async function resultOf(probe: () => Promise<unknown>): Promise<string> {
  try {
    await within(probe(), PROBE_TIMEOUT_MS);
    return 'ok';
  } catch (error) {
    return errorText(error).slice(0, 200);
  }
}
