import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { GatewayError } from '../gateway.error.js';
import { Line, type Slot } from './line.js';
import { MemoryPacer } from './memory.pacer.js';
import { Turn } from './turn.js';

const SWEEP = { urgent: false, patienceMs: 5_000 };
const PERSON = { urgent: true, patienceMs: 2_000 };

/** Time stands still but for `later()`. */
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  vi.advanceTimersByTime(100_000);
});
afterEach(() => {
  vi.useRealTimers();
});
const later = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);

function aLine(limits: { perSecond: number; concurrency: number }, pacer = new MemoryPacer()): Line {
  return Object.assign(new Line('shop', pacer), { limits, holdMs: 20_000, maxWindow: 32 });
}

const errorOf = (work: Promise<unknown>): Promise<GatewayError> =>
  work.then(
    () => Promise.reject(new Error('it went on')),
    (error: unknown) => {
      expect(error).toBeInstanceOf(GatewayError);
      return error as GatewayError;
    },
  );

/** Takes slots and uses each at once. @returns the moments, from now on. */
function callers(line: Line, count: number, wish: typeof SWEEP, callMs = 0): number[] {
  const startedAtMs = performance.now();
  const moments: number[] = [];
  for (let caller = 0; caller < count; caller += 1) {
    void (async () => {
      await line.enter(wish);
      const slot = await line.take(wish);
      line.leave();
      await new Promise((resolve) => setTimeout(resolve, slot.beginAtMs - performance.now()));
      moments.push(performance.now() - startedAtMs);
      await new Promise((resolve) => setTimeout(resolve, callMs));
      line.giveBack(slot, 'answered');
    })().catch(() => undefined);
  }
  return moments;
}

describe('a line', () => {
  it('lets calls out evenly, at the rate of the account', async () => {
    const line = aLine({ perSecond: 50, concurrency: 10 });
    const moments = callers(line, 40, SWEEP);
    await later(2_000);
    expect(moments).toHaveLength(40);
    for (const [index, atMs] of moments.entries()) expect(Math.abs(atMs - index * 20)).toBeLessThanOrEqual(3);
  });

  it('lets few in at a time: the others lock nothing while they wait', async () => {
    const line = aLine({ perSecond: 50, concurrency: 10 });
    const inside: number[] = [];
    let now = 0;
    for (let caller = 0; caller < 100; caller += 1) {
      void line
        .enter(SWEEP)
        .then(async () => {
          inside.push((now += 1));
          const slot = await line.take(SWEEP);
          now -= 1;
          line.leave();
          line.giveBack(slot, 'answered');
        })
        .catch(() => undefined);
    }
    await later(1_500);
    expect(inside.length).toBeGreaterThan(70);
    expect(Math.max(...inside)).toBeLessThanOrEqual(8);
    await later(10_000);
  });

  it('takes people first', async () => {
    const line = aLine({ perSecond: 10, concurrency: 10 });
    callers(line, 30, SWEEP);
    await later(500);
    const [personMs] = [callers(line, 1, PERSON)];
    await later(250);
    expect(personMs).toHaveLength(1);
  });

  it('never has more calls under way than the account allows, and goes on the moment one ends', async () => {
    const line = aLine({ perSecond: 1_000, concurrency: 2 });
    const moments = callers(line, 6, SWEEP, 300);
    await later(1_000);
    expect(moments.map((atMs) => Math.floor(atMs / 300))).toEqual([0, 0, 1, 1, 2, 2]);
  });

  it('sends people home when their patience ends, and says when to come again', async () => {
    const line = aLine({ perSecond: 1, concurrency: 10 });
    callers(line, 5, SWEEP);
    await later(10);
    await line.enter(PERSON);
    const first = line.take(PERSON);
    await line.enter(PERSON);
    const error = errorOf(line.take({ ...PERSON, patienceMs: 1_500 }));
    await later(2_000);
    await expect(first).resolves.toMatchObject({ probe: false });
    expect(await error).toMatchObject({ kind: 'rateLimited', code: 'paced', notAsked: true });
    expect((await error).retryAfterMs).toBeGreaterThanOrEqual(1_000);
    await later(10_000);
  });

  it('closes for everybody at once when the gateway does not answer, and opens through one call', async () => {
    const line = aLine({ perSecond: 1_000, concurrency: 20 });
    for (let call = 0; call < 10; call += 1) {
      const slot = line.take(SWEEP);
      await later(10);
      line.giveBack(await slot, 'failed');
    }
    const waiting = errorOf(line.take(SWEEP));
    await later(10);
    expect(await waiting).toMatchObject({ kind: 'unavailable', code: 'circuit_open', notAsked: true });
    expect(await errorOf(line.enter(PERSON))).toMatchObject({ code: 'circuit_open' });
    expect(line.view()).toMatchObject({ suspect: true, held: 0 });

    await later(2_000);
    const [probe, second] = [line.take(SWEEP), errorOf(line.take(SWEEP))];
    await later(10);
    expect(await probe).toMatchObject({ probe: true });
    expect(await second).toMatchObject({ code: 'circuit_open' });
    line.giveBack(await probe, 'answered');
    await later(1_000);
    const again = line.take(SWEEP);
    await later(10);
    expect(await again).toMatchObject({ probe: false });
    expect(line.view()).toMatchObject({ suspect: false });
  });

  it('hands the probe on when the one who had it does not call', async () => {
    const line = aLine({ perSecond: 1_000, concurrency: 20 });
    for (let call = 0; call < 10; call += 1) {
      const slot = line.take(SWEEP);
      await later(10);
      line.giveBack(await slot, 'failed');
    }
    await later(2_100);
    const probe = line.take(SWEEP);
    await later(10);
    line.giveBack(await probe, undefined);
    const next = line.take(SWEEP);
    await later(10);
    expect(await next).toMatchObject({ probe: true });
  });

  it('waits out a short pause after a 429 and sends home who cannot wait', async () => {
    const line = aLine({ perSecond: 100, concurrency: 20 });
    const refused = line.take(SWEEP);
    await later(10);
    line.giveBack(await refused, 'limited', 60_000);
    const hasty = errorOf(line.take({ urgent: true, patienceMs: 300 }));
    const patient = line.take(SWEEP);
    await later(450);
    expect(await hasty).toMatchObject({ code: 'paced' });
    expect(line.view().held).toBe(0);
    await later(100);
    expect(await patient).toMatchObject({ probe: false });
    expect(line.view().perSecond).toBeLessThan(55);
  });
});

describe('a turn', () => {
  it('is good for one call, leaves the line when that begins, and ends once', async () => {
    const line = aLine({ perSecond: 100, concurrency: 2 });
    let ended = 0;
    await line.enter(SWEEP);
    const turn = new Turn(line, SWEEP, () => (ended += 1));
    const begun = turn.begin();
    await later(20);
    await begun;
    await turn.begin();
    expect(line.view()).toMatchObject({ held: 1 });
    turn.over({ kind: 'answered' });
    turn.over({ kind: 'failed' });
    turn.end();
    turn.end();
    expect(line.view()).toMatchObject({ held: 0 });
    expect(line.counters).toMatchObject({ calls: 1, answered: 1, failed: 0 });
    expect(ended).toBe(1);
    await expect(turn.begin()).rejects.toThrow('one call');
  });

  it('that was refused says so as often as it is asked', async () => {
    const refusal = new GatewayError('unavailable', 'left alone', { code: 'circuit_open', notAsked: true });
    const turn = Turn.refused(refusal);
    for (let time = 0; time < 2; time += 1) await expect(turn.begin()).rejects.toBe(refusal);
    turn.over({ kind: 'untold' });
    turn.end();
  });

  it('that is not used gives back what it held', async () => {
    const line = aLine({ perSecond: 100, concurrency: 1 });
    await line.enter(SWEEP);
    const unused = new Turn(line, SWEEP, () => undefined);
    const begun = unused.begin();
    await later(20);
    await begun;
    unused.end();
    const slot: Promise<Slot> = line.take(SWEEP);
    await later(30);
    expect(await slot).toMatchObject({ probe: false });
  });
});
