import { ENTITIES } from '../../src/database/entities.js';
import type { TestService } from './service.js';

/** How many rows each table of the service has. */
export function rowCounts({ db }: TestService): Promise<Record<string, unknown>> {
  return db.read(async (manager) => {
    const counts = manager.connection.entityMetadatas.map(
      ({ tableName }) => `(SELECT COUNT(*) FROM ${tableName}) AS ${tableName}`,
    );
    const [row] = await manager.query<[Record<string, unknown>]>(`SELECT ${counts.join(', ')}`);
    return row;
  });
}

/** Every row of every table as text: what somebody who has stolen the database can read. */
export async function allRows({ db }: TestService): Promise<string> {
  const rows: unknown[] = [];
  for (const entity of ENTITIES) rows.push(await db.read((manager) => manager.find(entity)));
  return JSON.stringify(rows);
}
