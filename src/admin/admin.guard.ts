import { createHash, timingSafeEqual } from 'node:crypto';
import { Inject, Injectable, type CanActivate, type ExecutionContext } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import type { FastifyRequest } from 'fastify';
import { APP_CONFIG, type AppConfig } from '../config/app-config.js';
import { DomainError, ForbiddenError } from '../shared/errors.js';
import { rawBodyOf } from '../shared/http/http-surface.js';
import { readJsonObject } from '../shared/http/json-body.js';
import { toPlain } from '../shared/lossless-json.js';
import { MIN_ROLE, roleIncludes, type AdminRole } from './min-role.js';

/** Who calls the internal API. */
export interface Caller {
  /** For the audit: `bootstrap`, `token:<name>` or `user:<name>`. */
  actor: string;
  role: AdminRole;
}

const callers = new WeakMap<FastifyRequest, Caller>();

/** @throws when the route is not one of the internal API: a programming error. */
export function callerOf(request: FastifyRequest): Caller {
  const caller = callers.get(request);
  if (!caller) throw new Error('the caller of a route that AdminGuard does not guard');
  return caller;
}

/** Who calls the internal API, for the audit. */
export function actorOf(request: FastifyRequest): string {
  return callerOf(request).actor;
}

const ADMIN_PATH = /^\/admin(?:\/|$)/;
const METHODS_WITH_BODY: ReadonlySet<string> = new Set(['POST', 'PUT', 'PATCH', 'DELETE']);

/**
 * Stands before every route below /admin, whichever controller it is in: finds out who calls, refuses whoever has less than the role that
 * the route declares with `@MinRole`, and reads bodies as strictly as the merchant API does. No other route concerns it.
 */
@Injectable()
export class AdminGuard implements CanActivate {
  private readonly tokenHash: Buffer | undefined;

  constructor(
    private readonly reflector: Reflector,
    @Inject(APP_CONFIG) config: AppConfig,
  ) {
    this.tokenHash = config.adminToken === undefined ? undefined : sha256(config.adminToken);
  }

  canActivate(context: ExecutionContext): boolean {
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    if (!ADMIN_PATH.test(request.routeOptions.url ?? '')) return true;
    const caller = this.authenticate(request);
    const needed = this.reflector.getAllAndOverride<AdminRole | undefined>(MIN_ROLE, [
      context.getHandler(),
      context.getClass(),
    ]);
    if (needed === undefined) throw new ForbiddenError('this route declares no role, so nobody may use it');
    if (!roleIncludes(caller.role, needed))
      throw new ForbiddenError(`this needs the role ${needed}; ${caller.actor} is ${caller.role}`);
    callers.set(request, caller);
    if (METHODS_WITH_BODY.has(request.method)) {
      request.body = rawBodyOf(request).length === 0 ? {} : toPlain(readJsonObject(request));
    }
    return true;
  }

  private authenticate(request: FastifyRequest): Caller {
    const token = /^Bearer ([\x21-\x7e]{1,512})$/i.exec(request.headers.authorization ?? '')?.[1];
    // Digests are compared: equal lengths, constant time.
    if (token === undefined || this.tokenHash === undefined || !timingSafeEqual(sha256(token), this.tokenHash)) {
      throw new DomainError(
        'unauthenticated',
        'the internal API wants "Authorization: Bearer <token>" with a valid token',
      );
    }
    return { actor: 'bootstrap', role: 'admin' };
  }
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
