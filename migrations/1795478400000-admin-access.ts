import { Table, TableIndex, type MigrationInterface, type QueryRunner, type TableColumnOptions } from 'typeorm';
import { columnTypes, NULLABLE, PRIMARY } from './column-types.js';

const TABLES = ['api_token', 'admin_user', 'admin_session', 'login_failure'] as const;

/** Who may use the internal API: bearer tokens, users with passwords, their sessions, and what failed to log in. */
export class AdminAccess1795478400000 implements MigrationInterface {
  name = 'AdminAccess1795478400000';

  async up(runner: QueryRunner): Promise<void> {
    const { id, text, integer, flag, time } = columnTypes(runner);
    const create = async (
      name: (typeof TABLES)[number],
      columns: TableColumnOptions[],
      indices: { column: string; unique: boolean }[],
    ): Promise<void> => {
      await runner.createTable(new Table({ name, columns, engine: 'InnoDB' }));
      for (const { column, unique } of indices) {
        const index = new TableIndex({
          name: `${unique ? 'uq' : 'ix'}_${name}_${column}`,
          columnNames: [column],
          isUnique: unique,
        });
        await runner.createIndex(name, index);
      }
    };
    await create(
      'api_token',
      [
        id('id', PRIMARY),
        text('name', 64),
        text('role', 20),
        text('hint', 20),
        text('tokenHash', 64),
        text('createdBy', 100),
        time('createdAt'),
        time('expiresAt', NULLABLE),
        time('revokedAt', NULLABLE),
        time('lastUsedAt', NULLABLE),
      ],
      [
        { column: 'name', unique: true },
        { column: 'tokenHash', unique: true },
      ],
    );
    await create(
      'admin_user',
      [
        id('id', PRIMARY),
        text('name', 64),
        text('role', 20),
        text('passwordHash', 255),
        flag('enabled'),
        time('createdAt'),
        time('updatedAt'),
        time('passwordChangedAt'),
      ],
      [{ column: 'name', unique: true }],
    );
    await create(
      'admin_session',
      [
        text('idHash', 64, PRIMARY),
        id('userId'),
        time('createdAt'),
        time('lastSeenAt'),
        time('expiresAt'),
        text('ip', 64),
      ],
      [
        { column: 'userId', unique: false },
        { column: 'expiresAt', unique: false },
      ],
    );
    await create(
      'login_failure',
      [text('id', 80, PRIMARY), integer('failures'), time('lockedUntil', NULLABLE), time('forgetAt')],
      [{ column: 'forgetAt', unique: false }],
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    for (const name of [...TABLES].reverse()) await runner.dropTable(name);
  }
}
