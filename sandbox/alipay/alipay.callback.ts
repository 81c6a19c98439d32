import { randomBytes } from 'node:crypto';
import type { CallbackFormat, ChannelState, ComposedCallback, SignedCallback, Tampering } from '../gateway.js';
import { statusAt, type RefundRecord, type RefundStatus } from '../refund-book.js';
import { notificationMessage, signMessage } from './alipay.crypto.js';
import type { AlipayKeys } from './alipay.keys.js';
import { beijingTime, beijingTimeMs, requestNoOf, yuan } from './alipay.refund.js';

/** 4m, 10m, 10m, 1h, 2h, 6h, 15h: eight deliveries in about a day. */
const RETRY_AFTER_SECONDS = [240, 600, 600, 3600, 7200, 21_600, 54_000];

type Form = Record<string, string>;

/** Asynchronous notifications (异步通知) of a payment that was refunded. */
export class AlipayCallbacks implements CallbackFormat {
  readonly retryAfterSeconds = RETRY_AFTER_SECONDS;

  constructor(
    private readonly keys: AlipayKeys,
    private readonly state: ChannelState,
  ) {}

  /** Only money that moved is told: there is no notice of a refund that failed. */
  notifies(status: RefundStatus): boolean {
    return status === 'success';
  }

  compose(
    record: RefundRecord,
    _status: RefundStatus,
    atMs: number,
    options: { wrongAmount: boolean },
  ): ComposedCallback {
    const { book, now } = this.state;
    const payment = book.payment(record.outTradeNo);
    const total = payment?.amount ?? record.amount;
    const truth = statusAt(record, now());
    const counted = truth !== 'failed' && truth !== 'closed';
    const refunded = book.refundsOf(record.outTradeNo, now()).heldAmount + (counted ? 0 : record.amount);
    const closes = refunded >= total;
    const tradeStatus = closes ? 'TRADE_CLOSED' : 'TRADE_SUCCESS';
    const notifyId = `${beijingTime(atMs).slice(0, 10).replaceAll('-', '')}${randomBytes(12).toString('hex')}`;
    const form: Form = {
      app_id: this.keys.appId,
      auth_app_id: this.keys.appId,
      buyer_id: '2088000199999999',
      buyer_logon_id: 'tes***@sandbox.test',
      charset: 'utf-8',
      gmt_create: beijingTime(record.createdAtMs),
      gmt_payment: beijingTime(record.createdAtMs),
      ...(closes ? { gmt_close: beijingTime(atMs) } : {}),
      gmt_refund: beijingTimeMs(atMs),
      notify_id: notifyId,
      notify_type: 'trade_status_sync',
      out_biz_no: requestNoOf(record),
      out_trade_no: record.outTradeNo,
      refund_fee: yuan(refunded + (options.wrongAmount ? 1 : 0)),
      seller_id: this.keys.sellerId,
      sign_type: 'RSA2',
      subject: '测试 A+B 50% & more',
      total_amount: yuan(total),
      trade_no: payment?.transactionId ?? '',
      trade_status: tradeStatus,
      version: '1.0',
    };
    return { id: notifyId, eventType: `trade_status_sync.${tradeStatus}`, body: JSON.stringify(form) };
  }

  async sign(
    _record: RefundRecord,
    composed: ComposedCallback,
    tamper: Tampering | undefined,
  ): Promise<SignedCallback> {
    // The time of sending is the one thing that a repeat does not repeat.
    const form: Form = { ...(JSON.parse(composed.body) as Form), notify_time: beijingTime(this.state.now()) };
    if (tamper === 'probe') form.app_id = '2021000199999999';
    const key = tamper === 'serial' ? this.keys.app : this.keys.alipay;
    const sign = await signMessage(notificationMessage(form), key.privateKey);
    const body = new URLSearchParams(tampered({ ...form, sign }, tamper)).toString();
    return {
      body: tamper === 'truncated' ? body.slice(0, Math.floor(body.length * 0.6)) : body,
      headers: { 'Content-Type': 'application/x-www-form-urlencoded; charset=utf-8', 'User-Agent': 'Mozilla/4.0' },
    };
  }

  isAcknowledged(status: number, body: string): boolean {
    return status === 200 && body === 'success';
  }
}

/** What is spoiled after signing. Alipay encrypts nothing and has no nonce, so those ways spoil something else that is signed. */
function tampered(form: Form, tamper: Tampering | undefined): Form {
  switch (tamper) {
    case 'signature': {
      const bytes = Buffer.from(form.sign ?? '', 'base64');
      bytes[0] = (bytes[0] ?? 0) ^ 1;
      return { ...form, sign: bytes.toString('base64') };
    }
    case 'ciphertext':
      return { ...form, refund_fee: '0.01' };
    case 'tag':
      return { ...form, out_biz_no: `${form.out_biz_no}X` };
    case 'nonce':
      return { ...form, notify_id: `${form.notify_id}0` };
    case 'timestamp':
      return { ...form, notify_time: '2020-01-01 00:00:00' };
    default:
      return form;
  }
}
