import { setTimeout as sleep } from 'node:timers/promises';
import { GatewayError } from '../gateway.error.js';
import type { Line, LineWish, Slot } from './line.js';

/** How a call ended; `untold`: that says nothing of the gateway's health, if it was asked at all. */
export type TurnOutcome = { kind: 'answered' | 'failed' | 'untold' } | { kind: 'limited'; retryAfterMs: number };

/** One turn of one account: the right to one gateway call, or the reason why there is none. */
export class Turn {
  private slot: Slot | undefined;
  private state: 'inside' | 'begun' | 'ended' = 'inside';
  private refusal: GatewayError | undefined;

  /** @param line that let it in. */
  constructor(
    private readonly line: Line | undefined,
    private readonly wish: LineWish,
    private readonly onEnd: () => void,
  ) {}

  /** A turn that did not come: whoever asks with it learns why. */
  static refused(refusal: GatewayError): Turn {
    const turn = new Turn(undefined, { urgent: false, patienceMs: 0 }, () => undefined);
    turn.refusal = refusal;
    return turn;
  }

  /**
   * Waits until the call may go out, which it then should at once. Asked again it says the same.
   *
   * @throws GatewayError `circuit_open` or `paced` when it may not.
   */
  async begin(): Promise<void> {
    if (this.state === 'begun') return;
    if (this.refusal) throw this.refusal;
    const { line } = this;
    if (!line || this.state === 'ended') throw new Error('a turn is good for one call');
    try {
      this.slot = await line.take(this.wish);
    } catch (error) {
      if (error instanceof GatewayError) this.refusal = error;
      throw error;
    }
    const waitMs = Math.ceil(this.slot.beginAtMs - performance.now());
    if (waitMs > 0) await sleep(waitMs);
    this.state = 'begun';
    line.counters.calls += 1;
    line.leave();
  }

  /** The call is over. */
  over(outcome: TurnOutcome): void {
    const { slot } = this;
    if (!slot) return;
    this.slot = undefined;
    if (outcome.kind === 'limited') this.line?.giveBack(slot, 'limited', outcome.retryAfterMs);
    else this.line?.giveBack(slot, outcome.kind === 'untold' ? undefined : outcome.kind);
  }

  /** What the turn was for is over, called or not. */
  end(): void {
    if (this.state === 'ended') return;
    this.over({ kind: 'untold' });
    if (this.state === 'inside') this.line?.leave();
    this.state = 'ended';
    this.onEnd();
  }
}
