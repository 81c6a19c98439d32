import { ENTITIES } from '../../src/database/entities.js';
import type { TestService } from './service.js';

/** How many rows each table of the service has. */
export async function rowCounts({ db }: TestService): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const entity of ENTITIES) counts[entity.name] = await db.read((manager) => manager.count(entity));
  return counts;
}

/** Every row of every table as text: what somebody who has stolen the database can read. */
export async function allRows({ db }: TestService): Promise<string> {
  const rows: unknown[] = [];
  for (const entity of ENTITIES) rows.push(await db.read((manager) => manager.find(entity)));
  return JSON.stringify(rows);
}
