import { applyDecorators, type Type } from '@nestjs/common';
import { ApiExtraModels, ApiHeader, ApiOkResponse, getSchemaPath } from '@nestjs/swagger';

/** Documents a route of the merchant API: HTTP 200 for every answer, `data` of the given shape when `code` is 0. */
export function ApiEnvelope(data: Type<unknown>, codes: string) {
  return applyDecorators(
    ApiExtraModels(data),
    ApiHeader({
      name: 'X-App-Id',
      required: false,
      description: 'App that calls; default: field appId, else "default"',
      example: 'default',
    }),
    ApiHeader({
      name: 'Accept-Language',
      required: false,
      description: '`en` for English texts; default Chinese',
      example: 'en',
    }),
    ApiOkResponse({
      description: `Every answer, errors included, is HTTP 200. ${codes}`,
      schema: {
        type: 'object',
        required: ['msg', 'code', 'data', 'sign', 'traceId'],
        properties: {
          msg: { type: 'string', description: 'Why, when code is not 0', example: '' },
          code: { type: 'integer', description: '0 = done', example: 0 },
          data: { nullable: true, allOf: [{ $ref: getSchemaPath(data) }], description: 'Null unless code is 0' },
          sign: { type: 'string', description: 'Signature over data, where the app wants answers signed', example: '' },
          traceId: {
            type: 'string',
            description: '12 letters and digits; also in header X-Trace-Id',
            example: 'vHugexb46msh',
          },
        },
      },
    }),
  );
}
