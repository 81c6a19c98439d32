import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GatewayAccountService } from '../src/gateway/gateway-account.service.js';
import type { Observation } from '../src/gateway/observation.js';
import { ApplyService } from '../src/refund/apply.service.js';
import { PolicyService } from '../src/refund/policy.service.js';
import { stuckRefund, uniqueNo, type StuckRefund } from './support/builders.js';
import { said } from './support/refund-builders.js';
import { startService, WECHAT_ACCOUNT, type TestService } from './support/service.js';

/** MySQL refuses what does not fit its column: an answer that cannot be written down would be asked for again for ever. */
describe('a gateway’s texts, as long as gateways like', () => {
  let service: TestService;
  beforeAll(async () => {
    service = await startService();
  });
  afterAll(() => service.close());

  const LONG = '退款失败，原因很长。'.repeat(200);

  async function hears(refund: StuckRefund, observation: Observation) {
    const account = await service.app.get(GatewayAccountService).resolve(WECHAT_ACCOUNT);
    const { version } = await service.refund(refund.id);
    return service.app.get(ApplyService).apply(
      refund.id,
      refund.paymentId,
      { kind: 'observation', via: 'query', observation, askedAtVersion: version },
      {
        source: 'operator',
        policy: service.app.get(PolicyService).forAccount(account),
        startedAt: new Date(),
        answer: observation.raw,
      },
    );
  }

  const ours = ({ refundNo }: StuckRefund) => ({ gatewayRequestNo: refundNo });
  const raw = { code: LONG, message: LONG, body: { text: LONG } };

  it.each(['G'.repeat(65), 'G'.repeat(5_000), 'G1 ', '退'])(
    'do not stop a success, and the number "%.20s…" is not kept in part',
    async (gatewayRefundNo) => {
      const refund = await stuckRefund(service);
      const { decision } = await hears(refund, said.success({ gatewayRefundNo, identity: ours(refund), raw }));
      expect(decision.effect).toBe('changed');
      expect(await service.refund(refund.id)).toMatchObject({ status: 'success', gatewayRefundNo: null });
    },
  );

  it('do not stop a failure or a case', async () => {
    const failed = await stuckRefund(service);
    const identity = ours(failed);
    await hears(failed, said.failed({ code: LONG, message: LONG, gatewayRefundNo: LONG, identity, raw }));
    expect(await service.refund(failed.id)).toMatchObject({ status: 'fail', errorMsg: LONG.slice(0, 500) });
    const abnormal = await stuckRefund(service);
    await hears(abnormal, said.abnormal({ message: LONG, gatewayRefundNo: null, raw }));
    expect(await service.refund(abnormal.id)).toMatchObject({ status: 'review' });
    const nameless = await stuckRefund(service);
    await hears(nameless, said.success({ gatewayRefundNo: LONG, raw }));
    expect(await service.refund(nameless.id)).toMatchObject({ status: 'review', gatewayRefundNo: null });
  });

  it('keep two numbers apart that begin alike for longer than the column is', async () => {
    for (const end of ['1', '2']) {
      const refund = await stuckRefund(service);
      await hears(refund, said.success({ gatewayRefundNo: 'G'.repeat(64) + end, identity: ours(refund) }));
      expect(await service.refund(refund.id)).toMatchObject({ status: 'success' });
    }
  });

  it('that fit are kept from "processing" on, once', async () => {
    const [first, second] = [await stuckRefund(service), await stuckRefund(service)];
    const gatewayRefundNo = `G${first.refundNo}`.padEnd(64, 'x');
    await hears(first, said.processing({ gatewayRefundNo }));
    expect(await service.refund(first.id)).toMatchObject({ status: 'progress', gatewayRefundNo });
    await hears(second, said.processing({ gatewayRefundNo }));
    expect(await service.refund(second.id)).toMatchObject({ status: 'review', gatewayRefundNo: null });
  });

  it('that name another payment of the gateway’s than ours open a case, whatever they say', async () => {
    const payment = { amount: 1000, gatewayPaymentNo: '4200000000202601010000000009' };
    const businessNo = uniqueNo('PAYMENT');
    const refund = await stuckRefund(service, {
      ...{ gateway: 'success', businessNo },
      more: { payment: { ...payment, businessNo } },
    });
    await service.merchant.syncRefund({ refundId: refund.id });
    expect(await service.refund(refund.id)).toMatchObject({
      ...{ status: 'review', reviewCode: 'contradiction', gatewayRefundNo: null },
      reviewReason: expect.stringContaining('payment number') as string,
    });
  });
});
