import { Column, Entity, PrimaryColumn } from 'typeorm';

/** How often somebody failed to log in of late, by user name and by address. In the database, so that all processes count together. */
@Entity('login_failure')
export class LoginFailure {
  /** `user:<SHA-256 of the name>`, because people type passwords there, or `ip:<address>`. */
  @PrimaryColumn('varchar')
  id: string;

  @Column('int')
  failures: number;

  @Column('datetime', { precision: 3, nullable: true })
  lockedUntil: Date | null;

  @Column('datetime', { precision: 3 })
  forgetAt: Date;
}
