import { Inject, Injectable } from '@nestjs/common';
import type { QueryDeepPartialEntity } from 'typeorm';
import { keyset, matching, type Keyset } from '../database/keyset.js';
import { Db } from '../database/db.js';
import { CLOCK, type Clock } from '../shared/clock.js';
import { IdGenerator } from '../shared/ids.js';
import { currentTraceId } from '../shared/trace.js';
import { AuditEntry } from './audit-entry.entity.js';

export interface AuditFacts {
  actor: string;
  action: string;
  targetType: string;
  targetId: string;
  /** Plain views without secrets. */
  before?: object | null;
  after?: object | null;
}

export interface AuditFilter extends Keyset {
  actor?: string;
  action?: string;
  targetType?: string;
  targetId?: string;
}

@Injectable()
export class AuditService {
  constructor(
    private readonly db: Db,
    private readonly ids: IdGenerator,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  /**
   * Called within the transaction of the change, the entry is written in it: no change without its entry, no entry without its change.
   */
  async record({ before, after, ...facts }: AuditFacts): Promise<void> {
    const entry = {
      ...facts,
      id: this.ids.next(),
      before: before ?? null,
      after: after ?? null,
      traceId: currentTraceId() ?? null,
      createdAt: this.clock.now(),
      seq: null,
      hash: null,
      prevHash: null,
    };
    await this.db.read((manager) => manager.insert(AuditEntry, entry as QueryDeepPartialEntity<AuditEntry>));
  }

  /** Newest first. */
  async list({ actor, action, targetType, targetId, ...part }: AuditFilter): Promise<AuditEntry[]> {
    return this.db.read((manager) => {
      const query = manager.createQueryBuilder(AuditEntry, 'audit');
      keyset(query, { ...part, timeColumn: 'createdAt', order: 'DESC' });
      return matching(query, { actor, action, targetType, targetId }).getMany();
    });
  }

  async ofTarget(targetType: string, targetId: string, limit: number): Promise<AuditEntry[]> {
    const newest = await this.db.read((manager) =>
      manager.find(AuditEntry, { where: { targetType, targetId }, order: { id: 'DESC' }, take: limit }),
    );
    return newest.reverse();
  }
}
