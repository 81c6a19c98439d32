import { TableColumn, TableIndex, type MigrationInterface, type QueryRunner } from 'typeorm';
import { columnTypes, NULLABLE } from './column-types.js';

const index = (table: string, ...columnNames: string[]): [string, TableIndex] => [
  table,
  new TableIndex({ name: `ix_${table}_${columnNames.join('_')}`, columnNames }),
];

/** Lists of the internal API go by these: each ends with the id, which is the order of the list. */
const LISTS = [
  index('refund', 'appId', 'id'),
  index('refund', 'channel', 'status', 'id'),
  index('audit_entry', 'actor', 'id'),
] as const;

/** A secret is replaced while the one before it still opens; and lists find their rows in large tables. */
export class SecretRotation1795478500000 implements MigrationInterface {
  name = 'SecretRotation1795478500000';

  async up(runner: QueryRunner): Promise<void> {
    const { longText, time } = columnTypes(runner);
    await runner.addColumn('merchant_app', new TableColumn(longText('sealedPreviousSignSecret', NULLABLE)));
    await runner.addColumn('merchant_app', new TableColumn(time('signSecretRotatedAt', NULLABLE)));
    for (const [table, entry] of LISTS) await runner.createIndex(table, entry);
  }

  async down(runner: QueryRunner): Promise<void> {
    for (const [table, entry] of [...LISTS].reverse()) await runner.dropIndex(table, entry);
    await runner.dropColumn('merchant_app', 'signSecretRotatedAt');
    await runner.dropColumn('merchant_app', 'sealedPreviousSignSecret');
  }
}
