import { parseForm } from '../form-body.js';
import { CallbackRejected, type CallbackHandler, type CallbackMessage, type RawCallback } from '../gateway.port.js';
import { judged } from './unionpay.client.js';
import { unionpayKeys, type UnionpayConfig, type UnionpayKeys } from './unionpay.config.js';
import { observeAccepted } from './unionpay.status.js';

const REFUND = '04';

export const unionpayCallback: CallbackHandler<UnionpayConfig> = {
  receive,
  // HTTP 200 is what counts (gateways.md §4.5); the text is the one of the vendor's demos. Anything else is sent again, five times in all.
  accepted: { status: 200, contentType: 'text/plain; charset=utf-8', body: 'ok' },
  rejected: { status: 401, contentType: 'text/plain; charset=utf-8', body: 'fail' },
};

/**
 * Back notification (后台通知), gateways.md §4.5.
 *
 * A notice never ends a refund, whatever it says: the vendor's demos ask for the transaction after 00 and A6 before they book anything, and
 * whether failures are told at all is stated differently in them. The observation is `processing`, on which the service asks at once.
 */
function receive(raw: RawCallback, config: UnionpayConfig): CallbackMessage | null {
  const form = parseForm(raw.body) ?? refuse('it has a field twice, or too many of them');
  const { fields, signature, doubt } = judged(form, keysOf(config), raw.receivedAt);
  if (signature !== 'right') return refuse(doubt ?? 'it is not verified');
  if (fields.get('merId') !== config.merId) return refuse('it is for another merchant');
  // Payments of the merchant may be told at the same address.
  if (fields.get('txnType') !== REFUND) return null;

  const orderId = wanted(fields, 'orderId', /^[0-9A-Za-z]{8,40}$/);
  const txnTime = wanted(fields, 'txnTime', /^\d{14}$/);
  const queryId = wanted(fields, 'queryId', /^\d{1,21}$/);
  const respCode = wanted(fields, 'respCode', /^[0-9A-Za-z]{2}$/);
  return {
    // It has no number of its own (gateways.md §4.5).
    eventKey: `${orderId}.${txnTime}.${queryId}.${respCode}`,
    eventType: `refund.${respCode}`,
    gatewayRequestNo: orderId,
    gatewayRefundNo: queryId,
    outTradeNo: null,
    observation: observeAccepted(fields),
  };
}

function refuse(reason: string): never {
  throw new CallbackRejected(`UnionPay callback refused: ${reason}.`);
}

function keysOf(config: UnionpayConfig): UnionpayKeys {
  try {
    return unionpayKeys(config);
  } catch {
    return refuse('the keys of this account cannot be read');
  }
}

function wanted(fields: ReadonlyMap<string, string>, name: string, form: RegExp): string {
  const value = fields.get(name) ?? '';
  return form.test(value) ? value : refuse(`its ${name} is missing or malformed`);
}
