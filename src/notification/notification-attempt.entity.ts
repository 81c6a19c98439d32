import { Column, Entity, PrimaryColumn } from 'typeorm';

/** Why an attempt was not a delivery. */
export type DeliveryFault =
  | 'httpStatus'
  | 'answer'
  | 'answerTooLarge'
  | 'timeout'
  | 'connection'
  | 'tls'
  | 'unknownHost'
  | 'forbiddenAddress'
  | 'badUrl'
  | 'appSwitchedOff';

/** One attempt to deliver a notification. Append-only. */
@Entity('notification_attempt')
export class NotificationAttempt {
  @PrimaryColumn('bigint')
  id: string;

  @Column('bigint')
  notificationId: string;

  /** Scheme, host and port; what comes after may hold secrets of the merchant. */
  @Column('varchar')
  origin: string;

  /** Null when no answer came. */
  @Column('int', { nullable: true })
  statusCode: number | null;

  @Column('int')
  durationMs: number;

  /** Null: delivered. */
  @Column('varchar', { nullable: true })
  fault: DeliveryFault | null;

  @Column('varchar', { nullable: true })
  detail: string | null;

  /** How the answer begins, without secrets. */
  @Column('varchar', { nullable: true })
  answer: string | null;

  @Column('varchar', { nullable: true })
  traceId: string | null;

  @Column('datetime', { precision: 3 })
  startedAt: Date;
}
