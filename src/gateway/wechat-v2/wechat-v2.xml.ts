import { XMLBuilder, XMLParser, XMLValidator } from 'fast-xml-parser';

/** The members of a message: WeChat Pay's XML is one element with texts in it. In the order of the text. */
export type XmlFields = ReadonlyMap<string, string>;

const MAX_FIELDS = 500;
const NAME = /^[A-Za-z_][A-Za-z0-9_]{0,63}$/;
/** What XML does not allow; a text could not be sent. */
const UNSENDABLE = /[^\t\n\r\x20-\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]/u;

/**
 * Values stay texts: an id of 28 digits read as a number would be another id, and `007` is what was signed. Entities are the five of XML and
 * no others: what could declare some is refused before the parser sees it.
 */
const parser = new XMLParser({
  ignoreAttributes: true,
  parseTagValue: false,
  trimValues: false,
  processEntities: true,
  htmlEntities: false,
  ignoreDeclaration: true,
});

const builder = new XMLBuilder({ format: false, processEntities: true, suppressEmptyNode: false });

/**
 * Reads a message of WeChat Pay.
 *
 * A document type, processing instructions and comments have no place in one: the first is how a parser is made to read files and URLs (XXE)
 * or to fill the memory with entities, a known attack on this very endpoint.
 *
 * @param root `xml`, or `root` within a callback.
 * @returns undefined for whatever is not one flat element of unique texts.
 */
export function readXml(text: string, root: 'xml' | 'root'): XmlFields | undefined {
  const content = text.replace(/^\uFEFF?\s*(<\?xml[^<>?]{0,100}\?>)?\s*/, '');
  if (/<\?|<!(?!\[CDATA\[)/.test(content)) return undefined;
  let document: unknown;
  try {
    if (XMLValidator.validate(content) !== true) return undefined;
    document = parser.parse(content);
  } catch {
    return undefined;
  }
  if (!isPlain(document) || Object.keys(document).some((name) => name !== root)) return undefined;
  const element = document[root];
  if (!isPlain(element)) return undefined;
  const fields = new Map<string, string>();
  for (const [name, value] of Object.entries(element)) {
    // What stands between the elements; anything but white space is no message.
    if (name === '#text' && typeof value === 'string' && value.trim() === '') continue;
    // A name that comes twice is an array, an element within an element an object: nothing is guessed.
    if (!NAME.test(name) || typeof value !== 'string' || fields.size >= MAX_FIELDS) return undefined;
    fields.set(name, value);
  }
  return fields.size === 0 ? undefined : fields;
}

/** @throws RangeError when a value has characters that XML cannot carry. */
export function writeXml(fields: Iterable<readonly [name: string, value: string]>): string {
  const members = Object.fromEntries(fields);
  if (Object.values(members).some((value) => UNSENDABLE.test(value)))
    throw new RangeError('a value cannot be written as XML');
  return builder.build({ xml: members });
}

function isPlain(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
