import type { Payment } from './payment.entity.js';
import { Refund } from './refund.entity.js';

type Given = Pick<Refund, 'id' | 'refundNo' | 'gatewayRequestNo' | 'amount' | 'source' | 'createdAt' | 'nextSyncAt'> &
  Partial<Refund>;

/** A refund row as it begins: in progress, its amount reserved, never without a next look. */
export function newRefund(given: Given, payment: Payment, now: Date): Refund {
  return Object.assign(new Refund(), {
    appId: payment.appId,
    paymentId: payment.id,
    channel: payment.channel,
    gatewayAccountId: payment.gatewayAccountId,
    outTradeNo: payment.outTradeNo,
    currency: payment.currency,
    reason: null,
    status: 'progress',
    gatewayRequestTime: null,
    gatewayRefundNo: null,
    errorCode: null,
    errorMsg: null,
    refundTime: null,
    attach: null,
    notifyUrl: null,
    notify: true,
    clientIp: null,
    createState: 'none',
    createAttempts: 0,
    lastCreateAt: null,
    createPayload: null,
    reserved: true,
    syncAttempts: 0,
    notFoundSince: null,
    notFoundCount: 0,
    statusBeforeReview: null,
    reviewCode: null,
    reviewReason: null,
    reviewOwner: null,
    lastEvidence: null,
    leaseUntil: null,
    leaseToken: null,
    version: 0,
    registeredAt: now,
    statusChangedAt: now,
    ...given,
  } satisfies Refund);
}
