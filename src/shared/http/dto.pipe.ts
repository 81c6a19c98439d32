import { Injectable, type ArgumentMetadata, type PipeTransform, type Type } from '@nestjs/common';
import { plainToInstance } from 'class-transformer';
import { validate, type ValidationError } from 'class-validator';
import { DomainError, type FieldFault, type LocalText } from '../errors.js';

/**
 * A validation message in both languages, for `message:` of class-validator's decorators. The two halves are kept apart by a
 * character that no text holds.
 */
const SEPARATOR = '\u241f';
export function bothLanguages(zh: string, en: string): string {
  return `${zh}${SEPARATOR}${en}`;
}

/** Turns a plain body into its DTO and names every field that is missing or malformed. Unknown fields are let through and ignored. */
@Injectable()
export class DtoPipe implements PipeTransform<unknown, Promise<unknown>> {
  async transform(value: unknown, { metatype, type }: ArgumentMetadata): Promise<unknown> {
    if (!metatype || type === 'custom' || PLAIN.has(metatype)) return value;
    return toDto(metatype as Type<object>, value);
  }
}

const PLAIN: ReadonlySet<unknown> = new Set([String, Boolean, Number, Array, Object]);

/** @throws DomainError `invalid` with every fault. */
export async function toDto<T extends object>(type: Type<T>, value: unknown): Promise<T> {
  // class-validator finds nothing wrong with what is no object, a list included.
  if (value != null && (typeof value !== 'object' || Array.isArray(value))) {
    throw new DomainError('invalid', { zh: '必须是 JSON 对象', en: 'a JSON object is expected' });
  }
  const dto = plainToInstance(type, value ?? {});
  const errors = await validate(dto, { whitelist: false, forbidUnknownValues: false });
  if (errors.length === 0) return dto;
  const faults = errors.flatMap((error) => faultsOf(error, ''));
  const text: LocalText = {
    zh: faults.map(({ field, zh }) => `${field} ${zh}`).join('; '),
    en: faults.map(({ field, en }) => `${field} ${en}`).join('; '),
  };
  throw new DomainError('invalid', text, { faults: faults.map(({ field, en }): FieldFault => ({ field, fault: en })) });
}

function faultsOf(error: ValidationError, parent: string): { field: string; zh: string; en: string }[] {
  const field = `${parent}${error.property.slice(0, 64)}`;
  if (error.value === undefined) return [{ field, zh: '不能为空', en: 'is required' }];
  // Checks run from the last decorator to the first; the first says what is most basically wrong ("must be an integer", not "too large").
  const own = Object.values(error.constraints ?? {})
    .slice(-1)
    .map((message) => {
      const [first = '', second] = message.split(SEPARATOR);
      // class-validator's own texts begin with the name of the property, which is said already.
      const strip = (text: string) =>
        text.startsWith(`${error.property} `) ? text.slice(error.property.length + 1) : text;
      return { field, zh: strip(first), en: strip(second ?? first) };
    });
  return [...own, ...(error.children ?? []).flatMap((child) => faultsOf(child, `${field}.`))];
}
