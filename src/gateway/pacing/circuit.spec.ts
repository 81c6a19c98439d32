import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  afterAnswer,
  afterFailure,
  afterUnusedProbe,
  callsAtOnce,
  CIRCUIT_RULES,
  CLOSED,
  gateOf,
  sane,
  type Circuit,
} from './circuit.js';

const { FAILURES, FIRST_OPEN_MS, MAX_OPEN_MS, WINDOW_MS } = CIRCUIT_RULES;
const NOW = 1_700_000_000_000;

function failing(times: number, circuit: Circuit = CLOSED, nowMs = NOW): Circuit {
  let after = circuit;
  for (let failure = 0; failure < times; failure += 1) after = afterFailure(after, false, nowMs);
  return after;
}

const opened = failing(FAILURES);

describe('a circuit', () => {
  it('opens after so many failures in a row, and not before', () => {
    expect(gateOf(failing(FAILURES - 1), NOW)).toEqual({ state: 'closed' });
    expect(gateOf(opened, NOW)).toEqual({ state: 'open', retryAfterMs: FIRST_OPEN_MS });
  });

  it('counts anew after every answer, and when the failures are far apart', () => {
    expect(failing(FAILURES - 1, afterAnswer(failing(FAILURES - 1), false))).toMatchObject({ openUntilMs: 0 });
    expect(failing(FAILURES - 1, failing(FAILURES - 1), NOW + WINDOW_MS)).toMatchObject({ openUntilMs: 0 });
  });

  it('lets out only as many calls as it takes to be sure, once it has a suspicion', () => {
    expect(callsAtOnce(CLOSED, NOW)).toBe(Infinity);
    expect(callsAtOnce(failing(2), NOW)).toBe(Infinity);
    expect(callsAtOnce(failing(3), NOW)).toBe(FAILURES - 3);
    expect(callsAtOnce(failing(FAILURES - 1), NOW)).toBe(1);
    expect(callsAtOnce(failing(FAILURES - 1), NOW + WINDOW_MS)).toBe(Infinity);
    expect(callsAtOnce(afterAnswer(failing(FAILURES - 1), false), NOW)).toBe(Infinity);
  });

  it('is not kept open by what was under way when it opened, nor closed by it', () => {
    expect(afterFailure(opened, false, NOW + 500)).toEqual(opened);
    expect(afterAnswer(opened, false)).toEqual(opened);
  });

  it('then lets one call at a time find out', () => {
    const laterMs = NOW + FIRST_OPEN_MS;
    expect(gateOf(opened, laterMs)).toEqual({ state: 'probe' });
    const probing = { ...opened, probeUntilMs: laterMs + 5_000 };
    expect(gateOf(probing, laterMs + 10)).toMatchObject({ state: 'open' });
    // Its process was killed.
    expect(gateOf(probing, laterMs + 5_000)).toEqual({ state: 'probe' });
    expect(gateOf(afterUnusedProbe(probing), laterMs + 10)).toEqual({ state: 'probe' });
    expect(afterAnswer(probing, true)).toEqual(CLOSED);
  });

  it('stays open twice as long after each probe that fails, to a limit', () => {
    let circuit = opened;
    const pauses: number[] = [];
    for (let probe = 0; probe < 8; probe += 1) {
      const nowMs = circuit.openUntilMs;
      circuit = afterFailure({ ...circuit, probeUntilMs: nowMs + 5_000 }, true, nowMs);
      pauses.push(circuit.openUntilMs - nowMs);
    }
    expect(pauses).toEqual([4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000, 60_000]);
    // The next time it begins anew.
    expect(failing(FAILURES, afterAnswer(circuit, true)).openUntilMs).toBe(NOW + FIRST_OPEN_MS);
  });

  it('never lets two probes out, and always one in the end', () => {
    const events = fc.array(fc.constantFrom('ask', 'answer', 'failure', 'unused', 'lost', 'wait'), { maxLength: 200 });
    fc.assert(
      fc.property(events, (sequence) => {
        let circuit = opened;
        let nowMs = NOW;
        let probes = 0;
        for (const event of sequence) {
          nowMs += 700;
          if (circuit.probeUntilMs <= nowMs) probes = 0;
          if (event === 'ask' && gateOf(circuit, nowMs).state === 'probe') {
            probes += 1;
            circuit = { ...circuit, probeUntilMs: nowMs + 5_000 };
          }
          expect(probes).toBeLessThanOrEqual(1);
          if (probes === 1 && event === 'failure') [circuit, probes] = [afterFailure(circuit, true, nowMs), 0];
          if (probes === 1 && event === 'unused') [circuit, probes] = [afterUnusedProbe(circuit), 0];
          if (probes === 1 && event === 'answer') {
            [circuit, probes] = [afterAnswer(circuit, true), 0];
            expect(gateOf(circuit, nowMs)).toEqual({ state: 'closed' });
            circuit = failing(FAILURES, circuit, nowMs);
          }
        }
        expect(gateOf(circuit, nowMs + MAX_OPEN_MS + 5_000).state).not.toBe('open');
      }),
    );
  });

  it('does not stay open by a clock that was set back', () => {
    expect(gateOf(sane(opened, NOW - 3_600_000), NOW - 3_600_000)).toEqual({ state: 'probe' });
    expect(sane(opened, NOW)).toEqual(opened);
  });
});
