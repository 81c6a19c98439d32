import { randomInt } from 'node:crypto';
import {
  Inject,
  Injectable,
  Logger,
  type BeforeApplicationShutdown,
  type OnApplicationBootstrap,
} from '@nestjs/common';
import { SchedulerRegistry } from '@nestjs/schedule';
import { APP_CONFIG, type AppConfig } from '../config/app-config.js';
import { Db } from '../database/db.js';
import { CLOCK, MINUTE_MS, SECOND_MS, type Clock } from '../shared/clock.js';
import { errorText } from '../shared/errors.js';
import { canonicalEntry, entryHash } from './canonical.js';
import { HeadSigner } from './head-mac.js';
import { LEDGER_HEAD_ID, LedgerHead } from './ledger-head.entity.js';
import { LedgerTables, type Seal } from './ledger-tables.service.js';

/** One transaction's worth; on SQLite everybody else waits for it. */
const BATCH = 200;
/** A holder that dies is taken over after this. */
const LEASE_MS = 10 * SECOND_MS;
/** Where the chain ends is said in the log so often at most (a log that is kept elsewhere is a note of it), and so is what is wrong. */
const SAY_EVERY_MS = MINUTE_MS;

/** The head of the chain is not the one that this service wrote last: continuing it would make a forgery genuine. */
export class UntrustedHead extends Error {
  override readonly name = 'UntrustedHead';
}

/**
 * Gives every repair record and audit entry its place in the hash chain, in batches after their commit: apply() waits for no chain, and an
 * order among concurrent transactions exists only when they are over.
 *
 * One process seals at a time. The lease keeps the others from trying; what makes two sealers harmless is that each batch is one transaction
 * that locks the head, sees the lease still its own, and extends the very head that it locked.
 */
@Injectable()
export class Sealer implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly logger = new Logger(Sealer.name);
  private readonly signer: HeadSigner;
  /** Tells this process from the others. */
  private readonly token = String(randomInt(1, 2 ** 47));
  private sealing: Promise<void> | undefined;
  private stopped = false;
  /** Where the chain ends, as long as the log does not say so. */
  private unsaid: { seq: number; hash: string } | undefined;
  private headSaidAtMs = -Infinity;
  private failureSaidAtMs = -Infinity;

  constructor(
    private readonly db: Db,
    private readonly tables: LedgerTables,
    private readonly scheduler: SchedulerRegistry,
    @Inject(APP_CONFIG) private readonly config: AppConfig,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {
    this.signer = new HeadSigner(config.masterKey, config.masterKeysOld);
  }

  onApplicationBootstrap(): void {
    if (this.config.role === 'api') return;
    this.scheduler.addInterval(
      'ledger',
      setInterval(() => void this.tick(), this.config.ledgerSealIntervalMs),
    );
  }

  /** Before the database closes: the batch that is under way ends, and the next process need not wait for the lease. */
  async beforeApplicationShutdown(): Promise<void> {
    this.stopped = true;
    await this.sealing;
    if (this.config.role === 'api') return;
    await this.release().catch((error: unknown) =>
      this.logger.warn({
        msg: 'the lease of the sealer could not be given back and will run out',
        error: errorText(error),
      }),
    );
  }

  /**
   * Seals until no row waits.
   *
   * @returns how many rows were sealed; `held` when another process seals.
   * @throws UntrustedHead
   */
  async seal(): Promise<number | 'held'> {
    if (!(await this.db.read((manager) => this.tables.hasUnsealed(manager)))) return 0;
    if (!(await this.acquire())) return 'held';
    let sealed = 0;
    while (!this.stopped) {
      const batch = await this.sealBatch();
      if (batch === 'lost') return sealed === 0 ? 'held' : sealed;
      sealed += batch.count;
      if (batch.count > 0) this.unsaid = batch;
      if (batch.count < BATCH) break;
    }
    this.sayHead();
    return sealed;
  }

  private async sealBatch(): Promise<{ count: number; seq: number; hash: string } | 'lost'> {
    return this.db.transaction(async (manager) => {
      const head = await this.db
        .forUpdate(manager.createQueryBuilder(LedgerHead, 'head').where('head.id = :id', { id: LEDGER_HEAD_ID }))
        .getOneOrFail();
      if (head.leaseToken !== this.token) return 'lost';
      if (!this.signer.isGenuine(head))
        throw new UntrustedHead(`the head of the ledger (entry ${head.seq}) was not written with this MASTER_KEY`);
      const rows = await this.tables.unsealed(manager, BATCH);
      let { seq, hash } = head;
      const seals: Seal[] = [];
      for (const { table, id, raw } of rows) {
        const prevHash = hash;
        seq += 1;
        hash = entryHash(canonicalEntry({ seq, prevHash }, table, this.tables.columns(manager, table), raw));
        seals.push({ table, id, seq, hash, prevHash });
      }
      if (seals.length === 0) return { count: 0, seq, hash };
      await this.tables.seal(manager, this.db.isMysql, seals);
      const extended = await manager
        .createQueryBuilder()
        .update(LedgerHead)
        .set({
          seq,
          hash,
          mac: this.signer.mac(seq, hash),
          sealedAt: this.clock.now(),
          leaseUntil: () => this.db.sqlNow(LEASE_MS),
        })
        .where('id = :id AND seq = :read AND leaseToken = :token', {
          id: LEDGER_HEAD_ID,
          read: head.seq,
          token: this.token,
        })
        .execute();
      if (extended.affected !== 1) throw new Error('the head of the ledger moved under its lock');
      return { count: seals.length, seq, hash };
    });
  }

  private async acquire(): Promise<boolean> {
    const taken = await this.db.read((manager) =>
      manager
        .createQueryBuilder()
        .update(LedgerHead)
        .set({ leaseToken: this.token, leaseUntil: () => this.db.sqlNow(LEASE_MS) })
        .where(`id = :id AND (leaseToken = :token OR leaseUntil IS NULL OR leaseUntil <= ${this.db.sqlNow()})`, {
          id: LEDGER_HEAD_ID,
          token: this.token,
        })
        .execute(),
    );
    return taken.affected === 1;
  }

  private async release(): Promise<void> {
    await this.db.read((manager) =>
      manager
        .createQueryBuilder()
        .update(LedgerHead)
        .set({ leaseToken: null, leaseUntil: null })
        .where('id = :id AND leaseToken = :token', { id: LEDGER_HEAD_ID, token: this.token })
        .execute(),
    );
  }

  private async tick(): Promise<void> {
    if (this.sealing !== undefined || this.stopped) return;
    this.sealing = this.seal()
      // The end of what was sealed lately is said when its time has come, also when nothing comes after it.
      .then(() => this.sayHead())
      .catch((error: unknown) => this.sayFailure(error))
      .finally(() => (this.sealing = undefined));
    await this.sealing;
  }

  private sayHead(): void {
    const { unsaid } = this;
    if (!unsaid || performance.now() - this.headSaidAtMs < SAY_EVERY_MS) return;
    this.unsaid = undefined;
    this.headSaidAtMs = performance.now();
    this.logger.log({ msg: 'ledger sealed', seq: unsaid.seq, hash: unsaid.hash });
  }

  private sayFailure(error: unknown): void {
    if (performance.now() - this.failureSaidAtMs < SAY_EVERY_MS) return;
    this.failureSaidAtMs = performance.now();
    const msg =
      error instanceof UntrustedHead
        ? 'LEDGER BROKEN: nothing is sealed until a person has looked (npm run verify-ledger)'
        : 'sealing the ledger failed and is tried again';
    this.logger.error({ msg, error: errorText(error) });
  }
}
