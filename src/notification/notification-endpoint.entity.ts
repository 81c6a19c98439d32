import { Column, Entity, PrimaryColumn } from 'typeorm';
import type { DeliveryFault } from './notification-attempt.entity.js';

/** A receiver of one app that has failed: scheme, host and port. Those that never did have no row. */
@Entity('notification_endpoint')
export class NotificationEndpoint {
  @PrimaryColumn('bigint')
  id: string;

  @Column('varchar')
  appId: string;

  @Column('varchar')
  origin: string;

  /** In a row; a delivery sets it to 0. */
  @Column('int')
  failures: number;

  /** The first failure of that row. */
  @Column('datetime', { precision: 3, nullable: true })
  failingSince: Date | null;

  @Column('datetime', { precision: 3, nullable: true })
  lastFailureAt: Date | null;

  @Column('varchar', { nullable: true })
  lastFault: DeliveryFault | null;

  @Column('datetime', { precision: 3, nullable: true })
  pausedAt: Date | null;

  /** Resumed, and some of what waited for it still has to be made due. */
  @Column('boolean')
  resuming: boolean;

  @Column('datetime', { precision: 3 })
  updatedAt: Date;
}
