import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stuckRefund } from './support/builders.js';
import { startService, type TestService } from './support/service.js';

describe('a stuck refund, end to end', () => {
  let service: TestService;
  beforeAll(async () => {
    service = await startService();
  });
  afterAll(() => service.close());

  it('is repaired by one signed request, with its records', async () => {
    const { id, refundNo, paymentId } = await stuckRefund(service, { gateway: 'success' });

    const answer = await service.merchant.syncRefund({ refundNo });

    expect(answer).toMatchObject({
      httpStatus: 200,
      code: 0,
      msg: '',
      data: { gatewayStatus: 'refund_success', success: true, repair: true, errorMsg: '' },
    });
    expect(answer.data?.repairOrderNo).toMatch(/^\d{19}$/);
    expect(await service.refund(id)).toMatchObject({
      status: 'success',
      nextSyncAt: null,
      leaseToken: null,
      version: 1,
    });
    expect(await service.payment(paymentId)).toMatchObject({ status: 'partial_refund', refundableBalance: 900 });
    const { syncs, repairs, notifications } = await service.history(id);
    expect(syncs).toHaveLength(1);
    expect(repairs.map(({ target, repairNo }) => [target, repairNo])).toEqual([
      ['refund', answer.data?.repairOrderNo],
      ['payment', answer.data?.repairOrderNo],
    ]);
    expect(notifications).toHaveLength(1);

    const again = await service.merchant.syncRefund({ refundNo });
    expect(again.data).toEqual({
      gatewayStatus: 'refund_success',
      success: true,
      repair: false,
      repairOrderNo: null,
      errorMsg: '',
    });
  });

  it('is found and repaired by the sweep alone', async () => {
    const { id } = await stuckRefund(service, {
      gateway: 'failed',
      more: { createdAt: new Date(Date.now() - 60_000).toISOString() },
    });
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    expect(await service.sweeper.sweep()).toBeGreaterThan(0);
    await expect.poll(async () => (await service.refund(id)).status).toBe('fail');
  });
});
