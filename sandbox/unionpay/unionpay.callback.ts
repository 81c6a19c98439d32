import type { CallbackFormat, ChannelState, ComposedCallback, SignedCallback, Tampering } from '../gateway.js';
import { statusAt, type RefundRecord, type RefundStatus } from '../refund-book.js';
import { signedText, signText, type Form } from './unionpay.crypto.js';
import type { SigningPair, UnionpayKeys } from './unionpay.keys.js';
import { noticeOf, timeText } from './unionpay.refund.js';

/** Five deliveries: public copies of the documents say 1, 2, 4 and 5 minutes after the one before; older demos 0, 1, 2 and 4. */
const RETRY_AFTER_SECONDS = [60, 120, 240, 300];

/** Back notifications (后台通知) of refunds. */
export class UnionpayCallbacks implements CallbackFormat {
  readonly retryAfterSeconds = RETRY_AFTER_SECONDS;

  constructor(
    private readonly keys: UnionpayKeys,
    private readonly state: ChannelState,
  ) {}

  /** Refunds are back-office transactions, of which failures are told too; of payments only successes are. */
  notifies(status: RefundStatus): boolean {
    return status === 'success' || status === 'failed' || status === 'closed';
  }

  compose(
    record: RefundRecord,
    status: RefundStatus,
    atMs: number,
    options: { wrongAmount: boolean },
  ): ComposedCallback {
    const told = status === 'notFound' ? 'processing' : status;
    const form = noticeOf(
      {
        record,
        status: told,
        sinceMs: atMs,
        defective: this.state.settings.defectiveSuccess && statusAt(record, this.state.now()) === 'success',
        offBy: options.wrongAmount ? 1 : 0,
      },
      txnTimeOf(record),
      this.state.book.payment(record.outTradeNo)?.transactionId ?? '',
    );
    return {
      id: `${record.outRefundNo}.${form.respCode ?? ''}`,
      eventType: `04.${form.respCode ?? ''}`,
      body: JSON.stringify({ ...form, bizType: '000201', accessType: '0', encoding: 'UTF-8', merId: this.keys.merId }),
    };
  }

  async sign(
    _record: RefundRecord,
    composed: ComposedCallback,
    tamper: Tampering | undefined,
  ): Promise<SignedCallback> {
    const signer = this.signerFor(tamper);
    const form: Form = {
      ...(JSON.parse(composed.body) as Form),
      version: '5.1.0',
      signMethod: '01',
      signPubKeyCert: wirePem(signer.certificate),
    };
    const signature = await signText(signedText(form), signer.privateKey);
    const body = new URLSearchParams(tampered({ ...form, signature }, tamper)).toString();
    return {
      body: tamper === 'truncated' ? body.slice(0, Math.floor(body.length * 0.6)) : body,
      headers: { 'Content-Type': 'application/x-www-form-urlencoded; charset=UTF-8', 'User-Agent': 'Java/1.8.0' },
    };
  }

  isAcknowledged(status: number): boolean {
    return status === 200 || status === 302;
  }

  /** `serial`: a forged certificate in UnionPay's name; `probe`: a genuine one of the same authority, but a merchant's. */
  private signerFor(tamper: Tampering | undefined): SigningPair {
    switch (tamper) {
      case 'serial':
        return this.keys.forged;
      case 'probe':
        return this.keys.merchant;
      default:
        return this.keys.unionpay;
    }
  }
}

/** Of a created refund as the create said; of a registered one, whose merchant's time nobody told, when it was registered. */
export function txnTimeOf(record: RefundRecord): string {
  return record.content ?? timeText(record.createdAtMs);
}

/** Certificates come with the line ends of Windows and without one after the last line. */
export function wirePem(pem: string): string {
  return pem.trimEnd().replaceAll('\n', '\r\n');
}

/** What is spoiled after signing. UnionPay encrypts nothing and has no nonce, so those ways spoil something else that is signed. */
function tampered(form: Form, tamper: Tampering | undefined): Form {
  switch (tamper) {
    case 'signature': {
      const bytes = Buffer.from(form.signature ?? '', 'base64');
      bytes[0] = (bytes[0] ?? 0) ^ 1;
      return { ...form, signature: bytes.toString('base64') };
    }
    case 'ciphertext':
      return { ...form, txnAmt: '1' };
    case 'tag':
      return { ...form, orderId: `${form.orderId}X` };
    case 'nonce':
      return { ...form, queryId: `${form.queryId?.slice(0, -1)}X` };
    case 'timestamp':
      return { ...form, txnTime: '20200101000000' };
    default:
      return form;
  }
}
