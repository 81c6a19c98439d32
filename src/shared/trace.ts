import { AsyncLocalStorage } from 'node:async_hooks';
import { randomFillSync } from 'node:crypto';

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';
const TRACE_ID_LENGTH = 12;

/** What is known of the request or job that runs, wherever its work takes it. */
export interface Trace {
  /** Ours: in answers, records and log lines. */
  readonly traceId: string;
  /** Of the refund that the job is about. */
  readonly refundId?: string;
  /** W3C trace context of the span that runs, where traces are exported; calls that start from here are its children. */
  traceparent?: string | undefined;
}

const storage = new AsyncLocalStorage<Trace>();

/** Random bytes are fetched many at a time: each fetch costs more than the id. */
const pool = Buffer.alloc(4_096);
let poolPosition = pool.length;

function randomByte(): number {
  if (poolPosition === pool.length) {
    randomFillSync(pool);
    poolPosition = 0;
  }
  return pool[poolPosition++] as number;
}

/** 12 letters and digits, new for each request. */
export function newTraceId(): string {
  let id = '';
  while (id.length < TRACE_ID_LENGTH) {
    const byte = randomByte();
    // 248 is the largest multiple of 62 in a byte: taking more would make the first letters likelier.
    if (byte < 248) id += ALPHABET[byte % 62];
  }
  return id;
}

/** @param trace or its id alone. */
export function runWithTrace<T>(trace: Trace | string, work: () => T): T {
  return storage.run(typeof trace === 'string' ? { traceId: trace } : trace, work);
}

/** The trace of the request or job that is running; undefined outside of one. */
export function currentTrace(): Trace | undefined {
  return storage.getStore();
}

export function currentTraceId(): string | undefined {
  return currentTrace()?.traceId;
}
