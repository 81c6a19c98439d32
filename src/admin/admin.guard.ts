import { createHash, timingSafeEqual } from 'node:crypto';
import { Inject, Injectable, type CanActivate, type ExecutionContext } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { APP_CONFIG, type AppConfig } from '../config/app-config.js';
import { DomainError } from '../shared/errors.js';
import { rawBodyOf } from '../shared/http/http-surface.js';
import { readJsonObject } from '../shared/http/json-body.js';
import { toPlain } from '../shared/lossless-json.js';

const actors = new WeakMap<FastifyRequest, string>();

/** Who calls the internal API, for the audit. */
export function actorOf(request: FastifyRequest): string {
  return actors.get(request) ?? 'unknown';
}

/** Lets the bearer of the bootstrap token in, and reads bodies as strictly as the merchant API does. */
@Injectable()
export class AdminGuard implements CanActivate {
  private readonly tokenHash: Buffer | undefined;

  constructor(@Inject(APP_CONFIG) config: AppConfig) {
    this.tokenHash = config.adminToken === undefined ? undefined : sha256(config.adminToken);
  }

  canActivate(context: ExecutionContext): boolean {
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    const token = /^Bearer ([\x21-\x7e]{1,512})$/i.exec(request.headers.authorization ?? '')?.[1];
    // Digests are compared: equal lengths, constant time.
    if (token === undefined || this.tokenHash === undefined || !timingSafeEqual(sha256(token), this.tokenHash)) {
      throw new DomainError(
        'unauthenticated',
        'the internal API wants "Authorization: Bearer <token>" with a valid token',
      );
    }
    actors.set(request, 'bootstrap');
    if (request.method === 'POST' || request.method === 'PUT') {
      request.body = rawBodyOf(request).length === 0 ? {} : toPlain(readJsonObject(request));
    }
    return true;
  }
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
