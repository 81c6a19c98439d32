import { Column, Entity, PrimaryColumn } from 'typeorm';
import type { SignType } from '../shared/sign-type.js';
import type { SignDialectName } from './merchant-codes.js';

/** A merchant system that calls the API. */
@Entity('merchant_app')
export class MerchantApp {
  /** Text chosen by the operator; the first app is `default`. */
  @PrimaryColumn('varchar')
  id: string;

  @Column('varchar')
  name: string;

  @Column('varchar')
  dialect: SignDialectName;

  @Column('varchar')
  signType: SignType;

  /** Encrypted at rest; never answered. */
  @Column('text')
  sealedSignSecret: string;

  /** While a rotation is under way: what still opens beside the new one. */
  @Column('text', { nullable: true })
  sealedPreviousSignSecret: string | null;

  /** When the secret was last replaced; null: never. */
  @Column('datetime', { precision: 3, nullable: true })
  signSecretRotatedAt: Date | null;

  /** Seconds that `reqTime` may be away from now; 0 = not checked. */
  @Column('int')
  reqTimeWindowS: number;

  @Column('varchar', { nullable: true })
  notifyUrl: string | null;

  @Column('boolean')
  enabled: boolean;

  @Column('datetime', { precision: 3 })
  createdAt: Date;

  @Column('datetime', { precision: 3 })
  updatedAt: Date;
}
