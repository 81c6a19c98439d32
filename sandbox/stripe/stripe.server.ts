import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { holdBack, trackCall } from '../call.js';
import { CallbackSender } from '../callbacks.js';
import { FaultPlan, type Fault, type Operation } from '../faults.js';
import { DEFAULT_SETTINGS, type ChannelSettings, type ChannelState, type GatewaySimulator } from '../gateway.js';
import { BodyTooLarge, cutConnection, readBody } from '../http.js';
import type { KeyRing } from '../keys.js';
import { BookFull, RefundBook, statusAt, type PaymentRecord, type RefundRecord } from '../refund-book.js';
import { Meter } from '../stats.js';
import { authenticate } from './stripe.auth.js';
import { StripeCallbacks } from './stripe.callback.js';
import { apiError, lockTimeout, rateLimited, resourceMissing, StripeRefusal } from './stripe.error.js';
import { Parameters, parseForm } from './stripe.form.js';
import { IdempotencyKeys, type SavedAnswer } from './stripe.idempotency.js';
import { openStripeKeys, randomAlphanumerics, type StripeKeys } from './stripe.keys.js';
import {
  chargeOf,
  isIntent,
  REFUND_NO_KEY,
  refundObject,
  seconds,
  stripeStatus,
  type RefundDetails,
} from './stripe.refund.js';

const MAX_BODY_BYTES = 64 * 1024;
const DEFAULT_SLOW_MS = 1500;
const PAYMENT_NO = /^(?:pi|ch|py)_[A-Za-z0-9_]{1,60}$/;
const REASONS = ['duplicate', 'fraudulent', 'requested_by_customer'];
const MAX_PAGE = 100;
const DEFAULT_PAGE = 10;

interface Reply {
  status: number;
  text: string;
  /** Given again under an idempotency key: id of the request that was answered first. */
  replayOf?: string;
  /** Whether `Stripe-Should-Retry` says so; absent = it says nothing. */
  retry?: boolean;
}

/** What becomes of a call: an answer, a cut connection, or silence. */
type Outcome = Reply | 'rst' | 'fin' | 'silence';

/** One request on its way through. */
interface Call {
  request: IncomingMessage;
  response: ServerResponse;
  url: URL;
  /** Form text of a POST. */
  form: string;
  requestId: string;
  /** How many requests there were in this second. */
  inSecond: number;
  /** Ends the count of this call as one under way. */
  release: () => void;
}

/** A create with good parameters. */
interface CreateRequest {
  paymentNo: string;
  amount: number | undefined;
  details: RefundDetails;
}

export interface StripeOptions {
  ring: KeyRing;
  now: () => number;
  settings?: Partial<ChannelSettings>;
}

/**
 * Stripe, refunds alone. The book knows a refund by the merchant's number; here that is what the merchant put into the refund's
 * metadata, so a second refund with the same number is possible, and gets a record of its own.
 */
export class StripeSimulator implements GatewaySimulator {
  readonly channel = 'stripe';
  readonly gateway = 'stripe';
  readonly hasWebhookEndpoint = true;
  readonly state: ChannelState;
  readonly callbacks: CallbackSender;
  private readonly idempotency = new IdempotencyKeys();
  private readonly details = new WeakMap<RefundRecord, RefundDetails>();

  private constructor(
    private readonly keys: StripeKeys,
    options: StripeOptions,
  ) {
    const startedAt = options.now().toString(36).padStart(8, '0');
    const numbered = (prefix: string) => (sequence: number) =>
      `${prefix}_3${startedAt}${String(sequence).padStart(15, '0')}`;
    const book = new RefundBook({ refundNo: numbered('re'), paymentNo: numbered('ch') });
    const settings = { ...DEFAULT_SETTINGS, ...options.settings };
    this.state = { book, faults: new FaultPlan(), meter: new Meter(), settings, now: options.now };
    this.callbacks = new CallbackSender(
      this.state,
      new StripeCallbacks(this.keys, this.state, (record) => this.detailsOf(record)),
    );
  }

  static open(options: StripeOptions): StripeSimulator {
    return new StripeSimulator(openStripeKeys(options.ring), options);
  }

  owns(path: string): boolean {
    return path.startsWith('/v1/');
  }

  refundNoFault(): string | undefined {
    return undefined;
  }

  paymentNoFault(outTradeNo: string): string | undefined {
    return PAYMENT_NO.test(outTradeNo)
      ? undefined
      : 'must be the id of a payment intent (pi_…) or of a charge (ch_…, py_…)';
  }

  connectorConfig(baseUrl: string): Record<string, unknown> {
    return { secretKey: this.keys.secretKey, webhookSecret: this.keys.webhookSecret, baseUrl };
  }

  async prepare(): Promise<void> {
    // Answers are not signed: there is nothing to make beforehand.
  }

  forget(): void {
    this.idempotency.clear();
  }

  /** How often the merchant's number of a refund stands in the metadata of its payment's refunds. */
  refundsAtGateway(record: RefundRecord): number {
    const number = this.detailsOf(record).metadata[REFUND_NO_KEY];
    const stored = [...this.state.book.ofPayment(record.outTradeNo)].filter((other) => other.stored);
    return number === undefined
      ? Number(record.stored)
      : stored.filter((other) => this.detailsOf(other).metadata[REFUND_NO_KEY] === number).length;
  }

  async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const inSecond = this.state.meter.countRequest(this.state.now());
    const call: Call = {
      request,
      response,
      url: new URL(request.url ?? '/', 'http://sandbox'),
      form: '',
      requestId: `req_${randomAlphanumerics(14)}`,
      inSecond,
      release: () => undefined,
    };
    let outcome: Outcome;
    try {
      call.form = (await readBody(request, MAX_BODY_BYTES)).toString('utf8');
      authenticate(request.headers, this.keys);
      outcome = await this.route(call);
    } catch (error) {
      outcome = this.replyTo(error, call);
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
    if (this.state.settings.latencyMs > 0) await sleep(this.state.settings.latencyMs, undefined, { ref: false });
    this.send(call, outcome);
  }

  private async route(call: Call): Promise<Outcome> {
    const { pathname } = call.url;
    const method = call.request.method ?? '';
    const [, id, action] = /^\/v1\/refunds(?:\/([^/]+)(?:\/([^/]+))?)?$/.exec(pathname) ?? [];
    if (pathname === '/v1/refunds' && method === 'POST') return this.create(call);
    if (pathname === '/v1/refunds' && method === 'GET') return this.list(call);
    if (id !== undefined && action === undefined && method === 'GET') return this.retrieve(call, id);
    if (id !== undefined && action === undefined && method === 'POST') return this.update(call, id);
    if (id !== undefined && action === 'cancel' && method === 'POST') return this.cancel(call, id);
    throw new StripeRefusal(
      404,
      `Unrecognized request URL (${method}: ${pathname.slice(0, 100)}). Please see https://stripe.com/docs or we can help at https://support.stripe.com/.`,
    );
  }

  private async create(call: Call): Promise<Outcome> {
    const { book, meter, now, settings } = this.state;
    if (this.isAboveRate(call)) throw rateLimited();
    // Checked before the idempotency layer, so that what is refused here is not remembered.
    const wanted = createIn(formOf(call));
    const key = idempotencyKeyIn(call.request);
    const fingerprint = JSON.stringify([call.url.pathname, wanted]);
    const known =
      key === undefined ? undefined : this.idempotency.find(key, fingerprint, now(), settings.idempotencyKeyLifetimeMs);
    const record = known?.record ?? book.heardOf(this.recordNo(wanted.details.metadata[REFUND_NO_KEY]));
    record.creates += 1;
    meter.creates += 1;
    call.release = trackCall(record, false, call.request, call.response);

    const fault = this.pick('create', record);
    if (fault?.kind === 'reset') return 'rst';
    if (fault?.kind === 'lostRequest') return 'fin';
    // Before the idempotency layer as well: the same key gets another answer later.
    if (fault?.kind === 'http429') throw lockTimeout();
    if (known) {
      const { answer } = known;
      return this.deliver(fault, { status: answer.status, text: answer.text, replayOf: answer.requestId });
    }

    if (key !== undefined) this.idempotency.begin(key, fingerprint, record, now());
    let answer: SavedAnswer | null = null;
    let reply: Reply;
    try {
      if (fault?.kind === 'http500' || fault?.kind === 'systemError') throw apiError();
      reply = { status: 200, text: textOf(this.make(record, wanted, fault)) };
      answer = { ...reply, requestId: call.requestId };
    } catch (error) {
      reply = this.replyTo(error, call);
      answer = { ...reply, requestId: call.requestId };
    } finally {
      if (fault?.kind === 'slow') await sleep(fault.delayMs ?? DEFAULT_SLOW_MS, undefined, { ref: false });
      if (key !== undefined) this.idempotency.finish(key, answer);
    }
    return this.deliver(fault?.kind === 'slow' ? null : fault, reply);
  }

  /** @throws StripeRefusal when the payment does not allow it; like a success that is remembered under the key. */
  private make(record: RefundRecord, wanted: CreateRequest, fault: Fault | null): Record<string, unknown> {
    const { book, now, settings } = this.state;
    const nowMs = now();
    const payment = this.paymentFor(wanted);
    const charge = chargeOf(payment);
    if (fault?.kind === 'refused') {
      throw new StripeRefusal(400, `Charge ${charge} has been charged back; cannot issue a refund.`, {
        code: 'charge_disputed',
      });
    }
    const left = payment.declared ? payment.amount - book.refundsOf(payment.outTradeNo, nowMs).heldAmount : Infinity;
    if (left <= 0)
      throw new StripeRefusal(400, `Charge ${charge} has already been refunded.`, { code: 'charge_already_refunded' });
    const amount = wanted.amount ?? left;
    if (amount === Infinity)
      throw new StripeRefusal(400, 'The sandbox knows no total of this payment: send an amount.', { param: 'amount' });
    if (amount > left) {
      // The real one gives no code here.
      throw new StripeRefusal(
        400,
        `Refund amount (${amount} ${payment.currency}) is greater than unrefunded amount on charge (${left} ${payment.currency})`,
        { param: 'amount' },
      );
    }
    if (!payment.declared) payment.amount += amount;
    book.create(
      record,
      {
        payment,
        amount,
        notifyUrl: payment.notifyUrl ?? settings.webhookUrl,
        content: '',
        defaultScript: settings.defaultScript,
        secondKey: false,
      },
      nowMs,
    );
    this.details.set(record, wanted.details);
    // `refund.created`, then whatever the script still has before it.
    this.callbacks.announce(record, statusAt(record, nowMs), record.createdAtMs);
    this.callbacks.watchFromNow(record);
    return this.view(record, fault);
  }

  private async retrieve(call: Call, id: string): Promise<Outcome> {
    const parameters = new Parameters(queryOf(call));
    parameters.refuse('expand');
    parameters.end();
    const record = this.stored(id);
    record.queries += 1;
    this.state.meter.queries += 1;
    call.release = trackCall(record, true, call.request, call.response);
    if (this.isAboveRate(call)) throw rateLimited();
    const fault = this.pick('query', record);
    const broken = brokenBy(fault);
    if (broken !== undefined) return broken;
    if (this.isHidden(record, fault)) throw resourceMissing('refund', id, 'id');
    return this.deliver(fault, { status: 200, text: textOf(this.viewForQuery(record, fault)) });
  }

  private async list(call: Call): Promise<Outcome> {
    const { book, meter } = this.state;
    const parameters = new Parameters(queryOf(call));
    const charge = parameters.text('charge');
    const intent = parameters.text('payment_intent');
    const limit = parameters.integer('limit', { min: 1, max: MAX_PAGE }) ?? DEFAULT_PAGE;
    const after = parameters.text('starting_after');
    const before = parameters.text('ending_before');
    const isInTime = parameters.created();
    parameters.refuse('expand');
    parameters.end();
    if (after !== undefined && before !== undefined) {
      throw new StripeRefusal(400, 'You can only specify one of these parameters: starting_after, ending_before.', {
        code: 'parameters_exclusive',
      });
    }
    if (this.isAboveRate(call)) throw rateLimited();
    const payments = [charge, intent].flatMap((no, index) =>
      no === undefined ? [] : [this.paymentOf(no, index === 0 ? 'charge' : 'payment_intent')],
    );
    const records =
      payments.length === 0 ? [...book.all()] : payments.flatMap(({ outTradeNo }) => [...book.ofPayment(outTradeNo)]);
    meter.queries += 1;
    if (payments.length > 0) for (const record of records) record.queries += 1;
    const [only] = records;
    // A list of several refunds is a question about none of them in particular.
    if (only && records.length === 1) call.release = trackCall(only, true, call.request, call.response);

    const faults = new Map(records.map((record) => [record, this.pick('query', record)]));
    const ofCall = records.length === 0 ? this.pick('query', null) : null;
    const fault = [...faults.values(), ofCall].find((one) => one !== null && !OF_ONE_REFUND.includes(one.kind)) ?? null;
    const broken = brokenBy(fault);
    if (broken !== undefined) return broken;

    const visible = records
      .filter(
        (record) =>
          record.stored && !this.isHidden(record, faults.get(record) ?? null) && isInTime(seconds(record.createdAtMs)),
      )
      .sort((left, right) => ((left.gatewayRefundNo ?? '') < (right.gatewayRefundNo ?? '') ? 1 : -1));
    const { page, hasMore } = pageOf(visible, { limit, after, before });
    const data = page.map((record) => this.viewForQuery(record, faults.get(record) ?? null));
    return this.deliver(fault, {
      status: 200,
      text: textOf({ object: 'list', data, has_more: hasMore, url: '/v1/refunds' }),
    });
  }

  private update(call: Call, id: string): Outcome {
    const parameters = new Parameters(formOf(call));
    const metadata = parameters.metadata();
    parameters.end();
    const record = this.stored(id);
    record.redrives += 1;
    this.state.meter.redrives += 1;
    const { reason, metadata: before } = this.detailsOf(record);
    const merged = Object.entries({ ...before, ...metadata }).filter(([, value]) => value !== '');
    this.details.set(record, { reason, metadata: Object.fromEntries(merged) });
    return { status: 200, text: textOf(this.view(record, null)) };
  }

  private cancel(call: Call, id: string): Outcome {
    new Parameters(formOf(call)).end();
    const record = this.stored(id);
    const nowMs = this.state.now();
    record.redrives += 1;
    this.state.meter.redrives += 1;
    if (statusAt(record, nowMs) !== 'abnormal')
      throw new StripeRefusal(400, 'Refund cannot be canceled: it does not require action.');
    record.override = { status: 'closed', atMs: nowMs };
    this.callbacks.unwatch(record);
    this.callbacks.announce(record, 'closed', nowMs);
    return { status: 200, text: textOf(this.view(record, null)) };
  }

  /** A number that is at the gateway already is another refund for Stripe; the book wants another key for it. */
  private recordNo(refundNo: string | undefined): string {
    if (refundNo === undefined) return `unnumbered-${randomUUID()}`;
    let number = refundNo;
    for (let copy = 2; this.state.book.find(number)?.stored; copy += 1) number = `${refundNo}#${copy}`;
    return number;
  }

  private detailsOf(record: RefundRecord): RefundDetails {
    // Registered through the control API: the merchant is taken to have put the number there.
    return this.details.get(record) ?? { metadata: { [REFUND_NO_KEY]: record.outRefundNo }, reason: null };
  }

  private stored(id: string): RefundRecord {
    const record = this.state.book.findByGatewayNo(id);
    if (!record?.stored) throw resourceMissing('refund', id.slice(0, 64), 'id');
    return record;
  }

  private paymentFor({ paymentNo, amount }: CreateRequest): PaymentRecord {
    const { book, settings } = this.state;
    const known = book.payment(paymentNo) ?? book.paymentByTransaction(paymentNo);
    if (known) return known;
    if (!settings.autoPayments || amount === undefined || !PAYMENT_NO.test(paymentNo)) throw noSuchPayment(paymentNo);
    return book.declarePayment({ outTradeNo: paymentNo, amount: 0, currency: 'USD' }, false);
  }

  private paymentOf(paymentNo: string, param: 'charge' | 'payment_intent'): PaymentRecord {
    const { book, settings } = this.state;
    const known = book.payment(paymentNo) ?? book.paymentByTransaction(paymentNo);
    if (known && isIntent(paymentNo) === (param === 'payment_intent')) return known;
    // Where any payment is believed, one that was never refunded is one without refunds.
    if (
      !known &&
      settings.autoPayments &&
      PAYMENT_NO.test(paymentNo) &&
      isIntent(paymentNo) === (param === 'payment_intent')
    ) {
      return { outTradeNo: paymentNo, transactionId: '', amount: 0, currency: 'USD', declared: false, notifyUrl: null };
    }
    throw noSuchPayment(paymentNo, param);
  }

  private isHidden(record: RefundRecord, fault: Fault | null): boolean {
    return fault?.kind === 'notFoundThenFound' || statusAt(record, this.state.now()) === 'notFound';
  }

  private viewForQuery(record: RefundRecord, fault: Fault | null): Record<string, unknown> {
    const answer = this.view(record, fault);
    if (fault?.kind === 'successThenFailed') {
      const nowMs = this.state.now();
      record.override = { status: 'failed', atMs: nowMs };
      this.callbacks.unwatch(record);
      this.callbacks.announce(record, 'failed', nowMs);
    }
    return answer;
  }

  private view(record: RefundRecord, fault: Fault | null): Record<string, unknown> {
    const payment = this.state.book.payment(record.outTradeNo);
    if (!payment) throw new Error(`refund ${record.outRefundNo} has no payment`);
    const status = statusAt(record, this.state.now());
    // A create that a query cannot see yet is answered all the same: that is what replication delay looks like.
    const word = stripeStatus(status === 'notFound' ? 'processing' : status);
    return refundObject(record, payment, this.detailsOf(record), word, fault?.kind === 'wrongAmount' ? 1 : 0);
  }

  private pick(operation: Operation, record: RefundRecord | null): Fault | null {
    const { faults, meter, now } = this.state;
    const fault = faults.pick({
      operation,
      outRefundNo: record?.outRefundNo ?? '',
      status: record ? statusAt(record, now()) : 'notFound',
    });
    if (fault) meter.countFault(fault.kind);
    return fault;
  }

  private isAboveRate({ inSecond }: Call): boolean {
    const { ratePerSecond } = this.state.settings;
    return ratePerSecond > 0 && inSecond > ratePerSecond;
  }

  /** What a fault does to an answer that is ready. Answers carry no signature, so `badSignature` does nothing to them. */
  private async deliver(fault: Fault | null, reply: Reply): Promise<Outcome> {
    switch (fault?.kind) {
      case 'timeout':
        return 'silence';
      case 'lostAnswer':
        return 'fin';
      case 'slow':
        await sleep(fault.delayMs ?? DEFAULT_SLOW_MS, undefined, { ref: false });
        return reply;
      case 'malformed':
        return { ...reply, text: reply.text.slice(0, Math.floor(reply.text.length * 0.6)) };
      default:
        return reply;
    }
  }

  private replyTo(error: unknown, call: Call): Reply {
    const refusal = asRefusal(error);
    const { meter } = this.state;
    if (refusal.status === 401) meter.refusedSignatures += 1;
    if (refusal.status === 429) meter.rateLimited += 1;
    const retry =
      refusal.status === 409 || refusal.code === 'lock_timeout' ? true : refusal.status >= 500 ? false : undefined;
    return {
      status: refusal.status,
      text: textOf(refusal.body(call.requestId)),
      ...(retry === undefined ? {} : { retry }),
    };
  }

  private send(call: Call, reply: Reply): void {
    const { request, response } = call;
    const key = request.headers['idempotency-key'];
    const account = request.headers['stripe-account'];
    const headers: Record<string, string | number> = {
      'Content-Type': 'application/json',
      'Content-Length': Buffer.byteLength(reply.text),
      'Cache-Control': 'no-cache, no-store',
      'Request-Id': call.requestId,
      'Stripe-Version': String(request.headers['stripe-version'] ?? ''),
      ...(typeof key === 'string' ? { 'Idempotency-Key': key } : {}),
      ...(typeof account === 'string' ? { 'Stripe-Account': account } : {}),
      ...(reply.replayOf === undefined ? {} : { 'Idempotent-Replayed': 'true', 'Original-Request': reply.replayOf }),
      ...(reply.retry === undefined ? {} : { 'Stripe-Should-Retry': String(reply.retry) }),
    };
    // Before the first byte leaves: a client that asks again at once must not look like two calls at the same time.
    call.release();
    if (response.destroyed) return;
    response.writeHead(reply.status, headers);
    response.end(reply.text);
  }
}

/** These spoil what is said of one refund; all others spoil the call. */
const OF_ONE_REFUND: readonly string[] = ['wrongAmount', 'notFoundThenFound', 'successThenFailed'];

/** Faults that end a query before it is answered. */
function brokenBy(fault: Fault | null): Outcome | undefined {
  switch (fault?.kind) {
    case 'reset':
      return 'rst';
    case 'http500':
    case 'systemError':
      throw apiError();
    case 'http429':
      throw rateLimited();
    default:
      return undefined;
  }
}

function pageOf(
  records: readonly RefundRecord[],
  { limit, after, before }: { limit: number; after: string | undefined; before: string | undefined },
): { page: readonly RefundRecord[]; hasMore: boolean } {
  const cursor = after ?? before;
  if (cursor === undefined) return { page: records.slice(0, limit), hasMore: records.length > limit };
  const at = records.findIndex(({ gatewayRefundNo }) => gatewayRefundNo === cursor);
  if (at < 0)
    throw new StripeRefusal(400, `No such refund: '${cursor.slice(0, 64)}'`, {
      code: 'resource_missing',
      param: after === undefined ? 'ending_before' : 'starting_after',
    });
  if (after !== undefined)
    return { page: records.slice(at + 1, at + 1 + limit), hasMore: records.length > at + 1 + limit };
  return { page: records.slice(Math.max(0, at - limit), at), hasMore: at > limit };
}

/** @throws StripeRefusal naming the first parameter that is wrong. */
function createIn(form: ReturnType<typeof parseForm>): CreateRequest {
  const parameters = new Parameters(form);
  const charge = parameters.text('charge');
  const intent = parameters.text('payment_intent');
  const amount = parameters.amount('amount');
  const reason = parameters.oneOf('reason', REASONS) ?? null;
  const metadata = parameters.metadata() ?? {};
  parameters.flag('refund_application_fee');
  parameters.flag('reverse_transfer');
  parameters.text('instructions_email');
  for (const name of ['origin', 'customer', 'currency', 'expand']) parameters.refuse(name);
  parameters.end();
  if (charge !== undefined && intent !== undefined) {
    throw new StripeRefusal(400, 'You may only specify one of these parameters: charge, payment_intent.', {
      code: 'parameters_exclusive',
      param: 'charge',
    });
  }
  const paymentNo = intent ?? charge;
  if (paymentNo === undefined) {
    throw new StripeRefusal(
      400,
      'One of the following params should be provided for this request: payment_intent or charge.',
      { code: 'parameter_missing' },
    );
  }
  if ((intent !== undefined) !== isIntent(paymentNo))
    throw noSuchPayment(paymentNo, intent === undefined ? 'charge' : 'payment_intent');
  return { paymentNo, amount, details: { metadata, reason } };
}

function noSuchPayment(
  paymentNo: string,
  param: 'charge' | 'payment_intent' = isIntent(paymentNo) ? 'payment_intent' : 'charge',
): StripeRefusal {
  return resourceMissing(param, paymentNo.slice(0, 64), param);
}

function formOf({ request, form }: Call): ReturnType<typeof parseForm> {
  const type = request.headers['content-type'];
  if (form !== '' && !/^application\/x-www-form-urlencoded\s*(;|$)/i.test(type ?? '')) {
    throw new StripeRefusal(
      400,
      'Invalid request (check that your POST content type is application/x-www-form-urlencoded). If you have questions, we can help at https://support.stripe.com/.',
    );
  }
  return parseForm(form);
}

function queryOf({ url }: Call): ReturnType<typeof parseForm> {
  return parseForm(url.search.slice(1));
}

function idempotencyKeyIn(request: IncomingMessage): string | undefined {
  const key = request.headers['idempotency-key'];
  if (key === undefined) return undefined;
  if (typeof key !== 'string' || key.length === 0 || key.length > 255) {
    throw new StripeRefusal(400, 'Idempotency keys must have 1 to 255 characters.', { type: 'idempotency_error' });
  }
  return key;
}

function asRefusal(error: unknown): StripeRefusal {
  if (error instanceof StripeRefusal) return error;
  if (error instanceof BodyTooLarge) return new StripeRefusal(413, `The request body has ${error.message}.`);
  if (error instanceof BookFull) return new StripeRefusal(500, error.message, { type: 'api_error' });
  throw error;
}

/** Indented by two, as the real one answers. */
function textOf(value: unknown): string {
  return JSON.stringify(value, null, 2);
}
