import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { questions } from '../../test/support/refund-arbitraries.js';
import {
  ago,
  aGatewayPolicy,
  ahead,
  aLostCreate,
  AMOUNT,
  aPolicy,
  aRefundIn,
  deepFreeze,
  NOW,
} from '../../test/support/refund-builders.js';
import { OBSERVATION_KINDS } from '../gateway/observation.js';
import { DAY_MS, HOUR_MS, MINUTE_MS } from '../shared/clock.js';
import type { DecisionPolicy } from './decide.js';
import {
  decideCommand,
  FRESH_EVIDENCE_MS,
  OPERATOR_COMMANDS,
  type CommandVerdict,
  type OperatorCommand,
} from './decide-command.js';
import type { Evidence, Refund } from './refund.entity.js';
import { isEnd, REFUND_STATUSES, type RefundStatus } from './refund-status.js';

const EVIDENCE = [...OBSERVATION_KINDS, 'none'] as const;
type EvidenceKind = (typeof EVIDENCE)[number];
const BEFORE = ['progress', 'success', 'fail', 'close'] as const;
const CREATE_STATES = ['none', 'unknown', 'inFlight', 'acknowledged', 'refused'] as const;

/** Two minutes old, signed, an answer to a query. */
function evidence(kind: EvidenceKind, changes: Partial<Evidence> = {}): Evidence | null {
  if (kind === 'none') return null;
  const seenAt = ago(2 * MINUTE_MS).toISOString();
  return { kind, via: 'query', authenticated: true, seenAt, code: 'CODE', message: 'the text', ...changes };
}

function aCase(changes: Partial<Refund> = {}): Refund {
  return aRefundIn('review', { lastEvidence: evidence('notFound'), ...changes });
}

function aLostCase(changes: Partial<Refund> = {}): Refund {
  return aLostCreate({
    status: 'review',
    statusBeforeReview: 'progress',
    reviewCode: 'gaveUp',
    lastEvidence: evidence('notFound'),
    ...changes,
  });
}

interface Circumstances {
  balance?: number;
  policy?: DecisionPolicy;
  expectedVersion?: number;
}

function command(name: OperatorCommand, refund: Refund, circumstances: Circumstances = {}): CommandVerdict {
  const { balance = 900, policy = aPolicy(), expectedVersion = refund.version } = circumstances;
  const input = { kind: 'command' as const, command: name, expectedVersion, note: 'as the bank says' };
  return decideCommand(deepFreeze({ refund, refundableBalance: balance }), input, policy, NOW);
}

function allowed(verdict: CommandVerdict) {
  if (!verdict.allowed) throw new Error(`refused: ${verdict.code} ${verdict.why}`);
  return verdict;
}

const codeOf = (verdict: CommandVerdict): string => (verdict.allowed ? 'allowed' : verdict.code);

const redrivable = aPolicy({ offersRedrive: true });
const repeatable = aPolicy({}, { createReplay: { mode: 'forever' } });

/** Where the refund was made by the merchant, so that no create of ours is open. */
const TABLE: Record<OperatorCommand, (before: RefundStatus, said: EvidenceKind, reserved: boolean) => string> = {
  acceptSuccess: (before, said) =>
    before === 'success' || said === 'success' || said === 'abnormal' || said === 'none'
      ? 'allowed'
      : 'gatewaySaysOtherwise',
  acceptFailure: (_before, said) => WITHOUT_MONEY[said],
  close: (_before, said) => WITHOUT_MONEY[said],
  keepWaiting: () => 'allowed',
  sendAgain: () => 'notOffered',
  redrive: (_before, said) => (said === 'abnormal' ? 'allowed' : said === 'none' ? 'askFirst' : 'gatewaySaysOtherwise'),
  reopen: () => 'isACase',
};
const WITHOUT_MONEY: Record<EvidenceKind, string> = {
  success: 'gatewaySaysOtherwise',
  processing: 'gatewaySaysOtherwise',
  abnormal: 'gatewaySaysOtherwise',
  failed: 'allowed',
  notFound: 'allowed',
  none: 'askFirst',
};
const AFTER: Record<OperatorCommand, RefundStatus> = {
  acceptSuccess: 'success',
  acceptFailure: 'fail',
  close: 'close',
  keepWaiting: 'review',
  sendAgain: 'progress',
  redrive: 'progress',
  reopen: 'review',
};

describe('a command on a case', () => {
  const cells = OPERATOR_COMMANDS.flatMap((name) =>
    BEFORE.flatMap((before) =>
      EVIDENCE.flatMap((said) => [true, false].map((reserved) => ({ name, before, said, reserved }))),
    ),
  );

  it.each(cells)('$name × $before × $said × reserved $reserved', ({ name, before, said, reserved }) => {
    const refund = aCase({
      statusBeforeReview: before,
      lastEvidence: evidence(said),
      reserved,
      gatewayRefundNo: 'G1',
    });
    const verdict = command(name, refund, { policy: redrivable });
    expect(codeOf(verdict)).toBe(TABLE[name](before, said, reserved));
    if (!verdict.allowed) {
      expect(verdict.why.length).toBeGreaterThan(10);
      return;
    }
    const { decision } = verdict;
    expect(decision.status).toBe(AFTER[name]);
    expect(decision.effect).toBe(name === 'keepWaiting' ? 'unchanged' : 'changed');
    expect(decision.reserved).toBe(
      { success: true, progress: true, fail: false, close: false, review: reserved }[decision.status],
    );
    expect(decision.overRefund ?? 0).toBe(0);
    expect(decision.gatewayStatus).toBeNull();
    expect(decision.explanation).toContain('as the bank says');
    if (!isEnd(decision.status)) expect(decision.nextSyncAt).not.toBeNull();
    if (decision.status !== 'review')
      expect(decision.patch).toMatchObject({ reviewCode: null, reviewReason: null, reviewOwner: null });
  });

  it.each(CREATE_STATES)('that returns the amount, while our create is %s', (createState) => {
    for (const name of ['acceptFailure', 'close'] as const)
      for (const said of EVIDENCE) {
        const open = createState === 'unknown' || createState === 'inFlight';
        const verdict = command(name, aLostCase({ createState, lastEvidence: evidence(said) }));
        expect(codeOf(verdict), `${name} ${said}`).toBe(open ? 'createUnknown' : WITHOUT_MONEY[said]);
      }
  });

  it.each(['acceptFailure', 'close', 'redrive'] as const)(
    '%s wants a fresh and genuine answer to a question',
    (name) => {
      const kind = name === 'redrive' ? 'abnormal' : 'failed';
      const given = (changes: Partial<Evidence>) =>
        codeOf(
          command(name, aCase({ lastEvidence: evidence(kind, changes), gatewayRefundNo: 'G1' }), {
            policy: redrivable,
          }),
        );
      expect(given({})).toBe('allowed');
      expect(given({ seenAt: ago(FRESH_EVIDENCE_MS).toISOString() })).toBe('allowed');
      expect(given({ seenAt: ago(FRESH_EVIDENCE_MS + 1).toISOString() })).toBe('askFirst');
      expect(given({ seenAt: 'never' })).toBe('askFirst');
      for (const via of ['callback', 'create', 'redrive'] as const) expect(given({ via })).toBe('askFirst');
      expect(given({ authenticated: false })).toBe('notBelieved');
      expect(given({ contradiction: 'the gateway answered for refund number R2' })).toBe('notBelieved');
    },
  );

  it('is refused once the refund has changed, whatever it says', () => {
    for (const name of OPERATOR_COMMANDS)
      expect(codeOf(command(name, aCase(), { expectedVersion: 2 }))).toBe('changed');
  });

  it.each(REFUND_STATUSES)(
    'is refused for a refund in %s that is no case, and a reopening for one that is no end',
    (status) => {
      for (const name of OPERATOR_COMMANDS) {
        const code = codeOf(command(name, aRefundIn(status, { lastEvidence: evidence('failed') })));
        if (name === 'reopen') expect(code).toBe(isEnd(status) ? 'allowed' : 'isACase');
        else if (status !== 'review') expect(code).toBe('notACase');
      }
    },
  );
});

describe('accepting a success', () => {
  it.each([
    [100, 0],
    [99, 1],
    [40, 60],
    [0, 100],
  ])('takes the amount from a balance of %i and over-refunds the payment by %i', (balance, overRefund) => {
    const refund = aCase({ reserved: false, statusBeforeReview: 'close', lastEvidence: evidence('success') });
    const { decision, warnings } = allowed(command('acceptSuccess', refund, { balance }));
    expect(decision).toMatchObject({ status: 'success', reserved: true, overRefund });
    expect(warnings.some((text) => text.includes('over-refunded'))).toBe(overRefund > 0);
  });

  it('takes nothing more for an amount that is reserved, however little is left for others', () => {
    const refund = aCase({ lastEvidence: evidence('success') });
    expect(allowed(command('acceptSuccess', refund, { balance: 0 })).decision.overRefund).toBe(0);
  });

  it('takes the time that the gateway said, and not from an answer about something else', () => {
    const finishedAt = ago(DAY_MS).toISOString();
    const time = (changes: Partial<Evidence>) =>
      allowed(command('acceptSuccess', aCase({ lastEvidence: evidence('success', { finishedAt, ...changes }) })))
        .decision.patch.refundTime;
    expect(time({})).toEqual(ago(DAY_MS));
    expect(time({ contradiction: 'another amount' })).toEqual(NOW);
    expect(time({ finishedAt: null })).toEqual(NOW);
  });

  it('warns of everything that speaks against it', () => {
    const warnings = (changes: Partial<Evidence>, before: RefundStatus = 'progress') =>
      allowed(
        command(
          'acceptSuccess',
          aCase({ statusBeforeReview: before, lastEvidence: evidence(changes.kind ?? 'success', changes) }),
        ),
      ).warnings.join();
    expect(warnings({})).toBe('');
    expect(warnings({ contradiction: 'the gateway refunded 99 CNY' })).toContain('the gateway refunded 99 CNY');
    expect(warnings({ authenticated: false })).toContain('not signed');
    expect(warnings({ kind: 'abnormal' })).toContain('did not arrive');
    expect(warnings({ kind: 'notFound' }, 'success')).toContain('otherwise now');
    expect(allowed(command('acceptSuccess', aCase({ lastEvidence: null }))).warnings.join()).toContain(
      'never answered',
    );
  });

  it('is looked at afterwards where an end is not always the end', () => {
    const policy = aPolicy({}, { verifyAfterEnd: { scheduleMs: [HOUR_MS], forMs: 30 * DAY_MS } });
    const refund = aCase({ lastEvidence: evidence('success') });
    expect(allowed(command('acceptSuccess', refund)).decision.nextSyncAt).toBeNull();
    expect(allowed(command('acceptSuccess', refund, { policy })).decision.nextSyncAt).toEqual(ahead(HOUR_MS));
  });
});

describe('returning the amount', () => {
  it('keeps what the gateway said as the error that merchants read', () => {
    const failed = aCase({ lastEvidence: evidence('failed') });
    expect(allowed(command('acceptFailure', failed)).decision.patch).toMatchObject({
      errorCode: 'CODE',
      errorMsg: 'the text',
      refundTime: null,
    });
    expect(allowed(command('close', aCase())).decision.patch.errorMsg).toContain('does not have this refund');
  });

  it('by closing goes on looking, since the gateway has not said that it is over', () => {
    expect(allowed(command('close', aCase())).decision.nextSyncAt).toEqual(ahead(DAY_MS));
    expect(allowed(command('acceptFailure', aCase())).decision.nextSyncAt).toEqual(ahead(DAY_MS));
    const failed = aCase({ lastEvidence: evidence('failed') });
    expect(allowed(command('acceptFailure', failed)).decision.nextSyncAt).toBeNull();
  });

  it('warns where "not found" can mean something else, and where the other command says it better', () => {
    const vague = aPolicy({}, aGatewayPolicy({ notFoundIsDistinguishable: false }));
    expect(allowed(command('close', aCase())).warnings).toEqual([]);
    expect(allowed(command('close', aCase(), { policy: vague })).warnings.join()).toContain('not come to it yet');
    expect(allowed(command('acceptFailure', aCase())).warnings.join()).toContain('close');
    expect(allowed(command('close', aCase({ lastEvidence: evidence('failed') }))).warnings.join()).toContain('failed');
  });
});

describe('sending again', () => {
  const again = (refund: Refund, policy = repeatable) => codeOf(command('sendAgain', refund, { policy }));

  it('is back in progress and due at once, for the one path that sends creates', () => {
    const { decision } = allowed(command('sendAgain', aLostCase({ notFoundCount: 9 }), { policy: repeatable }));
    expect(decision).toMatchObject({ status: 'progress', reserved: true, nextSyncAt: NOW, followUp: 'none' });
    // The grace begins anew: else the very next look would make it a case again.
    expect(decision.patch).toMatchObject({ notFoundCount: 0, notFoundSince: null });
    expect(decision.patch).not.toHaveProperty('createState');
  });

  it('goes by the rule of the gateway', () => {
    const ttl = aPolicy({}, { createReplay: { mode: 'ttl', ttlMs: 2 * HOUR_MS } });
    const never = aPolicy({}, { createReplay: { mode: 'never' } });
    expect(again(aLostCase({ createdAt: ago(400 * DAY_MS) }))).toBe('allowed');
    expect(again(aLostCase({ createdAt: ago(2 * HOUR_MS - 1) }), ttl)).toBe('allowed');
    expect(again(aLostCase({ createdAt: ago(2 * HOUR_MS) }), ttl)).toBe('notOffered');
    expect(again(aLostCase(), never)).toBe('notOffered');
    // Announced and never sent: then it is the first send.
    expect(again(aLostCase({ createAttempts: 0 }), never)).toBe('allowed');
  });

  it('is for what may be lost alone', () => {
    for (const createState of CREATE_STATES)
      expect(again(aLostCase({ createState })), createState).toBe(
        createState === 'unknown' || createState === 'inFlight' ? 'allowed' : 'notOffered',
      );
    expect(again(aLostCase({ source: 'registered' }))).toBe('notOffered');
    expect(again(aLostCase({ createPayload: null }))).toBe('notOffered');
    for (const statusBeforeReview of ['success', 'fail', 'close'] as const)
      expect(again(aLostCase({ statusBeforeReview }))).toBe('notOffered');
    expect(again(aLostCase({ reserved: false }))).toBe('notOffered');
  });

  it('wants the gateway to have said just now that it has no such refund', () => {
    for (const kind of OBSERVATION_KINDS)
      expect(again(aLostCase({ lastEvidence: evidence(kind) })), kind).toBe(
        kind === 'notFound' ? 'allowed' : 'gatewaySaysOtherwise',
      );
    expect(again(aLostCase({ lastEvidence: null }))).toBe('askFirst');
    expect(again(aLostCase({ lastEvidence: evidence('notFound', { seenAt: ago(HOUR_MS).toISOString() }) }))).toBe(
      'askFirst',
    );
  });
});

describe('re-driving', () => {
  const abnormal = (changes: Partial<Refund> = {}) =>
    aCase({ lastEvidence: evidence('abnormal'), gatewayRefundNo: 'G1', ...changes });

  it('is there only where the connector offers it, and the gateway can be told which refund is meant', () => {
    expect(codeOf(command('redrive', abnormal(), { policy: redrivable }))).toBe('allowed');
    expect(codeOf(command('redrive', abnormal()))).toBe('notOffered');
    expect(codeOf(command('redrive', abnormal({ gatewayRefundNo: null }), { policy: redrivable }))).toBe('notOffered');
  });

  it('reserves an amount that was given back, if it is still there', () => {
    const ended = abnormal({ reserved: false, statusBeforeReview: 'fail' });
    const verdict = command('redrive', ended, { policy: redrivable, balance: AMOUNT });
    expect(allowed(verdict).decision).toMatchObject({ status: 'progress', reserved: true });
    expect(codeOf(command('redrive', ended, { policy: redrivable, balance: AMOUNT - 1 }))).toBe('balanceSpent');
  });
});

describe('reopening', () => {
  it.each(['success', 'fail', 'close'] as const)('makes %s a case again, in which nothing has moved yet', (status) => {
    const refund = aRefundIn(status);
    const { decision } = allowed(command('reopen', refund));
    expect(decision).toMatchObject({
      effect: 'changed',
      status: 'review',
      reserved: refund.reserved,
      nextSyncAt: NOW,
      patch: { statusBeforeReview: status, reviewCode: 'reopened', reviewOwner: null },
    });
  });

  it('is not for a channel that nobody can ask', () => {
    expect(codeOf(command('reopen', aRefundIn('success', { gatewayAccountId: null, channel: 'cash_pay' })))).toBe(
      'notOffered',
    );
  });
});

describe('any command on any refund', () => {
  const evidences = fc.record({
    kind: fc.constantFrom(...EVIDENCE),
    via: fc.constantFrom(
      'query' as const,
      'query' as const,
      'create' as const,
      'redrive' as const,
      'callback' as const,
    ),
    authenticated: fc.constantFrom(true, true, false),
    ageMs: fc.constantFrom(0, MINUTE_MS, FRESH_EVIDENCE_MS, FRESH_EVIDENCE_MS + 1, DAY_MS),
    contradiction: fc.constantFrom(undefined, undefined, 'another number'),
  });
  const fresh = fc.record({
    kind: fc.constantFrom('notFound' as const, 'failed' as const, 'abnormal' as const),
    via: fc.constant('query' as const),
    authenticated: fc.constant(true),
    ageMs: fc.constant(0),
    contradiction: fc.constant(undefined),
  });
  const asked = fc
    .record({
      question: questions,
      said: fc.oneof(evidences, fresh),
      before: fc.constantFrom('progress' as const, 'progress' as const, ...BEFORE),
      isCase: fc.constantFrom(true, true, true, false),
      payload: fc.constantFrom('{}', '{}', null),
      name: fc.constantFrom(...OPERATOR_COMMANDS),
      offersRedrive: fc.boolean(),
      versionsAgo: fc.constantFrom(0, 0, 0, 1),
    })
    .map(({ question, said, before, isCase, payload, name, offersRedrive, versionsAgo }) => {
      const { kind, ageMs, contradiction, ...rest } = said;
      const more = contradiction === undefined ? {} : { contradiction };
      const lastEvidence = evidence(kind, { ...rest, ...more, seenAt: ago(ageMs).toISOString() });
      const changes = { lastEvidence, statusBeforeReview: before, createPayload: payload };
      const refund = { ...question.facts.refund, ...changes, ...(isCase ? { status: 'review' as const } : {}) };
      return {
        refund,
        refundableBalance: question.facts.refundableBalance,
        policy: { ...question.policy, offersRedrive },
        input: {
          kind: 'command' as const,
          command: name,
          note: 'n'.repeat(300),
          expectedVersion: refund.version - versionsAgo,
        },
      };
    });

  it('has one verdict, which keeps what must always hold', () => {
    const seen = new Set<string>();
    fc.assert(
      fc.property(asked, ({ refund, refundableBalance, policy, input }) => {
        const facts = deepFreeze({ refund, refundableBalance });
        const verdict = decideCommand(facts, input, policy, NOW);
        expect(decideCommand(facts, input, policy, NOW)).toEqual(verdict);
        seen.add(`${input.command} ${verdict.allowed}`);
        if (!verdict.allowed) return;
        const { decision } = verdict;
        expect(input.expectedVersion).toBe(refund.version);
        expect(decision.effect === 'changed').toBe(decision.status !== refund.status);
        // I2: reserved in progress and success, not in fail and close, and a case is left alone.
        const reserved = { progress: true, success: true, fail: false, close: false, review: refund.reserved };
        expect(decision.reserved).toBe(reserved[decision.status]);
        const missing = decision.reserved && !refund.reserved ? Math.max(0, refund.amount - refundableBalance) : 0;
        expect(decision.overRefund ?? 0).toBe(missing);
        if (missing > 0) expect(input.command).toBe('acceptSuccess');
        // I4
        if (!isEnd(decision.status)) expect(decision.nextSyncAt).not.toBeNull();
        if (decision.nextSyncAt !== null) expect(decision.nextSyncAt.getTime()).toBeGreaterThanOrEqual(NOW.getTime());
        expect(decision.explanation.length).toBeLessThanOrEqual(500);
        // I8, and no amount back on less than a fresh and genuine word.
        const open = refund.source === 'created' && ['unknown', 'inFlight'].includes(refund.createState);
        if (isEnd(decision.status) && decision.status !== 'success') {
          expect(open).toBe(false);
          expect(refund.lastEvidence).toMatchObject({ via: 'query', authenticated: true });
          expect(refund.lastEvidence?.kind).toBeOneOf(['failed', 'notFound']);
          expect(refund.lastEvidence?.contradiction).toBeUndefined();
          expect(NOW.getTime() - Date.parse(refund.lastEvidence?.seenAt ?? '')).toBeLessThanOrEqual(FRESH_EVIDENCE_MS);
        }
        if (input.command === 'sendAgain') {
          expect([open, refund.reserved, refund.lastEvidence?.kind]).toEqual([true, true, 'notFound']);
          if (refund.createAttempts > 0) expect(policy.gateway.createReplay.mode).not.toBe('never');
        }
      }),
      { numRuns: 20_000, seed: 7 },
    );
    // Of what never comes up, anything can be said.
    for (const name of OPERATOR_COMMANDS)
      expect([...seen]).toEqual(expect.arrayContaining([`${name} true`, `${name} false`]));
  });
});
