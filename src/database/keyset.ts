import type { ObjectLiteral, SelectQueryBuilder } from 'typeorm';
import { HOUR_MS } from '../shared/clock.js';
import { comparableId, firstIdAt } from '../shared/ids.js';

/** A part of a list in the order of ids, which is the order of time. */
export interface Keyset {
  /** The last id of the part before. */
  cursor?: string;
  limit: number;
  /** At or after. */
  from?: Date;
  /** Before. */
  to?: Date;
}

/** Ids run ahead of the clock while it goes back, or while more are made than a millisecond has. */
const RUN_AHEAD_MS = HOUR_MS;

/**
 * Restricts a query to a part of its list. The time is compared exactly; the ids around it, which hold the time too, let the primary key
 * find the place in a table of any size.
 */
export function keyset<Row extends ObjectLiteral>(
  query: SelectQueryBuilder<Row>,
  options: Keyset & { timeColumn: keyof Row & string; order: 'ASC' | 'DESC' },
): SelectQueryBuilder<Row> {
  const { cursor, limit, from, to, timeColumn, order } = options;
  const { alias } = query;
  const id = `${alias}.id`;
  query.orderBy(id, order).limit(limit);
  if (cursor !== undefined)
    query.andWhere(`${id} ${order === 'ASC' ? '>' : '<'} :cursor`, { cursor: comparableId(cursor) });
  if (from !== undefined) {
    query
      .andWhere(`${alias}.${timeColumn} >= :from`, { from })
      .andWhere(`${id} >= :fromId`, { fromId: firstIdAt(from) });
  }
  if (to !== undefined) {
    const toId = firstIdAt(new Date(to.getTime() + RUN_AHEAD_MS));
    query.andWhere(`${alias}.${timeColumn} < :to`, { to }).andWhere(`${id} < :toId`, { toId });
  }
  return query;
}

/** Adds an equality for every member that is given. */
export function matching<Row extends ObjectLiteral>(
  query: SelectQueryBuilder<Row>,
  values: Partial<Record<keyof Row & string, unknown>>,
): SelectQueryBuilder<Row> {
  for (const [column, value] of Object.entries(values)) {
    if (value !== undefined) query.andWhere(`${query.alias}.${column} = :${column}`, { [column]: value });
  }
  return query;
}
