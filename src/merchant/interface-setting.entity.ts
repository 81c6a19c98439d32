import { Column, Entity, PrimaryColumn } from 'typeorm';

export const INTERFACE_CODES = ['syncRefund', 'refund', 'queryRefund'] as const;
export type InterfaceCode = (typeof INTERFACE_CODES)[number];

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
