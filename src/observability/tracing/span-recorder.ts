import {
  diag,
  DiagLogLevel,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
  type Attributes,
  type Span,
  type Tracer,
} from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BatchSpanProcessor, NodeTracerProvider } from '@opentelemetry/sdk-trace-node';
import {
  ATTR_HTTP_REQUEST_METHOD,
  ATTR_HTTP_RESPONSE_STATUS_CODE,
  ATTR_HTTP_ROUTE,
  ATTR_SERVICE_NAME,
} from '@opentelemetry/semantic-conventions';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { GatewayError } from '../../gateway/gateway.error.js';
import { gatewayCalls } from '../../gateway/gateway.telemetry.js';
import { SECOND_MS } from '../../shared/clock.js';
import { traceOf } from '../../shared/http/http-surface.js';
import { currentTrace, type Trace } from '../../shared/trace.js';
import { syncRuns } from '../../sync/sync.telemetry.js';
import { routeOf } from '../route.js';
import { formatTraceparent, parseTraceparent } from './traceparent.js';

/** Machines ask these all day, and nothing follows from it. */
const UNTRACED = /^\/(?:health|metrics|docs)\b/;
const CLOSE_TIMEOUT_MS = 3 * SECOND_MS;
const WARN_EVERY_MS = 60 * SECOND_MS;

export interface OtelOptions {
  /** Where traces are sent, with path. */
  tracesUrl: string;
  serviceName: string;
  role: string;
}

interface Start {
  name: string;
  kind: SpanKind;
  /** W3C; what it is no child of anything without. */
  parent: string | undefined;
  attributes: Attributes;
  /** Of the request or job; where the span is one that others are children of, they find it here. */
  of: Trace | undefined;
  hasChildren: boolean;
}

/**
 * Makes spans of what the service tells about itself: requests, jobs, calls to gateways. Attributes are codes and our own ids; no text of a
 * request, an answer or an error is exported, since any of them may hold what is nobody's business.
 */
export class SpanRecorder {
  private readonly provider: NodeTracerProvider;
  private readonly tracer: Tracer;
  private readonly spans = new WeakMap<object, Span>();
  private subscriptions: (() => void)[] = [];

  constructor({ tracesUrl, serviceName, role }: OtelOptions, onExportFailure: () => void) {
    let warnedAtMs = -Infinity;
    const warn = (): void => {
      if (performance.now() - warnedAtMs < WARN_EVERY_MS) return;
      warnedAtMs = performance.now();
      onExportFailure();
    };
    const ignore = (): void => undefined;
    // What the library says of a failure holds the URL, which may hold credentials.
    diag.setLogger(
      { error: warn, warn: ignore, info: ignore, debug: ignore, verbose: ignore },
      { logLevel: DiagLogLevel.ERROR, suppressOverrideMessage: true },
    );
    this.provider = new NodeTracerProvider({
      resource: resourceFromAttributes({ [ATTR_SERVICE_NAME]: serviceName, 'refund_sync.role': role }),
      spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter({ url: tracesUrl }))],
    });
    this.tracer = this.provider.getTracer('refund-sync');
  }

  /** Requests. A caller's own trace goes on here. */
  attach(fastify: FastifyInstance): void {
    fastify.addHook('onRequest', (request, _reply, done) => {
      if (!UNTRACED.test(request.url)) this.beginRequest(request);
      done();
    });
    fastify.addHook('onResponse', (request, reply, done) => {
      this.endRequest(request, reply.statusCode);
      done();
    });
    // Whoever asked has gone; there will be no response.
    fastify.addHook('onRequestAbort', (request, done) => {
      this.endRequest(request, undefined);
      done();
    });
  }

  /** Jobs and calls to gateways. */
  listen(): void {
    this.subscriptions = [
      syncRuns.subscribe({
        begin: (job) =>
          this.begin(job, {
            name: 'sync refund',
            kind: SpanKind.CONSUMER,
            parent: job.traceparent,
            attributes: { 'refund_sync.refund_id': job.refundId, 'refund_sync.source': job.source },
            of: currentTrace(),
            hasChildren: true,
          }),
        end: (job, outcome) => {
          if ('error' in outcome) return this.end(job, { 'refund_sync.outcome': 'broken' }, 'broken');
          const { result } = outcome;
          const name = typeof result === 'string' ? result : (result.record.errorKind ?? result.record.result);
          this.end(job, { 'refund_sync.outcome': name }, undefined);
        },
      }),
      gatewayCalls.subscribe({
        begin: (call) => {
          const { channel, gateway, accountId, operation } = call;
          const of = currentTrace();
          this.begin(call, {
            name: `${gateway} ${operation}`,
            kind: SpanKind.CLIENT,
            parent: of?.traceparent,
            attributes: {
              'refund_sync.channel': channel,
              'refund_sync.gateway_account': accountId,
              'refund_sync.operation': operation,
            },
            of,
            hasChildren: false,
          });
        },
        end: (call, outcome) => {
          if ('result' in outcome) return this.end(call, { 'refund_sync.outcome': outcome.result.kind }, undefined);
          const kind = outcome.error instanceof GatewayError ? outcome.error.kind : 'broken';
          this.end(call, { 'refund_sync.outcome': kind }, kind);
        },
      }),
    ];
  }

  async close(): Promise<void> {
    for (const end of this.subscriptions) end();
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise<void>((resolve) => (timer = setTimeout(resolve, CLOSE_TIMEOUT_MS)));
    await Promise.race([this.provider.shutdown().catch(() => undefined), timeout]);
    clearTimeout(timer);
  }

  private beginRequest(request: FastifyRequest): void {
    const route = routeOf(request);
    const { traceparent } = request.headers;
    this.begin(request, {
      name: `${request.method} ${route}`,
      kind: SpanKind.SERVER,
      parent: typeof traceparent === 'string' ? traceparent : undefined,
      attributes: { [ATTR_HTTP_REQUEST_METHOD]: request.method, [ATTR_HTTP_ROUTE]: route },
      of: traceOf(request),
      hasChildren: true,
    });
  }

  private endRequest(request: FastifyRequest, status: number | undefined): void {
    const failure = status === undefined ? 'aborted' : status >= 500 ? String(status) : undefined;
    this.end(request, status === undefined ? {} : { [ATTR_HTTP_RESPONSE_STATUS_CODE]: status }, failure);
  }

  private begin(event: object, { name, kind, parent, attributes, of, hasChildren }: Start): void {
    const parentContext = parseTraceparent(parent);
    const context = parentContext ? trace.setSpanContext(ROOT_CONTEXT, parentContext) : ROOT_CONTEXT;
    const ours = of === undefined ? {} : { 'refund_sync.trace_id': of.traceId };
    const span = this.tracer.startSpan(name, { kind, attributes: { ...attributes, ...ours } }, context);
    this.spans.set(event, span);
    if (of && hasChildren) of.traceparent = formatTraceparent(span.spanContext());
  }

  private end(event: object, attributes: Attributes, failure: string | undefined): void {
    const span = this.spans.get(event);
    if (!span) return;
    this.spans.delete(event);
    span.setAttributes(attributes);
    if (failure !== undefined) {
      span.setAttribute('error.type', failure);
      span.setStatus({ code: SpanStatusCode.ERROR });
    }
    span.end();
  }
}
