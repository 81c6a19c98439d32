import { applyDecorators, type Type } from '@nestjs/common';
import { ApiExtraModels, ApiParam, ApiResponse, getSchemaPath } from '@nestjs/swagger';

/** For fields that are times: they leave as ISO 8601 in UTC. */
export const API_TIME = { type: String, format: 'date-time', example: '2026-01-01T08:00:00.000Z' } as const;

/** The answer of a route. */
export const ApiResult = (status: number, type: Type, description: string) =>
  ApiResponse({ status, type, description });

/** `{items, nextCursor}`. */
export const ApiPage = (item: Type, description: string) =>
  list(item, description, {
    type: 'string',
    nullable: true,
    description: '`cursor` of the next page; null: there is none',
    example: '2124609641629716480',
  });

/** A list that is always whole. */
export const ApiList = (item: Type, description: string) =>
  list(item, description, {
    type: 'string',
    nullable: true,
    description: 'Always null: the list is whole',
    example: null,
  });

const list = (item: Type, description: string, nextCursor: object) =>
  applyDecorators(
    ApiExtraModels(item),
    ApiResponse({
      status: 200,
      description,
      schema: {
        type: 'object',
        required: ['items', 'nextCursor'],
        properties: {
          items: { type: 'array', items: { $ref: getSchemaPath(item) }, description },
          nextCursor,
        },
      },
    }),
  );

export const ApiId = (what: string) =>
  ApiParam({ name: 'id', description: `Id of ${what}`, example: '2124609641629716480' });
