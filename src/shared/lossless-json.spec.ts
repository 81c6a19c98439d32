import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  fromPlain,
  JsonFault,
  JsonNumber,
  parseJson,
  stringifyJson,
  toPlain,
  type JsonLimits,
  type JsonValue,
} from './lossless-json.js';

function faultOf(input: Uint8Array | string, limits?: JsonLimits): JsonFault {
  try {
    parseJson(input, limits);
  } catch (error) {
    if (error instanceof JsonFault) return error;
    throw error;
  }
  throw new Error(`accepted: ${String(input)}`);
}

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Any text that UTF-8 can carry, control characters and emoji included. */
const text = fc.string({ unit: 'binary', maxLength: 12 });
const name = text.filter((candidate) => !['__proto__', 'constructor', 'prototype'].includes(candidate));
const plainData = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.constant(null),
    fc.boolean(),
    fc.maxSafeInteger().map((number) => number + 0 || 0),
    text,
    fc.array(tie('value'), { maxLength: 5 }),
    fc.dictionary(name, tie('value'), { maxKeys: 5, noNullPrototype: true }),
  ),
})).value;

describe('parseJson', () => {
  it('agrees with JSON.parse on every valid JSON whose numbers JavaScript can hold', () => {
    fc.assert(
      fc.property(plainData, fc.constantFrom(undefined, 1, '\t', ' \r\n'), (data, indent) => {
        const json = JSON.stringify(data, null, indent);
        expect(toPlain(parseJson(json))).toStrictEqual(JSON.parse(json));
        expect(toPlain(parseJson(bytesOf(json)))).toStrictEqual(JSON.parse(json));
      }),
      { numRuns: 300 },
    );
  });

  it('reads what it wrote', () => {
    fc.assert(
      fc.property(plainData, (data) => {
        const value = fromPlain(data);
        expect(parseJson(stringifyJson(value))).toStrictEqual(value);
      }),
      { numRuns: 300 },
    );
  });

  it('answers a mutated text with a value or a JsonFault, and accepts nothing that JSON.parse refuses', () => {
    const mutation = fc.record({
      at: fc.nat(),
      remove: fc.nat(3),
      insert: fc.oneof(
        fc.constantFrom('', '"', '\\', '{', '}', '[', ']', ',', ':', '-', '.', 'e', '0', '\\u', '\u0000', '\ufeff'),
        text,
      ),
    });
    fc.assert(
      fc.property(plainData, fc.array(mutation, { minLength: 1, maxLength: 3 }), (data, mutations) => {
        let json = JSON.stringify(data);
        for (const { at, remove, insert } of mutations) {
          const position = at % (json.length + 1);
          json = json.slice(0, position) + insert + json.slice(position + remove);
        }
        expectValueOrFault(json, () => JSON.parse(json) as unknown);
      }),
      { numRuns: 1000 },
    );
  });

  it('answers random bytes with a value or a JsonFault', () => {
    const hostileByte = fc.oneof(fc.constantFrom(...bytesOf('{}[]",:\\u-+.eE019 tfn')), fc.nat(255));
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), fc.array(hostileByte, { maxLength: 40 }), (bytes, hostile) => {
        expectValueOrFault(bytes, () => undefined);
        expectValueOrFault(Uint8Array.from(hostile), () => undefined);
      }),
      { numRuns: 500 },
    );
  });

  function expectValueOrFault(input: Uint8Array | string, reference: () => unknown): void {
    try {
      parseJson(input);
    } catch (error) {
      expect(error).toBeInstanceOf(JsonFault);
      return;
    }
    expect(reference).not.toThrow();
  }

  it('keeps every digit and the way a number was written', () => {
    for (const number of ['1755122354444210176', '9007199254740993', '1.10', '1E+3', '0.00', '-0', '-12.5e-7', '0']) {
      expect(parseJson(number)).toStrictEqual(new JsonNumber(number));
      expect(stringifyJson(parseJson(number))).toBe(number);
    }
  });

  it('keeps the order of names, integer-like ones included', () => {
    const object = parseJson('{"b":1,"10":2,"9":3,"a":4}');
    expect(object instanceof Map && [...object.keys()]).toEqual(['b', '10', '9', 'a']);
  });

  it('reads every escape', () => {
    expect(parseJson(String.raw`"a\"\\\/\b\f\n\r\t\u4e2d\u0041\uD83D\uDE00z"`)).toBe('a"\\/\b\f\n\r\t中A😀z');
  });

  it('reads texts that hold no escape, of any alphabet', () => {
    expect(parseJson(bytesOf('"退款 café 😀 \u007f\u2028"'))).toBe('退款 café 😀 \u007f\u2028');
  });

  it('reads a view into a larger buffer', () => {
    expect(parseJson(bytesOf('xx{"a":1}yy').subarray(2, 9))).toStrictEqual(new Map([['a', new JsonNumber('1')]]));
  });

  describe('refuses', () => {
    const refusals: [what: string, input: Uint8Array | string, message: string][] = [
      ['nothing', '', 'empty input at position 0'],
      ['no bytes', new Uint8Array(), 'empty input at position 0'],
      ['blanks', ' \n', 'empty input at position 2'],
      ['a broken UTF-8 sequence', Uint8Array.of(0x22, 0xc3, 0x28, 0x22), 'invalid UTF-8 at position 0'],
      ['an overlong UTF-8 sequence', Uint8Array.of(0x22, 0xc0, 0xaf, 0x22), 'invalid UTF-8 at position 0'],
      ['a surrogate in UTF-8', Uint8Array.of(0x22, 0xed, 0xa0, 0x80, 0x22), 'invalid UTF-8 at position 0'],
      ['a UTF-8 sequence cut short', Uint8Array.of(0x22, 0xe4, 0xb8), 'invalid UTF-8 at position 0'],
      ['UTF-16', Uint8Array.of(0xff, 0xfe, 0x7b, 0x00), 'invalid UTF-8 at position 0'],
      ['a BOM in bytes', Uint8Array.of(0xef, 0xbb, 0xbf, 0x31), 'byte order mark at position 0'],
      ['a BOM in a text', '\ufeff1', 'byte order mark at position 0'],
      ['a BOM between tokens', '[\ufeff1]', 'unexpected character "\ufeff" instead of a value at position 1'],
      ['an escaped high surrogate alone', String.raw`"a\ud800"`, 'lone surrogate at position 2'],
      ['an escaped low surrogate alone', String.raw`"\udc00"`, 'lone surrogate at position 1'],
      ['two high surrogates', String.raw`"\ud83d\ud83d"`, 'lone surrogate at position 1'],
      ['a high surrogate before another escape', String.raw`"\ud83d\n"`, 'lone surrogate at position 1'],
      ['a lone surrogate in a text already decoded', '["\ud83d"]', 'lone surrogate at position 2'],
      [
        'a duplicate name',
        '{"refundNo":"R1","clientIp":"","refundNo":"R2"}',
        'duplicate name "refundNo" at position 31',
      ],
      ['a duplicate name with an equal value', '{"a":1,"a":1}', 'duplicate name "a" at position 7'],
      ['a duplicate name written differently', String.raw`{"a":1,"\u0061":2}`, 'duplicate name "a" at position 7'],
      ['a duplicate name inside', '[{"x":{"a":1,"a":2}}]', 'duplicate name "a" at position 13'],
      ['__proto__', '{"__proto__":{"admin":true}}', 'name "__proto__" is not allowed at position 1'],
      ['__proto__, escaped', String.raw`{"\u005f_proto\u005f_":1}`, 'name "__proto__" is not allowed at position 1'],
      ['constructor', '{"a":{"constructor":1}}', 'name "constructor" is not allowed at position 6'],
      ['prototype, escaped', String.raw`{"p\u0072ototype":1}`, 'name "prototype" is not allowed at position 1'],
      ['a line break in a text', '"a\nb"', 'control character inside a text at position 2'],
      ['a NUL in a text after an escape', '"\\n\u0000"', 'control character inside a text at position 3'],
      ['a text that does not end', '"abc', 'unexpected end inside a text at position 4'],
      ['a text that does not end after an escape', '"\\nabc', 'unexpected end inside a text at position 6'],
      ['an unknown escape', String.raw`"\x41"`, 'invalid escape at position 1'],
      ['an escape cut short', '"\\', 'invalid escape at position 1'],
      ['a short hex escape', String.raw`"\u12"`, 'invalid escape at position 1'],
      ['a hex escape with a sign', String.raw`"\u+123"`, 'invalid escape at position 1'],
      ['a second value', '1 2', 'unexpected character "2" instead of the end at position 2'],
      ['anything after an object', '{"a":1}}', 'unexpected character "}" instead of the end at position 7'],
      ['a comment', '{} // x', 'unexpected character "/" instead of the end at position 3'],
      ['a comma before a brace', '{"a":1,}', 'unexpected character "}" instead of a name at position 7'],
      ['a comma before a bracket', '[1,]', 'unexpected character "]" instead of a value at position 3'],
      ['a name without quotes', '{a:1}', 'unexpected character "a" instead of a name at position 1'],
      ['a missing colon', '{"a" 1}', 'unexpected character "1" instead of ":" at position 5'],
      [
        'a missing comma in an object',
        '{"a":1 "b":2}',
        'unexpected character "\\"" instead of "," or "}" at position 7',
      ],
      ['a missing comma in a list', '[1 2]', 'unexpected character "2" instead of "," or "]" at position 3'],
      ['an object that does not end', '{"a":1', 'unexpected end instead of "," or "}" at position 6'],
      ['a list that does not end', '[', 'unexpected end instead of a value at position 1'],
      ['a member without value', '{"a":', 'unexpected end instead of a value at position 5'],
      ['a word cut short', 'tru', 'unexpected character "t" instead of a value at position 0'],
      ['a word in upper case', 'True', 'unexpected character "T" instead of a value at position 0'],
      ['NaN', '[NaN]', 'unexpected character "N" instead of a value at position 1'],
      ['a no-break space', '\u00a01', 'unexpected character "\u00a0" instead of a value at position 0'],
      ['single quotes', "'a'", 'unexpected character "\'" instead of a value at position 0'],
      ['a plus sign', '+1', 'unexpected character "+" instead of a value at position 0'],
      ['a leading zero', '[01]', 'malformed number "01" at position 1'],
      ['a point without fraction', '1.', 'malformed number "1." at position 0'],
      ['a point without whole', '[-.5]', 'malformed number "-.5" at position 1'],
      ['an exponent without digits', '1e+', 'malformed number "1e+" at position 0'],
      ['a minus alone', '-', 'malformed number "-" at position 0'],
      ['a hexadecimal number', '0x1', 'unexpected character "x" instead of the end at position 1'],
      ['an emoji where a value belongs', '😀', 'unexpected character "😀" instead of a value at position 0'],
    ];

    it.each(refusals)('%s', (_what, input, message) => {
      const fault = faultOf(input);
      expect(fault.message).toBe(message);
      expect(message).toMatch(new RegExp(`at position ${fault.position}$`));
    });
  });

  it('never repeats more than 40 characters of the input, and those fit for a log', () => {
    const long = 'n'.repeat(500);
    expect(faultOf(`{"${long}":1,"${long}":2}`).message).toBe(`duplicate name "${'n'.repeat(40)}"… at position 506`);
    expect(faultOf(String.raw`{"a\nb":1,"a\nb":2}`).message).toBe(String.raw`duplicate name "a\nb" at position 10`);
    expect(faultOf(`[${'1'.repeat(60)}.]`).message).toBe(`malformed number "${'1'.repeat(40)}"… at position 1`);
  });

  describe('limits', () => {
    it('stops at the depth it was told, 16 unless told', () => {
      const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth);
      expect(() => parseJson(nested(16))).not.toThrow();
      expect(faultOf(nested(17)).message).toBe('nested deeper than 16 at position 16');
      expect(faultOf('{"a":[{}]}', { maxDepth: 2 }).message).toBe('nested deeper than 2 at position 6');
      expect(() => parseJson('[[],[],[]]', { maxDepth: 2 })).not.toThrow();
    });

    it('does not overflow the stack, however deep it was allowed to go', () => {
      expect(faultOf('['.repeat(200_000), { maxDepth: 1_000_000, maxValues: 1_000_000 }).message).toBe(
        'nested deeper than 256 at position 256',
      );
      expect(faultOf('{"a":'.repeat(200_000), { maxDepth: 1_000_000, maxValues: 1_000_000 }).message).toMatch(
        /^nested deeper than 256/,
      );
    });

    it('stops at the count of values it was told, 2000 unless told', () => {
      const list = (length: number): string => `[${Array.from({ length }, () => '1').join(',')}]`;
      expect(() => parseJson(list(1999))).not.toThrow();
      expect(faultOf(list(2000)).message).toBe('more than 2000 values at position 3999');
      expect(faultOf('{"a":1,"b":2}', { maxValues: 2 }).message).toBe('more than 2 values at position 11');
    });

    it('stops at the length of a number it was told, 64 unless told', () => {
      expect(() => parseJson('1'.repeat(64))).not.toThrow();
      expect(faultOf('1'.repeat(65)).message).toBe('number longer than 64 characters at position 0');
      expect(faultOf('[1.25]', { maxNumberLength: 3 }).message).toBe('number longer than 3 characters at position 1');
    });
  });
});

describe('stringifyJson', () => {
  it('writes numbers by their text and names in their order', () => {
    const value: JsonValue = new Map<string, JsonValue>([
      ['b', new JsonNumber('1.10')],
      ['1', [null, true, 'a"\n', new JsonNumber('1755122354444210176')]],
      ['a', new Map()],
    ]);
    expect(stringifyJson(value)).toBe('{"b":1.10,"1":[null,true,"a\\"\\n",1755122354444210176],"a":{}}');
  });

  it('cannot be given a number that would break out of the text', () => {
    for (const number of ['', ' 1', '1,2', '1}', 'NaN', '01', '1\n'])
      expect(() => new JsonNumber(number)).toThrow(TypeError);
  });
});

describe('fromPlain', () => {
  it('turns plain data into values without losing a digit', () => {
    const data = {
      id: 1755122354444210176n,
      amount: -5,
      zero: -0,
      none: null,
      gone: undefined,
      list: [1, undefined, 'x'],
      exact: new JsonNumber('1.10'),
    };
    expect(stringifyJson(fromPlain(data))).toBe(
      '{"id":1755122354444210176,"amount":-5,"zero":0,"none":null,"list":[1,null,"x"],"exact":1.10}',
    );
  });

  it('takes a Map and an object of any class', () => {
    class Answer {
      success = true;
    }
    expect(stringifyJson(fromPlain(new Map<string, unknown>([['data', new Answer()]])))).toBe(
      '{"data":{"success":true}}',
    );
  });

  it('mends a text that was cut inside an emoji, as the encoder of the body would', () => {
    expect(fromPlain('cut \ud83d')).toBe('cut \ufffd');
  });

  it.each([
    ['NaN', NaN],
    ['infinity', [Infinity]],
    ['a fraction', { amount: 1.1 }],
    ['a number above 2^53', 2 ** 53],
    ['undefined', undefined],
    ['a function', { f: () => 1 }],
    ['a symbol', Symbol('s')],
    ['a date', { at: new Date(0) }],
    ['a buffer', Buffer.from('x')],
    ['a set', new Set([1])],
    ['a name of the prototype', JSON.parse('{"__proto__":1}')],
  ])('refuses %s', (_what, data: unknown) => {
    expect(() => fromPlain(data)).toThrow(TypeError);
  });

  it('refuses a cycle', () => {
    const cycle: Record<string, unknown> = {};
    cycle['self'] = [cycle];
    expect(() => fromPlain(cycle)).toThrow('nested deeper than 256, or a cycle');
  });
});

describe('toPlain', () => {
  it.each([
    ['0', 0],
    ['-5', -5],
    ['9007199254740991', 9007199254740991],
    ['-9007199254740991', -9007199254740991],
    ['9007199254740992', '9007199254740992'],
    ['1755122354444210176', '1755122354444210176'],
    ['1.10', '1.10'],
    ['1.0', '1.0'],
    ['1e3', '1e3'],
    ['-0', '-0'],
  ])('makes %s into %o', (number, plain) => {
    expect(toPlain(new JsonNumber(number))).toBe(plain);
  });

  it('makes own properties and leaves prototypes alone', () => {
    const object = toPlain(parseJson('{"toString":1,"a":{"b":[2]}}'));
    expect(object).toStrictEqual({ toString: 1, a: { b: [2] } });
    expect(() => toPlain(new Map([['__proto__', null]]))).toThrow(TypeError);
    expect(({} as Record<string, unknown>)['b']).toBeUndefined();
  });
});
