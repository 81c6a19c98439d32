import { createHash, timingSafeEqual } from 'node:crypto';
import { Inject, Injectable, type CanActivate, type ExecutionContext } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { APP_CONFIG, type AppConfig } from '../../config/app-config.js';
import { DomainError } from '../../shared/errors.js';

const LOOPBACK = /^(?:::1|(?:::ffff:)?127\.\d{1,3}\.\d{1,3}\.\d{1,3})$/;
/** A proxy on this machine comes from loopback, whoever it speaks for. */
const FORWARDED = ['forwarded', 'x-forwarded-for', 'x-real-ip', 'via'] as const;

/** How much a business refunds is nobody else's business: with METRICS_TOKEN for its bearer, without for this machine alone. */
@Injectable()
export class MetricsGuard implements CanActivate {
  constructor(@Inject(APP_CONFIG) private readonly config: AppConfig) {}

  canActivate(context: ExecutionContext): boolean {
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    const { metricsToken } = this.config;
    if (metricsToken === undefined) {
      if (isFromThisMachine(request)) return true;
      throw new DomainError(
        'unauthenticated',
        'without METRICS_TOKEN the metrics are for direct requests from this machine alone',
      );
    }
    const token = /^Bearer (.{1,512})$/i.exec(request.headers.authorization ?? '')?.[1];
    if (token !== undefined && timingSafeEqual(sha256(token), sha256(metricsToken))) return true;
    throw new DomainError('unauthenticated', 'the metrics want "Authorization: Bearer <METRICS_TOKEN>"');
  }
}

function isFromThisMachine(request: FastifyRequest): boolean {
  return (
    LOOPBACK.test(request.socket.remoteAddress ?? '') && FORWARDED.every((name) => request.headers[name] === undefined)
  );
}

/** Digests are compared: equal lengths, constant time. */
function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
