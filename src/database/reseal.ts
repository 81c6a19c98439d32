import type { EntityMetadata } from 'typeorm';
import type { SecretBox } from '../shared/secret-box.js';
import { errorText } from '../shared/errors.js';
import type { Db } from './db.js';

/** What became of one column of sealed texts. */
export interface ResealReport {
  table: string;
  column: string;
  /** Sealed with the current key now, and not before. */
  resealed: number;
  /** Had been sealed with the current key. */
  current: number;
  /** Could not be opened, or went on changing. Safe to show: no secret, no key. */
  failed: { id: string; fault: string }[];
}

const BATCH = 100;

/**
 * Seals everything with the current key that an old one sealed. Each batch is a short transaction, and a row is written only as it was
 * read: the service may run meanwhile. What is done stays done, so that a broken run is simply started again.
 */
export async function resealEverything(
  db: Db,
  secretBox: SecretBox,
  entities: readonly EntityMetadata[],
  onBatch: (report: ResealReport) => void = () => undefined,
): Promise<ResealReport[]> {
  const reports: ResealReport[] = [];
  for (const { tableName, columns, primaryColumns } of entities) {
    // `sealedAt` is a time.
    const sealedTexts = columns.filter(
      ({ propertyName, type }) => /^sealed[A-Z]/.test(propertyName) && type === 'text',
    );
    for (const { databaseName } of sealedTexts) {
      if (primaryColumns.length !== 1 || primaryColumns[0]?.databaseName !== 'id')
        throw new Error(`${tableName} has sealed texts and no id: the rotation cannot name their context`);
      const report: ResealReport = { table: tableName, column: databaseName, resealed: 0, current: 0, failed: [] };
      reports.push(report);
      for (let afterId: string | undefined = ''; afterId !== undefined; onBatch(report))
        afterId = await resealBatch(db, secretBox, report, afterId);
    }
  }
  return reports;
}

/** @returns the last id of the batch; undefined when there is no more. */
async function resealBatch(
  db: Db,
  secretBox: SecretBox,
  report: ResealReport,
  afterId: string,
): Promise<string | undefined> {
  const { table, column } = report;
  // Counted when the transaction has happened: it may be run again.
  const batch = await db.transaction(async (manager) => {
    const rows = await manager.query<{ id: string; sealed: string }[]>(
      `SELECT id, ${column} AS sealed FROM ${table} WHERE id > ? AND ${column} IS NOT NULL ORDER BY id LIMIT ${BATCH}`,
      [afterId],
    );
    const done = { resealed: 0, current: 0, failed: [] as ResealReport['failed'], last: rows.at(-1)?.id };
    for (const { id, sealed } of rows) {
      if (sealed.startsWith(secretBox.prefix)) {
        done.current += 1;
        continue;
      }
      const again = resealed(secretBox, sealed, `${table}:${id}`);
      if (again instanceof Error) {
        done.failed.push({ id, fault: errorText(again) });
        continue;
      }
      await manager.query(`UPDATE ${table} SET ${column} = ? WHERE id = ? AND ${column} = ?`, [again, id, sealed]);
      const [now] = await manager.query<{ sealed: string }[]>(`SELECT ${column} AS sealed FROM ${table} WHERE id = ?`, [
        id,
      ]);
      if (now?.sealed === again) done.resealed += 1;
      else if (now === undefined || now.sealed.startsWith(secretBox.prefix)) done.current += 1;
      else done.failed.push({ id, fault: 'was changed meanwhile by a process that has an older MASTER_KEY' });
    }
    return done;
  });
  report.resealed += batch.resealed;
  report.current += batch.current;
  report.failed.push(...batch.failed);
  return batch.last;
}

function resealed(secretBox: SecretBox, sealed: string, context: string): string | Error {
  try {
    return secretBox.seal(secretBox.open(sealed, context), context);
  } catch (error) {
    return error instanceof Error ? error : new Error(errorText(error));
  }
}
