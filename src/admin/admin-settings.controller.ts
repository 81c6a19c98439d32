import { Body, Controller, Get, Param, Put, Req } from '@nestjs/common';
import { ApiBearerAuth, ApiOperation, ApiTags } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import { GatewayAccountService, type GatewayAccountView } from '../gateway/gateway-account.service.js';
import { INTERFACE_CODES, type InterfaceCode } from '../merchant/merchant-codes.js';
import { MerchantAppService, type AppView, type InterfaceSwitches } from '../merchant/merchant-app.service.js';
import { invalidField, NotFoundError } from '../shared/errors.js';
import { actorOf } from './admin.guard.js';
import { PutAppDto, PutGatewayAccountDto, PutInterfaceDto } from './admin.dto.js';
import { MinRole } from './min-role.js';
import { AuditService } from './audit.service.js';

@ApiTags('Internal API: settings')
@ApiBearerAuth()
@Controller('admin')
export class AdminSettingsController {
  constructor(
    private readonly apps: MerchantAppService,
    private readonly accounts: GatewayAccountService,
    private readonly audit: AuditService,
  ) {}

  @MinRole('viewer')
  @Get('apps')
  @ApiOperation({ summary: 'All apps with their switches; secrets are never shown' })
  async listApps(): Promise<{ items: AppView[]; nextCursor: null }> {
    return { items: await this.apps.list(), nextCursor: null };
  }

  @MinRole('admin')
  @Put('apps/:id')
  @ApiOperation({ summary: 'Make an app, or change the given members of one; works everywhere within 5 s' })
  async putApp(@Req() request: FastifyRequest, @Param('id') id: string, @Body() body: PutAppDto): Promise<AppView> {
    const before = (await this.apps.find(id)) ?? null;
    const after = await this.apps.put(id, body);
    const rotated = body.signSecret === undefined ? {} : { signSecret: '***' };
    await this.audit.record({
      actor: actorOf(request),
      action: 'app.put',
      targetType: 'app',
      targetId: id,
      before,
      after: { ...after, ...rotated },
    });
    return after;
  }

  @MinRole('admin')
  @Put('apps/:id/interfaces/:code')
  @ApiOperation({ summary: 'Turn the switches of one interface for one app; works everywhere within 5 s' })
  async putInterface(
    @Req() request: FastifyRequest,
    @Param('id') id: string,
    @Param('code') code: string,
    @Body() body: PutInterfaceDto,
  ): Promise<InterfaceSwitches & { appId: string; code: InterfaceCode }> {
    const known = INTERFACE_CODES.find((entry) => entry === code);
    if (!known) throw invalidField('code', `must be one of ${INTERFACE_CODES.join(', ')}`);
    const app = await this.apps.find(id);
    if (!app) throw new NotFoundError(`no app ${id.slice(0, 64)}`);
    const { enabled, requestSign, responseSign } = body;
    const change = Object.fromEntries(
      Object.entries({ enabled, requestSign, responseSign }).filter(([, value]) => value !== undefined),
    );
    const after = await this.apps.setInterface(id, known, change);
    await this.audit.record({
      actor: actorOf(request),
      action: 'interface.put',
      targetType: 'app',
      targetId: id,
      before: { code: known, ...app.interfaces[known] },
      after: { code: known, ...after },
    });
    return { appId: id, code: known, ...after };
  }

  @MinRole('viewer')
  @Get('gateway-accounts')
  @ApiOperation({ summary: 'All gateway accounts; settings are named, never shown' })
  async listAccounts(): Promise<{ items: GatewayAccountView[]; nextCursor: null }> {
    return { items: await this.accounts.list(), nextCursor: null };
  }

  @MinRole('admin')
  @Put('gateway-accounts/:id')
  @ApiOperation({ summary: 'Make or replace a gateway account; its settings are encrypted at rest' })
  async putAccount(
    @Req() request: FastifyRequest,
    @Param('id') id: string,
    @Body() body: PutGatewayAccountDto,
  ): Promise<GatewayAccountView> {
    const before = (await this.accounts.find(id)) ?? null;
    const { appId, channel, name, config, enabled, notFoundPolicy, ratePerSecond, maxConcurrency } = body;
    const limits = { ratePerSecond, maxConcurrency };
    const after = await this.accounts.put(id, { appId, channel, name, config, enabled, notFoundPolicy, ...limits });
    await this.audit.record({
      actor: actorOf(request),
      action: 'gatewayAccount.put',
      targetType: 'gatewayAccount',
      targetId: id,
      before,
      after,
    });
    return after;
  }
}
