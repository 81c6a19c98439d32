import { randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { ERROR_PAGE, settle, trackCall, underFault, type Interruption } from '../call.js';
import { CallbackSender } from '../callbacks.js';
import { FaultPlan, type Fault } from '../faults.js';
import {
  DEFAULT_SETTINGS,
  type AccountVariant,
  type ChannelSettings,
  type ChannelState,
  type GatewaySimulator,
} from '../gateway.js';
import { BodyTooLarge, readBody } from '../http.js';
import type { KeyRing } from '../keys.js';
import {
  BookFull,
  RefundBook,
  statusAndSince,
  statusAt,
  type PaymentRecord,
  type RefundRecord,
} from '../refund-book.js';
import { Meter } from '../stats.js';
import { checkApplication, checkRequest, type Parameters } from './alipay.auth.js';
import {
  mergeParameters,
  parseQuery,
  parseRefund,
  type QueryBody,
  type RefundBody,
  type TradeReference,
} from './alipay.body.js';
import { AlipayCallbacks } from './alipay.callback.js';
import { signMessage } from './alipay.crypto.js';
import {
  AlipayRefusal,
  businessFailed,
  callLimited,
  invalid,
  invalidParameter,
  missing,
  tradeNotExist,
} from './alipay.error.js';
import { openAlipayKeys, type AlipayKeys } from './alipay.keys.js';
import { beijingTime, NOTHING_SAID, queryAnswer, refundAnswer, wireJson, yuan } from './alipay.refund.js';

const GATEWAY_PATH = '/gateway.do';
const REFUND = 'alipay.trade.refund';
const QUERY = 'alipay.trade.fastpay.refund.query';
const MAX_BODY_BYTES = 64 * 1024;
const CURRENCY = 'CNY';

/** One request on its way through. */
interface Call {
  request: IncomingMessage;
  response: ServerResponse;
  parameters: Parameters;
  /** Name of the answer's member: `alipay_trade_refund_response`, or `error_response` before the method is known. */
  member: string;
  /** What is known of the caller so far; errors are signed accordingly. */
  caller: 'unknown' | 'application' | 'authenticated';
  /** Ends the count of this call as one under way. */
  release: () => void;
}

interface Reply {
  /** The response alone, which is what the signature is over. */
  text: string;
  refused: boolean;
  /** The fault that the sending of it still has to commit. */
  fault: Fault | null;
  /** The refund that it describes, when it does nothing else. */
  about: RefundRecord | null;
}

export interface AlipayOptions {
  ring: KeyRing;
  now: () => number;
  settings?: Partial<ChannelSettings>;
}

/** Alipay OpenAPI v1 (`gateway.do`): refunds of one application. */
export class AlipaySimulator implements GatewaySimulator {
  readonly channel = 'ali_pay';
  readonly gateway = 'alipay';
  readonly state: ChannelState;
  readonly callbacks: CallbackSender;
  /** The last answer about a refund. Its signature covers no time and no nonce, so the same answer has the same one. */
  private readonly signed = new WeakMap<RefundRecord, { text: string; signature: string }>();

  private constructor(
    private readonly keys: AlipayKeys,
    options: AlipayOptions,
  ) {
    const day = beijingTime(options.now()).slice(0, 10).replaceAll('-', '');
    const startedAt = String(options.now()).padStart(13, '0').slice(-10);
    const book = new RefundBook({
      // Alipay numbers no refunds; the sandbox's own are not on the wire.
      refundNo: (sequence) => `SB${day}${startedAt}${String(sequence).padStart(8, '0')}`,
      paymentNo: (sequence) => `${day}${startedAt}${String(sequence).padStart(10, '0')}`,
    });
    const settings = { ...DEFAULT_SETTINGS, ...options.settings };
    this.state = { book, faults: new FaultPlan(), meter: new Meter(), settings, now: options.now };
    this.callbacks = new CallbackSender(this.state, new AlipayCallbacks(keys, this.state));
  }

  static async open(options: AlipayOptions): Promise<AlipaySimulator> {
    return new AlipaySimulator(await openAlipayKeys(options.ring), options);
  }

  owns(path: string): boolean {
    return path === GATEWAY_PATH || path.startsWith(`${GATEWAY_PATH}?`);
  }

  refundNoFault(_outRefundNo: string): string | undefined {
    // The control API asks for 1 to 64 visible characters, and so does Alipay.
    return undefined;
  }

  connectorConfig(baseUrl: string, variant?: AccountVariant): Record<string, unknown> {
    const { appId, sellerId, app, alipay, certificates } = this.keys;
    const { appCert, alipayPublicCert, alipayRootCert } = certificates;
    return {
      appId,
      privateKey: app.privatePem,
      ...(variant === 'certificates'
        ? { appCert, alipayPublicCert, alipayRootCert }
        : { alipayPublicKey: alipay.publicPem }),
      sellerId,
      gatewayUrl: `${baseUrl}${GATEWAY_PATH}`,
    };
  }

  async prepare(record: RefundRecord): Promise<void> {
    const payment = this.state.book.payment(record.outTradeNo);
    if (this.state.settings.presign === 'off' || !payment) return;
    await this.signatureOf(wireJson(this.view(record, payment, new Set(['gmt_refund_pay']), 0)), record);
  }

  async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { meter, now, settings } = this.state;
    const inSecond = meter.countRequest(now());
    const call: Call = {
      request,
      response,
      parameters: new Map(),
      member: 'error_response',
      caller: 'unknown',
      release: () => undefined,
    };
    let outcome: Reply | Interruption;
    try {
      if (request.method !== 'POST' && request.method !== 'GET') throw invalid('method', '无效的请求方式');
      const body = await readBody(request, MAX_BODY_BYTES);
      call.parameters = mergeParameters(request.url ?? '/', body, request.headers['content-type']);
      outcome = await this.perform(call, inSecond);
    } catch (error) {
      outcome = this.replyToRefusal(error);
    }
    const left = await settle(call, outcome, settings.latencyMs);
    if (left === 'errorPage') send(call, 500, ERROR_PAGE);
    else if (left !== null) send(call, 200, await this.envelope(call, left));
  }

  private async perform(call: Call, inSecond: number): Promise<Reply | Interruption> {
    const { faults, meter, now, settings } = this.state;
    const method = methodOf(call.parameters);
    call.member = `${method.replaceAll('.', '_')}_response`;
    checkApplication(call.parameters, this.keys);
    call.caller = 'application';
    checkRequest(call.parameters, this.keys, now());
    call.caller = 'authenticated';

    const { record, operation, act } = method === REFUND ? this.refundCall(call) : this.queryCall(call);
    call.release = trackCall(record, operation === 'query', call.request, call.response);
    if (settings.ratePerSecond > 0 && inSecond > settings.ratePerSecond) throw callLimited();

    const fault = faults.pick({ operation, outRefundNo: record.outRefundNo, status: statusAt(record, now()) });
    if (fault) meter.countFault(fault.kind);
    return underFault<Reply>(fault, {
      limited: () => {
        throw callLimited();
      },
      systemError: (turn) => {
        throw systemError(turn);
      },
      refused: () => ({ ...this.replyToRefusal(invalidParameter('refused by a fault of the sandbox')), fault }),
      answer: () => {
        try {
          return { text: wireJson(act(fault)), refused: false, fault, about: fault ? null : record };
        } catch (error) {
          return { ...this.replyToRefusal(error), fault };
        }
      },
    });
  }

  private queryCall(call: Call): Act {
    const body = parseQuery(call.parameters);
    const payment = this.paymentNamed(body);
    const record = this.recordOf(body.outRequestNo, payment, body);
    record.queries += 1;
    this.state.meter.queries += 1;
    return { record, operation: 'query', act: (fault) => this.query(record, payment, body, fault) };
  }

  private refundCall(call: Call): Act {
    const body = parseRefund(call.parameters);
    const payment = this.paymentNamed(body);
    const outTradeNo = payment?.outTradeNo ?? body.outTradeNo ?? '';
    // Without a number it takes the payment's, which only a refund of all that is left can do.
    const record = this.recordOf(body.outRequestNo ?? outTradeNo, payment, body);
    record.creates += 1;
    this.state.meter.creates += 1;
    return { record, operation: 'create', act: (fault) => this.refund(record, payment, body, fault) };
  }

  private query(
    record: RefundRecord,
    payment: PaymentRecord | undefined,
    body: QueryBody,
    fault: Fault | null,
  ): Record<string, unknown> {
    if (!payment) throw tradeNotExist();
    if (fault?.kind === 'notFoundThenFound') return NOTHING_SAID;
    const answer = this.view(record, payment, body.options, fault?.kind === 'wrongAmount' ? 1 : 0);
    if (fault?.kind === 'successThenFailed') {
      record.override = { status: 'failed', atMs: this.state.now() };
      this.callbacks.unwatch(record);
    }
    return answer;
  }

  private view(
    record: RefundRecord,
    payment: PaymentRecord,
    options: ReadonlySet<string>,
    offBy: number,
  ): Record<string, unknown> {
    return queryAnswer({ record, payment, ...statusAndSince(record, this.state.now()), options, offBy });
  }

  private refund(
    record: RefundRecord,
    known: PaymentRecord | undefined,
    body: RefundBody,
    fault: Fault | null,
  ): Record<string, unknown> {
    const { book, now, settings } = this.state;
    const nowMs = now();
    const offBy = fault?.kind === 'wrongAmount' ? 1 : 0;
    if (record.stored && known) {
      if (record.amount !== body.amount)
        throw businessFailed('DISCORDANT_REPEAT_REQUEST', '请求信息不一致，退款金额与上次请求不同');
      return this.refundView(record, known, 'N', offBy);
    }
    const payment = known ?? this.believedPayment(body);
    const { heldAmount } = book.refundsOf(payment.outTradeNo, nowMs);
    const left = payment.amount - heldAmount;
    if (payment.declared) {
      if (left <= 0) throw businessFailed('TRADE_HAS_CLOSE', '交易已经关闭');
      if (body.amount > left) throw businessFailed('REFUND_AMT_NOT_EQUAL_TOTAL', `退款金额超限，可退金额${yuan(left)}`);
      if (body.outRequestNo === undefined && body.amount < payment.amount)
        throw invalidParameter('部分退款时退款请求号不能为空');
    } else {
      // Nobody said what the payment's total is, and a refund call does not say it either: it has what its refunds need.
      payment.amount = Math.max(payment.amount, heldAmount + body.amount);
    }
    book.create(
      record,
      {
        payment,
        amount: body.amount,
        notifyUrl: payment.notifyUrl,
        content: String(body.amount),
        defaultScript: settings.defaultScript,
        secondKey: false,
      },
      nowMs,
    );
    this.callbacks.watch(record, undefined);
    return this.refundView(record, payment, statusAt(record, nowMs) === 'success' ? 'Y' : 'N', offBy);
  }

  private refundView(
    record: RefundRecord,
    payment: PaymentRecord,
    fundChange: 'Y' | 'N',
    offBy: number,
  ): Record<string, unknown> {
    const nowMs = this.state.now();
    const { status, sinceMs } = statusAndSince(record, nowMs);
    const { heldAmount } = this.state.book.refundsOf(payment.outTradeNo, nowMs);
    return refundAnswer(payment, fundChange, heldAmount + offBy, status === 'success' ? sinceMs : null);
  }

  private paymentNamed({ tradeNo, outTradeNo }: TradeReference): PaymentRecord | undefined {
    const { book } = this.state;
    if (tradeNo !== undefined) return book.paymentByTransaction(tradeNo);
    return outTradeNo === undefined ? undefined : book.payment(outTradeNo);
  }

  /** The payment of a create that names an unknown one: believed where the settings say so. */
  private believedPayment(body: RefundBody): PaymentRecord {
    const outTradeNo = body.outTradeNo ?? body.tradeNo;
    if (!this.state.settings.autoPayments || outTradeNo === undefined) throw tradeNotExist();
    return this.state.book.declarePayment(
      { outTradeNo, amount: body.amount, currency: CURRENCY, transactionId: body.tradeNo },
      false,
    );
  }

  /** The record of a number within its payment (alipay.refund.ts, `requestNoOf`). */
  private recordOf(requestNo: string, payment: PaymentRecord | undefined, named: TradeReference): RefundRecord {
    const { book } = this.state;
    const outTradeNo = payment?.outTradeNo ?? named.outTradeNo ?? named.tradeNo ?? '';
    const known = book.find(requestNo);
    const isOthers = known !== undefined && known.outTradeNo !== '' && known.outTradeNo !== outTradeNo;
    return book.heardOf(isOthers ? `${requestNo}@${outTradeNo}` : requestNo);
  }

  private replyToRefusal(error: unknown): Reply {
    const refusal = asRefusal(error);
    const { meter } = this.state;
    if (refusal.code === '40005') meter.rateLimited += 1;
    if (refusal.subCode === 'isv.invalid-signature') meter.refusedSignatures += 1;
    return { text: wireJson(refusal.body()), refused: true, fault: null, about: null };
  }

  private async envelope(call: Call, reply: Reply): Promise<string> {
    const { certificates } = this.keys;
    const certSn = call.parameters.has('app_cert_sn') ? `,"alipay_cert_sn":"${certificates.alipayCertSn}"` : '';
    const sign = this.mustSign(call, reply) ? `,"sign":"${await this.signatureFor(reply)}"` : '';
    const text = `{"${call.member}":${reply.text}${certSn}${sign}}`;
    return reply.fault?.kind === 'malformed' ? text.slice(0, Math.floor(text.length * 0.6)) : text;
  }

  private async signatureFor(reply: Reply): Promise<string> {
    return reply.fault?.kind === 'badSignature'
      ? signMessage(reply.text, this.keys.app.privateKey)
      : this.signatureOf(reply.text, reply.about);
  }

  private async signatureOf(text: string, about: RefundRecord | null): Promise<string> {
    const kept = about === null ? undefined : this.signed.get(about);
    if (kept?.text === text) return kept.signature;
    const signature = await signMessage(text, this.keys.alipay.privateKey);
    if (about !== null) this.signed.set(about, { text, signature });
    return signature;
  }

  /** Seen at the real gateway: `error_response`, and what an unknown application is told, have no signature. */
  private mustSign(call: Call, reply: Reply): boolean {
    if (call.caller === 'unknown') return false;
    const { signErrors } = this.state.settings;
    if (!reply.refused || reply.fault?.kind === 'refused') return true;
    return signErrors === 'authenticated' ? call.caller === 'authenticated' : signErrors;
  }
}

interface Act {
  record: RefundRecord;
  operation: 'query' | 'create';
  act: (fault: Fault | null) => Record<string, unknown>;
}

function methodOf(parameters: Parameters): typeof REFUND | typeof QUERY {
  const method = parameters.get('method') ?? '';
  if (method === '') throw missing('method', '缺少方法名参数');
  if (method !== REFUND && method !== QUERY) throw invalid('method', '不存在的方法名');
  return method;
}

/** The gateway has two ways to say that it could not: both in turn. */
function systemError(turn: number): AlipayRefusal {
  return turn % 2 === 1
    ? businessFailed('SYSTEM_ERROR', '接口返回错误')
    : new AlipayRefusal('20000', 'aop.unknow-error', '系统繁忙');
}

function asRefusal(error: unknown): AlipayRefusal {
  if (error instanceof AlipayRefusal) return error;
  if (error instanceof BodyTooLarge) return invalidParameter(`the body has ${error.message}`);
  if (error instanceof BookFull) return businessFailed('SYSTEM_ERROR', error.message);
  throw error;
}

function send({ release, response }: Call, status: number, text: string): void {
  // Before the first byte leaves: a client that asks again at once must not look like two calls at the same time.
  release();
  if (response.destroyed) return;
  const body = Buffer.from(text);
  response.writeHead(status, {
    // As the real one declares its JSON.
    'Content-Type': 'text/html;charset=utf-8',
    'Content-Length': body.length,
    trace_id: randomBytes(16).toString('hex'),
  });
  response.end(body);
}
