import type { RefundOrder } from '../gateway/gateway.port.js';
import type { Payment } from './payment.entity.js';
import type { Refund } from './refund.entity.js';

/** What a connector may know of our rows. */
export function refundOrderOf(refund: Refund, payment: Payment): RefundOrder {
  return {
    gatewayRequestNo: refund.gatewayRequestNo,
    gatewayRequestTime: refund.gatewayRequestTime,
    gatewayRefundNo: refund.gatewayRefundNo,
    outTradeNo: refund.outTradeNo,
    gatewayPaymentNo: payment.gatewayPaymentNo,
    amountMinor: refund.amount,
    paymentAmountMinor: payment.amount,
    currency: refund.currency,
    reason: refund.reason,
    clientIp: refund.clientIp,
  };
}
