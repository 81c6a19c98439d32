import { exchange, newPaceState, type PaceRequest, type PaceState } from './pace.js';
import type { PacedAccount, Pacer, PacerReply } from './pacer.port.js';

/** The pace of the embedded profile: in this process, by a clock that nobody can set. */
export class MemoryPacer implements Pacer {
  private readonly states = new Map<string, PaceState>();

  constructor(private readonly nowMs: () => number = () => performance.now()) {}

  async exchange(account: PacedAccount, request: Omit<PaceRequest, 'process'>): Promise<PacerReply> {
    let state = this.states.get(account.id);
    if (!state) {
      state = newPaceState();
      this.states.set(account.id, state);
    }
    const nowMs = this.nowMs();
    const reply = exchange(state, account.limits, { ...request, process: 'this' }, nowMs);
    return { ...reply, offsetMs: nowMs - performance.now() };
  }

  async close(): Promise<void> {}
}
