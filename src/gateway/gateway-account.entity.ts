import { Column, Entity, PrimaryColumn } from 'typeorm';
import type { GatewayChannel } from './gateway.port.js';

/** A merchant's account at a gateway. */
@Entity('gateway_account')
export class GatewayAccount {
  /** Text chosen by the operator; part of the callback URL. */
  @PrimaryColumn('varchar')
  id: string;

  /** Null: every app may use it. */
  @Column('varchar', { nullable: true })
  appId: string | null;

  @Column('varchar')
  channel: GatewayChannel;

  @Column('varchar')
  name: string;

  /** The connector's settings as JSON, encrypted at rest; never answered. */
  @Column('text')
  sealedConfig: string;

  /** The merchant's id at the gateway, compared with what answers echo. */
  @Column('varchar')
  merchantId: string;

  @Column('boolean')
  enabled: boolean;

  /** True for the built-in sandbox: no money moves. */
  @Column('boolean')
  sandbox: boolean;

  /** `close`: a refund that the gateway never heard of is closed after the grace period instead of going to review. */
  @Column('varchar')
  notFoundPolicy: 'review' | 'close';

  /** Calls a second, where the account may make fewer than its gateway's connector declares. */
  @Column('int', { nullable: true })
  ratePerSecond: number | null;

  /** Calls at the same time, likewise. */
  @Column('int', { nullable: true })
  maxConcurrency: number | null;

  @Column('datetime', { precision: 3 })
  createdAt: Date;

  @Column('datetime', { precision: 3 })
  updatedAt: Date;
}
