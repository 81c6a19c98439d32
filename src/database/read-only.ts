import { join } from 'node:path';
import { DataSource, type EntityManager } from 'typeorm';
import type { AppConfig } from '../config/app-config.js';
import { ENTITIES } from './entities.js';

/**
 * Reads the database of a service that runs or does not, as it is at one moment, and cannot write to it. For tools: nothing is migrated,
 * nothing is made.
 *
 * @throws when there is no such database.
 */
export async function readOnly<T>(
  { databaseUrl, dataDir }: Pick<AppConfig, 'databaseUrl' | 'dataDir'>,
  work: (manager: EntityManager) => Promise<T>,
): Promise<T> {
  const mysql = databaseUrl !== undefined;
  const dataSource = new DataSource(
    mysql
      ? {
          type: 'mysql',
          url: databaseUrl,
          entities: ENTITIES,
          charset: 'utf8mb4',
          timezone: 'Z',
          supportBigNumbers: true,
          bigNumberStrings: true,
          connectTimeout: 5_000,
        }
      : { type: 'better-sqlite3', database: join(dataDir, 'refund-sync.db'), entities: ENTITIES, readonly: true },
  );
  await dataSource.initialize();
  const runner = dataSource.createQueryRunner();
  try {
    if (mysql) await runner.query('SET TRANSACTION ISOLATION LEVEL REPEATABLE READ');
    await runner.query(mysql ? 'START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY' : 'BEGIN');
    return await work(runner.manager);
  } finally {
    await runner.query('ROLLBACK').catch(() => undefined);
    await runner.release();
    await dataSource.destroy();
  }
}
