import type { Operator } from './operator.js';
import type { PaymentPlan } from './scenario.js';
import type { Subject } from './setup.js';

/** What of a payment can still be refunded, in fen. */
export interface Balance {
  plan: PaymentPlan;
  refundable: number;
  overRefunded: number;
}

/** Payments whose refunds are synced, in their order. */
export async function readBalances(operator: Operator, subjects: readonly Subject[]): Promise<Balance[]> {
  const byPayment = new Map(subjects.map(({ payment, id }) => [payment, id]));
  return Promise.all(
    [...byPayment].map(async ([plan, id]) => {
      const { payment } = await operator.refund(id);
      return { plan, refundable: payment.refundableBalance, overRefunded: payment.overRefunded };
    }),
  );
}
