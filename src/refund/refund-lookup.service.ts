import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { idList, selectByIds, selectRows } from '../database/bulk.js';
import { Db } from '../database/db.js';
import { Batcher } from '../shared/batcher.js';
import { isId } from '../shared/ids.js';
import { Refund } from './refund.entity.js';
import { SyncRecord } from './sync-record.entity.js';

/** Requests that come in together share a statement; more than this many keys in one are no cheaper. */
const MAX_BATCH = 128;
/** A second statement beside a running one is for at least so many. */
const WORTHWHILE = 16;

/** What a look has left behind. */
export interface Looked {
  refund: Refund | null;
  /** Oldest first. */
  records: SyncRecord[];
}

/** The reads of a sync on demand. Those that many requests need at the same moment are made together. */
@Injectable()
export class RefundLookup {
  private readonly byNumber: Batcher<{ appId: string; refundNo: string }, Refund | null>;
  private readonly newest: Batcher<string, string | null>;
  private readonly looked: Batcher<{ refundId: string; afterId: string | null }, Looked>;
  private readonly byId: Batcher<string, Refund | null>;

  constructor(private readonly db: Db) {
    const limits = { maxBatch: MAX_BATCH, maxParallel: db.isMysql ? 4 : 1, worthwhile: WORTHWHILE };
    this.byNumber = new Batcher(
      (keys) => this.db.read((manager) => findByNumbers(manager, keys)),
      limits,
      ({ appId, refundNo }) => `${appId} ${refundNo}`,
    );
    this.byId = new Batcher(
      async (ids) => {
        const refunds = await this.db.read((manager) => selectByIds(manager, Refund, ids));
        return ids.map((id) => refunds.get(id) ?? null);
      },
      limits,
      (id) => id,
    );
    this.newest = new Batcher(
      (ids) => this.db.read((manager) => newestIds(manager, ids)),
      limits,
      (id) => id,
    );
    this.looked = new Batcher(
      (keys) => this.db.read((manager) => lookedAt(manager, keys)),
      limits,
      ({ refundId }) => refundId,
    );
  }

  /** The refund of an app: by id, else by the merchant's number. */
  async findForApp(appId: string, by: { refundId?: string; refundNo?: string }): Promise<Refund | null> {
    if (by.refundId === undefined) return this.byNumber.submit({ appId, refundNo: by.refundNo ?? '' });
    if (!isId(by.refundId)) return null;
    const refund = await this.byId.submit(by.refundId);
    return refund?.appId === appId ? refund : null;
  }

  /** The id of the newest look, to tell later what came after it. */
  async newestSyncId(refundId: string): Promise<string | null> {
    return this.newest.submit(refundId);
  }

  /** The refund, and what was asked about it after a look; callbacks and commands, which are no questions, are left out. */
  async lookedAtSince(refundId: string, afterId: string | null): Promise<Looked> {
    return this.looked.submit({ refundId, afterId });
  }
}

async function findByNumbers(
  manager: EntityManager,
  keys: readonly { appId: string; refundNo: string }[],
): Promise<(Refund | null)[]> {
  const numbersOf = new Map<string, string[]>();
  for (const { appId, refundNo } of keys) numbersOf.set(appId, [...(numbersOf.get(appId) ?? []), refundNo]);
  const where = [...numbersOf.values()].map(
    (numbers) => `(appId = ? AND refundNo IN (${numbers.map(() => '?').join(',')}))`,
  );
  const rows = await selectRows(
    manager,
    Refund,
    where.join(' OR '),
    [...numbersOf].flatMap(([appId, numbers]) => [appId, ...numbers]),
  );
  // By the exact text: MySQL compares without trailing spaces.
  const found = new Map(rows.map((row) => [`${row.appId} ${row.refundNo}`, row]));
  return keys.map(({ appId, refundNo }) => found.get(`${appId} ${refundNo}`) ?? null);
}

async function newestIds(manager: EntityManager, refundIds: readonly string[]): Promise<(string | null)[]> {
  const rows: { refundId: unknown; id: unknown }[] = await manager.query(
    `SELECT refundId, MAX(id) AS id FROM sync_record WHERE refundId IN (${idList(manager, refundIds)}) GROUP BY refundId`,
  );
  const newest = new Map(rows.map(({ refundId, id }) => [String(refundId), String(id)]));
  return refundIds.map((refundId) => newest.get(refundId) ?? null);
}

async function lookedAt(
  manager: EntityManager,
  keys: readonly { refundId: string; afterId: string | null }[],
): Promise<Looked[]> {
  const since = keys.map(({ refundId, afterId }) => {
    const of = `refundId = ${idList(manager, [refundId])}`;
    return afterId === null ? `(${of})` : `(${of} AND id > ${idList(manager, [afterId])})`;
  });
  // The records first: a refund read after them shows at least what they say.
  const records = await selectRows(
    manager,
    SyncRecord,
    `operation NOT IN ('callback', 'command') AND (${since.join(' OR ')}) ORDER BY id`,
  );
  const refunds = await selectByIds(
    manager,
    Refund,
    keys.map(({ refundId }) => refundId),
  );
  const recordsOf = new Map<string, SyncRecord[]>();
  for (const record of records) recordsOf.set(record.refundId, [...(recordsOf.get(record.refundId) ?? []), record]);
  return keys.map(({ refundId }) => ({
    refund: refunds.get(refundId) ?? null,
    records: recordsOf.get(refundId) ?? [],
  }));
}
