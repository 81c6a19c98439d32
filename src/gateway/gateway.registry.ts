import { MAX_GATEWAY_TIMEOUT_MS } from '../config/app-config.js';
import type { GatewayChannel, RefundGateway } from './gateway.port.js';

export const REFUND_GATEWAYS = Symbol('RefundGateway[]');

/** The connectors that are built in, checked when the service starts. */
export class GatewayRegistry {
  private readonly byChannel = new Map<string, RefundGateway>();
  /** Connectors that an account must name: `channel:apiVersion`. */
  private readonly byVersion = new Map<string, RefundGateway>();

  constructor(gateways: readonly RefundGateway[]) {
    const channelOfCode = new Map<string, GatewayChannel>();
    for (const gateway of gateways) {
      const { channel, apiVersion } = gateway;
      const [connectors, key] =
        apiVersion === undefined
          ? [this.byChannel, channel as string]
          : [this.byVersion, versionKey(channel, apiVersion)];
      if (connectors.has(key)) throw new Error(`two connectors serve channel ${key}`);
      // The callback address names the code, and the account in it the connector.
      if ((channelOfCode.get(gateway.code) ?? channel) !== channel)
        throw new Error(`two channels have connectors called ${gateway.code}`);
      // A call must end well inside the lease that guards it.
      if (gateway.policy.timeoutMs > MAX_GATEWAY_TIMEOUT_MS)
        throw new Error(`${gateway.code}: timeoutMs must not exceed ${MAX_GATEWAY_TIMEOUT_MS}`);
      if (gateway.policy.scheduleMs.length === 0) throw new Error(`${gateway.code}: the schedule is empty`);
      if (gateway.sendCreate !== undefined && gateway.prepareCreate === undefined) {
        throw new Error(`${gateway.code}: sendCreate needs prepareCreate, or a repeat would not be byte-identical`);
      }
      if (gateway.policy.repeatAcknowledged && gateway.policy.createReplay.mode !== 'forever')
        throw new Error(`${gateway.code}: a create that was taken may be repeated only where any repeat is harmless`);
      connectors.set(key, gateway);
      channelOfCode.set(gateway.code, channel);
    }
  }

  /** The connector of a channel's accounts that name no other API of the gateway. */
  forChannel(channel: string): RefundGateway | undefined {
    return this.byChannel.get(channel);
  }

  /** The connector of an account, by what its settings name. */
  forAccount(channel: string, settings: Readonly<Record<string, unknown>>): RefundGateway | undefined {
    const { apiVersion } = settings;
    const named = typeof apiVersion === 'string' ? this.byVersion.get(versionKey(channel, apiVersion)) : undefined;
    return named ?? this.forChannel(channel);
  }

  channels(): GatewayChannel[] {
    return [...this.byChannel.values()].map((gateway) => gateway.channel);
  }
}

function versionKey(channel: string, apiVersion: string): string {
  return `${channel}:${apiVersion}`;
}
