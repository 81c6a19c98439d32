import { AsyncLocalStorage } from 'node:async_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { Inject, Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import {
  QueryFailedError,
  type DataSource,
  type EntityManager,
  type ObjectLiteral,
  type SelectQueryBuilder,
} from 'typeorm';
import { CLOCK, systemClock, type Clock } from '../shared/clock.js';

/** Deadlock, lock wait time-out, snapshot conflict: the transaction did nothing and may be run again. */
const RETRYABLE_ERRNOS = new Set([1213, 1205, 1020]);
const MYSQL_DUPLICATE_ERRNO = 1062;
const MAX_ATTEMPTS = 6;
const MIGRATION_LOCK = 'refund-sync:migrate';
const MIGRATION_LOCK_WAIT_S = 120;

/**
 * The one door to the database.
 *
 * TypeORM holds one connection and one query runner for SQLite: a second concurrent transaction would collide with the first or
 * silently become a savepoint of it. So there every statement passes one mutex; work that already holds it (an
 * AsyncLocalStorage marks the holder) goes straight on. On MySQL the pool does this and nothing is serialised.
 */
@Injectable()
export class Db {
  readonly isMysql: boolean;
  private readonly current = new AsyncLocalStorage<EntityManager>();
  private readonly mutex = new Mutex();

  constructor(
    @InjectDataSource() private readonly dataSource: DataSource,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {
    this.isMysql = dataSource.options.type === 'mysql' || dataSource.options.type === 'mariadb';
  }

  /** Runs reads (or one single write) outside of a transaction, or inside the caller's. */
  async read<T>(work: (manager: EntityManager) => Promise<T>): Promise<T> {
    const open = this.current.getStore();
    if (open) return work(open);
    if (this.isMysql) return work(this.dataSource.manager);
    return this.mutex.run(() => work(this.dataSource.manager));
  }

  /**
   * Runs a short transaction, READ COMMITTED on MySQL. What failed by deadlock, lock time-out or snapshot conflict is run again
   * from the start in a new transaction, at most six times; `work` must therefore have no effect outside of the database.
   *
   * @param options.retryDuplicates runs again after a unique key was violated, for work that looks before it inserts.
   */
  async transaction<T>(
    work: (manager: EntityManager) => Promise<T>,
    options: { retryDuplicates?: boolean } = {},
  ): Promise<T> {
    const open = this.current.getStore();
    if (open) throw new Error('a transaction was opened inside another: pass the entity manager on instead');
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await (this.isMysql ? this.mysqlTransaction(work) : this.mutex.run(() => this.sqliteTransaction(work)));
      } catch (error) {
        const again = isRetryable(error) || (options.retryDuplicates === true && isDuplicate(error));
        if (!again || attempt >= MAX_ATTEMPTS) throw error;
        await sleep(Math.random() * 10 * 2 ** attempt);
      }
    }
  }

  /** Runs a part of a transaction that can fail by itself: what it wrote is taken back, what was before it stays. */
  async savepoint<T>(manager: EntityManager, work: (manager: EntityManager) => Promise<T>): Promise<T> {
    if (this.current.getStore() === undefined) throw new Error('a savepoint belongs into a transaction');
    return manager.transaction(work);
  }

  /** Adds FOR UPDATE where rows can be locked; on SQLite the mutex already keeps everybody else out. */
  forUpdate<T extends ObjectLiteral>(query: SelectQueryBuilder<T>, onLocked?: 'skip_locked'): SelectQueryBuilder<T> {
    if (!this.isMysql) return query;
    const locked = query.setLock('pessimistic_write');
    return onLocked ? locked.setOnLocked(onLocked) : locked;
  }

  /**
   * SQL for "now plus `plusMs`": the database's clock on MySQL, so that processes with skewed clocks agree on leases and claims;
   * the injected clock on SQLite and wherever a test moves time.
   */
  sqlNow(plusMs = 0): string {
    if (this.isMysql && this.clock === systemClock) {
      return plusMs === 0
        ? 'UTC_TIMESTAMP(3)'
        : `TIMESTAMPADD(MICROSECOND, ${Math.round(plusMs) * 1000}, UTC_TIMESTAMP(3))`;
    }
    const at = new Date(this.clock.now().getTime() + plusMs);
    return `'${at.toISOString().replace('T', ' ').replace('Z', '')}'`;
  }

  /** Brings the schema up to date. Processes that start together wait for each other. */
  async migrate(): Promise<string[]> {
    if (!this.isMysql) return this.mutex.run(() => this.runMigrations());
    const runner = this.dataSource.createQueryRunner();
    try {
      const [row] = (await runner.query(`SELECT GET_LOCK('${MIGRATION_LOCK}', ${MIGRATION_LOCK_WAIT_S}) AS got`)) as {
        got: unknown;
      }[];
      if (Number(row?.got) !== 1) throw new Error('another process has held the migration lock for too long');
      return await this.runMigrations();
    } finally {
      await runner.query(`DO RELEASE_LOCK('${MIGRATION_LOCK}')`).catch(() => undefined);
      await runner.release();
    }
  }

  /** How many migrations that this process knows are not applied. Those of a newer release count for nothing: it is being rolled out. */
  async missingMigrations(): Promise<number> {
    const rows = await this.read((manager) => manager.query<{ name: string }[]>('SELECT name FROM migrations'));
    const applied = new Set(rows.map(({ name }) => name));
    return this.dataSource.migrations.filter(({ name }) => !applied.has(name ?? '')).length;
  }

  /** Takes back every migration; for tests. */
  async revertMigrations(): Promise<void> {
    const count = this.dataSource.migrations.length;
    for (let i = 0; i < count; i += 1) await this.dataSource.undoLastMigration({ transaction: 'each' });
  }

  private async runMigrations(): Promise<string[]> {
    const done = await this.dataSource.runMigrations({ transaction: 'each' });
    return done.map((migration) => migration.name);
  }

  private async mysqlTransaction<T>(work: (manager: EntityManager) => Promise<T>): Promise<T> {
    return this.dataSource.transaction('READ COMMITTED', (manager) => this.current.run(manager, () => work(manager)));
  }

  private async sqliteTransaction<T>(work: (manager: EntityManager) => Promise<T>): Promise<T> {
    return this.dataSource.transaction((manager) => this.current.run(manager, () => work(manager)));
  }
}

/** A unique key was violated. */
export function isDuplicate(error: unknown): boolean {
  const cause = driverError(error);
  return (
    cause?.errno === MYSQL_DUPLICATE_ERRNO ||
    cause?.code === 'SQLITE_CONSTRAINT_UNIQUE' ||
    cause?.code === 'SQLITE_CONSTRAINT_PRIMARYKEY'
  );
}

function isRetryable(error: unknown): boolean {
  const cause = driverError(error);
  return (cause?.errno !== undefined && RETRYABLE_ERRNOS.has(cause.errno)) || isBusySqlite(cause?.code);
}

/**
 * Another process has the file. SQLITE_BUSY_SNAPSHOT comes without any wait: it wrote between our read and our write. A deploy has
 * two processes for a moment.
 */
function isBusySqlite(code: string | undefined): boolean {
  return code === 'SQLITE_BUSY' || code === 'SQLITE_BUSY_SNAPSHOT';
}

function driverError(error: unknown): { errno?: number; code?: string } | undefined {
  return error instanceof QueryFailedError ? (error.driverError as { errno?: number; code?: string }) : undefined;
}

/** First come, first served. */
class Mutex {
  private tail: Promise<unknown> = Promise.resolve();

  run<T>(work: () => Promise<T>): Promise<T> {
    const result = this.tail.then(work);
    this.tail = result.catch(() => undefined);
    return result;
  }
}
