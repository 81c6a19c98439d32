import { describe, expect, it } from 'vitest';
import { ENTITIES } from '../src/database/entities.js';
import { startService } from './support/service.js';
import { hasMysql } from './support/services.js';
import { testDatabase } from './support/test-database.js';

describe.each(['sqlite', 'mysql'])('the migrations on %s', async (kind) => {
  const available = kind === 'sqlite' || (await hasMysql());

  it.runIf(available)('make every column of every entity, can all be taken back, and made again', async () => {
    const database = await testDatabase(kind);
    const { db, close } = await startService({ database });
    /** Columns of a table, as the database has them; none where there is no such table. */
    const columnsOf = async (table: string): Promise<string[]> => {
      const sql =
        kind === 'mysql'
          ? 'SELECT COLUMN_NAME AS name FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = ?'
          : 'SELECT name FROM pragma_table_info(?)';
      const found: { name: string }[] = await db.read((manager) => manager.query(sql, [table]));
      return found.map(({ name }) => name).sort();
    };
    const schema = async (): Promise<Record<string, string[]>> => {
      const tables = await db.read(async (manager) => ENTITIES.map((entity) => manager.dataSource.getMetadata(entity)));
      const columns: Record<string, string[]> = {};
      for (const { tableName } of tables) columns[tableName] = await columnsOf(tableName);
      return columns;
    };
    const made = await schema();
    const wanted = await db.read(async (manager) =>
      Object.fromEntries(
        ENTITIES.map((entity) => {
          const { tableName, columns } = manager.dataSource.getMetadata(entity);
          return [tableName, columns.map(({ databaseName }) => databaseName).sort()];
        }),
      ),
    );
    // A generated column is the database's own affair.
    for (const [table, columns] of Object.entries(wanted)) expect(made[table]).toEqual(expect.arrayContaining(columns));

    await db.revertMigrations();
    expect(Object.values(await schema()).flat()).toEqual([]);

    expect((await db.migrate()).length).toBeGreaterThan(2);
    expect(await schema()).toEqual(made);
    await close();
    await database.drop();
  });
});
