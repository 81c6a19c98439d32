import type { Observation } from '../gateway/observation.js';
import { addMs, MINUTE_MS } from '../shared/clock.js';
import { minorToDecimal } from '../shared/money.js';
import type { Decision, DecisionPolicy, RefundFacts, RefundPatch } from './decide.js';
import { nextLookAfterEnd, REVIEW_LOOK_MS } from './look-schedule.js';
import type { Evidence, Refund } from './refund.entity.js';
import { isEnd, type RefundStatus } from './refund-status.js';

/**
 * What an operator can do with a case.
 *
 * - acceptSuccess: the money was returned; the refund ends as success
 * - acceptFailure: it was not; the refund ends as fail and its amount is refundable again
 * - close: the refund never took place; it ends as close and its amount is refundable again
 * - keepWaiting: stays a case, is looked at daily
 * - sendAgain: back to progress, and the very same create goes out once more, as the gateway's rule allows
 * - redrive: back to progress, and the gateway sends an abnormal refund on its way again
 * - reopen: an end becomes a case again. This undoes any of the above by a further entry; nothing is ever deleted.
 */
export const OPERATOR_COMMANDS = [
  'acceptSuccess',
  'acceptFailure',
  'close',
  'keepWaiting',
  'sendAgain',
  'redrive',
  'reopen',
] as const;
export type OperatorCommand = (typeof OPERATOR_COMMANDS)[number];

export interface CommandInput {
  kind: 'command';
  command: OperatorCommand;
  /** `refund.version` as the operator saw it. */
  expectedVersion: number;
  /** The operator's reason, kept with the records. */
  note: string;
}

export const REFUSAL_CODES = [
  'changed',
  'notACase',
  'isACase',
  'createUnknown',
  'gatewaySaysOtherwise',
  'askFirst',
  'notBelieved',
  'notOffered',
  'balanceSpent',
] as const;
export type RefusalCode = (typeof REFUSAL_CODES)[number];

export type CommandVerdict =
  | {
      allowed: true;
      decision: Decision;
      /** What the operator should know before confirming, one sentence each. */
      warnings: readonly string[];
    }
  | Refusal;

interface Refusal {
  allowed: false;
  code: RefusalCode;
  why: string;
}

/** A command was refused; nothing was written. */
export class CommandRefused extends Error {
  override readonly name = 'CommandRefused';
  readonly code: RefusalCode;

  constructor({ code, why }: Pick<Refusal, 'code' | 'why'>) {
    super(why);
    this.code = code;
  }
}

/** What decideCommand() reads, as locked by apply(). */
export type CommandFacts = Pick<RefundFacts, 'refund' | 'refundableBalance'>;

/** A query older than this says nothing of now. */
export const FRESH_EVIDENCE_MS = 10 * MINUTE_MS;

type EvidenceKind = Observation['kind'] | 'none';

/**
 * When a success may be accepted, by what the refund was before the case and by what the gateway said last. It keeps the amount spent, so a
 * person who knows more than the gateway may say so, but never against a gateway that says the refund is under way or did not happen,
 * unless it had confirmed the success before. Text: allowed, with this warning.
 */
const NOT_ARRIVED = 'the gateway says the money did not arrive: accept only when the customer has it by other means';
const NEVER_SAID =
  'the gateway has never answered for this refund: nothing but your word says that the money was returned';
const SAID_BEFORE = 'the gateway confirmed this refund once and says otherwise now';
const ACCEPT_SUCCESS: Record<'success' | 'other', Record<EvidenceKind, true | false | string>> = {
  success: {
    success: true,
    abnormal: NOT_ARRIVED,
    failed: SAID_BEFORE,
    notFound: SAID_BEFORE,
    processing: SAID_BEFORE,
    none: NEVER_SAID,
  },
  other: { success: true, abnormal: NOT_ARRIVED, failed: false, notFound: false, processing: false, none: NEVER_SAID },
};

/**
 * What an operator's command does to a refund, or why it may not be given. Pure and total: every command has a verdict for every refund.
 *
 * @param now the moment of the decision, UTC.
 */
export function decideCommand(
  facts: CommandFacts,
  input: CommandInput,
  policy: DecisionPolicy,
  now: Date,
): CommandVerdict {
  const { refund } = facts;
  if (input.expectedVersion !== refund.version)
    return refused(
      'changed',
      `the refund has changed: its version is ${refund.version}, not ${input.expectedVersion}; look at it again`,
    );
  if (input.command === 'reopen') return reopenCase(refund, input, now);
  if (refund.status !== 'review')
    return refused('notACase', `the refund is ${refund.status}: only a case can be settled, and this is none`);
  switch (input.command) {
    case 'acceptSuccess':
      return acceptSuccess(facts, input, policy, now);
    case 'acceptFailure':
    case 'close':
      return endWithoutMoney(refund, input, policy, now);
    case 'keepWaiting':
      return {
        allowed: true,
        decision: {
          ...caseOf(refund, input, 'it stays a case and is looked at daily'),
          nextSyncAt: addMs(now, REVIEW_LOOK_MS),
        },
        warnings: [],
      };
    case 'sendAgain':
      return sendAgain(refund, input, policy, now);
    case 'redrive':
      return redrive(facts, input, policy, now);
  }
}

function acceptSuccess(
  { refund, refundableBalance }: CommandFacts,
  input: CommandInput,
  policy: DecisionPolicy,
  now: Date,
): CommandVerdict {
  const evidence = refund.lastEvidence;
  const cell = ACCEPT_SUCCESS[refund.statusBeforeReview === 'success' ? 'success' : 'other'][evidence?.kind ?? 'none'];
  if (cell === false)
    return refused('gatewaySaysOtherwise', `the gateway's last word is ${wordOf(evidence)}: it does not say success`);
  const overRefund = refund.reserved ? 0 : Math.max(0, refund.amount - refundableBalance);
  const warnings = [
    ...(typeof cell === 'string' ? [cell] : []),
    ...(evidence?.contradiction === undefined
      ? []
      : [`the answer does not fit this refund: ${evidence.contradiction}`]),
    ...(evidence !== null && !evidence.authenticated ? ["the gateway's last word was not signed by it"] : []),
    ...(overRefund === 0
      ? []
      : [
          `${moneyOf(overRefund, refund)} of the amount is no longer in the refundable balance: the payment becomes over-refunded by it, with an urgent alert`,
        ]),
  ];
  return {
    allowed: true,
    warnings,
    decision: {
      ...ended(refund, input, 'success', nextLookAfterEnd(policy.gateway, now, now, policy.jitter)),
      reserved: true,
      overRefund,
      patch: {
        ...CASE_OVER,
        refundTime: refund.refundTime ?? finishedAt(evidence) ?? now,
        errorCode: null,
        errorMsg: null,
      },
      explanation: say(input, 'an operator accepted that the money was returned'),
    },
  };
}

/** Accept a failure, or close: the amount is refundable again, so the gateway must have been asked just now and must not have it. */
function endWithoutMoney(refund: Refund, input: CommandInput, policy: DecisionPolicy, now: Date): CommandVerdict {
  if (isCreateUnknown(refund))
    return refused(
      'createUnknown',
      'our create may have reached the gateway, or still may: returning the amount could refund it twice. Send it again, or wait for the gateway to know it',
    );
  const evidence = refund.lastEvidence;
  if (evidence && (evidence.kind === 'success' || evidence.kind === 'processing' || evidence.kind === 'abnormal'))
    return refused('gatewaySaysOtherwise', `the gateway's last word is ${wordOf(evidence)}: the money may have moved`);
  const proof = freshWord(refund, now);
  if ('code' in proof) return proof;
  const fails = input.command === 'acceptFailure';
  const said = proof.evidence;
  const warnings = [
    ...(fails && said.kind === 'notFound'
      ? ['the gateway does not know the refund at all: to close it says that more exactly']
      : []),
    ...(!fails && said.kind === 'failed' ? ['the gateway says it failed: to accept that says it more exactly'] : []),
    ...(said.kind === 'notFound' && !policy.gateway.notFoundIsDistinguishable
      ? ['at this gateway "not found" can also mean that it has not come to it yet']
      : []),
  ];
  return {
    allowed: true,
    warnings,
    decision: {
      ...ended(
        refund,
        input,
        fails ? 'fail' : 'close',
        // Nobody but the operator has said that it is over: it is looked at once more at least.
        fails && said.kind === 'failed'
          ? nextLookAfterEnd(policy.gateway, now, now, policy.jitter)
          : addMs(now, REVIEW_LOOK_MS),
      ),
      reserved: false,
      patch: {
        ...CASE_OVER,
        refundTime: null,
        errorCode: said.code,
        errorMsg: said.kind === 'failed' ? said.message : 'the gateway does not have this refund',
      },
      explanation: say(
        input,
        fails
          ? 'an operator accepted that the refund failed; the amount is refundable again'
          : 'an operator closed the refund; the amount is refundable again',
      ),
    },
  };
}

/** Only what may never have arrived, and only by the rule under which the service itself would repeat it. */
function sendAgain(refund: Refund, input: CommandInput, policy: DecisionPolicy, now: Date): CommandVerdict {
  if (refund.source !== 'created' || refund.createPayload === null)
    return refused('notOffered', 'the merchant sent this refund, not this service: there is nothing to send again');
  if (!isCreateUnknown(refund))
    return refused('notOffered', `the gateway's answer to the create is known (${refund.createState})`);
  if (refund.statusBeforeReview !== 'progress' || !refund.reserved)
    return refused('notOffered', `the refund was ${refund.statusBeforeReview ?? 'over'} before it became a case`);
  const proof = freshWord(refund, now);
  if ('code' in proof) return proof;
  if (proof.evidence.kind !== 'notFound')
    return refused('gatewaySaysOtherwise', `the gateway's last word is ${wordOf(proof.evidence)}: it has the refund`);
  const rule = policy.gateway.createReplay;
  if (refund.createAttempts > 0 && rule.mode === 'never')
    return refused('notOffered', 'this gateway must not be sent the same refund twice');
  if (refund.createAttempts > 0 && rule.mode === 'ttl' && now.getTime() - refund.createdAt.getTime() >= rule.ttlMs)
    return refused('notOffered', 'the gateway has forgotten the first send by now: a repeat could refund twice');
  return {
    allowed: true,
    warnings: [`${moneyOf(refund.amount, refund)} may leave the merchant's account at the gateway`],
    decision: resumed(refund, input, now, 'an operator had the same request sent again'),
  };
}

function redrive(
  { refund, refundableBalance }: CommandFacts,
  input: CommandInput,
  policy: DecisionPolicy,
  now: Date,
): CommandVerdict {
  if (!policy.offersRedrive)
    return refused('notOffered', 'this gateway offers no operation for a refund whose money did not arrive');
  if (refund.gatewayRefundNo === null)
    return refused('notOffered', "the gateway's own number of the refund is not known, and the operation needs it");
  const proof = freshWord(refund, now);
  if ('code' in proof) return proof;
  if (proof.evidence.kind !== 'abnormal')
    return refused(
      'gatewaySaysOtherwise',
      `the gateway's last word is ${wordOf(proof.evidence)}: only an abnormal refund can be sent on its way again`,
    );
  if (!refund.reserved && refundableBalance < refund.amount)
    return refused('balanceSpent', 'the amount is no longer in the refundable balance of the payment');
  return {
    allowed: true,
    warnings: [],
    decision: resumed(refund, input, now, 'an operator had the gateway send the money on its way again'),
  };
}

function reopenCase(refund: Refund, input: CommandInput, now: Date): CommandVerdict {
  if (!isEnd(refund.status)) return refused('isACase', `the refund is ${refund.status}: there is no end to take back`);
  if (refund.gatewayAccountId === null)
    return refused('notOffered', `${refund.channel} settles at once: there is no gateway to ask`);
  const explanation = say(input, `an operator took back the end ${refund.status}`);
  return {
    allowed: true,
    warnings: [],
    decision: {
      ...caseOf(refund, input, ''),
      effect: 'changed',
      nextSyncAt: now,
      patch: {
        statusBeforeReview: refund.status,
        reviewCode: 'reopened',
        reviewReason: explanation,
        reviewOwner: null,
      },
      explanation,
    },
  };
}

/** What the case leaves behind in the row: nothing. The records keep it. */
const CASE_OVER = {
  statusBeforeReview: null,
  reviewCode: null,
  reviewReason: null,
  reviewOwner: null,
  notFoundSince: null,
  notFoundCount: 0,
} satisfies RefundPatch;

function caseOf(refund: Refund, input: CommandInput, what: string): Decision {
  return {
    effect: 'unchanged',
    status: 'review',
    reserved: refund.reserved,
    nextSyncAt: refund.nextSyncAt,
    patch: {},
    explanation: say(input, what),
    gatewayStatus: null,
    followUp: 'none',
  };
}

function ended(refund: Refund, input: CommandInput, status: RefundStatus, nextSyncAt: Date | null): Decision {
  return { ...caseOf(refund, input, ''), effect: 'changed', status, nextSyncAt };
}

/** Back in progress and due: whatever becomes of the call that follows, the next look finds out. */
function resumed(refund: Refund, input: CommandInput, now: Date, what: string): Decision {
  return {
    ...ended(refund, input, 'progress', now),
    reserved: true,
    patch: { ...CASE_OVER, errorCode: null, errorMsg: null, refundTime: null },
    explanation: say(input, what),
  };
}

function say({ note }: CommandInput, what: string): string {
  return `${what}: ${note}`.slice(0, 500);
}

/** Ours, sent or about to be, and no answer has proved that it arrived. */
function isCreateUnknown({ source, createState }: Refund): boolean {
  return source === 'created' && (createState === 'unknown' || createState === 'inFlight');
}

/** What the gateway answered to a question within the last ten minutes, signed and about this very refund. */
function freshWord({ lastEvidence: evidence }: Refund, now: Date): Refusal | { evidence: Evidence } {
  const ageMs = evidence ? now.getTime() - Date.parse(evidence.seenAt) : Infinity;
  if (evidence?.via !== 'query' || !(ageMs <= FRESH_EVIDENCE_MS))
    return refused(
      'askFirst',
      'the gateway was not asked in the last 10 minutes: ask it first (POST /admin/refunds/:id/sync)',
    );
  if (!evidence.authenticated) return refused('notBelieved', "the gateway's last word was not signed by it");
  if (evidence.contradiction !== undefined)
    return refused('notBelieved', `the gateway's last word is not about this refund: ${evidence.contradiction}`);
  return { evidence };
}

function moneyOf(amountMinor: number, { currency }: Refund): string {
  return `${minorToDecimal(amountMinor, currency)} ${currency}`;
}

function wordOf(evidence: Evidence | null): string {
  return evidence === null ? 'missing' : `${evidence.kind} (${evidence.code}, ${evidence.seenAt})`;
}

function refused(code: RefusalCode, why: string): Refusal {
  return { allowed: false, code, why };
}

function finishedAt(evidence: Evidence | null): Date | null {
  return evidence?.kind === 'success' && evidence.finishedAt && evidence.contradiction === undefined
    ? new Date(evidence.finishedAt)
    : null;
}
