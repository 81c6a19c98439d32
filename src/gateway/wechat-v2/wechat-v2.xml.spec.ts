import { describe, expect, it } from 'vitest';
import { readXml, writeXml } from './wechat-v2.xml.js';

const read = (text: string) => {
  const fields = readXml(text, 'xml');
  return fields === undefined ? undefined : Object.fromEntries(fields);
};

describe('reading', () => {
  it('gives texts as they are: nothing is a number, nothing is trimmed', () => {
    expect(
      read(
        '\uFEFF<?xml version="1.0" encoding="UTF-8"?>\n<xml>\n  <total_fee>0100</total_fee>\r\n<refund_id><![CDATA[50000000382019052709732678859]]></refund_id>' +
          '<e>1e3</e><t> a </t><n/><m></m></xml>\n',
      ),
    ).toEqual({ total_fee: '0100', refund_id: '50000000382019052709732678859', e: '1e3', t: ' a ', n: '', m: '' });
  });

  it('knows the five entities outside CDATA, and none inside', () => {
    expect(read('<xml><a>1 &lt; 2 &amp;&amp; &quot;x&quot; &amp;lt;</a><b><![CDATA[1 &lt; 2 <i>]]></b></xml>')).toEqual(
      {
        a: '1 < 2 && "x" &lt;',
        b: '1 &lt; 2 <i>',
      },
    );
  });

  it.each([
    ['a document type', '<!DOCTYPE xml><xml><a>1</a></xml>'],
    ['an entity of its own', '<!DOCTYPE xml [<!ENTITY e "x">]><xml><a>&e;</a></xml>'],
    ['a file (XXE)', '<!DOCTYPE r [<!ENTITY e SYSTEM "file:///etc/passwd">]><xml><a>&e;</a></xml>'],
    ['a document type after the declaration', '<?xml version="1.0"?><!DOCTYPE xml><xml><a>1</a></xml>'],
    ['a processing instruction', '<xml><?php echo 1 ?><a>1</a></xml>'],
    ['a comment', '<xml><a>1<!-- 2 --></a></xml>'],
    ['an element in an element', '<xml><a><b>1</b></a></xml>'],
    ['the same name twice', '<xml><a>1</a><a>2</a></xml>'],
    ['text between the elements', '<xml>x<a>1</a></xml>'],
    ['another root', '<root><a>1</a></root>'],
    ['two roots', '<xml><a>1</a></xml><xml><b>1</b></xml>'],
    ['an end that is missing', '<xml><a>1</a>'],
    ['JSON', '{"a":1}'],
    ['nothing', ''],
    ['nothing in it', '<xml></xml>'],
    ['a name that is none', '<xml><__proto__x-y>1</__proto__x-y></xml>'],
  ])('refuses %s', (_, text) => {
    expect(read(text)).toBeUndefined();
  });

  it.each(['__proto__', 'constructor', 'toString'])('a field called %s touches no object', (name) => {
    const fields = readXml(`<xml><${name}>1</${name}><a>1</a></xml>`, 'xml');
    expect([undefined, '1']).toContain(fields?.get('a'));
    expect(Object.getPrototypeOf({})).toBe(Object.prototype);
    expect(({} as Record<string, unknown>).a).toBeUndefined();
  });

  it('of more entities than a message can have gives up in no time', () => {
    const text = `<xml><a>${'&amp;'.repeat(50_000)}</a></xml>`;
    const startedAt = performance.now();
    readXml(text, 'xml');
    expect(performance.now() - startedAt).toBeLessThan(2_000);
  });
});

describe('writing', () => {
  it('gives back what was written', () => {
    const fields = { appid: 'wx1', refund_desc: '质量 <50%> & "so" ]]>', empty: '', sign: 'A' };
    expect(read(writeXml(Object.entries(fields)))).toEqual(fields);
  });

  it('refuses what XML cannot carry', () => {
    expect(() => writeXml([['a', 'x\u0000y']])).toThrow(RangeError);
    expect(() => writeXml([['a', 'x\uD800']])).toThrow(RangeError);
  });
});
