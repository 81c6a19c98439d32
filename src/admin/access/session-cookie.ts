import type {} from '@fastify/cookie';
import type { FastifyReply } from 'fastify';
import { SECOND_MS } from '../../shared/clock.js';

export const SESSION_COOKIE = 'refund_sync_session';

/**
 * Sets or, with a lifetime of 0, removes the cookie of a session. Only the internal API gets it, no script can read it, no other site can
 * have it sent, and what came over https stays there.
 */
export function setSessionCookie(reply: FastifyReply, value: string, lifetimeMs: number): void {
  const cookie = reply.server.serializeCookie(SESSION_COOKIE, value, {
    path: '/admin',
    httpOnly: true,
    sameSite: 'strict',
    secure: reply.request.protocol === 'https',
    maxAge: Math.floor(lifetimeMs / SECOND_MS),
  });
  void reply.header('set-cookie', cookie);
}
