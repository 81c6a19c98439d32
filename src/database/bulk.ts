import type { EntityManager, EntityMetadata, EntityTarget, ObjectLiteral } from 'typeorm';

/**
 * Statements over many rows at once, for the paths where one statement per row would cost more than the work itself. Values go
 * through TypeORM's own conversions (times, flags, JSON, transformers); rows come back as plain entities.
 */

/** SQLite allows 32,766 parameters in a statement; no row here has a hundred columns. */
const MAX_ROWS_PER_STATEMENT = 200;
const DIGITS = /^\d{1,19}$/;
/** Column types whose values drivers take and give as they are, unless a column has a transformer. */
const PLAIN_TYPES: ReadonlySet<unknown> = new Set(['varchar', 'text', 'int', 'bigint']);

interface ColumnCodec {
  /** Also the column's name: there is no naming strategy. */
  property: string;
  quoted: string;
  isPlain: boolean;
  read: (raw: unknown) => unknown;
  write: (value: unknown) => unknown;
}

const codecs = new WeakMap<EntityMetadata, ColumnCodec[]>();

/** TypeORM's conversions, without asking it about columns that need none. */
function columnsOf({ dataSource }: EntityManager, metadata: EntityMetadata): ColumnCodec[] {
  let columns = codecs.get(metadata);
  if (!columns) {
    const { driver } = dataSource;
    columns = metadata.columns.map((column) => {
      const isPlain = PLAIN_TYPES.has(column.type) && column.transformer === undefined;
      return {
        property: column.propertyName,
        quoted: driver.escape(column.databaseName),
        isPlain,
        read: isPlain ? asIs : (raw) => driver.prepareHydratedValue(raw, column) as unknown,
        write: isPlain ? asIs : (value) => driver.preparePersistentValue(value, column) as unknown,
      };
    });
    codecs.set(metadata, columns);
  }
  return columns;
}

function asIs(value: unknown): unknown {
  return value;
}

/**
 * Complete rows.
 *
 * @param where what comes after WHERE, with a `?` for each parameter.
 */
export async function selectRows<Row extends ObjectLiteral>(
  manager: EntityManager,
  entity: EntityTarget<Row>,
  where: string,
  parameters: readonly unknown[] = [],
): Promise<Row[]> {
  const metadata = manager.dataSource.getMetadata(entity);
  const converted = columnsOf(manager, metadata).filter(({ isPlain }) => !isPlain);
  const raws: Record<string, unknown>[] = await manager.query(`SELECT * FROM ${metadata.tableName} WHERE ${where}`, [
    ...parameters,
  ]);
  // In place: the driver's objects have a shape that the engine knows; one that is put together name by name has not, and costs ten times as much.
  for (const raw of raws) for (const { property, read } of converted) raw[property] = read(raw[property]);
  return raws as Row[];
}

/** Rows by id, in the order of ids: whoever locks many locks in the same order. */
export async function selectByIds<Row extends ObjectLiteral>(
  manager: EntityManager,
  entity: EntityTarget<Row>,
  ids: readonly string[],
  options: { forUpdate?: boolean } = {},
): Promise<Map<string, Row>> {
  if (ids.length === 0) return new Map();
  const lock = options.forUpdate === true && isMysql(manager) ? ' FOR UPDATE' : '';
  const rows = await selectRows(manager, entity, `id IN (${idList(manager, ids)}) ORDER BY id${lock}`);
  return new Map(rows.map((row) => [String(row['id']), row]));
}

/** Inserts complete rows. */
export async function insertRows<Row extends ObjectLiteral>(
  manager: EntityManager,
  entity: EntityTarget<Row>,
  rows: readonly Row[],
): Promise<void> {
  if (rows.length === 0) return;
  const metadata = manager.dataSource.getMetadata(entity);
  const columns = columnsOf(manager, metadata);
  const names = columns.map(({ quoted }) => quoted).join(',');
  const places = `(${columns.map(() => '?').join(',')})`;
  for (let start = 0; start < rows.length; start += MAX_ROWS_PER_STATEMENT) {
    const part = rows.slice(start, start + MAX_ROWS_PER_STATEMENT);
    const values: unknown[] = [];
    for (const row of part) for (const { property, write } of columns) values.push(write(row[property]));
    await manager.query(
      `INSERT INTO ${metadata.tableName} (${names}) VALUES ${part.map(() => places).join(',')}`,
      values,
    );
  }
}

/** A row as it is to be, and as it was read under its lock. */
export interface VersionedChange<Row> {
  row: Row;
  before: Readonly<Row>;
}

/**
 * Writes what has changed in the given columns of rows that still have the version they were read with. The rows must be locked, or have
 * been read in this transaction where nobody else writes: a column that changed in one row is written in all.
 *
 * @returns how many rows were found unchanged by others; fewer than given means that somebody else wrote meanwhile.
 */
export async function updateVersioned<Row extends ObjectLiteral & { id: string; version: number }>(
  manager: EntityManager,
  entity: EntityTarget<Row>,
  columns: readonly (keyof Row & string)[],
  changes: readonly VersionedChange<Row>[],
): Promise<number> {
  if (changes.length === 0) return 0;
  const metadata = manager.dataSource.getMetadata(entity);
  const wanted = new Set<string>(columns);
  const changed = columnsOf(manager, metadata)
    .filter(({ property }) => wanted.has(property))
    .map((column) => ({ column, values: changes.map(({ row }) => column.write(row[column.property])) }))
    .filter(({ column, values }) =>
      changes.some(({ before }, index) => !same(values[index], column.write(before[column.property]))),
    );
  return isMysql(manager)
    ? updateTogether(manager, metadata.tableName, changes, changed)
    : updateOneByOne(manager, metadata.tableName, changes, changed);
}

interface ChangedColumn {
  column: ColumnCodec;
  /** One for each row. */
  values: readonly unknown[];
}

/** SQLite runs in this process: a statement per row costs next to nothing, and each says by itself what it wrote. */
async function updateOneByOne(
  manager: EntityManager,
  table: string,
  changes: readonly VersionedChange<{ id: string; version: number }>[],
  changed: readonly ChangedColumn[],
): Promise<number> {
  const set = ['version = version', ...changed.map(({ column }) => `${column.quoted} = ?`)];
  let written = 0;
  for (const [index, { row, before }] of changes.entries()) {
    const returned: unknown[] = await manager.query(
      `UPDATE ${table} SET ${set.slice(changed.length > 0 ? 1 : 0).join(', ')} WHERE id = ? AND version = ? RETURNING id`,
      [...changed.map(({ values }) => values[index]), row.id, before.version],
    );
    written += returned.length;
  }
  return written;
}

/** One statement. Values that all rows share stand in it once; the others come from a derived table. */
async function updateTogether(
  manager: EntityManager,
  table: string,
  changes: readonly VersionedChange<{ id: string; version: number }>[],
  changed: readonly ChangedColumn[],
): Promise<number> {
  const shared = changed.filter(({ values }) => values.every((value) => same(value, values[0])));
  const own = changed.filter((one) => !shared.includes(one));
  // The first row of the derived table names its columns. Ids stand as digits: quoted ones would be compared as floating point.
  const keys = changes.map(({ row, before }, index) => {
    const [id, version] = [idLiteral(manager, row.id), String(Number(before.version))];
    const places = own.map(({ column }) => (index === 0 ? `? AS ${column.quoted}` : '?'));
    return `SELECT ${(index === 0 ? [`${id} AS id`, `${version} AS readVersion`, ...places] : [id, version, ...places]).join(',')}`;
  });
  const set = [
    ...shared.map(({ column }) => `t.${column.quoted} = ?`),
    ...own.map(({ column }) => `t.${column.quoted} = v.${column.quoted}`),
  ];
  const result: { affectedRows: number } = await manager.query(
    `UPDATE ${table} t JOIN (${keys.join(' UNION ALL ')}) v ON t.id = v.id AND t.version = v.readVersion SET ${set.length === 0 ? 't.version = t.version' : set.join(', ')}`,
    [
      ...changes.flatMap((_change, index) => own.map(({ values }) => values[index])),
      ...shared.map(({ values }) => values[0]),
    ],
  );
  return result.affectedRows;
}

function same(a: unknown, b: unknown): boolean {
  return a instanceof Date && b instanceof Date ? a.getTime() === b.getTime() : a === b || (a ?? null) === (b ?? null);
}

function isMysql(manager: EntityManager): boolean {
  const { type } = manager.dataSource.options;
  return type === 'mysql' || type === 'mariadb';
}

/** Ids for an IN (…), as the database compares them best. */
export function idList(manager: EntityManager, ids: readonly string[]): string {
  return ids.map((id) => idLiteral(manager, id)).join(',');
}

function idLiteral(manager: EntityManager, id: string): string {
  if (!DIGITS.test(id)) throw new Error('not an id');
  return isMysql(manager) ? id : `'${id}'`;
}
