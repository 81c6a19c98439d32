import { TableColumn, TableIndex, type MigrationInterface, type QueryRunner } from 'typeorm';
import { columnTypes, NULLABLE } from './column-types.js';

const LIMITS = ['ratePerSecond', 'maxConcurrency'] as const;

function claimIndex(...columnNames: string[]): TableIndex {
  return new TableIndex({ name: `ix_refund_${columnNames.join('_')}`, columnNames });
}

const BY_TIME = claimIndex('nextSyncAt', 'id');
const BY_ACCOUNT = claimIndex('gatewayAccountId', 'nextSyncAt', 'id');

/** What an account allows itself; and the claim goes by account, so that the backlog of one is not in the way of the others. */
export class GatewayPacing1795392000000 implements MigrationInterface {
  name = 'GatewayPacing1795392000000';

  async up(runner: QueryRunner): Promise<void> {
    const { integer } = columnTypes(runner);
    for (const name of LIMITS) await runner.addColumn('gateway_account', new TableColumn(integer(name, NULLABLE)));
    await runner.createIndex('refund', BY_ACCOUNT);
    await runner.dropIndex('refund', BY_TIME);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.createIndex('refund', BY_TIME);
    await runner.dropIndex('refund', BY_ACCOUNT);
    for (const name of [...LIMITS].reverse()) await runner.dropColumn('gateway_account', name);
  }
}
