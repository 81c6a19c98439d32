import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { questions, type Question } from '../../test/support/refund-arbitraries.js';
import { deepFreeze, NOW } from '../../test/support/refund-builders.js';
import { decide, MIN_NOT_FOUND_COUNT, type Decision } from './decide.js';
import { isEnd } from './refund-status.js';

const ask = ({ facts, input, policy }: Question): Decision => decide(facts, input, policy, NOW);

const seed = Date.now();
/** Asked once for all properties: making up a question takes longer than deciding it. */
const asked = fc.sample(questions, { numRuns: 5_000, seed }).map((question) => ({ question, decision: ask(question) }));

/** What is said of an answer must hold for all that were given. */
function always(holds: (decision: Decision, question: Question) => void): void {
  for (const { question, decision } of asked) {
    try {
      holds(decision, question);
    } catch (error) {
      throw new Error(`seed ${seed}: ${JSON.stringify({ decision, question })}`, { cause: error });
    }
  }
}

const observationOf = ({ input }: Question) => (input.kind === 'observation' ? input.observation : undefined);

describe('decide, for any refund, input and policy', () => {
  it('answers the same to the same question and writes to nothing that it is given', () => {
    for (const { question, decision } of asked.slice(0, 500)) {
      const before = structuredClone(question);
      expect(ask(deepFreeze(question))).toEqual(decision);
      // Dates cannot be frozen.
      expect(structuredClone(question)).toEqual(before);
    }
  });

  it('I4: leaves no refund in progress or review without a next look, and plans none in the past', () => {
    always(({ status, nextSyncAt }) => {
      if (!isEnd(status)) expect(nextSyncAt).not.toBeNull();
      if (nextSyncAt !== null) expect(nextSyncAt.getTime()).toBeGreaterThanOrEqual(NOW.getTime());
    });
  });

  it('drops no look that is planned because the gateway could not be asked', () => {
    always(({ nextSyncAt }, { facts: { refund }, input }) => {
      const isEndReached = isEnd(refund.status);
      if (input.kind === 'fault' && isEndReached && refund.status !== 'close' && refund.nextSyncAt !== null)
        expect(nextSyncAt).not.toBeNull();
    });
  });

  it('I2: reserves in progress and success, not in fail and close, and lets a case alone', () => {
    always(({ status, reserved }, { facts: { refund } }) => {
      const byStatus = { progress: true, success: true, fail: false, close: false, review: refund.reserved };
      expect(reserved).toBe(byStatus[status]);
    });
  });

  it('changes a status only where it says so, and says so only then', () => {
    always(({ status, effect }, { facts: { refund } }) => expect(effect === 'changed').toBe(status !== refund.status));
  });

  it('is superseded exactly when the version has moved on', () => {
    always(({ effect, patch, followUp }, { facts: { refund }, input }) => {
      expect(effect === 'superseded').toBe(input.askedAtVersion !== refund.version);
      if (effect !== 'superseded') return;
      // That the create is no longer on its way is true whatever became of the refund.
      const arrived = input.via === 'create' && refund.createState === 'inFlight' ? ['createState'] : [];
      expect([Object.keys(patch), followUp]).toEqual([arrived, 'askAgain']);
    });
  });

  it('ends nothing by an answer that nobody signed, nor by a missing one, but for the first refused send', () => {
    always(({ effect, status }, { facts: { refund }, input }) => {
      if (effect !== 'changed' || !isEnd(status)) return;
      if (input.kind === 'observation') expect(input.observation.authenticated).toBe(true);
      else {
        expect([input.via, status, refund.status]).toEqual(['create', 'fail', 'progress']);
        expect(input.fault).toMatchObject({ kind: 'rejected', nothingHappened: true, notAsked: false });
        expect(refund.createAttempts).toBe(1);
      }
    });
  });

  it('takes no refund out of its end by an answer that nobody signed, unless to a person', () => {
    always(({ effect, status }, question) => {
      if (effect !== 'changed' || !isEnd(question.facts.refund.status)) return;
      if (observationOf(question)?.authenticated !== true) expect(status).toBe('review');
    });
  });

  it('believes in no success but one of this very amount and currency', () => {
    always(({ effect, status }, question) => {
      if (effect !== 'changed' || status !== 'success') return;
      expect(observationOf(question)).toMatchObject({ kind: 'success', amountMinor: 100, currency: 'CNY' });
      const { gatewayRequestNo = 'R1', outTradeNo = 'T1', merchantId } = observationOf(question)?.identity ?? {};
      expect([gatewayRequestNo, outTradeNo]).toEqual(['R1', 'T1']);
      if (question.policy.merchantId !== null) expect(merchantId).toBeOneOf([question.policy.merchantId, undefined]);
      expect(question.facts.gatewayRefundNoTaken).toBe(false);
      expect(question.facts.refund.status).toBe('progress');
    });
  });

  it('never fills in another number than the one that is known', () => {
    always(({ patch }, { facts: { refund } }) => {
      if (refund.gatewayRefundNo !== null)
        expect(patch.gatewayRefundNo ?? refund.gatewayRefundNo).toBe(refund.gatewayRefundNo);
    });
  });

  it('keeps no number that its column does not hold as it stands', () => {
    always(({ patch }) => {
      if (typeof patch.gatewayRefundNo === 'string') expect(patch.gatewayRefundNo).toMatch(/^[\x21-\x7e]{1,64}$/);
    });
  });

  it('believes in no end of another payment', () => {
    always(({ effect, status }, question) => {
      const known = question.facts.gatewayPaymentNo;
      if (effect !== 'changed' || status === 'review' || known === null) return;
      expect(observationOf(question)?.identity.gatewayPaymentNo ?? known).toBe(known);
    });
  });

  it('leaves review to people', () => {
    always(({ status, effect }, { facts: { refund } }) => {
      if (refund.status !== 'review') return;
      expect(status).toBe('review');
      expect(effect).not.toBe('changed');
    });
  });

  it('leaves an end only by a query', () => {
    always(({ effect }, { facts: { refund }, input }) => {
      if (effect === 'changed' && isEnd(refund.status)) expect(input.via).toBe('query');
    });
  });

  it('I6: a callback ends a refund in progress, opens a case for a contradiction, or is a hint to ask now', () => {
    always((decision, { facts: { refund }, input }) => {
      if (input.via !== 'callback' || decision.effect === 'superseded') return;
      if (decision.effect === 'unchanged') {
        expect([decision.patch, decision.nextSyncAt, decision.gatewayStatus]).toEqual([{}, NOW, null]);
      } else {
        expect(refund.status).toBe('progress');
        expect(decision.status).toBeOneOf(['success', 'fail', 'review']);
        expect(input.kind === 'observation' && input.observation.kind).toBeOneOf(['success', 'failed']);
      }
    });
  });

  it('tells merchants of a success only when there is one, and of a case nothing but "in progress"', () => {
    always(({ status, gatewayStatus }) => {
      if (gatewayStatus === 'refund_success') expect(status).toBe('success');
      if (status === 'review') expect(gatewayStatus).toBeOneOf(['refund_progress', null]);
    });
  });

  it('says what the gateway says only when the gateway said something', () => {
    always(({ gatewayStatus, status }, { input }) => {
      if (input.kind === 'observation') return;
      // A refused first send is an answer, too.
      expect(gatewayStatus).toBe(status === 'fail' && input.via === 'create' && gatewayStatus ? 'refund_fail' : null);
    });
  });

  it('I8: repeats a create only where that is safe: ours, outcome unknown, not found, within the gateway’s rule', () => {
    always(({ followUp, status }, question) => {
      if (followUp !== 'replayCreate') return;
      const { refund } = question.facts;
      const { createReplay } = question.policy.gateway;
      expect([status, refund.source]).toEqual(['progress', 'created']);
      expect(refund.createState).toBeOneOf(['unknown', 'inFlight']);
      expect(observationOf(question)?.kind).toBe('notFound');
      // What was never sent may be sent for the first time at any time.
      if (refund.createAttempts === 0) return;
      expect(createReplay.mode).not.toBe('never');
      if (createReplay.mode === 'ttl')
        expect(NOW.getTime() - refund.createdAt.getTime()).toBeLessThan(createReplay.ttlMs);
    });
  });

  it('closes only by policy, by a signed and unmistakable "not found", after the grace and often enough', () => {
    always(({ effect, status }, question) => {
      if (effect !== 'changed' || status !== 'close') return;
      const { facts, policy } = question;
      expect(observationOf(question)).toMatchObject({ kind: 'notFound', authenticated: true });
      expect([policy.notFoundPolicy, policy.gateway.notFoundIsDistinguishable]).toEqual(['close', true]);
      expect(facts.refund.notFoundCount + 1).toBeGreaterThanOrEqual(MIN_NOT_FOUND_COUNT);
      const sentAt = facts.refund.lastCreateAt ?? facts.refund.createdAt;
      expect(NOW.getTime() - sentAt.getTime()).toBeGreaterThanOrEqual(policy.notFoundGraceMs);
    });
  });

  it('asks a person when asking went on for too long and this answer was no end', () => {
    always(({ effect, status }, { facts: { refund }, input, policy }) => {
      const since = Math.max(refund.registeredAt.getTime(), refund.statusChangedAt.getTime());
      const isOver = NOW.getTime() - since >= policy.giveUpMs;
      const isAnswer =
        effect !== 'superseded' && input.via === 'query' && !(input.kind === 'fault' && input.fault.notAsked);
      if (isAnswer && isOver && refund.status === 'progress') expect(status).not.toBe('progress');
    });
  });

  it('never waits less than a gateway asked for', () => {
    always(({ effect, nextSyncAt }, { input }) => {
      if (effect !== 'unchanged' || input.kind !== 'fault' || nextSyncAt === null) return;
      expect(nextSyncAt.getTime() - NOW.getTime()).toBeGreaterThanOrEqual(input.fault.retryAfterMs ?? 0);
    });
  });

  it('writes no text that its column cannot hold', () => {
    always(({ explanation, patch }) => {
      expect(explanation.length).toBeLessThanOrEqual(500);
      expect(patch.errorCode?.length ?? 0).toBeLessThanOrEqual(64);
      expect(patch.errorMsg?.length ?? 0).toBeLessThanOrEqual(500);
      expect(patch.reviewReason?.length ?? 0).toBeLessThanOrEqual(500);
    });
  });

  // Guards the properties above: of what never comes up, anything can be said.
  it('is asked every kind of question here', () => {
    const seen = new Set<string>();
    for (const question of fc.sample(questions, { numRuns: 5_000, seed: 1 })) {
      const { effect, status, followUp } = ask(question);
      const { refund } = question.facts;
      seen.add(effect === 'changed' ? `${refund.status}→${status}` : `${refund.status} ${effect} ${followUp}`);
      if (effect === 'changed' && question.input.kind === 'fault') seen.add(`fault→${status}`);
      if (effect === 'changed' && question.input.via === 'callback') seen.add(`callback→${status}`);
    }
    expect([...seen]).toEqual(
      expect.arrayContaining([
        ...['success', 'fail', 'close', 'review'].map((status) => `progress→${status}`),
        ...['fail', 'review'].map((status) => `success→${status}`),
        ...['progress', 'review'].flatMap((status) => [`fail→${status}`, `close→${status}`]),
        ...['progress unchanged replayCreate', 'review unchanged none', 'close superseded askAgain'],
        ...['fault→fail', 'fault→review', 'callback→success', 'callback→fail', 'callback→review'],
      ]),
    );
  });
});
