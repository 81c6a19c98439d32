import { Inject, Injectable } from '@nestjs/common';
import { MoreThan, type EntityManager } from 'typeorm';
import { Db, isDuplicate } from '../../database/db.js';
import { CLOCK, type Clock } from '../../shared/clock.js';
import { ConflictError, NotFoundError } from '../../shared/errors.js';
import { IdGenerator, isId } from '../../shared/ids.js';
import { AuditService } from '../audit.service.js';
import { DEFAULT_PAGE, pageOf, type Page, type PageDto } from '../page.js';
import type { ChangeUserDto, CreateUserDto, UserView } from './access.dto.js';
import { AdminSession } from './admin-session.entity.js';
import { AdminUser } from './admin-user.entity.js';
import { hashPassword } from './password-hash.js';

/** Users of the console. */
@Injectable()
export class UserService {
  constructor(
    private readonly db: Db,
    private readonly audit: AuditService,
    private readonly ids: IdGenerator,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  async list({ cursor = '0', limit = DEFAULT_PAGE }: PageDto): Promise<Page<UserView>> {
    const rows = await this.db.read((manager) =>
      manager.find(AdminUser, { where: { id: MoreThan(cursor) }, order: { id: 'ASC' }, take: limit }),
    );
    return pageOf(rows, limit, viewOf);
  }

  async create({ name, role, password }: CreateUserDto, actor: string): Promise<UserView> {
    // Not within the transaction: it takes a tenth of a second on purpose.
    const passwordHash = await hashPassword(password);
    const now = this.clock.now();
    const user: AdminUser = {
      id: this.ids.next(),
      name,
      role,
      passwordHash,
      enabled: true,
      createdAt: now,
      updatedAt: now,
      passwordChangedAt: now,
    };
    try {
      await this.db.transaction(async (manager) => {
        await manager.insert(AdminUser, user);
        await this.audit.record({
          actor,
          action: 'user.create',
          targetType: 'user',
          targetId: user.id,
          after: { ...viewOf(user), password: '***' },
        });
      });
    } catch (error) {
      if (isDuplicate(error)) throw new ConflictError('name', `${name} is taken`);
      throw error;
    }
    return viewOf(user);
  }

  /** A new password, and being switched off, end every session of the user. */
  async change(
    id: string,
    { role, enabled, password }: ChangeUserDto,
    actor: string,
    action = 'user.change',
  ): Promise<UserView> {
    if (!isId(id)) throw new NotFoundError(`no user ${id.slice(0, 32)}`);
    const passwordHash = password === undefined ? undefined : await hashPassword(password);
    return this.db.transaction(async (manager) => {
      const user = await this.locked(manager, id);
      const before = viewOf(user);
      const now = this.clock.now();
      if (role !== undefined) user.role = role;
      if (enabled !== undefined) user.enabled = enabled;
      if (passwordHash !== undefined) Object.assign(user, { passwordHash, passwordChangedAt: now });
      user.updatedAt = now;
      await manager.save(AdminUser, user);
      if (passwordHash !== undefined || !user.enabled) await manager.delete(AdminSession, { userId: id });
      const after = { ...viewOf(user), ...(passwordHash === undefined ? {} : { password: '***' }) };
      await this.audit.record({ actor, action, targetType: 'user', targetId: id, before, after });
      return viewOf(user);
    });
  }

  private async locked(manager: EntityManager, id: string): Promise<AdminUser> {
    const query = manager.createQueryBuilder(AdminUser, 'user').where('user.id = :id', { id });
    const user = await this.db.forUpdate(query).getOne();
    if (!user) throw new NotFoundError(`no user ${id}`);
    return user;
  }
}

function viewOf({ passwordHash: _hash, ...view }: AdminUser): UserView {
  return view;
}
