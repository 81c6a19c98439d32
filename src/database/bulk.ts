import type { EntityManager, EntityTarget, ObjectLiteral } from 'typeorm';

/**
 * Statements over many rows at once, for the paths where one statement per row would cost more than the work itself. Values go
 * through TypeORM's own conversions (times, flags, JSON, transformers); rows come back as plain entities.
 */

/** SQLite allows 32,766 parameters in a statement; no row here has a hundred columns. */
const MAX_ROWS_PER_STATEMENT = 200;
const DIGITS = /^\d{1,19}$/;

/** Rows by id, in the order of ids: whoever locks many locks in the same order. */
export async function selectByIds<Row extends ObjectLiteral>(
  manager: EntityManager,
  entity: EntityTarget<Row>,
  ids: readonly string[],
  options: { forUpdate?: boolean; and?: string } = {},
): Promise<Map<string, Row>> {
  const found = new Map<string, Row>();
  if (ids.length === 0) return found;
  const { dataSource } = manager;
  const metadata = dataSource.getMetadata(entity);
  const lock = options.forUpdate === true && isMysql(manager) ? ' FOR UPDATE' : '';
  const condition = options.and === undefined ? '' : ` AND ${options.and}`;
  const sql = `SELECT * FROM ${metadata.tableName} WHERE id IN (${ids.map((id) => idLiteral(manager, id)).join(',')})${condition} ORDER BY id${lock}`;
  const raws: Record<string, unknown>[] = await manager.query(sql);
  for (const raw of raws) {
    const row = metadata.create() as Record<string, unknown>;
    for (const column of metadata.columns) {
      row[column.propertyName] = dataSource.driver.prepareHydratedValue(raw[column.databaseName], column) as unknown;
    }
    found.set(String(row['id']), row as Row);
  }
  return found;
}

/** Inserts complete rows. */
export async function insertRows<Row extends ObjectLiteral>(
  manager: EntityManager,
  entity: EntityTarget<Row>,
  rows: readonly Row[],
): Promise<void> {
  const { dataSource } = manager;
  const metadata = dataSource.getMetadata(entity);
  const quote = (name: string): string => dataSource.driver.escape(name);
  const columns = metadata.columns.map((column) => quote(column.databaseName)).join(',');
  const places = `(${metadata.columns.map(() => '?').join(',')})`;
  for (let start = 0; start < rows.length; start += MAX_ROWS_PER_STATEMENT) {
    const part = rows.slice(start, start + MAX_ROWS_PER_STATEMENT);
    const values = part.flatMap((row) =>
      metadata.columns.map(
        (column) => dataSource.driver.preparePersistentValue(column.getEntityValue(row), column) as unknown,
      ),
    );
    await manager.query(
      `INSERT INTO ${metadata.tableName} (${columns}) VALUES ${part.map(() => places).join(',')}`,
      values,
    );
  }
}

/**
 * Writes the given columns of rows that still have the version they were read with.
 *
 * @returns how many rows were written; fewer than given means that somebody else wrote meanwhile.
 */
export async function updateVersioned<Row extends ObjectLiteral & { id: string; version: number }>(
  manager: EntityManager,
  entity: EntityTarget<Row>,
  columns: readonly (keyof Row & string)[],
  rows: readonly { row: Row; readVersion: number }[],
): Promise<number> {
  if (rows.length === 0) return 0;
  const { dataSource } = manager;
  const metadata = dataSource.getMetadata(entity);
  const targets = columns.map((name) => {
    const column = metadata.findColumnWithPropertyName(name);
    if (!column) throw new Error(`${metadata.tableName} has no column ${name}`);
    return column;
  });
  const valuesOf = (row: Row): unknown[] =>
    targets.map((column) => dataSource.driver.preparePersistentValue(column.getEntityValue(row), column) as unknown);
  const quote = (name: string): string => dataSource.driver.escape(name);

  if (!isMysql(manager)) {
    const set = targets.map((column) => `${quote(column.databaseName)} = ?`).join(', ');
    // SQLite runs in this process: a statement per row costs next to nothing, and each says by itself what it wrote.
    let written = 0;
    for (const { row, readVersion } of rows) {
      const sql = `UPDATE ${metadata.tableName} SET ${set} WHERE id = ? AND version = ? RETURNING id`;
      const returned: unknown[] = await manager.query(sql, [...valuesOf(row), row.id, readVersion]);
      written += returned.length;
    }
    return written;
  }
  const names = targets.map((column) => quote(column.databaseName));
  // The first row of the derived table names its columns. Ids stand as digits: quoted ones would be compared as floating point.
  const selects = rows.map(({ row, readVersion }, index) => {
    const places = names.map((name) => (index === 0 ? `? AS ${name}` : '?')).join(',');
    const keys =
      index === 0
        ? `${idLiteral(manager, row.id)} AS id, ${Number(readVersion)} AS readVersion`
        : `${idLiteral(manager, row.id)}, ${Number(readVersion)}`;
    return `SELECT ${keys}, ${places}`;
  });
  const sql = `UPDATE ${metadata.tableName} t JOIN (${selects.join(' UNION ALL ')}) v ON t.id = v.id AND t.version = v.readVersion SET ${names
    .map((name) => `t.${name} = v.${name}`)
    .join(', ')}`;
  const result: { affectedRows: number } = await manager.query(
    sql,
    rows.flatMap(({ row }) => valuesOf(row)),
  );
  return result.affectedRows;
}

function isMysql(manager: EntityManager): boolean {
  const { type } = manager.dataSource.options;
  return type === 'mysql' || type === 'mariadb';
}

function idLiteral(manager: EntityManager, id: string): string {
  if (!DIGITS.test(id)) throw new Error('not an id');
  return isMysql(manager) ? id : `'${id}'`;
}
