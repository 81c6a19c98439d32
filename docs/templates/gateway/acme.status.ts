import type { Observation } from '../../../src/gateway/observation.js';
import { harmless } from '../../../src/gateway/plain-text.js';

/** Exhaustive over what the gateway documents. */
export const ACME_STATUS = {
  PENDING: 'processing',
  DONE: 'success',
  CANCELLED: 'failed',
  RETURNED: 'abnormal',
} as const;

/** A status that we do not know ends nothing: the refund is asked again, and the raw status is kept. */
export function kindOfStatus(status: string): (typeof ACME_STATUS)[keyof typeof ACME_STATUS] {
  return Object.hasOwn(ACME_STATUS, status) ? ACME_STATUS[status as keyof typeof ACME_STATUS] : 'processing';
}

/** A list of what may stay as evidence: a field that the gateway adds tomorrow is dropped. */
const PUBLIC_FIELDS = ['refund_no', 'refund_id', 'order_no', 'amount', 'currency', 'status', 'finished_at'] as const;

/**
 * Says in our words what a proven answer about one refund says.
 *
 * @returns the observation, or the name of the first field that a success lacks or that is not of its documented form: nothing is guessed.
 */
export function observe(fields: Record<string, unknown>): Observation | { badField: string } {
  const text = (name: string): string | undefined => {
    const value = fields[name];
    return typeof value === 'string' && value !== '' ? value : undefined;
  };
  const status = text('status');
  const gatewayRequestNo = text('refund_no');
  if (status === undefined) return { badField: 'status' };
  if (gatewayRequestNo === undefined) return { badField: 'refund_no' };
  const gatewayRefundNo = text('refund_id') ?? null;
  const outTradeNo = text('order_no');
  const kept = PUBLIC_FIELDS.flatMap((name) => (fields[name] === undefined ? [] : [[name, fields[name]]]));
  const message = harmless(text('message') ?? '', 500);
  const base = {
    authenticated: true,
    identity: {
      gatewayRequestNo,
      ...(gatewayRefundNo === null ? {} : { gatewayRefundNo }),
      ...(outTradeNo === undefined ? {} : { outTradeNo }),
    },
    gatewayRefundNo,
    raw: { code: status.slice(0, 64), message, body: Object.fromEntries(kept) as Record<string, unknown> },
  };
  const kind = kindOfStatus(status);
  switch (kind) {
    case 'success': {
      const { amount } = fields;
      const currency = text('currency');
      if (typeof amount !== 'number' || !Number.isSafeInteger(amount) || amount < 1) return { badField: 'amount' };
      if (currency === undefined || !/^[A-Z]{3}$/.test(currency)) return { badField: 'currency' };
      const finishedAt = new Date(text('finished_at') ?? NaN);
      return {
        ...{ ...base, kind, amountMinor: amount, currency },
        finishedAt: Number.isNaN(finishedAt.getTime()) ? null : finishedAt,
      };
    }
    case 'failed':
      return { ...base, kind, code: status, message };
    case 'abnormal':
      return { ...base, kind, message };
    case 'processing':
      return { ...base, kind };
  }
}
