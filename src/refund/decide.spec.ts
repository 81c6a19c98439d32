import { describe, expect, it } from 'vitest';
import {
  aFault,
  aFirstSend,
  ago,
  ahead,
  aLostCreate,
  AMOUNT,
  answered,
  aPolicy,
  aRefund,
  aRefundIn,
  factsOf,
  faulted,
  MERCHANT_ID,
  NOW,
  said,
  saidThat,
  type Via,
} from '../../test/support/refund-builders.js';
import { GATEWAY_ERROR_KINDS, type GatewayErrorKind } from '../gateway/gateway.error.js';
import type { CreateReplay, GatewayPolicy } from '../gateway/gateway.port.js';
import {
  OBSERVATION_KINDS,
  type EchoedIdentity,
  type Observation,
  type ObservationKind,
} from '../gateway/observation.js';
import { addMs, DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS } from '../shared/clock.js';
import {
  decide,
  isVisibleChange,
  mayRepeatCreate,
  MIN_NOT_FOUND_COUNT,
  type DecisionPolicy,
  type GatewayFault,
  type RefundFacts,
} from './decide.js';
import { REFUND_STATUSES, type RefundStatus } from './refund-status.js';
import type { Refund } from './refund.entity.js';
import type { GatewayStatus } from './sync-record.entity.js';

/** Decides about one answer, at NOW. */
function hears(
  refund: Refund,
  observation: Observation,
  {
    via = 'query',
    policy = aPolicy(),
    facts = {},
  }: { via?: Via; policy?: DecisionPolicy; facts?: Partial<RefundFacts> } = {},
) {
  return decide(factsOf(refund, facts), answered(refund, observation, via), policy, NOW);
}

const VIAS: readonly Via[] = ['query', 'callback', 'create', 'redrive'];

/** With the schedule of aPolicy() a refund of an hour is looked at every ten minutes. */
const BY_SCHEDULE = ahead(10 * MINUTE_MS);
const DAILY = ahead(DAY_MS);

describe('every status × observation × way in', () => {
  interface Cell {
    status: RefundStatus;
    /** Null where the answer is taken as a hint, and nothing else. */
    gatewayStatus: GatewayStatus | null;
    nextSyncAt: Date | null;
  }
  const ends = (status: RefundStatus, gatewayStatus: GatewayStatus): Cell => ({
    status,
    gatewayStatus,
    nextSyncAt: null,
  });
  const closed = (gatewayStatus: GatewayStatus): Cell => ({ status: 'close', gatewayStatus, nextSyncAt: DAILY });
  const runs = (gatewayStatus: GatewayStatus): Cell => ({ status: 'progress', gatewayStatus, nextSyncAt: BY_SCHEDULE });
  const aCase: Cell = { status: 'review', gatewayStatus: 'refund_progress', nextSyncAt: DAILY };
  const askNow = (status: RefundStatus): Cell => ({ status, gatewayStatus: null, nextSyncAt: NOW });

  /** Architecture §2, written down once more by hand: the table in the code is not asked. */
  const BY_QUERY: Record<RefundStatus, Record<ObservationKind, Cell>> = {
    progress: {
      success: ends('success', 'refund_success'),
      failed: ends('fail', 'refund_fail'),
      processing: runs('refund_progress'),
      notFound: runs('pay_not_found'),
      abnormal: aCase,
    },
    success: {
      success: ends('success', 'refund_success'),
      failed: aCase,
      processing: ends('success', 'refund_progress'),
      notFound: aCase,
      abnormal: aCase,
    },
    fail: {
      success: aCase,
      failed: ends('fail', 'refund_fail'),
      processing: runs('refund_progress'),
      notFound: ends('fail', 'pay_not_found'),
      abnormal: aCase,
    },
    close: {
      success: aCase,
      failed: closed('refund_fail'),
      processing: runs('refund_progress'),
      notFound: closed('pay_not_found'),
      abnormal: aCase,
    },
    review: { success: aCase, failed: aCase, processing: aCase, notFound: aCase, abnormal: aCase },
  };

  function expectedCell(status: RefundStatus, kind: ObservationKind, via: Via): Cell {
    switch (via) {
      case 'query':
        return BY_QUERY[status][kind];
      case 'callback':
        return status === 'progress' && (kind === 'success' || kind === 'failed')
          ? BY_QUERY.progress[kind]
          : askNow(status);
      case 'create':
      case 'redrive':
        // Nobody was looking for a refund: it is as open as before.
        if (via === 'create' && status === 'progress' && kind === 'notFound')
          return { ...BY_QUERY.progress.notFound, gatewayStatus: null };
        return status === 'progress' || status === 'review' ? BY_QUERY[status][kind] : askNow(status);
    }
  }

  const reservedIn: Record<RefundStatus, boolean> = {
    progress: true,
    success: true,
    fail: false,
    close: false,
    review: true,
  };

  const cells = REFUND_STATUSES.flatMap((status) =>
    OBSERVATION_KINDS.flatMap((kind) => VIAS.map((via) => ({ status, kind, via }))),
  );

  it.each(cells)('$status × $kind by $via', ({ status, kind, via }) => {
    const expected = expectedCell(status, kind, via);
    const before = aRefundIn(status);

    const decision = hears(before, saidThat(kind), { via });

    expect(decision).toMatchObject({
      effect: expected.status === status ? 'unchanged' : 'changed',
      status: expected.status,
      gatewayStatus: expected.gatewayStatus,
      nextSyncAt: expected.nextSyncAt,
      // A case moves no money: what was reserved before it stays so.
      reserved: expected.status === 'review' ? before.reserved : reservedIn[expected.status],
      followUp: 'none',
    });
    // A hint is kept in the inbox, not as evidence: an operator closes a case by what a query said.
    const isHint = expected.gatewayStatus === null && !(via === 'create' && status === 'progress');
    if (isHint) expect(decision.patch).toEqual({});
    else expect(decision.patch.lastEvidence).toMatchObject({ kind, authenticated: true, seenAt: NOW.toISOString() });
    if (expected.status === 'review' && status !== 'review') {
      expect(decision.patch.statusBeforeReview).toBe(status);
      expect(decision.explanation).toContain(decision.patch.reviewReason);
    }
  });
});

describe('an end', () => {
  it('by success knows when the money came and under which number, and forgets earlier troubles', () => {
    const refund = aRefund({ errorCode: 'OLD', errorMsg: 'old', notFoundSince: ago(MINUTE_MS), notFoundCount: 2 });
    expect(hears(refund, said.success({ finishedAt: ago(5 * MINUTE_MS), gatewayRefundNo: 'G7' })).patch).toMatchObject({
      refundTime: ago(5 * MINUTE_MS),
      gatewayRefundNo: 'G7',
      errorCode: null,
      errorMsg: null,
      notFoundSince: null,
      notFoundCount: 0,
    });
  });

  it('by success without a time of its own gets the time of the decision', () => {
    expect(hears(aRefund(), said.success({ finishedAt: null })).patch.refundTime).toEqual(NOW);
  });

  it('by failure keeps the gateway’s words, cut to what the row can hold', () => {
    const { patch, explanation } = hears(
      aRefund({ refundTime: ago(MINUTE_MS) }),
      said.failed({ code: 'C'.repeat(900), message: 'm'.repeat(900) }),
    );
    expect(patch).toMatchObject({ errorCode: 'C'.repeat(64), errorMsg: 'm'.repeat(500), refundTime: null });
    expect(patch.gatewayRefundNo).toBe('G1');
    expect(explanation.length).toBeLessThanOrEqual(500);
  });

  it('confirmed by another query only gains what was missing', () => {
    const learned = { gatewayRefundNo: 'G1', refundTime: ago(10 * MINUTE_MS) };
    expect(
      hears(aRefundIn('success', { refundTime: null, gatewayRefundNo: null }), said.success()).patch,
    ).toMatchObject(learned);
    const known = aRefundIn('success', { refundTime: ago(DAY_MS) });
    const { patch } = hears(known, said.success({ finishedAt: NOW }));
    expect(patch).toMatchObject({ refundTime: ago(DAY_MS) });
    expect(patch).not.toHaveProperty('gatewayRefundNo');
  });
});

describe('an answer that the gateway did not sign', () => {
  const unsigned: Record<RefundStatus, Record<ObservationKind, RefundStatus>> = {
    progress: {
      success: 'progress',
      failed: 'progress',
      processing: 'progress',
      notFound: 'progress',
      abnormal: 'review',
    },
    success: { success: 'success', failed: 'success', processing: 'success', notFound: 'review', abnormal: 'review' },
    // It may open a case; it may not bring an ended refund back and reserve its amount again.
    fail: { success: 'fail', failed: 'fail', processing: 'fail', notFound: 'fail', abnormal: 'review' },
    close: { success: 'close', failed: 'close', processing: 'close', notFound: 'close', abnormal: 'review' },
    review: { success: 'review', failed: 'review', processing: 'review', notFound: 'review', abnormal: 'review' },
  };
  const cells = REFUND_STATUSES.flatMap((status) => OBSERVATION_KINDS.map((kind) => ({ status, kind })));

  it.each(cells)('$status × $kind', ({ status, kind }) => {
    const decision = hears(aRefundIn(status), saidThat(kind, { authenticated: false }), {
      policy: aPolicy({ notFoundPolicy: 'close' }, { lateFailure: true }),
    });
    expect(decision.status).toBe(unsigned[status][kind]);
    expect(decision.patch.lastEvidence).toMatchObject({ kind, authenticated: false });
    if (kind === 'success' || kind === 'failed') {
      expect(decision.gatewayStatus).toBeNull();
      expect(decision.patch).not.toHaveProperty('gatewayRefundNo');
      expect(decision.patch).not.toHaveProperty('refundTime');
    }
  });

  it('as a callback is a reason to ask, and nothing more', () => {
    for (const kind of OBSERVATION_KINDS) {
      const decision = hears(aRefund(), saidThat(kind, { authenticated: false }), { via: 'callback' });
      expect(decision).toMatchObject({ effect: 'unchanged', status: 'progress', nextSyncAt: NOW, patch: {} });
    }
  });

  it('counts as not found and repeats a create', () => {
    const decision = hears(aLostCreate(), said.notFound({ authenticated: false }), {
      policy: aPolicy({}, { createReplay: { mode: 'forever' } }),
    });
    expect(decision).toMatchObject({ status: 'progress', followUp: 'replayCreate', patch: { notFoundCount: 1 } });
  });

  it('opens a case after the grace, where a signed one would close', () => {
    const refund = aRefund({ createdAt: ago(DAY_MS), notFoundCount: MIN_NOT_FOUND_COUNT - 1 });
    const policy = aPolicy({ notFoundPolicy: 'close' });
    expect(hears(refund, said.notFound({ authenticated: false }), { policy }).status).toBe('review');
    expect(hears(refund, said.notFound(), { policy }).status).toBe('close');
  });

  it('does not prove that a create arrived', () => {
    const unsignedAnswer = said.processing({ authenticated: false });
    expect(hears(aLostCreate(), unsignedAnswer).patch).not.toHaveProperty('createState');
    expect(hears(aLostCreate(), said.processing()).patch).toMatchObject({ createState: 'acknowledged' });
  });

  // The check for the end of all asking came after the one for the signature: such a refund was asked for ever.
  it('does not put off the end of all asking', () => {
    const old = aRefund({ registeredAt: ago(30 * DAY_MS) });
    expect(hears(old, said.success({ authenticated: false }))).toMatchObject({ effect: 'changed', status: 'review' });
    expect(hears(old, said.failed({ authenticated: false }))).toMatchObject({ effect: 'changed', status: 'review' });
  });
});

describe('an answer that contradicts what we know', () => {
  const known = { gatewayRefundNo: 'G1' };
  const contradictions: { what: string; observation: Observation; facts?: Partial<RefundFacts> }[] = [
    { what: 'another amount', observation: said.success({ amountMinor: AMOUNT - 1 }) },
    { what: 'a larger amount', observation: said.success({ amountMinor: AMOUNT + 1 }) },
    { what: 'no amount', observation: said.success({ amountMinor: NaN }) },
    { what: 'another currency', observation: said.success({ currency: 'USD' }) },
    { what: 'another number of ours', observation: said.success({ identity: { gatewayRequestNo: 'R2' } }) },
    { what: 'another number of the gateway', observation: said.success({ identity: { gatewayRefundNo: 'G2' } }) },
    // Only the echoed identity was compared, so a success that named another refund in its own field ended ours.
    { what: 'another number in the answer itself', observation: said.success({ gatewayRefundNo: 'G2' }) },
    { what: 'another payment', observation: said.success({ identity: { outTradeNo: 'T2' } }) },
    { what: 'another merchant', observation: said.success({ identity: { merchantId: 'MCH2' } }) },
    { what: 'the number of another refund', observation: said.success(), facts: { gatewayRefundNoTaken: true } },
    { what: 'a failure of another refund', observation: said.failed({ identity: { gatewayRequestNo: 'R2' } }) },
    { what: 'a failure with another number', observation: said.failed({ gatewayRefundNo: 'G2' }) },
    { what: 'the progress of another refund', observation: said.processing({ gatewayRefundNo: 'G2' }) },
    { what: 'a "not found" for another payment', observation: said.notFound({ identity: { outTradeNo: 'T2' } }) },
  ];
  const cases = contradictions.flatMap((contradiction) =>
    REFUND_STATUSES.map((status) => ({ status, ...contradiction })),
  );

  it.each(cases)('$what, from $status: a person looks, and nothing is filled in', ({ status, observation, facts }) => {
    const refund = aRefundIn(status, { ...known, refundTime: null, createState: 'unknown', source: 'created' });
    const decision = hears(refund, observation, {
      facts,
      policy: aPolicy({}, { lateFailure: true, createReplay: { mode: 'forever' } }),
    });
    expect(decision).toMatchObject({
      status: 'review',
      effect: status === 'review' ? 'unchanged' : 'changed',
      reserved: refund.reserved,
      gatewayStatus: 'refund_progress',
      nextSyncAt: DAILY,
      followUp: 'none',
    });
    expect(Object.keys(decision.patch).sort()).toEqual(
      status === 'review'
        ? ['lastEvidence']
        : ['lastEvidence', 'reviewCode', 'reviewOwner', 'reviewReason', 'statusBeforeReview'],
    );
    expect(decision.patch.lastEvidence).toMatchObject({
      kind: observation.kind,
      contradiction: expect.any(String) as string,
    });
    if (status !== 'review') expect(decision.patch.reviewCode).toBe('contradiction');
  });

  it('in a callback opens the case as well', () => {
    const decision = hears(aRefund(), said.success({ amountMinor: 1 }), { via: 'callback' });
    expect(decision).toMatchObject({ status: 'review', gatewayStatus: 'refund_progress' });
  });

  it('says what differs', () => {
    expect(hears(aRefund(), said.success({ amountMinor: 99, currency: 'USD' })).explanation).toContain(
      'refunded 99 USD, but 100 CNY was asked for',
    );
    expect(hears(aRefund(), said.success({ identity: { outTradeNo: 'T2' } })).patch.reviewReason).toContain('T2');
  });

  it('is none when the answer repeats what we know, or speaks of what we do not know', () => {
    const same = { gatewayRequestNo: 'R1', gatewayRefundNo: 'G1', outTradeNo: 'T1', merchantId: MERCHANT_ID };
    expect(hears(aRefund(known), said.success({ identity: same })).status).toBe('success');
    expect(hears(aRefund({ gatewayRefundNo: null }), said.success({ identity: same })).status).toBe('success');
    expect(
      hears(aRefund(), said.success({ identity: { merchantId: 'MCH2' } }), { policy: aPolicy({ merchantId: null }) })
        .status,
    ).toBe('success');
    expect(hears(aRefund(known), said.success({ gatewayRefundNo: null })).patch).not.toHaveProperty('gatewayRefundNo');
  });

  // The number was echoed and never compared: a signed success of another payment ended the refund.
  it('is one when it names another payment of the gateway’s, and none when it names the payment’s other number', () => {
    const facts = { gatewayPaymentNo: 'ch_1' };
    const names = (identity: EchoedIdentity, more: Partial<RefundFacts> = facts) =>
      hears(aRefund(), said.success({ identity }), { facts: more });
    expect(names({ gatewayPaymentNo: 'ch_2' })).toMatchObject({
      status: 'review',
      patch: { reviewReason: "the gateway answered for gateway's payment number ch_2, but ours is ch_1" },
    });
    expect(names({ gatewayPaymentNo: 'pi_2', gatewayPaymentNoAlias: 'ch_2' }).status).toBe('review');
    expect(names({ gatewayPaymentNo: 'pi_1', gatewayPaymentNoAlias: 'ch_1' }).status).toBe('success');
    expect(names({ gatewayPaymentNo: 'ch_1' }).status).toBe('success');
    expect(names({ gatewayPaymentNo: 'ch_2' }, { gatewayPaymentNo: null }).status).toBe('success');
  });
});

describe('the gateway’s number of the refund', () => {
  const KINDS_WITH_NUMBER = ['success', 'failed', 'processing', 'abnormal'] as const;

  // It came with "processing" and was thrown away: a query by it, or a re-drive, had nothing to go by.
  it.each(KINDS_WITH_NUMBER)('is kept from the first proven answer that names it: %s', (kind) => {
    for (const via of ['query', 'create'] as const)
      expect(hears(aRefund(), saidThat(kind), { via }).patch.gatewayRefundNo).toBe('G1');
    const unproven = hears(aRefund(), saidThat(kind, { authenticated: false }));
    expect(unproven.patch).not.toHaveProperty('gatewayRefundNo');
  });

  const UNKEEPABLE = ['G'.repeat(65), 'G1 ', '', '退1'];

  // Too long a number was written as it came: MySQL refused the row, the answer was asked for again, for ever.
  it.each(UNKEEPABLE)('is not kept, nor cut, where the column cannot hold it as it stands: "%s"', (gatewayRefundNo) => {
    for (const kind of KINDS_WITH_NUMBER) {
      const byOurs = hears(aRefund(), saidThat(kind, { gatewayRefundNo, identity: { gatewayRequestNo: 'R1' } }));
      expect(byOurs.patch).not.toHaveProperty('gatewayRefundNo');
      expect(byOurs.status).toBe(hears(aRefund(), saidThat(kind)).status);
    }
  });

  it.each(UNKEEPABLE)('proves nothing as "%s" where the answer does not name ours either', (gatewayRefundNo) => {
    for (const kind of KINDS_WITH_NUMBER) {
      expect(hears(aRefund(), saidThat(kind, { gatewayRefundNo }))).toMatchObject({
        status: 'review',
        patch: { statusBeforeReview: 'progress' },
      });
    }
  });

  it('that contradicts the known one is no less a contradiction for being too long', () => {
    const answer = said.success({ gatewayRefundNo: 'G'.repeat(65), identity: { gatewayRequestNo: 'R1' } });
    expect(hears(aRefund({ gatewayRefundNo: 'G1' }), answer).status).toBe('review');
  });
});

describe('an answer to a question asked before the status changed', () => {
  const refund = aRefund({ version: 4, createState: 'inFlight', source: 'created', createAttempts: 1 });

  it.each(VIAS)('is superseded and decides nothing, by %s', (via) => {
    for (const kind of OBSERVATION_KINDS) {
      const input = { kind: 'observation' as const, via, observation: saidThat(kind), askedAtVersion: 3 };
      expect(decide(factsOf(refund), input, aPolicy(), NOW)).toMatchObject({
        effect: 'superseded',
        status: 'progress',
        reserved: true,
        patch: {},
        nextSyncAt: NOW,
        gatewayStatus: null,
        followUp: 'askAgain',
      });
    }
  });

  it('is not re-decided although it would fit the refund as it is now', () => {
    const ended = aRefundIn('fail', { version: 4 });
    const input = {
      kind: 'observation' as const,
      via: 'query' as const,
      observation: said.success(),
      askedAtVersion: 3,
    };
    expect(decide(factsOf(ended), input, aPolicy(), NOW)).toMatchObject({ status: 'fail', effect: 'superseded' });
  });

  it('holds for a refusal, too: it no longer answers the first and only send', () => {
    const input = {
      kind: 'fault' as const,
      via: 'create' as const,
      fault: aFault('rejected', { nothingHappened: true }),
      askedAtVersion: 3,
    };
    expect(decide(factsOf(refund), input, aPolicy(), NOW)).toMatchObject({
      effect: 'superseded',
      status: 'progress',
      patch: {},
    });
  });
});

describe('a failure after success', () => {
  it('ends the refund where the gateway declares that this happens, and the amount comes back', () => {
    const decision = hears(aRefundIn('success'), said.failed({ code: 'expired_card' }), {
      policy: aPolicy({}, { lateFailure: true }),
    });
    expect(decision).toMatchObject({
      effect: 'changed',
      status: 'fail',
      reserved: false,
      gatewayStatus: 'refund_fail',
      patch: { errorCode: 'expired_card', refundTime: null },
    });
  });

  it('is a case everywhere else, and the amount stays where it is', () => {
    expect(hears(aRefundIn('success'), said.failed())).toMatchObject({ status: 'review', reserved: true });
  });
});

describe('a refund that the gateway still works on although we ended it', () => {
  it.each(['fail', 'close'] as const)('is reopened from %s when the balance still has its amount', (status) => {
    const refund = aRefundIn(status, { errorCode: 'X', errorMsg: 'x', notFoundCount: 5, notFoundSince: ago(DAY_MS) });
    expect(hears(refund, said.processing(), { facts: { refundableBalance: AMOUNT } })).toMatchObject({
      effect: 'changed',
      status: 'progress',
      reserved: true,
      gatewayStatus: 'refund_progress',
      patch: { errorCode: null, errorMsg: null, refundTime: null, notFoundCount: 0, notFoundSince: null },
    });
  });

  it.each(['fail', 'close'] as const)(
    'is a case from %s when the balance is one short, and takes nothing',
    (status) => {
      expect(hears(aRefundIn(status), said.processing(), { facts: { refundableBalance: AMOUNT - 1 } })).toMatchObject({
        effect: 'changed',
        status: 'review',
        reserved: false,
        patch: { statusBeforeReview: status },
      });
    },
  );
});

describe('not found', () => {
  /** A refund that the merchant sent, looked for until now. */
  const lookedFor = (sentAgoMs: number, timesBefore: number): Refund =>
    aRefund({ createdAt: ago(sentAgoMs), notFoundSince: ago(sentAgoMs), notFoundCount: timesBefore });

  it('is counted from its first time on, and waits', () => {
    expect(hears(aRefund(), said.notFound())).toMatchObject({
      effect: 'unchanged',
      status: 'progress',
      gatewayStatus: 'pay_not_found',
      patch: { notFoundCount: 1, notFoundSince: NOW },
    });
    expect(hears(lookedFor(HOUR_MS, 1), said.notFound()).patch).toMatchObject({
      notFoundCount: 2,
      notFoundSince: ago(HOUR_MS),
    });
  });

  it('is forgotten when the gateway knows the refund after all', () => {
    expect(hears(lookedFor(HOUR_MS, 4), said.processing()).patch).toMatchObject({
      notFoundCount: 0,
      notFoundSince: null,
    });
  });

  it.each([
    ['within the grace, however often', DAY_MS - 1, 400, 'progress'],
    ['after the grace, but for the fourth time', 2 * DAY_MS, 3, 'progress'],
    ['after the grace, for the fifth time', DAY_MS, 4, 'review'],
  ] as const)('%s', (_when, sentAgoMs, timesBefore, status) => {
    expect(hears(lookedFor(sentAgoMs, timesBefore), said.notFound()).status).toBe(status);
  });

  it('after the grace suggests to close, and still says so much to the operator only', () => {
    expect(hears(lookedFor(DAY_MS, 4), said.notFound())).toMatchObject({
      status: 'review',
      reserved: true,
      // Any review is "in progress" for merchants.
      gatewayStatus: 'refund_progress',
      patch: { notFoundCount: 5, statusBeforeReview: 'progress', reviewReason: expect.stringContaining('closing') },
    });
  });

  it('has its grace from the last send, not from the first', () => {
    const resent = aLostCreate({
      createdAt: ago(3 * DAY_MS),
      lastCreateAt: ago(HOUR_MS),
      createState: 'acknowledged',
      notFoundCount: 9,
    });
    expect(hears(resent, said.notFound()).status).toBe('progress');
    expect(hears({ ...resent, lastCreateAt: ago(DAY_MS) }, said.notFound()).status).toBe('review');
  });

  describe('where the account closes by itself', () => {
    const policy = (gateway: Partial<GatewayPolicy> = {}) => aPolicy({ notFoundPolicy: 'close' }, gateway);

    it('gives the amount back, says why, and goes on looking daily', () => {
      expect(hears(lookedFor(DAY_MS, 4), said.notFound(), { policy: policy() })).toMatchObject({
        effect: 'changed',
        status: 'close',
        reserved: false,
        nextSyncAt: DAILY,
        gatewayStatus: 'pay_not_found',
        patch: {
          errorCode: 'RESOURCE_NOT_EXISTS',
          errorMsg: expect.stringContaining('never received') as string,
          notFoundCount: 5,
        },
      });
    });

    it('does not where the gateway’s "not found" can mean something else', () => {
      const vague = policy({ notFoundIsDistinguishable: false });
      expect(hears(lookedFor(DAY_MS, 4), said.notFound(), { policy: vague }).status).toBe('review');
    });

    it('does not before the grace and the fifth time', () => {
      expect(hears(lookedFor(DAY_MS - 1, 9), said.notFound(), { policy: policy() }).status).toBe('progress');
      expect(hears(lookedFor(9 * DAY_MS, 3), said.notFound(), { policy: policy() }).status).toBe('progress');
    });

    it('does not while a create of ours may still be on its way', () => {
      const refund = aLostCreate({ createdAt: ago(2 * DAY_MS), notFoundCount: 9 });
      for (const createReplay of [{ mode: 'forever' }, { mode: 'ttl', ttlMs: DAY_MS }, { mode: 'never' }] as const) {
        const decision = hears(refund, said.notFound(), { policy: policy({ createReplay }) });
        expect(decision.status).not.toBe('close');
      }
    });
  });
});

describe('not found, after a create of ours whose outcome is unknown', () => {
  const asks = (refund: Refund, createReplay: CreateReplay) =>
    hears(refund, said.notFound(), { policy: aPolicy({}, { createReplay }) });
  const HOURS_24: CreateReplay = { mode: 'ttl', ttlMs: DAY_MS };

  it.each(['unknown', 'inFlight'] as const)(
    'is sent again, being %s, where one number is refunded once',
    (createState) => {
      expect(asks(aLostCreate({ createState, createdAt: ago(20 * DAY_MS) }), { mode: 'forever' })).toMatchObject({
        effect: 'unchanged',
        status: 'progress',
        followUp: 'replayCreate',
        gatewayStatus: 'pay_not_found',
        patch: { notFoundCount: 1 },
      });
    },
  );

  it('is sent again while the gateway remembers our key, and never after', () => {
    const sent = (agoMs: number): Refund => aLostCreate({ createdAt: ago(agoMs) });
    expect(asks(sent(DAY_MS - 1), HOURS_24)).toMatchObject({ status: 'progress', followUp: 'replayCreate' });
    expect(asks(sent(DAY_MS), HOURS_24)).toMatchObject({
      effect: 'changed',
      status: 'review',
      followUp: 'none',
      gatewayStatus: 'refund_progress',
      patch: { notFoundCount: 1, reviewReason: expect.stringContaining('too late') as string },
    });
  });

  it('counts the key’s time from the first send: a repeat does not make it younger', () => {
    const refund = aLostCreate({ createdAt: ago(DAY_MS), lastCreateAt: ago(SECOND_MS), createAttempts: 7 });
    expect(asks(refund, HOURS_24)).toMatchObject({ status: 'review', followUp: 'none' });
  });

  it('is never sent again where a repeat is refused: asked through the grace, then a case', () => {
    const young = asks(aLostCreate({ createdAt: ago(DAY_MS - 1), notFoundCount: 50 }), { mode: 'never' });
    expect(young).toMatchObject({ effect: 'unchanged', status: 'progress', followUp: 'none' });
    const seldomAsked = asks(aLostCreate({ createdAt: ago(DAY_MS), notFoundCount: 3 }), { mode: 'never' });
    expect(seldomAsked).toMatchObject({ status: 'progress', followUp: 'none' });
    const old = asks(aLostCreate({ createdAt: ago(DAY_MS), notFoundCount: 4 }), { mode: 'never' });
    expect(old).toMatchObject({ effect: 'changed', status: 'review', followUp: 'none', reserved: true });
  });

  it.each(['none', 'acknowledged', 'refused'] as const)('is not sent again when its create is %s', (createState) => {
    expect(asks(aLostCreate({ createState }), { mode: 'forever' }).followUp).toBe('none');
  });

  it('is not sent by us when the merchant sent it', () => {
    const registered = aRefund({ createState: 'unknown' });
    expect(asks(registered, { mode: 'forever' }).followUp).toBe('none');
  });

  it('is not sent again once a person must look', () => {
    expect(asks(aRefundIn('review', { source: 'created', createState: 'unknown' }), { mode: 'forever' })).toMatchObject(
      {
        status: 'review',
        followUp: 'none',
      },
    );
  });
});

describe('the end of all asking', () => {
  // The merchant's date says nothing of how long we have asked: an import of old refunds must not become a heap of cases.
  const asked = (agoMs: number): Refund => aLostCreate({ registeredAt: ago(agoMs), createdAt: ago(90 * DAY_MS) });
  const policy = aPolicy({}, { createReplay: { mode: 'forever' } });

  it.each(['processing', 'notFound'] as const)('comes with %s, thirty days after the registration', (kind) => {
    expect(hears(asked(30 * DAY_MS - 1), saidThat(kind), { policy }).status).toBe('progress');
    expect(hears(asked(30 * DAY_MS), saidThat(kind), { policy })).toMatchObject({
      effect: 'changed',
      status: 'review',
      reserved: true,
      followUp: 'none',
      gatewayStatus: 'refund_progress',
      patch: { reviewReason: expect.stringContaining('30 days') as string },
    });
  });

  it('comes with a gateway that cannot be asked', () => {
    const refund = asked(30 * DAY_MS);
    expect(decide(factsOf(refund), faulted(refund, aFault('unavailable')), policy, NOW)).toMatchObject({
      effect: 'changed',
      status: 'review',
      gatewayStatus: null,
    });
  });

  it('does not keep an answer from counting', () => {
    expect(hears(asked(300 * DAY_MS), said.success(), { policy }).status).toBe('success');
    expect(hears(asked(300 * DAY_MS), said.failed(), { policy }).status).toBe('fail');
  });

  it('is for refunds in progress only', () => {
    const old = { registeredAt: ago(300 * DAY_MS) };
    const ended = aRefundIn('success', old);
    expect(hears(ended, said.processing(), { policy }).status).toBe('success');
    expect(decide(factsOf(ended), faulted(ended, aFault('unavailable')), policy, NOW).status).toBe('success');
  });
});

describe('a gateway that could not be asked', () => {
  const cells = REFUND_STATUSES.flatMap((status) => GATEWAY_ERROR_KINDS.map((kind) => ({ status, kind })));

  it.each(cells)('$status × $kind: nothing is concluded', ({ status, kind }) => {
    const refund = aRefundIn(status);
    // "Nothing happened" can only be said of a create.
    const input = faulted(refund, aFault(kind, { nothingHappened: true }));
    expect(decide(factsOf(refund), input, aPolicy(), NOW)).toMatchObject({
      effect: 'unchanged',
      status,
      reserved: refund.reserved,
      patch: {},
      gatewayStatus: null,
      followUp: 'none',
    });
  });

  const nextAfter = (refund: Refund, fault: Parameters<typeof aFault>, gateway: Partial<GatewayPolicy> = {}) =>
    decide(factsOf(refund), faulted(refund, aFault(...fault)), aPolicy({}, gateway), NOW).nextSyncAt;

  it('is asked again by the schedule', () => {
    expect(nextAfter(aRefund(), ['unavailable'])).toEqual(BY_SCHEDULE);
    expect(nextAfter(aRefundIn('review'), ['unavailable'])).toEqual(DAILY);
    expect(nextAfter(aRefundIn('success'), ['unavailable'])).toBeNull();
  });

  it('still owes an ended refund the look that somebody asked for', () => {
    for (const status of ['success', 'fail'] as const) {
      const hinted = aRefundIn(status, { nextSyncAt: NOW });
      expect(nextAfter(hinted, ['unavailable'])).toEqual(ahead(5 * MINUTE_MS));
      expect(nextAfter(hinted, ['rateLimited', { retryAfterMs: HOUR_MS }])).toEqual(ahead(HOUR_MS));
    }
  });

  it('that wants fewer calls is left alone for as long as it says, and no look is brought forward by it', () => {
    expect(nextAfter(aRefund(), ['rateLimited', { retryAfterMs: HOUR_MS }])).toEqual(ahead(HOUR_MS));
    expect(nextAfter(aRefund(), ['rateLimited', { retryAfterMs: MINUTE_MS }])).toEqual(BY_SCHEDULE);
    expect(nextAfter(aRefundIn('success'), ['rateLimited', { retryAfterMs: HOUR_MS }])).toBeNull();
  });

  it('for wrong settings is left alone for ten minutes: a person has to act first', () => {
    const young = aRefund({ registeredAt: NOW });
    expect(nextAfter(young, ['unavailable'])).toEqual(ahead(MINUTE_MS));
    expect(nextAfter(young, ['badConfig'])).toEqual(ahead(10 * MINUTE_MS));
    expect(nextAfter(young, ['badConfig', { retryAfterMs: HOUR_MS }])).toEqual(ahead(HOUR_MS));
  });
});

describe('a create without an answer', () => {
  const sends = (refund: Refund, ...fault: Parameters<typeof aFault>) =>
    decide(factsOf(refund), faulted(refund, aFault(...fault), 'create'), aPolicy(), NOW);

  it('ends the refund when the first and only send was refused and nothing happened', () => {
    const refused = { code: 'PARAM_ERROR', message: 'no such payment', nothingHappened: true };
    expect(sends(aFirstSend(), 'rejected', refused)).toMatchObject({
      effect: 'changed',
      status: 'fail',
      reserved: false,
      gatewayStatus: 'refund_fail',
      followUp: 'none',
      patch: { createState: 'refused', errorCode: 'PARAM_ERROR', errorMsg: 'no such payment' },
    });
  });

  it('leaves the outcome open when a repeat is refused: perhaps because the first one arrived', () => {
    for (const createAttempts of [2, 3]) {
      expect(sends(aFirstSend({ createAttempts }), 'rejected', { nothingHappened: true })).toMatchObject({
        effect: 'unchanged',
        status: 'progress',
        reserved: true,
        gatewayStatus: null,
        patch: { createState: 'unknown' },
      });
    }
  });

  it.each(GATEWAY_ERROR_KINDS)(
    'leaves the outcome open when it is %s and nobody says that nothing happened',
    (kind) => {
      expect(sends(aFirstSend(), kind)).toMatchObject({
        effect: 'unchanged',
        status: 'progress',
        reserved: true,
        patch: { createState: 'unknown' },
        nextSyncAt: kind === 'badConfig' ? ahead(10 * MINUTE_MS) : ahead(MINUTE_MS),
      });
    },
  );

  it.each(GATEWAY_ERROR_KINDS.filter((kind) => kind !== 'rejected'))(
    'leaves the outcome open when it is %s, whatever else the connector claims',
    (kind) => {
      expect(sends(aFirstSend(), kind, { nothingHappened: true }).status).toBe('progress');
    },
  );

  it('waits as long as a gateway wants that gets too many calls', () => {
    expect(sends(aFirstSend(), 'rateLimited', { retryAfterMs: HOUR_MS }).nextSyncAt).toEqual(ahead(HOUR_MS));
  });

  it('never ends a refund that is no longer in progress', () => {
    for (const status of ['success', 'fail', 'close', 'review'] as const) {
      const refund = aRefundIn(status, { source: 'created', createState: 'inFlight', createAttempts: 1 });
      expect(sends(refund, 'rejected', { nothingHappened: true })).toMatchObject({ effect: 'unchanged', status });
    }
  });

  it('is acknowledged by any signed answer that knows the refund, and by no other', () => {
    for (const kind of OBSERVATION_KINDS) {
      const { patch } = hears(aFirstSend(), saidThat(kind), { via: 'create' });
      expect(patch.createState).toBe(kind === 'notFound' ? 'unknown' : 'acknowledged');
    }
    expect(hears(aRefund(), said.processing()).patch).not.toHaveProperty('createState');
  });

  // Outside of progress, and where the answer came too late, the row said for ever that a create was on its way.
  it('is over whatever becomes of it: no answer leaves the create on its way', () => {
    for (const status of REFUND_STATUSES) {
      const refund = aRefundIn(status, { source: 'created', createState: 'inFlight', createAttempts: 1 });
      for (const kind of GATEWAY_ERROR_KINDS) expect(sends(refund, kind).patch.createState).toBe('unknown');
      expect(sends(refund, 'rateLimited', { notAsked: true }).patch.createState).toBe('unknown');
      expect(hears(refund, said.processing(), { via: 'create' }).patch.createState).toBe('acknowledged');
      const late = { ...answered(refund, said.processing(), 'create'), askedAtVersion: refund.version - 1 };
      expect(decide(factsOf(refund), late, aPolicy(), NOW).patch.createState).toBe('acknowledged');
      const lateFault = { ...faulted(refund, aFault('ambiguous'), 'create'), askedAtVersion: refund.version - 1 };
      expect(decide(factsOf(refund), lateFault, aPolicy(), NOW).patch.createState).toBe('unknown');
    }
    expect(hears(aFirstSend(), said.processing()).patch.createState).toBe('acknowledged');
    expect(sends(aRefundIn('success'), 'ambiguous').patch).not.toHaveProperty('createState');
  });

  it('that is "not found" is no count of looks in vain, and no reason to send at once again', () => {
    const lost = aLostCreate({ createState: 'inFlight', notFoundCount: 4, notFoundSince: ago(HOUR_MS) });
    const decision = hears(lost, said.notFound(), { via: 'create', policy: aPolicy({}, { createReplay: FOREVER }) });
    expect(decision).toMatchObject({ effect: 'unchanged', status: 'progress', followUp: 'none', gatewayStatus: null });
    expect(decision.patch).not.toHaveProperty('notFoundCount');
    expect(decision.patch).not.toHaveProperty('notFoundSince');
  });
});

const FOREVER: CreateReplay = { mode: 'forever' };

// Each repeat renewed the time of the last send, from which the grace is counted: it went on for a month.
describe('a create that is refused whenever it is repeated', () => {
  const policy = aPolicy({}, { createReplay: FOREVER });
  const lost = (changes: Partial<Refund>): Refund =>
    aLostCreate({
      createdAt: ago(3 * DAY_MS),
      createState: 'inFlight',
      createAttempts: 30,
      lastCreateAt: NOW,
      notFoundCount: MIN_NOT_FOUND_COUNT,
      notFoundSince: ago(DAY_MS),
      ...changes,
    });
  const refused = (refund: Refund, kind: GatewayErrorKind = 'rejected', changes: Partial<GatewayFault> = {}) =>
    decide(
      factsOf(refund),
      faulted(refund, aFault(kind, { code: 'NOT_ENOUGH', message: 'no money', answered: true, ...changes }), 'create'),
      policy,
      NOW,
    );

  it.each(['rejected', 'badConfig', 'ambiguous'] as const)(
    '(%s) is a case after the grace, with the reason',
    (kind) => {
      expect(refused(lost({}), kind)).toMatchObject({
        effect: 'changed',
        status: 'review',
        reserved: true,
        gatewayStatus: null,
        patch: {
          createState: 'unknown',
          reviewReason: expect.stringMatching(/does not know the refund.*NOT_ENOUGH: no money.*closing/) as string,
        },
      });
    },
  );

  it('is sent again through the grace, and until it was looked for five times', () => {
    for (const young of [{ notFoundSince: ago(DAY_MS - 1) }, { notFoundCount: 4 }, { notFoundSince: null }])
      expect(refused(lost(young))).toMatchObject({ status: 'progress', patch: { createState: 'unknown' } });
  });

  it('is no such case where nobody answered, or only to wait: what is lost may still arrive', () => {
    expect(refused(lost({}), 'ambiguous', { answered: false }).status).toBe('progress');
    expect(refused(lost({}), 'rateLimited').status).toBe('progress');
    expect(refused(lost({}), 'rejected', { notAsked: true }).status).toBe('progress');
  });

  it('as "not found", likewise', () => {
    expect(hears(lost({}), said.notFound(), { via: 'create', policy }).status).toBe('review');
    expect(hears(lost({ notFoundCount: 4 }), said.notFound(), { via: 'create', policy }).status).toBe('progress');
  });
});

// It went to a person after a day, though the gateway says what to do: send the very same once more.
describe('a create that the gateway took and then says nothing of', () => {
  const policy = aPolicy({}, { createReplay: FOREVER, repeatAcknowledged: { afterMs: 10 * MINUTE_MS, times: 3 } });
  const taken = (changes: Partial<Refund> = {}): Refund =>
    aLostCreate({ createState: 'acknowledged', lastCreateAt: ago(10 * MINUTE_MS), ...changes });

  it('is sent again, some time after its last send and a few times', () => {
    expect(hears(taken(), said.notFound(), { policy })).toMatchObject({
      status: 'progress',
      followUp: 'replayCreate',
      gatewayStatus: 'pay_not_found',
      patch: { notFoundCount: 1 },
    });
    expect(hears(taken({ createAttempts: 3 }), said.notFound(), { policy }).followUp).toBe('replayCreate');
    for (const not of [
      { createAttempts: 4 },
      { lastCreateAt: ago(10 * MINUTE_MS - 1) },
      { source: 'registered' },
    ] as const)
      expect(hears(taken(not), said.notFound(), { policy }).followUp).toBe('none');
    expect(hears(taken(), said.notFound(), { policy: aPolicy({}, { createReplay: FOREVER }) }).followUp).toBe('none');
  });

  it('is a case once it was sent often enough and the grace is over', () => {
    const old = { lastCreateAt: ago(DAY_MS), notFoundCount: MIN_NOT_FOUND_COUNT };
    expect(hears(taken({ ...old, createAttempts: 4 }), said.notFound(), { policy }).status).toBe('review');
    expect(hears(taken({ ...old, createAttempts: 3 }), said.notFound(), { policy }).followUp).toBe('replayCreate');
  });

  it('keeps its lease for the repeat only while one may come', () => {
    expect(mayRepeatCreate(taken(), policy.gateway)).toBe(true);
    expect(mayRepeatCreate(taken({ createAttempts: 4 }), policy.gateway)).toBe(false);
    expect(mayRepeatCreate(taken(), aPolicy().gateway)).toBe(false);
    expect(mayRepeatCreate(aLostCreate(), aPolicy().gateway)).toBe(true);
    expect(mayRepeatCreate(aRefund(), policy.gateway)).toBe(false);
  });
});

describe('a call that the account’s pace did not allow', () => {
  const paced = { code: 'paced', notAsked: true, retryAfterMs: MINUTE_MS };

  it.each(REFUND_STATUSES)('learns nothing of a refund in %s, not even that time is up', (status) => {
    const refund = aRefundIn(status, { registeredAt: ago(90 * DAY_MS) });
    const decision = decide(factsOf(refund), faulted(refund, aFault('rateLimited', paced)), aPolicy(), NOW);
    expect(decision).toMatchObject({ effect: 'unchanged', status, patch: {}, gatewayStatus: null, followUp: 'none' });
  });

  it('is made up for when the account is free again', () => {
    const refund = aRefund({ registeredAt: NOW });
    const next = (retryAfterMs: number) =>
      decide(factsOf(refund), faulted(refund, aFault('rateLimited', { ...paced, retryAfterMs })), aPolicy(), NOW)
        .nextSyncAt;
    expect(next(SECOND_MS)).toEqual(ahead(MINUTE_MS));
    expect(next(HOUR_MS)).toEqual(ahead(HOUR_MS));
  });

  describe('for a create', () => {
    const send = (refund: Refund, ...fault: Parameters<typeof aFault>) =>
      decide(factsOf(refund), faulted(refund, aFault(...fault), 'create'), aPolicy(), NOW);

    it('leaves it as unsent as it was before', () => {
      expect(send(aFirstSend(), 'rateLimited', { ...paced, retryAfterMs: HOUR_MS })).toMatchObject({
        effect: 'unchanged',
        status: 'progress',
        reserved: true,
        nextSyncAt: ahead(HOUR_MS),
        patch: { createState: 'unknown', createAttempts: 0 },
      });
      expect(send(aFirstSend({ createAttempts: 3 }), 'rateLimited', paced).patch.createAttempts).toBe(2);
      expect(send(aFirstSend({ createAttempts: 0 }), 'rateLimited', paced).patch.createAttempts).toBe(0);
    });

    it('is no refusal, whatever else it claims', () => {
      expect(send(aFirstSend(), 'rejected', { ...paced, nothingHappened: true }).status).toBe('progress');
    });

    it.each([{ mode: 'forever' }, { mode: 'ttl', ttlMs: HOUR_MS }, { mode: 'never' }] as const)(
      'lets it be sent for the first time later, with replay $mode, and then be refused for good',
      (createReplay) => {
        const unsent = aLostCreate({ createdAt: ago(2 * DAY_MS), createAttempts: 0, notFoundCount: 9 });
        const policy = aPolicy({}, { createReplay });
        expect(hears(unsent, said.notFound(), { policy })).toMatchObject({
          status: 'progress',
          followUp: 'replayCreate',
        });
        const sentOnce = { ...unsent, createAttempts: 1 };
        expect(send(sentOnce, 'rejected', { nothingHappened: true }).status).toBe('fail');
      },
    );
  });
});

describe('after the end', () => {
  const verifyAfterEnd = { scheduleMs: [HOUR_MS, DAY_MS], forMs: 30 * DAY_MS };
  const verified = aPolicy({}, { verifyAfterEnd });

  it('looks go on where the gateway’s end is not always the end', () => {
    expect(hears(aRefund(), said.success(), { policy: verified }).nextSyncAt).toEqual(ahead(HOUR_MS));
    expect(hears(aRefund(), said.failed(), { policy: verified }).nextSyncAt).toEqual(ahead(HOUR_MS));
    const refund = aFirstSend();
    const refusal = faulted(refund, aFault('rejected', { nothingHappened: true }), 'create');
    expect(decide(factsOf(refund), refusal, verified, NOW).nextSyncAt).toEqual(ahead(HOUR_MS));
  });

  it.each(['success', 'fail'] as const)('%s is looked at by the age of the end, and has its own end', (status) => {
    const kind = status === 'success' ? 'success' : 'failed';
    const next = (endedAgoMs: number) =>
      hears(aRefundIn(status, { statusChangedAt: ago(endedAgoMs) }), saidThat(kind), { policy: verified }).nextSyncAt;
    expect(next(0)).toEqual(ahead(HOUR_MS));
    expect(next(HOUR_MS)).toEqual(ahead(DAY_MS));
    expect(next(30 * DAY_MS - 1)).toEqual(ahead(DAY_MS));
    expect(next(30 * DAY_MS)).toBeNull();
  });

  it('a close is looked at daily for thirty days, whatever the gateway declares', () => {
    const next = (endedAgoMs: number) =>
      hears(aRefundIn('close', { statusChangedAt: ago(endedAgoMs) }), said.notFound()).nextSyncAt;
    expect(next(30 * DAY_MS - 1)).toEqual(DAILY);
    expect(next(30 * DAY_MS)).toBeNull();
  });

  it('a callback about it is a reason to ask once more, even when no look was planned', () => {
    for (const status of ['success', 'fail', 'close'] as const) {
      const refund = aRefundIn(status, { nextSyncAt: null });
      expect(hears(refund, said.failed(), { via: 'callback' })).toMatchObject({ status, nextSyncAt: NOW });
    }
  });
});

describe('the next look', () => {
  it('of a refund that we sent goes by the age of its last send', () => {
    const resent = aLostCreate({ createdAt: ago(5 * DAY_MS), lastCreateAt: NOW });
    expect(hears(resent, said.processing()).nextSyncAt).toEqual(ahead(MINUTE_MS));
  });

  it('of a refund that the merchant sent goes by how long we have known it', () => {
    const imported = aRefund({ createdAt: ago(5 * DAY_MS), registeredAt: NOW });
    expect(hears(imported, said.processing()).nextSyncAt).toEqual(ahead(MINUTE_MS));
  });

  // A repeat is a send: by the age of the last one, a create that never arrives was repeated every minute for a month.
  it('of a create that may be lost goes by its first send, or every repeat would begin the schedule anew', () => {
    const resent = aLostCreate({ createdAt: ago(5 * DAY_MS), lastCreateAt: NOW, createAttempts: 9 });
    const policy = aPolicy({}, { createReplay: { mode: 'forever' } });
    expect(hears(resent, said.notFound(), { policy })).toMatchObject({
      followUp: 'replayCreate',
      nextSyncAt: BY_SCHEDULE,
    });
    const lostAgain = faulted(resent, aFault('ambiguous'), 'create');
    expect(decide(factsOf(resent), lostAgain, policy, NOW).nextSyncAt).toEqual(BY_SCHEDULE);
  });

  it('is spread by the jitter', () => {
    const young = aRefund({ registeredAt: ago(8 * MINUTE_MS) });
    expect(hears(young, said.processing(), { policy: aPolicy({ jitter: 1 }) }).nextSyncAt).toEqual(
      ahead(11 * MINUTE_MS),
    );
    expect(hears(young, said.processing(), { policy: aPolicy({ jitter: -1 }) }).nextSyncAt).toEqual(
      ahead(9 * MINUTE_MS),
    );
  });
});

describe('what merchants see of a change', () => {
  it('is nothing between progress and review', () => {
    const visible = REFUND_STATUSES.flatMap((before) =>
      REFUND_STATUSES.filter((after) => isVisibleChange(before, after)).map((after) => `${before}→${after}`),
    );
    const all = REFUND_STATUSES.flatMap((before) => REFUND_STATUSES.map((after) => `${before}→${after}`));
    const unseen = all.filter((change) => !visible.includes(change));
    expect(unseen.sort()).toEqual(
      [...REFUND_STATUSES.map((status) => `${status}→${status}`), 'progress→review', 'review→progress'].sort(),
    );
  });
});

describe('time', () => {
  it('is the one that is handed over, not that of the machine', () => {
    const later = addMs(NOW, 400 * DAY_MS);
    const refund = aRefund({ registeredAt: later });
    const decision = decide(factsOf(refund), answered(refund, said.processing()), aPolicy(), later);
    expect(decision.nextSyncAt).toEqual(addMs(later, MINUTE_MS));
  });
});

describe('the answer to a re-drive', () => {
  const back = (changes: Partial<Refund> = {}) => aRefund({ gatewayRefundNo: 'G1', ...changes });
  const fails = (kind: GatewayErrorKind) =>
    decide(factsOf(back()), faulted(back(), aFault(kind, { nothingHappened: true }), 'redrive'), aPolicy(), NOW);

  it.each([
    ['success', 'success'],
    ['processing', 'progress'],
    ['failed', 'fail'],
    ['abnormal', 'review'],
  ] as const)('%s makes it %s, as the answer to a question would', (kind, status) => {
    expect(hears(back(), saidThat(kind), { via: 'redrive' }).status).toBe(status);
  });

  it('that is a refusal leaves it as abnormal as it was: a case', () => {
    expect(fails('rejected')).toMatchObject({
      status: 'review',
      reserved: true,
      patch: { reviewCode: 'abnormal' },
    });
  });

  it('that is lost ends nothing and opens no case: the gateway is asked soon', () => {
    for (const kind of ['ambiguous', 'unavailable', 'badConfig'] as const) {
      const decision = fails(kind);
      expect(decision).toMatchObject({ effect: 'unchanged', status: 'progress', patch: {} });
      expect(decision.nextSyncAt?.getTime()).toBeGreaterThanOrEqual(ahead(MINUTE_MS).getTime());
    }
  });

  it('that comes after the end is a reason to ask', () => {
    expect(hears(aRefundIn('fail'), said.success(), { via: 'redrive' })).toMatchObject({
      status: 'fail',
      nextSyncAt: NOW,
    });
  });
});

describe('a refund that is back in progress', () => {
  it('is asked about for another whole time before a person must look again', () => {
    const old = { registeredAt: ago(90 * DAY_MS) };
    expect(hears(aRefund({ ...old, statusChangedAt: ago(29 * DAY_MS) }), said.processing()).status).toBe('progress');
    expect(hears(aRefund({ ...old, statusChangedAt: ago(30 * DAY_MS) }), said.processing()).patch).toMatchObject({
      reviewCode: 'gaveUp',
    });
  });
});
