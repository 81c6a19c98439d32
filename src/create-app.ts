import cookie from '@fastify/cookie';
import helmet from '@fastify/helmet';
import type { LoggerService } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { AppModule, type Replacements } from './app.module.js';
import type { AppConfig } from './config/app-config.js';
import { Db } from './database/db.js';
import { MerchantAppService } from './merchant/merchant-app.service.js';
import { openApiDocument, serveDocs } from './observability/docs.js';
import { HttpMetrics } from './observability/metrics/http-metrics.js';
import { Tracing } from './observability/tracing/tracing.service.js';
import { HttpErrorFilter } from './shared/http/http-error.filter.js';
import { BODY_LIMIT_BYTES, prepareHttp } from './shared/http/http-surface.js';

export interface CreatedApp {
  app: NestFastifyApplication;
  /** The secret of the app `default`, when it was generated just now: to be shown once. */
  generatedSecret: string | undefined;
}

const REQUEST_TIMEOUT_MS = 30_000;

/** For /docs and the console: nothing from elsewhere, and no script that stands in a page. Swagger UI styles in place. */
const CONTENT_SECURITY = {
  useDefaults: false,
  directives: {
    defaultSrc: ["'self'"],
    styleSrc: ["'self'", "'unsafe-inline'"],
    scriptSrc: ["'self'"],
    imgSrc: ["'self'", 'data:'],
    objectSrc: ["'none'"],
    baseUri: ["'none'"],
    formAction: ["'self'"],
    frameAncestors: ["'none'"],
  },
};

/**
 * The whole service, not yet listening: schema up to date, first app made.
 *
 * @param replacements for tests and benchmarks.
 */
export async function createApp(
  config: AppConfig,
  logger: LoggerService | false,
  replacements?: Replacements,
): Promise<CreatedApp> {
  const adapter = new FastifyAdapter({
    bodyLimit: BODY_LIMIT_BYTES,
    // The real client of the merchant API doubles the leading slash when its base URL ends in one.
    routerOptions: { ignoreDuplicateSlashes: true },
    // A path that cannot be decoded reaches no route and no filter.
    frameworkErrors: (error: Error, request: FastifyRequest, reply: FastifyReply) =>
      new HttpErrorFilter().answer(error, request, reply),
    // Node's own limit on a whole request would end long imports; the handler's counts from the end of the headers, so also for a body
    // that never comes, and Node limits the headers.
    requestTimeout: 0,
    // Nothing of ours takes so long, unless something that we wait for hangs: whoever asked is told.
    handlerTimeout: REQUEST_TIMEOUT_MS,
    forceCloseConnections: 'idle',
    // A merchant's client takes every answer but HTTP 200 for an empty one: what still comes in while we stop is answered as always.
    return503OnClosing: false,
  });
  const fastify = adapter.getInstance();
  prepareHttp(fastify, { path: '/admin/refunds/import', contentTypes: ['application/x-ndjson', 'text/csv'] });
  const app = await NestFactory.create<NestFastifyApplication>(AppModule.forRoot(config, replacements), adapter, {
    logger,
    bodyParser: false,
    abortOnError: false,
  });
  app.get(HttpMetrics).attach(fastify);
  await app.get(Tracing).start(fastify);
  await app.register(helmet, { contentSecurityPolicy: CONTENT_SECURITY });
  // Nothing but the internal API reads cookies, and it reads them itself.
  await app.register(cookie, { hook: false });
  // Before init, which starts the queue and the sweep: they find the schema as they expect it.
  await app.get(Db).migrate();
  const { generatedSecret } = await app.get(MerchantAppService).ensureFirstApp();
  serveDocs(app, openApiDocument(app));
  await app.init();
  await fastify.ready();
  return { app, generatedSecret };
}
