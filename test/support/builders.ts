import type { TestService } from './service.js';

let counter = 0;

/** A number that no other test of this run uses. */
export function uniqueNo(prefix: string): string {
  counter += 1;
  return `${prefix}${process.pid.toString(36)}x${counter}`;
}

export interface StuckRefund {
  id: string;
  refundNo: string;
  businessNo: string;
  paymentId: string;
}

export interface StuckRefundOptions {
  /** What the gateway knows: a status from the start, or a whole script; `unknown`: it never heard of the refund. */
  gateway?:
    'processing' | 'success' | 'failed' | 'closed' | 'abnormal' | 'unknown' | { afterMs: number; status: string }[];
  amount?: number;
  paymentAmount?: number;
  /** The amount as the gateway sees it, when it differs. */
  gatewayAmount?: number;
  businessNo?: string;
  /** More members of POST /admin/refunds. */
  more?: Record<string, unknown>;
  /** Where the sandbox sends callbacks; default: nowhere. */
  callbackUrl?: string;
}

/** A refund that the merchant sent by itself and that hangs: known to the gateway as told, registered with the service. */
export async function stuckRefund(service: TestService, options: StuckRefundOptions = {}): Promise<StuckRefund> {
  const { amount = 100, paymentAmount = 1000, gateway = 'processing' } = options;
  const refundNo = uniqueNo('R');
  const businessNo = options.businessNo ?? uniqueNo('P');
  if (gateway !== 'unknown') {
    await service.control('/control/refunds', {
      channel: 'wechat_pay',
      outRefundNo: refundNo,
      outTradeNo: businessNo,
      amount: options.gatewayAmount ?? amount,
      paymentAmount,
      currency: 'CNY',
      script: typeof gateway === 'string' ? [{ afterMs: 0, status: gateway }] : gateway,
      ...(options.callbackUrl === undefined ? {} : { notifyUrl: options.callbackUrl }),
    });
  }
  const registered = await service.admin<{ id: string; payment: { id: string }; detail?: string }>(
    'POST',
    '/admin/refunds',
    {
      refundNo,
      channel: 'wechat_pay',
      amount,
      payment: { businessNo, amount: paymentAmount },
      ...options.more,
    },
  );
  if (registered.httpStatus !== 201)
    throw new Error(`not registered: ${registered.httpStatus} ${registered.body.detail}`);
  return { id: registered.body.id, refundNo, businessNo, paymentId: registered.body.payment.id };
}

export interface KnownPayment {
  id: string;
  businessNo: string;
}

/** A payment that POST /unipay/refund can refund; the gateway knows it with the same amount. */
export async function knownPayment(
  service: TestService,
  options: { amount?: number; channel?: string; appId?: string; currency?: string } = {},
): Promise<KnownPayment> {
  const { amount = 1000, channel = 'wechat_pay', ...more } = options;
  const businessNo = uniqueNo('PAYMENT');
  if (channel === 'wechat_pay')
    await service.control('/control/payments', { channel, outTradeNo: businessNo, amount, currency: 'CNY' });
  const { httpStatus, body } = await service.admin<{ id: string; detail?: string }>('POST', '/admin/payments', {
    businessNo,
    channel,
    amount,
    ...more,
  });
  if (httpStatus !== 201) throw new Error(`payment not registered: ${httpStatus} ${body.detail}`);
  return { id: body.id, businessNo };
}
