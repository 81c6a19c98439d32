import { createHmac } from 'node:crypto';
import type { CallbackFormat, ChannelState, ComposedCallback, SignedCallback, Tampering } from '../gateway.js';
import type { RefundRecord, RefundStatus } from '../refund-book.js';
import { statusAt } from '../refund-book.js';
import { randomAlphanumerics, type StripeKeys } from './stripe.keys.js';
import { refundObject, seconds, stripeStatus, type RefundDetails, type StripeStatus } from './stripe.refund.js';

/** Growing pauses over three days; the real ones are not published. */
const RETRY_AFTER_SECONDS = [60, 300, 1800, 7200, 18_000, 36_000, 43_200, 43_200, 43_200, 43_200];
const STALE_SECONDS = 6 * 60;
/** Version of the webhook endpoint, which need not be the one that requests pin. */
const ENDPOINT_API_VERSION = '2026-10-28.endive';

/** Signs an event as webhooks are signed. */
export function signatureOf(secret: string, timestamp: number, body: string): string {
  return createHmac('sha256', secret).update(`${timestamp}.${body}`).digest('hex');
}

/** Webhook events about refunds. */
export class StripeCallbacks implements CallbackFormat {
  readonly retryAfterSeconds = RETRY_AFTER_SECONDS;

  constructor(
    private readonly keys: StripeKeys,
    private readonly state: ChannelState,
    private readonly detailsOf: (record: RefundRecord) => RefundDetails,
  ) {}

  notifies(status: RefundStatus): boolean {
    return status !== 'notFound';
  }

  compose(
    record: RefundRecord,
    status: RefundStatus,
    atMs: number,
    options: { wrongAmount: boolean },
  ): ComposedCallback {
    const payment = this.state.book.payment(record.outTradeNo);
    if (status === 'notFound' || !payment) throw new Error('a gateway cannot tell of a refund that it does not have');
    const word = stripeStatus(status);
    // What a tester makes the gateway say within the millisecond of the create is news all the same.
    const isNew = atMs === record.createdAtMs && status === statusAt(record, record.createdAtMs);
    const eventType = eventTypeOf(word, isNew);
    const id = `evt_1${randomAlphanumerics(23)}`;
    const body = JSON.stringify(
      {
        id,
        object: 'event',
        api_version: ENDPOINT_API_VERSION,
        created: seconds(this.state.now()),
        data: { object: refundObject(record, payment, this.detailsOf(record), word, options.wrongAmount ? 1 : 0) },
        livemode: false,
        pending_webhooks: 1,
        request: { id: null, idempotency_key: null },
        type: eventType,
      },
      null,
      2,
    );
    return { id, eventType, body };
  }

  async sign(
    _record: RefundRecord,
    composed: ComposedCallback,
    tamper: Tampering | undefined,
  ): Promise<SignedCallback> {
    const body =
      tamper === 'truncated' ? composed.body.slice(0, Math.floor(composed.body.length * 0.6)) : composed.body;
    const timestamp = seconds(this.state.now()) - (tamper === 'timestamp' ? STALE_SECONDS : 0);
    const secret = tamper === 'serial' ? this.keys.rogueSecret : this.keys.webhookSecret;
    const signature = signatureOf(secret, timestamp, body);
    // Test-mode events carry a v0 beside the v1, which nobody can verify; a receiver must not take it for one.
    const v0 = tamper === 'probe' ? signature : signatureOf(this.keys.rogueSecret, timestamp, body);
    const v1 = tamper === 'signature' ? flipped(signature) : signature;
    const said = tamper === 'nonce' ? timestamp + 1 : timestamp;
    return {
      body: tamper === 'ciphertext' || tamper === 'tag' ? body.replace('"amount": ', '"amount": 1') : body,
      headers: {
        'User-Agent': 'Stripe/1.0 (+https://stripe.com/docs/webhooks)',
        Accept: '*/*; q=0.5, application/xml',
        'Cache-Control': 'no-cache',
        'Content-Type': 'application/json; charset=utf-8',
        'Stripe-Signature': `t=${said}${tamper === 'probe' ? '' : `,v1=${v1}`},v0=${v0}`,
      },
    };
  }

  isAcknowledged(status: number): boolean {
    return status >= 200 && status <= 299;
  }
}

function eventTypeOf(word: StripeStatus, isNew: boolean): string {
  if (isNew) return 'refund.created';
  return word === 'failed' ? 'refund.failed' : 'refund.updated';
}

function flipped(hex: string): string {
  return `${hex.startsWith('0') ? '1' : '0'}${hex.slice(1)}`;
}
