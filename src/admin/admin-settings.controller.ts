import { Body, Controller, Delete, Get, HttpCode, Param, Post, Put, Req } from '@nestjs/common';
import { ApiBearerAuth, ApiCookieAuth, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import { GatewayAccountService, type GatewayAccountView } from '../gateway/gateway-account.service.js';
import { INTERFACE_CODES } from '../merchant/merchant-codes.js';
import { MerchantAppService, type AppView } from '../merchant/merchant-app.service.js';
import { invalidField, NotFoundError } from '../shared/errors.js';
import { actorOf } from './admin.guard.js';
import { PutAppDto, PutGatewayAccountDto, PutInterfaceDto, RotateSecretDto } from './admin.dto.js';
import { ApiList, ApiResult } from './api.doc.js';
import { AuditService } from './audit.service.js';
import { MinRole } from './min-role.js';
import { ApiProblems } from './problem.doc.js';
import { AppModel, GatewayAccountModel, InterfaceModel, RotatedSecretModel } from './settings.model.js';

const ApiAppId = () => ApiParam({ name: 'id', description: 'Id of the app', example: 'default' });
const ApiAccountId = () => ApiParam({ name: 'id', description: 'Id of the gateway account', example: 'main' });

@ApiTags('Internal API: settings')
@ApiBearerAuth()
@ApiCookieAuth()
@Controller('admin')
export class AdminSettingsController {
  constructor(
    private readonly apps: MerchantAppService,
    private readonly accounts: GatewayAccountService,
    private readonly audit: AuditService,
  ) {}

  @Get('apps')
  @MinRole('viewer')
  @ApiOperation({ summary: 'All apps with their switches; secrets are never shown' })
  @ApiList(AppModel, 'All apps, by id')
  async listApps(): Promise<{ items: AppView[]; nextCursor: null }> {
    return { items: await this.apps.list(), nextCursor: null };
  }

  @Get('apps/:id')
  @MinRole('viewer')
  @ApiOperation({ summary: 'One app with its switches; its secret is never shown' })
  @ApiAppId()
  @ApiResult(200, AppModel, 'The app')
  @ApiProblems({ 404: 'no app nobody' })
  async app(@Param('id') id: string): Promise<AppView> {
    const app = await this.apps.find(id);
    if (!app) throw new NotFoundError(`no app ${id.slice(0, 64)}`);
    return app;
  }

  @Put('apps/:id')
  @MinRole('admin')
  @ApiOperation({
    summary: 'Make an app, or change the given members of one; works everywhere within 5 s',
    description: 'A `signSecret` replaces the one before it at once; to let both open for a while, rotate it instead.',
  })
  @ApiAppId()
  @ApiResult(200, AppModel, 'Made or changed')
  @ApiProblems({ 400: 'signSecret is required for a new app' })
  async putApp(@Req() request: FastifyRequest, @Param('id') id: string, @Body() body: PutAppDto): Promise<AppView> {
    const replaced = body.signSecret === undefined ? {} : { signSecret: '***' };
    return this.apps.put(id, body, ({ before, after }) =>
      this.audit.record({ ...change(request, 'app.put', 'app', id), before, after: { ...after, ...replaced } }),
    );
  }

  @Post('apps/:id/secret')
  @HttpCode(200)
  @MinRole('admin')
  @ApiOperation({
    summary: 'Begin the rotation of the secret of an app; the new one is shown this once',
    description:
      'From now on answers and notifications are signed with the new secret, everywhere within 5 s; requests may be signed with either ' +
      'until DELETE /admin/apps/:id/secret/previous retires the old one.',
  })
  @ApiAppId()
  @ApiResult(200, RotatedSecretModel, 'Both secrets verify now')
  @ApiProblems({
    400: 'signSecret is the one there is',
    404: 'no app nobody',
    409: 'signSecret of default is being rotated already: retire the previous one first',
  })
  async rotateSecret(
    @Req() request: FastifyRequest,
    @Param('id') id: string,
    @Body() body: RotateSecretDto,
  ): Promise<RotatedSecretModel> {
    const { app, signSecret } = await this.apps.rotateSecret(id, body.signSecret, ({ before, after }) =>
      this.audit.record({
        ...change(request, 'app.rotateSecret', 'app', id),
        before,
        after: { ...after, signSecret: '***' },
      }),
    );
    return { ...app, signSecret };
  }

  @Delete('apps/:id/secret/previous')
  @MinRole('admin')
  @ApiOperation({ summary: 'End the rotation: requests signed with the old secret are refused, everywhere within 5 s' })
  @ApiAppId()
  @ApiResult(200, AppModel, 'Only the new secret verifies')
  @ApiProblems({ 404: 'no app nobody' })
  async retireSecret(@Req() request: FastifyRequest, @Param('id') id: string): Promise<AppView> {
    return this.apps.retireSecret(id, ({ before, after }) =>
      this.audit.record({ ...change(request, 'app.retireSecret', 'app', id), before, after }),
    );
  }

  @Put('apps/:id/interfaces/:code')
  @MinRole('admin')
  @ApiOperation({ summary: 'Turn the switches of one interface for one app; works everywhere within 5 s' })
  @ApiAppId()
  @ApiParam({
    name: 'code',
    description: 'The interface',
    schema: { type: 'string', enum: [...INTERFACE_CODES], example: 'syncRefund' },
  })
  @ApiResult(200, InterfaceModel, 'The switches as they are now')
  @ApiProblems({ 400: `code must be one of ${INTERFACE_CODES.join(', ')}`, 404: 'no app nobody' })
  async putInterface(
    @Req() request: FastifyRequest,
    @Param('id') id: string,
    @Param('code') code: string,
    @Body() body: PutInterfaceDto,
  ): Promise<InterfaceModel> {
    const known = INTERFACE_CODES.find((entry) => entry === code);
    if (!known) throw invalidField('code', `must be one of ${INTERFACE_CODES.join(', ')}`);
    const { enabled, requestSign, responseSign } = body;
    const given = Object.fromEntries(
      Object.entries({ enabled, requestSign, responseSign }).filter(([, value]) => value !== undefined),
    );
    const switches = await this.apps.setInterface(id, known, given, ({ before, after }) =>
      this.audit.record({
        ...change(request, 'interface.put', 'app', id),
        before: { code: known, ...before },
        after: { code: known, ...after },
      }),
    );
    return { appId: id, code: known, ...switches };
  }

  @Get('gateway-accounts')
  @MinRole('viewer')
  @ApiOperation({ summary: 'All gateway accounts; settings are named, never shown' })
  @ApiList(GatewayAccountModel, 'All accounts, by id')
  async listAccounts(): Promise<{ items: GatewayAccountView[]; nextCursor: null }> {
    return { items: await this.accounts.list(), nextCursor: null };
  }

  @Get('gateway-accounts/:id')
  @MinRole('viewer')
  @ApiOperation({ summary: 'One gateway account; its settings are named, never shown' })
  @ApiAccountId()
  @ApiResult(200, GatewayAccountModel, 'The account')
  @ApiProblems({ 404: 'no gateway account nobody' })
  async account(@Param('id') id: string): Promise<GatewayAccountView> {
    const account = await this.accounts.find(id);
    // MySQL compares text without its trailing spaces.
    if (account?.id !== id) throw new NotFoundError(`no gateway account ${id.slice(0, 64)}`);
    return account;
  }

  @Put('gateway-accounts/:id')
  @MinRole('admin')
  @ApiOperation({ summary: 'Make or replace a gateway account; its settings are encrypted at rest' })
  @ApiAccountId()
  @ApiResult(200, GatewayAccountModel, 'Made or replaced')
  @ApiProblems({ 400: 'config.mchId is required' })
  async putAccount(
    @Req() request: FastifyRequest,
    @Param('id') id: string,
    @Body() body: PutGatewayAccountDto,
  ): Promise<GatewayAccountView> {
    const { appId, channel, name, config, enabled, notFoundPolicy, ratePerSecond, maxConcurrency } = body;
    const put = { appId, channel, name, config, enabled, notFoundPolicy, ratePerSecond, maxConcurrency };
    return this.accounts.put(id, put, ({ before, after }) =>
      this.audit.record({ ...change(request, 'gatewayAccount.put', 'gatewayAccount', id), before, after }),
    );
  }
}

function change(request: FastifyRequest, action: string, targetType: string, targetId: string) {
  return { actor: actorOf(request), action, targetType, targetId };
}
