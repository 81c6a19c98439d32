import { applyDecorators } from '@nestjs/common';
import { Transform } from 'class-transformer';
import { IsDate } from 'class-validator';

/** A time without its zone would be read in the zone of whichever machine reads it. */
const ISO_TIME = /^\d{4}-\d{2}-\d{2}T[\d:.]{5,18}(?:Z|[+-]\d{2}:?\d{2})$/i;

/** A field that is ISO 8601 text with its zone, or seconds since 1970; the route sees a Date. */
export const IsTime = () =>
  applyDecorators(Transform(toDate), IsDate({ message: 'must be a time in ISO 8601 with its zone' }));

function toDate({ value }: { value: unknown }): unknown {
  if (typeof value === 'number') return new Date(value * 1_000);
  return typeof value === 'string' && ISO_TIME.test(value) ? new Date(value) : value;
}
