export const NOTIFICATION_QUEUE = Symbol('NotificationQueue');

/** Delivers one notification, or finds that there is nothing to deliver. */
export type NotificationHandler = (notificationId: string) => Promise<void>;

/**
 * Carries the ids of due notifications to whoever delivers them. A hint and no more: the outbox says what is due, so a queue may run an id
 * twice or forget it, and neither does harm.
 */
export interface NotificationQueue {
  start(handler: NotificationHandler): Promise<void>;
  /** What was claimed just now. An id may be there twice: who comes second finds nothing to do. */
  submitMany(notificationIds: readonly string[]): Promise<void>;
  /** True once after everything that waited was lost. */
  hasForgotten(): Promise<boolean>;
  /** Notifications that this process is working on. */
  inHand(): number;
  /** Takes nothing more and lets what runs end. */
  stop(): Promise<void>;
}
