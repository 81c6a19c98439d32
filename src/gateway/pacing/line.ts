import { GatewayError } from '../gateway.error.js';
import type { CallOutcome, PaceLimits, PaceRefusal } from './pace.js';
import type { Pacer, PacerReply } from './pacer.port.js';

/** People who wait reach past the slots that the sweep has taken, so that they are next. */
const URGENT_HORIZON_MS = 150;
const HORIZON_MS = 100;
/** Slots asked for at once. */
const MAX_WANTED = 64;
/** Calls that ended well are told of within this, with others or with the next question. */
const REPORT_MS = 20;
/** An account whose calls take longer holds its places for long. */
const SLOW_MS = 1_000;
const LATENCY_WEIGHT = 0.1;

/** The right to begin one call. */
export interface Slot {
  /** By `performance.now()`. */
  beginAtMs: number;
  /** The same moment by the clock that all processes share. */
  sharedMs: number;
  /** Others are lined up behind it: used late it would come together with theirs. */
  queued: boolean;
  probe: boolean;
}

export interface SlotWish {
  urgent: boolean;
  /** Waits no longer than this. */
  patienceMs: number;
  /** Has waited before. */
  first?: boolean;
}

interface Waiter {
  untilMs: number;
  resolve: (slot: Slot) => void;
  reject: (error: GatewayError) => void;
  timer: NodeJS.Timeout;
}

interface Lane {
  waiters: Waiter[];
  horizonMs: number;
  /** Asking before would be in vain. */
  notBeforeMs: number;
}

/**
 * Who waits in this process for the turn of one account. One question at a time is under way, for everybody who waits by then; people
 * come before the sweep.
 */
export class Line {
  limits: PaceLimits = { perSecond: 1, concurrency: 1 };
  /** A process that says nothing for so long is taken for dead, and its calls for ended. */
  holdMs = 0;
  /** Jobs of the queue that wait here or are worked on. */
  occupied = 0;
  readonly counters = { calls: 0, answered: 0, failed: 0, limited: 0, paced: 0, circuitOpen: 0, late: 0, waitedMs: 0 };

  private readonly urgent: Lane = { waiters: [], horizonMs: URGENT_HORIZON_MS, notBeforeMs: 0 };
  private readonly others: Lane = { waiters: [], horizonMs: HORIZON_MS, notBeforeMs: 0 };
  private held = 0;
  /** How many calls the others believe that this process holds. */
  private told = 0;
  private outcomes: CallOutcome[] = [];
  private mustReport = false;
  private exchanging = false;
  private timer: { handle: NodeJS.Timeout; atMs: number } | undefined;
  private refusal: PaceRefusal | null = null;
  private perSecond = 0;
  private inFlight = 0;
  private openUntilMs = 0;
  private pausedUntilMs = 0;
  /** The circuit was open when last heard of. */
  private suspect = false;
  private latencyMs = 0;

  constructor(
    readonly accountId: string,
    private readonly pacer: Pacer,
  ) {}

  get waiting(): number {
    return this.urgent.waiters.length + this.others.waiters.length;
  }

  /** Its jobs stay for long: they wait for slots, or for slow answers. */
  get lingers(): boolean {
    return this.refusal !== null || this.latencyMs > SLOW_MS;
  }

  /** What is known of the account in this process. */
  view(): {
    waiting: number;
    held: number;
    inFlight: number;
    perSecond: number;
    suspect: boolean;
    openForMs: number;
    pausedForMs: number;
    latencyMs: number;
  } {
    const nowMs = performance.now();
    return {
      waiting: this.waiting,
      held: this.held,
      inFlight: this.inFlight,
      perSecond: this.perSecond === 0 ? this.limits.perSecond : this.perSecond,
      suspect: this.suspect,
      openForMs: Math.max(0, this.openUntilMs - nowMs),
      pausedForMs: Math.max(0, this.pausedUntilMs - nowMs),
      latencyMs: this.latencyMs,
    };
  }

  /** @throws GatewayError `circuit_open` at once, `paced` when the patience has run out or would. */
  take({ urgent, patienceMs, first = false }: SlotWish): Promise<Slot> {
    const nowMs = performance.now();
    const untilMs = nowMs + patienceMs;
    if (nowMs < this.openUntilMs) return Promise.reject(this.circuitOpen(this.openUntilMs - nowMs));
    if (untilMs < this.pausedUntilMs) return Promise.reject(this.paced(this.pausedUntilMs - nowMs));
    const lane = urgent ? this.urgent : this.others;
    return new Promise<Slot>((resolve, reject) => {
      const waiter: Waiter = {
        untilMs,
        resolve: (slot) => {
          clearTimeout(waiter.timer);
          this.counters.waitedMs += Math.max(0, slot.beginAtMs - nowMs);
          resolve(slot);
        },
        reject: (error) => {
          clearTimeout(waiter.timer);
          reject(error);
        },
        timer: setTimeout(() => {
          lane.waiters = lane.waiters.filter((other) => other !== waiter);
          reject(this.paced());
        }, patienceMs),
      };
      if (first) lane.waiters.unshift(waiter);
      else lane.waiters.push(waiter);
      this.pump();
    });
  }

  /** The call is over, or was never begun (`undefined`). */
  giveBack(slot: Slot, outcome: Exclude<CallOutcome['kind'], 'unused'> | undefined, retryAfterMs = 0): void {
    this.held -= 1;
    const { probe } = slot;
    if (outcome === undefined) {
      if (probe) this.outcomes.push({ kind: 'unused', probe });
    } else {
      this.counters[outcome] += 1;
      const latencyMs = performance.now() - slot.beginAtMs;
      this.latencyMs += (latencyMs - this.latencyMs) * LATENCY_WEIGHT;
      this.note(
        outcome === 'limited'
          ? { kind: outcome, probe, retryAfterMs, askedAtMs: slot.sharedMs }
          : { kind: outcome, probe },
      );
    }
    this.mustReport ||= probe || outcome === 'failed' || outcome === 'limited' || this.refusal === 'full';
    if (this.refusal === 'full') this.urgent.notBeforeMs = this.others.notBeforeMs = 0;
    this.pump();
  }

  /** Sends home who does not wait for people: the service stops. */
  dismissOthers(): void {
    for (const waiter of this.others.waiters.splice(0)) waiter.reject(this.paced());
  }

  paced(retryAfterMs?: number): GatewayError {
    this.counters.paced += 1;
    const estimateMs = (1_000 * (this.waiting + 1)) / (this.perSecond === 0 ? this.limits.perSecond : this.perSecond);
    return new GatewayError('rateLimited', 'the calls that this gateway account allows are taken for now', {
      code: 'paced',
      retryAfterMs: Math.ceil(retryAfterMs ?? estimateMs),
      notAsked: true,
    });
  }

  private circuitOpen(retryAfterMs: number): GatewayError {
    this.counters.circuitOpen += 1;
    return new GatewayError('unavailable', 'the gateway has not answered lately and is left alone for a while', {
      code: 'circuit_open',
      retryAfterMs: Math.ceil(retryAfterMs),
      notAsked: true,
    });
  }

  private note(outcome: CallOutcome): void {
    const last = this.outcomes.at(-1);
    // Of answers in a row one says it all.
    if (outcome.kind === 'answered' && !outcome.probe && last?.kind === 'answered') return;
    this.outcomes.push(outcome);
  }

  private pump(): void {
    if (this.exchanging) return;
    const nowMs = performance.now();
    const lane = this.urgent.waiters.length > 0 ? this.urgent : this.others;
    const wanted = nowMs < lane.notBeforeMs ? 0 : Math.min(MAX_WANTED, lane.waiters.length);
    if (wanted === 0 && !this.mustReport) {
      if (lane.waiters.length > 0) this.wakeAt(lane.notBeforeMs);
      else if (this.outcomes.length > 0 || this.held !== this.told) this.wakeAt(nowMs + REPORT_MS);
      return;
    }
    this.exchanging = true;
    this.exchange(lane, wanted)
      .catch(() => {
        // A pacer does not fail; should one, nobody waits for it.
        for (const waiter of [...this.urgent.waiters.splice(0), ...this.others.waiters.splice(0)])
          waiter.reject(this.paced());
      })
      .finally(() => {
        this.exchanging = false;
        this.pump();
      });
  }

  private async exchange(lane: Lane, wanted: number): Promise<void> {
    const { outcomes, held } = this;
    this.outcomes = [];
    this.mustReport = false;
    const reply = await this.pacer.exchange(
      { id: this.accountId, limits: this.limits },
      { held, outcomes, wanted, horizonMs: lane.horizonMs, holdMs: this.holdMs },
    );
    this.told = held + reply.granted;
    this.perSecond = reply.perSecond;
    this.inFlight = reply.inFlight;
    if (reply.granted > 0 && !reply.probe) this.suspect = false;
    if (outcomes.some(({ kind }) => kind === 'answered' || kind === 'limited')) this.suspect = false;
    for (let index = 0; index < reply.granted; index += 1) this.handOut(reply, index);
    if (wanted > 0) this.learn(reply, lane);
  }

  private handOut(reply: PacerReply, index: number): void {
    const sharedMs = reply.firstAtMs + index * reply.spacingMs;
    const slot: Slot = {
      beginAtMs: sharedMs - reply.offsetMs,
      sharedMs,
      queued: sharedMs > reply.nowMs,
      probe: reply.probe,
    };
    const waiter = this.urgent.waiters.shift() ?? this.others.waiters.shift();
    if (waiter) {
      this.held += 1;
      waiter.resolve(slot);
    } else if (slot.probe) {
      // Whoever it was for has left meanwhile.
      this.outcomes.push({ kind: 'unused', probe: true });
      this.mustReport = true;
    }
  }

  private learn(reply: PacerReply, lane: Lane): void {
    const { refusal, retryAfterMs } = reply;
    const untilMs = performance.now() + retryAfterMs;
    this.refusal = refusal;
    switch (refusal) {
      case null:
        this.urgent.notBeforeMs = this.others.notBeforeMs = 0;
        return;
      case 'busy':
        lane.notBeforeMs = untilMs;
        return;
      case 'full':
        this.urgent.notBeforeMs = this.others.notBeforeMs = untilMs;
        return;
      case 'paused':
        this.pausedUntilMs = this.urgent.notBeforeMs = this.others.notBeforeMs = untilMs;
        for (const { waiters } of [this.urgent, this.others])
          for (const waiter of waiters.filter((one) => one.untilMs < untilMs)) {
            waiters.splice(waiters.indexOf(waiter), 1);
            waiter.reject(this.paced(retryAfterMs));
          }
        return;
      case 'open':
        this.openUntilMs = untilMs;
        this.suspect = true;
        for (const { waiters } of [this.urgent, this.others])
          for (const waiter of waiters.splice(0)) waiter.reject(this.circuitOpen(retryAfterMs));
        return;
    }
  }

  private wakeAt(atMs: number): void {
    if (this.timer && this.timer.atMs <= atMs) return;
    clearTimeout(this.timer?.handle);
    const handle = setTimeout(
      () => {
        this.timer = undefined;
        this.mustReport = this.outcomes.length > 0 || this.held !== this.told;
        this.pump();
      },
      Math.max(1, Math.ceil(atMs - performance.now())),
    );
    // Nobody's turn: a process that has nothing else to do may end.
    if (this.waiting === 0) handle.unref();
    this.timer = { handle, atMs };
  }
}
