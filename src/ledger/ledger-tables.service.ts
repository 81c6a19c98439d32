import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { SEALED_TABLES, sealedColumns, type RawRow, type SealedColumn, type SealedTable } from './canonical.js';

/** A row that has its place in the chain, or is about to get it. */
export interface LedgerRow {
  table: SealedTable;
  id: string;
  raw: RawRow;
}

export interface Seal {
  table: SealedTable;
  id: string;
  seq: number;
  hash: string;
  prevHash: string;
}

const MAX_UPDATES_PER_STATEMENT = 200;

/** Statements on the sealed tables, whichever module writes their rows: the ledger knows places and bytes, not what they mean. */
@Injectable()
export class LedgerTables {
  private readonly columnsOf = new Map<SealedTable, readonly SealedColumn[]>();

  columns(manager: EntityManager, table: SealedTable): readonly SealedColumn[] {
    let columns = this.columnsOf.get(table);
    if (!columns) {
      columns = sealedColumns(manager.dataSource.getMetadata(table));
      this.columnsOf.set(table, columns);
    }
    return columns;
  }

  /** Whether a row waits for its place. One seek per table. */
  async hasUnsealed(manager: EntityManager): Promise<boolean> {
    for (const table of SEALED_TABLES) {
      const found: unknown[] = await manager.query(`SELECT id FROM ${table} WHERE seq IS NULL LIMIT 1`);
      if (found.length > 0) return true;
    }
    return false;
  }

  /**
   * The oldest rows without a place, by id over all tables. A row that is committed late has a smaller id than rows that were sealed before:
   * it is found all the same, because having no place is what is looked for.
   */
  async unsealed(manager: EntityManager, limit: number): Promise<LedgerRow[]> {
    const rows: LedgerRow[] = [];
    for (const table of SEALED_TABLES) {
      const raws: RawRow[] = await manager.query(
        `SELECT * FROM ${table} WHERE seq IS NULL ORDER BY id LIMIT ${Number(limit)}`,
      );
      for (const raw of raws) rows.push({ table, id: String(raw['id']), raw });
    }
    // Ids have equal lengths, so they compare as text.
    return rows.sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0)).slice(0, limit);
  }

  /** How many rows wait, counted up to `cap`, and when the first of them was written. */
  async backlog(manager: EntityManager, cap: number): Promise<{ count: number; oldestId: string | null }> {
    let count = 0;
    let oldestId: string | null = null;
    for (const table of SEALED_TABLES) {
      const [counted] = await manager.query<[{ n: unknown }]>(
        `SELECT COUNT(*) AS n FROM (SELECT 1 FROM ${table} WHERE seq IS NULL LIMIT ${Number(cap)}) t`,
      );
      count += Number(counted.n);
      const [first] = await manager.query<{ id: unknown }[]>(
        `SELECT id FROM ${table} WHERE seq IS NULL ORDER BY id LIMIT 1`,
      );
      if (first && (oldestId === null || String(first.id) < oldestId)) oldestId = String(first.id);
    }
    return { count, oldestId };
  }

  /** @throws when a row got its place from somebody else meanwhile: then nothing of the transaction may stay. */
  async seal(manager: EntityManager, isMysql: boolean, seals: readonly Seal[]): Promise<void> {
    for (const table of SEALED_TABLES) {
      const own = seals.filter((seal) => seal.table === table);
      const written = isMysql ? await sealOnMysql(manager, table, own) : await sealOnSqlite(manager, table, own);
      if (written !== own.length)
        throw new Error(`${own.length - written} rows of ${table} were sealed by somebody else`);
    }
  }
}

/** SQLite runs in this process: a statement per row costs next to nothing. */
async function sealOnSqlite(manager: EntityManager, table: SealedTable, seals: readonly Seal[]): Promise<number> {
  let written = 0;
  for (const { id, seq, hash, prevHash } of seals) {
    const returned: unknown[] = await manager.query(
      `UPDATE ${table} SET seq = ?, hash = ?, prevHash = ? WHERE id = ? AND seq IS NULL RETURNING id`,
      [seq, hash, prevHash, id],
    );
    written += returned.length;
  }
  return written;
}

async function sealOnMysql(manager: EntityManager, table: SealedTable, seals: readonly Seal[]): Promise<number> {
  let written = 0;
  for (let start = 0; start < seals.length; start += MAX_UPDATES_PER_STATEMENT) {
    const part = seals.slice(start, start + MAX_UPDATES_PER_STATEMENT);
    // Ids stand as digits: quoted ones would be compared as floating point. The first row names the columns.
    const selects = part.map(({ id }, index) => {
      const literal = BigInt(id).toString();
      return index === 0 ? `SELECT ${literal} AS id, ? AS seq, ? AS hash, ? AS prevHash` : `SELECT ${literal}, ?, ?, ?`;
    });
    const result = await manager.query<{ affectedRows: number }>(
      `UPDATE ${table} t JOIN (${selects.join(' UNION ALL ')}) v ON t.id = v.id SET t.seq = v.seq, t.hash = v.hash, t.prevHash = v.prevHash WHERE t.seq IS NULL`,
      part.flatMap(({ seq, hash, prevHash }) => [seq, hash, prevHash]),
    );
    written += result.affectedRows;
  }
  return written;
}
