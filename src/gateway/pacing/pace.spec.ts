import { describe, expect, it } from 'vitest';
import { exchange, newPaceState, type CallOutcome, type PaceReply, type PaceState } from './pace.js';

const NOW = 1_700_000_000_000;
const LIMITS = { perSecond: 100, concurrency: 4 };

/** Processes that share one account, and a clock that stands still unless it is moved. */
class Account {
  nowMs = NOW;
  readonly state: PaceState = newPaceState();

  ask(
    process: string,
    request: { held?: number; wanted?: number; outcomes?: CallOutcome[]; horizonMs?: number } = {},
  ): PaceReply {
    const { held = 0, wanted = 0, outcomes = [], horizonMs = 1_000 } = request;
    return exchange(this.state, LIMITS, { process, held, wanted, outcomes, horizonMs, holdMs: 10_000 }, this.nowMs);
  }
}

const answered: CallOutcome = { kind: 'answered', probe: false };
const failed: CallOutcome = { kind: 'failed', probe: false };

describe('the pace of an account', () => {
  it('spreads the calls of all processes evenly', () => {
    const account = new Account();
    const first = account.ask('a', { wanted: 2 });
    const second = account.ask('b', { wanted: 2 });
    const times = [first, second].flatMap(({ granted, firstAtMs, spacingMs }) =>
      Array.from({ length: granted }, (_, index) => firstAtMs + index * spacingMs - NOW),
    );
    // The bucket of 100 a second holds two.
    expect(times).toEqual([-10, 0, 10, 20]);
  });

  it('lets no more calls run at once than allowed, over all processes, and tells what to wait for', () => {
    const account = new Account();
    expect(account.ask('a', { wanted: 3 })).toMatchObject({ granted: 3, refusal: null, inFlight: 3 });
    expect(account.ask('b', { wanted: 3 })).toMatchObject({ granted: 1, refusal: 'full', inFlight: 4 });
    expect(account.ask('c', { wanted: 1 })).toMatchObject({ granted: 0, refusal: 'full', inFlight: 4 });
    account.ask('a', { held: 1, outcomes: [answered] });
    expect(account.ask('c', { wanted: 3 })).toMatchObject({ granted: 2, inFlight: 4 });
  });

  it('frees what a killed process held once it has been silent for long', () => {
    const account = new Account();
    account.ask('killed', { wanted: 4 });
    account.nowMs += 9_999;
    expect(account.ask('b', { wanted: 1 })).toMatchObject({ granted: 0, refusal: 'full' });
    account.nowMs += 1;
    expect(account.ask('b', { wanted: 1 })).toMatchObject({ granted: 1, inFlight: 1 });
  });

  it('believes what a process says of itself, so that a lost answer is made good', () => {
    const account = new Account();
    account.ask('a', { wanted: 4 });
    expect(account.ask('a', { held: 0, wanted: 1 })).toMatchObject({ granted: 1, inFlight: 1 });
  });

  it('is halved and paused for everybody by one refusal, and an answer does not undo it', () => {
    const account = new Account();
    account.ask('a', { wanted: 1 });
    const limited: CallOutcome = { kind: 'limited', probe: false, retryAfterMs: 60_000, askedAtMs: NOW };
    expect(account.ask('a', { outcomes: [limited, answered] })).toMatchObject({ perSecond: 50 });
    expect(account.ask('b', { wanted: 1 })).toMatchObject({ granted: 0, refusal: 'paused', retryAfterMs: 500 });
    account.nowMs += 500;
    expect(account.ask('b', { wanted: 1 })).toMatchObject({ granted: 1, perSecond: 50, spacingMs: 20 });
  });

  it('is stopped for everybody by a gateway that is down, but for one call at a time', () => {
    const account = new Account();
    expect(account.ask('a', { outcomes: Array<CallOutcome>(10).fill(failed) })).toMatchObject({ granted: 0 });
    expect(account.ask('b', { wanted: 5 })).toMatchObject({ granted: 0, refusal: 'open', retryAfterMs: 2_000 });
    account.nowMs += 2_000;
    expect(account.ask('b', { wanted: 5 })).toMatchObject({ granted: 1, probe: true, refusal: 'open' });
    expect(account.ask('a', { wanted: 5 })).toMatchObject({ granted: 0, refusal: 'open' });
    account.ask('b', { outcomes: [{ kind: 'answered', probe: true }] });
    expect(account.ask('a', { wanted: 3 })).toMatchObject({ granted: 3, probe: false, refusal: null });
  });

  it('goes on after a clock was set back', () => {
    const account = new Account();
    account.ask('a', { wanted: 4 });
    account.ask('a', { outcomes: Array<CallOutcome>(10).fill(failed) });
    account.nowMs -= 86_400_000;
    expect(account.ask('b', { wanted: 1 })).toMatchObject({ granted: 1, probe: true });
  });
});
