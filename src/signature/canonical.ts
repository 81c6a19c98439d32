import { JsonNumber, type JsonObject, type JsonValue } from '../shared/lossless-json.js';

/** The two dialects of wire-protocol §3; an app is set to one of them. */
export const SIGN_DIALECTS = ['daxpay-v2', 'daxpay-v3'] as const;
export type SignDialect = (typeof SIGN_DIALECTS)[number];

/** Ways in which honest clients differ. The defaults are what the SDKs do. */
export interface SignForm {
  /**
   * `keep` writes `refundNo=` as the SDK does; `drop` leaves the field out as the document says (rule 3). Top level
   * only.
   */
  emptyText?: 'keep' | 'drop';
  /**
   * Order of names inside nested objects, `daxpay-v3` only: `asWritten` is the SDK signing its own objects, `sorted`
   * (ignoring case) is the SDK signing a message that it read into a map, as the vector `upstream-test-callback-map`.
   * `daxpay-v2` always sorts.
   */
  nestedOrder?: 'asWritten' | 'sorted';
}

/**
 * The string that a merchant-API signature is a digest of: wire-protocol §3, rules 1 to 9, and the `daxpay-v3`
 * paragraph.
 *
 * @param fields the parsed message; its top-level `sign`, in any case, takes no part.
 * @param secret not empty: who signs or verifies has to refuse that (rule 10).
 * @returns `name=value&…&key=SECRET`, for `daxpay-v3` upper-cased from end to end; `&key=SECRET` when no field takes
 * part.
 */
export function signString(dialect: SignDialect, fields: JsonObject, secret: string, form: SignForm = {}): string {
  const isV3 = dialect === 'daxpay-v3';
  const style: NestedStyle = { plainDecimals: isV3, sortNames: !isV3 || form.nestedOrder === 'sorted' };

  const names: string[] = [];
  for (const [name, value] of fields) {
    if (isLeftOut(value) || isSignName(name)) continue;
    if (value === '' && form.emptyText === 'drop') continue;
    names.push(name);
  }
  sortByUnit(names);

  let pairs = '';
  for (const name of names) {
    const value = fields.get(name);
    if (value === undefined) continue;
    // Only inside JSON text are characters escaped; at top level the SDK takes a text as it is (rules 5 and 8).
    const text = typeof value === 'string' ? value : nestedText(value, style);
    pairs += pairs === '' ? `${name}=${text}` : `&${name}=${text}`;
  }

  let signed = `${pairs}&key=${secret}`;
  // Hardly any message holds either character, and two plain searches cost less than the pattern does.
  if (signed.includes('"') || signed.includes('\\'))
    signed = `${pairs.replace(QUOTES_AND_BACKSLASHES, '')}&key=${secret}`;
  return isV3 ? signed.toUpperCase() : signed;
}

/** Whether a top-level field is the signature itself. ASCII only: a `ſign` is some other field and stays covered. */
export function isSignName(name: string): boolean {
  return name.length === 4 && name.toLowerCase() === 'sign';
}

interface NestedStyle {
  plainDecimals: boolean;
  sortNames: boolean;
}

const QUOTES_AND_BACKSLASHES = /["\\]/g;

/**
 * By UTF-16 unit, as Java's String.compareTo. For the handful of names of a real message, insertion takes half the time
 * of `sort()`, which takes over before a hostile message can make insertion slow.
 */
function sortByUnit(names: string[]): void {
  if (names.length > 32) {
    names.sort();
    return;
  }
  for (let end = 1; end < names.length; end++) {
    const name = names[end] as string;
    let at = end;
    for (; at > 0 && (names[at - 1] as string) > name; at--) names[at] = names[at - 1] as string;
    names[at] = name;
  }
}

/**
 * The characters that the SDK's JSON writer escapes (rule 8) besides `"` and `\`, which rule 7 deletes anyway. Written
 * as the complement, so that no control character stands in the pattern.
 */
const ESCAPED_IN_JSON = /[^ -\u007f\u00a1-\u1fff\u2011-\u2027\u2030-\u2065\u2070-\uffff]/;
const ALL_ESCAPED_IN_JSON = new RegExp(ESCAPED_IN_JSON, 'g');

const SHORT_ESCAPES: ReadonlyMap<string, string> = new Map([
  ['\b', 'b'],
  ['\t', 't'],
  ['\n', 'n'],
  ['\f', 'f'],
  ['\r', 'r'],
]);

/**
 * JSON text as it is after rule 7 has deleted every `"` and `\`: each level of nesting quotes and escapes once more,
 * but only with these two characters, so what remains is the same at every depth and can be written at once.
 */
function nestedText(value: JsonValue, style: NestedStyle): string {
  if (typeof value === 'string')
    return ESCAPED_IN_JSON.test(value) ? value.replace(ALL_ESCAPED_IN_JSON, escapeResidue) : value;
  if (value === null || typeof value === 'boolean') return String(value);
  if (value instanceof JsonNumber) return style.plainDecimals ? plainDecimal(value.text) : value.text;
  if (Array.isArray(value)) {
    const items: string[] = [];
    for (const item of value) if (item !== null) items.push(nestedText(item, style));
    return `[${items.join(',')}]`;
  }
  const members: string[] = [];
  for (const name of style.sortNames ? [...value.keys()].sort(compareIgnoringCase) : value.keys()) {
    const member = value.get(name);
    if (member !== undefined && !isLeftOut(member))
      members.push(`${nestedText(name, style)}:${nestedText(member, style)}`);
  }
  return `{${members.join(',')}}`;
}

/** Rule 3: null and the empty list, at top level and in nested objects alike. */
function isLeftOut(value: JsonValue): boolean {
  return value === null || (Array.isArray(value) && value.length === 0);
}

function escapeResidue(character: string): string {
  return SHORT_ESCAPES.get(character) ?? `u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

/**
 * Names that differ in case alone are ordered by UTF-16 unit. The SDK's map would lose one of the two; no message of
 * the interface has such names, and a field that no signature covers would be worse than one that the SDK cannot sign.
 */
function compareIgnoringCase(left: string, right: string): number {
  return compareUnits(left.toLowerCase(), right.toLowerCase()) || compareUnits(left, right);
}

function compareUnits(left: string, right: string): number {
  if (left === right) return 0;
  return left < right ? -1 : 1;
}

/** Digits that an exponent may add on either side of the point. An amount needs thirty. */
const MAX_PLAIN_DIGITS = 128;

/**
 * A JSON number in plain notation without trailing zeros, as Java's `stripTrailingZeros().toPlainString()`: `1.10` →
 * `1.1`, `1E+3` → `1000`, `0.00` → `0`, `-0` → `0`. Works on the digits, so nothing is rounded.
 *
 * A number that would need more than 128 digits (`1e999999999`) is kept as written: it comes from a stranger, so it
 * must cost no memory, and it needs no error of its own, because its text is still covered by the signature and fails
 * as an amount later.
 */
export function plainDecimal(text: string): string {
  const exponentAt = text.search(/[eE]/);
  const mantissa = exponentAt === -1 ? text : text.slice(0, exponentAt);
  const pointAt = mantissa.indexOf('.');
  if (exponentAt === -1 && pointAt === -1) return text === '-0' ? '0' : text;

  const sign = mantissa.startsWith('-') ? '-' : '';
  const whole = mantissa.slice(sign.length, pointAt === -1 ? undefined : pointAt);
  const digits = pointAt === -1 ? whole : whole + mantissa.slice(pointAt + 1);
  let first = 0;
  while (first < digits.length && digits[first] === '0') first++;
  if (first === digits.length) return '0';
  let end = digits.length;
  while (digits[end - 1] === '0') end--;

  const significant = digits.slice(first, end);
  const exponent = exponentAt === -1 ? 0 : Number(text.slice(exponentAt + 1));
  const wholeLength = whole.length - first + exponent;
  if (Math.abs(wholeLength) > MAX_PLAIN_DIGITS) return text;
  if (wholeLength <= 0) return `${sign}0.${'0'.repeat(-wholeLength)}${significant}`;
  if (wholeLength >= significant.length) return sign + significant + '0'.repeat(wholeLength - significant.length);
  return `${sign}${significant.slice(0, wholeLength)}.${significant.slice(wholeLength)}`;
}
