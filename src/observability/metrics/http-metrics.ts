import { Injectable } from '@nestjs/common';
import type { FastifyInstance } from 'fastify';
import { routeOf } from '../route.js';
import { MetricsRegistry } from './metrics.registry.js';

/** How long requests took, by the template of their route: a path has ids in it, and there are too many of those. */
@Injectable()
export class HttpMetrics {
  private readonly seconds;

  constructor(metrics: MetricsRegistry) {
    this.seconds = metrics.histogram(
      'http_request_duration_seconds',
      'How long requests took, by route; other: no route of ours. Merchant answers are 200 whatever they say',
      ['method', 'route', 'status'],
      'http',
    );
  }

  attach(fastify: FastifyInstance): void {
    fastify.addHook('onResponse', (request, reply, done) => {
      const labels = { method: request.method, route: routeOf(request), status: reply.statusCode };
      this.seconds.observe(labels, reply.elapsedTime / 1_000);
      done();
    });
  }
}
