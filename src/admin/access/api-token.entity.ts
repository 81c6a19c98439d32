import { Column, Entity, PrimaryColumn } from 'typeorm';
import type { AdminRole } from '../min-role.js';

/** A bearer token of the internal API. The token itself is stored nowhere. */
@Entity('api_token')
export class ApiToken {
  @PrimaryColumn('bigint')
  id: string;

  /** Unique, also among those that were revoked: the audit names tokens by it. */
  @Column('varchar')
  name: string;

  @Column('varchar')
  role: AdminRole;

  /** How the token begins, to tell it from others. */
  @Column('varchar')
  hint: string;

  /** SHA-256 in hexadecimal: a token is random and long, nothing could be gained from a slow hash. */
  @Column('varchar')
  tokenHash: string;

  @Column('varchar')
  createdBy: string;

  @Column('datetime', { precision: 3 })
  createdAt: Date;

  /** Null: never. */
  @Column('datetime', { precision: 3, nullable: true })
  expiresAt: Date | null;

  @Column('datetime', { precision: 3, nullable: true })
  revokedAt: Date | null;

  /** To the minute. */
  @Column('datetime', { precision: 3, nullable: true })
  lastUsedAt: Date | null;
}
