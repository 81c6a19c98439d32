import type { QueryRunner, TableColumnOptions } from 'typeorm';

/**
 * The column types in which MySQL and SQLite differ, in one place, so that every migration serves both.
 *
 * Ids are TEXT in SQLite: its INTEGER reaches JavaScript as a number and loses digits above 2^53. Text in MySQL compares by
 * code point (`utf8mb4_bin`): refund numbers `R1` and `r1` are two refunds, as they are in SQLite.
 *
 * `refund` and `payment` have generated columns on MySQL, and TypeORM's schema builder cannot load such a table without a table of its own:
 * migrations change these two by SQL.
 */
export function columnTypes(runner: QueryRunner) {
  const mysql = runner.dataSource.options.type === 'mysql' || runner.dataSource.options.type === 'mariadb';
  const column = (name: string, type: string, more: Partial<TableColumnOptions> = {}): TableColumnOptions => ({
    name,
    type,
    ...more,
  });
  return {
    mysql,
    id: (name: string, more?: Partial<TableColumnOptions>) => column(name, mysql ? 'bigint' : 'text', more),
    amount: (name: string, more?: Partial<TableColumnOptions>) => column(name, 'bigint', more),
    text: (name: string, length: number, more?: Partial<TableColumnOptions>) =>
      column(name, 'varchar', {
        length: String(length),
        ...(mysql ? { charset: 'utf8mb4', collation: 'utf8mb4_bin' } : {}),
        ...more,
      }),
    longText: (name: string, more?: Partial<TableColumnOptions>) =>
      column(name, mysql ? 'mediumtext' : 'text', {
        ...(mysql ? { charset: 'utf8mb4', collation: 'utf8mb4_bin' } : {}),
        ...more,
      }),
    integer: (name: string, more?: Partial<TableColumnOptions>) => column(name, 'int', more),
    flag: (name: string, more?: Partial<TableColumnOptions>) => column(name, mysql ? 'tinyint' : 'boolean', more),
    time: (name: string, more?: Partial<TableColumnOptions>) =>
      column(name, 'datetime', { ...(mysql ? { precision: 3 } : {}), ...more }),
  };
}

export const NULLABLE = { isNullable: true } as const;
export const PRIMARY = { isPrimary: true } as const;
