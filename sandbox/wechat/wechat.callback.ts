import { randomBytes, randomUUID } from 'node:crypto';
import type { CallbackFormat, ChannelState, ComposedCallback, SignedCallback, Tampering } from '../gateway.js';
import { randomAlphanumerics } from '../random.js';
import type { RefundRecord, RefundStatus } from '../refund-book.js';
import { SCHEME } from './wechat.auth.js';
import { encryptResource, replyMessage, signMessage } from './wechat.crypto.js';
import type { WechatKeys } from './wechat.keys.js';
import type { WechatLedger } from './wechat.ledger.js';
import { beijingTime, receivedAccount, wechatStatus, type WechatStatus } from './wechat.refund.js';

/** 15s, 15s, 30s, 3m, 10m, 20m, 30m ×3, 60m, 3h ×3, 6h ×2: about a day. */
export const RETRY_AFTER_SECONDS = [
  15, 15, 30, 180, 600, 1200, 1800, 1800, 1800, 3600, 10_800, 10_800, 10_800, 21_600, 21_600,
];
const STALE_SECONDS = 6 * 60;
const TAG_BYTES = 16;
const ASSOCIATED_DATA = 'refund';
const SUMMARIES: Readonly<Record<WechatStatus, string>> = {
  PROCESSING: '退款处理中',
  SUCCESS: '退款成功',
  CLOSED: '退款关闭',
  ABNORMAL: '退款异常',
};

/** Refund notifications (退款结果通知): encrypted with the APIv3 key, signed with a platform key. */
export class WechatCallbacks implements CallbackFormat {
  readonly retryAfterSeconds = RETRY_AFTER_SECONDS;

  constructor(
    private readonly keys: WechatKeys,
    private readonly state: ChannelState,
    private readonly ledger: Pick<WechatLedger, 'isPartners'>,
  ) {}

  notifies(status: RefundStatus): boolean {
    return status !== 'processing' && status !== 'notFound';
  }

  compose(
    record: RefundRecord,
    status: RefundStatus,
    atMs: number,
    options: { wrongAmount: boolean },
  ): ComposedCallback {
    if (status === 'notFound') throw new Error('a gateway cannot tell of a refund that it does not have');
    const word = wechatStatus(status);
    const payment = this.state.book.payment(record.outTradeNo);
    const total = payment?.amount ?? record.amount;
    const { partner, mchId } = this.keys;
    const plaintext = JSON.stringify({
      ...(this.ledger.isPartners(record) ? { sp_mchid: partner.mchId, sub_mchid: partner.subMchId } : { mchid: mchId }),
      out_trade_no: record.outTradeNo,
      transaction_id: payment?.transactionId,
      out_refund_no: record.outRefundNo,
      refund_id: record.gatewayRefundNo,
      refund_status: word,
      ...(word === 'SUCCESS' ? { success_time: beijingTime(atMs) } : {}),
      user_received_account: receivedAccount(record, word),
      amount: {
        total,
        refund: record.amount + (options.wrongAmount ? 1 : 0),
        payer_total: total,
        payer_refund: record.amount,
      },
    });
    const nonce = randomAlphanumerics(12);
    const id = randomUUID();
    const eventType = `REFUND.${word}`;
    const body = JSON.stringify({
      id,
      create_time: beijingTime(this.state.now()),
      resource_type: 'encrypt-resource',
      event_type: eventType,
      summary: SUMMARIES[word],
      resource: {
        original_type: 'refund',
        algorithm: 'AEAD_AES_256_GCM',
        ciphertext: encryptResource(plaintext, this.keys.apiV3Key, nonce, ASSOCIATED_DATA),
        associated_data: ASSOCIATED_DATA,
        nonce,
      },
    });
    return { id, eventType, body };
  }

  async sign(record: RefundRecord, composed: ComposedCallback, tamper: Tampering | undefined): Promise<SignedCallback> {
    const choice = this.state.settings.callbackKey;
    const usePublicKey = choice === 'publicKey' || (choice === 'auto' && record.secondKey);
    const replaced = choice === 'replaced' ? this.keys.replaced.at(-1) : undefined;
    const key = replaced ?? (usePublicKey ? this.keys.publicKey : this.keys.certificate);
    const body = tamperedBody(composed.body, tamper);
    const timestamp = String(Math.floor(this.state.now() / 1000) - (tamper === 'timestamp' ? STALE_SECONDS : 0));
    const nonce = randomBytes(16).toString('hex');
    const signature = await signMessage(replyMessage(timestamp, nonce, body), key.pair.privateKey);
    return {
      body,
      headers: {
        'User-Agent': 'Mozilla/4.0',
        Accept: '*/*',
        Pragma: 'no-cache',
        'Content-Type': 'application/json',
        'Request-ID': requestId(),
        'Wechatpay-Timestamp': timestamp,
        'Wechatpay-Nonce': tamper === 'nonce' ? randomBytes(16).toString('hex') : nonce,
        'Wechatpay-Signature': tamperedSignature(signature, tamper),
        'Wechatpay-Signature-Type': SCHEME,
        'Wechatpay-Serial': tamper === 'serial' ? unknownSerial(key.serial) : key.serial,
      },
    };
  }

  isAcknowledged(status: number): boolean {
    return status === 200 || status === 204;
  }
}

/** A refund is told of by the API that it came by. */
export class EitherFormat implements CallbackFormat {
  readonly retryAfterSeconds = RETRY_AFTER_SECONDS;

  constructor(
    private readonly v3: CallbackFormat,
    private readonly v2: CallbackFormat,
  ) {}

  notifies(status: RefundStatus): boolean {
    return this.v3.notifies(status);
  }

  compose(...[record, ...told]: Parameters<CallbackFormat['compose']>): ComposedCallback {
    return this.of(record).compose(record, ...told);
  }

  sign(...[record, ...message]: Parameters<CallbackFormat['sign']>): Promise<SignedCallback> {
    return this.of(record).sign(record, ...message);
  }

  isAcknowledged(status: number, body: string, record: RefundRecord): boolean {
    return this.of(record).isAcknowledged(status, body, record);
  }

  private of(record: RefundRecord): CallbackFormat {
    return record.wire === 'v2' ? this.v2 : this.v3;
  }
}

/** Shaped like the platform's: hexadecimal, a dash, digits. */
export function requestId(): string {
  return `08${randomBytes(20).toString('hex').toUpperCase()}-0`;
}

/** What is spoiled before signing, so that only decryption or parsing can find it. */
function tamperedBody(body: string, tamper: Tampering | undefined): string {
  if (tamper === 'truncated') return body.slice(0, Math.floor(body.length * 0.6));
  if (tamper !== 'ciphertext' && tamper !== 'tag') return body;
  return body.replace(/"ciphertext":"([^"]+)"/, (_member, ciphertext: string) => {
    const bytes = Buffer.from(ciphertext, 'base64');
    const index = tamper === 'tag' ? bytes.length - TAG_BYTES : 0;
    bytes[index] = (bytes[index] ?? 0) ^ 1;
    return `"ciphertext":"${bytes.toString('base64')}"`;
  });
}

function tamperedSignature(signature: string, tamper: Tampering | undefined): string {
  // Signature probes (签名探测流量): WeChat sends them to find merchants that do not verify.
  if (tamper === 'probe') return `WECHATPAY/SIGNTEST/${signature}`;
  if (tamper !== 'signature') return signature;
  const bytes = Buffer.from(signature, 'base64');
  bytes[0] = (bytes[0] ?? 0) ^ 1;
  return bytes.toString('base64');
}

function unknownSerial(serial: string): string {
  const last = serial.slice(-1);
  return `${serial.slice(0, -1)}${last === '0' ? '1' : '0'}`;
}
