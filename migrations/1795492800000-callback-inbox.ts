import { Table, TableColumn, TableIndex, type MigrationInterface, type QueryRunner } from 'typeorm';
import { columnTypes, NULLABLE, PRIMARY } from './column-types.js';

/**
 * A callback that names no payment finds its refund by our number alone; the unique index has the payment's number in between. In SQL,
 * because `refund` has a generated column on MySQL: the schema builder cannot load such a table without a table of TypeORM's own.
 */
const BY_REQUEST_NO = 'ix_refund_gatewayAccountId_gatewayRequestNo';
const LEFT_BEHIND = new TableIndex({
  name: 'ix_callback_record_state_claimedAt_id',
  columnNames: ['state', 'claimedAt', 'id'],
});
const OF_ACCOUNT = new TableIndex({
  name: 'ix_callback_record_gatewayAccountId_id',
  columnNames: ['gatewayAccountId', 'id'],
});

/** Who works on a stored callback, what waits for its refund, and how many were refused. */
export class CallbackInbox1795492800000 implements MigrationInterface {
  name = 'CallbackInbox1795492800000';

  async up(runner: QueryRunner): Promise<void> {
    const { text, longText, integer, time } = columnTypes(runner);
    await runner.addColumn('callback_record', new TableColumn(time('claimedAt', NULLABLE)));
    await runner.query("UPDATE callback_record SET claimedAt = receivedAt WHERE state = 'stored'");
    await runner.createIndex('callback_record', LEFT_BEHIND);
    await runner.createIndex('callback_record', OF_ACCOUNT);
    await runner.query(`CREATE INDEX ${BY_REQUEST_NO} ON refund (gatewayAccountId, gatewayRequestNo)`);
    await runner.createTable(
      new Table({
        name: 'callback_refusal',
        columns: [
          text('gatewayAccountId', 64, PRIMARY),
          text('gateway', 20),
          integer('count'),
          text('lastReason', 300),
          longText('lastSample'),
          time('firstAt'),
          time('lastAt'),
        ],
        engine: 'InnoDB',
      }),
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.dropTable('callback_refusal');
    const { mysql } = columnTypes(runner);
    await runner.query(`DROP INDEX ${BY_REQUEST_NO}${mysql ? ' ON refund' : ''}`);
    await runner.dropIndex('callback_record', OF_ACCOUNT);
    await runner.dropIndex('callback_record', LEFT_BEHIND);
    await runner.dropColumn('callback_record', 'claimedAt');
  }
}
