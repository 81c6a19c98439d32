import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fromPlain, JsonNumber, parseJson, type JsonObject, type JsonValue } from '../shared/lossless-json.js';
import { isSignName, plainDecimal, signString, type SignDialect, type SignForm } from './canonical.js';

interface Vector {
  name: string;
  body: string;
  bodyHmac?: string;
  signString: string;
  secret: string;
}

function vectors(file: string): Vector[] {
  return JSON.parse(readFileSync(new URL(`../../test/vectors/${file}`, import.meta.url), 'utf8')) as Vector[];
}

function fieldsOf(json: string): JsonObject {
  const value = parseJson(json);
  if (!(value instanceof Map)) throw new Error('not an object');
  return value;
}

const v2 = (json: string, form?: SignForm): string => signString('daxpay-v2', fieldsOf(json), 'S', form);
const v3 = (json: string, form?: SignForm): string => signString('daxpay-v3', fieldsOf(json), 'S', form);

/** The one vector whose string came from a map that the SDK had sorted, not from its own object. */
const SORTED_VECTOR = 'upstream-test-callback-map';

describe('signString gives what the real SDK signed', () => {
  it.each(vectors('daxpay-2.0.json'))('2.0: $name', ({ body, bodyHmac, signString: expected, secret }) => {
    expect(signString('daxpay-v2', fieldsOf(body), secret)).toBe(expected);
    if (bodyHmac !== undefined) expect(signString('daxpay-v2', fieldsOf(bodyHmac), secret)).toBe(expected);
  });

  it.each(vectors('daxpay-3.0.json'))('3.0: $name', ({ name, body, signString: expected, secret }) => {
    const nestedOrder = name === SORTED_VECTOR ? 'sorted' : 'asWritten';
    expect(signString('daxpay-v3', fieldsOf(body), secret, { nestedOrder })).toBe(expected);
  });

  it('3.0: the vector of a sorted map tells that nested names are sorted ignoring case', () => {
    const vector = vectors('daxpay-3.0.json').find(({ name }) => name === SORTED_VECTOR);
    expect(vector?.signString).toContain('REFUNDABLEBALANCE:0.01,REFUNDSTATUS:NO_REFUND');
  });
});

describe('daxpay-v2', () => {
  it('rule 1: ends in &key= and the secret, upper-cases nothing, escapes nothing', () => {
    expect(signString('daxpay-v2', fieldsOf('{"refundNo":"aB"}'), 'k"e\\Y&= ')).toBe('refundNo=aB&key=k"e\\Y&= ');
  });

  it('rule 2: leaves out the top-level sign in any case, and no nested one', () => {
    expect(v2('{"sign":"x","a":{"sign":"y"}}')).toBe('a={sign:y}&key=S');
    expect(v2('{"SIGN":"x","Sign":"x","sIgN":1}')).toBe('&key=S');
    expect(v2('{"ſign":"x","signs":"y"}')).toBe('signs=y&ſign=x&key=S');
  });

  it('rule 3: skips null and the empty list; the empty text is kept or dropped', () => {
    const body = '{"a":null,"b":[],"c":"","d":" ","e":0,"f":false,"g":{},"h":[null],"i":{"x":null,"y":[],"z":""}}';
    expect(v2(body)).toBe('c=&d= &e=0&f=false&g={}&h=[]&i={z:}&key=S');
    expect(v2(body, { emptyText: 'drop' })).toBe('d= &e=0&f=false&g={}&h=[]&i={z:}&key=S');
  });

  it('rule 4: sorts by UTF-16 unit at top level, ignoring case inside', () => {
    expect(v2('{"notifyUrl":1,"notNotify":2,"_":3,"Z":4,"中":5,"😀":6,"\uff21":7,"10":8,"9":9}')).toBe(
      '10=8&9=9&Z=4&_=3&notNotify=2&notifyUrl=1&中=5&😀=6&\uff21=7&key=S',
    );
    expect(v2('{"a":{"notifyUrl":1,"notNotify":2,"b":3,"B":4}}')).toBe('a={B:4,b:3,notifyUrl:1,notNotify:2}&key=S');
  });

  it('rule 4: sorts a long message as a short one', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 4 }), { maxLength: 80 }),
        (names) => {
          const kept = names.filter((name) => !isSignName(name) && !/["\\]/.test(name));
          const fields: JsonObject = new Map(kept.map((name) => [name, true]));
          expect(signString('daxpay-v2', fields, 'S')).toBe(
            `${[...kept]
              .sort()
              .map((name) => `${name}=true`)
              .join('&')}&key=S`,
          );
        },
      ),
      { numRuns: 100 },
    );
  });

  it('rule 5: takes texts raw and numbers with the digits they were written with', () => {
    expect(v2('{"a":"  %20+ ","b":9223372036854775807,"c":1.10,"d":1E+3,"e":-0,"f":true}')).toBe(
      'a=  %20+ &b=9223372036854775807&c=1.10&d=1E+3&e=-0&f=true&key=S',
    );
  });

  it('rule 6: writes lists and objects without quotes, at every depth', () => {
    expect(v2('{"l":[{"b":"x","a":1},null,{"c":{"e":[1,"2",[true]],"d":{}}}]}')).toBe(
      'l=[{a:1,b:x},{c:{d:{},e:[1,2,[true]]}}]&key=S',
    );
  });

  it('rule 7: deletes quotes and backslashes from names and values, not from the secret', () => {
    expect(signString('daxpay-v2', fieldsOf('{"a\\"\\\\":"\\"b\\\\","c":{"\\"d":"e\\\\"}}'), '"\\')).toBe(
      'a=b&c={d:e}&key="\\',
    );
  });

  it('rule 8: leaves the residue of JSON escapes inside, and raw characters at top level', () => {
    expect(v2(String.raw`{"a":"\b\t\n\f\r\u0001\u00a0/"}`)).toBe('a=\b\t\n\f\r\u0001\u00a0/&key=S');
    expect(v2(String.raw`{"a":{"\u0085":"\b\t\n\f\r\u0000\u001f\u007f\u0080\u00a0\u00a1/"}}`)).toBe(
      'a={u0085:btnfru0000u001f\u007fu0080u00a0\u00a1/}&key=S',
    );
    expect(
      v2(String.raw`{"a":["\u1fff\u2000\u2010\u2011\u2027\u2028\u202f\u2030\u2065\u2066\u206f\u2070\ufeff😀"]}`),
    ).toBe('a=[\u1fffu2000u2010\u2011\u2027u2028u202f\u2030\u2065u2066u206f\u2070\ufeff😀]&key=S');
  });

  it('rule 9: without pairs there is nothing before &key=', () => {
    expect(v2('{}')).toBe('&key=S');
    expect(v2('{"sign":"x","a":null}')).toBe('&key=S');
    expect(v2('{"a":""}', { emptyText: 'drop' })).toBe('&key=S');
  });

  it('rules 6 to 8: equals the SDK done step by step, quoting and escaping once more at each level', () => {
    const leaf = fc.oneof(
      fc.constant(null),
      fc.boolean(),
      fc.integer(),
      fc.string({
        unit: fc.constantFrom('a', 'B', '"', '\\', '\n', '\t', '\u0000', '\u00a0', '\u2028', '/', '中', '{', ',', '&'),
      }),
    );
    const { object } = fc.letrec<{ object: Record<string, unknown> }>((tie) => ({
      object: fc.dictionary(
        fc.string({ unit: fc.constantFrom('a', 'b', 'c', '"', '\n'), maxLength: 3 }),
        fc.oneof({ maxDepth: 4 }, leaf, tie('object'), fc.array(tie('object'), { maxLength: 3 })),
        { maxKeys: 4, noNullPrototype: true },
      ),
    }));
    fc.assert(
      fc.property(object, (data) => {
        const fields = fromPlain(data);
        expect(fields instanceof Map && signString('daxpay-v2', fields, 'S')).toBe(`${sdkPairs(data)}&key=S`);
      }),
      { numRuns: 300 },
    );
  });
});

/** The SDK's way, without our shortcut: nested values become texts first, then JSON text, and quotes are deleted at the very end. */
function sdkPairs(data: Record<string, unknown>): string {
  return Object.entries(sdkTexts(data))
    .sort(([left], [right]) => (left < right ? -1 : 1))
    .map(([name, text]) => `${name}=${text}`)
    .join('&')
    .replaceAll('"', '')
    .replaceAll('\\', '');
}

function sdkTexts(data: Record<string, unknown>): Record<string, string> {
  const texts: Record<string, string> = {};
  for (const [name, value] of Object.entries(data)) {
    if (Array.isArray(value)) {
      if (value.length > 0)
        texts[name] = `[${value.map((item) => sdkJson(sdkTexts(item as Record<string, unknown>))).join(',')}]`;
    } else if (typeof value === 'object' && value !== null) {
      texts[name] = sdkJson(sdkTexts(value as Record<string, unknown>));
    } else if (value !== null) {
      texts[name] = `${value as string | number | boolean}`;
    }
  }
  return texts;
}

function sdkJson(texts: Record<string, string>): string {
  const members = Object.entries(texts)
    .sort(([left], [right]) => (left < right ? -1 : 1))
    .map(([name, text]) => `${sdkQuote(name)}:${sdkQuote(text)}`);
  return `{${members.join(',')}}`;
}

function sdkQuote(text: string): string {
  return JSON.stringify(text).replace(
    /[\u0080-\u00a0\u2000-\u2010\u2028-\u202f\u2066-\u206f]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

describe('daxpay-v3', () => {
  it('upper-cases names, values and the secret, by the full rules of Unicode', () => {
    expect(signString('daxpay-v3', fieldsOf('{"refundNo":"ß ı ς é","ok":true}'), 'sEcret')).toBe(
      'OK=TRUE&REFUNDNO=SS I Σ É&KEY=SECRET',
    );
  });

  it('sorts the names as they are written, before they are upper-cased', () => {
    expect(v3('{"notifyUrl":1,"notNotify":2,"Z":3,"a":4}')).toBe('Z=3&A=4&NOTNOTIFY=2&NOTIFYURL=1&KEY=S');
  });

  it('writes decimals plainly at every depth, and leaves texts alone', () => {
    expect(v3('{"a":1.10,"b":"1.10","c":{"d":[1E+3,0.00]}}')).toBe('A=1.1&B=1.10&C={D:[1000,0]}&KEY=S');
  });

  it('keeps the order of nested names or sorts them, as told', () => {
    const body = '{"data":{"refundStatus":1,"refundableBalance":2,"in":[{"b":1,"A":2}]}}';
    expect(v3(body)).toBe('DATA={REFUNDSTATUS:1,REFUNDABLEBALANCE:2,IN:[{B:1,A:2}]}&KEY=S');
    expect(v3(body, { nestedOrder: 'sorted' })).toBe('DATA={IN:[{A:2,B:1}],REFUNDABLEBALANCE:2,REFUNDSTATUS:1}&KEY=S');
  });

  it('skips and deletes as daxpay-v2', () => {
    expect(v3('{"sign":"x","a":null,"b":[],"c":"","d":"\\"q\\\\","e":{"f":null,"g":"\\n"}}')).toBe(
      'C=&D=Q&E={G:N}&KEY=S',
    );
    expect(v3('{"c":""}', { emptyText: 'drop' })).toBe('&KEY=S');
  });

  it('signs a number that nobody could write out, without writing it out', () => {
    expect(v3('{"a":1e999999999,"b":-1E-999999999,"c":0e999999999}')).toBe('A=1E999999999&B=-1E-999999999&C=0&KEY=S');
  });
});

describe('plainDecimal', () => {
  it.each([
    ['1.10', '1.1'],
    ['1E+3', '1000'],
    ['0.00', '0'],
    ['12345678.90', '12345678.9'],
    ['0', '0'],
    ['-0', '0'],
    ['-0.0', '0'],
    ['100', '100'],
    ['1755122354444210176', '1755122354444210176'],
    ['-1.50', '-1.5'],
    ['10.0', '10'],
    ['1.5e1', '15'],
    ['1.25e1', '12.5'],
    ['1e-3', '0.001'],
    ['120e-2', '1.2'],
    ['0.012e2', '1.2'],
    ['0.00120e+2', '0.12'],
    ['0e999999999999999999999999', '0'],
    ['1e127', `1${'0'.repeat(127)}`],
    ['1e128', '1e128'],
    ['1e999999999', '1e999999999'],
    ['1E-999999999', '1E-999999999'],
    [`1e${'9'.repeat(60)}`, `1e${'9'.repeat(60)}`],
  ])('%s → %s', (text, plain) => {
    expect(plainDecimal(text)).toBe(plain);
  });

  it('gives equal numbers the same text and different numbers different ones', () => {
    fc.assert(
      fc.property(
        fc.bigInt({ min: -(10n ** 20n), max: 10n ** 20n }),
        fc.integer({ min: 0, max: 30 }),
        fc.integer({ min: -30, max: 30 }),
        (unscaled, scale, shift) => {
          const shifted = `${unscaled}${'0'.repeat(scale)}e${shift - scale}`;
          const plain = plainDecimal(shifted);
          expect(plain).toBe(plainDecimal(`${unscaled}e${shift}`));
          expect(plain).toMatch(/^(?:0|-?(?:[1-9]\d*|(?:0|[1-9]\d*)\.\d*[1-9]))$/);
          expect(plainDecimal(plain)).toBe(plain);
          const [whole = '', fraction = ''] = plain.split('.');
          expect(BigInt(whole.replace('-', '') + fraction.padEnd(60, '0'))).toBe(
            (unscaled < 0n ? -unscaled : unscaled) * 10n ** BigInt(60 + shift),
          );
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe('any message', () => {
  it('has a string to sign in either dialect', () => {
    const dialects: SignDialect[] = ['daxpay-v2', 'daxpay-v3'];
    const number = fc
      .stringMatching(/^-?(0|[1-9]\d{0,5})(\.\d{1,5})?(e-?\d{1,9})?$/)
      .map((text): JsonValue => new JsonNumber(text));
    fc.assert(
      fc.property(
        fc.dictionary(fc.string(), fc.oneof(number, fc.string({ unit: 'binary' }), fc.array(number))),
        fc.constantFrom(...dialects),
        (data, dialect) => {
          const fields: JsonObject = new Map(Object.entries(data));
          expect(signString(dialect, fields, 'S')).toMatch(/&key=S$/i);
        },
      ),
      { numRuns: 100 },
    );
  });
});
