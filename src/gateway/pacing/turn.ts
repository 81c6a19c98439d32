import { setTimeout as sleep } from 'node:timers/promises';
import type { GatewayError } from '../gateway.error.js';
import type { Line, Slot } from './line.js';

/** A slot that others are lined up behind is not used later than this: two calls would come at once. */
const LATE_MS = 20;
/** Takes another slot so often; a process that cannot keep its time any better calls all the same. */
const MAX_TRIES = 2;
/** Whoever tries again holds a lease. */
const AGAIN_PATIENCE_MS = 400;

/** How a call ended; `untold`: that says nothing of the gateway's health, if it was asked at all. */
export type TurnOutcome = { kind: 'answered' | 'failed' | 'untold' } | { kind: 'limited'; retryAfterMs: number };

/** One turn of one account: the right to one gateway call, or the reason why there is none. */
export class Turn {
  private slot: Slot | undefined;

  constructor(
    private readonly line: Line | undefined,
    slot: Slot | undefined,
    private readonly refusal: GatewayError | undefined,
    private readonly onEnd: () => void,
  ) {
    this.slot = slot;
  }

  /** A turn that did not come: whoever asks with it learns why. */
  static refused(refusal: GatewayError): Turn {
    return new Turn(undefined, undefined, refusal, () => undefined);
  }

  /** Waits until the call may go out. @throws GatewayError `circuit_open` or `paced` when it may not. */
  async begin(): Promise<void> {
    if (this.refusal) throw this.refusal;
    const { line } = this;
    if (!line || !this.slot) throw new Error('a turn is good for one call');
    for (let tries = 1; ; tries += 1) {
      const waitMs = Math.ceil(this.slot.beginAtMs - performance.now());
      if (waitMs > 0) await sleep(waitMs);
      if (!this.slot.queued || performance.now() - this.slot.beginAtMs <= LATE_MS || tries >= MAX_TRIES) break;
      line.counters.late += 1;
      const late = this.slot;
      this.slot = undefined;
      line.giveBack(late, undefined);
      this.slot = await line.take({ urgent: true, first: true, patienceMs: AGAIN_PATIENCE_MS });
    }
    line.counters.calls += 1;
  }

  /** The call is over. */
  over(outcome: TurnOutcome): void {
    const { slot } = this;
    if (!slot) return;
    this.slot = undefined;
    if (outcome.kind === 'limited') this.line?.giveBack(slot, 'limited', outcome.retryAfterMs);
    else this.line?.giveBack(slot, outcome.kind === 'untold' ? undefined : outcome.kind);
  }

  /** What the turn was for is over, called or not. To be called once. */
  end(): void {
    this.over({ kind: 'untold' });
    this.onEnd();
  }
}
