import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { canonicalEntry, entryHash, GENESIS_HASH, type RawRow, type SealedColumn } from './canonical.js';

const COLUMNS: SealedColumn[] = [
  { name: 'amount', kind: 'integer' },
  { name: 'before', kind: 'json' },
  { name: 'createdAt', kind: 'time' },
  { name: 'id', kind: 'integer' },
  { name: 'note', kind: 'text' },
];
const PLACE = { seq: 1, prevHash: GENESIS_HASH };
const entry = (row: RawRow): string => canonicalEntry(PLACE, 'audit_entry', COLUMNS, row);

const ON_MYSQL: RawRow = {
  id: '1753370980523324312',
  amount: '900',
  createdAt: new Date('2026-01-31T08:00:00.120Z'),
  before: '{"b":[1.50,{"z":null,"a":true}],"a":"é\\u0001"}',
  note: 'a "quoted"\nnote 退款',
};
const ON_SQLITE: RawRow = { ...ON_MYSQL, amount: 900, createdAt: '2026-01-31 08:00:00.120' };

describe('the canonical form of an entry', () => {
  it('is exactly this, whichever database the row comes from', () => {
    const expected =
      `{"ledger":"v1","seq":"1","prev":"${GENESIS_HASH}","table":"audit_entry","row":{"amount":"900",` +
      `"before":{"a":"é\\u0001","b":[1.50,{"a":true,"z":null}]},"createdAt":"2026-01-31T08:00:00.120Z",` +
      `"id":"1753370980523324312","note":"a \\"quoted\\"\\nnote 退款"}}`;
    expect(entry(ON_MYSQL)).toBe(expected);
    expect(entry(ON_SQLITE)).toBe(expected);
    // Pinned: a change of these bytes would make every ledger that is out there look broken.
    expect(entryHash(expected)).toBe('4ba470926ad41ef90781153670132b4c593f51b5d894c5cbb953eb7075f8693e');
  });

  it('leaves out what is null, so that a column added later changes no sealed entry', () => {
    const { note: _note, ...without } = ON_MYSQL;
    expect(entry({ ...ON_MYSQL, note: null })).toBe(entry(without));
    expect(entry({ ...ON_MYSQL, note: '' })).not.toBe(entry(without));
  });

  it('keeps what is no JSON apart from what is', () => {
    expect(entry({ id: '1', before: 'abc' })).toContain('{"before (not JSON)":"abc","id":"1"}');
    expect(entry({ id: '1', before: '{"a":1,"a":2}' })).toContain('"before (not JSON)"');
    expect(entry({ id: '1', before: '"abc"' })).toContain('{"before":"abc","id":"1"}');
  });

  it('is another for every other value of every column and every other place', () => {
    const rows = fc.record({
      id: fc.bigInt({ min: 1n, max: 9_223_372_036_854_775_807n }).map(String),
      amount: fc.integer().map(String),
      before: fc.option(fc.jsonValue().map((value) => JSON.stringify(value))),
      note: fc.option(fc.string({ unit: 'grapheme' })),
    });
    const parsed = (text: string | null): unknown => (text === null ? undefined : JSON.parse(text));
    fc.assert(
      fc.property(rows, rows, (a, b) => {
        const same =
          a.id === b.id &&
          a.amount === b.amount &&
          a.note === b.note &&
          sortedText(parsed(a.before)) === sortedText(parsed(b.before));
        expect(entry(a) === entry(b)).toBe(same);
      }),
    );
    expect(canonicalEntry({ ...PLACE, seq: 2 }, 'audit_entry', COLUMNS, ON_MYSQL)).not.toBe(entry(ON_MYSQL));
    expect(canonicalEntry(PLACE, 'repair_record', COLUMNS, ON_MYSQL)).not.toBe(entry(ON_MYSQL));
  });

  it('refuses values that no such column holds', () => {
    expect(() => entry({ id: '12a' })).toThrow('column id holds no whole number');
    expect(() => entry({ id: 1.5 })).toThrow('column id');
    expect(() => entry({ id: '1', createdAt: 'yesterday' })).toThrow('column createdAt holds no time');
    expect(() => entry({ id: '1', note: 5 })).toThrow('column note holds no text');
  });
});

function sortedText(value: unknown): string | undefined {
  return JSON.stringify(value, (_key, member: unknown) =>
    typeof member === 'object' && member !== null && !Array.isArray(member)
      ? Object.fromEntries(Object.entries(member).sort(([a], [b]) => (a < b ? -1 : 1)))
      : member,
  );
}
