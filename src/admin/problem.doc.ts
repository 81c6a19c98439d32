import { applyDecorators } from '@nestjs/common';
import { ApiExtraModels, ApiProperty, ApiPropertyOptional, ApiResponse, getSchemaPath } from '@nestjs/swagger';

export class FieldFaultDto {
  @ApiProperty({ description: 'The field as the caller sent it; members of members with dots', example: 'amount' })
  field: string;

  @ApiProperty({ description: 'What is wrong with it', example: 'must be an integer of minor units' })
  fault: string;
}

/** RFC 9457, as every refusal of the internal API looks. */
export class ProblemDto {
  @ApiProperty({ description: 'Always `about:blank`: `status` says what kind it is', example: 'about:blank' })
  type: string;

  @ApiProperty({ description: 'The HTTP status in words', example: 'Bad Request' })
  title: string;

  @ApiProperty({ description: 'The HTTP status', example: 400 })
  status: number;

  @ApiProperty({
    description: 'What is wrong, in one sentence for people',
    example: 'amount must be an integer of minor units',
  })
  detail: string;

  @ApiProperty({
    description: 'Finds the request in the logs; also in the header x-trace-id',
    example: '4bf92f3577b34da6a3ce929d0e0e4736',
  })
  traceId: string;

  @ApiPropertyOptional({ type: [FieldFaultDto], description: 'Every field that is at fault, where fields are' })
  errors?: FieldFaultDto[];
}

const TITLES: Record<number, string> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  409: 'Conflict',
  415: 'Unsupported Media Type',
  429: 'Too Many Requests',
  502: 'Bad Gateway',
};

/** The refusals of a route: status and why. */
export function ApiProblems(reasons: Record<number, string>) {
  return applyDecorators(
    ApiExtraModels(ProblemDto),
    ...Object.entries(reasons).map(([status, description]) =>
      ApiResponse({
        status: Number(status),
        description,
        content: {
          'application/problem+json': {
            schema: { $ref: getSchemaPath(ProblemDto) },
            example: {
              type: 'about:blank',
              title: TITLES[Number(status)] ?? 'Error',
              status: Number(status),
              detail: description,
              traceId: '4bf92f3577b34da6a3ce929d0e0e4736',
            },
          },
        },
      }),
    ),
  );
}
