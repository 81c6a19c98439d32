import type { GatewayErrorKind } from '../gateway/gateway.error.js';
import type { GatewayPolicy } from '../gateway/gateway.port.js';
import type { Observation, SuccessObservation } from '../gateway/observation.js';
import type { GatewayCallKind } from '../gateway/refusal-rules.js';
import { addMs, MINUTE_MS } from '../shared/clock.js';
import { CLOSED_LOOK_FOR_MS, nextLookAfterEnd, nextLookAt, REVIEW_LOOK_MS } from './look-schedule.js';
import type { Evidence, Refund } from './refund.entity.js';
import { isEnd, visibleStatus, type RefundStatus } from './refund-status.js';
import type { ReviewCode } from './review-code.js';
import type { GatewayStatus } from './sync-record.entity.js';
import { callbackCell, QUERY_TABLE } from './transition-table.js';

/** What decide() reads of a refund and its payment, as locked by apply(). */
export interface RefundFacts {
  refund: Refund;
  /** Of the payment, in minor units. */
  refundableBalance: number;
  /** The gateway's number of the payment, when it is known. */
  gatewayPaymentNo: string | null;
  /** Another refund of the account already carries the gateway refund number that the answer names. */
  gatewayRefundNoTaken: boolean;
}

/** A GatewayError as data. */
export interface GatewayFault {
  kind: GatewayErrorKind;
  code: string;
  message: string;
  retryAfterMs?: number | undefined;
  /** Only a signed refusal of a create with a code listed as "nothing happened". */
  nothingHappened: boolean;
  /** Nothing was sent: the account's pace did not allow the call. */
  notAsked?: boolean;
  /** The gateway did answer, and this is what its answer amounts to; false or absent where none came, or none that could be read. */
  answered?: boolean;
}

/** How an answer came in. */
export type AnswerSource = GatewayCallKind | 'callback';

export type DecideInput =
  | {
      kind: 'observation';
      via: AnswerSource;
      observation: Observation;
      /** `refund.version` as read before the question was sent. */
      askedAtVersion: number;
    }
  | { kind: 'fault'; via: GatewayCallKind; fault: GatewayFault; askedAtVersion: number };

export interface DecisionPolicy {
  gateway: GatewayPolicy;
  notFoundGraceMs: number;
  notFoundPolicy: 'review' | 'close';
  giveUpMs: number;
  /** The merchant's id at the gateway as the account knows it; null where the channel has none. */
  merchantId: string | null;
  /** The connector can send an abnormal refund on its way again. */
  offersRedrive: boolean;
  /** From -1 to 1. */
  jitter: number;
}

/** Columns that a decision may set besides status, reservation and version. */
export type RefundPatch = Partial<
  Pick<
    Refund,
    | 'gatewayRefundNo'
    | 'refundTime'
    | 'errorCode'
    | 'errorMsg'
    | 'createState'
    | 'createAttempts'
    | 'notFoundSince'
    | 'notFoundCount'
    | 'statusBeforeReview'
    | 'reviewCode'
    | 'reviewReason'
    | 'reviewOwner'
    | 'lastEvidence'
  >
>;

export interface Decision {
  effect: 'changed' | 'unchanged' | 'superseded';
  status: RefundStatus;
  /** The amount is taken from the payment's balance afterwards. */
  reserved: boolean;
  /** Of an amount that becomes reserved, the part that the balance does not have: `overRefunded` grows by it. Minor units; absent: 0. */
  overRefund?: number;
  nextSyncAt: Date | null;
  patch: RefundPatch;
  /** One sentence for the records. */
  explanation: string;
  /** What the merchant API reports; null when the gateway could not be asked. */
  gatewayStatus: GatewayStatus | null;
  followUp: 'none' | 'replayCreate' | 'askAgain';
}

/** "Not found" must have been seen this often, besides lasting for the grace period, before anybody is asked to close. */
export const MIN_NOT_FOUND_COUNT = 5;
const BAD_CONFIG_PAUSE_MS = 10 * MINUTE_MS;
const OWED_LOOK_PAUSE_MS = 5 * MINUTE_MS;
const MIN_UNSENT_PAUSE_MS = 1_000;

/**
 * What an answer, or the lack of one, means for a refund. Pure and total: no clock, no database, no randomness; every cell
 * of the transition table gives a decision for every input.
 *
 * @param now the moment of the decision, UTC.
 */
export function decide(facts: RefundFacts, input: DecideInput, policy: DecisionPolicy, now: Date): Decision {
  return withCreateOutcome(judge(facts, input, policy, now), facts.refund, input);
}

function judge(facts: RefundFacts, input: DecideInput, policy: DecisionPolicy, now: Date): Decision {
  const { refund } = facts;
  if (input.askedAtVersion !== refund.version) {
    return {
      ...unchanged(
        refund,
        'the status has changed since the gateway was asked: the answer is not used, the gateway is asked again',
      ),
      effect: 'superseded',
      nextSyncAt: now,
      followUp: 'askAgain',
    };
  }
  return input.kind === 'fault'
    ? decideFault(facts, input.via, input.fault, policy, now)
    : decideObservation(facts, input.via, input.observation, policy, now);
}

/** Whatever an answer to a create decides, or does not: the create is no longer on its way. */
function withCreateOutcome(decision: Decision, refund: Refund, input: DecideInput): Decision {
  if (input.via !== 'create' || refund.createState !== 'inFlight') return decision;
  const proven = input.kind === 'observation' ? acknowledgement(refund, input.observation) : {};
  return withPatch(decision, { createState: 'unknown', ...proven });
}

function decideObservation(
  facts: RefundFacts,
  via: AnswerSource,
  observation: Observation,
  policy: DecisionPolicy,
  now: Date,
): Decision {
  const { refund } = facts;
  const learned: RefundPatch = {
    lastEvidence: evidenceOf(observation, via, now),
    ...acknowledgement(refund, observation),
    ...gatewayNumber(refund, observation),
  };
  const with_ = (decision: Decision): Decision => ({ ...decision, patch: { ...learned, ...decision.patch } });

  if (isHint(via, refund.status, observation)) {
    return {
      ...unchanged(
        refund,
        `a ${via} says ${observation.kind}; from ${refund.status} only an answer to a question decides: asking now`,
      ),
      nextSyncAt: now,
    };
  }
  if (!observation.authenticated && wantsProof(refund.status, observation.kind)) {
    const why = `the gateway's "${observation.raw.code}" was not signed by the gateway: not believed`;
    const decision = isOver(refund, policy, now)
      ? review(refund, now, 'gaveUp', `${giveUpReason(policy)} (${why})`)
      : { ...unchanged(refund, why), nextSyncAt: nextLook(refund, policy, now) };
    return { ...decision, patch: { ...decision.patch, lastEvidence: evidenceOf(observation, via, now) } };
  }
  const mismatch = contradiction(facts, observation, policy);
  if (mismatch !== undefined) {
    // Nothing is filled in from an answer that may be about another refund.
    const lastEvidence = { ...evidenceOf(observation, via, now), contradiction: mismatch.slice(0, 500) };
    if (refund.status === 'review')
      return { ...stay(refund, policy, now, mismatch, 'refund_progress'), patch: { lastEvidence } };
    const decision = review(refund, now, 'contradiction', mismatch);
    return { ...decision, patch: { ...decision.patch, lastEvidence } };
  }
  if (via === 'create' && observation.kind === 'notFound' && refund.status === 'progress')
    return with_(createNotTaken(refund, observation, policy, now));

  const cell = QUERY_TABLE[refund.status][observation.kind];
  switch (cell) {
    case 'succeed':
      return with_(succeed(observation as SuccessObservation, policy, now));
    case 'fail':
    case 'lateFailure':
      if (cell === 'lateFailure' && !policy.gateway.lateFailure) {
        return with_(
          review(
            refund,
            now,
            'failedAfterSuccess',
            `the gateway reports a failure after success (${observation.raw.code}), which it does not announce`,
          ),
        );
      }
      return with_(fail(observation, policy, now, cell === 'lateFailure'));
    case 'fillIn':
      return with_(fillIn(refund, observation as SuccessObservation, policy, now));
    case 'countNotFound':
      return with_(countNotFound(refund, observation, policy, now));
    case 'reopen':
      return with_(reopen(facts, policy, now));
    case 'review':
      return with_(review(refund, now, ...reviewReason(refund.status, observation)));
    case 'stay':
      return with_(stayInTime(refund, observation, policy, now));
  }
}

/** What an unsigned answer may not do: end a refund, or take one out of its end. */
function wantsProof(status: RefundStatus, kind: Observation['kind']): boolean {
  return kind === 'success' || kind === 'failed' || QUERY_TABLE[status][kind] === 'reopen';
}

/** Only a query leaves an end. Whatever else comes in then is a reason to ask, and nothing more. */
function isHint(via: AnswerSource, status: RefundStatus, { kind, authenticated }: Observation): boolean {
  switch (via) {
    case 'query':
      return false;
    case 'create':
    case 'redrive':
      return isEnd(status);
    case 'callback':
      return !authenticated || callbackCell(status, kind) === 'askNow';
  }
}

function succeed(observation: SuccessObservation, policy: DecisionPolicy, now: Date): Decision {
  return {
    effect: 'changed',
    status: 'success',
    reserved: true,
    nextSyncAt: nextLookAfterEnd(policy.gateway, now, now, policy.jitter),
    patch: {
      refundTime: observation.finishedAt ?? now,
      errorCode: null,
      errorMsg: null,
      notFoundSince: null,
      notFoundCount: 0,
    },
    explanation: 'the gateway says the money was returned',
    gatewayStatus: 'refund_success',
    followUp: 'none',
  };
}

function fail(observation: Observation, policy: DecisionPolicy, now: Date, late: boolean): Decision {
  const { code, message } = observation.kind === 'failed' ? observation : observation.raw;
  return {
    effect: 'changed',
    status: 'fail',
    reserved: false,
    nextSyncAt: nextLookAfterEnd(policy.gateway, now, now, policy.jitter),
    patch: {
      errorCode: code.slice(0, 64),
      errorMsg: message.slice(0, 500),
      refundTime: null,
      notFoundSince: null,
      notFoundCount: 0,
    },
    explanation: late
      ? `the gateway took the refund back after success (${code.slice(0, 64)}); the amount is refundable again`
      : `the gateway says the refund failed (${code.slice(0, 64)}); the amount is refundable again`,
    gatewayStatus: 'refund_fail',
    followUp: 'none',
  };
}

function fillIn(refund: Refund, observation: SuccessObservation, policy: DecisionPolicy, now: Date): Decision {
  return {
    ...unchanged(refund, 'the gateway confirms the success'),
    nextSyncAt: nextLookAfterEnd(policy.gateway, refund.statusChangedAt, now, policy.jitter),
    patch: { refundTime: refund.refundTime ?? observation.finishedAt },
    gatewayStatus: 'refund_success',
  };
}

/**
 * "Not found" as the answer to a create speaks of what the create needs (its payment), not of a refund that was looked for: it counts for
 * nothing, and the create is as unproven as before.
 */
function createNotTaken(refund: Refund, observation: Observation, policy: DecisionPolicy, now: Date): Decision {
  const text = `${observation.raw.code}: ${observation.raw.message}`.slice(0, 400);
  if (isOver(refund, policy, now)) return review(refund, now, 'gaveUp', `${giveUpReason(policy)} (${text})`);
  if (isUnknownForGood(refund, policy, now)) return review(refund, now, 'createUnknown', refusedForGoodReason(text));
  return {
    ...unchanged(refund, `the gateway did not take the create (${text}): it will be asked`),
    nextSyncAt: nextRepeat(refund, policy, now),
    patch: { createState: 'unknown' },
  };
}

function countNotFound(refund: Refund, observation: Observation, policy: DecisionPolicy, now: Date): Decision {
  const count = refund.notFoundCount + 1;
  const counted: RefundPatch = { notFoundSince: refund.notFoundSince ?? now, notFoundCount: count };
  const waiting: Decision = {
    ...unchanged(refund, `the gateway does not know the refund (seen ${count} times): it may not have spread yet`),
    nextSyncAt: mayBeLost(refund) ? nextRepeat(refund, policy, now) : nextLook(refund, policy, now),
    patch: counted,
    gatewayStatus: 'pay_not_found',
  };
  if (isOver(refund, policy, now)) return withPatch(review(refund, now, 'gaveUp', giveUpReason(policy)), counted);
  if (mayBeLost(refund)) {
    return replay(refund, policy, now, waiting);
  }
  if (wantsRepeat(refund, policy.gateway, now)) {
    return {
      ...waiting,
      followUp: 'replayCreate',
      explanation: 'the gateway took the create and says nothing of the refund: the same request is sent again',
    };
  }
  const sentAt = refund.lastCreateAt ?? refund.createdAt;
  if (now.getTime() - sentAt.getTime() < policy.notFoundGraceMs || count < MIN_NOT_FOUND_COUNT) return waiting;
  // Closing returns the amount, so it wants proof: a signed answer that cannot mean anything else.
  if (policy.notFoundPolicy === 'close' && observation.authenticated && policy.gateway.notFoundIsDistinguishable) {
    return {
      effect: 'changed',
      status: 'close',
      reserved: false,
      nextSyncAt: addMs(now, REVIEW_LOOK_MS),
      patch: {
        ...counted,
        errorCode: observation.raw.code.slice(0, 64),
        errorMsg: 'the gateway never received this refund',
      },
      explanation: `not found for the whole grace period, ${count} times: closed by the account's policy, the amount is refundable again`,
      gatewayStatus: 'pay_not_found',
      followUp: 'none',
    };
  }
  return withPatch(
    review(
      refund,
      now,
      'notFound',
      `the gateway has not known this refund for its whole grace period (seen ${count} times): consider closing it`,
    ),
    counted,
  );
}

/** The create may never have arrived. The gateway's rule says whether the same payload may be sent again. */
function replay(refund: Refund, policy: DecisionPolicy, now: Date, waiting: Decision): Decision {
  const rule = policy.gateway.createReplay;
  if (refund.createAttempts === 0)
    return { ...waiting, followUp: 'replayCreate', explanation: 'the create was never sent: it is sent now' };
  switch (rule.mode) {
    case 'forever':
      return {
        ...waiting,
        followUp: 'replayCreate',
        explanation: 'the create may never have arrived: the same request is sent again',
      };
    case 'ttl':
      // Counted from the first send: that is when the gateway stored the idempotency key.
      if (now.getTime() - refund.createdAt.getTime() < rule.ttlMs) {
        return {
          ...waiting,
          followUp: 'replayCreate',
          explanation: 'the create may never have arrived: the same request is sent again',
        };
      }
      return withPatch(
        review(
          refund,
          now,
          'createUnknown',
          'the create may never have arrived, and it is too late to repeat it safely',
        ),
        waiting.patch,
      );
    case 'never': {
      const sentAt = refund.lastCreateAt ?? refund.createdAt;
      const count = refund.notFoundCount + 1;
      if (now.getTime() - sentAt.getTime() < policy.notFoundGraceMs || count < MIN_NOT_FOUND_COUNT) return waiting;
      return withPatch(
        review(
          refund,
          now,
          'createUnknown',
          'the create may never have arrived, and this gateway must not be sent it twice',
        ),
        waiting.patch,
      );
    }
  }
}

function reopen({ refund, refundableBalance }: RefundFacts, policy: DecisionPolicy, now: Date): Decision {
  if (refundableBalance < refund.amount) {
    return review(
      refund,
      now,
      'balanceSpent',
      'the gateway works on a refund that we had ended, and its amount is no longer in the refundable balance',
    );
  }
  return {
    effect: 'changed',
    status: 'progress',
    reserved: true,
    // Of the status it gets: an end has no further look, and this refund would be forgotten.
    nextSyncAt: nextLook({ ...refund, status: 'progress' }, policy, now),
    patch: { errorCode: null, errorMsg: null, refundTime: null, notFoundSince: null, notFoundCount: 0 },
    explanation: `the gateway works on the refund although it had ended as ${refund.status}: the amount is reserved again`,
    gatewayStatus: 'refund_progress',
    followUp: 'none',
  };
}

function stayInTime(refund: Refund, observation: Observation, policy: DecisionPolicy, now: Date): Decision {
  if (isOver(refund, policy, now)) return review(refund, now, 'gaveUp', giveUpReason(policy));
  const decision = stay(
    refund,
    policy,
    now,
    `the gateway says ${observation.kind}: nothing to change`,
    gatewayStatusOf(refund.status, observation),
  );
  return refund.status === 'progress' ? withPatch(decision, { notFoundSince: null, notFoundCount: 0 }) : decision;
}

function stay(
  refund: Refund,
  policy: DecisionPolicy,
  now: Date,
  explanation: string,
  gatewayStatus: GatewayStatus,
): Decision {
  return { ...unchanged(refund, explanation), nextSyncAt: nextLook(refund, policy, now), gatewayStatus };
}

function review(refund: Refund, now: Date, code: ReviewCode, reason: string): Decision {
  return {
    effect: 'changed',
    status: 'review',
    // What was known stays known: nothing moves until a person decides.
    reserved: refund.reserved,
    nextSyncAt: addMs(now, REVIEW_LOOK_MS),
    patch: {
      statusBeforeReview: refund.status,
      reviewCode: code,
      reviewReason: reason.slice(0, 500),
      reviewOwner: null,
    },
    explanation: `a person must look: ${reason}`.slice(0, 500),
    gatewayStatus: 'refund_progress',
    followUp: 'none',
  };
}

function decideFault(
  { refund }: RefundFacts,
  via: GatewayCallKind,
  fault: GatewayFault,
  policy: DecisionPolicy,
  now: Date,
): Decision {
  const text = `${fault.code}: ${fault.message}`.slice(0, 400);
  if (fault.notAsked === true) return decideNotAsked(refund, via, fault, policy, now);
  if (via === 'create' && refund.status === 'progress') {
    // A refusal ends the refund only as the answer to the first and only send: a repeat may be refused because the first one arrived.
    if (fault.kind === 'rejected' && fault.nothingHappened && refund.createAttempts === 1) {
      return {
        effect: 'changed',
        status: 'fail',
        reserved: false,
        nextSyncAt: nextLookAfterEnd(policy.gateway, now, now, policy.jitter),
        patch: { createState: 'refused', errorCode: fault.code.slice(0, 64), errorMsg: fault.message.slice(0, 500) },
        explanation: `the gateway refused the refund and nothing happened (${text}); the amount is refundable again`,
        gatewayStatus: 'refund_fail',
        followUp: 'none',
      };
    }
    // Repeated through the whole grace, and answered with a refusal still: asking goes on, sending does not.
    if (fault.answered === true && fault.kind !== 'rateLimited' && isUnknownForGood(refund, policy, now)) {
      return withPatch(
        { ...review(refund, now, 'createUnknown', refusedForGoodReason(text)), gatewayStatus: null },
        { createState: 'unknown' },
      );
    }
    return {
      ...unchanged(refund, `the outcome of the create is unknown (${text}): the gateway will be asked`),
      nextSyncAt: atLeast(nextRepeat(refund, policy, now), fault, now),
      patch: { createState: 'unknown' },
    };
  }
  if (via === 'redrive') return decideFailedRedrive(refund, fault, text, now);
  if (isOver(refund, policy, now)) {
    return { ...review(refund, now, 'gaveUp', `${giveUpReason(policy)} (${text})`), gatewayStatus: null };
  }
  return {
    ...unchanged(refund, `the gateway could not be asked (${text}): nothing is concluded`),
    nextSyncAt: atLeast(nextLook(refund, policy, now) ?? owedLook(refund, now), fault, now),
  };
}

/** A refusal left the refund as abnormal as it was; without an answer only the gateway knows whether it is on its way again. */
function decideFailedRedrive(refund: Refund, fault: GatewayFault, text: string, now: Date): Decision {
  if (fault.kind === 'rejected' && refund.status === 'progress')
    return {
      ...review(refund, now, 'abnormal', `the gateway refused to send the refund on its way again (${text})`),
      gatewayStatus: null,
    };
  return {
    ...unchanged(refund, `it is not known whether the refund is on its way again (${text}): the gateway will be asked`),
    nextSyncAt: atLeast(addMs(now, MINUTE_MS), fault, now),
  };
}

/** Nothing was learned, so nothing is counted or concluded, also where time is up: a create is as unsent as before it was announced. */
function decideNotAsked(
  refund: Refund,
  via: GatewayCallKind,
  fault: GatewayFault,
  policy: DecisionPolicy,
  now: Date,
): Decision {
  const waiting = unchanged(
    refund,
    `the gateway was not asked (${fault.code}: ${fault.message}): nothing is concluded`,
  );
  if (via === 'create' && refund.status === 'progress') {
    return {
      ...waiting,
      nextSyncAt: addMs(now, Math.max(MIN_UNSENT_PAUSE_MS, fault.retryAfterMs ?? 0)),
      patch: { createState: 'unknown', createAttempts: Math.max(0, refund.createAttempts - 1) },
    };
  }
  return { ...waiting, nextSyncAt: atLeast(nextLook(refund, policy, now) ?? owedLook(refund, now), fault, now) };
}

/** A look that an end still owes (a callback's hint, an answer that was superseded) is not paid by one that failed. */
function owedLook(refund: Refund, now: Date): Date | null {
  return refund.nextSyncAt === null ? null : addMs(now, OWED_LOOK_PAUSE_MS);
}

function atLeast(planned: Date | null, fault: GatewayFault, now: Date): Date | null {
  const pauseMs = Math.max(fault.retryAfterMs ?? 0, fault.kind === 'badConfig' ? BAD_CONFIG_PAUSE_MS : 0);
  if (planned === null || pauseMs === 0) return planned;
  return new Date(Math.max(planned.getTime(), now.getTime() + pauseMs));
}

function nextLook(refund: Refund, policy: DecisionPolicy, now: Date): Date | null {
  switch (refund.status) {
    case 'progress':
      return nextLookAt(policy.gateway.scheduleMs, refund.lastCreateAt ?? refund.registeredAt, now, policy.jitter);
    case 'review':
      return addMs(now, REVIEW_LOOK_MS);
    case 'success':
    case 'fail':
      return nextLookAfterEnd(policy.gateway, refund.statusChangedAt, now, policy.jitter);
    case 'close':
      return now.getTime() - refund.statusChangedAt.getTime() < CLOSED_LOOK_FOR_MS ? addMs(now, REVIEW_LOOK_MS) : null;
  }
}

/** We sent it, and no answer has proved that it arrived. */
function mayBeLost(refund: Refund): boolean {
  return refund.source === 'created' && (refund.createState === 'unknown' || refund.createState === 'inFlight');
}

/** The gateway has not known it for the whole grace, however often the create was repeated meanwhile. */
function isUnknownForGood(refund: Refund, policy: DecisionPolicy, now: Date): boolean {
  const { notFoundSince, notFoundCount } = refund;
  return (
    notFoundSince !== null &&
    now.getTime() - notFoundSince.getTime() >= policy.notFoundGraceMs &&
    notFoundCount >= MIN_NOT_FOUND_COUNT
  );
}

function refusedForGoodReason(text: string): string {
  return `the gateway does not know the refund and goes on refusing it (${text}): settle that with the gateway, or consider closing it`;
}

/** A create that the gateway took, where it advises to send the same again as long as it says nothing of the refund. */
function wantsRepeat(refund: Refund, { repeatAcknowledged: rule }: GatewayPolicy, now: Date): boolean {
  if (!mayRepeatAcknowledged(refund, rule)) return false;
  const sentAt = refund.lastCreateAt ?? refund.createdAt;
  return now.getTime() - sentAt.getTime() >= rule.afterMs;
}

function mayRepeatAcknowledged(
  refund: Refund,
  rule: GatewayPolicy['repeatAcknowledged'],
): rule is NonNullable<GatewayPolicy['repeatAcknowledged']> {
  return (
    rule !== undefined &&
    refund.source === 'created' &&
    refund.createState === 'acknowledged' &&
    refund.createAttempts <= rule.times
  );
}

/** Whether an answer about this refund may be followed by its create once more: the lease is kept until that is clear. */
export function mayRepeatCreate(refund: Refund, gateway: GatewayPolicy): boolean {
  return mayBeLost(refund) || mayRepeatAcknowledged(refund, gateway.repeatAcknowledged);
}

/** By the age of the intent: by that of the last send, which each repeat renews, a create would be repeated every minute for a month. */
function nextRepeat(refund: Refund, policy: DecisionPolicy, now: Date): Date {
  return nextLookAt(policy.gateway.scheduleMs, refund.registeredAt, now, policy.jitter);
}

function unchanged(refund: Refund, explanation: string): Decision {
  return {
    effect: 'unchanged',
    status: refund.status,
    reserved: refund.reserved,
    nextSyncAt: refund.nextSyncAt,
    patch: {},
    explanation: explanation.slice(0, 500),
    gatewayStatus: null,
    followUp: 'none',
  };
}

function withPatch(decision: Decision, patch: RefundPatch): Decision {
  return { ...decision, patch: { ...patch, ...decision.patch } };
}

/** Asking has gone on for so long that a person must look: since it was registered, or since it came back to progress. */
function isOver({ status, registeredAt, statusChangedAt }: Refund, policy: DecisionPolicy, now: Date): boolean {
  const askedSinceMs = Math.max(registeredAt.getTime(), statusChangedAt.getTime());
  return status === 'progress' && now.getTime() - askedSinceMs >= policy.giveUpMs;
}

function giveUpReason(policy: DecisionPolicy): string {
  return `no end after ${Math.round(policy.giveUpMs / 86_400_000)} days of asking`;
}

/** The code and the sentence of a cell that asks a person. */
function reviewReason(status: RefundStatus, observation: Observation): [ReviewCode, string] {
  if (observation.kind === 'abnormal')
    return ['abnormal', `the gateway reports an abnormal refund: ${observation.message}`];
  if (observation.kind === 'success')
    return ['movedAfterEnd', `the gateway says the money was returned, but the refund had ended as ${status}`];
  return [
    'goneAfterSuccess',
    `the gateway says ${observation.kind} (${observation.raw.code}), but the refund is ${status}`,
  ];
}

/** An answer that contradicts what we know of the refund, in one sentence; undefined when it fits. */
function contradiction(
  { refund, gatewayPaymentNo, gatewayRefundNoTaken }: RefundFacts,
  observation: Observation,
  policy: DecisionPolicy,
): string | undefined {
  const { identity } = observation;
  const gatewayRefundNo = 'gatewayRefundNo' in observation ? observation.gatewayRefundNo : null;
  if (observation.kind === 'success') {
    if (observation.amountMinor !== refund.amount || observation.currency !== refund.currency) {
      return `the gateway refunded ${observation.amountMinor} ${observation.currency}, but ${refund.amount} ${refund.currency} was asked for`;
    }
  }
  const pairs: [string, string | undefined, string | null][] = [
    ['refund number', identity.gatewayRequestNo, refund.gatewayRequestNo],
    ['gateway refund number', identity.gatewayRefundNo, refund.gatewayRefundNo],
    ['gateway refund number', gatewayRefundNo ?? undefined, refund.gatewayRefundNo],
    ['payment number', identity.outTradeNo, refund.outTradeNo],
    ['merchant id', identity.merchantId, policy.merchantId],
  ];
  // One payment can have two numbers at its gateway; whichever of them we know must be among those that it names.
  const aliased = identity.gatewayPaymentNoAlias !== undefined && identity.gatewayPaymentNoAlias === gatewayPaymentNo;
  if (!aliased) pairs.push(["gateway's payment number", identity.gatewayPaymentNo, gatewayPaymentNo]);
  for (const [what, answered, known] of pairs) {
    if (answered !== undefined && known !== null && answered !== known) {
      return `the gateway answered for ${what} ${answered.slice(0, 64)}, but ours is ${known}`;
    }
  }
  if (gatewayRefundNoTaken) return 'the gateway answered with the number of another refund';
  if (gatewayRefundNo !== null && !isKeepable(gatewayRefundNo) && identity.gatewayRequestNo === undefined)
    return `the gateway named neither our number nor one of its own that can be kept (${gatewayRefundNo.length} characters)`;
  return undefined;
}

/**
 * What the column holds as it stands, and MySQL compares as it stands. Anything else is not kept: cut, it would be the number of
 * another refund.
 */
const KEEPABLE_NUMBER = /^[\x21-\x7e]{1,64}$/;

function isKeepable(gatewayRefundNo: string): boolean {
  return KEEPABLE_NUMBER.test(gatewayRefundNo);
}

/** The gateway's number of the refund, when the answer is proven and names one that we do not have yet. */
export function newGatewayRefundNo(refund: Refund, observation: Observation): string | null {
  if (refund.gatewayRefundNo !== null || !observation.authenticated || !('gatewayRefundNo' in observation)) return null;
  const { gatewayRefundNo } = observation;
  return gatewayRefundNo !== null && isKeepable(gatewayRefundNo) ? gatewayRefundNo : null;
}

function gatewayNumber(refund: Refund, observation: Observation): RefundPatch {
  const gatewayRefundNo = newGatewayRefundNo(refund, observation);
  return gatewayRefundNo === null ? {} : { gatewayRefundNo };
}

function acknowledgement(refund: Refund, observation: Observation): RefundPatch {
  const knows = observation.kind !== 'notFound' && observation.authenticated;
  return knows && (refund.createState === 'unknown' || refund.createState === 'inFlight')
    ? { createState: 'acknowledged' }
    : {};
}

function evidenceOf(observation: Observation, via: AnswerSource, now: Date): Evidence {
  return {
    kind: observation.kind,
    via,
    authenticated: observation.authenticated,
    seenAt: now.toISOString(),
    code: observation.raw.code.slice(0, 64),
    message: observation.raw.message.slice(0, 500),
    ...(observation.kind === 'success' ? { finishedAt: observation.finishedAt?.toISOString() ?? null } : {}),
  };
}

/** What merchants read of an answer that changed nothing. A case never reads as success. */
function gatewayStatusOf(status: RefundStatus, observation: Observation): GatewayStatus {
  if (status === 'review') return 'refund_progress';
  switch (observation.kind) {
    case 'success':
      return 'refund_success';
    case 'failed':
      return 'refund_fail';
    case 'notFound':
      return 'pay_not_found';
    case 'processing':
    case 'abnormal':
      return 'refund_progress';
  }
}

/** True when merchants see the status change: what `repair` of the merchant API says. */
export function isVisibleChange(before: RefundStatus, after: RefundStatus): boolean {
  return visibleStatus(before) !== visibleStatus(after);
}
