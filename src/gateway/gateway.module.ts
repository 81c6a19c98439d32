import { Module } from '@nestjs/common';
import { AccountProbe } from './account-probe.service.js';
import { GatewayAccountService } from './gateway-account.service.js';
import { GatewayCaller } from './gateway.caller.js';
import type { RefundGateway } from './gateway.port.js';
import { GatewayRegistry, REFUND_GATEWAYS } from './gateway.registry.js';
import { PacingModule } from './pacing/pacing.module.js';

@Module({
  imports: [PacingModule],
  providers: [
    {
      provide: GatewayRegistry,
      useFactory: (gateways: readonly RefundGateway[]) => new GatewayRegistry(gateways),
      inject: [REFUND_GATEWAYS],
    },
    GatewayAccountService,
    GatewayCaller,
    AccountProbe,
  ],
  exports: [AccountProbe, GatewayRegistry, GatewayAccountService, GatewayCaller, PacingModule],
})
export class GatewayModule {}
