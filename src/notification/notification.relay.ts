import { Inject, Injectable, Logger } from '@nestjs/common';
import { SchedulerRegistry } from '@nestjs/schedule';
import { APP_CONFIG, type AppConfig } from '../config/app-config.js';
import { errorText } from '../shared/errors.js';
import { EventFeed } from './event-feed.service.js';
import { NotificationEndpoints } from './notification-endpoint.service.js';
import { NOTIFICATION_QUEUE, type NotificationQueue } from './notification-queue.port.js';
import { Outbox, type Lane } from './outbox.service.js';

const RELAY = 'notification-relay';
/** Notifications of one lane that all processes together have in hand: a slow receiver fills its own window and no other's. */
const WINDOW = 16;
const PAUSE_MS = 20;
/** When every window is full: somebody slow has to answer first. */
const FULL_PAUSE_MS = 250;

/**
 * Hands due notifications to the queue, from the outbox and from nowhere else: what a queue or a process loses is due again by itself. Any
 * number of processes may relay at once.
 */
@Injectable()
export class NotificationRelay {
  private readonly logger = new Logger(NotificationRelay.name);
  private relaying: Promise<void> | undefined;
  private stopped = false;

  constructor(
    @Inject(APP_CONFIG) private readonly config: AppConfig,
    private readonly outbox: Outbox,
    private readonly endpoints: NotificationEndpoints,
    private readonly feed: EventFeed,
    @Inject(NOTIFICATION_QUEUE) private readonly queue: NotificationQueue,
  ) {}

  start(scheduler: SchedulerRegistry): void {
    if (this.config.role === 'api') return;
    scheduler.addInterval(
      RELAY,
      setInterval(() => void this.tick(), this.config.notifyIntervalMs),
    );
  }

  async stop(): Promise<void> {
    this.stopped = true;
    await this.relaying;
  }

  /**
   * Relays once: everything that is due is handed over, lane by lane, as fast as the receivers take it, for at most one interval.
   *
   * @returns how many were handed over.
   */
  async relay(): Promise<number> {
    const until = performance.now() + this.config.notifyIntervalMs;
    await this.feed.place();
    await this.endpoints.unpark();
    if (await this.queue.hasForgotten()) await this.outbox.forgetClaims();
    let lanes = await this.outbox.lanes();
    let total = 0;
    while (lanes.length > 0 && !this.stopped) {
      const { more, claimed } = await this.pass(lanes);
      total += claimed;
      lanes = more;
      if (lanes.length === 0 || performance.now() > until) break;
      await new Promise((resolve) => setTimeout(resolve, claimed > 0 ? PAUSE_MS : FULL_PAUSE_MS));
    }
    return total;
  }

  private async pass(lanes: readonly Lane[]): Promise<{ more: Lane[]; claimed: number }> {
    const more: Lane[] = [];
    let claimed = 0;
    for (const lane of lanes) {
      if (this.stopped) break;
      const { ids, isFull } = await this.outbox.claim(lane, WINDOW);
      await this.queue.submitMany(ids);
      claimed += ids.length;
      if (isFull) more.push(lane);
    }
    return { more, claimed };
  }

  private async tick(): Promise<void> {
    if (this.relaying !== undefined || this.stopped) return;
    this.relaying = this.relay()
      .then((claimed) => {
        if (claimed > 0) this.logger.debug({ msg: 'notifications handed over', claimed });
      })
      .catch((error: unknown) =>
        this.logger.error({ msg: 'the relay failed and is tried again', error: errorText(error) }),
      )
      .finally(() => (this.relaying = undefined));
    await this.relaying;
  }
}
