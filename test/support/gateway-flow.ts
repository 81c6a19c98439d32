import { expect } from 'vitest';
import { uniqueNo } from './builders.js';
import type { TestService } from './service.js';
import type { Json, Steering } from './steer.js';

export interface Followed {
  id: string;
  refundNo: string;
  businessNo: string;
  paymentId: string;
}

export interface Created {
  id: string;
  refundNo: string;
  paymentId: string;
  status: string;
}

/** Refunds of one account, as merchants and operators make them: 100 of 1000 minor units. */
export function flowOf(service: TestService, gateway: Steering, channel: string, accountId: string) {
  return {
    callbackUrl: (code: string) => `${service.url}/callback/${code}/${accountId}`,

    /** A refund that the merchant sent by itself: at the gateway as told (unless `unknown`), and registered with the service. */
    async followed(status: string, more: Json = {}, atGateway: Json = {}): Promise<Followed> {
      const refundNo = uniqueNo('R');
      const businessNo = uniqueNo('P');
      if (status !== 'unknown') await gateway.refund(refundNo, businessNo, status, atGateway);
      const { httpStatus, body } = await service.admin<{ id: string; payment: { id: string } }>(
        'POST',
        '/admin/refunds',
        {
          refundNo,
          channel,
          amount: 100,
          gatewayAccountId: accountId,
          payment: { businessNo, amount: 1000 },
          ...more,
        },
      );
      expect(httpStatus, JSON.stringify(body)).toBe(201);
      return { id: body.id, refundNo, businessNo, paymentId: body.payment.id };
    },

    /** A refund that the service makes, of a payment that the gateway knows. */
    async created(payment: Json = {}): Promise<Created> {
      const businessNo = uniqueNo('P');
      await gateway.payment(businessNo, payment);
      const known = await service.admin<{ id: string }>('POST', '/admin/payments', {
        businessNo,
        channel,
        amount: 1000,
        gatewayAccountId: accountId,
      });
      expect(known.httpStatus, JSON.stringify(known.body)).toBe(201);
      const refundNo = uniqueNo('R');
      const answer = await service.merchant.call<{ refundId: string; status: string }>('/unipay/refund', {
        businessNo,
        refundAll: false,
        refundNo,
        refundChannels: [{ channel, amount: 100 }],
        reason: '不想要了',
      });
      expect(answer.code, answer.text).toBe(0);
      const { refundId = '', status = '' } = answer.data ?? {};
      return { id: refundId, refundNo, paymentId: known.body.id, status };
    },

    look: (refundId: string) => service.syncs.sync({ refundId, source: 'operator' }),
  };
}
