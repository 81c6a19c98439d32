import { applyDecorators, type Type } from '@nestjs/common';
import { ApiExtraModels, ApiParam, ApiResponse, getSchemaPath } from '@nestjs/swagger';

/** The answer of a route. */
export const ApiResult = (status: number, type: Type, description: string) =>
  ApiResponse({ status, type, description });

/** `{items, nextCursor}`. */
export const ApiPage = (item: Type, description: string) =>
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
          nextCursor: {
            type: 'string',
            nullable: true,
            description: '`cursor` of the next page; null: there is none',
            example: '2124609641629716480',
          },
        },
      },
    }),
  );

export const ApiId = (what: string) =>
  ApiParam({ name: 'id', description: `Id of ${what}`, example: '2124609641629716480' });
