import { mulberry32 } from './random.js';
import type { RefundStatus } from './refund-book.js';

export const FAULT_KINDS = [
  'timeout',
  'reset',
  'http500',
  'http429',
  'malformed',
  'badSignature',
  'slow',
  'wrongAmount',
  'dropCallback',
  'duplicateCallback',
  'lateCallback',
  'reorderCallbacks',
  'successThenFailed',
  'notFoundThenFound',
  'lostRequest',
  'lostAnswer',
  'refused',
  'systemError',
] as const;
export type FaultKind = (typeof FAULT_KINDS)[number];

/** What a call is. `redrive` is a further call about an existing refund (WeChat: apply-abnormal-refund). */
export type Operation = 'query' | 'create' | 'redrive' | 'callback';

export const FAULT_OPERATIONS = ['query', 'create', 'callback', 'any'] as const;
export type FaultOperation = (typeof FAULT_OPERATIONS)[number];

interface Reach {
  /** What the kind spoils when the fault says `any`. */
  any: readonly Operation[];
  /** What it may be aimed at by name. */
  named: readonly Operation[];
}

const ANSWERS: Reach = { any: ['query', 'create', 'redrive'], named: ['query', 'create'] };
// A message can be wrong in either direction; but `any` means answers, so that a fault for polling leaves callbacks alone.
const MESSAGES: Reach = { any: ANSWERS.any, named: ['query', 'create', 'callback'] };
const QUERIES: Reach = { any: ['query'], named: ['query'] };
const CREATES: Reach = { any: ['create'], named: ['create'] };
const CALLBACKS: Reach = { any: ['callback'], named: ['callback'] };

const REACH: Readonly<Record<FaultKind, Reach>> = {
  timeout: ANSWERS,
  reset: ANSWERS,
  http500: ANSWERS,
  http429: ANSWERS,
  slow: ANSWERS,
  malformed: MESSAGES,
  badSignature: MESSAGES,
  wrongAmount: MESSAGES,
  dropCallback: CALLBACKS,
  duplicateCallback: CALLBACKS,
  lateCallback: CALLBACKS,
  reorderCallbacks: CALLBACKS,
  successThenFailed: QUERIES,
  notFoundThenFound: QUERIES,
  lostRequest: CREATES,
  lostAnswer: CREATES,
  refused: CREATES,
  systemError: ANSWERS,
};

/** Operations that a kind may be aimed at, for messages. */
export function operationsOf(kind: FaultKind): readonly FaultOperation[] {
  return ['any', ...FAULT_OPERATIONS.filter((operation) => REACH[kind].named.some((named) => named === operation))];
}

export interface FaultRequest {
  kind: FaultKind;
  /** 0 never, 1 always. */
  rate: number;
  /** Largest number of calls it spoils; of `notFoundThenFound`: queries per refund that find nothing (default 2). */
  count: number | undefined;
  seed: number;
  operation: FaultOperation;
  outRefundNo: string | undefined;
  /** How long `slow`, `lateCallback` and `reorderCallbacks` take; undefined = the kind's own default. */
  delayMs: number | undefined;
}

export interface Fault extends FaultRequest {
  readonly id: number;
  /** Calls it was asked about. */
  seen: number;
  /** Calls it spoiled. */
  fired: number;
}

export interface FaultSubject {
  operation: Operation;
  outRefundNo: string;
  /** Truth at this moment. */
  status: RefundStatus;
}

interface PlannedFault extends Fault {
  random: () => number;
  /** notFoundThenFound: queries that still find nothing, by refund; 0 once it is found. */
  hidden: Map<string, number>;
}

const MAX_FAULTS = 1000;
const MAX_HIDDEN = 100_000;
const HIDDEN_QUERIES = 2;

export class TooManyFaults extends Error {
  override readonly name = 'TooManyFaults';
}

/**
 * Which calls go wrong, and how. Every fault has a generator of its own and draws once for each call that it could
 * spoil, whatever the other faults do; so the same seed and the same sequence of calls spoil the same calls again.
 */
export class FaultPlan {
  private faults: PlannedFault[] = [];
  private lastId = 0;

  add(request: FaultRequest): Fault {
    if (this.faults.length >= MAX_FAULTS) throw new TooManyFaults(`at most ${MAX_FAULTS} faults at a time`);
    this.lastId += 1;
    const fault: PlannedFault = {
      ...request,
      id: this.lastId,
      seen: 0,
      fired: 0,
      random: mulberry32(request.seed),
      hidden: new Map(),
    };
    this.faults.push(fault);
    return viewOf(fault);
  }

  list(): Fault[] {
    return this.faults.map(viewOf);
  }

  /** @param id one fault, or all of them. @returns how many were removed. */
  clear(id?: number): number {
    const before = this.faults.length;
    this.faults = id === undefined ? [] : this.faults.filter((fault) => fault.id !== id);
    return before - this.faults.length;
  }

  /** The fault that spoils this call: the oldest one that fires. */
  pick(subject: FaultSubject): Fault | null {
    let hit: PlannedFault | null = null;
    for (const fault of this.faults) {
      if (!applies(fault, subject)) continue;
      fault.seen += 1;
      if (fires(fault, subject, hit === null)) {
        hit = fault;
        fault.fired += 1;
      }
    }
    return hit;
  }
}

function applies(fault: PlannedFault, subject: FaultSubject): boolean {
  if (fault.outRefundNo !== undefined && fault.outRefundNo !== subject.outRefundNo) return false;
  const reach = REACH[fault.kind];
  if (fault.operation === 'any' ? !reach.any.includes(subject.operation) : fault.operation !== subject.operation)
    return false;
  if (fault.kind === 'successThenFailed') return subject.status === 'success';
  // There is nothing to hide, and no amount to falsify, in an answer that finds nothing. A create is answered with an amount.
  if (fault.kind === 'notFoundThenFound') return subject.status !== 'notFound';
  if (fault.kind === 'wrongAmount') return subject.operation === 'create' || subject.status !== 'notFound';
  return true;
}

/** @param free false when an older fault has this call already; the draw is made all the same. */
function fires(fault: PlannedFault, subject: FaultSubject, free: boolean): boolean {
  if (fault.kind === 'notFoundThenFound') return hides(fault, subject.outRefundNo, free);
  const drawn = fault.random() < fault.rate;
  return drawn && free && (fault.count === undefined || fault.fired < fault.count);
}

function hides(fault: PlannedFault, outRefundNo: string, free: boolean): boolean {
  let left = fault.hidden.get(outRefundNo);
  if (left === undefined) {
    if (fault.hidden.size >= MAX_HIDDEN) return false;
    // Drawn once per refund: whether it is one of those that show up late.
    left = fault.random() < fault.rate ? (fault.count ?? HIDDEN_QUERIES) : 0;
    fault.hidden.set(outRefundNo, left);
  }
  if (left === 0 || !free) return false;
  fault.hidden.set(outRefundNo, left - 1);
  return true;
}

function viewOf(fault: PlannedFault): Fault {
  const { id, kind, rate, count, seed, operation, outRefundNo, delayMs, seen, fired } = fault;
  return { id, kind, rate, count, seed, operation, outRefundNo, delayMs, seen, fired };
}
