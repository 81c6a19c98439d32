import 'reflect-metadata';
import type { ArgumentMetadata } from '@nestjs/common';
import { Type } from 'class-transformer';
import {
  IsArray,
  IsDefined,
  IsInt,
  IsObject,
  IsOptional,
  IsString,
  Matches,
  Min,
  ValidateNested,
} from 'class-validator';
import { describe, expect, it } from 'vitest';
import { DomainError } from '../errors.js';
import { bothLanguages, DtoPipe, toDto } from './dto.pipe.js';

class LineDto {
  @IsInt({ message: bothLanguages('必须是整数', 'must be an integer') })
  @Min(1)
  amount: number;
}

class OrderDto {
  @Matches(/^\d{1,19}$/, { message: bothLanguages('必须是数字', 'must be digits') })
  id: string;

  @IsOptional()
  @IsString()
  title?: string;

  @IsDefined()
  @IsObject()
  @ValidateNested()
  @Type(() => LineDto)
  main: LineDto;

  @IsOptional()
  @IsArray()
  @ValidateNested({ each: true })
  @Type(() => LineDto)
  lines?: LineDto[];
}

const fine = { id: '1', main: { amount: 1 } };

async function refusal(value: unknown): Promise<DomainError> {
  try {
    const dto = await toDto(OrderDto, value);
    throw new Error(`accepted ${JSON.stringify(dto)}`);
  } catch (error) {
    if (error instanceof DomainError) return error;
    throw error;
  }
}

describe('a body', () => {
  it('that is fine becomes its DTO, nested ones included', async () => {
    const dto = await toDto(OrderDto, { ...fine, lines: [{ amount: 2 }] });
    expect(dto).toBeInstanceOf(OrderDto);
    expect(dto.main).toBeInstanceOf(LineDto);
    expect(dto.lines?.[0]).toBeInstanceOf(LineDto);
  });

  it('may hold fields that nobody knows: the SDK’s other interfaces have more', async () => {
    await expect(toDto(OrderDto, { ...fine, expiredTime: '123457711' })).resolves.toMatchObject(fine);
  });

  it('that is wrong is told every field at once, in both languages', async () => {
    const error = await refusal({ id: 'x', title: 7, main: { amount: 1 } });
    expect(error.code).toBe('invalid');
    expect(error.faults).toEqual([
      { field: 'id', fault: 'must be digits' },
      { field: 'title', fault: 'must be a string' },
    ]);
    expect(error.text).toEqual({
      zh: 'id 必须是数字; title must be a string',
      en: 'id must be digits; title must be a string',
    });
  });

  it('that is wrong further in is told the way there', async () => {
    const error = await refusal({ ...fine, main: { amount: 0.5 }, lines: [{ amount: 1 }, { amount: 'x' }] });
    expect(error.faults.map(({ field }) => field)).toEqual(['main.amount', 'lines.1.amount']);
    expect(error.text.zh).toContain('lines.1.amount 必须是整数');
  });

  // The last decorator answered: a missing amount was "too large".
  it('that is wrong in many ways is told the most basic one per field', async () => {
    expect((await refusal({ ...fine, main: {} })).faults).toEqual([{ field: 'main.amount', fault: 'is required' }]);
    for (const amount of ['x', {}, NaN]) {
      const error = await refusal({ ...fine, main: { amount } });
      expect(error.faults).toEqual([{ field: 'main.amount', fault: 'must be an integer' }]);
    }
    expect((await refusal({ ...fine, main: { amount: 0 } })).faults).toEqual([
      { field: 'main.amount', fault: 'must not be less than 1' },
    ]);
  });

  it.each([[undefined], [null], [{}]])('%j lacks everything', async (value) => {
    expect((await refusal(value)).faults.map(({ field }) => field)).toEqual(['id', 'main']);
  });

  // class-validator checks nothing in a list or a number, so they came through as they were; a text ended in a TypeError.
  it.each([[[]], [[{}]], [[fine]], [5], [true], ['text'], ['']])('%j is no object', async (value) => {
    expect((await refusal(value)).code).toBe('invalid');
  });

  it('cannot take another prototype with it', async () => {
    const value: unknown = JSON.parse('{"__proto__": {"id": "1", "main": {"amount": 1}}, "constructor": {}}');
    const error = await refusal(value);
    expect(error.faults.map(({ field }) => field)).toEqual(['id', 'main']);
  });

  it('does not have its long names or values repeated', async () => {
    class Wide {}
    const name = 'n'.repeat(5_000);
    Matches(/^a$/, { message: 'is wrong' })(Wide.prototype, name);
    const error = await toDto(Wide, { [name]: 'v'.repeat(5_000) }).catch((thrown: unknown) => thrown as DomainError);
    expect((error as DomainError).message).toBe(`${'n'.repeat(64)} is wrong`);
  });
});

describe('the pipe', () => {
  const pipe = new DtoPipe();
  const through = (value: unknown, metadata: Partial<ArgumentMetadata>) =>
    pipe.transform(value, { type: 'body', metatype: undefined, data: undefined, ...metadata });

  it('checks what has a class', async () => {
    await expect(through({ id: 'x' }, { metatype: OrderDto })).rejects.toMatchObject({ code: 'invalid' });
    await expect(through(fine, { metatype: OrderDto })).resolves.toBeInstanceOf(OrderDto);
  });

  it('checks queries, too', async () => {
    await expect(through({}, { type: 'query', metatype: OrderDto })).rejects.toMatchObject({ code: 'invalid' });
  });

  it.each([String, Number, Boolean, Array, Object, undefined])('lets a plain %o through as it is', async (metatype) => {
    const value = { any: 'thing' };
    await expect(through(value, { metatype })).resolves.toBe(value);
  });

  it('leaves what our own decorators hand over', async () => {
    const request = { raw: true };
    await expect(through(request, { type: 'custom', metatype: OrderDto })).resolves.toBe(request);
  });
});
