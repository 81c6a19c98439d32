import type { FastifyInstance, FastifyRequest } from 'fastify';
import { DAY_MS } from '../clock.js';
import { UnsupportedTypeError } from '../errors.js';
import { newTraceId, runWithTrace, type Trace } from '../trace.js';

/** Bodies of every surface; imports stream and are bounded by themselves. */
export const BODY_LIMIT_BYTES = 64 * 1024;

/** The merchant API: everything below these paths answers with HTTP 200 and the envelope. */
const MERCHANT_PREFIXES: ReadonlySet<string> = new Set(['unipay', 'uni']);
/** And this path, which has nothing below it. */
const EVENTS = /^(?:https?:\/\/[^/]*)?\/+events\/?(?:[?#]|$)/;
/** Proxies may send the whole address as target (RFC 9112, 3.2.2); the router leaves its origin out. */
const FIRST_SEGMENT = /^(?:https?:\/\/[^/]*)?\/+([^/?#]+)\//;

const traces = new WeakMap<FastifyRequest, Trace>();

/** @param url the request target as it came in. The router resolves percent signs, so this does too. */
export function isMerchantPath(url: string): boolean {
  if (EVENTS.test(url)) return true;
  const segment = FIRST_SEGMENT.exec(url)?.[1] ?? '';
  return MERCHANT_PREFIXES.has(segment.includes('%') ? decoded(segment) : segment);
}

function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    // A stray %: the router refuses it, and it is no prefix of ours.
    return segment;
  }
}

/** The trace of a request: made when it came in. */
export function traceOf(request: FastifyRequest): Trace {
  let trace = traces.get(request);
  if (trace === undefined) {
    trace = { traceId: newTraceId() };
    traces.set(request, trace);
  }
  return trace;
}

export function traceIdOf(request: FastifyRequest): string {
  return traceOf(request).traceId;
}

/** Bodies that are worked on while they come in: of any size, and for as long as they take. */
export interface StreamedRoutes {
  path: string;
  contentTypes: readonly string[];
}

const MAX_STREAM_MS = DAY_MS;

/**
 * Sets up what all routes share: bodies stay the exact bytes that came in (signatures are made over them, and each surface reads
 * them in its own way), every request has a trace, and every answer carries it.
 */
export function prepareHttp(fastify: FastifyInstance, streamed: StreamedRoutes): void {
  fastify.removeAllContentTypeParsers();
  fastify.addContentTypeParser('*', { parseAs: 'buffer', bodyLimit: BODY_LIMIT_BYTES }, (_request, body, done) =>
    done(null, body),
  );
  fastify.addContentTypeParser([...streamed.contentTypes], (request, payload, done) => {
    if (request.routeOptions.url === streamed.path) done(null, payload);
    else done(new UnsupportedTypeError(`${request.headers['content-type'] ?? ''} is not read here`), undefined);
  });
  fastify.addHook('onRoute', (route) => {
    if (route.url === streamed.path) route.handlerTimeout = MAX_STREAM_MS;
  });
  fastify.addHook('onRequest', (request, reply, done) => {
    const trace = traceOf(request);
    void reply.header('x-trace-id', trace.traceId);
    runWithTrace(trace, done);
  });
  // Reading the body leaves the asynchronous context of the first hook; this one enters it again.
  fastify.addHook('preValidation', (request, _reply, done) => runWithTrace(traceOf(request), done));
  endConnectionsOnClose(fastify);
}

/**
 * A process that stops waits for its connections. Those that are idle are closed for it; one whose request is still being answered would be
 * kept alive for another 72 s, long past the patience of whoever runs us.
 */
function endConnectionsOnClose(fastify: FastifyInstance): void {
  let closing = false;
  fastify.addHook('preClose', (done) => {
    closing = true;
    done();
  });
  fastify.addHook('onSend', (request, reply, _payload, done) => {
    // A body that is still coming in when it is answered was given up, or is a stream: what follows it is not waited for.
    if (closing || !request.raw.complete) void reply.header('connection', 'close');
    done();
  });
}

/** The exact bytes of the body; empty when there was none. */
export function rawBodyOf(request: FastifyRequest): Buffer {
  return Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
}
