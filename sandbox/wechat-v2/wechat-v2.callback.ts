import { randomUUID } from 'node:crypto';
import type { CallbackFormat, ChannelState, ComposedCallback, SignedCallback, Tampering } from '../gateway.js';
import { randomAlphanumerics } from '../random.js';
import type { RefundRecord, RefundStatus } from '../refund-book.js';
import { RETRY_AFTER_SECONDS } from '../wechat/wechat.callback.js';
import type { WechatLedger } from '../wechat/wechat.ledger.js';
import { receivedAccount } from '../wechat/wechat.refund.js';
import { sealReqInfo } from './wechat-v2.crypto.js';
import type { WechatV2Keys } from './wechat-v2.keys.js';
import { v2Status, v2Time } from './wechat-v2.refund.js';
import { formatXml, parseXml } from './wechat-v2.xml.js';

const BLOCK_BYTES = 16;

/** Refund notifications (退款结果通知) of the older API: encrypted with a key made of the API key, signed by nothing. */
export class WechatV2Callbacks implements CallbackFormat {
  readonly retryAfterSeconds = RETRY_AFTER_SECONDS;

  constructor(
    private readonly keys: WechatV2Keys,
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
    const word = v2Status(status);
    const payment = this.state.book.payment(record.outTradeNo);
    const total = String(payment?.amount ?? record.amount);
    const plaintext = formatXml(
      {
        out_refund_no: record.outRefundNo,
        out_trade_no: record.outTradeNo,
        refund_account: 'REFUND_SOURCE_RECHARGE_FUNDS',
        refund_fee: String(record.amount + (options.wrongAmount ? 1 : 0)),
        refund_id: record.gatewayRefundNo ?? '',
        refund_recv_accout: receivedAccount(record, word === 'CHANGE' ? 'ABNORMAL' : 'SUCCESS'),
        refund_request_source: 'API',
        refund_status: word,
        settlement_refund_fee: String(record.amount),
        settlement_total_fee: total,
        ...(word === 'SUCCESS' ? { success_time: v2Time(atMs) } : {}),
        total_fee: total,
        transaction_id: payment?.transactionId ?? '',
      },
      'root',
    );
    return { id: randomUUID(), eventType: `REFUND.${word}`, body: plaintext };
  }

  /** A repetition has another nonce and the same content. */
  sign(record: RefundRecord, composed: ComposedCallback, tamper: Tampering | undefined): Promise<SignedCallback> {
    const { appId, partner, apiKey, rogueKey } = this.keys;
    const isPartners = this.ledger.isPartners(record);
    const mchId = isPartners ? partner.mchId : this.keys.mchId;
    const plaintext =
      tamper === 'timestamp' ? composed.body.replace(/(<refund_status><!\[CDATA\[)\w+/, '$1PROCESSING') : composed.body;
    const reqInfo = spoiled(sealReqInfo(plaintext, tamper === 'signature' ? rogueKey : apiKey), tamper);
    const body = formatXml({
      return_code: 'SUCCESS',
      appid: appId,
      mch_id: tamper === 'serial' ? `${mchId.slice(0, -1)}9` : mchId,
      ...(isPartners ? { sub_mch_id: partner.subMchId } : {}),
      nonce_str: randomAlphanumerics(32),
      ...(tamper === 'nonce' ? {} : { req_info: reqInfo }),
    });
    return Promise.resolve({
      body:
        tamper === 'probe'
          ? `<!DOCTYPE xml [<!ENTITY probe SYSTEM "file:///etc/hostname">]>${body}`
          : tamper === 'truncated'
            ? body.slice(0, Math.floor(body.length * 0.6))
            : body,
      headers: { 'User-Agent': 'Mozilla/4.0', Accept: '*/*', Pragma: 'no-cache', 'Content-Type': 'text/xml' },
    });
  }

  /** The HTTP status says nothing: what counts is the word in the body. */
  isAcknowledged(status: number, body: string): boolean {
    return status === 200 && parseXml(body)?.return_code === 'SUCCESS';
  }
}

/** The cipher has no tag: what is changed is found only because it is no XML or no padding any more. */
function spoiled(reqInfo: string, tamper: Tampering | undefined): string {
  if (tamper !== 'ciphertext' && tamper !== 'tag') return reqInfo;
  const bytes = Buffer.from(reqInfo, 'base64');
  const kept = tamper === 'tag' ? bytes.subarray(0, -BLOCK_BYTES) : bytes.subarray(BLOCK_BYTES);
  return kept.toString('base64');
}
