import { Body, Controller, Delete, Get, HttpCode, Post, Put, Req, Res } from '@nestjs/common';
import { ApiBearerAuth, ApiCookieAuth, ApiOperation, ApiResponse, ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { ForbiddenError } from '../../shared/errors.js';
import { callerOf } from '../admin.guard.js';
import { MinRole, Unauthenticated } from '../min-role.js';
import { ApiProblems } from '../problem.doc.js';
import { ChangePasswordDto, LoginDto, SessionView } from './access.dto.js';
import { setSessionCookie } from './session-cookie.js';
import { SessionService, type NewSession, type OpenSession } from './session.service.js';

@ApiTags('Internal API: session')
@Controller('admin/session')
export class SessionController {
  constructor(private readonly sessions: SessionService) {}

  @Post()
  @HttpCode(200)
  @Unauthenticated()
  @ApiOperation({
    summary: 'Log in',
    description:
      'Answers a session cookie (HttpOnly, SameSite=Strict, Secure over https) that lasts 12 hours, or 2 hours without a request. ' +
      'After 5 failures within 15 minutes the name is locked for 15 minutes, after 50 the address. This and every request that ' +
      'changes something with the cookie must carry the header X-Requested-With, with any value.',
  })
  @ApiResponse({ status: 200, type: SessionView, description: 'Logged in' })
  @ApiProblems({
    400: 'A field is missing or malformed',
    401: 'the name or the password is wrong',
    403: 'X-Requested-With is missing, or another site asked',
    429: 'too many failed logins; Retry-After says when to try again',
  })
  async login(
    @Req() request: FastifyRequest,
    @Body() { name, password }: LoginDto,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<SessionView> {
    return answer(reply, await this.sessions.login(name, password, request.ip));
  }

  @Get()
  @MinRole('viewer')
  @ApiBearerAuth()
  @ApiCookieAuth()
  @ApiOperation({ summary: 'Who I am' })
  @ApiResponse({ status: 200, type: SessionView, description: 'The caller' })
  current(@Req() request: FastifyRequest): SessionView {
    const { actor, role, session } = callerOf(request);
    return { actor, role, expiresAt: session?.session.expiresAt ?? null };
  }

  @Delete()
  @HttpCode(204)
  @MinRole('viewer')
  @ApiCookieAuth()
  @ApiOperation({ summary: 'Log out: the session ends at once, everywhere' })
  @ApiResponse({ status: 204, description: 'Logged out' })
  async logout(@Req() request: FastifyRequest, @Res({ passthrough: true }) reply: FastifyReply): Promise<void> {
    await this.sessions.logout(sessionOf(request));
    setSessionCookie(reply, '', 0);
  }

  @Put('password')
  @MinRole('viewer')
  @ApiCookieAuth()
  @ApiOperation({ summary: 'Change my password; every other session of mine ends' })
  @ApiResponse({ status: 200, type: SessionView, description: 'Changed; the cookie is a new one' })
  @ApiProblems({
    400: 'newPassword must be longer than or equal to 12 characters',
    429: 'too many failed logins; Retry-After says when to try again',
  })
  async changePassword(
    @Req() request: FastifyRequest,
    @Body() { currentPassword, newPassword }: ChangePasswordDto,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<SessionView> {
    const { user } = sessionOf(request);
    return answer(reply, await this.sessions.changePassword(user, currentPassword, newPassword, request.ip));
  }
}

function answer(reply: FastifyReply, { value, session, user }: NewSession): SessionView {
  const lifetimeMs = session.expiresAt.getTime() - session.createdAt.getTime();
  setSessionCookie(reply, value, lifetimeMs);
  return { actor: `user:${user.name}`, role: user.role, expiresAt: session.expiresAt };
}

function sessionOf(request: FastifyRequest): OpenSession {
  const { session } = callerOf(request);
  if (!session) throw new ForbiddenError('this is for users with a session, not for tokens');
  return session;
}
