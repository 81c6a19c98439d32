import { Catch, HttpException, Logger, type ArgumentsHost, type ExceptionFilter } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { errorEnvelope, languageOf } from '../envelope.js';
import {
  ConflictError,
  DomainError,
  errorText,
  ForbiddenError,
  NotFoundError,
  UnsupportedTypeError,
  type FieldFault,
} from '../errors.js';
import { isMerchantPath, traceIdOf } from './http-surface.js';

/** RFC 9457. */
interface Problem {
  type: string;
  title: string;
  status: number;
  detail: string;
  traceId: string;
  errors?: readonly FieldFault[];
}

/**
 * Turns every error into an answer of the surface it happened on: the envelope with HTTP 200 for merchants, a problem document
 * with the right status for everybody else. What is not an error of the domain is logged and never shown.
 */
@Catch()
export class HttpErrorFilter implements ExceptionFilter {
  private readonly logger = new Logger('Http');

  catch(error: unknown, host: ArgumentsHost): void {
    const http = host.switchToHttp();
    this.answer(error, http.getRequest<FastifyRequest>(), http.getResponse<FastifyReply>());
  }

  /** Also for what the router refuses before Nest sees it. */
  answer(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
    if (reply.sent) return;
    const domainError = this.toDomainError(error, request);
    const traceId = traceIdOf(request);
    void reply.header('x-trace-id', traceId);
    if (domainError.retryAfterS !== undefined) void reply.header('retry-after', String(domainError.retryAfterS));
    if (isMerchantPath(request.url)) {
      const envelope = errorEnvelope(domainError, languageOf(request.headers['accept-language']), traceId);
      void reply.status(200).header('content-type', 'application/json; charset=utf-8').send(JSON.stringify(envelope));
      return;
    }
    const problem = problemOf(domainError, error, traceId);
    if (problem.status === 401) void reply.header('www-authenticate', 'Bearer');
    void reply
      .status(problem.status)
      .header('content-type', 'application/problem+json; charset=utf-8')
      .send(JSON.stringify(problem));
  }

  private toDomainError(error: unknown, request: FastifyRequest): DomainError {
    if (error instanceof DomainError) return error;
    const status = statusOf(error);
    if (status === 413)
      return new DomainError(
        'unreadable',
        { zh: '请求体超过 64 KiB', en: 'the body is larger than 64 KiB' },
        { cause: error },
      );
    if (status === 404 || status === 405) {
      const route = `${request.method} ${(request.url.split('?')[0] ?? '').slice(0, 100)}`;
      return new DomainError(
        'unreadable',
        { zh: `没有此接口 ${route}`, en: `there is nothing at ${route}` },
        { cause: error },
      );
    }
    if (status !== undefined && status < 500) {
      return new DomainError(
        'unreadable',
        error instanceof Error ? error.message.slice(0, 200) : 'the request cannot be read',
        { cause: error },
      );
    }
    this.logger.error({
      msg: 'unexpected error',
      url: request.url.split('?')[0],
      error: errorText(error),
      stack: error instanceof Error ? error.stack : undefined,
    });
    return new DomainError('internal', '', { cause: error });
  }
}

/** Of Nest's own errors, and of Fastify's, which come before any route. */
function statusOf(error: unknown): number | undefined {
  if (error instanceof HttpException) return error.getStatus();
  if (error instanceof Error && 'statusCode' in error && typeof error.statusCode === 'number') return error.statusCode;
  return undefined;
}

function problemOf(domainError: DomainError, error: unknown, traceId: string): Problem {
  const status = httpStatusOf(domainError, error);
  return {
    type: 'about:blank',
    title: TITLES[status] ?? 'Error',
    status,
    detail: status === 500 ? 'an unexpected error; the trace id finds it in the log' : domainError.message,
    traceId,
    ...(domainError.faults.length > 0 ? { errors: domainError.faults } : {}),
  };
}

const TITLES: Record<number, string> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  409: 'Conflict',
  413: 'Content Too Large',
  415: 'Unsupported Media Type',
  429: 'Too Many Requests',
  500: 'Internal Server Error',
  502: 'Bad Gateway',
};

function httpStatusOf(domainError: DomainError, error: unknown): number {
  if (domainError instanceof ConflictError) return 409;
  if (domainError instanceof NotFoundError) return 404;
  if (domainError instanceof ForbiddenError) return 403;
  if (domainError instanceof UnsupportedTypeError) return 415;
  switch (domainError.code) {
    case 'unreadable':
      return statusOf(error) ?? 400;
    case 'invalid':
      return 400;
    case 'unauthenticated':
      return 401;
    case 'tooManyRequests':
      return 429;
    case 'refundNotFound':
      return 404;
    case 'syncRunning':
    case 'instantChannel':
    case 'refundClosed':
      return 409;
    case 'failed':
      return 502;
    case 'badSignature':
      return 401;
    case 'internal':
      return 500;
  }
}
