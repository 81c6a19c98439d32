import { Table, TableIndex, type MigrationInterface, type QueryRunner } from 'typeorm';
import { columnTypes, NULLABLE, PRIMARY } from './column-types.js';

/** Rows by their place in the chain, and those that have none yet in the order of their ids. */
const BY_PLACE = ['repair_record', 'audit_entry'].map((table) => ({
  table,
  index: new TableIndex({ name: `ix_${table}_seq_id`, columnNames: ['seq', 'id'] }),
}));

/** The end of the hash chain over repair records and audit entries. */
export class Ledger1795489200000 implements MigrationInterface {
  name = 'Ledger1795489200000';

  async up(runner: QueryRunner): Promise<void> {
    const { id, amount, text, integer, time } = columnTypes(runner);
    await runner.createTable(
      new Table({
        name: 'ledger_head',
        columns: [
          integer('id', PRIMARY),
          amount('seq'),
          text('hash', 64),
          text('mac', 64, NULLABLE),
          time('sealedAt', NULLABLE),
          time('leaseUntil', NULLABLE),
          id('leaseToken', NULLABLE),
        ] as never[],
        engine: 'InnoDB',
      }),
    );
    await runner.query(`INSERT INTO ledger_head (id, seq, hash) VALUES (1, 0, '${'0'.repeat(64)}')`);
    for (const { table, index } of BY_PLACE) await runner.createIndex(table, index);
  }

  async down(runner: QueryRunner): Promise<void> {
    for (const { table, index } of BY_PLACE) await runner.dropIndex(table, index);
    await runner.dropTable('ledger_head');
  }
}
