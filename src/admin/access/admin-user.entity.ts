import { Column, Entity, PrimaryColumn } from 'typeorm';
import type { AdminRole } from '../min-role.js';

/** Somebody who logs in to the console. Never deleted: the audit names them. */
@Entity('admin_user')
export class AdminUser {
  @PrimaryColumn('bigint')
  id: string;

  /** Lower case, unique. */
  @Column('varchar')
  name: string;

  @Column('varchar')
  role: AdminRole;

  /** `$scrypt$ln=…,r=…,p=…$<salt>$<hash>`; never answered. */
  @Column('varchar')
  passwordHash: string;

  @Column('boolean')
  enabled: boolean;

  @Column('datetime', { precision: 3 })
  createdAt: Date;

  @Column('datetime', { precision: 3 })
  updatedAt: Date;

  @Column('datetime', { precision: 3 })
  passwordChangedAt: Date;
}
