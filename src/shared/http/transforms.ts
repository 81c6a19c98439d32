/** For `@Transform`: clients send ids as bare integers, and small ones reach a DTO as numbers. */
export const toText = ({ value }: { value: unknown }): unknown => (typeof value === 'number' ? String(value) : value);
