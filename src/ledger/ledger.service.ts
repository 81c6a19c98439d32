import { Inject, Injectable } from '@nestjs/common';
import { APP_CONFIG, type AppConfig } from '../config/app-config.js';
import { Db } from '../database/db.js';
import { timeOfId } from '../shared/ids.js';
import { HeadSigner } from './head-mac.js';
import { LEDGER_HEAD_ID, LedgerHead } from './ledger-head.entity.js';
import { LedgerTables } from './ledger-tables.service.js';

export interface LedgerState {
  /** Number of the last sealed entry; 0 before the first. */
  seq: number;
  /** Its hash, 64 hex digits. Together: the anchor that `verify-ledger --anchor` takes. */
  hash: string;
  sealedAt: Date | null;
  /** False: the end of the chain was not written with this MASTER_KEY. */
  genuine: boolean;
  /** Rows that wait for their place, counted up to UNSEALED_CAP for each table. */
  unsealed: number;
  oldestUnsealedAt: Date | null;
}

export const UNSEALED_CAP = 10_000;

/** Where the hash chain over repair records and audit entries stands. */
@Injectable()
export class LedgerService {
  private readonly signer: HeadSigner;

  constructor(
    private readonly db: Db,
    private readonly tables: LedgerTables,
    @Inject(APP_CONFIG) config: AppConfig,
  ) {
    this.signer = new HeadSigner(config.masterKey, config.masterKeysOld);
  }

  async state(): Promise<LedgerState> {
    return this.db.read(async (manager) => {
      const head = await manager.findOneByOrFail(LedgerHead, { id: LEDGER_HEAD_ID });
      const { count, oldestId } = await this.tables.backlog(manager, UNSEALED_CAP);
      return {
        seq: head.seq,
        hash: head.hash,
        sealedAt: head.sealedAt,
        genuine: this.signer.isGenuine(head),
        unsealed: count,
        oldestUnsealedAt: oldestId === null ? null : timeOfId(oldestId),
      };
    });
  }
}
