import type { FastifyInstance, FastifyRequest } from 'fastify';
import { newTraceId, runWithTrace } from '../trace.js';

/** Bodies of every surface; imports stream and are bounded by themselves. */
export const BODY_LIMIT_BYTES = 64 * 1024;

/** The merchant API: everything below these paths answers with HTTP 200 and the envelope. */
const MERCHANT_PATH = /^\/+(?:unipay|uni)\//;

const traceIds = new WeakMap<FastifyRequest, string>();

export function isMerchantPath(url: string): boolean {
  return MERCHANT_PATH.test(url);
}

/** The trace of a request: made when it came in. */
export function traceIdOf(request: FastifyRequest): string {
  let traceId = traceIds.get(request);
  if (traceId === undefined) {
    traceId = newTraceId();
    traceIds.set(request, traceId);
  }
  return traceId;
}

/**
 * Sets up what all routes share: bodies stay the exact bytes that came in (signatures are made over them, and each surface reads
 * them in its own way), every request has a trace, and every answer carries it.
 */
export function prepareHttp(fastify: FastifyInstance): void {
  fastify.removeAllContentTypeParsers();
  fastify.addContentTypeParser('*', { parseAs: 'buffer', bodyLimit: BODY_LIMIT_BYTES }, (_request, body, done) =>
    done(null, body),
  );
  fastify.addHook('onRequest', (request, reply, done) => {
    const traceId = traceIdOf(request);
    void reply.header('x-trace-id', traceId);
    runWithTrace(traceId, done);
  });
  // Reading the body leaves the asynchronous context of the first hook; this one enters it again.
  fastify.addHook('preValidation', (request, _reply, done) => runWithTrace(traceIdOf(request), done));
}

/** The exact bytes of the body; empty when there was none. */
export function rawBodyOf(request: FastifyRequest): Buffer {
  return Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
}
