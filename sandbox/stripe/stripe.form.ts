import { badParameter, StripeRefusal } from './stripe.error.js';

export type FormTree = { [name: string]: string | FormTree };

const MAX_PARAMETERS = 1000;
const MAX_AMOUNT = 99_999_999;

/** Reads `a=1&b[c]=2`. Of a name that comes twice the last value counts. @throws StripeRefusal 400. */
export function parseForm(text: string): FormTree {
  const tree: FormTree = {};
  if (text === '') return tree;
  const pairs = text.split('&');
  if (pairs.length > MAX_PARAMETERS) throw new StripeRefusal(400, 'Invalid request: too many parameters.');
  for (const pair of pairs) {
    const split = pair.indexOf('=');
    const name = decoded(split < 0 ? pair : pair.slice(0, split));
    const [, outer, inner] = /^([^[\]]+)(?:\[([^[\]]*)\])?$/.exec(name) ?? [];
    if (outer === undefined)
      throw badParameter(name.slice(0, 100), 'parameter_unknown', `Received unknown parameter: ${name.slice(0, 100)}`);
    const value = split < 0 ? '' : decoded(pair.slice(split + 1));
    if (inner === undefined) {
      put(tree, outer, value);
      continue;
    }
    const branch = Object.hasOwn(tree, outer) ? tree[outer] : undefined;
    const members = typeof branch === 'object' ? branch : {};
    put(members, inner, value);
    put(tree, outer, members);
  }
  return tree;
}

function put(tree: FormTree, name: string, value: string | FormTree): void {
  // As an own member, whatever it is called: __proto__ too.
  Object.defineProperty(tree, name, { value, enumerable: true, configurable: true, writable: true });
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    // A stray % or bytes that are no UTF-8.
    throw new StripeRefusal(400, 'Invalid request: the parameters are not form-encoded UTF-8.');
  }
}

/** Reads parameters and remembers which were asked for, so that `end()` can refuse the others. */
export class Parameters {
  private readonly known = new Set<string>();

  constructor(private readonly tree: FormTree) {}

  text(name: string): string | undefined {
    const value = this.take(name);
    if (value === undefined) return undefined;
    if (typeof value !== 'string')
      throw badParameter(name, 'parameter_invalid_string', `Invalid string: ${JSON.stringify(value).slice(0, 100)}`);
    if (value === '') {
      throw badParameter(
        name,
        'parameter_invalid_empty',
        `You passed an empty string for '${name}'. We assume empty values are an attempt to unset a parameter; however '${name}' cannot be unset. You should remove '${name}' from your request or supply a non-empty value.`,
      );
    }
    return value;
  }

  integer(name: string, range: { min: number; max: number }): number | undefined {
    const value = this.text(name);
    if (value === undefined) return undefined;
    // 1.0 and 1e2 are refused like 1.5: integers are written as integers.
    if (!/^-?\d{1,12}$/.test(value))
      throw badParameter(name, 'parameter_invalid_integer', `Invalid integer: ${value.slice(0, 40)}`);
    const number = Number(value);
    if (number < range.min)
      throw badParameter(name, 'parameter_invalid_integer', 'This value must be greater than or equal to 1.');
    if (number > range.max)
      throw badParameter(name, 'parameter_invalid_integer', `This value must be less than or equal to ${range.max}.`);
    return number;
  }

  amount(name: string): number | undefined {
    return this.integer(name, { min: 1, max: MAX_AMOUNT });
  }

  oneOf(name: string, values: readonly string[]): string | undefined {
    const value = this.text(name);
    if (value === undefined || values.includes(value)) return value;
    throw new StripeRefusal(400, `Invalid ${name}: must be one of ${values.join(', ')}`, { param: name });
  }

  flag(name: string): boolean | undefined {
    const value = this.text(name);
    if (value === undefined) return undefined;
    if (value !== 'true' && value !== 'false')
      throw badParameter(name, 'parameter_invalid_boolean', `Invalid boolean: ${value.slice(0, 40)}`);
    return value === 'true';
  }

  /** gateways.md §5.1: at most 50 keys of at most 40 characters, values of at most 500. An empty value unsets its key. */
  metadata(): Readonly<Record<string, string>> | undefined {
    const value = this.take('metadata');
    if (value === undefined) return undefined;
    if (value === '') return {};
    if (typeof value === 'string') throw badParameter('metadata', 'parameter_invalid_object', 'Invalid object');
    const entries = Object.entries(value).map(([key, text]): [string, string] => {
      const param = `metadata[${key}]`.slice(0, 100);
      if (typeof text !== 'string')
        throw badParameter(param, 'parameter_invalid_string', 'Metadata values must be strings.');
      if (key === '' || [...key].length > 40)
        throw new StripeRefusal(400, `Metadata keys can have up to 40 characters: ${param}`, { param });
      if ([...text].length > 500) {
        throw new StripeRefusal(
          400,
          `Metadata values can have up to 500 characters, but you passed in a value that is ${[...text].length} characters.`,
          {
            param,
          },
        );
      }
      return [key, text];
    });
    if (entries.length > 50) throw new StripeRefusal(400, 'Metadata can have up to 50 keys.', { param: 'metadata' });
    return Object.fromEntries(entries);
  }

  /** What a list may be narrowed to by time: `created=1` or `created[gte]=1`. Seconds. */
  created(): (seconds: number) => boolean {
    const value = this.take('created');
    if (value === undefined) return () => true;
    const bounds = typeof value === 'string' ? { eq: value } : value;
    const tests = Object.entries(bounds).map(([name, text]) => {
      const test = COMPARISONS[name];
      if (!test)
        throw badParameter(`created[${name}]`, 'parameter_unknown', `Received unknown parameter: created[${name}]`);
      if (typeof text !== 'string' || !/^\d{1,12}$/.test(text))
        throw badParameter(`created[${name}]`, 'parameter_invalid_integer', 'Invalid integer');
      return (seconds: number): boolean => test(seconds, Number(text));
    });
    return (seconds) => tests.every((test) => test(seconds));
  }

  /** Known to the real one, not simulated. */
  refuse(name: string): void {
    if (this.take(name) !== undefined)
      throw new StripeRefusal(400, `The sandbox does not simulate ${name}.`, { param: name });
  }

  /** Refuses parameters that nobody asked for. Call it last. */
  end(): void {
    for (const name of Object.keys(this.tree)) {
      if (!this.known.has(name))
        throw badParameter(
          name.slice(0, 100),
          'parameter_unknown',
          `Received unknown parameter: ${name.slice(0, 100)}`,
        );
    }
  }

  private take(name: string): string | FormTree | undefined {
    this.known.add(name);
    return Object.hasOwn(this.tree, name) ? this.tree[name] : undefined;
  }
}

const COMPARISONS: Readonly<Record<string, (left: number, right: number) => boolean>> = {
  eq: (left, right) => left === right,
  gt: (left, right) => left > right,
  gte: (left, right) => left >= right,
  lt: (left, right) => left < right,
  lte: (left, right) => left <= right,
};
