/** What a refund can be at a gateway. Each gateway has its own words for these on the wire. */
export const REFUND_STATUSES = ['processing', 'success', 'failed', 'closed', 'abnormal', 'notFound'] as const;
export type RefundStatus = (typeof REFUND_STATUSES)[number];

export interface ScriptStep {
  /** Milliseconds from the start of the script, not from the step before. */
  afterMs: number;
  status: RefundStatus;
}

/** A payment that refunds are taken from. Amounts in minor units. */
export interface PaymentRecord {
  outTradeNo: string;
  transactionId: string;
  amount: number;
  currency: string;
  /** False when the total was only inferred from refunds; then it grows with them. */
  declared: boolean;
  /** Where a gateway calls back that has one address per payment and none per refund (Alipay). */
  notifyUrl: string | null;
}

/** One refund number as the gateway knows it, and what was done with it. */
export interface RefundRecord {
  readonly outRefundNo: string;
  /** At the gateway. False for a number that was only asked for, whose create was lost, or that awaits its create. */
  stored: boolean;
  awaitCreate: boolean;
  outTradeNo: string;
  /** Minor units. */
  amount: number;
  currency: string;
  notifyUrl: string | null;
  script: readonly ScriptStep[];
  scriptStartedAtMs: number;
  /** Beats the script once it is set: a status that came from a call or a fault. */
  override: { status: RefundStatus; atMs: number } | null;
  gatewayRefundNo: string | null;
  createdAtMs: number;
  /** Canonical content of the first create, which a repeat must equal; null when no create was seen. */
  content: string | null;
  /** True when the merchant's own call asked for replies under the gateway's second key; callbacks then use it too. */
  secondKey: boolean;
  /** Which of the gateway's APIs it came by, where there are several; null = the first. Its callbacks are of that one. */
  wire: string | null;
  /** Money went to a card named in a later call instead of back where it came from. */
  redirected: boolean;

  queries: number;
  creates: number;
  redrives: number;
  activeQueries: number;
  activeCalls: number;
  maxConcurrentQueries: number;
  maxConcurrentCalls: number;
  callbacksSent: number;
  callbacksAcknowledged: number;
  /** Swallowed by a fault. */
  callbacksDropped: number;
  /** Not sent because the URL is not on this machine. */
  callbacksSkipped: number;
}

export interface Registration {
  outRefundNo: string;
  outTradeNo: string;
  amount: number;
  currency: string;
  script: readonly ScriptStep[];
  paymentAmount?: number | undefined;
  notifyUrl?: string | undefined;
  awaitCreate?: boolean | undefined;
  wire?: string | undefined;
}

export interface Created {
  payment: PaymentRecord;
  amount: number;
  notifyUrl: string | null;
  content: string;
  defaultScript: readonly ScriptStep[];
  secondKey: boolean;
  wire?: string | undefined;
}

export interface BookLimits {
  refunds: number;
  payments: number;
  /** Numbers that were asked for and are not at the gateway. */
  unknownNumbers: number;
}

/** How a gateway numbers its refunds and payments. */
export interface Numbering {
  refundNo(sequence: number): string;
  paymentNo(sequence: number): string;
}

/** The book is full. Nothing was written. */
export class BookFull extends Error {
  override readonly name = 'BookFull';
}

const DEFAULT_LIMITS: BookLimits = { refunds: 1_000_000, payments: 1_000_000, unknownNumbers: 100_000 };

/**
 * The truth of one channel: which refunds the gateway has, what becomes of them and when, and how often it was asked.
 *
 * A status is worked out when somebody looks, from the script and the clock; nothing has to happen at the moment of a
 * change, so a million scripted refunds cost no timer.
 */
export class RefundBook {
  private readonly refunds = new Map<string, RefundRecord>();
  private readonly byGatewayNo = new Map<string, RefundRecord>();
  private readonly byTrade = new Map<string, Set<RefundRecord>>();
  private readonly payments = new Map<string, PaymentRecord>();
  private readonly tradeByTransaction = new Map<string, string>();
  private unknownNumbers = 0;
  // Runs on over a reset: a service that remembers an earlier run must not see one of its numbers again.
  private sequence = 0;

  constructor(
    private readonly numbering: Numbering,
    private readonly limits: BookLimits = DEFAULT_LIMITS,
  ) {}

  get size(): number {
    return this.refunds.size;
  }

  get paymentCount(): number {
    return this.payments.size;
  }

  all(): IterableIterator<RefundRecord> {
    return this.refunds.values();
  }

  find(outRefundNo: string): RefundRecord | undefined {
    return this.refunds.get(outRefundNo);
  }

  findByGatewayNo(gatewayRefundNo: string): RefundRecord | undefined {
    return this.byGatewayNo.get(gatewayRefundNo);
  }

  /** The record of a number, made if it is new, so that calls about it can be counted. */
  heardOf(outRefundNo: string): RefundRecord {
    const known = this.refunds.get(outRefundNo);
    if (known) return known;
    const record = blankRecord(outRefundNo);
    // Past the limit a number is served but not remembered: a scan over random numbers must not fill the memory.
    if (this.unknownNumbers < this.limits.unknownNumbers) {
      this.unknownNumbers += 1;
      this.refunds.set(outRefundNo, record);
    }
    return record;
  }

  /**
   * Puts a refund into the gateway as if the merchant had sent it, or replaces what was registered under its number.
   *
   * @returns the record, whether it is new, and the status it had before (undefined if it was not at the gateway).
   */
  register(
    input: Registration,
    nowMs: number,
  ): { record: RefundRecord; isNew: boolean; before: RefundStatus | undefined } {
    const known = this.refunds.get(input.outRefundNo);
    const isNew = known === undefined || (!known.stored && !known.awaitCreate);
    if (known === undefined) this.requireRoom();
    const record = known ?? blankRecord(input.outRefundNo);
    const before = record.stored ? statusAt(record, nowMs) : undefined;
    if (known === undefined) this.refunds.set(record.outRefundNo, record);
    else if (isNew) this.unknownNumbers -= 1;

    const alreadyInPayment = record.outTradeNo === input.outTradeNo ? record.amount : 0;
    this.moveToTrade(record, input.outTradeNo);
    record.amount = input.amount;
    record.currency = input.currency;
    if (input.notifyUrl !== undefined) record.notifyUrl = input.notifyUrl;
    if (input.wire !== undefined) record.wire = input.wire;
    record.script = input.script;
    record.override = null;
    record.redirected = false;
    if (input.awaitCreate === true) {
      record.awaitCreate = true;
    } else {
      record.awaitCreate = false;
      record.scriptStartedAtMs = nowMs;
      if (!record.stored) this.markStored(record, nowMs);
    }
    if (input.paymentAmount !== undefined)
      this.declarePayment({ outTradeNo: input.outTradeNo, amount: input.paymentAmount, currency: input.currency });
    else this.inferPayment(record, alreadyInPayment);
    return { record, isNew, before };
  }

  /** Stores the refund of a create call; the caller has checked it. */
  create(record: RefundRecord, input: Created, nowMs: number): void {
    if (!this.refunds.has(record.outRefundNo)) this.requireRoom();
    if (!record.awaitCreate) {
      if (this.refunds.has(record.outRefundNo)) this.unknownNumbers -= 1;
      record.script = input.defaultScript;
    }
    this.refunds.set(record.outRefundNo, record);
    this.moveToTrade(record, input.payment.outTradeNo);
    record.awaitCreate = false;
    record.amount = input.amount;
    record.currency = input.payment.currency;
    record.notifyUrl = input.notifyUrl ?? record.notifyUrl;
    record.content = input.content;
    record.secondKey = input.secondKey;
    record.wire = input.wire ?? null;
    record.scriptStartedAtMs = nowMs;
    this.markStored(record, nowMs);
  }

  declarePayment(
    input: {
      outTradeNo: string;
      amount: number;
      currency: string;
      transactionId?: string | undefined;
      notifyUrl?: string | undefined;
    },
    declared = true,
  ): PaymentRecord {
    const known = this.payments.get(input.outTradeNo);
    if (known) {
      known.notifyUrl = input.notifyUrl ?? known.notifyUrl;
      known.amount = input.amount;
      known.currency = input.currency;
      known.declared = declared;
      if (input.transactionId !== undefined && input.transactionId !== known.transactionId) {
        this.tradeByTransaction.delete(known.transactionId);
        known.transactionId = input.transactionId;
        this.tradeByTransaction.set(known.transactionId, known.outTradeNo);
      }
      return known;
    }
    if (this.payments.size >= this.limits.payments)
      throw new BookFull(`the sandbox holds at most ${this.limits.payments} payments; POST /control/reset`);
    this.sequence += 1;
    const payment: PaymentRecord = {
      outTradeNo: input.outTradeNo,
      transactionId: input.transactionId ?? this.numbering.paymentNo(this.sequence),
      amount: input.amount,
      currency: input.currency,
      declared,
      notifyUrl: input.notifyUrl ?? null,
    };
    this.payments.set(payment.outTradeNo, payment);
    this.tradeByTransaction.set(payment.transactionId, payment.outTradeNo);
    return payment;
  }

  payment(outTradeNo: string): PaymentRecord | undefined {
    return this.payments.get(outTradeNo);
  }

  paymentByTransaction(transactionId: string): PaymentRecord | undefined {
    const outTradeNo = this.tradeByTransaction.get(transactionId);
    return outTradeNo === undefined ? undefined : this.payments.get(outTradeNo);
  }

  /** Every refund that was registered or created for a payment, also those that await their create. */
  ofPayment(outTradeNo: string): Iterable<RefundRecord> {
    return this.byTrade.get(outTradeNo) ?? [];
  }

  /** Refunds of a payment that are at the gateway, and the money they hold: closed and failed ones gave theirs back. */
  refundsOf(outTradeNo: string, nowMs: number): { count: number; heldAmount: number } {
    let count = 0;
    let heldAmount = 0;
    for (const record of this.byTrade.get(outTradeNo) ?? []) {
      if (!record.stored) continue;
      count += 1;
      const status = statusAt(record, nowMs);
      if (status !== 'closed' && status !== 'failed') heldAmount += record.amount;
    }
    return { count, heldAmount };
  }

  reset(): void {
    this.refunds.clear();
    this.byGatewayNo.clear();
    this.byTrade.clear();
    this.payments.clear();
    this.tradeByTransaction.clear();
    this.unknownNumbers = 0;
  }

  private requireRoom(): void {
    if (this.refunds.size >= this.limits.refunds)
      throw new BookFull(`the sandbox holds at most ${this.limits.refunds} refunds; POST /control/reset`);
  }

  private markStored(record: RefundRecord, nowMs: number): void {
    this.sequence += 1;
    record.stored = true;
    record.createdAtMs = nowMs;
    record.gatewayRefundNo = this.numbering.refundNo(this.sequence);
    this.byGatewayNo.set(record.gatewayRefundNo, record);
  }

  private moveToTrade(record: RefundRecord, outTradeNo: string): void {
    if (record.outTradeNo !== outTradeNo) this.byTrade.get(record.outTradeNo)?.delete(record);
    record.outTradeNo = outTradeNo;
    const siblings = this.byTrade.get(outTradeNo);
    if (siblings) siblings.add(record);
    else this.byTrade.set(outTradeNo, new Set([record]));
  }

  /** A refund registered without its payment's total: the payment is as large as its refunds need it to be. */
  private inferPayment(record: RefundRecord, alreadyInPayment: number): void {
    const payment = this.payments.get(record.outTradeNo);
    if (payment?.declared) return;
    const amount = (payment?.amount ?? 0) - alreadyInPayment + record.amount;
    this.declarePayment({ outTradeNo: record.outTradeNo, amount, currency: record.currency }, false);
  }
}

/** The status of a refund at a moment, as a query would find it. */
export function statusAt(record: RefundRecord, nowMs: number): RefundStatus {
  return statusAndSince(record, nowMs).status;
}

/** The status and when it began. */
export function statusAndSince(record: RefundRecord, nowMs: number): { status: RefundStatus; sinceMs: number } {
  if (!record.stored) return { status: 'notFound', sinceMs: record.createdAtMs };
  if (record.override) return { status: record.override.status, sinceMs: record.override.atMs };
  let status: RefundStatus = 'processing';
  let sinceMs = record.scriptStartedAtMs;
  for (const step of record.script) {
    const atMs = record.scriptStartedAtMs + step.afterMs;
    if (atMs > nowMs) break;
    if (step.status !== status) sinceMs = atMs;
    status = step.status;
  }
  return { status, sinceMs };
}

/** The changes of status that a script makes, steps that change nothing left out. */
export function transitionsOf(
  record: RefundRecord,
  before: RefundStatus | undefined,
): { atMs: number; status: RefundStatus }[] {
  const transitions: { atMs: number; status: RefundStatus }[] = [];
  let status = before ?? 'processing';
  for (const [index, step] of record.script.entries()) {
    // Of several steps at the same moment only the last one can ever be seen.
    if (record.script[index + 1]?.afterMs === step.afterMs) continue;
    if (step.status !== status)
      transitions.push({ atMs: record.scriptStartedAtMs + step.afterMs, status: step.status });
    status = step.status;
  }
  return transitions;
}

function blankRecord(outRefundNo: string): RefundRecord {
  return {
    outRefundNo,
    stored: false,
    awaitCreate: false,
    outTradeNo: '',
    amount: 0,
    currency: '',
    notifyUrl: null,
    script: [],
    scriptStartedAtMs: 0,
    override: null,
    gatewayRefundNo: null,
    createdAtMs: 0,
    content: null,
    secondKey: false,
    wire: null,
    redirected: false,
    queries: 0,
    creates: 0,
    redrives: 0,
    activeQueries: 0,
    activeCalls: 0,
    maxConcurrentQueries: 0,
    maxConcurrentCalls: 0,
    callbacksSent: 0,
    callbacksAcknowledged: 0,
    callbacksDropped: 0,
    callbacksSkipped: 0,
  };
}
