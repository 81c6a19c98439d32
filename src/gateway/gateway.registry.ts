import { MAX_GATEWAY_TIMEOUT_MS } from '../config/app-config.js';
import type { GatewayChannel, RefundGateway } from './gateway.port.js';

export const REFUND_GATEWAYS = Symbol('RefundGateway[]');

/** The connectors that are built in, checked when the service starts. */
export class GatewayRegistry {
  private readonly byChannel = new Map<string, RefundGateway>();
  private readonly byCode = new Map<string, RefundGateway>();

  constructor(gateways: readonly RefundGateway[]) {
    for (const gateway of gateways) {
      if (this.byChannel.has(gateway.channel)) throw new Error(`two connectors serve channel ${gateway.channel}`);
      if (this.byCode.has(gateway.code)) throw new Error(`two connectors are called ${gateway.code}`);
      // A call must end well inside the lease that guards it.
      if (gateway.policy.timeoutMs > MAX_GATEWAY_TIMEOUT_MS)
        throw new Error(`${gateway.code}: timeoutMs must not exceed ${MAX_GATEWAY_TIMEOUT_MS}`);
      if (gateway.policy.scheduleMs.length === 0) throw new Error(`${gateway.code}: the schedule is empty`);
      if (gateway.sendCreate !== undefined && gateway.prepareCreate === undefined) {
        throw new Error(`${gateway.code}: sendCreate needs prepareCreate, or a repeat would not be byte-identical`);
      }
      this.byChannel.set(gateway.channel, gateway);
      this.byCode.set(gateway.code, gateway);
    }
  }

  forChannel(channel: string): RefundGateway | undefined {
    return this.byChannel.get(channel);
  }

  forCode(code: string): RefundGateway | undefined {
    return this.byCode.get(code);
  }

  channels(): GatewayChannel[] {
    return [...this.byChannel.values()].map((gateway) => gateway.channel);
  }
}
