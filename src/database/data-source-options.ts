import { chmodSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { DataSourceOptions } from 'typeorm';
import { MIGRATIONS } from '../../migrations/index.js';
import type { AppConfig } from '../config/app-config.js';
import { ENTITIES } from './entities.js';

interface PragmaTarget {
  pragma(text: string): unknown;
}

/** SQLite in the data directory, or MySQL / MariaDB by URL. `synchronize` is never on: migrations make the schema. */
export function dataSourceOptions(
  config: Pick<AppConfig, 'databaseUrl' | 'dataDir' | 'syncConcurrency'>,
): DataSourceOptions {
  const common = {
    entities: ENTITIES,
    migrations: MIGRATIONS,
    synchronize: false,
    migrationsRun: false,
    logging: false,
  } as const;
  if (config.databaseUrl !== undefined) {
    return {
      ...common,
      type: 'mysql',
      url: config.databaseUrl,
      charset: 'utf8mb4',
      timezone: 'Z',
      supportBigNumbers: true,
      bigNumberStrings: true,
      connectTimeout: 5_000,
      // No connection is held during a gateway call, so far fewer connections than running syncs are enough.
      extra: {
        connectionLimit: Math.min(32, config.syncConcurrency + 8),
        enableKeepAlive: true,
        // A stack for each statement, in case it fails, costs as much as the statement; TypeORM says which one failed.
        trace: false,
      },
    };
  }
  mkdirSync(config.dataDir, { recursive: true });
  const file = join(config.dataDir, 'refund-sync.db');
  return {
    ...common,
    type: 'better-sqlite3',
    database: file,
    prepareDatabase: (database: PragmaTarget) => {
      // Refunds are nobody else's business; the journal files take the mode of the database.
      chmodSync(file, 0o600);
      database.pragma('journal_mode = WAL');
      // FULL: a commit survives a power cut. With NORMAL the last commits could be lost, and with one the proof that a create was sent.
      database.pragma('synchronous = FULL');
      database.pragma('busy_timeout = 5000');
    },
  };
}
