import { randomBytes } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import { MoreThan } from 'typeorm';
import { Db, isDuplicate } from '../../database/db.js';
import { CLOCK, MINUTE_MS, type Clock } from '../../shared/clock.js';
import { ConflictError, invalidField, NotFoundError } from '../../shared/errors.js';
import { IdGenerator, isId } from '../../shared/ids.js';
import { AuditService } from '../audit.service.js';
import { DEFAULT_PAGE, pageOf, type Page, type PageDto } from '../page.js';
import type { CreatedTokenView, CreateTokenDto, TokenView } from './access.dto.js';
import { ApiToken } from './api-token.entity.js';
import { sha256Hex } from './sha256.js';

/** Recognisable to whoever searches repositories and logs for leaked secrets. */
const TOKEN_PREFIX = 'rs_';
const TOKEN_BYTES = 32;
const HINT_LENGTH = 7;

/** Bearer tokens of the internal API. Read from the database at every request, so that what is revoked is revoked everywhere. */
@Injectable()
export class TokenService {
  constructor(
    private readonly db: Db,
    private readonly audit: AuditService,
    private readonly ids: IdGenerator,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  /** @returns undefined when there is no such token, or it has expired or was revoked. */
  async resolve(token: string): Promise<ApiToken | undefined> {
    if (!token.startsWith(TOKEN_PREFIX)) return undefined;
    const tokenHash = sha256Hex(token);
    const stored = await this.db.read((manager) => manager.findOneBy(ApiToken, { tokenHash }));
    const now = this.clock.now();
    if (!stored || stored.revokedAt !== null || (stored.expiresAt !== null && stored.expiresAt <= now))
      return undefined;
    if (stored.lastUsedAt === null || now.getTime() - stored.lastUsedAt.getTime() >= MINUTE_MS) {
      await this.db.read((manager) => manager.update(ApiToken, { id: stored.id }, { lastUsedAt: now }));
    }
    return stored;
  }

  async create({ name, role, expiresAt }: CreateTokenDto, actor: string): Promise<CreatedTokenView> {
    const now = this.clock.now();
    if (expiresAt !== undefined && expiresAt <= now) throw invalidField('expiresAt', 'is in the past');
    const token = `${TOKEN_PREFIX}${randomBytes(TOKEN_BYTES).toString('base64url')}`;
    const row: ApiToken = {
      id: this.ids.next(),
      name,
      role,
      hint: token.slice(0, HINT_LENGTH),
      tokenHash: sha256Hex(token),
      createdBy: actor,
      createdAt: now,
      expiresAt: expiresAt ?? null,
      revokedAt: null,
      lastUsedAt: null,
    };
    try {
      await this.db.transaction(async (manager) => {
        await manager.insert(ApiToken, row);
        await this.audit.record({ actor, action: 'token.create', ...targetOf(row), after: viewOf(row) });
      });
    } catch (error) {
      if (isDuplicate(error)) throw new ConflictError('name', `${name} is taken, perhaps by a token that was revoked`);
      throw error;
    }
    return { ...viewOf(row), token };
  }

  async list({ cursor = '0', limit = DEFAULT_PAGE }: PageDto): Promise<Page<TokenView>> {
    const rows = await this.db.read((manager) =>
      manager.find(ApiToken, { where: { id: MoreThan(cursor) }, order: { id: 'ASC' }, take: limit }),
    );
    return pageOf(rows, limit, viewOf);
  }

  /** Works at once and everywhere. A token that was revoked before stays as it is. */
  async revoke(id: string, actor: string): Promise<TokenView> {
    if (!isId(id)) throw new NotFoundError(`no token ${id.slice(0, 32)}`);
    return this.db.transaction(async (manager) => {
      const query = manager.createQueryBuilder(ApiToken, 'token').where('token.id = :id', { id });
      const row = await this.db.forUpdate(query).getOne();
      if (!row) throw new NotFoundError(`no token ${id}`);
      if (row.revokedAt !== null) return viewOf(row);
      const before = viewOf(row);
      row.revokedAt = this.clock.now();
      await manager.update(ApiToken, { id }, { revokedAt: row.revokedAt });
      await this.audit.record({ actor, action: 'token.revoke', ...targetOf(row), before, after: viewOf(row) });
      return viewOf(row);
    });
  }
}

function targetOf({ id }: ApiToken): { targetType: string; targetId: string } {
  return { targetType: 'token', targetId: id };
}

function viewOf({ tokenHash: _hash, ...view }: ApiToken): TokenView {
  return view;
}
