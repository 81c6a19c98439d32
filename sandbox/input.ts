/** Input to the control API that cannot be used. The message is what the caller reads: `field: fault`. */
export class InputError extends Error {
  override readonly name = 'InputError';

  constructor(
    readonly field: string,
    readonly fault: string,
    /** HTTP status of the answer. */
    readonly status = 400,
  ) {
    super(`${field}: ${fault}`);
  }
}

interface TextRule {
  maxLength?: number;
  pattern?: RegExp;
  /** What the pattern wants, in words. */
  wants?: string;
}

interface NumberRule {
  min: number;
  max: number;
}

/**
 * Reads the members of one JSON object and remembers which were asked for, so that `end()` can refuse the others:
 * a misspelt option must not pass in silence.
 */
export class Fields {
  private readonly known = new Set<string>();

  private constructor(
    private readonly source: Readonly<Record<string, unknown>>,
    private readonly prefix: string,
  ) {}

  /** @param path name of the object itself in messages; empty for the body. */
  static of(value: unknown, path = ''): Fields {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw new InputError(path === '' ? 'body' : path, 'must be a JSON object');
    }
    return new Fields(value as Record<string, unknown>, path === '' ? '' : `${path}.`);
  }

  text(name: string, rule: TextRule = {}): string {
    const value = this.optionalText(name, rule);
    if (value === undefined) throw this.fault(name, 'is missing');
    return value;
  }

  optionalText(name: string, rule: TextRule = {}): string | undefined {
    const value = this.take(name);
    if (value === undefined) return undefined;
    if (typeof value !== 'string') throw this.fault(name, 'must be a text');
    const maxLength = rule.maxLength ?? 256;
    if (value.length === 0 || value.length > maxLength)
      throw this.fault(name, `must have 1 to ${maxLength} characters`);
    if (rule.pattern && !rule.pattern.test(value))
      throw this.fault(name, rule.wants ?? `must match ${rule.pattern.source}`);
    return value;
  }

  integer(name: string, rule: NumberRule): number {
    const value = this.optionalInteger(name, rule);
    if (value === undefined) throw this.fault(name, 'is missing');
    return value;
  }

  optionalInteger(name: string, rule: NumberRule): number | undefined {
    const value = this.take(name);
    if (value === undefined) return undefined;
    if (typeof value !== 'number' || !Number.isSafeInteger(value)) throw this.fault(name, 'must be an integer');
    return this.within(name, value, rule);
  }

  number(name: string, rule: NumberRule): number {
    const value = this.optionalNumber(name, rule);
    if (value === undefined) throw this.fault(name, 'is missing');
    return value;
  }

  optionalNumber(name: string, rule: NumberRule): number | undefined {
    const value = this.take(name);
    if (value === undefined) return undefined;
    if (typeof value !== 'number' || !Number.isFinite(value)) throw this.fault(name, 'must be a number');
    return this.within(name, value, rule);
  }

  optionalFlag(name: string): boolean | undefined {
    const value = this.take(name);
    if (value === undefined) return undefined;
    if (typeof value !== 'boolean') throw this.fault(name, 'must be true or false');
    return value;
  }

  oneOf<Value extends string>(name: string, values: readonly Value[]): Value {
    const value = this.optionalOneOf(name, values);
    if (value === undefined) throw this.fault(name, `is missing; one of ${values.join(', ')}`);
    return value;
  }

  optionalOneOf<Value extends string>(name: string, values: readonly Value[]): Value | undefined {
    const value = this.take(name);
    if (value === undefined) return undefined;
    const found = values.find((candidate) => candidate === value);
    if (found === undefined) throw this.fault(name, `must be one of ${values.join(', ')}`);
    return found;
  }

  /** The raw member; for what has a reader of its own. */
  raw(name: string): unknown {
    return this.take(name);
  }

  /** Refuses members that nobody asked for. Call it last. */
  end(): void {
    for (const name of Object.keys(this.source)) {
      if (!this.known.has(name)) throw this.fault(name, `is unknown here; known: ${[...this.known].join(', ')}`);
    }
  }

  private take(name: string): unknown {
    this.known.add(name);
    const value = Object.hasOwn(this.source, name) ? this.source[name] : undefined;
    return value === null ? undefined : value;
  }

  private within(name: string, value: number, rule: NumberRule): number {
    if (value < rule.min || value > rule.max) throw this.fault(name, `must be ${rule.min} to ${rule.max}`);
    return value;
  }

  private fault(name: string, fault: string): InputError {
    return new InputError(`${this.prefix}${name}`, fault);
  }
}
