import { StripeRefusal } from './stripe.error.js';
import type { RefundRecord } from '../refund-book.js';

/** What the first request under a key was answered. */
export interface SavedAnswer {
  status: number;
  text: string;
  requestId: string;
}

interface Entry {
  /** Content of the first request. */
  fingerprint: string;
  record: RefundRecord;
  startedAtMs: number;
  /** Null while the request is being worked on. */
  answer: SavedAnswer | null;
}

const MAX_KEYS = 200_000;

/**
 * Idempotency keys and what was answered under them, failures included. A key that has lived for its time is forgotten: the request
 * after that is a new one.
 */
export class IdempotencyKeys {
  private readonly entries = new Map<string, Entry>();

  /**
   * @returns what is known of the key; undefined when it is new or forgotten.
   * @throws StripeRefusal when it was used for something else, or the first request is still being worked on.
   */
  find(
    key: string,
    fingerprint: string,
    nowMs: number,
    lifetimeMs: number,
  ): { record: RefundRecord; answer: SavedAnswer } | undefined {
    const entry = this.entries.get(key);
    if (!entry) return undefined;
    if (entry.answer !== null && nowMs - entry.startedAtMs >= lifetimeMs) {
      this.entries.delete(key);
      return undefined;
    }
    if (entry.fingerprint !== fingerprint) {
      throw new StripeRefusal(
        400,
        `Keys for idempotent requests can only be used with the same parameters they were first used with. Try using a key other than '${key}' if you meant to execute a different request.`,
        { type: 'idempotency_error' },
      );
    }
    if (entry.answer === null) {
      throw new StripeRefusal(
        409,
        `There is currently another in-progress request using this Idempotency-Key: ${key}.`,
        {
          type: 'idempotency_error',
          code: 'idempotency_key_in_use',
        },
      );
    }
    return { record: entry.record, answer: entry.answer };
  }

  begin(key: string, fingerprint: string, record: RefundRecord, nowMs: number): void {
    // The oldest goes first, as it does when its time is over.
    const oldest = this.entries.size >= MAX_KEYS ? this.entries.keys().next().value : undefined;
    if (oldest !== undefined) this.entries.delete(oldest);
    this.entries.set(key, { fingerprint, record, startedAtMs: nowMs, answer: null });
  }

  /** @param answer null when nothing was executed: then the key is as good as new. */
  finish(key: string, answer: SavedAnswer | null): void {
    const entry = this.entries.get(key);
    if (!entry) return;
    if (answer === null) this.entries.delete(key);
    else entry.answer = answer;
  }

  clear(): void {
    this.entries.clear();
  }
}
