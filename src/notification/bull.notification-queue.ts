import { setImmediate } from 'node:timers/promises';
import type { Job, Queue } from 'bull';
import type { Redis } from 'ioredis';
import { errorText } from '../shared/errors.js';
import { redisInTime, withinMs } from '../shared/redis-queue.js';
import type { NotificationHandler, NotificationQueue } from './notification-queue.port.js';

export const BULL_NOTIFICATION_QUEUE = 'refund-notify';

const COMMAND_TIMEOUT_MS = 2_500;
/** What is said to Redis before the process ends takes no longer than this, each. */
const STOP_STEP_MS = 1_000;

/** The id and nothing else: what is sent is read from the database when it is sent. */
export interface NotificationJob {
  notificationId: string;
}

/**
 * The queue of the production profile: Bull, one job per claim. Not one per notification: what a dead worker held stays "active" in Redis
 * until Bull finds out, and under the same job id the next claim of it would be taken for the same job.
 */
export class BullNotificationQueue implements NotificationQueue {
  private readonly running = new Set<Promise<void>>();
  private stopped = false;

  constructor(
    private readonly queue: Queue<NotificationJob>,
    private readonly options: {
      /** 0: this process does not deliver. */
      concurrency: number;
      connections: readonly Redis[];
      onError: (what: string, text: string) => void;
    },
  ) {
    queue.on('error', (error) => options.onError('redis', errorText(error)));
  }

  async start(handler: NotificationHandler): Promise<void> {
    if (this.options.concurrency === 0) return;
    const working = this.queue.process(this.options.concurrency, async (job: Job<NotificationJob>) => {
      // Not thrown on: the outbox keeps what is due, so a failed job ends as a done one does.
      const run = handler(job.data.notificationId).catch((error: unknown) =>
        this.options.onError(`notification ${job.data.notificationId}`, errorText(error)),
      );
      this.running.add(run);
      await run;
      this.running.delete(run);
    });
    working.catch((error: unknown) => this.options.onError('worker', errorText(error)));
  }

  async submitMany(notificationIds: readonly string[]): Promise<void> {
    if (notificationIds.length === 0 || this.stopped) return;
    const opts = { removeOnComplete: true, removeOnFail: true, attempts: 1 };
    await this.inTime(() =>
      this.queue.addBulk(notificationIds.map((notificationId) => ({ data: { notificationId }, opts }))),
    );
  }

  /** A key beside the jobs is gone when they are. Of many processes that look, one is told. */
  async hasForgotten(): Promise<boolean> {
    const key = this.queue.toKey('remembers');
    return (await this.inTime(() => this.queue.client.set(key, '1', 'NX'))) === 'OK';
  }

  inHand(): number {
    return this.running.size;
  }

  async stop(): Promise<void> {
    this.stopped = true;
    // As the sync queue stops: not by close(), which ends the process when Redis is away.
    await this.inStep('pause', this.queue.pause(true, true));
    while (this.running.size > 0) await Promise.all(this.running);
    await setImmediate();
    await this.inStep('ping', this.queue.client.ping());
    await this.inStep('close', this.queue.close(true));
    for (const connection of this.options.connections) connection.disconnect();
  }

  private inTime<T>(work: () => Promise<T>): Promise<T> {
    return redisInTime(this.queue.client, COMMAND_TIMEOUT_MS, work);
  }

  private async inStep(what: string, work: Promise<unknown>): Promise<void> {
    await withinMs(
      work.catch((error: unknown) => this.options.onError(what, errorText(error))),
      STOP_STEP_MS,
    );
  }
}
