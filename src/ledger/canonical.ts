import { createHash } from 'node:crypto';
import type { EntityMetadata } from 'typeorm';
import { rawTime } from '../database/raw-values.js';
import { JsonFault, parseJson, stringifyJson, type JsonValue } from '../shared/lossless-json.js';

/**
 * The exact bytes over which an entry of the ledger is hashed, the same on every database (docs/operations.md, "The ledger"). What is
 * written here can never change for entries that are sealed: another form needs another version.
 */

/** The tables whose rows are chained; each has the columns of SEAL_COLUMNS. */
export const SEALED_TABLES = ['repair_record', 'audit_entry'] as const;
export type SealedTable = (typeof SEALED_TABLES)[number];

/** They hold the seal, so they are not part of what is sealed. */
const SEAL_COLUMNS: ReadonlySet<string> = new Set(['seq', 'hash', 'prevHash']);

/** What stands in place of the hash before the first entry. */
export const GENESIS_HASH = '0'.repeat(64);

/** Audit entries hold whole views; the strictness of the merchant API's bodies has no place here. */
const JSON_LIMITS = { maxDepth: 256, maxValues: 1_000_000, maxNumberLength: 1_000 };

/** A row as its driver hands it over. */
export type RawRow = Record<string, unknown>;

export interface SealedColumn {
  name: string;
  kind: 'integer' | 'text' | 'time' | 'json';
}

/**
 * Every column of the table but those of the seal: one that is added later is covered from its first row on.
 *
 * @throws when a column has a type whose canonical form is not defined.
 */
export function sealedColumns(metadata: EntityMetadata): SealedColumn[] {
  return metadata.columns
    .filter(({ databaseName }) => !SEAL_COLUMNS.has(databaseName))
    .map(({ databaseName, type }) => ({ name: databaseName, kind: kindOf(databaseName, type) }))
    .sort((a, b) => byCodeUnit(a.name, b.name));
}

function kindOf(name: string, type: unknown): SealedColumn['kind'] {
  switch (type) {
    case 'bigint':
    case 'int':
    case 'boolean':
      return 'integer';
    case 'varchar':
    case 'text':
      return 'text';
    case 'datetime':
      return 'time';
    case 'simple-json':
      return 'json';
    default:
      throw new Error(`column ${name} has type ${String(type)}, whose form in the ledger is not defined`);
  }
}

/** One entry as the text that is hashed. */
export function canonicalEntry(
  place: { seq: number; prevHash: string },
  table: SealedTable,
  columns: readonly SealedColumn[],
  row: RawRow,
): string {
  const members: string[] = [];
  for (const { name, kind } of columns) {
    const value = row[name];
    // A column that is null is left out: so adding a column to the table changes no entry that is sealed already.
    if (value !== null && value !== undefined) members.push(canonicalMember(name, kind, value));
  }
  return `{"ledger":"v1","seq":"${place.seq}","prev":${JSON.stringify(place.prevHash)},"table":"${table}","row":{${members.join(',')}}}`;
}

/** SHA-256 of the UTF-8 bytes, in lower-case hex. */
export function entryHash(canonical: string): string {
  return createHash('sha256').update(canonical, 'utf8').digest('hex');
}

function canonicalMember(name: string, kind: SealedColumn['kind'], value: unknown): string {
  const key = JSON.stringify(name);
  switch (kind) {
    case 'integer':
      return `${key}:"${integerText(name, value)}"`;
    case 'text':
      return `${key}:${JSON.stringify(text(name, value))}`;
    case 'time':
      return `${key}:"${timeText(name, value)}"`;
    case 'json':
      return jsonMember(name, text(name, value));
  }
}

/** MySQL hands 64-bit integers over as text, SQLite as numbers. */
function integerText(name: string, value: unknown): string {
  const digits =
    typeof value === 'boolean'
      ? String(Number(value))
      : typeof value === 'string' || typeof value === 'number' || typeof value === 'bigint'
        ? String(value)
        : '';
  if (!/^-?\d{1,20}$/.test(digits)) throw new Error(`column ${name} holds no whole number`);
  return digits;
}

function text(name: string, value: unknown): string {
  if (typeof value !== 'string') throw new Error(`column ${name} holds no text`);
  return value;
}

/** UTC with milliseconds. */
function timeText(name: string, value: unknown): string {
  const time = rawTime(value);
  if (time === null) throw new Error(`column ${name} holds no time`);
  return time.toISOString();
}

/** What cannot be read as JSON is sealed as the text that it is, under a name that no column has. */
function jsonMember(name: string, stored: string): string {
  try {
    return `${JSON.stringify(name)}:${stringifyJson(sorted(parseJson(stored, JSON_LIMITS)))}`;
  } catch (error) {
    if (!(error instanceof JsonFault)) throw error;
    return `${JSON.stringify(`${name} (not JSON)`)}:${JSON.stringify(stored)}`;
  }
}

/** Names in the order of their UTF-16 code units, at every depth; numbers keep the digits that they were written with. */
function sorted(value: JsonValue): JsonValue {
  if (Array.isArray(value)) return value.map(sorted);
  if (!(value instanceof Map)) return value;
  return new Map([...value].sort(([a], [b]) => byCodeUnit(a, b)).map(([name, member]) => [name, sorted(member)]));
}

function byCodeUnit(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
