import { ApiPropertyOptional } from '@nestjs/swagger';
import { Transform, Type } from 'class-transformer';
import { IsInt, IsOptional, Matches, Max, Min } from 'class-validator';
import { API_TIME } from './api.doc.js';
import { IsTime } from './iso-time.js';
import { toText } from '../shared/http/transforms.js';

export const DEFAULT_PAGE = 50;
export const MAX_PAGE = 500;

/** A part of a list, by keyset: the next page begins after the last id of this one, however much was added meanwhile. */
export interface Page<Item> {
  items: Item[];
  /** Null: there was nothing after this page. */
  nextCursor: string | null;
}

/** Query parameters of every list. */
export class PageDto {
  @ApiPropertyOptional({ description: '`nextCursor` of the page before', example: '2124609641629716480' })
  @IsOptional()
  @Transform(toText)
  @Matches(/^\d{1,19}$/, { message: 'must be the nextCursor of the page before' })
  cursor?: string;

  @ApiPropertyOptional({
    description: 'Items of a page',
    default: DEFAULT_PAGE,
    minimum: 1,
    maximum: MAX_PAGE,
    example: 50,
  })
  @IsOptional()
  @Type(() => Number)
  @IsInt()
  @Min(1)
  @Max(MAX_PAGE)
  limit?: number;
}

/** A part of a list that is also bounded in time. */
export class TimedPageDto extends PageDto {
  @ApiPropertyOptional({ ...API_TIME, description: 'At or after; ISO 8601 with its zone' })
  @IsOptional()
  @IsTime()
  from?: Date;

  @ApiPropertyOptional({ ...API_TIME, description: 'Before; ISO 8601 with its zone' })
  @IsOptional()
  @IsTime()
  to?: Date;
}

/** @param rows at most `limit` of them, in the order of the list. */
export function pageOf<Row extends { id: string }, Item>(
  rows: readonly Row[],
  limit: number,
  view: (row: Row) => Item,
): Page<Item> {
  return { items: rows.map(view), nextCursor: rows.length === limit ? (rows.at(-1)?.id ?? null) : null };
}
