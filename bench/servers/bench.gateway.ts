import { Pool } from 'undici';
import { GatewayError } from '../../src/gateway/gateway.error.js';
import type { GatewayPolicy, RefundGateway } from '../../src/gateway/gateway.port.js';
import type { Observation } from '../../src/gateway/observation.js';

interface BenchConfig {
  baseUrl: string;
}

interface BenchAnswer {
  status: string;
  refundNo: string;
  gatewayRefundNo: string;
  amount: number;
  currency: string;
}

/** The connector of the instant gateway: one GET, plain JSON. It takes the place of the WeChat Pay connector in the bench. */
export function benchGateway(connections: number, rate: GatewayPolicy['rate']): RefundGateway<BenchConfig> {
  let pool: Pool | undefined;
  return {
    code: 'bench',
    channel: 'wechat_pay',
    displayName: 'Instant gateway of the bench',
    config: { baseUrl: { description: 'Address', example: 'http://127.0.0.1:1', required: true, secret: false } },
    policy: {
      timeoutMs: 10_000,
      scheduleMs: [60_000],
      notFoundGraceMs: 86_400_000,
      createReplay: { mode: 'forever' },
      notFoundIsDistinguishable: true,
      lateFailure: false,
      rate,
    },
    merchantId: () => 'bench',
    async queryRefund({ config, order, signal }): Promise<Observation> {
      pool ??= new Pool(config.baseUrl, { connections, pipelining: 1 });
      const response = await pool.request({
        method: 'GET',
        path: `/refunds/${order.gatewayRequestNo}/${order.amountMinor}`,
        signal,
      });
      const body = (await response.body.json()) as BenchAnswer;
      if (response.statusCode === 429)
        throw new GatewayError('rateLimited', 'too many requests', { code: 'FREQUENCY_LIMITED', retryAfterMs: 1_000 });
      return {
        kind: 'success',
        authenticated: true,
        amountMinor: body.amount,
        currency: body.currency,
        gatewayRefundNo: body.gatewayRefundNo,
        finishedAt: new Date(),
        identity: { gatewayRequestNo: body.refundNo, gatewayRefundNo: body.gatewayRefundNo },
        raw: { code: body.status, message: '', body: { ...body } },
      };
    },
  };
}
