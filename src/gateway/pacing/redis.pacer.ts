import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import type { CallOutcome, PaceRefusal, PaceRequest } from './pace.js';
import type { PacedAccount, Pacer, PacerReply } from './pacer.port.js';
import { PACE_SCRIPT } from './redis-pace.script.js';

type Scripted = Redis & { pace(key: string, ...args: (string | number)[]): Promise<string[]> };

/** How fast two clocks may drift apart. */
const DRIFT_MS_PER_S = 1;
/** A clock that jumps farther than this was set. */
const CLOCK_SET_MS = 5_000;

/** The pace that all processes share, kept in Redis. Rejects when Redis does not answer; see FallbackPacer. */
export class RedisPacer implements Pacer {
  private readonly redis: Scripted;
  private readonly process = randomUUID();
  private offset: { ms: number; atMs: number } | undefined;

  constructor(
    redis: Redis,
    /** In braces, so that all keys live in one slot of a Redis Cluster. */
    private readonly prefix: string,
    /** For tests: the time in place of the clock of Redis. */
    private readonly nowMs?: () => number,
  ) {
    redis.defineCommand('pace', { numberOfKeys: 1, lua: PACE_SCRIPT });
    this.redis = redis as Scripted;
  }

  async exchange({ id, limits }: PacedAccount, request: Omit<PaceRequest, 'process'>): Promise<PacerReply> {
    const { held, wanted, horizonMs, holdMs } = request;
    const answer = await this.redis.pace(
      `{${this.prefix}}:pace:${id}`,
      this.process,
      held,
      wanted,
      horizonMs,
      holdMs,
      limits.perSecond,
      limits.concurrency,
      request.outcomes.map(outcomeText).join(';'),
      this.nowMs?.() ?? '',
    );
    const number = (index: number): number => Number(answer[index]);
    const nowMs = number(6);
    return {
      granted: number(0),
      firstAtMs: number(1),
      spacingMs: number(2),
      probe: answer[3] === '1',
      refusal: answer[4] === '' ? null : (answer[4] as PaceRefusal),
      retryAfterMs: number(5),
      nowMs,
      perSecond: number(7),
      inFlight: number(8),
      offsetMs: this.offsetAt(nowMs),
    };
  }

  async close(): Promise<void> {
    this.redis.disconnect();
  }

  /** The fastest of the late answers tells best how far the clock of Redis is from ours. */
  private offsetAt(sharedMs: number): number {
    const atMs = performance.now();
    let ms = sharedMs - atMs;
    if (this.offset && this.offset.ms - ms < CLOCK_SET_MS)
      ms = Math.max(ms, this.offset.ms - ((atMs - this.offset.atMs) * DRIFT_MS_PER_S) / 1_000);
    this.offset = { ms, atMs };
    return ms;
  }
}

/** `a` answered, `f` failed, `u` unused, `l500,1700000000000` limited; `!` marks a probe. */
export function outcomeText(outcome: CallOutcome): string {
  const mark = outcome.probe ? '!' : '';
  return outcome.kind === 'limited'
    ? `l${mark}${outcome.retryAfterMs},${outcome.askedAtMs}`
    : `${outcome.kind.charAt(0)}${mark}`;
}
