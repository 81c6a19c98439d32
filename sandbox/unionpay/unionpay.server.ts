import type { IncomingMessage, ServerResponse } from 'node:http';
import { ERROR_PAGE, settle, trackCall, underFault, type Interruption } from '../call.js';
import { CallbackSender } from '../callbacks.js';
import { FaultPlan, type Fault } from '../faults.js';
import { DEFAULT_SETTINGS, type ChannelSettings, type ChannelState, type GatewaySimulator } from '../gateway.js';
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
import { checkMessage, parseForm, parseQuery, parseRefund, type RefundBody } from './unionpay.body.js';
import { UnionpayCallbacks, wirePem } from './unionpay.callback.js';
import { signedText, signText, type Form } from './unionpay.crypto.js';
import { UnionpayRefusal } from './unionpay.error.js';
import { openUnionpayKeys, type UnionpayKeys } from './unionpay.keys.js';
import { queryAnswer, timeText } from './unionpay.refund.js';

const API_PATH = '/gateway/api';
const REFUND_PATH = `${API_PATH}/backTransReq.do`;
const QUERY_PATH = `${API_PATH}/queryTrans.do`;
const MAX_BODY_BYTES = 64 * 1024;
const CURRENCY = 'CNY';
/** What every answer repeats of its request. */
const ECHOED = [
  'accessType',
  'bizType',
  'encoding',
  'merId',
  'orderId',
  'signMethod',
  'txnSubType',
  'txnTime',
  'txnType',
  'version',
];

/** One request on its way through. */
interface Call {
  request: IncomingMessage;
  response: ServerResponse;
  form: Form;
  isAuthenticated: boolean;
  /** Ends the count of this call as one under way. */
  release: () => void;
}

interface Reply {
  fields: Form;
  refused: boolean;
  /** The fault that the sending of it still has to commit. */
  fault: Fault | null;
}

interface Act {
  record: RefundRecord;
  operation: 'query' | 'create';
  act: (fault: Fault | null) => Form;
}

export interface UnionpayOptions {
  ring: KeyRing;
  now: () => number;
  settings?: Partial<ChannelSettings>;
}

/** UnionPay 5.1.0 (全渠道): refunds of one merchant. */
export class UnionpaySimulator implements GatewaySimulator {
  readonly channel = 'union_pay';
  readonly gateway = 'unionpay';
  readonly state: ChannelState;
  readonly callbacks: CallbackSender;

  private constructor(
    private readonly keys: UnionpayKeys,
    options: UnionpayOptions,
  ) {
    // 21 digits: a kind, the start of this process, and a number.
    const startedAt = timeText(options.now()).slice(2);
    const numberOf = (kind: string, sequence: number) => `${kind}${startedAt}${String(sequence).padStart(7, '0')}`;
    const book = new RefundBook({
      refundNo: (sequence) => numberOf('05', sequence),
      paymentNo: (sequence) => numberOf('01', sequence),
    });
    const settings = { ...DEFAULT_SETTINGS, ...options.settings };
    this.state = { book, faults: new FaultPlan(), meter: new Meter(), settings, now: options.now };
    this.callbacks = new CallbackSender(this.state, new UnionpayCallbacks(keys, this.state));
  }

  static async open(options: UnionpayOptions): Promise<UnionpaySimulator> {
    return new UnionpaySimulator(await openUnionpayKeys(options.ring), options);
  }

  owns(path: string): boolean {
    return path === REFUND_PATH || path === QUERY_PATH;
  }

  refundNoFault(outRefundNo: string): string | undefined {
    return /^[0-9A-Za-z]{8,40}$/.test(outRefundNo) ? undefined : 'must be 8 to 40 letters and digits (orderId)';
  }

  connectorConfig(baseUrl: string): Record<string, unknown> {
    const { merId, merchant, middleCert, rootCert } = this.keys;
    return {
      merId,
      privateKey: merchant.privatePem,
      signCert: merchant.certificate,
      middleCert,
      rootCert,
      gatewayUrl: `${baseUrl}${API_PATH}`,
    };
  }

  prepare(): Promise<void> {
    return Promise.resolve();
  }

  async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { meter, now, settings } = this.state;
    const inSecond = meter.countRequest(now());
    const call: Call = { request, response, form: {}, isAuthenticated: false, release: () => undefined };
    let outcome: Reply | Interruption;
    try {
      if (request.method !== 'POST') throw new UnionpayRefusal('10', 'method');
      call.form = parseForm(await readBody(request, MAX_BODY_BYTES), request.headers['content-type']);
      outcome = await this.perform(call, inSecond);
    } catch (error) {
      outcome = this.replyToRefusal(error, null);
    }
    const left = await settle(call, outcome, settings.latencyMs);
    if (left === 'errorPage') send(call, 500, ERROR_PAGE);
    else if (left !== null) send(call, 200, await this.wireText(call, left));
  }

  private async perform(call: Call, inSecond: number): Promise<Reply | Interruption> {
    const { faults, meter, now, settings } = this.state;
    checkMessage(call.form, this.keys);
    call.isAuthenticated = true;
    const { record, operation, act } =
      call.request.url === REFUND_PATH ? this.refundCall(call.form) : this.queryCall(call.form);
    call.release = trackCall(record, operation === 'query', call.request, call.response);
    if (settings.ratePerSecond > 0 && inSecond > settings.ratePerSecond)
      throw new UnionpayRefusal('37', 'ratePerSecond');

    const fault = faults.pick({ operation, outRefundNo: record.outRefundNo, status: statusAt(record, now()) });
    if (fault) meter.countFault(fault.kind);
    return underFault<Reply>(fault, {
      limited: () => {
        throw new UnionpayRefusal('37', 'fault');
      },
      // The gateway has two ways to say that it could not: both in turn.
      systemError: (turn) => {
        throw new UnionpayRefusal(turn % 2 === 1 ? '06' : '02', 'fault');
      },
      refused: () => this.replyToRefusal(new UnionpayRefusal('33', 'fault'), fault),
      answer: () => {
        try {
          return { fields: act(fault), refused: false, fault };
        } catch (error) {
          return this.replyToRefusal(error, fault);
        }
      },
    });
  }

  private queryCall(form: Form): Act {
    const { orderId, txnTime } = parseQuery(form);
    const record = this.state.book.heardOf(orderId);
    record.queries += 1;
    this.state.meter.queries += 1;
    return { record, operation: 'query', act: (fault) => this.query(record, txnTime, fault) };
  }

  private refundCall(form: Form): Act {
    const body = parseRefund(form, this.state.now());
    const record = this.state.book.heardOf(body.orderId);
    record.creates += 1;
    this.state.meter.creates += 1;
    return { record, operation: 'create', act: (fault) => this.refund(record, body, fault) };
  }

  private query(record: RefundRecord, txnTime: string, fault: Fault | null): Form {
    const { status, sinceMs } = statusAndSince(record, this.state.now());
    // Of a registered refund nobody said when the merchant sent it: any time finds it.
    const isOfThisTime = record.content === null || record.content === txnTime;
    if (status === 'notFound' || !isOfThisTime || fault?.kind === 'notFoundThenFound')
      throw new UnionpayRefusal('34', '2600000');
    const answer = queryAnswer({
      record,
      status,
      sinceMs,
      defective: this.state.settings.defectiveSuccess,
      offBy: fault?.kind === 'wrongAmount' ? 1 : 0,
    });
    if (fault?.kind === 'successThenFailed') {
      record.override = { status: 'failed', atMs: this.state.now() };
      this.callbacks.unwatch(record);
    }
    return answer;
  }

  private refund(record: RefundRecord, body: RefundBody, fault: Fault | null): Form {
    const { book, now, settings } = this.state;
    const nowMs = now();
    // Whatever the rest says: no refund is made, and nothing is said of the first one.
    if (record.stored) throw new UnionpayRefusal('12', '2010002');
    const payment = this.paymentOf(body);
    const { heldAmount } = book.refundsOf(payment.outTradeNo, nowMs);
    if (payment.declared) {
      if (payment.amount <= heldAmount) throw new UnionpayRefusal('45', '2040005');
      if (body.amount > payment.amount - heldAmount) throw new UnionpayRefusal('36', '2050004');
    } else {
      // Nobody said what the payment's total is, and a refund does not say it either: it has what its refunds need.
      payment.amount = Math.max(payment.amount, heldAmount + body.amount);
    }
    book.create(
      record,
      {
        payment,
        amount: body.amount,
        notifyUrl: body.backUrl,
        content: body.txnTime,
        defaultScript: settings.defaultScript,
        secondKey: false,
      },
      nowMs,
    );
    this.callbacks.watch(record, undefined);
    return {
      origQryId: body.origQryId,
      queryId: record.gatewayRefundNo ?? '',
      respCode: '00',
      respMsg: '成功[0000000]',
      txnAmt: String(body.amount + (fault?.kind === 'wrongAmount' ? 1 : 0)),
    };
  }

  private paymentOf({ origQryId, amount }: RefundBody): PaymentRecord {
    const { book, settings } = this.state;
    const known = book.paymentByTransaction(origQryId);
    if (known) return known;
    if (!settings.autoPayments) throw new UnionpayRefusal('35', '2040004');
    return book.declarePayment({ outTradeNo: origQryId, amount, currency: CURRENCY, transactionId: origQryId }, false);
  }

  private replyToRefusal(error: unknown, fault: Fault | null): Reply {
    const refusal = asRefusal(error);
    const { meter } = this.state;
    if (refusal.code === '37') meter.rateLimited += 1;
    if (refusal.code === '11') meter.refusedSignatures += 1;
    return { fields: { respCode: refusal.code, respMsg: refusal.message }, refused: true, fault };
  }

  /** `k=v&k=v`, sorted, and not URL-encoded. */
  private async wireText(call: Call, reply: Reply): Promise<string> {
    const fields: Form = { ...echo(call.form), ...reply.fields };
    if (this.mustSign(call, reply)) {
      fields.signPubKeyCert = wirePem(this.keys.unionpay.certificate);
      const { privateKey } = reply.fault?.kind === 'badSignature' ? this.keys.merchant : this.keys.unionpay;
      fields.signature = await signText(signedText(fields), privateKey);
    }
    const text = Object.keys(fields)
      .sort()
      .map((name) => `${name}=${fields[name]}`)
      .join('&');
    return reply.fault?.kind === 'malformed' ? text.slice(0, Math.floor(text.length * 0.6)) : text;
  }

  /** Which refusals the real one signs is not documented. */
  private mustSign(call: Call, reply: Reply): boolean {
    const { signErrors } = this.state.settings;
    if (!reply.refused || reply.fault?.kind === 'refused') return true;
    return signErrors === 'authenticated' ? call.isAuthenticated : signErrors;
  }
}

function echo(form: Form): Form {
  const echoed: Form = { version: '5.1.0', encoding: 'UTF-8', signMethod: '01' };
  // What could be taken for a separator is not repeated.
  for (const name of ECHOED) if (/^[\w.-]{1,64}$/.test(form[name] ?? '')) echoed[name] = form[name] ?? '';
  return echoed;
}

function asRefusal(error: unknown): UnionpayRefusal {
  if (error instanceof UnionpayRefusal) return error;
  if (error instanceof BodyTooLarge) return new UnionpayRefusal('10', 'too large');
  if (error instanceof BookFull) return new UnionpayRefusal('06', 'full');
  throw error;
}

function send({ release, response }: Call, status: number, text: string): void {
  // Before the first byte leaves: a client that asks again at once must not look like two calls at the same time.
  release();
  if (response.destroyed) return;
  const body = Buffer.from(text);
  response.writeHead(status, { 'Content-Type': 'text/html;charset=UTF-8', 'Content-Length': body.length });
  response.end(body);
}
