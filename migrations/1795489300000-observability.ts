import { Table, type MigrationInterface, type QueryRunner } from 'typeorm';
import { columnTypes, PRIMARY } from './column-types.js';

/** In SQL: on MySQL `refund` has a generated column, and the schema builder cannot load such a table. */
const BY_AGE = 'ix_refund_status_channel_createdAt';
const OVER_REFUNDED = 'ix_payment_overRefunded';

/**
 * What is counted for the metrics is found by index at any number of rows. Payments that are over-refunded are few: a partial index in
 * SQLite, an index of a virtual column that is null elsewhere in MySQL. And a row that the readiness probe writes.
 */
export class Observability1795489300000 implements MigrationInterface {
  name = 'Observability1795489300000';

  async up(runner: QueryRunner): Promise<void> {
    const { mysql, integer, text } = columnTypes(runner);
    await runner.query(`CREATE INDEX ${BY_AGE} ON refund (status, channel, createdAt)`);
    if (mysql) {
      await runner.query(
        'ALTER TABLE payment ADD COLUMN isOverRefunded TINYINT AS (CASE WHEN overRefunded > 0 THEN 1 END) VIRTUAL',
      );
      await runner.query(`CREATE INDEX ${OVER_REFUNDED} ON payment (isOverRefunded)`);
    } else {
      await runner.query(`CREATE INDEX ${OVER_REFUNDED} ON payment (id) WHERE overRefunded > 0`);
    }
    await runner.createTable(
      new Table({ name: 'health_probe', columns: [integer('id', PRIMARY), text('token', 32)], engine: 'InnoDB' }),
    );
    await runner.query("INSERT INTO health_probe (id, token) VALUES (1, '')");
  }

  async down(runner: QueryRunner): Promise<void> {
    const { mysql } = columnTypes(runner);
    await runner.dropTable('health_probe');
    await runner.query(mysql ? `DROP INDEX ${OVER_REFUNDED} ON payment` : `DROP INDEX ${OVER_REFUNDED}`);
    if (mysql) await runner.query('ALTER TABLE payment DROP COLUMN isOverRefunded');
    await runner.query(mysql ? `DROP INDEX ${BY_AGE} ON refund` : `DROP INDEX ${BY_AGE}`);
  }
}
