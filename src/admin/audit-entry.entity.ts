import { Column, Entity, PrimaryColumn } from 'typeorm';

/** Who changed what through the internal API. Append-only. Holds no secret: sealed fields appear as `***`. */
@Entity('audit_entry')
export class AuditEntry {
  @PrimaryColumn('bigint')
  id: string;

  @Column('varchar')
  actor: string;

  @Column('varchar')
  action: string;

  @Column('varchar')
  targetType: string;

  @Column('varchar')
  targetId: string;

  @Column('simple-json', { nullable: true })
  before: Record<string, unknown> | null;

  @Column('simple-json', { nullable: true })
  after: Record<string, unknown> | null;

  @Column('varchar', { nullable: true })
  traceId: string | null;

  @Column('datetime', { precision: 3 })
  createdAt: Date;

  /** Filled by the sealer, in batches after commit. */
  @Column('bigint', { nullable: true })
  seq: string | null;

  @Column('varchar', { nullable: true })
  hash: string | null;

  @Column('varchar', { nullable: true })
  prevHash: string | null;
}
