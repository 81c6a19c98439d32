import { parseForm, visible } from '../form-body.js';
import { CallbackRejected, type CallbackHandler, type CallbackMessage, type RawCallback } from '../gateway.port.js';
import type { Observation } from '../observation.js';
import { alipayKeys, type AlipayConfig, type AlipayKeys } from './alipay.config.js';
import { callbackText, verifyRsa2 } from './alipay.signature.js';

export const alipayCallback: CallbackHandler<AlipayConfig> = {
  receive,
  // Exactly these seven characters; anything else is sent again, eight times in a day (gateways.md §3.6).
  accepted: { status: 200, contentType: 'text/plain; charset=utf-8', body: 'success' },
  rejected: { status: 400, contentType: 'text/plain; charset=utf-8', body: 'fail' },
};

/**
 * Asynchronous notification (异步通知), gateways.md §3.6. All notices of a payment come to one address; only some are about a refund:
 * those that name it (`out_biz_no`) and say that money went back (`refund_fee`, `gmt_refund`). The others are acknowledged and forgotten:
 * TRADE_CLOSED without those fields is a payment that nobody made.
 *
 * A notice never ends a refund. Its `refund_fee` is what the whole payment has refunded so far, not what this refund did, so amounts
 * cannot be compared; the observation is `processing`, on which the service asks at once.
 */
function receive(raw: RawCallback, config: AlipayConfig): CallbackMessage | null {
  const parameters = parseForm(raw.body) ?? refuse('it has a parameter twice, or too many of them');
  verifySignature(parameters, keysOf(config));
  const text = (name: string): string | null => visible(parameters.get(name));

  const eventKey = text('notify_id');
  if (eventKey === null || eventKey.length > 128) return refuse('it has no usable notify_id');
  const appId = text('app_id');
  if (appId !== config.appId) return refuse('it is for another application');
  if (config.sellerId !== undefined && text('seller_id') !== config.sellerId) return refuse('it is for another seller');

  if (!parameters.has('refund_fee') && !parameters.has('gmt_refund')) return null;
  const gatewayRequestNo = idOf(text('out_biz_no'), 'out_biz_no');
  if (gatewayRequestNo === null) return null;
  const outTradeNo = idOf(text('out_trade_no'), 'out_trade_no');
  const gatewayPaymentNo = idOf(text('trade_no'), 'trade_no');
  const status = text('trade_status') ?? '';
  const observation: Observation = {
    kind: 'processing',
    authenticated: true,
    identity: {
      merchantId: appId,
      gatewayRequestNo,
      ...(outTradeNo === null ? {} : { outTradeNo }),
      ...(gatewayPaymentNo === null ? {} : { gatewayPaymentNo }),
    },
    raw: {
      code: status.slice(0, 64),
      message: '',
      body: Object.fromEntries(
        PUBLIC_PARAMETERS.flatMap((name) => {
          const value = text(name);
          return value === null ? [] : [[name, value.slice(0, 128)]];
        }),
      ),
    },
    gatewayRefundNo: null,
  };
  return {
    eventKey,
    eventType: `${text('notify_type') ?? 'notification'}.${status}`.slice(0, 64),
    gatewayRequestNo,
    gatewayRefundNo: null,
    outTradeNo,
    observation,
  };
}

/** What is kept as evidence: nothing of the buyer, of what was bought, or of how it was paid. */
const PUBLIC_PARAMETERS = [
  'notify_id',
  'notify_type',
  'notify_time',
  'app_id',
  'seller_id',
  'trade_status',
  'trade_no',
  'out_trade_no',
  'out_biz_no',
  'total_amount',
  'refund_fee',
  'gmt_refund',
  'gmt_close',
] as const;

function refuse(reason: string): never {
  throw new CallbackRejected(`Alipay callback refused: ${reason}.`);
}

function keysOf(config: AlipayConfig): AlipayKeys {
  try {
    return alipayKeys(config);
  } catch {
    return refuse('the keys of this account cannot be read');
  }
}

function verifySignature(parameters: ReadonlyMap<string, string>, keys: AlipayKeys): void {
  const sign = parameters.get('sign') ?? '';
  if (sign === '') refuse('it has no signature');
  if (!verifyRsa2(callbackText(parameters), sign, keys.alipay)) refuse('the signature is wrong');
}

function idOf(value: string | null, name: string): string | null {
  if (value !== null && value.length > 64) return refuse(`its ${name} is too long`);
  return value;
}
