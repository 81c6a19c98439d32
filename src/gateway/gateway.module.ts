import { Module } from '@nestjs/common';
import { GatewayAccountService } from './gateway-account.service.js';
import { GatewayCaller } from './gateway.caller.js';
import type { RefundGateway } from './gateway.port.js';
import { GatewayRegistry, REFUND_GATEWAYS } from './gateway.registry.js';
import { wechatGateway } from './wechat/wechat.gateway.js';

/** The list of built-in connectors: a new gateway is one folder and one line here. */
const BUILT_IN: readonly RefundGateway[] = [wechatGateway as RefundGateway];

@Module({
  providers: [
    { provide: REFUND_GATEWAYS, useValue: BUILT_IN },
    {
      provide: GatewayRegistry,
      useFactory: (gateways: readonly RefundGateway[]) => new GatewayRegistry(gateways),
      inject: [REFUND_GATEWAYS],
    },
    GatewayAccountService,
    GatewayCaller,
  ],
  exports: [GatewayRegistry, GatewayAccountService, GatewayCaller],
})
export class GatewayModule {}
