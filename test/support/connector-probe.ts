import { inspect } from 'node:util';
import { expect } from 'vitest';
import type { AccountVariant } from '../../sandbox/gateway.js';
import type { Sandbox } from '../../sandbox/server.js';
import { parseConfig } from '../../src/gateway/config-schema.js';
import { GatewayError } from '../../src/gateway/gateway.error.js';
import type { GatewayCall, RefundGateway, RefundOrder } from '../../src/gateway/gateway.port.js';
import type { Observation } from '../../src/gateway/observation.js';
import type { Json } from './steer.js';

/** The sandbox's settings for a connector, as an account holds them. @param more what the sandbox cannot know: addresses of ours. */
export function settingsFor<Config>(
  sandbox: Sandbox,
  { code, config }: Pick<RefundGateway<Config>, 'code' | 'config'>,
  { variant, more }: { variant?: AccountVariant; more?: Json } = {},
): Config {
  const account = sandbox.accounts(variant).find(({ gateway }) => gateway === code);
  const parsed = parseConfig(config, { ...account?.config, ...more });
  if (parsed.config === undefined) throw new Error(JSON.stringify(parsed.faults));
  return parsed.config;
}

/** Calls of a connector about one refund, without a service around it. @param account asked for each time: tests change it. */
export function probe<Config>(gateway: RefundGateway<Config>, account: () => Config, base: RefundOrder) {
  const order = (over: Partial<RefundOrder> = {}): RefundOrder => ({ ...base, ...over });
  const callOf = (over: Partial<RefundOrder>, config: Config, timeoutMs: number): GatewayCall<Config> => ({
    config,
    order: order(over),
    signal: new AbortController().signal,
    timeoutMs,
  });
  return {
    order,
    query: (over: Partial<RefundOrder> = {}, config = account(), timeoutMs = 5_000): Promise<Observation> =>
      gateway.queryRefund(callOf(over, config, timeoutMs)),
    create: (over: Partial<RefundOrder> = {}, config = account(), timeoutMs = 5_000): Promise<Observation> => {
      const payload = gateway.prepareCreate?.(order(over), config) ?? '';
      return gateway.sendCreate?.(callOf(over, config, timeoutMs), payload) ?? Promise.reject(new Error('none'));
    },
  };
}

/** The error of a call that must fail. @param secrets what no error may show, however it is printed. */
export async function gatewayErrorOf(call: Promise<Observation>, secrets: RegExp): Promise<GatewayError> {
  const outcome: unknown = await call.catch((error: unknown) => error);
  expect(outcome).toBeInstanceOf(GatewayError);
  expect(inspect(outcome, { depth: 9, showHidden: true })).not.toMatch(secrets);
  return outcome as GatewayError;
}
