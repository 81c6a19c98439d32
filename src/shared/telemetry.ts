import { channel, tracingChannel } from 'node:diagnostics_channel';

/**
 * Typed channels over `node:diagnostics_channel`, by which modules tell what they do to whoever measures or traces, without knowing one.
 * Without a subscriber they cost nothing. Subscribers must not throw.
 */

/** How an operation ended. */
export type Outcome<Result> = { result: Result } | { error: unknown };

interface Ended {
  result?: unknown;
  error?: unknown;
}

/** An operation with a beginning and an end. */
export class OperationChannel<Event extends object, Result> {
  private readonly channel;

  constructor(name: string) {
    this.channel = tracingChannel<unknown, Event>(`refund-sync:${name}`);
  }

  /** Runs the work, whose result or error passes through. */
  run(event: Event, work: () => Promise<Result>): Promise<Result> {
    return this.channel.tracePromise<undefined, [], Result>(work, event);
  }

  /**
   * @param listener both are called in the asynchronous context of the operation, with one and the same event.
   * @returns ends the subscription.
   */
  subscribe(listener: {
    begin: (event: Event) => void;
    end: (event: Event, outcome: Outcome<Result>) => void;
  }): () => void {
    const nothing = (): void => undefined;
    const subscribers = {
      start: listener.begin,
      end: nothing,
      asyncStart: nothing,
      asyncEnd: (event: Event & Ended) =>
        listener.end(event, 'error' in event ? { error: event.error } : { result: event.result as Result }),
      error: nothing,
    };
    this.channel.subscribe(subscribers);
    return () => void this.channel.unsubscribe(subscribers);
  }
}

/** Something that has happened. */
export class EventChannel<Event extends object> {
  private readonly channel;

  constructor(name: string) {
    this.channel = channel(`refund-sync:${name}`);
  }

  publish(event: Event): void {
    if (this.channel.hasSubscribers) this.channel.publish(event);
  }

  /** @returns ends the subscription. */
  subscribe(listener: (event: Event) => void): () => void {
    const subscriber = (event: unknown): void => listener(event as Event);
    this.channel.subscribe(subscriber);
    return () => void this.channel.unsubscribe(subscriber);
  }
}
