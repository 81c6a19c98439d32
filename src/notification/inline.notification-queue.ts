import { errorText } from '../shared/errors.js';
import type { NotificationHandler, NotificationQueue } from './notification-queue.port.js';

/** The queue of the embedded profile: in this process, in memory. How much waits here, the relay bounds by what it claims. */
export class InlineNotificationQueue implements NotificationQueue {
  private readonly waiting = new Set<string>();
  private readonly running = new Map<string, Promise<void>>();
  private handler: NotificationHandler | undefined;
  private stopped = false;

  constructor(
    private readonly concurrency: number,
    private readonly onError: (notificationId: string, text: string) => void,
  ) {}

  async start(handler: NotificationHandler): Promise<void> {
    this.handler = handler;
    this.pump();
  }

  async submitMany(notificationIds: readonly string[]): Promise<void> {
    if (this.stopped) return;
    for (const id of notificationIds) if (!this.running.has(id)) this.waiting.add(id);
    this.pump();
  }

  /** It forgets when its process ends; the claims of that run out by themselves. */
  async hasForgotten(): Promise<boolean> {
    return false;
  }

  inHand(): number {
    return this.waiting.size + this.running.size;
  }

  async stop(): Promise<void> {
    this.stopped = true;
    this.waiting.clear();
    await Promise.all(this.running.values());
  }

  private pump(): void {
    const { handler } = this;
    for (const id of this.waiting) {
      if (!handler || this.stopped || this.running.size >= this.concurrency) return;
      this.waiting.delete(id);
      this.running.set(id, this.run(handler, id));
    }
  }

  private async run(handler: NotificationHandler, id: string): Promise<void> {
    try {
      await handler(id);
    } catch (error) {
      this.onError(id, errorText(error));
    } finally {
      this.running.delete(id);
      this.pump();
    }
  }
}
