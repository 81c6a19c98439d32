import type { PaceLimits, PaceReply, PaceRequest } from './pace.js';

export const PACER = Symbol('Pacer');

export interface PacedAccount {
  id: string;
  limits: PaceLimits;
}

/** `firstAtMs` and `nowMs` are times of the clock that all processes share; `offsetMs` brings them to this process. */
export interface PacerReply extends PaceReply {
  /** Shared time = `performance.now()` + offsetMs. */
  offsetMs: number;
}

/** Where the pace of an account is kept: in this process, or in Redis for all of them. */
export interface Pacer {
  /**
   * Tells how calls ended and asks for slots for the next ones, in one step: nothing can come between. One exchange of an account at a
   * time per process. Never fails: without Redis it goes on more slowly.
   */
  exchange(account: PacedAccount, request: Omit<PaceRequest, 'process'>): Promise<PacerReply>;
  close(): Promise<void>;
}
