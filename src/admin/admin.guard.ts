import { createHash, timingSafeEqual } from 'node:crypto';
import { Inject, Injectable, SetMetadata, type CanActivate, type ExecutionContext } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import type { FastifyRequest } from 'fastify';
import { APP_CONFIG, type AppConfig } from '../config/app-config.js';
import { DomainError, ForbiddenError } from '../shared/errors.js';
import { rawBodyOf } from '../shared/http/http-surface.js';
import { readJsonObject } from '../shared/http/json-body.js';
import { toPlain } from '../shared/lossless-json.js';
import { SESSION_COOKIE } from './access/session-cookie.js';
import { SessionService, type OpenSession } from './access/session.service.js';
import { TokenService } from './access/token.service.js';
import { MIN_ROLE, NO_ROLE, roleIncludes, type AdminRole } from './min-role.js';

/** Who calls the internal API. */
export interface Caller {
  /** For the audit: `bootstrap`, `token:<name>` or `user:<name>`. */
  actor: string;
  role: AdminRole;
  /** Absent: a bearer token. */
  session?: OpenSession;
}

const callers = new WeakMap<FastifyRequest, Caller>();

/** @throws when nobody is known to call: the route is not one of the internal API, or declares `@Unauthenticated`. */
export function callerOf(request: FastifyRequest): Caller {
  const caller = callers.get(request);
  if (!caller) throw new Error('the caller of a route that nobody has to be logged in for');
  return caller;
}

/** Who calls the internal API, for the audit. */
export function actorOf(request: FastifyRequest): string {
  return callerOf(request).actor;
}

const STREAMED_BODY = 'adminStreamedBody';

/** The route reads its body by itself. */
export const StreamedBody = () => SetMetadata(STREAMED_BODY, true);

const ADMIN_PATH = /^\/admin(?:\/|$)/;
const METHODS_WITH_BODY: ReadonlySet<string> = new Set(['POST', 'PUT', 'PATCH', 'DELETE']);

/**
 * Stands before every route below /admin, whichever controller it is in: finds out who calls, refuses whoever has less than the role that
 * the route declares with `@MinRole`, and reads bodies as strictly as the merchant API does. No other route concerns it.
 */
@Injectable()
export class AdminGuard implements CanActivate {
  private readonly bootstrapHash: Buffer | undefined;

  constructor(
    private readonly reflector: Reflector,
    private readonly tokens: TokenService,
    private readonly sessions: SessionService,
    @Inject(APP_CONFIG) config: AppConfig,
  ) {
    this.bootstrapHash = config.adminToken === undefined ? undefined : sha256(config.adminToken);
  }

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    if (!ADMIN_PATH.test(request.routeOptions.url ?? '')) return true;
    const needed = this.reflector.getAllAndOverride<AdminRole | typeof NO_ROLE | undefined>(MIN_ROLE, [
      context.getHandler(),
      context.getClass(),
    ]);
    if (needed === NO_ROLE) assertSameOrigin(request);
    else callers.set(request, await this.allowed(request, needed));
    const streamed = this.reflector.get<boolean | undefined>(STREAMED_BODY, context.getHandler()) ?? false;
    const unread = request.body === undefined || Buffer.isBuffer(request.body);
    if (METHODS_WITH_BODY.has(request.method) && unread && !streamed) {
      request.body = rawBodyOf(request).length === 0 ? {} : toPlain(readJsonObject(request));
    }
    return true;
  }

  private async allowed(request: FastifyRequest, needed: AdminRole | undefined): Promise<Caller> {
    const caller = (await this.bearer(request)) ?? (await this.session(request));
    if (!caller) {
      throw new DomainError(
        'unauthenticated',
        'the internal API wants "Authorization: Bearer <token>" with a valid token, or a session',
      );
    }
    if (needed === undefined) throw new ForbiddenError('this route declares no role, so nobody may use it');
    if (!roleIncludes(caller.role, needed))
      throw new ForbiddenError(`this needs the role ${needed}; ${caller.actor} is ${caller.role}`);
    return caller;
  }

  private async bearer(request: FastifyRequest): Promise<Caller | undefined> {
    const token = /^Bearer ([\x21-\x7e]{1,512})$/i.exec(request.headers.authorization ?? '')?.[1];
    if (token === undefined) return undefined;
    // Digests are compared: equal lengths, constant time.
    if (this.bootstrapHash !== undefined && timingSafeEqual(sha256(token), this.bootstrapHash))
      return { actor: 'bootstrap', role: 'admin' };
    const stored = await this.tokens.resolve(token);
    return stored && { actor: `token:${stored.name}`, role: stored.role };
  }

  private async session(request: FastifyRequest): Promise<Caller | undefined> {
    // Whoever sends a token means the token.
    if (request.headers.authorization !== undefined || request.headers.cookie === undefined) return undefined;
    const value = request.server.parseCookie(request.headers.cookie)[SESSION_COOKIE];
    const session = value === undefined ? undefined : await this.sessions.resolve(value);
    if (!session) return undefined;
    if (request.method !== 'GET' && request.method !== 'HEAD') assertSameOrigin(request);
    return { actor: `user:${session.user.name}`, role: session.user.role, session };
  }
}

/**
 * A browser sends cookies along with what other sites make it send. SameSite=Strict keeps them back; and a header that no form can set,
 * and no script of another origin without asking first, shows that this was our own page.
 */
function assertSameOrigin(request: FastifyRequest): void {
  const site = request.headers['sec-fetch-site'];
  if (request.headers['x-requested-with'] === undefined)
    throw new ForbiddenError('a request with a session, and a login, must carry the header X-Requested-With');
  if (site !== undefined && site !== 'same-origin' && site !== 'none')
    throw new ForbiddenError('a request with a session must come from the same origin');
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
