import { Module, type DynamicModule } from '@nestjs/common';
import { alipayGateway } from './alipay/alipay.gateway.js';
import type { RefundGateway } from './gateway.port.js';
import { REFUND_GATEWAYS } from './gateway.registry.js';
import { stripeGateway } from './stripe/stripe.gateway.js';
import { unionpayGateway } from './unionpay/unionpay.gateway.js';
import { wechatV2Gateway } from './wechat-v2/wechat-v2.gateway.js';
import { wechatGateway } from './wechat/wechat.gateway.js';

/** The list of built-in connectors: a new gateway is one folder and one line here. */
const BUILT_IN: readonly RefundGateway[] = [
  wechatGateway,
  wechatV2Gateway,
  alipayGateway,
  unionpayGateway,
  stripeGateway,
];

@Module({})
export class BuiltInGatewaysModule {
  /** @param gateways instead of the built-in ones, for benchmarks and tests of pacing. */
  static forRoot(gateways: readonly RefundGateway[] = BUILT_IN): DynamicModule {
    return {
      module: BuiltInGatewaysModule,
      global: true,
      providers: [{ provide: REFUND_GATEWAYS, useValue: gateways }],
      exports: [REFUND_GATEWAYS],
    };
  }
}
