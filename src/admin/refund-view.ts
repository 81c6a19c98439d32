import type { Payment } from '../refund/payment.entity.js';
import type { Refund } from '../refund/refund.entity.js';

/** A refund as operators read it: everything but the lease token and the stored request. */
export type RefundView = Omit<Refund, 'leaseToken' | 'createPayload' | 'leaseUntil'> & { payment?: Payment };

export function viewOf(refund: Refund): RefundView {
  const { leaseToken: _token, leaseUntil: _until, createPayload: _payload, ...view } = refund;
  return view;
}
