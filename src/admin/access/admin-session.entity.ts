import { Column, Entity, PrimaryColumn } from 'typeorm';

/** A user who is logged in. Whoever reads this table cannot use the sessions in it. */
@Entity('admin_session')
export class AdminSession {
  /** SHA-256 of the cookie's value, in hexadecimal. */
  @PrimaryColumn('varchar')
  idHash: string;

  @Column('bigint')
  userId: string;

  @Column('datetime', { precision: 3 })
  createdAt: Date;

  /** To the minute. */
  @Column('datetime', { precision: 3 })
  lastSeenAt: Date;

  @Column('datetime', { precision: 3 })
  expiresAt: Date;

  @Column('varchar')
  ip: string;
}
