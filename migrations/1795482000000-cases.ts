import { Table, TableColumn, TableIndex, type MigrationInterface, type QueryRunner } from 'typeorm';
import { columnTypes, NULLABLE, PRIMARY } from './column-types.js';

/** What must never be: not at its end, no case, and nobody will look. */
const SILENT = "status NOT IN ('success','fail','close','review') AND (nextSyncAt IS NULL OR gatewayAccountId IS NULL)";

/**
 * Cases: why a refund is in review as a code, who has taken it, and what one operator proposed for another one to confirm.
 *
 * And an index of the refunds that nobody would ever look at again. It is empty, always, so it costs no writes, and to count what is in
 * it takes no time at any size: a partial index in SQLite, an index of a virtual column that is null elsewhere in MySQL.
 */
export class Cases1795482000000 implements MigrationInterface {
  name = 'Cases1795482000000';

  async up(runner: QueryRunner): Promise<void> {
    const { mysql, id, text, longText, integer, time } = columnTypes(runner);
    await runner.addColumn('refund', new TableColumn(text('reviewCode', 40, NULLABLE)));
    await runner.addColumn('refund', new TableColumn(text('reviewOwner', 100, NULLABLE)));
    await runner.createTable(
      new Table({
        name: 'case_proposal',
        engine: 'InnoDB',
        columns: [
          id('id', PRIMARY),
          id('refundId'),
          id('openFor', NULLABLE),
          text('command', 20),
          text('note', 300),
          longText('options', NULLABLE),
          integer('expectedVersion'),
          text('previewDigest', 64),
          longText('preview'),
          text('state', 20),
          text('proposedBy', 100),
          time('proposedAt'),
          time('expiresAt'),
          text('settledBy', 100, NULLABLE),
          time('settledAt', NULLABLE),
          text('settleNote', 300, NULLABLE),
        ],
      }),
    );
    await runner.createIndex(
      'case_proposal',
      new TableIndex({ name: 'ix_case_proposal_refundId_id', columnNames: ['refundId', 'id'] }),
    );
    // One open proposal for each refund: nulls are no duplicates.
    await runner.createIndex(
      'case_proposal',
      new TableIndex({ name: 'uq_case_proposal_openFor', columnNames: ['openFor'], isUnique: true }),
    );
    if (mysql) {
      await runner.query(`ALTER TABLE refund ADD COLUMN silent TINYINT AS (CASE WHEN ${SILENT} THEN 1 END) VIRTUAL`);
      await runner.query('CREATE INDEX ix_refund_silent ON refund (silent)');
    } else {
      await runner.query(`CREATE INDEX ix_refund_silent ON refund (id) WHERE ${SILENT}`);
    }
  }

  async down(runner: QueryRunner): Promise<void> {
    const { mysql } = columnTypes(runner);
    await runner.query(mysql ? 'DROP INDEX ix_refund_silent ON refund' : 'DROP INDEX ix_refund_silent');
    if (mysql) await runner.query('ALTER TABLE refund DROP COLUMN silent');
    await runner.dropTable('case_proposal');
    await runner.dropColumn('refund', 'reviewOwner');
    await runner.dropColumn('refund', 'reviewCode');
  }
}
