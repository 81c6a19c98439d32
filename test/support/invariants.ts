import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { EntityManager } from 'typeorm';
import { expect } from 'vitest';
import { Notification } from '../../src/refund/notification.entity.js';
import { Payment } from '../../src/refund/payment.entity.js';
import { Refund } from '../../src/refund/refund.entity.js';
import { isEnd, type RefundStatus } from '../../src/refund/refund-status.js';
import { RepairRecord } from '../../src/refund/repair-record.entity.js';
import { SyncRecord } from '../../src/refund/sync-record.entity.js';
import { DAY_MS } from '../../src/shared/clock.js';
import { ADMIN_TOKEN, logLines, type TestService } from './service.js';

export interface InvariantOptions {
  /** Numbers at the gateway whose lease a test took away on purpose: there two calls at once are the very point. */
  stolenLeases?: readonly string[];
  /** Secrets that a test brought in besides those that every service has. */
  secrets?: readonly string[];
  /** The service's present; default: the system's. */
  now?: Date;
}

/** What of a service is looked at. */
export type Examined = Pick<TestService, 'db' | 'url' | 'dataDir' | 'database' | 'merchant' | 'control'> & {
  sandbox: Pick<TestService['sandbox'], 'accounts'>;
};

/** Rows of the whole database, as the service reads them. */
interface World {
  payments: Payment[];
  refunds: Refund[];
  syncs: SyncRecord[];
  repairs: RepairRecord[];
  notifications: Notification[];
}

/** No look is ever planned further ahead than this: the longest pause is a day, and 10 % jitter. */
const FURTHEST_LOOK_MS = 1.2 * DAY_MS;
const MAX_DETAILS = 25;

/** Checks what must hold at every moment between two transactions (architecture §2, I1 to I5, I7, I8), and tells all that does not. */
export async function assertInvariants(service: Examined, options: InvariantOptions = {}): Promise<void> {
  const world = await service.db.read(async (manager) => ({
    payments: await manager.find(Payment),
    refunds: await manager.find(Refund),
    syncs: await manager.find(SyncRecord, { order: { id: 'ASC' } }),
    repairs: await manager.find(RepairRecord, { order: { id: 'ASC' } }),
    notifications: await manager.find(Notification, { order: { id: 'ASC' } }),
  }));
  const violations = [
    ...brokenHistories(world),
    ...brokenBalances(world),
    ...forgottenRefunds(world, options.now ?? new Date()),
    ...brokenOutbox(world),
    ...(await gatewayFaults(service, world, options.stolenLeases ?? [])),
    ...(await leaks(service, options.secrets ?? [])),
  ];
  if (violations.length > 0) expect.fail(violations.slice(0, 20).join('\n'));
}

/** I1: every change of status has one repair number with two records, which lead without a gap to where the row is. */
function brokenHistories({ refunds, payments, repairs, syncs }: World): string[] {
  const faults: string[] = [];
  const byNumber = group(repairs, (repair) => repair.repairNo);
  for (const [repairNo, records] of byNumber) {
    const targets = records.map(({ target }) => target).sort();
    if (targets.join() !== 'payment,refund') faults.push(`I1: repair ${repairNo} has the records [${targets.join()}]`);
    const [refundSide] = records.filter(({ target }) => target === 'refund');
    if (refundSide && refundSide.statusBefore === refundSide.statusAfter)
      faults.push(`I1: repair ${repairNo} changes nothing`);
    const causes = syncs.filter((sync) => sync.repairNo === repairNo);
    const [cause] = causes;
    if (
      causes.length !== 1 ||
      cause?.effect !== 'changed' ||
      cause.statusBefore !== refundSide?.statusBefore ||
      cause.statusAfter !== refundSide.statusAfter
    )
      faults.push(`I1: repair ${repairNo} has ${causes.length} causes, or another one than it says`);
  }
  for (const sync of syncs) {
    if ((sync.effect === 'changed') !== (sync.repairNo !== null))
      faults.push(`I1: sync ${sync.id} is ${sync.effect} with repair number ${sync.repairNo}`);
    if (sync.effect !== 'changed' && sync.statusBefore !== sync.statusAfter)
      faults.push(
        `I1: sync ${sync.id} is ${sync.effect} and yet goes from ${sync.statusBefore} to ${sync.statusAfter}`,
      );
  }
  const ofRefund = group(repairs, (repair) => repair.refundId);
  for (const refund of refunds) {
    const chain = (ofRefund.get(refund.id) ?? []).filter(({ target }) => target === 'refund');
    let status: string = 'progress';
    for (const { statusBefore, statusAfter, repairNo } of chain) {
      if (statusBefore !== status)
        faults.push(`I1: repair ${repairNo} of ${refund.refundNo} starts at ${statusBefore}, not ${status}`);
      status = statusAfter;
    }
    if (status !== refund.status)
      faults.push(`I1: the repairs of ${refund.refundNo} lead to ${status}, but it is ${refund.status}`);
    if (chain.length !== refund.version)
      faults.push(`I1: ${refund.refundNo} has version ${refund.version} after ${chain.length} repairs`);
  }
  const ofPayment = group(
    repairs.filter(({ target }) => target === 'payment'),
    (repair) => repair.targetId,
  );
  for (const payment of payments) {
    const chain = ofPayment.get(payment.id) ?? [];
    const gaps = chain.filter((repair, index) => index > 0 && repair.statusBefore !== chain[index - 1]?.statusAfter);
    if (gaps.length > 0 || (chain.length > 0 && chain.at(-1)?.statusAfter !== payment.status))
      faults.push(`I1: the repairs of payment ${payment.businessNo} do not lead to ${payment.status}`);
  }
  return faults;
}

/** Null: in review what is known stays. */
const RESERVED: Record<RefundStatus, boolean | null> = {
  progress: true,
  success: true,
  fail: false,
  close: false,
  review: null,
};

/** I2: no amount is lost, none is given out twice. */
function brokenBalances({ payments, refunds }: World): string[] {
  const faults: string[] = [];
  const byPayment = group(refunds, (refund) => refund.paymentId);
  for (const payment of payments) {
    const own = byPayment.get(payment.id) ?? [];
    const reserved = sum(own.filter((refund) => refund.reserved));
    const succeeded = sum(own.filter((refund) => refund.status === 'success'));
    const { businessNo, amount, refundableBalance, spentBefore, overRefunded, refundedAmount } = payment;
    if (refundableBalance + spentBefore + reserved !== amount + overRefunded) {
      faults.push(
        `I2: payment ${businessNo}: balance ${refundableBalance} + before ${spentBefore} + reserved ${reserved} is not ${amount} + over ${overRefunded}`,
      );
    }
    if (refundableBalance < 0 || overRefunded < 0)
      faults.push(`I2: payment ${businessNo}: balance ${refundableBalance}, overRefunded ${overRefunded}`);
    if (refundedAmount !== spentBefore + succeeded)
      faults.push(`I2: payment ${businessNo}: refunded ${refundedAmount}, but the refunds in success are ${succeeded}`);
    const status = refundedAmount <= 0 ? 'success' : refundedAmount < amount ? 'partial_refund' : 'refunded';
    if (payment.status !== status) faults.push(`I2: payment ${businessNo} is ${payment.status}, not ${status}`);
  }
  for (const { refundNo, status, reserved } of refunds) {
    const wanted = RESERVED[status];
    if (wanted !== null && wanted !== reserved) faults.push(`I2: ${refundNo} is ${status} and reserved ${reserved}`);
  }
  return faults;
}

/** I4: whatever is not at its end is looked at again, and soon enough. */
function forgottenRefunds({ refunds }: World, now: Date): string[] {
  return refunds.flatMap(({ refundNo, status, nextSyncAt }) => {
    if (nextSyncAt === null) return isEnd(status) ? [] : [`I4: ${refundNo} is ${status} and has no next look`];
    return nextSyncAt.getTime() - now.getTime() > FURTHEST_LOOK_MS
      ? [`I4: ${refundNo} is ${status} and looked at as late as ${nextSyncAt.toISOString()}`]
      : [];
  });
}

/** I5: one outbox row for each change to an end, and none for anything else. */
function brokenOutbox({ refunds, repairs, notifications }: World): string[] {
  const faults: string[] = [];
  const ends = repairs.filter(({ target, statusAfter }) => target === 'refund' && isEnd(statusAfter as RefundStatus));
  const rows = group(notifications, (row) => row.repairNo);
  for (const { repairNo, refundId, statusAfter } of ends) {
    const [row, ...more] = rows.get(repairNo) ?? [];
    rows.delete(repairNo);
    if (!row || more.length > 0)
      faults.push(`I5: repair ${repairNo} to ${statusAfter} has ${row ? 1 + more.length : 0} outbox rows`);
    else if (row.refundStatus !== statusAfter || row.refundId !== refundId || row.snapshot.status !== statusAfter)
      faults.push(`I5: the outbox row of repair ${repairNo} says ${row.refundStatus}, not ${statusAfter}`);
  }
  for (const repairNo of rows.keys()) faults.push(`I5: an outbox row belongs to ${repairNo}, which ends nothing`);
  for (const refund of refunds) {
    const states = notifications.filter((row) => row.refundId === refund.id).map(({ state }) => state);
    if (states.some((state) => (state === 'suppressed') === refund.notify))
      faults.push(`I5: ${refund.refundNo} has notify ${refund.notify} and outbox rows [${states.join()}]`);
  }
  return faults;
}

interface GatewayView {
  outRefundNo: string;
  outTradeNo: string | null;
  refundsAtGateway: number;
  maxConcurrentCalls: number;
  creates: number;
}

/** I3 and I8, as the other side of the wire has counted them. */
async function gatewayFaults(service: Examined, { refunds }: World, stolen: readonly string[]): Promise<string[]> {
  const { items, total } = await service.control<{ items: GatewayView[]; total: number }>(
    '/control/refunds?limit=1000',
  );
  const ours = new Map(refunds.map((refund) => [refund.gatewayRequestNo, refund]));
  const faults = items.flatMap((view) => {
    const refund = ours.get(view.outRefundNo);
    return [
      ...(view.maxConcurrentCalls > 1 && !stolen.includes(view.outRefundNo)
        ? [`I3: ${view.outRefundNo} had ${view.maxConcurrentCalls} calls at once`]
        : []),
      // A create under a number that we never wrote down would be a second refund of somebody's intent.
      ...(view.creates > 0 && !refund
        ? [`I8: ${view.outRefundNo} was sent to the gateway, and we do not know it`]
        : []),
      ...(view.creates > 0 && refund?.source === 'registered'
        ? [`I8: ${view.outRefundNo}, which the merchant sent, was sent by us`]
        : []),
    ];
  });
  return total > items.length
    ? [...faults, `only ${items.length} of ${total} refunds at the gateway were looked at`]
    : faults;
}

/** I7: no secret and no key material in a table, a log line or an answer. */
async function leaks(service: Examined, more: readonly string[]): Promise<string[]> {
  const secrets = new RegExp([...secretsOf(service), ...more.flatMap(needlesOf)].join('|'));
  const texts: [string, string][] = [
    ...(await service.db.read(tableTexts)),
    ...logLines.map((line): [string, string] => ['log', line]),
    ...(await apiTexts(service)),
  ];
  const faults = texts
    .filter(([, text]) => secrets.test(text))
    .map(([where, text]) => `I7: a secret is in ${where}: ${text.slice(0, 300)}`);
  // A search in nothing finds nothing: the log must have been there.
  return logLines.length > 0 ? faults : [...faults, 'I7: there was no log to search'];
}

/** As sources of regular expressions. */
function secretsOf(service: Examined): string[] {
  const keyFile = join(service.dataDir, 'master.key');
  const masterKey =
    service.database.env.MASTER_KEY ?? (existsSync(keyFile) ? readFileSync(keyFile, 'utf8').trim() : undefined);
  const configs = service.sandbox.accounts().map(({ config }) => config);
  return [
    ...[masterKey ?? '', service.merchant.secret, ADMIN_TOKEN].filter((text) => text !== '').flatMap(needlesOf),
    ...configs.flatMap(secretSettings).flatMap(needlesOf),
    '-----BEGIN [A-Z ]*PRIVATE KEY',
    'WECHATPAY2-SHA256-RSA2048 mchid=',
  ];
}

/** Of a connector's settings those that name a key or a password, and not the public half of one. */
function secretSettings(config: Record<string, unknown>): string[] {
  return Object.entries(config)
    .filter(([name]) => /key|secret|password/i.test(name) && !/public|cert/i.test(name))
    .flatMap(([, value]) => (typeof value === 'string' ? [value] : []));
}

/** A secret as a whole word; of a key in PEM each of its full lines. */
function needlesOf(secret: string): string[] {
  const lines = secret.includes('\n')
    ? secret.split('\n').filter((line) => /^[A-Za-z0-9+/=]{40,}$/.test(line))
    : [secret];
  return lines.map((line) => `(?<![A-Za-z0-9])${line.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&')}(?![A-Za-z0-9])`);
}

async function tableTexts(manager: EntityManager): Promise<[string, string][]> {
  const texts: [string, string][] = [];
  for (const { tableName } of manager.dataSource.entityMetadatas) {
    const rows: Record<string, unknown>[] = await manager.query(`SELECT * FROM ${tableName}`);
    for (const row of rows)
      for (const [column, value] of Object.entries(row))
        if (typeof value === 'string') texts.push([`${tableName}.${column}`, value]);
  }
  return texts;
}

async function apiTexts(service: Examined): Promise<[string, string][]> {
  const get = async (path: string): Promise<[string, string]> => {
    const response = await fetch(`${service.url}${path}`, { headers: { authorization: `Bearer ${ADMIN_TOKEN}` } });
    return [path, await response.text()];
  };
  const list = await get('/admin/refunds?limit=100');
  const { items } = JSON.parse(list[1]) as { items: { id: string }[] };
  const details = items.slice(-MAX_DETAILS).map(({ id }) => `/admin/refunds/${id}`);
  const paths = ['/admin/apps', '/admin/gateway-accounts', '/docs-json', '/health/ready', ...details];
  return [list, ...(await Promise.all(paths.map(get)))];
}

function group<Row>(rows: readonly Row[], keyOf: (row: Row) => string): Map<string, Row[]> {
  const groups = new Map<string, Row[]>();
  for (const row of rows) {
    const key = keyOf(row);
    const known = groups.get(key);
    if (known) known.push(row);
    else groups.set(key, [row]);
  }
  return groups;
}

function sum(refunds: readonly Refund[]): number {
  return refunds.reduce((total, { amount }) => total + amount, 0);
}
