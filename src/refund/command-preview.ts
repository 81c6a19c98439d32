import { createHash } from 'node:crypto';
import { minorToDecimal } from '../shared/money.js';
import type { Decision } from './decide.js';
import type { OperatorCommand } from './decide-command.js';
import { movePayment, newMove } from './payment-move.js';
import type { Payment } from './payment.entity.js';
import type { Refund } from './refund.entity.js';
import { isEnd, visibleStatus, type PaymentStatus, type RefundStatus, type VisibleStatus } from './refund-status.js';

export interface Change<T> {
  from: T;
  to: T;
}

/** What a command will change, before it does. Amounts in minor units. */
export interface CommandPreview {
  command: OperatorCommand;
  refundId: string;
  /** Of the refund now; give it as `expectedVersion`. */
  version: number;
  /** Of everything that was shown. Given back with the command, it is applied exactly so or not at all. */
  digest: string;
  status: Change<RefundStatus>;
  /** As merchants see it. */
  merchantStatus: Change<VisibleStatus>;
  reserved: Change<boolean>;
  payment: {
    id: string;
    businessNo: string;
    status: Change<PaymentStatus>;
    refundableBalance: Change<number>;
    overRefunded: Change<number>;
    refundedAmount: Change<number>;
  };
  amount: number;
  currency: string;
  /** The effect on money, in words. */
  moneyEffect: string;
  /** What the merchant is told, in words. */
  notification: string;
  /** The call to the gateway that follows at once; null: none. */
  gatewayCall: 'sendAgain' | 'redrive' | null;
  warnings: readonly string[];
}

/**
 * @param options of the command that change what it does, such as where a re-drive sends the money; no secret.
 */
export function previewOf(
  refund: Refund,
  payment: Payment,
  command: OperatorCommand,
  { decision, warnings }: { decision: Decision; warnings: readonly string[] },
  options: Readonly<Record<string, string>> = {},
): CommandPreview {
  const move = newMove({ ...payment });
  const after = { amount: refund.amount, status: decision.status, reserved: decision.reserved };
  movePayment(move, after, { status: refund.status, reserved: refund.reserved }, decision.overRefund);
  const shown = {
    command,
    refundId: refund.id,
    version: refund.version,
    status: { from: refund.status, to: decision.status },
    merchantStatus: { from: visibleStatus(refund.status), to: visibleStatus(decision.status) },
    reserved: { from: refund.reserved, to: decision.reserved },
    payment: {
      id: payment.id,
      businessNo: payment.businessNo,
      status: { from: payment.status, to: move.payment.status },
      refundableBalance: { from: payment.refundableBalance, to: move.payment.refundableBalance },
      overRefunded: { from: payment.overRefunded, to: move.payment.overRefunded },
      refundedAmount: { from: payment.refundedAmount, to: move.payment.refundedAmount },
    },
    amount: refund.amount,
    currency: refund.currency,
    moneyEffect: moneyEffect(refund, move, command),
    notification: notificationText(refund, decision.status),
    gatewayCall: command === 'sendAgain' || command === 'redrive' ? command : null,
    warnings,
  };
  // What the decision rests on belongs to what was shown: the same numbers for another reason are another decision.
  const { kind, via, authenticated, code, contradiction } = refund.lastEvidence ?? {};
  const basis = { shown, options, evidence: [kind, via, authenticated, code, contradiction] };
  return { ...shown, digest: createHash('sha256').update(JSON.stringify(basis)).digest('hex') };
}

function moneyEffect(
  { amount, currency }: Refund,
  { balanceDelta, overDelta, payment }: ReturnType<typeof newMove>,
  command: OperatorCommand,
): string {
  const money = (minor: number): string => `${minorToDecimal(Math.abs(minor), currency)} ${currency}`;
  const parts = [
    ...(balanceDelta > 0 ? [`${money(balanceDelta)} become refundable again`] : []),
    ...(balanceDelta < 0 ? [`${money(balanceDelta)} are taken from the refundable balance`] : []),
    ...(overDelta > 0 ? [`the payment is refunded beyond its amount by ${money(overDelta)} more`] : []),
    ...(overDelta < 0 ? [`${money(overDelta)} pay back what was refunded beyond the payment`] : []),
    ...(balanceDelta === 0 && overDelta === 0 ? ['the refundable balance does not change'] : []),
    `it is ${money(payment.refundableBalance)} then`,
    ...(command === 'sendAgain'
      ? [`the gateway is sent the same refund again: ${money(amount)} may leave the merchant's account`]
      : []),
    ...(command === 'redrive' ? [`the gateway sends ${money(amount)} on their way again`] : []),
  ];
  return parts.join('; ');
}

function notificationText(refund: Refund, after: RefundStatus): string {
  if (after === refund.status || !isEnd(after))
    return `none: for the merchant the refund ${isEnd(refund.status) ? 'is' : 'stays'} in progress`;
  return refund.notify
    ? `the merchant is told that the refund is ${visibleStatus(after)}`
    : 'none: the merchant asked not to be told';
}
