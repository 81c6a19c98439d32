import { Column, Entity, PrimaryColumn } from 'typeorm';
import type { InterfaceCode } from './merchant-codes.js';

/** Switches of one interface for one app. No row means: enabled, requests signed, answers not. */
@Entity('interface_setting')
export class InterfaceSetting {
  @PrimaryColumn('varchar')
  appId: string;

  @PrimaryColumn('varchar')
  code: InterfaceCode;

  @Column('boolean')
  enabled: boolean;

  @Column('boolean')
  requestSign: boolean;

  @Column('boolean')
  responseSign: boolean;

  @Column('datetime', { precision: 3 })
  updatedAt: Date;
}
