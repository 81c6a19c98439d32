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
  businessNo: string;
  id: string;
  refundNo: string;
  paymentId: string;
  status: string;
}

/** What the gateways differ in. */
export interface FlowOptions {
  /** Begins refund numbers; UnionPay's are of eight characters at least. */
  prefix?: string;
  /** More members of every registration. */
  registration?: () => Json;
  /** The gateway's own number of a new payment, where creates name the payment by it. */
  gatewayPaymentNo?: () => string;
}

/** Refunds of one account, as merchants and operators make them: 100 of 1000 minor units. */
export function flowOf(
  service: TestService,
  gateway: Steering,
  channel: string,
  accountId: string,
  { prefix = 'R', registration, gatewayPaymentNo }: FlowOptions = {},
) {
  const refundNumber = () => uniqueNo(prefix);

  /** POST /admin/refunds of a refund that the merchant sent by itself. */
  const register = (refundNo: string, businessNo: string, more: Json = {}) =>
    service.admin<{ id: string; payment: { id: string } }>('POST', '/admin/refunds', {
      refundNo,
      channel,
      amount: 100,
      gatewayAccountId: accountId,
      payment: { businessNo, amount: 1000 },
      ...registration?.(),
      ...more,
    });

  /** A payment that both the gateway and the service know. */
  async function payment(atGateway: Json = {}, more: Json = {}): Promise<{ businessNo: string; paymentId: string }> {
    const businessNo = uniqueNo('P');
    const number = gatewayPaymentNo?.();
    await gateway.payment(businessNo, { ...(number === undefined ? {} : { transactionId: number }), ...atGateway });
    const known = await service.admin<{ id: string }>('POST', '/admin/payments', {
      businessNo,
      channel,
      amount: 1000,
      gatewayAccountId: accountId,
      ...(number === undefined ? {} : { gatewayPaymentNo: number }),
      ...more,
    });
    expect(known.httpStatus, JSON.stringify(known.body)).toBe(201);
    return { businessNo, paymentId: known.body.id };
  }

  /** POST /unipay/refund. */
  const send = (businessNo: string, refundNo = refundNumber()) =>
    service.merchant.call<{ refundId: string; status: string }>('/unipay/refund', {
      businessNo,
      refundAll: false,
      refundNo,
      refundChannels: [{ channel, amount: 100 }],
      reason: '不想要了',
    });

  return {
    callbackUrl: (code: string, account = accountId) => `${service.url}/callback/${code}/${account}`,
    refundNumber,
    register,
    payment,
    send,

    /** A refund that the merchant sent by itself: at the gateway as told (unless `unknown`), and registered with the service. */
    async followed(status: string, more: Json = {}, atGateway: Json = {}): Promise<Followed> {
      const refundNo = refundNumber();
      const businessNo = uniqueNo('P');
      if (status !== 'unknown') await gateway.refund(refundNo, businessNo, status, atGateway);
      const { httpStatus, body } = await register(refundNo, businessNo, more);
      expect(httpStatus, JSON.stringify(body)).toBe(201);
      return { id: body.id, refundNo, businessNo, paymentId: body.payment.id };
    },

    /** A refund that the service makes, of a payment that the gateway knows. */
    async created(atGateway: Json = {}): Promise<Created> {
      const { businessNo, paymentId } = await payment(atGateway);
      const refundNo = refundNumber();
      const answer = await send(businessNo, refundNo);
      expect(answer.code, answer.text).toBe(0);
      const { refundId = '', status = '' } = answer.data ?? {};
      return { id: refundId, refundNo, businessNo, paymentId, status };
    },

    look: (refundId: string) => service.syncs.sync({ refundId, source: 'operator' }),
  };
}

export type Flow = ReturnType<typeof flowOf>;
