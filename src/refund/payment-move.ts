import type { EntityManager } from 'typeorm';
import type { Payment } from './payment.entity.js';
import type { Refund } from './refund.entity.js';
import type { PaymentStatus, RefundStatus } from './refund-status.js';

/** How a payment moves in one transaction: the sums of what its refunds do, in minor units. */
export interface PaymentMove {
  /** The locked row, kept up to date in memory. */
  payment: Payment;
  balanceDelta: number;
  overDelta: number;
  refundedDelta: number;
}

/** A balance would have become negative: a bug, since decide() saw the locked row. Nothing was written. */
export class BalanceViolation extends Error {
  override readonly name = 'BalanceViolation';
}

export function newMove(payment: Payment): PaymentMove {
  return { payment, balanceDelta: 0, overDelta: 0, refundedDelta: 0 };
}

export function paymentStatus(refundedAmount: number, amount: number): PaymentStatus {
  if (refundedAmount <= 0) return 'success';
  return refundedAmount < amount ? 'partial_refund' : 'refunded';
}

/**
 * Adds what the change of one refund does to its payment.
 *
 * @param overRefund of an amount that becomes reserved, the part that is refunded beyond the payment.
 */
export function movePayment(
  move: PaymentMove,
  refund: Pick<Refund, 'amount' | 'status' | 'reserved'>,
  before: { status: RefundStatus; reserved: boolean },
  overRefund = 0,
): void {
  const { payment } = move;
  let overDelta = 0;
  let balanceDelta = 0;
  if (before.reserved && !refund.reserved) {
    // What comes back first pays what was refunded beyond the payment.
    overDelta = payment.overRefunded === 0 ? 0 : -Math.min(payment.overRefunded, refund.amount);
    balanceDelta = refund.amount + overDelta;
  } else if (!before.reserved && refund.reserved) {
    overDelta = overRefund;
    balanceDelta = overRefund - refund.amount;
  }
  const refundedDelta =
    (refund.status === 'success' ? refund.amount : 0) - (before.status === 'success' ? refund.amount : 0);
  move.balanceDelta += balanceDelta;
  move.overDelta += overDelta;
  move.refundedDelta += refundedDelta;
  payment.refundableBalance += balanceDelta;
  payment.overRefunded += overDelta;
  payment.refundedAmount += refundedDelta;
  payment.status = paymentStatus(payment.refundedAmount, payment.amount);
}

/**
 * Writes the moves. Relative and guarded, although the rows are locked: no arithmetic of ours can make a balance negative.
 *
 * @throws BalanceViolation
 */
export async function writePaymentMoves(
  manager: EntityManager,
  isMysql: boolean,
  moves: readonly PaymentMove[],
): Promise<void> {
  const real = moves.filter(
    ({ balanceDelta, overDelta, refundedDelta }) => balanceDelta !== 0 || overDelta !== 0 || refundedDelta !== 0,
  );
  if (real.length === 0) return;
  const written = isMysql ? await writeTogether(manager, real) : await writeOneByOne(manager, real);
  if (written !== real.length)
    throw new BalanceViolation(
      `${real.length - written} of ${real.length} payments have not the balance for their change`,
    );
}

async function writeTogether(manager: EntityManager, moves: readonly PaymentMove[]): Promise<number> {
  // Digits and numbers of ours alone: ids as text would be compared as floating point.
  const rows = moves.map(
    ({ payment, balanceDelta, overDelta, refundedDelta }) =>
      `SELECT ${BigInt(payment.id)} AS id, ${balanceDelta} AS balanceDelta, ${overDelta} AS overDelta, ${refundedDelta} AS refundedDelta, '${payment.status}' AS status`,
  );
  const result: { affectedRows: number } = await manager.query(
    `UPDATE payment t JOIN (${rows.join(' UNION ALL ')}) v ON t.id = v.id
     SET t.refundableBalance = t.refundableBalance + v.balanceDelta, t.overRefunded = t.overRefunded + v.overDelta,
         t.refundedAmount = t.refundedAmount + v.refundedDelta, t.status = v.status, t.version = t.version + 1
     WHERE t.refundableBalance + v.balanceDelta >= 0 AND t.overRefunded + v.overDelta >= 0`,
  );
  return result.affectedRows;
}

async function writeOneByOne(manager: EntityManager, moves: readonly PaymentMove[]): Promise<number> {
  let written = 0;
  for (const { payment, balanceDelta, overDelta, refundedDelta } of moves) {
    const returned: unknown[] = await manager.query(
      `UPDATE payment SET refundableBalance = refundableBalance + ?, overRefunded = overRefunded + ?,
         refundedAmount = refundedAmount + ?, status = ?, version = version + 1
       WHERE id = ? AND refundableBalance + ? >= 0 AND overRefunded + ? >= 0 RETURNING id`,
      [balanceDelta, overDelta, refundedDelta, payment.status, payment.id, balanceDelta, overDelta],
    );
    written += returned.length;
  }
  return written;
}
