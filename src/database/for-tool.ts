import { DataSource, type EntityMetadata } from 'typeorm';
import type { AppConfig } from '../config/app-config.js';
import { systemClock } from '../shared/clock.js';
import { dataSourceOptions } from './data-source-options.js';
import { Db } from './db.js';

const CONNECTIONS = 1;

/**
 * The database of a service that runs or does not, for a tool that writes to it. Nothing is migrated: to another version's schema a tool
 * would do what nobody expects.
 *
 * @throws when the schema is not that of this version.
 */
export async function forTool<T>(
  { databaseUrl, dataDir }: Pick<AppConfig, 'databaseUrl' | 'dataDir'>,
  work: (db: Db, entities: readonly EntityMetadata[]) => Promise<T>,
): Promise<T> {
  const dataSource = new DataSource(dataSourceOptions({ databaseUrl, dataDir, syncConcurrency: CONNECTIONS }));
  await dataSource.initialize();
  try {
    if (await dataSource.showMigrations())
      throw new Error('the schema is not that of this version: start the service once, then run this again');
    return await work(new Db(dataSource, systemClock), dataSource.entityMetadatas);
  } finally {
    await dataSource.destroy();
  }
}
