import { Table, TableColumn, TableIndex, type MigrationInterface, type QueryRunner } from 'typeorm';
import { columnTypes, NULLABLE, PRIMARY } from './column-types.js';

function index(table: string, columnNames: string[], isUnique = false): TableIndex {
  return new TableIndex({ name: `${isUnique ? 'uq' : 'ix'}_${table}_${columnNames.join('_')}`, columnNames, isUnique });
}

const INDICES = [
  index('notification', ['state', 'appId', 'receiver', 'nextAttemptAt', 'id']),
  index('notification', ['state', 'appId', 'receiver', 'leaseUntil']),
  index('notification', ['appId', 'id']),
  index('notification', ['appId', 'position']),
  // Rows without a place come first, in the order of ids: what gives places finds them by a seek.
  index('notification', ['position', 'id']),
  index('notification', ['endpointId', 'state']),
];

/** Delivery of the outbox: who is delivering a row, each attempt, receivers that fail; and the place of each event in the feed. */
export class Notifications1795485600000 implements MigrationInterface {
  name = 'Notifications1795485600000';

  async up(runner: QueryRunner): Promise<void> {
    const { id, amount, text, integer, flag, time } = columnTypes(runner);
    const columns = [
      integer('refundVersion', { default: 0 }),
      text('receiver', 300, { default: "''" }),
      amount('position', NULLABLE),
      time('leaseUntil', NULLABLE),
      id('leaseToken', NULLABLE),
      id('endpointId', NULLABLE),
      time('deliveredAt', NULLABLE),
    ];
    for (const column of columns) await runner.addColumn('notification', new TableColumn(column));
    for (const one of INDICES) await runner.createIndex('notification', one);

    await runner.createTable(
      new Table({
        name: 'notification_attempt',
        engine: 'InnoDB',
        columns: [
          id('id', PRIMARY),
          id('notificationId'),
          text('origin', 300),
          integer('statusCode', NULLABLE),
          integer('durationMs'),
          text('fault', 40, NULLABLE),
          text('detail', 300, NULLABLE),
          text('answer', 300, NULLABLE),
          text('traceId', 64, NULLABLE),
          time('startedAt'),
        ],
      }),
    );
    await runner.createIndex('notification_attempt', index('notification_attempt', ['notificationId', 'id']));

    await runner.createTable(
      new Table({
        name: 'notification_endpoint',
        engine: 'InnoDB',
        columns: [
          id('id', PRIMARY),
          text('appId', 64),
          text('origin', 300),
          integer('failures'),
          time('failingSince', NULLABLE),
          time('lastFailureAt', NULLABLE),
          text('lastFault', 40, NULLABLE),
          time('pausedAt', NULLABLE),
          flag('resuming'),
          time('updatedAt'),
        ],
      }),
    );
    await runner.createIndex('notification_endpoint', index('notification_endpoint', ['appId', 'origin'], true));

    await runner.createTable(
      new Table({
        name: 'event_feed_head',
        engine: 'InnoDB',
        columns: [text('id', 10, PRIMARY), amount('position')],
      }),
    );
    await runner.query("INSERT INTO event_feed_head (id, position) VALUES ('feed', 0)");
  }

  async down(runner: QueryRunner): Promise<void> {
    for (const name of ['event_feed_head', 'notification_endpoint', 'notification_attempt'])
      await runner.dropTable(name);
    for (const one of [...INDICES].reverse()) await runner.dropIndex('notification', one);
    const columns = ['deliveredAt', 'endpointId', 'leaseToken', 'leaseUntil', 'position', 'receiver', 'refundVersion'];
    for (const name of columns) await runner.dropColumn('notification', name);
  }
}
