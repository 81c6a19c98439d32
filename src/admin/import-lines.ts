import type { Readable } from 'node:stream';
import { CsvError, parse } from 'csv-parse';
import { JsonFault, parseJson, toPlain } from '../shared/lossless-json.js';

/** A line of an import: what it says, or why it cannot be read. Lines are counted from 1, empty ones and the header too. */
export interface ImportLine {
  line: number;
  value?: Record<string, unknown>;
  fault?: { field: string; fault: string };
  /** Nothing after this can be understood. */
  isLast?: boolean;
}

const MAX_LINE_BYTES = 64 * 1024;
const NEWLINE = 0x0a;
/** The whole line is at fault. */
const LINE = 'line';

/** Reads one JSON object per line, holding one line at a time. */
export async function* ndjsonLines(source: Readable): AsyncGenerator<ImportLine> {
  let line = 0;
  let parts: Buffer[] = [];
  let bytes = 0;
  const take = (): ImportLine | undefined => {
    line += 1;
    const whole = Buffer.concat(parts);
    const tooLong = bytes > MAX_LINE_BYTES;
    parts = [];
    bytes = 0;
    if (tooLong) return { line, fault: { field: LINE, fault: `is longer than ${MAX_LINE_BYTES} bytes` } };
    return isBlank(whole) ? undefined : { line, ...readJsonLine(whole) };
  };
  const keep = (part: Buffer): void => {
    bytes += part.length;
    // What is too long already is not kept, or one endless line would fill the memory.
    if (bytes <= MAX_LINE_BYTES) parts.push(part);
    else parts = [];
  };
  for await (const chunk of source as AsyncIterable<Buffer>) {
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, start)) {
      keep(chunk.subarray(start, end));
      start = end + 1;
      const read = take();
      if (read) yield read;
    }
    if (start < chunk.length) keep(chunk.subarray(start));
  }
  if (bytes > 0) {
    const read = take();
    if (read) yield read;
  }
}

function isBlank(line: Buffer): boolean {
  return line.every((byte) => byte === 0x20 || byte === 0x09 || byte === 0x0d);
}

function readJsonLine(line: Buffer): Pick<ImportLine, 'value' | 'fault'> {
  try {
    const value = parseJson(line);
    if (value instanceof Map) return { value: toPlain(value) as Record<string, unknown> };
    return { fault: { field: LINE, fault: 'must be a JSON object' } };
  } catch (error) {
    if (error instanceof JsonFault) return { fault: { field: LINE, fault: error.message } };
    throw error;
  }
}

/** Columns of a CSV, as the members of POST /admin/refunds are called. */
export const CSV_COLUMNS = [
  'appId',
  'refundNo',
  'channel',
  'amount',
  'currency',
  'gatewayAccountId',
  'gatewayRequestNo',
  'gatewayRequestTime',
  'gatewayRefundNo',
  'reason',
  'attach',
  'notifyUrl',
  'createdAt',
  'payment.businessNo',
  'payment.amount',
  'payment.title',
  'payment.outTradeNo',
  'payment.gatewayPaymentNo',
  'payment.refundedAmount',
] as const;
const NUMBERS: ReadonlySet<string> = new Set(['amount', 'payment.amount', 'payment.refundedAmount']);
const TIMES: ReadonlySet<string> = new Set(['gatewayRequestTime', 'createdAt']);
const PAYMENT = 'payment.';

interface CsvRow {
  record: string[];
  info: { lines: number };
}

/**
 * Reads RFC 4180 with a header line, holding one record at a time. Empty cells count as absent. A column that is not known stops the
 * import before its first row: a misspelt name would be left out of every refund in silence.
 */
export async function* csvLines(source: Readable): AsyncGenerator<ImportLine> {
  const parser = parse({
    bom: true,
    info: true,
    relax_column_count: true,
    skip_empty_lines: true,
    max_record_size: MAX_LINE_BYTES,
  });
  // An aborted upload must end the parser too, or whoever reads it waits for ever.
  source.on('error', (error) => parser.destroy(error));
  source.on('close', () => {
    if (!source.readableEnded) parser.destroy(new Error('the upload was broken off'));
  });
  source.pipe(parser);
  let columns: string[] | undefined;
  let lines = 0;
  try {
    for await (const { record, info } of parser as AsyncIterable<CsvRow>) {
      lines = info.lines;
      if (columns !== undefined) {
        yield { line: lines, ...readCsvRow(columns, record) };
        continue;
      }
      columns = record.map((name) => name.trim());
      const fault = headerFault(columns);
      if (fault) {
        yield { line: lines, fault, isLast: true };
        return;
      }
    }
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    const text = error.message.split('\n')[0] ?? '';
    yield { line: lines + 1, fault: { field: LINE, fault: `is no CSV: ${text.slice(0, 200)}` }, isLast: true };
  }
}

function headerFault(columns: readonly string[]): { field: string; fault: string } | undefined {
  for (const [index, name] of columns.entries()) {
    if (!CSV_COLUMNS.some((known) => known === name))
      return { field: name.slice(0, 64), fault: `is not a column; there are: ${CSV_COLUMNS.join(', ')}` };
    if (columns.indexOf(name) !== index) return { field: name, fault: 'stands in the header twice' };
  }
  return undefined;
}

function readCsvRow(columns: readonly string[], cells: readonly string[]): Pick<ImportLine, 'value' | 'fault'> {
  if (cells.length !== columns.length)
    return { fault: { field: LINE, fault: `has ${cells.length} cells where the header has ${columns.length}` } };
  const value: Record<string, unknown> = {};
  const payment: Record<string, unknown> = {};
  for (const [index, name] of columns.entries()) {
    const cell = cells[index] ?? '';
    if (cell === '') continue;
    const read = /^\d{1,15}$/.test(cell) && (NUMBERS.has(name) || TIMES.has(name)) ? Number(cell) : cell;
    if (name.startsWith(PAYMENT)) payment[name.slice(PAYMENT.length)] = read;
    else value[name] = read;
  }
  return { value: { ...value, payment } };
}
