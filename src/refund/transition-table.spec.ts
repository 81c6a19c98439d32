import { describe, expect, it } from 'vitest';
import { OBSERVATION_KINDS, type ObservationKind } from '../gateway/observation.js';
import { REFUND_STATUSES, type RefundStatus } from './refund-status.js';
import { assertTableIsTotal, callbackCell, CELLS, QUERY_TABLE } from './transition-table.js';

type LooseTable = Record<string, Record<string, string>>;
const copyOfTable = (): LooseTable => structuredClone(QUERY_TABLE);

const pairs = REFUND_STATUSES.flatMap((status) =>
  OBSERVATION_KINDS.map((kind): [RefundStatus, ObservationKind] => [status, kind]),
);

describe('the check at the start', () => {
  it('passes the table that is used', () => {
    expect(() => assertTableIsTotal()).not.toThrow();
  });

  it.each(pairs)('refuses a table without a cell for %s × %s, and names it', (status, kind) => {
    const table = copyOfTable();
    delete table[status]?.[kind];
    expect(() => assertTableIsTotal(table)).toThrow(`no cell for ${status} × ${kind}`);
  });

  it.each(REFUND_STATUSES)('refuses a table without a row for %s', (status) => {
    const table = copyOfTable();
    delete table[status];
    expect(() => assertTableIsTotal(table)).toThrow(status);
  });

  it('refuses a cell that decide() does not know', () => {
    const table = copyOfTable();
    table.fail = { ...table.fail, success: 'succeeed' };
    expect(() => assertTableIsTotal(table)).toThrow('fail × success');
  });
});

describe('the table', () => {
  it('uses every cell that there is', () => {
    const used = new Set(Object.values(QUERY_TABLE).flatMap((row) => Object.values(row)));
    expect([...used].sort()).toEqual([...CELLS].sort());
  });

  it('lets a query end a refund only from progress, but for the declared late failure', () => {
    const ending = pairs.filter(([status, kind]) =>
      ['succeed', 'fail', 'lateFailure'].includes(QUERY_TABLE[status][kind]),
    );
    expect(ending).toEqual([
      ['progress', 'success'],
      ['progress', 'failed'],
      ['success', 'failed'],
    ]);
  });
});

describe('a callback', () => {
  it('decides from progress, and only to success or fail', () => {
    const deciding = pairs.filter(([status, kind]) => callbackCell(status, kind) !== 'askNow');
    expect(deciding.map(([status, kind]) => `${status} × ${kind}: ${callbackCell(status, kind)}`)).toEqual([
      'progress × success: succeed',
      'progress × failed: fail',
    ]);
  });
});
