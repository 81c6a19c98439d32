import { Body, Controller, Delete, Get, Param, Patch, Post, Query, Req } from '@nestjs/common';
import { ApiBearerAuth, ApiCookieAuth, ApiOperation, ApiTags } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import { actorOf } from '../admin.guard.js';
import { ApiId, ApiPage, ApiResult } from '../api.doc.js';
import { MinRole } from '../min-role.js';
import { PageDto, type Page } from '../page.js';
import { ApiProblems } from '../problem.doc.js';
import { ChangeUserDto, CreatedTokenView, CreateTokenDto, CreateUserDto, TokenView, UserView } from './access.dto.js';
import { TokenService } from './token.service.js';
import { UserService } from './user.service.js';

@ApiTags('Internal API: access')
@ApiBearerAuth()
@ApiCookieAuth()
@MinRole('admin')
@Controller('admin')
export class AccessController {
  constructor(
    private readonly tokens: TokenService,
    private readonly users: UserService,
  ) {}

  @Get('tokens')
  @ApiOperation({ summary: 'List bearer tokens, also revoked ones; the tokens themselves are never shown' })
  @ApiPage(TokenView, 'Tokens in the order in which they were made')
  @ApiProblems({ 400: 'limit must not be greater than 500' })
  listTokens(@Query() query: PageDto): Promise<Page<TokenView>> {
    return this.tokens.list(query);
  }

  @Post('tokens')
  @ApiOperation({ summary: 'Make a bearer token; it is shown this once' })
  @ApiResult(201, CreatedTokenView, 'Made')
  @ApiProblems({ 400: 'role must be one of viewer, operator, admin', 409: 'name nightly-import is taken' })
  createToken(@Req() request: FastifyRequest, @Body() body: CreateTokenDto): Promise<CreatedTokenView> {
    return this.tokens.create(body, actorOf(request));
  }

  @Delete('tokens/:id')
  @ApiOperation({ summary: 'Revoke a bearer token; works at once, everywhere' })
  @ApiId('the token')
  @ApiResult(200, TokenView, 'Revoked, now or before')
  @ApiProblems({ 404: 'no token 1' })
  revokeToken(@Req() request: FastifyRequest, @Param('id') id: string): Promise<TokenView> {
    return this.tokens.revoke(id, actorOf(request));
  }

  @Get('users')
  @ApiOperation({ summary: 'List users of the console' })
  @ApiPage(UserView, 'Users in the order in which they were made')
  @ApiProblems({ 400: 'limit must not be greater than 500' })
  listUsers(@Query() query: PageDto): Promise<Page<UserView>> {
    return this.users.list(query);
  }

  @Post('users')
  @ApiOperation({ summary: 'Make a user who can log in to the console' })
  @ApiResult(201, UserView, 'Made')
  @ApiProblems({ 400: 'password must be longer than or equal to 12 characters', 409: 'name alice is taken' })
  createUser(@Req() request: FastifyRequest, @Body() body: CreateUserDto): Promise<UserView> {
    return this.users.create(body, actorOf(request));
  }

  @Patch('users/:id')
  @ApiOperation({ summary: 'Change role or password of a user, or switch the user off; users are never deleted' })
  @ApiId('the user')
  @ApiResult(200, UserView, 'Changed')
  @ApiProblems({ 400: 'enabled must be a boolean value', 404: 'no user 1' })
  changeUser(@Req() request: FastifyRequest, @Param('id') id: string, @Body() body: ChangeUserDto): Promise<UserView> {
    return this.users.change(id, body, actorOf(request));
  }
}
