import { Injectable, type CallHandler, type ExecutionContext, type NestInterceptor } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { map, type Observable } from 'rxjs';
import { successEnvelope } from '../shared/envelope.js';
import { traceIdOf } from '../shared/http/http-surface.js';
import { fromPlain, type JsonObject } from '../shared/lossless-json.js';
import { signFor } from './app-signature.js';
import { merchantCallOf } from './signature.guard.js';

/** Puts what a merchant route answers into the envelope, with HTTP 200, and signs `data` where the app wants that. */
@Injectable()
export class EnvelopeInterceptor implements NestInterceptor<object, string> {
  intercept(context: ExecutionContext, next: CallHandler<object>): Observable<string> {
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    const reply = context.switchToHttp().getResponse<FastifyReply>();
    return next.handle().pipe(
      map((data) => {
        void reply.status(200).header('content-type', 'application/json; charset=utf-8');
        return JSON.stringify(successEnvelope(data, traceIdOf(request), signatureOf(request, data)));
      }),
    );
  }
}

function signatureOf(request: FastifyRequest, data: object): string {
  const { app, switches } = merchantCallOf(request);
  if (!switches.responseSign) return '';
  return signFor(app, fromPlain(data) as JsonObject);
}
