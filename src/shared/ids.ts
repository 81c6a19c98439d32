import { randomInt } from 'node:crypto';
import { systemClock, type Clock } from './clock.js';

/**
 * Milliseconds are counted from this instant (the epoch of the first published snowflake scheme). Chosen so that every id made between
 * 2018 and 2080 has exactly 19 digits: clients that compare ids as text keep working.
 */
const EPOCH_MS = 1_288_834_974_657n;
const NODE_BITS = 10n;
const SEQUENCE_BITS = 12n;
const MAX_SEQUENCE = Number((1n << SEQUENCE_BITS) - 1n);
const TRAILING_DIGITS = 9;
const TRAILING_LIMIT = 10 ** TRAILING_DIGITS;
export const MAX_NODE_ID = Number((1n << NODE_BITS) - 1n);

const MAX_ID = 9_223_372_036_854_775_807n;
const ID_DIGITS = 19;

/** A 64-bit snowflake as text: JavaScript numbers lose digits above 2^53. */
export type Id = string;

export function isId(value: string): boolean {
  return /^[1-9]\d{18}$/.test(value) && BigInt(value) <= MAX_ID;
}

/** When an id was made, to the millisecond. */
export function timeOfId(id: Id): Date {
  return new Date(Number((BigInt(id) >> (NODE_BITS + SEQUENCE_BITS)) + EPOCH_MS));
}

/** The smallest id of a moment: what was made at or after it has this id or a larger one. */
export function firstIdAt(time: Date): Id {
  const ms = BigInt(time.getTime()) - EPOCH_MS;
  const id = ms < 0n ? 0n : ms << (NODE_BITS + SEQUENCE_BITS);
  return comparableId((id > MAX_ID ? MAX_ID : id).toString());
}

/** SQLite compares ids as text, so whatever is compared with one has as many digits. */
export function comparableId(digits: string): Id {
  return digits.padStart(ID_DIGITS, '0');
}

/**
 * Makes 64-bit ids that grow with time: 41 bits of milliseconds, 10 of node, 12 of sequence.
 *
 * A clock that goes backwards, or more than 4,096 ids in one millisecond, makes the generator run ahead of the clock instead of
 * repeating an id. Two processes with the same node id could make the same id in the same millisecond; every id is a primary key, so the
 * database refuses the second and its transaction is repeated with a new one.
 */
export class IdGenerator {
  private lastMs = 0;
  private sequence = 0;
  /** The digits of the first id of `lastMs`: all but the last nine, and those nine as a number. */
  private leading = '';
  private trailing = 0;

  constructor(
    private readonly clock: Clock = systemClock,
    private readonly nodeId: number = randomInt(MAX_NODE_ID + 1),
  ) {}

  next(): Id {
    const nowMs = this.clock.now().getTime();
    if (nowMs > this.lastMs) this.begin(nowMs);
    else if (this.sequence < MAX_SEQUENCE) this.sequence += 1;
    else this.begin(this.lastMs + 1);
    const trailing = this.trailing + this.sequence;
    if (trailing < TRAILING_LIMIT) return this.leading + String(trailing).padStart(TRAILING_DIGITS, '0');
    return String(BigInt(this.leading) + 1n) + String(trailing - TRAILING_LIMIT).padStart(TRAILING_DIGITS, '0');
  }

  /** Big integers are slow, and a commit of many refunds takes hundreds of ids in the same millisecond. */
  private begin(ms: number): void {
    this.lastMs = ms;
    this.sequence = 0;
    const first = ((BigInt(ms) - EPOCH_MS) << (NODE_BITS + SEQUENCE_BITS)) | (BigInt(this.nodeId) << SEQUENCE_BITS);
    this.leading = String(first / BigInt(TRAILING_LIMIT));
    this.trailing = Number(first % BigInt(TRAILING_LIMIT));
  }
}
