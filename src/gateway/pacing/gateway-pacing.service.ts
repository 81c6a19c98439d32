import { Inject, Injectable, type OnApplicationShutdown } from '@nestjs/common';
import { APP_CONFIG, type AppConfig } from '../../config/app-config.js';
import { SECOND_MS } from '../../shared/clock.js';
import type { ResolvedAccount } from '../gateway-account.service.js';
import { Line, type LineWish } from './line.js';
import type { PaceLimits } from './pace.js';
import { PACER, type Pacer } from './pacer.port.js';
import { Turn } from './turn.js';

/**
 * Below the limit, because gateways count in seconds of their own, and the network brings calls closer together than they were
 * sent.
 */
const HEADROOM = 0.97;
/** What comes before and after a call while it is counted as under way. */
const HOLD_MARGIN_MS = 10 * SECOND_MS;
/** Whoever waits for a slot holds a lease, most of which must be left to the call. */
const SLOT_PATIENCE_MS = 2 * SECOND_MS;
const SLOT_PATIENCE_PER_TIMEOUT = 0.25;
/** The sweep hands over this much work at a time, before it is known how fast it goes. */
const FEED_S = 0.25;
/** A pause that the sweep waits for. */
const SHORT_PAUSE_MS = 1_000;

export interface TurnWish extends LineWish {
  /** For a job of the queue, of which the process works on a limited number. */
  occupiesPlace: boolean;
}

/** The pace of one account as this process knows it; counters since the start of the process. */
export interface AccountPacing {
  accountId: string;
  /** Calls that began; how they ended; turns that were refused, by reason. */
  calls: number;
  answered: number;
  failed: number;
  limited: number;
  paced: number;
  circuitOpen: number;
  /** Milliseconds that all calls together waited for their slots. */
  waitedMs: number;
  waiting: number;
  /** Calls under way: in this process, in all. */
  held: number;
  inFlight: number;
  perSecond: number;
  circuit: 'closed' | 'open';
  openForMs: number;
  pausedForMs: number;
}

/**
 * Whose turn it is to call a gateway. Every call needs one: per account a rate and a number of calls at the same time, over all
 * processes; an account that is refused or not answered is left alone.
 */
@Injectable()
export class GatewayPacing implements OnApplicationShutdown {
  private readonly lines = new Map<string, Line>();
  private occupied = 0;
  private stopping = false;

  constructor(
    @Inject(PACER) private readonly pacer: Pacer,
    @Inject(APP_CONFIG) private readonly config: AppConfig,
  ) {}

  /**
   * Waits until it makes sense to prepare a call. Whoever gets a turn begins it when all is ready for the call, and ends it.
   *
   * @param wish default: of somebody who holds a lease already and cannot wait for long.
   * @throws GatewayError that nobody was asked: `circuit_open` at once, `paced` when the wait is or would be too long.
   */
  async turn(resolved: ResolvedAccount, wish?: TurnWish): Promise<Turn> {
    const { urgent, patienceMs, occupiesPlace } = wish ?? this.underLease();
    const line = this.lineOf(resolved);
    if (!urgent && (this.stopping || this.isCrowded(line))) throw line.paced();
    const places = occupiesPlace ? 1 : 0;
    this.occupy(line, places);
    try {
      await line.enter({ urgent, patienceMs });
      return new Turn(line, { urgent, patienceMs: this.slotPatienceMs() }, () => this.occupy(line, -places));
    } catch (error) {
      this.occupy(line, -places);
      throw error;
    }
  }

  /**
   * How many jobs of the account the sweep should hand over now: what waits elsewhere than in the database is in the way of others. `held`:
   * the account is left alone for a while.
   */
  room(resolved: ResolvedAccount): number | 'held' {
    const line = this.lineOf(resolved);
    const { suspect, openForMs, pausedForMs } = line.view();
    if (openForMs > 0 || pausedForMs > SHORT_PAUSE_MS) return 'held';
    if (pausedForMs > 0) return 0;
    if (suspect) return line.occupied === 0 ? 1 : 'held';
    if (!line.lingers) return Math.ceil(line.limits.perSecond * FEED_S);
    const room = Math.floor((this.config.syncConcurrency - this.occupied - line.occupied) / 2);
    if (line.occupied === 0) return Math.max(1, room);
    // A few at a time are not worth a claim.
    return room >= line.waiting ? Math.max(0, room) : 0;
  }

  /** The process stops: what does not wait for people waits no longer. */
  dismissJobs(): void {
    this.stopping = true;
    for (const line of this.lines.values()) line.dismissOthers();
  }

  snapshot(): AccountPacing[] {
    return [...this.lines.values()].map((line) => {
      const { waiting, held, inFlight, perSecond, suspect, openForMs, pausedForMs } = line.view();
      const circuit = suspect ? 'open' : 'closed';
      const { accountId, counters } = line;
      return { accountId, ...counters, waiting, held, inFlight, perSecond, circuit, openForMs, pausedForMs };
    });
  }

  async onApplicationShutdown(): Promise<void> {
    await this.pacer.close();
  }

  /**
   * An account whose jobs linger may have as many places as it leaves free: it gets half of them, the next one half of the rest, and some
   * are always left for accounts that are quick.
   */
  private isCrowded(line: Line): boolean {
    const free = this.config.syncConcurrency - this.occupied;
    return line.lingers && line.occupied >= Math.max(1, free);
  }

  private underLease(): TurnWish {
    return { urgent: true, patienceMs: this.slotPatienceMs(), occupiesPlace: false };
  }

  private slotPatienceMs(): number {
    return Math.min(SLOT_PATIENCE_MS, this.config.gatewayTimeoutMs * SLOT_PATIENCE_PER_TIMEOUT);
  }

  private occupy(line: Line, places: number): void {
    line.occupied += places;
    this.occupied += places;
  }

  private lineOf({ account, gateway }: ResolvedAccount): Line {
    let line = this.lines.get(account.id);
    if (!line) {
      line = new Line(account.id, this.pacer);
      this.lines.set(account.id, line);
    }
    line.limits = limitsOf({ account, gateway });
    line.holdMs = gateway.policy.timeoutMs + HOLD_MARGIN_MS;
    line.maxWindow = this.config.syncConcurrency;
    return line;
  }
}

export function limitsOf({ account, gateway }: Pick<ResolvedAccount, 'account' | 'gateway'>): PaceLimits {
  const { perSecond, concurrency } = gateway.policy.rate;
  return {
    perSecond: Math.min(perSecond, account.ratePerSecond ?? Infinity) * HEADROOM,
    concurrency: Math.min(concurrency, account.maxConcurrency ?? Infinity),
  };
}
