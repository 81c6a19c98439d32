/**
 * A connector's settings, declared as data: the admin API validates against it, docs and console list it, and what is
 * marked `secret` is encrypted at rest and never answered.
 */
export interface ConfigField {
  description: string;
  example: string;
  required: boolean;
  secret: boolean;
  /** `text` (default), or `map` for a JSON object of texts (certificate serial → PEM). */
  type?: 'text' | 'map';
  /** Answers what is wrong with the value, without repeating a secret; undefined when it is fine. */
  check?(value: string): string | undefined;
  /**
   * Answers what is wrong between this field and the others. Runs once every field is fine by itself, also when this one is
   * absent ("one of the two is needed").
   */
  crossCheck?(settings: Readonly<Record<string, unknown>>): string | undefined;
}

export type ConfigSchema<Config> = { readonly [Name in keyof Config]-?: ConfigField };

export interface ConfigFault {
  field: string;
  fault: string;
}

/**
 * Checks raw settings against a schema.
 *
 * @returns the settings with absent optional fields left out, or every fault with the name of its field.
 */
export function parseConfig<Config>(
  schema: ConfigSchema<Config>,
  input: Record<string, unknown>,
): { config: Config; faults: [] } | { config: undefined; faults: ConfigFault[] } {
  const faults: ConfigFault[] = [];
  const config: Record<string, unknown> = {};
  const fields = schema as Record<string, ConfigField>;
  for (const name of Object.keys(input)) {
    if (!Object.hasOwn(fields, name))
      faults.push({ field: name, fault: `is not a setting of this gateway; known: ${Object.keys(fields).join(', ')}` });
  }
  for (const [name, field] of Object.entries(fields)) {
    const value = input[name];
    if (value === undefined || value === null || value === '') {
      if (field.required)
        faults.push({ field: name, fault: `is required: ${field.description} (example: ${field.example})` });
      continue;
    }
    const fault = field.type === 'map' ? checkMap(field, value) : checkText(field, value);
    if (fault) faults.push({ field: name, fault });
    else config[name] = value;
  }
  if (faults.length === 0) {
    for (const [name, field] of Object.entries(fields)) {
      const fault = field.crossCheck?.(config);
      if (fault) faults.push({ field: name, fault });
    }
  }
  return faults.length === 0 ? { config: config as Config, faults: [] } : { config: undefined, faults };
}

function checkText(field: ConfigField, value: unknown): string | undefined {
  return typeof value === 'string' ? field.check?.(value) : `must be a text (example: ${field.example})`;
}

function checkMap(field: ConfigField, value: unknown): string | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return `must be an object of texts (example: ${field.example})`;
  for (const [key, entry] of Object.entries(value)) {
    const fault = typeof entry === 'string' ? field.check?.(entry) : 'must be a text';
    if (fault) return `entry ${key}: ${fault}`;
  }
  return undefined;
}
