import { randomBytes } from 'node:crypto';
import { Inject, Injectable, Logger } from '@nestjs/common';
import { In, LessThan } from 'typeorm';
import { Db } from '../../database/db.js';
import { addMs, CLOCK, HOUR_MS, MINUTE_MS, type Clock } from '../../shared/clock.js';
import { DomainError, invalidField } from '../../shared/errors.js';
import { AuditService } from '../audit.service.js';
import { AdminSession } from './admin-session.entity.js';
import { AdminUser } from './admin-user.entity.js';
import { LoginThrottle } from './login-throttle.service.js';
import { hashPassword, isOutdated, verifyPassword } from './password-hash.js';
import { sha256Hex } from './sha256.js';
import { UserService } from './user.service.js';

/** Log in again after a working day, or after two hours away. */
const SESSION_MS = 12 * HOUR_MS;
const IDLE_MS = 2 * HOUR_MS;
const SESSION_BYTES = 32;
/** A hash takes 32 MiB and a third of a second of one core. */
const MAX_WAITING_HASHES = 16;
const WRONG = 'the name or the password is wrong';

export interface OpenSession {
  user: AdminUser;
  session: AdminSession;
}

export interface NewSession extends OpenSession {
  /** For the cookie. */
  value: string;
}

/** Users who log in with a password. Read from the database at every request, so that what ends, ends everywhere. */
@Injectable()
export class SessionService {
  private readonly logger = new Logger('Login');
  private hashing: Promise<unknown> = Promise.resolve();
  private waitingHashes = 0;

  constructor(
    private readonly db: Db,
    private readonly throttle: LoginThrottle,
    private readonly users: UserService,
    private readonly audit: AuditService,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  /**
   * One answer, in one time, to a wrong name, a wrong password and a user who is switched off.
   *
   * @throws DomainError `unauthenticated`, or `tooManyRequests` while the name or the address is locked.
   */
  async login(name: string, password: string, ip: string): Promise<NewSession> {
    const user = await this.checked(name, password, ip);
    const opened = await this.open(user, ip);
    await this.forgetOld();
    return opened;
  }

  async resolve(value: string): Promise<OpenSession | undefined> {
    const session = await this.db.read((manager) => manager.findOneBy(AdminSession, { idHash: sha256Hex(value) }));
    const now = this.clock.now();
    if (!session || session.expiresAt <= now || addMs(session.lastSeenAt, IDLE_MS) <= now) return undefined;
    const user = await this.db.read((manager) => manager.findOneBy(AdminUser, { id: session.userId }));
    if (!user?.enabled) return undefined;
    if (now.getTime() - session.lastSeenAt.getTime() >= MINUTE_MS) {
      await this.db.read((manager) => manager.update(AdminSession, { idHash: session.idHash }, { lastSeenAt: now }));
    }
    return { user, session };
  }

  async logout({ session, user }: OpenSession): Promise<void> {
    await this.db.transaction(async (manager) => {
      await manager.delete(AdminSession, { idHash: session.idHash });
      await this.audit.record({
        actor: `user:${user.name}`,
        action: 'session.logout',
        targetType: 'user',
        targetId: user.id,
      });
    });
  }

  /** Ends every session of the user and opens a new one. */
  async changePassword(user: AdminUser, current: string, next: string, ip: string): Promise<NewSession> {
    if (current === next) throw invalidField('newPassword', 'is the one there is');
    const checked = await this.checked(user.name, current, ip).catch((error: unknown) => {
      // The session is valid: 401 would say that it is not.
      if (error instanceof DomainError && error.code === 'unauthenticated')
        throw invalidField('currentPassword', 'is wrong');
      throw error;
    });
    const changed = await this.users.change(user.id, { password: next }, `user:${user.name}`, 'user.changePassword');
    return this.open({ ...checked, passwordChangedAt: changed.passwordChangedAt }, ip);
  }

  private async checked(name: string, password: string, ip: string): Promise<AdminUser> {
    const wasLast = await this.throttle.attempt(name, ip);
    const user = await this.db.read((manager) => manager.findOneBy(AdminUser, { name }));
    // MySQL compares text without its trailing spaces.
    const named = user?.name === name ? user : undefined;
    const isRight = await this.oneAtATime(() => verifyPassword(password, named?.passwordHash));
    if (!named || !isRight || !named.enabled) {
      this.logger.warn({ msg: 'a login failed', ip, user: named?.name, locked: wasLast });
      if (wasLast) await this.recordLock(named, ip);
      throw new DomainError('unauthenticated', WRONG);
    }
    await this.throttle.succeeded(name, ip);
    if (isOutdated(named.passwordHash)) {
      const passwordHash = await hashPassword(password);
      const where = { id: named.id, passwordHash: named.passwordHash };
      await this.db.read((manager) => manager.update(AdminUser, where, { passwordHash }));
    }
    return named;
  }

  private recordLock(user: AdminUser | undefined, ip: string): Promise<void> {
    return this.audit.record({
      actor: 'anonymous',
      action: 'session.locked',
      targetType: 'user',
      targetId: user?.id ?? 'unknown',
      after: { ip },
    });
  }

  private async open(user: AdminUser, ip: string): Promise<NewSession> {
    const value = randomBytes(SESSION_BYTES).toString('base64url');
    const now = this.clock.now();
    const session: AdminSession = {
      idHash: sha256Hex(value),
      userId: user.id,
      createdAt: now,
      lastSeenAt: now,
      expiresAt: addMs(now, SESSION_MS),
      ip: ip.slice(0, 64),
    };
    await this.db.transaction(async (manager) => {
      const query = manager.createQueryBuilder(AdminUser, 'user').where('user.id = :id', { id: user.id });
      const now = await this.db.forUpdate(query).getOne();
      // Between the check of the password and this the user may have been given another one, or been switched off.
      if (!now?.enabled || now.passwordChangedAt.getTime() !== user.passwordChangedAt.getTime())
        throw new DomainError('unauthenticated', WRONG);
      await manager.insert(AdminSession, session);
      await this.audit.record({
        actor: `user:${user.name}`,
        action: 'session.login',
        targetType: 'user',
        targetId: user.id,
        after: { ip: session.ip },
      });
    });
    return { value, session, user };
  }

  /** Guessers must not take every core and all memory from the refunds. */
  private async oneAtATime<T>(work: () => Promise<T>): Promise<T> {
    if (this.waitingHashes >= MAX_WAITING_HASHES)
      throw new DomainError('tooManyRequests', 'too many logins at once; try again', { retryAfterS: 5 });
    this.waitingHashes += 1;
    const result = this.hashing.then(work);
    this.hashing = result.catch(() => undefined);
    try {
      return await result;
    } finally {
      this.waitingHashes -= 1;
    }
  }

  private async forgetOld(): Promise<void> {
    const where = { expiresAt: LessThan(this.clock.now()) };
    const old = await this.db.read((manager) =>
      manager.find(AdminSession, { select: { idHash: true }, where, take: 500 }),
    );
    if (old.length === 0) return;
    await this.db.transaction((manager) =>
      manager.delete(AdminSession, { idHash: In(old.map(({ idHash }) => idHash)) }),
    );
  }
}
