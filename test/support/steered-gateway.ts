import { inspect } from 'node:util';
import { expect } from 'vitest';
import type { AccountVariant } from '../../sandbox/gateway.js';
import type { Sandbox } from '../../sandbox/server.js';
import { parseConfig } from '../../src/gateway/config-schema.js';
import { GatewayError } from '../../src/gateway/gateway.error.js';
import type { GatewayCall, RefundGateway, RefundOrder } from '../../src/gateway/gateway.port.js';
import type { Observation } from '../../src/gateway/observation.js';

export type Json = Record<string, unknown>;

export type SteeredGateway = ReturnType<typeof steer>;

/** The control API of a sandbox, for one of its gateways. Refunds are of 100 of 1000 minor units unless told otherwise. */
export function steer(sandbox: Sandbox, channel: string, currency = 'CNY') {
  const call = async (method: string, path: string, body?: Json): Promise<Json> => {
    const response = await fetch(`${sandbox.url}/control${path}`, {
      method,
      ...(body === undefined ? {} : { body: JSON.stringify({ channel, ...body }) }),
    });
    const answer = (await response.json()) as Json;
    if (!response.ok) throw new Error(`${path}: ${JSON.stringify(answer)}`);
    return answer;
  };
  return {
    payment: (outTradeNo: string, more: Json = {}) =>
      call('POST', '/payments', { outTradeNo, amount: 1000, currency, ...more }),
    refund: async (
      outRefundNo: string,
      outTradeNo: string,
      status: string,
      more: Json = {},
    ): Promise<Json & { gatewayRefundNo: string }> => {
      const body = { outRefundNo, outTradeNo, amount: 100, paymentAmount: 1000, currency, ...more };
      const made = await call('POST', '/refunds', { script: [{ afterMs: 0, status }], ...body });
      return { ...made, gatewayRefundNo: String(made.gatewayRefundNo) };
    },
    fault: (kind: string, more: Json = {}) => call('POST', '/faults', { kind, rate: 1, ...more }),
    clearFaults: () => call('DELETE', '/faults'),
    settings: (more: Json) => call('POST', '/settings', more),
    callBack: (outRefundNo: string, notifyUrl: string, more: Json = {}) =>
      call('POST', '/callbacks', { outRefundNo, notifyUrl, ...more }),
    truth: (outRefundNo: string) => call('GET', `/refunds/${channel}/${encodeURIComponent(outRefundNo)}`),
    /** Forgets refunds, payments, faults and settings. */
    reset: () => fetch(`${sandbox.url}/control/reset`, { method: 'POST', body: '{"settings":true}' }),
  };
}

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

export type Probe<Config> = ReturnType<typeof probe<Config>>;

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
