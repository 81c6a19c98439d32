import { Column, Entity, PrimaryColumn } from 'typeorm';

/** One row, with id 1, that readiness probes write: a database that only reads is no database to work with. */
@Entity('health_probe')
export class HealthProbe {
  @PrimaryColumn('int')
  id: number;

  /** Of the probe that wrote last. */
  @Column('varchar')
  token: string;
}
