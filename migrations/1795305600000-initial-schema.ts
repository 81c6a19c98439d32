import { Table, TableIndex, type MigrationInterface, type QueryRunner } from 'typeorm';
import { columnTypes, NULLABLE, PRIMARY } from './column-types.js';

const TABLES = [
  'merchant_app',
  'interface_setting',
  'gateway_account',
  'payment',
  'refund',
  'sync_record',
  'repair_record',
  'notification',
  'callback_record',
  'audit_entry',
] as const;

/**
 * No foreign keys: ids are ours, every hot query carries the refund id or the claim index, and the schema must run on sharded
 * MySQL-compatible databases as well.
 */
export class InitialSchema1795305600000 implements MigrationInterface {
  name = 'InitialSchema1795305600000';

  async up(runner: QueryRunner): Promise<void> {
    const { id, amount, text, longText, integer, flag, time } = columnTypes(runner);
    const create = async (
      name: (typeof TABLES)[number],
      columns: Table['columns'] | object[],
      indices: IndexSpec[] = [],
    ) => {
      await runner.createTable(new Table({ name, columns: columns as never[], engine: 'InnoDB' }));
      for (const { columns: columnNames, unique } of indices) {
        const prefix = unique ? 'uq' : 'ix';
        await runner.createIndex(
          name,
          new TableIndex({
            name: `${prefix}_${name}_${columnNames.join('_')}`,
            columnNames,
            isUnique: unique ?? false,
          }),
        );
      }
    };

    await create('merchant_app', [
      text('id', 64, PRIMARY),
      text('name', 100),
      text('dialect', 20),
      text('signType', 20),
      longText('sealedSignSecret'),
      integer('reqTimeWindowS'),
      text('notifyUrl', 500, NULLABLE),
      flag('enabled'),
      time('createdAt'),
      time('updatedAt'),
    ]);
    await create('interface_setting', [
      text('appId', 64, PRIMARY),
      text('code', 40, PRIMARY),
      flag('enabled'),
      flag('requestSign'),
      flag('responseSign'),
      time('updatedAt'),
    ]);
    await create('gateway_account', [
      text('id', 64, PRIMARY),
      text('appId', 64, NULLABLE),
      text('channel', 20),
      text('name', 100),
      longText('sealedConfig'),
      text('merchantId', 64),
      flag('enabled'),
      flag('sandbox'),
      text('notFoundPolicy', 10),
      time('createdAt'),
      time('updatedAt'),
    ]);
    await create(
      'payment',
      [
        id('id', PRIMARY),
        text('appId', 64),
        text('businessNo', 100),
        text('title', 200, NULLABLE),
        text('channel', 20),
        text('gatewayAccountId', 64, NULLABLE),
        text('outTradeNo', 64),
        text('gatewayPaymentNo', 64, NULLABLE),
        amount('amount'),
        text('currency', 3),
        amount('refundableBalance'),
        amount('overRefunded'),
        amount('spentBefore'),
        amount('refundedAmount'),
        text('status', 20),
        integer('version'),
        time('createdAt'),
      ],
      [{ columns: ['appId', 'businessNo'], unique: true }],
    );
    await create(
      'refund',
      [
        id('id', PRIMARY),
        text('appId', 64),
        text('refundNo', 100),
        id('paymentId'),
        text('channel', 20),
        text('gatewayAccountId', 64, NULLABLE),
        text('outTradeNo', 64),
        amount('amount'),
        text('currency', 3),
        text('reason', 300, NULLABLE),
        text('status', 20),
        text('gatewayRequestNo', 64),
        time('gatewayRequestTime', NULLABLE),
        text('gatewayRefundNo', 64, NULLABLE),
        text('errorCode', 64, NULLABLE),
        text('errorMsg', 500, NULLABLE),
        time('refundTime', NULLABLE),
        longText('attach', NULLABLE),
        text('notifyUrl', 500, NULLABLE),
        flag('notify'),
        text('clientIp', 64, NULLABLE),
        text('source', 20),
        text('createState', 20),
        integer('createAttempts'),
        time('lastCreateAt', NULLABLE),
        longText('createPayload', NULLABLE),
        flag('reserved'),
        time('nextSyncAt', NULLABLE),
        integer('syncAttempts'),
        time('notFoundSince', NULLABLE),
        integer('notFoundCount'),
        text('statusBeforeReview', 20, NULLABLE),
        text('reviewReason', 500, NULLABLE),
        longText('lastEvidence', NULLABLE),
        time('leaseUntil', NULLABLE),
        id('leaseToken', NULLABLE),
        integer('version'),
        time('createdAt'),
        time('registeredAt'),
        time('statusChangedAt'),
      ],
      [
        { columns: ['appId', 'refundNo'], unique: true },
        { columns: ['gatewayAccountId', 'outTradeNo', 'gatewayRequestNo'], unique: true },
        { columns: ['gatewayAccountId', 'gatewayRefundNo'], unique: true },
        // The claim: it starts with the time, not with the status, because ends may still be looked at.
        { columns: ['nextSyncAt', 'id'] },
        { columns: ['paymentId'] },
        { columns: ['status', 'id'] },
      ],
    );
    await create(
      'sync_record',
      [
        id('id', PRIMARY),
        id('refundId'),
        text('source', 20),
        text('operation', 20),
        text('traceId', 64, NULLABLE),
        time('startedAt'),
        time('finishedAt'),
        text('result', 20),
        text('errorKind', 20, NULLABLE),
        text('gatewayStatus', 20, NULLABLE),
        text('effect', 20),
        text('statusBefore', 20),
        text('statusAfter', 20),
        text('explanation', 500),
        id('repairNo', NULLABLE),
        longText('answer', NULLABLE),
      ],
      [{ columns: ['refundId', 'id'] }],
    );
    await create(
      'repair_record',
      [
        id('id', PRIMARY),
        id('repairNo'),
        text('target', 20),
        id('targetId'),
        id('refundId'),
        text('source', 20),
        text('statusBefore', 20),
        text('statusAfter', 20),
        amount('balanceBefore'),
        amount('balanceAfter'),
        text('explanation', 500),
        id('syncRecordId'),
        time('createdAt'),
        amount('seq', NULLABLE),
        text('hash', 64, NULLABLE),
        text('prevHash', 64, NULLABLE),
      ],
      [{ columns: ['repairNo', 'target'], unique: true }, { columns: ['refundId', 'id'] }],
    );
    await create(
      'notification',
      [
        id('id', PRIMARY),
        text('appId', 64),
        id('refundId'),
        id('repairNo'),
        text('refundStatus', 20),
        longText('snapshot'),
        text('url', 500, NULLABLE),
        text('state', 20),
        integer('attempts'),
        time('nextAttemptAt', NULLABLE),
        time('createdAt'),
      ],
      [
        { columns: ['repairNo'], unique: true },
        { columns: ['refundId', 'id'] },
        { columns: ['state', 'nextAttemptAt', 'id'] },
      ],
    );
    await create(
      'callback_record',
      [
        id('id', PRIMARY),
        text('gateway', 20),
        text('gatewayAccountId', 64),
        text('eventKey', 128),
        text('eventType', 64),
        text('gatewayRequestNo', 64, NULLABLE),
        text('gatewayRefundNo', 64, NULLABLE),
        text('outTradeNo', 64, NULLABLE),
        id('refundId', NULLABLE),
        longText('observation'),
        text('state', 20),
        text('outcome', 500, NULLABLE),
        integer('deliveries'),
        text('traceId', 64, NULLABLE),
        time('receivedAt'),
        time('processedAt', NULLABLE),
      ],
      [
        { columns: ['gateway', 'gatewayAccountId', 'eventKey'], unique: true },
        { columns: ['refundId', 'id'] },
        { columns: ['state', 'id'] },
        { columns: ['gatewayAccountId', 'gatewayRequestNo'] },
      ],
    );
    await create(
      'audit_entry',
      [
        id('id', PRIMARY),
        text('actor', 100),
        text('action', 100),
        text('targetType', 40),
        text('targetId', 100),
        longText('before', NULLABLE),
        longText('after', NULLABLE),
        text('traceId', 64, NULLABLE),
        time('createdAt'),
        amount('seq', NULLABLE),
        text('hash', 64, NULLABLE),
        text('prevHash', 64, NULLABLE),
      ],
      [{ columns: ['targetType', 'targetId', 'id'] }],
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    for (const name of [...TABLES].reverse()) await runner.dropTable(name);
  }
}

interface IndexSpec {
  columns: string[];
  unique?: boolean;
}
