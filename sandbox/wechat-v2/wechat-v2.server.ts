import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { holdBack, trackCall } from '../call.js';
import type { Fault, Operation } from '../faults.js';
import type { CallbackControl, ChannelState } from '../gateway.js';
import { BodyTooLarge, cutConnection, readBody } from '../http.js';
import { randomAlphanumerics } from '../random.js';
import { BookFull, statusAndSince, statusAt, type PaymentRecord, type RefundRecord } from '../refund-book.js';
import { LedgerRefusal, type WechatCreate, type WechatLedger } from '../wechat/wechat.ledger.js';
import { authenticate, type Sender } from './wechat-v2.auth.js';
import { parseCreate, parseQuery } from './wechat-v2.body.js';
import { signedText, signText } from './wechat-v2.crypto.js';
import {
  BusinessRefusal,
  frequencyLimited,
  LEDGER_CODES,
  MessageFault,
  refundNotExist,
  systemError,
} from './wechat-v2.error.js';
import type { WechatV2Keys } from './wechat-v2.keys.js';
import { acceptedFields, paymentFields, queriedFields, v2Status } from './wechat-v2.refund.js';
import { formatXml, parseXml } from './wechat-v2.xml.js';

const OPERATIONS: Readonly<Record<string, 'query' | 'create'>> = {
  '/pay/refundquery': 'query',
  '/secapi/pay/refund': 'create',
};
const MAX_BODY_BYTES = 64 * 1024;
const DEFAULT_SLOW_MS = 1500;
/** Refunds of one answer to a query by the payment. */
const PAGE = 10;

type Members = Record<string, string>;

/** One request on its way through. */
interface Call {
  operation: 'query' | 'create';
  /** How many requests its second has had. */
  inSecond: number;
  /** Null until its signature was accepted. */
  sender: Sender | null;
  /** Ends the count of this call as one under way. */
  release: () => void;
}

/** What becomes of a call: XML, a bare HTTP error, a cut connection, or silence. */
type Outcome = { xml: Members; fault: Fault | null } | 'page500' | 'rst' | 'fin' | 'silence';

/** WeChat Pay APIv2: the two operations about refunds, over the book of APIv3. */
export class WechatV2Wire {
  private systemErrors = 0;

  constructor(
    private readonly keys: WechatV2Keys,
    private readonly state: ChannelState,
    private readonly ledger: WechatLedger,
    private readonly callbacks: CallbackControl & {
      unwatch(record: RefundRecord): void;
      announce(record: RefundRecord, status: 'failed', atMs: number): void;
    },
  ) {}

  owns(path: string): boolean {
    return Object.hasOwn(OPERATIONS, path.split('?', 1)[0] ?? '');
  }

  connectorConfig(baseUrl: string, asPartner: boolean): Record<string, unknown> {
    const { appId, mchId, partner, apiKey, clientCertificate, clientKey } = this.keys;
    return {
      apiVersion: 'v2',
      appId,
      ...(asPartner ? partner : { mchId }),
      apiKey,
      clientCertificate,
      clientKey,
      baseUrl,
    };
  }

  async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { meter, now, settings } = this.state;
    const inSecond = meter.countRequest(now());
    const operation = OPERATIONS[(request.url ?? '').split('?', 1)[0] ?? ''] ?? 'query';
    const call: Call = { operation, inSecond, sender: null, release: () => undefined };
    let outcome: Outcome;
    try {
      const members = await this.read(request);
      call.sender = authenticate(members, this.keys);
      outcome = await this.perform(call, call.sender, members, request, response);
    } catch (error) {
      outcome = { xml: this.refusal(operation, error), fault: null };
    }
    if (outcome === 'silence') {
      holdBack(request, response);
      return;
    }
    if (outcome === 'rst' || outcome === 'fin') {
      call.release();
      cutConnection(request, outcome);
      return;
    }
    if (settings.latencyMs > 0) await sleep(settings.latencyMs, undefined, { ref: false });
    // Before the first byte leaves: a client that asks again at once must not look like two calls at the same time.
    call.release();
    if (response.destroyed) return;
    if (outcome === 'page500') {
      response
        .writeHead(500, { 'Content-Type': 'text/html' })
        .end('<html><body>500 Internal Server Error</body></html>');
      return;
    }
    const xml = formatXml(this.signed(outcome.xml, call.sender, outcome.fault));
    const text = outcome.fault?.kind === 'malformed' ? xml.slice(0, Math.floor(xml.length * 0.6)) : xml;
    response.writeHead(200, { 'Content-Type': 'text/plain', 'Content-Length': Buffer.byteLength(text) }).end(text);
  }

  private async read(request: IncomingMessage): Promise<Members> {
    const raw = await readBody(request, MAX_BODY_BYTES);
    if (request.method !== 'POST') throw new MessageFault('请使用post方法');
    if (raw.length === 0) throw new MessageFault('post数据为空');
    let text: string;
    try {
      text = new TextDecoder('utf-8', { fatal: true }).decode(raw);
    } catch {
      // The platform's words for bytes that are no UTF-8.
      throw new MessageFault('请使用UTF-8编码');
    }
    const members = parseXml(text);
    if (!members) throw new MessageFault('XML格式错误');
    return members;
  }

  private async perform(
    call: Call,
    { isPartner }: Sender,
    members: Members,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<Outcome> {
    const { faults, meter, now, settings } = this.state;
    const { operation } = call;
    const { record, act } =
      operation === 'create' ? this.creating(parseCreate(members), isPartner) : this.querying(members, isPartner);
    call.release = trackCall(record, operation === 'query', request, response);
    if (settings.ratePerSecond > 0 && call.inSecond > settings.ratePerSecond) throw frequencyLimited();

    const fault = faults.pick({ operation, outRefundNo: record.outRefundNo, status: statusAt(record, now()) });
    if (fault) meter.countFault(fault.kind);
    switch (fault?.kind) {
      case 'reset':
        return 'rst';
      case 'lostRequest':
        return 'fin';
      case 'http500':
        return 'page500';
      case 'systemError':
        // The two words for "again, please" in turn.
        this.systemErrors += 1;
        throw operation === 'create' && this.systemErrors % 2 === 0
          ? new BusinessRefusal('BIZERR_NEED_RETRY', '退款业务流程错误，需要商户触发重试来解决')
          : systemError();
      case 'http429':
        throw frequencyLimited();
      case 'refused':
        return { xml: refusedXml('PARAM_ERROR', 'refused by a fault of the sandbox'), fault };
      default:
        break;
    }
    let xml: Members;
    try {
      xml = { return_code: 'SUCCESS', return_msg: 'OK', result_code: 'SUCCESS', ...act(fault) };
    } catch (error) {
      xml = this.refusal(operation, error);
    }
    if (fault?.kind === 'timeout') return 'silence';
    if (fault?.kind === 'lostAnswer') return 'fin';
    if (fault?.kind === 'slow') await sleep(fault.delayMs ?? DEFAULT_SLOW_MS, undefined, { ref: false });
    return { xml, fault };
  }

  private creating(body: WechatCreate, isPartner: boolean): { record: RefundRecord; act: () => Members } {
    const { book, meter } = this.state;
    const record = book.heardOf(body.outRefundNo);
    record.creates += 1;
    meter.creates += 1;
    return {
      record,
      act: () => {
        this.ledger.create(record, body, { isPartner, secondKey: false, wire: 'v2' });
        return acceptedFields(record, this.paymentOf(record));
      },
    };
  }

  private querying(
    members: Members,
    isPartner: boolean,
  ): { record: RefundRecord; act: (fault: Fault | null) => Members } {
    const { book, meter, now } = this.state;
    const { by, no, offset } = parseQuery(members);
    const found = this.recordsBy(by, no).filter((record) => this.ledger.belongsTo(record, isPartner));
    // By our number also one that nobody sent is remembered, so that questions about it are counted.
    const record = by === 'out_refund_no' ? book.heardOf(no) : found[0];
    if (!record) throw refundNotExist();
    record.queries += 1;
    meter.queries += 1;
    return {
      record,
      act: (fault) => {
        const seen = found.filter((candidate) => statusAt(candidate, now()) !== 'notFound');
        if (fault?.kind === 'notFoundThenFound' || seen.length === 0) throw refundNotExist();
        if (offset >= seen.length) throw new BusinessRefusal('PARAM_ERROR', 'offset参数有误');
        const answer = this.list(seen, offset, fault);
        if (fault?.kind === 'successThenFailed') {
          record.override = { status: 'failed', atMs: now() };
          this.callbacks.unwatch(record);
          this.callbacks.announce(record, 'failed', now());
        }
        return answer;
      },
    };
  }

  private recordsBy(by: ReturnType<typeof parseQuery>['by'], no: string): RefundRecord[] {
    const { book } = this.state;
    const one = (record: RefundRecord | undefined): RefundRecord[] => (record?.stored ? [record] : []);
    switch (by) {
      case 'refund_id':
        return one(book.findByGatewayNo(no));
      case 'out_refund_no':
        return one(book.find(no));
      case 'transaction_id':
      case 'out_trade_no': {
        const payment = by === 'transaction_id' ? book.paymentByTransaction(no) : book.payment(no);
        return payment ? [...book.ofPayment(payment.outTradeNo)].filter(({ stored }) => stored) : [];
      }
    }
  }

  private list(records: readonly RefundRecord[], offset: number, fault: Fault | null): Members {
    const page = records.slice(offset, offset + PAGE);
    const [first] = page;
    if (!first) throw refundNotExist();
    const sum = records.reduce((total, { amount }) => total + amount, 0);
    const fields: Members = {
      ...paymentFields(this.paymentOf(first)),
      refund_count: String(page.length),
      total_refund_count: String(records.length),
      refund_fee: String(sum),
    };
    for (const [index, record] of page.entries()) {
      const { status, sinceMs } = statusAndSince(record, this.state.now());
      Object.assign(
        fields,
        queriedFields(record, index, {
          status: v2Status(status === 'notFound' ? 'processing' : status),
          sinceMs,
          refundOffBy: fault?.kind === 'wrongAmount' ? 1 : 0,
        }),
      );
    }
    return fields;
  }

  private paymentOf(record: RefundRecord): PaymentRecord {
    const payment = this.state.book.payment(record.outTradeNo);
    if (!payment) throw new Error(`refund ${record.outRefundNo} has no payment`);
    return payment;
  }

  private refusal(operation: Operation, error: unknown): Members {
    const { meter, now, settings } = this.state;
    if (error instanceof MessageFault || error instanceof BodyTooLarge) {
      if (error.message.startsWith('签名')) meter.refusedSignatures += 1;
      return { return_code: 'FAIL', return_msg: error.message };
    }
    let refusal =
      error instanceof LedgerRefusal
        ? new BusinessRefusal(LEDGER_CODES[error.reason], error.message)
        : error instanceof BookFull
          ? systemError()
          : error;
    if (!(refusal instanceof BusinessRefusal)) throw refusal;
    if (operation === 'create' && refusal.code !== 'SYSTEMERROR' && refusal.code !== 'FREQUENCY_LIMITED') {
      const failed = meter.countRefusal(now());
      if (settings.failedRatePerSecond > 0 && failed > settings.failedRatePerSecond)
        refusal = new BusinessRefusal('INVALID_REQ_TOO_MUCH', '无效请求过多');
    }
    const { code, message } = refusal as BusinessRefusal;
    if (code === 'FREQUENCY_LIMITED' || code === 'INVALID_REQ_TOO_MUCH') meter.rateLimited += 1;
    return refusedXml(code, message);
  }

  /** What says `return_code=FAIL` is not signed: there may be nobody to sign it for. */
  private signed(xml: Members, sender: Sender | null, fault: Fault | null): Members {
    if (sender === null || xml.return_code !== 'SUCCESS') return xml;
    const { appId, mchId, partner, apiKey, rogueKey } = this.keys;
    const merchant: Members = sender.isPartner
      ? { mch_id: partner.mchId, sub_mch_id: partner.subMchId }
      : { mch_id: mchId };
    const members = { ...xml, appid: appId, ...merchant, nonce_str: randomAlphanumerics(16) };
    const refuses = xml.result_code !== 'SUCCESS';
    if (refuses && this.state.settings.signErrors === false && fault?.kind !== 'refused') return members;
    const key = fault?.kind === 'badSignature' ? rogueKey : apiKey;
    return { ...members, sign: signText(signedText(members, key), key, sender.signType) };
  }
}

function refusedXml(code: string, message: string): Members {
  return { return_code: 'SUCCESS', return_msg: 'OK', result_code: 'FAIL', err_code: code, err_code_des: message };
}
