import type { Sandbox } from '../../sandbox/server.js';

export type Json = Record<string, unknown>;

/** The control API of a sandbox, for one of its channels. Amounts in minor units; what is not said is 100 of 1000. */
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
    post: (path: string, more: Json = {}) => call('POST', path, more),
    /** Everything as at the start, settings too. */
    reset: () => fetch(`${sandbox.url}/control/reset`, { method: 'POST', body: '{"settings":true}' }),
  };
}

export type Steering = ReturnType<typeof steer>;
