/**
 * A number as it was written. Signatures cover the digits, not the quantity: `1755122354444210176` and `1.10` must come
 * out as they went in, and a JavaScript number keeps neither.
 */
export class JsonNumber {
  /** @throws {TypeError} when the text is not a JSON number, since `stringifyJson` writes it unquoted. */
  constructor(readonly text: string) {
    if (!NUMBER_TEXT.test(text)) throw new TypeError('not the text of a JSON number');
  }
}

/** A Map and not an object: it keeps the written order even of names like `10`, and has no prototype to pollute. */
export type JsonObject = Map<string, JsonValue>;
export type JsonValue = null | boolean | string | JsonNumber | JsonValue[] | JsonObject;

export interface JsonLimits {
  /** Containers inside each other; 16 unless told. At most 256, so that the parser's recursion stays bounded. */
  maxDepth?: number;
  /** Values of any kind, containers included, names not; 2000 unless told. */
  maxValues?: number;
  /** Characters of one number; 64 unless told. */
  maxNumberLength?: number;
}

/**
 * The input is not JSON that we accept. The message is fit for a log and repeats at most 40 characters of the input.
 */
export class JsonFault extends Error {
  override readonly name = 'JsonFault';

  /** @param position index into the decoded text, in UTF-16 units. */
  constructor(
    fault: string,
    readonly position: number,
    options?: ErrorOptions,
  ) {
    super(`${fault} at position ${position}`, options);
  }
}

const MAX_DEPTH = 256;
const MAX_ECHO_LENGTH = 40;
const NUMBER_TEXT = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;
const INTEGER_TEXT = /^-?(?:0|[1-9]\d*)$/;
/** With the `u` flag a proper pair is one character, so only a surrogate without its partner matches. */
const LONE_SURROGATE = /\p{Surrogate}/u;
const LONE_SURROGATES = /\p{Surrogate}/gu;

/** `ignoreBOM` keeps the mark in the text, where it is refused instead of silently dropped from what was signed. */
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Parses one JSON text from a stranger, keeping every digit and the order of names.
 *
 * Stricter than RFC 8259 wherever two readers could understand one text differently: refuses duplicate names, a byte
 * order mark, lone surrogates, and the names `__proto__`, `constructor`, `prototype` (which would bite the first plain
 * object they are copied into).
 *
 * @param input bytes in UTF-8, or a text already decoded.
 * @throws {JsonFault} for every refusal, and nothing else.
 */
export function parseJson(input: Uint8Array | string, limits: JsonLimits = {}): JsonValue {
  return new Parser(typeof input === 'string' ? checkedText(input) : decoded(input), limits).parse();
}

function decoded(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch (cause) {
    throw new JsonFault('invalid UTF-8', 0, { cause });
  }
}

function checkedText(text: string): string {
  const position = text.search(LONE_SURROGATE);
  if (position !== -1) throw new JsonFault('lone surrogate', position);
  return text;
}

const TAB = 0x09;
const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;
const SPACE = 0x20;
const QUOTE = 0x22;
const COMMA = 0x2c;
const MINUS = 0x2d;
const COLON = 0x3a;
const OPEN_BRACKET = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_BRACKET = 0x5d;
const LOWER_F = 0x66;
const LOWER_N = 0x6e;
const LOWER_T = 0x74;
const LOWER_U = 0x75;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const BYTE_ORDER_MARK = 0xfeff;

const SIMPLE_ESCAPES: ReadonlyMap<number, string> = new Map(
  Object.entries({ '"': '"', '\\': '\\', '/': '/', b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' }).map(
    ([letter, meaning]) => [letter.charCodeAt(0), meaning],
  ),
);

class Parser {
  private position = 0;
  private depth = 0;
  private values = 0;
  private readonly maxDepth: number;
  private readonly maxValues: number;
  private readonly maxNumberLength: number;

  constructor(
    private readonly text: string,
    limits: JsonLimits,
  ) {
    this.maxDepth = Math.min(limits.maxDepth ?? 16, MAX_DEPTH);
    this.maxValues = limits.maxValues ?? 2000;
    this.maxNumberLength = limits.maxNumberLength ?? 64;
  }

  parse(): JsonValue {
    if (this.text.charCodeAt(0) === BYTE_ORDER_MARK) throw new JsonFault('byte order mark', 0);
    this.skipSpace();
    if (this.position === this.text.length) throw new JsonFault('empty input', this.position);
    const value = this.readValue();
    this.skipSpace();
    if (this.position < this.text.length) throw this.unexpected('the end');
    return value;
  }

  private readValue(): JsonValue {
    if (++this.values > this.maxValues) throw new JsonFault(`more than ${this.maxValues} values`, this.position);
    const code = this.text.charCodeAt(this.position);
    switch (code) {
      case QUOTE:
        return this.readText();
      case OPEN_BRACE:
        return this.readObject();
      case OPEN_BRACKET:
        return this.readList();
      case LOWER_T:
        return this.readWord('true', true);
      case LOWER_F:
        return this.readWord('false', false);
      case LOWER_N:
        return this.readWord('null', null);
      default:
        if (code === MINUS || isDigit(code)) return this.readNumber();
        throw this.unexpected('a value');
    }
  }

  private readObject(): JsonObject {
    this.enter();
    const members: JsonObject = new Map();
    if (this.skipSpace() === CLOSE_BRACE) {
      this.leave();
      return members;
    }
    for (;;) {
      if (this.text.charCodeAt(this.position) !== QUOTE) throw this.unexpected('a name');
      const namePosition = this.position;
      const name = this.readText();
      if (isRefusedName(name)) throw new JsonFault(`name "${name}" is not allowed`, namePosition);
      if (members.has(name)) throw new JsonFault(`duplicate name ${echo(name)}`, namePosition);
      if (this.skipSpace() !== COLON) throw this.unexpected('":"');
      this.position++;
      this.skipSpace();
      members.set(name, this.readValue());
      const code = this.skipSpace();
      if (code === CLOSE_BRACE) break;
      if (code !== COMMA) throw this.unexpected('"," or "}"');
      this.position++;
      this.skipSpace();
    }
    this.leave();
    return members;
  }

  private readList(): JsonValue[] {
    this.enter();
    const items: JsonValue[] = [];
    if (this.skipSpace() === CLOSE_BRACKET) {
      this.leave();
      return items;
    }
    for (;;) {
      items.push(this.readValue());
      const code = this.skipSpace();
      if (code === CLOSE_BRACKET) break;
      if (code !== COMMA) throw this.unexpected('"," or "]"');
      this.position++;
      this.skipSpace();
    }
    this.leave();
    return items;
  }

  private enter(): void {
    if (++this.depth > this.maxDepth) throw new JsonFault(`nested deeper than ${this.maxDepth}`, this.position);
    this.position++;
  }

  private leave(): void {
    this.depth--;
    this.position++;
  }

  /** Most texts have no escape and are one slice of the input. */
  private readText(): string {
    const text = this.text;
    const start = this.position + 1;
    let end = start;
    for (;;) {
      const code = text.charCodeAt(end);
      if (code === QUOTE) {
        this.position = end + 1;
        return text.slice(start, end);
      }
      if (code === BACKSLASH) return this.readEscapedText(start, end);
      if (!(code >= SPACE)) throw this.brokenText(end);
      end++;
    }
  }

  private readEscapedText(start: number, firstEscape: number): string {
    const text = this.text;
    let result = '';
    let sliceStart = start;
    let end = firstEscape;
    for (;;) {
      const code = text.charCodeAt(end);
      if (code === QUOTE) {
        this.position = end + 1;
        return result + text.slice(sliceStart, end);
      }
      if (code === BACKSLASH) {
        result += text.slice(sliceStart, end);
        this.position = end;
        result += this.readEscape();
        sliceStart = end = this.position;
      } else if (!(code >= SPACE)) {
        throw this.brokenText(end);
      } else {
        end++;
      }
    }
  }

  private readEscape(): string {
    const start = this.position;
    const letter = this.text.charCodeAt(start + 1);
    if (letter === LOWER_U) {
      const unit = this.readHexUnit(start);
      if (unit < 0xd800 || unit > 0xdfff) return String.fromCharCode(unit);
      if (
        unit <= 0xdbff &&
        this.text.charCodeAt(this.position) === BACKSLASH &&
        this.text.charCodeAt(this.position + 1) === LOWER_U
      ) {
        const partner = this.readHexUnit(this.position);
        if (partner >= 0xdc00 && partner <= 0xdfff) return String.fromCharCode(unit, partner);
      }
      throw new JsonFault('lone surrogate', start);
    }
    const meaning = SIMPLE_ESCAPES.get(letter);
    if (meaning === undefined) throw new JsonFault('invalid escape', start);
    this.position = start + 2;
    return meaning;
  }

  private readHexUnit(start: number): number {
    let unit = 0;
    for (let index = start + 2; index < start + 6; index++) {
      const digit = hexDigit(this.text.charCodeAt(index));
      if (digit === -1) throw new JsonFault('invalid escape', start);
      unit = unit * 16 + digit;
    }
    this.position = start + 6;
    return unit;
  }

  private readNumber(): JsonNumber {
    const start = this.position;
    let end = start + 1;
    while (isNumberCharacter(this.text.charCodeAt(end))) end++;
    if (end - start > this.maxNumberLength)
      throw new JsonFault(`number longer than ${this.maxNumberLength} characters`, start);
    const text = this.text.slice(start, end);
    if (!NUMBER_TEXT.test(text)) throw new JsonFault(`malformed number ${echo(text)}`, start);
    this.position = end;
    return new JsonNumber(text);
  }

  private readWord<Word extends boolean | null>(word: string, value: Word): Word {
    if (!this.text.startsWith(word, this.position)) throw this.unexpected('a value');
    this.position += word.length;
    return value;
  }

  /** @returns the code of the character it stopped at; NaN at the end. */
  private skipSpace(): number {
    for (;;) {
      const code = this.text.charCodeAt(this.position);
      if (code !== SPACE && code !== LINE_FEED && code !== CARRIAGE_RETURN && code !== TAB) return code;
      this.position++;
    }
  }

  private unexpected(wanted: string): JsonFault {
    const found = this.text.codePointAt(this.position);
    const what = found === undefined ? 'end' : `character ${echo(String.fromCodePoint(found))}`;
    return new JsonFault(`unexpected ${what} instead of ${wanted}`, this.position);
  }

  private brokenText(position: number): JsonFault {
    return new JsonFault(
      position >= this.text.length ? 'unexpected end inside a text' : 'control character inside a text',
      position,
    );
  }
}

function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39;
}

function isNumberCharacter(code: number): boolean {
  return isDigit(code) || code === 0x2e || code === 0x2b || code === MINUS || code === 0x65 || code === 0x45;
}

function hexDigit(code: number): number {
  if (isDigit(code)) return code - 0x30;
  if (code >= 0x61 && code <= 0x66) return code - 0x57;
  if (code >= 0x41 && code <= 0x46) return code - 0x37;
  return -1;
}

/** `__proto__`, `constructor`, `prototype`. */
export function isRefusedName(name: string): boolean {
  return name === '__proto__' || name === 'constructor' || name === 'prototype';
}

/** Quoted and escaped, so that a hostile name cannot forge a line of a log. */
function echo(text: string): string {
  return text.length <= MAX_ECHO_LENGTH ? JSON.stringify(text) : `${JSON.stringify(text.slice(0, MAX_ECHO_LENGTH))}…`;
}

/**
 * Writes compact JSON: names in the order of the Map, numbers by their text.
 *
 * `parseJson(stringifyJson(value))` gives `value` back, within the limits, for all that `parseJson` and `fromPlain`
 * make.
 */
export function stringifyJson(value: JsonValue): string {
  if (typeof value === 'string') return JSON.stringify(value);
  if (value === null || typeof value === 'boolean') return String(value);
  if (value instanceof JsonNumber) return value.text;
  if (Array.isArray(value)) return `[${value.map(stringifyJson).join(',')}]`;
  const members: string[] = [];
  for (const [name, member] of value) members.push(`${JSON.stringify(name)}:${stringifyJson(member)}`);
  return `{${members.join(',')}}`;
}

/**
 * Turns plain JavaScript data (what one would hand to `JSON.stringify`) into a JsonValue; JsonNumbers and Maps pass
 * through. Members that are undefined are dropped; undefined in a list is null, as in `JSON.stringify`.
 *
 * A lone surrogate (a text cut in the middle of an emoji) becomes U+FFFD: UTF-8 cannot carry it, so a signature over it
 * would differ from the one over the bytes we send.
 *
 * @throws {TypeError} for a number that is no safe integer (fractions included: pass a JsonNumber with the digits that
 * are meant), a name that `parseJson` refuses, a function, a symbol, a Date or other object that is not plain data, a
 * cycle.
 */
export function fromPlain(value: unknown): JsonValue {
  return converted(value, 0);
}

function converted(value: unknown, depth: number): JsonValue {
  if (typeof value === 'string') return wellFormed(value);
  if (value === null || typeof value === 'boolean' || value instanceof JsonNumber) return value;
  if (typeof value === 'bigint') return new JsonNumber(value.toString());
  if (typeof value === 'number') {
    if (!Number.isSafeInteger(value)) throw new TypeError(`the number ${value} has no exact digits; pass a JsonNumber`);
    return new JsonNumber(value.toString());
  }
  if (typeof value !== 'object') throw new TypeError(`${typeof value} is not JSON data`);
  if (depth === MAX_DEPTH) throw new TypeError(`nested deeper than ${MAX_DEPTH}, or a cycle`);
  if (Array.isArray(value))
    return Array.from(value, (item: unknown) => (item === undefined ? null : converted(item, depth + 1)));
  const object: JsonObject = new Map();
  for (const [name, member] of entriesOf(value)) {
    if (member === undefined) continue;
    if (isRefusedName(name)) throw new TypeError(`name "${name}" is not allowed`);
    object.set(wellFormed(name), converted(member, depth + 1));
  }
  return object;
}

function entriesOf(value: object): Iterable<[string, unknown]> {
  if (value instanceof Map) return value as Map<string, unknown>;
  // A Date, a Set or a Buffer would otherwise become `{}` without a word.
  if (Object.prototype.toString.call(value) !== '[object Object]')
    throw new TypeError('an object that is not plain data');
  return Object.entries(value);
}

function wellFormed(text: string): string {
  return LONE_SURROGATE.test(text) ? text.replace(LONE_SURROGATES, '\ufffd') : text;
}

/**
 * Turns a JsonValue into plain data for DTOs and validators. Integers that JavaScript holds exactly become numbers;
 * every other number (19-digit ids, decimals, exponents, `-0`) becomes its exact text, so nothing is ever rounded.
 *
 * @throws {TypeError} for a name that `parseJson` refuses, which only a Map built by hand can hold.
 */
export function toPlain(value: JsonValue): unknown {
  if (value === null || typeof value !== 'object') return value;
  if (value instanceof JsonNumber) return plainNumber(value.text);
  if (Array.isArray(value)) return value.map(toPlain);
  const object: Record<string, unknown> = {};
  for (const [name, member] of value) {
    if (isRefusedName(name)) throw new TypeError(`name "${name}" is not allowed`);
    object[name] = toPlain(member);
  }
  return object;
}

function plainNumber(text: string): number | string {
  if (text === '-0' || !INTEGER_TEXT.test(text)) return text;
  const number = Number(text);
  return Number.isSafeInteger(number) ? number : text;
}
