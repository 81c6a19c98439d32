import { Table, TableColumn, TableIndex, type MigrationInterface, type QueryRunner } from 'typeorm';
import { columnTypes, NULLABLE, PRIMARY } from './column-types.js';

/** A callback that names no payment finds its refund by our number alone; the unique index has the payment's number in between. */
const BY_REQUEST_NO = new TableIndex({
  name: 'ix_refund_gatewayAccountId_gatewayRequestNo',
  columnNames: ['gatewayAccountId', 'gatewayRequestNo'],
});
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
    await runner.createIndex('refund', BY_REQUEST_NO);
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
    await runner.dropIndex('refund', BY_REQUEST_NO);
    await runner.dropIndex('callback_record', OF_ACCOUNT);
    await runner.dropIndex('callback_record', LEFT_BEHIND);
    await runner.dropColumn('callback_record', 'claimedAt');
  }
}
