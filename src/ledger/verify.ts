import type { EntityManager } from 'typeorm';
import { canonicalEntry, entryHash, GENESIS_HASH, SEALED_TABLES, type RawRow, type SealedTable } from './canonical.js';
import type { HeadSigner } from './head-mac.js';
import { LedgerTables } from './ledger-tables.service.js';

/** A head that somebody noted outside of the database. */
export interface Anchor {
  seq: number;
  hash: string;
}

/** The first thing that is wrong. */
export interface LedgerBreak {
  /** Number of the entry. */
  seq: number;
  table: SealedTable | null;
  /** Of the row, where there is one. */
  id: string | null;
  fault: string;
}

export interface LedgerReport {
  ok: boolean;
  /** Entries that were recomputed and are what they were, up to the first break. */
  verified: number;
  head: Anchor;
  /** `unchecked`: without MASTER_KEY nobody can tell. */
  headSignature: 'genuine' | 'forged' | 'unchecked';
  anchor: 'none' | 'matches' | 'differs';
  break: LedgerBreak | null;
  /** Committed, and not yet part of the chain: nothing proves what they were. */
  unsealed: { count: number; oldestId: string | null };
}

interface Entry {
  table: SealedTable;
  seq: number;
  raw: RawRow;
}

const PAGE = 500;
const NO_CAP = Number.MAX_SAFE_INTEGER;

/**
 * Recomputes the chain from its first entry, row by row, in constant memory. Wants to see the database at one moment: a sealer that goes on
 * meanwhile would look like a break.
 */
export async function verifyLedger(
  manager: EntityManager,
  options: { signer: HeadSigner | undefined; anchor?: Anchor | undefined },
): Promise<LedgerReport> {
  const tables = new LedgerTables();
  const { signer, anchor } = options;
  const [stored] = await manager.query<{ seq: unknown; hash: string; mac: string | null }[]>(
    'SELECT seq, hash, mac FROM ledger_head WHERE id = 1',
  );
  const head = { seq: Number(stored?.seq ?? 0), hash: stored?.hash ?? GENESIS_HASH, mac: stored?.mac ?? null };
  const headSignature = !signer ? 'unchecked' : stored && signer.isGenuine(head) ? 'genuine' : 'forged';
  const walk = await walkChain(manager, tables, anchor);
  const { count, oldestId } = await tables.backlog(manager, NO_CAP);
  const broken = walk.break ?? (stored ? headBreak(walk, head, headSignature) : noHead()) ?? anchorBreak(walk, anchor);
  return {
    ok: broken === null,
    verified: walk.seq,
    head: { seq: head.seq, hash: head.hash },
    headSignature,
    anchor: !anchor ? 'none' : walk.atAnchor === anchor.hash ? 'matches' : 'differs',
    break: broken,
    unsealed: { count, oldestId },
  };
}

interface Walk {
  /** Of the last good entry. */
  seq: number;
  hash: string;
  /** The hash that the chain has where the anchor was noted. */
  atAnchor: string | undefined;
  break: LedgerBreak | null;
}

async function walkChain(manager: EntityManager, tables: LedgerTables, anchor: Anchor | undefined): Promise<Walk> {
  const walk: Walk = { seq: 0, hash: GENESIS_HASH, atAnchor: undefined, break: null };
  if (anchor?.seq === 0) walk.atAnchor = GENESIS_HASH;
  for await (const { table, seq, raw } of entriesInOrder(manager)) {
    const expected = walk.seq + 1;
    const id = String(raw['id']);
    const at = (fault: string, place = seq): LedgerBreak => ({ seq: place, table, id, fault });
    if (seq > expected) {
      walk.break = { seq: expected, table: null, id: null, fault: `is missing: the next one is entry ${seq}` };
    } else if (seq < expected) {
      walk.break = at(seq < 1 ? 'has a place before the first' : 'is there twice');
    } else if (raw['prevHash'] !== walk.hash) {
      walk.break = at('does not name the hash of the entry before it');
    } else {
      const hash = hashOf(manager, tables, { table, seq, raw }, walk.hash);
      if (raw['hash'] !== hash) walk.break = at('was changed after it was sealed: its hash is another');
      else Object.assign(walk, { seq, hash });
    }
    if (walk.break) return walk;
    if (seq === anchor?.seq) {
      walk.atAnchor = walk.hash;
      if (walk.hash !== anchor.hash) {
        walk.break = at('is not the entry that was noted: the chain was written anew');
        return walk;
      }
    }
  }
  return walk;
}

/** A row whose values cannot be brought into their canonical form was not written by the service. */
function hashOf(manager: EntityManager, tables: LedgerTables, entry: Entry, prevHash: string): string | undefined {
  const { table, seq, raw } = entry;
  try {
    return entryHash(canonicalEntry({ seq, prevHash }, table, tables.columns(manager, table), raw));
  } catch {
    return undefined;
  }
}

function headBreak(walk: Walk, head: Anchor, signature: LedgerReport['headSignature']): LedgerBreak | null {
  const nowhere = { table: null, id: null };
  if (walk.seq < head.seq)
    return {
      ...nowhere,
      seq: walk.seq + 1,
      fault: `is missing: the recorded head is entry ${head.seq}, the tail was deleted`,
    };
  if (walk.seq > head.seq)
    return { ...nowhere, seq: head.seq + 1, fault: `stands behind the recorded head, entry ${head.seq}` };
  if (walk.hash !== head.hash) return { ...nowhere, seq: head.seq, fault: 'has another hash than the recorded head' };
  if (signature === 'forged')
    return {
      ...nowhere,
      seq: head.seq,
      fault: 'is a head that was not signed with this MASTER_KEY: the chain was written anew',
    };
  return null;
}

function noHead(): LedgerBreak {
  return { seq: 1, table: null, id: null, fault: 'cannot be checked: the recorded head was deleted' };
}

function anchorBreak(walk: Walk, anchor: Anchor | undefined): LedgerBreak | null {
  if (!anchor || walk.atAnchor === anchor.hash) return null;
  if (anchor.seq === 0) return { seq: 0, table: null, id: null, fault: 'is not what an empty ledger has' };
  return {
    seq: walk.seq + 1,
    table: null,
    id: null,
    fault: `is missing: entry ${anchor.seq} was noted, but the chain ends at ${walk.seq}`,
  };
}

/** The rows of all tables by their place, of which there should be one each. */
async function* entriesInOrder(manager: EntityManager): AsyncGenerator<Entry> {
  const readers = await Promise.all(
    SEALED_TABLES.map(async (table) => {
      const rows = entriesOf(manager, table);
      return { rows, next: await rows.next() };
    }),
  );
  for (;;) {
    let first: (typeof readers)[number] | undefined;
    for (const reader of readers) {
      if (reader.next.done) continue;
      if (!first || first.next.done || reader.next.value.seq < first.next.value.seq) first = reader;
    }
    if (!first || first.next.done) return;
    yield first.next.value;
    first.next = await first.rows.next();
  }
}

async function* entriesOf(manager: EntityManager, table: SealedTable): AsyncGenerator<Entry, undefined> {
  let after = '';
  let parameters: unknown[] = [];
  for (;;) {
    const raws: RawRow[] = await manager.query(
      `SELECT * FROM ${table} WHERE seq IS NOT NULL ${after} ORDER BY seq, id LIMIT ${PAGE}`,
      parameters,
    );
    for (const raw of raws) yield { table, seq: Number(raw['seq']), raw };
    const last = raws.at(-1);
    if (!last || raws.length < PAGE) return undefined;
    // Places that are taken twice are what is looked for, so the page may end between two of them.
    after = 'AND seq >= ? AND (seq > ? OR id > ?)';
    parameters = [last['seq'], last['seq'], last['id']];
  }
}
