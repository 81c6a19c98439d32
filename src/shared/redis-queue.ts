import { once } from 'node:events';
import type { QueueOptions } from 'bull';
import { Redis } from 'ioredis';

const RECONNECT_MAX_MS = 1_000;

/**
 * What all Bull queues of the service share: their keys' prefix, and how they reach Redis.
 *
 * @param connections receives every connection that is made: Bull closes none that it did not make itself.
 */
export function redisQueueOptions(
  redisUrl: string,
  redisPrefix: string,
  connections: Redis[],
): Pick<QueueOptions, 'prefix' | 'createClient'> {
  const retryStrategy = (times: number): number => Math.min(times * 100, RECONNECT_MAX_MS);
  return {
    // In braces, so that all keys of the queues live in one slot of a Redis Cluster.
    prefix: `{${redisPrefix}}`,
    createClient: (type) => {
      const enableReadyCheck = type === 'client';
      const connection = new Redis(redisUrl, {
        ...{ retryStrategy, maxRetriesPerRequest: null, enableReadyCheck },
        // What many jobs ask of Redis at the same moment goes out as one write.
        enableAutoPipelining: type === 'client',
      });
      connections.push(connection);
      return connection;
    },
  };
}

/**
 * Nothing is sent before Redis is there: what its client keeps in memory meanwhile would grow with every request.
 *
 * @throws Error when Redis is away, or does not answer within `timeoutMs`.
 */
export async function redisInTime<T>(client: Redis, timeoutMs: number, work: () => Promise<T>): Promise<T> {
  // Costs more than most of the work it would stop, so only where there is something to wait for.
  const abort = client.status === 'ready' ? undefined : new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`Redis did not answer within ${timeoutMs} ms`)), timeoutMs);
  });
  const ready = abort ? once(client, 'ready', { signal: abort.signal }) : Promise.resolve();
  try {
    return await Promise.race([ready.then(work), timeout]);
  } finally {
    clearTimeout(timer);
    abort?.abort();
  }
}

/** Waits for the work, but no longer than `ms`. */
export async function withinMs(work: Promise<unknown>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<void>((resolve) => (timer = setTimeout(resolve, ms)));
  try {
    await Promise.race([work, timeout]);
  } finally {
    clearTimeout(timer);
  }
}
