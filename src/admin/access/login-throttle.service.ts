import { isIPv6 } from 'node:net';
import { Inject, Injectable } from '@nestjs/common';
import ipaddr from 'ipaddr.js';
import { In, LessThan, type EntityManager } from 'typeorm';
import { Db } from '../../database/db.js';
import { addMs, CLOCK, MINUTE_MS, SECOND_MS, type Clock } from '../../shared/clock.js';
import { DomainError } from '../../shared/errors.js';
import { LoginFailure } from './login-failure.entity.js';
import { sha256Hex } from './sha256.js';

/** Failures within the window, after which nobody may try this name, or from this address, until the lock ends. */
const MAX_FAILURES = { user: 5, ip: 50 };
const WINDOW_MS = 15 * MINUTE_MS;
const LOCK_MS = 15 * MINUTE_MS;

/** Slows down whoever guesses passwords: per user name, whether there is such a user or not, and per address. */
@Injectable()
export class LoginThrottle {
  constructor(
    private readonly db: Db,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  /**
   * Counts an attempt as failed before its password is looked at: of many at once no more get through than of as many in a row.
   *
   * @returns true when this was the last one before the lock.
   * @throws DomainError `tooManyRequests` while the name or the address is locked.
   */
  async attempt(name: string, ip: string): Promise<boolean> {
    return this.db.transaction(
      async (manager) => {
        const byIp = await this.count(manager, ipKey(ip), MAX_FAILURES.ip);
        const byUser = await this.count(manager, userKey(name), MAX_FAILURES.user);
        return byIp || byUser;
      },
      { retryDuplicates: true },
    );
  }

  /** The attempt was right after all. */
  async succeeded(name: string, ip: string): Promise<void> {
    await this.db.transaction(async (manager) => {
      await manager.delete(LoginFailure, { id: userKey(name) });
      await manager
        .createQueryBuilder()
        .update(LoginFailure)
        .set({ failures: () => 'failures - 1', lockedUntil: null })
        .where('id = :id AND failures > 0', { id: ipKey(ip) })
        .execute();
    });
    await this.forgetOld();
  }

  private async count(manager: EntityManager, id: string, max: number): Promise<boolean> {
    const query = manager.createQueryBuilder(LoginFailure, 'failure').where('failure.id = :id', { id });
    const stored = await this.db.forUpdate(query).getOne();
    const now = this.clock.now();
    if (stored?.lockedUntil && stored.lockedUntil > now) {
      const retryAfterS = Math.ceil((stored.lockedUntil.getTime() - now.getTime()) / SECOND_MS);
      throw new DomainError('tooManyRequests', 'too many failed logins; try again later', { retryAfterS });
    }
    const fresh = !stored || stored.forgetAt <= now;
    const failures = fresh ? 1 : stored.failures + 1;
    const isLast = failures >= max;
    const row: LoginFailure = {
      id,
      failures,
      lockedUntil: isLast ? addMs(now, LOCK_MS) : null,
      forgetAt: isLast ? addMs(now, LOCK_MS) : fresh ? addMs(now, WINDOW_MS) : stored.forgetAt,
    };
    if (stored) await manager.update(LoginFailure, { id }, row);
    else await manager.insert(LoginFailure, row);
    return isLast;
  }

  private async forgetOld(): Promise<void> {
    const now = this.clock.now();
    // By their keys: a delete over a range of times would lock what others are counting.
    const old = await this.db.read((manager) =>
      manager.find(LoginFailure, { select: { id: true }, where: { forgetAt: LessThan(now) }, take: 500 }),
    );
    if (old.length === 0) return;
    const where = { id: In(old.map(({ id }) => id)), forgetAt: LessThan(now) };
    await this.db.transaction((manager) => manager.delete(LoginFailure, where));
  }
}

function userKey(name: string): string {
  return `user:${sha256Hex(name)}`;
}

/** Whoever has an IPv6 address has a whole /64 of them. */
function ipKey(ip: string): string {
  const plain = ip.replace(/%.*$/, '');
  if (!isIPv6(plain)) return `ip:${plain.slice(0, 64)}`;
  const address = ipaddr.IPv6.parse(plain);
  if (address.isIPv4MappedAddress()) return `ip:${address.toIPv4Address().toString()}`;
  return `ip:${address.parts.slice(0, 4).join(':')}`;
}
