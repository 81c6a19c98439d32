const ENTITIES: Readonly<Record<string, string>> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" };
const ELEMENT = /\s*<([A-Za-z_][\w.-]*)(?:\/>|>(?:<!\[CDATA\[([\s\S]*?)\]\]>|([^<]*))<\/\1>)/y;

/**
 * Reads the one form of XML that a request has: `<xml>` with an element for each parameter, whose value is a text or one or several CDATA
 * sections. @returns undefined for anything else, attributes, comments and document types included.
 */
export function parseXml(text: string): Record<string, string> | undefined {
  const frame = /^\s*(?:<\?xml[^>]*\?>)?\s*<xml>([\s\S]*)<\/xml>\s*$/.exec(text);
  const inside = frame?.[1];
  if (inside === undefined) return undefined;
  const members: Record<string, string> = Object.create(null) as Record<string, string>;
  ELEMENT.lastIndex = 0;
  let end = 0;
  for (let match = ELEMENT.exec(inside); match; match = ELEMENT.exec(inside)) {
    const [, name = '', cdata, plain = ''] = match;
    if (Object.hasOwn(members, name)) return undefined;
    const value = cdata ?? decoded(plain);
    if (value === undefined) return undefined;
    members[name] = value;
    end = ELEMENT.lastIndex;
  }
  return inside.slice(end).trim() === '' ? members : undefined;
}

function decoded(text: string): string | undefined {
  let known = true;
  const value = text.replace(/&([^;&\s]*);?/g, (whole, name: string) => {
    const character = whole.endsWith(';') ? (ENTITIES[name] ?? numbered(name)) : undefined;
    known &&= character !== undefined;
    return character ?? '';
  });
  return known ? value : undefined;
}

function numbered(name: string): string | undefined {
  const [, hex, decimal] = /^#(?:x([0-9a-fA-F]{1,6})|(\d{1,7}))$/.exec(name) ?? [];
  if (hex === undefined && decimal === undefined) return undefined;
  const code = hex === undefined ? Number(decimal) : Number.parseInt(hex, 16);
  return code > 0 && code <= 0x10ffff ? String.fromCodePoint(code) : undefined;
}

/** As the platform writes it: one element a line, every value in CDATA. */
export function formatXml(members: Readonly<Record<string, string>>, root = 'xml'): string {
  const lines = Object.entries(members).map(
    ([name, value]) => `<${name}><![CDATA[${value.replaceAll(']]>', ']]]]><![CDATA[>')}]]></${name}>`,
  );
  return `<${root}>${lines.join('\n')}</${root}>`;
}
