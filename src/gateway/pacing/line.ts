import { GatewayError } from '../gateway.error.js';
import type { CallOutcome, PaceLimits, PaceRefusal } from './pace.js';
import type { Pacer, PacerReply } from './pacer.port.js';

/**
 * Slots are taken this far ahead, and no farther: a process that stalls keeps what it has taken from the others, and brings it late. With
 * rate and burst it makes no more than the limit in any second. The way to Redis and back comes on top: meanwhile nobody can ask.
 */
const HORIZON_MS = 10;
const MAX_WAY_MS = 50;
const WAY_WEIGHT = 0.2;
/** People who wait reach past the slots that the sweep may take, so that they are next. */
const URGENT_HORIZON_MS = 20;
/** Slots asked for at once. */
const MAX_WANTED = 64;
/** Calls that ended well are told of within this, with others or with the next question. */
const REPORT_MS = 20;
/** An account whose calls take longer holds its places for long. */
const SLOW_MS = 1_000;
const LATENCY_WEIGHT = 0.1;
/** So many who are ready for their slot are enough: more hold their leases for nothing. */
const ENOUGH_READY = 3;
const FIRST_WINDOW = 4;

/** The right to begin one call. */
export interface Slot {
  /** By `performance.now()`. */
  beginAtMs: number;
  /** The same moment by the clock that all processes share. */
  sharedMs: number;
  probe: boolean;
}

export interface LineWish {
  urgent: boolean;
  /** Waits no longer than this. */
  patienceMs: number;
}

interface Waiter<T> {
  untilMs: number;
  resolve: (value: T) => void;
  reject: (error: GatewayError) => void;
}

/** Those who wait for one thing, in order, each no longer than its patience. */
class Waiters<T> {
  private list: (Waiter<T> & { timer: NodeJS.Timeout })[] = [];

  get length(): number {
    return this.list.length;
  }

  add(patienceMs: number, outOfPatience: () => GatewayError): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const timer = setTimeout(() => {
        this.list = this.list.filter((other) => other.timer !== timer);
        reject(outOfPatience());
      }, patienceMs);
      this.list.push({ untilMs: performance.now() + patienceMs, resolve, reject, timer });
    });
  }

  /** Takes the first one out. */
  next(): Waiter<T> | undefined {
    const first = this.list.shift();
    clearTimeout(first?.timer);
    return first;
  }

  /** Turns away those whose patience ends before. */
  dismiss(untilMs: number, why: () => GatewayError): void {
    const leaving = this.list.filter((waiter) => waiter.untilMs < untilMs);
    this.list = this.list.filter((waiter) => waiter.untilMs >= untilMs);
    for (const { timer, reject } of leaving) {
      clearTimeout(timer);
      reject(why());
    }
  }
}

/** Who is ready for a slot, and when it makes sense to ask for one. */
interface Lane {
  ready: Waiters<Slot>;
  horizonMs: number;
  notBeforeMs: number;
}

/**
 * Who waits in this process for the turn of one account; people come before the sweep.
 *
 * There are two waits. At the door wait those who have locked nothing yet; let in are as many as it takes to have somebody ready for every
 * slot. Those who are in take their lease and then a slot, which they use at once. One question for slots is under way at a time, for
 * everybody who is ready by then.
 */
export class Line {
  limits: PaceLimits = { perSecond: 1, concurrency: 1 };
  /** A process that says nothing for so long is taken for dead, and its calls for ended. */
  holdMs = 0;
  /** Never more are let in. */
  maxWindow = 1;
  /** Jobs of the queue that wait here or are worked on. */
  occupied = 0;
  readonly counters = { calls: 0, answered: 0, failed: 0, limited: 0, paced: 0, circuitOpen: 0, waitedMs: 0 };

  private readonly door = { urgent: new Waiters<void>(), others: new Waiters<void>() };
  private window = FIRST_WINDOW;
  /** Were let in and have not begun. */
  private inside = 0;
  private readonly urgent: Lane = { ready: new Waiters(), horizonMs: URGENT_HORIZON_MS, notBeforeMs: 0 };
  private readonly others: Lane = { ready: new Waiters(), horizonMs: HORIZON_MS, notBeforeMs: 0 };
  /** Calls that may begin or are under way. */
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
  /** An exchange takes so long. */
  private wayMs = 0;

  constructor(
    readonly accountId: string,
    private readonly pacer: Pacer,
  ) {}

  get waiting(): number {
    return this.door.urgent.length + this.door.others.length + this.urgent.ready.length + this.others.ready.length;
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

  /**
   * Waits to be let in. Whoever is in goes out with `leave()`.
   *
   * @throws GatewayError `circuit_open` at once, `paced` when the patience has run out or would.
   */
  async enter({ urgent, patienceMs }: LineWish): Promise<void> {
    this.assertNotHeld(patienceMs);
    if (urgent ? this.inside < this.maxWindow : this.mayEnter()) this.inside += 1;
    else await (urgent ? this.door.urgent : this.door.others).add(patienceMs, () => this.paced());
  }

  /** Has begun its call, or will not. */
  leave(): void {
    this.inside -= 1;
    this.letIn();
  }

  /**
   * Waits for a slot.
   *
   * @throws GatewayError like `enter()`.
   */
  async take({ urgent, patienceMs }: LineWish): Promise<Slot> {
    this.assertNotHeld(patienceMs);
    const askedAtMs = performance.now();
    const lane = urgent ? this.urgent : this.others;
    const slot = lane.ready.add(patienceMs, () => this.paced());
    this.pump();
    const { beginAtMs } = await slot;
    this.counters.waitedMs += Math.max(0, beginAtMs - askedAtMs);
    this.adapt();
    return slot;
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
    if (this.refusal === 'full') this.askAgainFrom(0);
    this.pump();
  }

  /** Sends home who does not wait for people: the service stops. */
  dismissOthers(): void {
    for (const waiters of [this.door.others, this.others.ready]) waiters.dismiss(Infinity, () => this.paced());
  }

  /** @param retryAfterMs default: when those who wait here will have had their turn. */
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

  private assertNotHeld(patienceMs: number): void {
    const nowMs = performance.now();
    if (nowMs < this.openUntilMs) throw this.circuitOpen(this.openUntilMs - nowMs);
    if (nowMs + patienceMs < this.pausedUntilMs) throw this.paced(this.pausedUntilMs - nowMs);
  }

  private mayEnter(): boolean {
    return this.inside < Math.min(this.window, this.maxWindow) && this.others.ready.length < ENOUGH_READY;
  }

  private letIn(): void {
    for (let urgent = this.door.urgent; urgent.length > 0 && this.inside < this.maxWindow;) this.open(urgent);
    for (const { others } = this.door; others.length > 0 && this.mayEnter();) this.open(others);
  }

  private open(waiters: Waiters<void>): void {
    this.inside += 1;
    waiters.next()?.resolve();
  }

  /** More are let in when a slot finds nobody else ready, fewer when many stand by. */
  private adapt(): void {
    const ready = this.urgent.ready.length + this.others.ready.length;
    if (ready === 0) this.window = Math.min(this.maxWindow, this.window + 1);
    else if (ready > ENOUGH_READY) this.window = Math.max(1, this.window - 1);
  }

  private note(outcome: CallOutcome): void {
    const last = this.outcomes.at(-1);
    // Of answers in a row one says it all.
    if (outcome.kind === 'answered' && !outcome.probe && last?.kind === 'answered') return;
    this.outcomes.push(outcome);
  }

  private askAgainFrom(atMs: number): void {
    this.urgent.notBeforeMs = this.others.notBeforeMs = atMs;
  }

  private pump(): void {
    if (this.exchanging) return;
    const nowMs = performance.now();
    const lane = this.urgent.ready.length > 0 ? this.urgent : this.others;
    const wanted = nowMs < lane.notBeforeMs ? 0 : Math.min(MAX_WANTED, lane.ready.length);
    if (wanted === 0 && !this.mustReport) {
      if (lane.ready.length > 0) this.wakeAt(lane.notBeforeMs);
      else if (this.outcomes.length > 0 || this.held !== this.told) this.wakeAt(nowMs + REPORT_MS);
      return;
    }
    this.exchanging = true;
    this.exchange(lane, wanted)
      // A pacer does not fail; should one, nobody waits for it.
      .catch(() => this.dismissAll(Infinity, () => this.paced()))
      .finally(() => {
        this.exchanging = false;
        this.pump();
      });
  }

  private async exchange(lane: Lane, wanted: number): Promise<void> {
    const { outcomes, held } = this;
    const askedAtMs = performance.now();
    this.outcomes = [];
    this.mustReport = false;
    const reply = await this.pacer.exchange(
      { id: this.accountId, limits: this.limits },
      {
        ...{ held, outcomes, wanted, holdMs: this.holdMs },
        horizonMs: lane.horizonMs + Math.min(MAX_WAY_MS, this.wayMs),
      },
    );
    this.wayMs += (performance.now() - askedAtMs - this.wayMs) * WAY_WEIGHT;
    this.told = held + reply.granted;
    this.perSecond = reply.perSecond;
    this.inFlight = reply.inFlight;
    if (reply.granted > 0 && !reply.probe) this.suspect = false;
    if (outcomes.some(({ kind }) => kind === 'answered' || kind === 'limited')) this.suspect = false;
    for (let index = 0; index < reply.granted; index += 1) this.handOut(reply, index);
    if (wanted > 0) this.learn(reply, lane);
    this.letIn();
  }

  private handOut(reply: PacerReply, index: number): void {
    const sharedMs = Math.max(reply.nowMs, reply.firstAtMs + index * reply.spacingMs);
    const waiter = this.urgent.ready.next() ?? this.others.ready.next();
    if (waiter) {
      this.held += 1;
      waiter.resolve({ beginAtMs: sharedMs - reply.offsetMs, sharedMs, probe: reply.probe });
    } else if (reply.probe) {
      // Whoever it was for has left meanwhile.
      this.outcomes.push({ kind: 'unused', probe: true });
      this.mustReport = true;
    }
  }

  private learn({ refusal, retryAfterMs }: PacerReply, lane: Lane): void {
    const untilMs = performance.now() + retryAfterMs;
    this.refusal = refusal;
    switch (refusal) {
      case null:
        return this.askAgainFrom(0);
      case 'busy':
        lane.notBeforeMs = untilMs;
        return;
      case 'full':
        return this.askAgainFrom(untilMs);
      case 'paused':
        this.pausedUntilMs = untilMs;
        this.askAgainFrom(untilMs);
        return this.dismissAll(untilMs, () => this.paced(retryAfterMs));
      case 'open':
        this.openUntilMs = untilMs;
        this.suspect = true;
        return this.dismissAll(Infinity, () => this.circuitOpen(retryAfterMs));
    }
  }

  private dismissAll(untilMs: number, why: () => GatewayError): void {
    for (const waiters of [this.door.urgent, this.door.others, this.urgent.ready, this.others.ready])
      waiters.dismiss(untilMs, why);
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
    // Nobody waits: a process that has nothing else to do may end.
    if (this.waiting === 0) handle.unref();
    this.timer = { handle, atMs };
  }
}
