import type { IncomingMessage, ServerResponse } from 'node:http';
import { FAULT_KINDS, FAULT_OPERATIONS, operationsOf, TooManyFaults } from './faults.js';
import {
  ACCOUNT_VARIANTS,
  DEFAULT_SETTINGS,
  TAMPERINGS,
  type AccountVariant,
  type ChannelSettings,
  type ConnectorAccount,
  type GatewaySimulator,
} from './gateway.js';
import { BodyTooLarge, isLoopbackUrl, readBody, sendJson } from './http.js';
import { Fields, InputError } from './input.js';
import {
  BookFull,
  REFUND_STATUSES,
  statusAt,
  type RefundRecord,
  type RefundStatus,
  type ScriptStep,
} from './refund-book.js';
import { Meter } from './stats.js';

const MAX_BODY_BYTES = 1024 * 1024;
const MAX_AMOUNT = 1_000_000_000_000;
const MAX_SCRIPT_STEPS = 100;
const DAY_MS = 24 * 3600 * 1000;
const MAX_AFTER_MS = 30 * DAY_MS;
const MAX_WAIT_MS = 3_600_000;
const LIST_DEFAULT = 100;
const LIST_MAX = 1000;
const AMOUNT = { min: 1, max: MAX_AMOUNT };
const VISIBLE = { maxLength: 64, pattern: /^[\x21-\x7e]+$/, wants: 'must be visible ASCII characters' };
const CURRENCY = { pattern: /^[A-Z]{3}$/, wants: 'must be three capital letters, as CNY' };

interface Answer {
  status: number;
  body: unknown;
}

/**
 * The side door: tells the gateways what to do and asks them what happened. No gateway has such a thing; everything
 * else in this process behaves as if nobody were testing.
 */
export class ControlApi {
  private meterOfAll = new Meter();
  private readonly startedAtMs: number;

  constructor(
    private readonly gateways: readonly GatewaySimulator[],
    private readonly now: () => number,
    private readonly initialSettings: ReadonlyMap<string, ChannelSettings>,
  ) {
    this.startedAtMs = now();
  }

  owns(path: string): boolean {
    return path === '/control' || path.startsWith('/control/');
  }

  /** Counts a request to any gateway, for the peak over all of them. */
  countGatewayRequest(): void {
    this.meterOfAll.countRequest(this.now());
  }

  async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let answer: Answer;
    try {
      const url = new URL(request.url ?? '/', 'http://sandbox');
      const body = await readBody(request, MAX_BODY_BYTES);
      answer = await this.route(request.method ?? '', url, body, request.headers.host);
    } catch (error) {
      answer = faultAnswer(error);
    }
    sendJson(response, answer.status, answer.body);
  }

  /** Ready settings of every channel, for the connector of the same name. Test keys only. */
  accounts(baseUrl: string, variant?: AccountVariant): ConnectorAccount[] {
    return this.gateways.map((gateway) => ({
      channel: gateway.channel,
      gateway: gateway.gateway,
      config: gateway.connectorConfig(baseUrl, variant),
      ...(gateway.hasWebhookEndpoint === true ? { webhook: true as const } : {}),
    }));
  }

  /** Forgets refunds, payments, faults, counters and callbacks under way. Keys stay, settings too unless asked. */
  reset(options: { settings: boolean } = { settings: false }): void {
    for (const gateway of this.gateways) {
      const { channel, callbacks, state } = gateway;
      gateway.forget?.();
      callbacks.reset();
      state.book.reset();
      state.faults.clear();
      state.meter.clear();
      if (options.settings) state.settings = { ...(this.initialSettings.get(channel) ?? DEFAULT_SETTINGS) };
    }
    this.meterOfAll = new Meter();
  }

  private async route(method: string, url: URL, raw: Buffer, host: string | undefined): Promise<Answer> {
    const [resource = '', ...rest] = url.pathname.slice('/control/'.length).split('/');
    if (resource === 'refunds' && rest.length === 2 && method === 'GET') return ok(this.refund(rest));
    if (rest.length > 0) return notFound();
    switch (`${method} ${resource}`) {
      case 'GET health':
        return ok({
          status: 'ok',
          uptimeMs: this.now() - this.startedAtMs,
          channels: this.gateways.map(({ channel }) => channel),
        });
      case 'GET accounts':
        return ok({ items: this.accounts(baseUrlOf(host), variantIn(url.searchParams)) });
      case 'GET stats':
        return ok(this.stats());
      case 'GET refunds':
        return ok(this.refunds(url.searchParams));
      case 'POST refunds':
        return this.register(Fields.of(parse(raw)));
      case 'POST payments':
        return this.declarePayment(Fields.of(parse(raw)));
      case 'GET faults':
        return ok({
          items: this.gateways.flatMap(({ channel, state }) =>
            state.faults.list().map((fault) => ({ channel, ...fault })),
          ),
        });
      case 'POST faults':
        return this.addFault(Fields.of(parse(raw)));
      case 'DELETE faults':
        return ok(this.clearFaults(url.searchParams));
      case 'GET settings':
        return ok({ items: this.gateways.map(({ channel, state }) => ({ channel, ...state.settings })) });
      case 'POST settings':
        return ok(this.changeSettings(Fields.of(parse(raw))));
      case 'POST certificates':
        return this.rotateCertificate(Fields.of(parse(raw)));
      case 'POST callbacks':
        return this.sendCallback(Fields.of(parse(raw)));
      case 'POST reset': {
        const fields = Fields.of(raw.length === 0 ? {} : parse(raw));
        const settings = fields.optionalFlag('settings') ?? false;
        fields.end();
        this.reset({ settings });
        return ok({ reset: true, settings });
      }
      default:
        return notFound();
    }
  }

  private async register(fields: Fields): Promise<Answer> {
    const gateway = this.channelIn(fields);
    const { book, now } = gateway.state;
    const outRefundNo = this.refundNoIn(fields, gateway);
    const outTradeNo = paymentNoIn(fields, gateway);
    const amount = fields.integer('amount', AMOUNT);
    const currency = fields.text('currency', CURRENCY);
    const script = scriptIn(fields.raw('script'), 'script');
    const paymentAmount = fields.optionalInteger('paymentAmount', AMOUNT);
    const notifyUrl = fields.optionalText('notifyUrl', { maxLength: 256 });
    const awaitCreate = fields.optionalFlag('awaitCreate') ?? false;
    const wire = gateway.apis && fields.optionalOneOf('api', gateway.apis);
    fields.end();
    if (notifyUrl !== undefined) loopbackUrlIn('notifyUrl', notifyUrl);
    if (paymentAmount !== undefined && paymentAmount < amount)
      throw new InputError('paymentAmount', 'must not be less than amount');
    if (awaitCreate && book.find(outRefundNo)?.stored)
      throw new InputError('awaitCreate', 'the refund is at the gateway already', 409);
    const { record, isNew, before } = book.register(
      { outRefundNo, outTradeNo, amount, currency, script, paymentAmount, notifyUrl, awaitCreate, wire },
      now(),
    );
    gateway.callbacks.watch(record, before);
    await gateway.prepare(record);
    return { status: isNew ? 201 : 200, body: viewOf(gateway, record) };
  }

  private declarePayment(fields: Fields): Answer {
    const gateway = this.channelIn(fields);
    const outTradeNo = paymentNoIn(fields, gateway);
    const amount = fields.integer('amount', AMOUNT);
    const currency = fields.text('currency', CURRENCY);
    const transactionId = fields.optionalText('transactionId', {
      maxLength: 32,
      pattern: /^[0-9A-Za-z_]+$/,
      wants: 'must be digits, letters and _',
    });
    const notifyUrl = fields.optionalText('notifyUrl', { maxLength: 256 });
    fields.end();
    if (notifyUrl !== undefined) loopbackUrlIn('notifyUrl', notifyUrl);
    const { book } = gateway.state;
    const owner = transactionId === undefined ? undefined : book.paymentByTransaction(transactionId);
    if (owner && owner.outTradeNo !== outTradeNo)
      throw new InputError('transactionId', `belongs to the payment ${owner.outTradeNo}`, 409);
    const isNew = book.payment(outTradeNo) === undefined;
    const payment = book.declarePayment({ outTradeNo, amount, currency, transactionId, notifyUrl });
    return { status: isNew ? 201 : 200, body: { channel: gateway.channel, ...payment } };
  }

  private addFault(fields: Fields): Answer {
    const { channel, state } = this.channelIn(fields);
    const kind = fields.oneOf('kind', FAULT_KINDS);
    const rate = fields.number('rate', { min: 0, max: 1 });
    const count = fields.optionalInteger('count', { min: 1, max: 1_000_000_000 });
    const seed = fields.optionalInteger('seed', { min: 0, max: 0xffff_ffff }) ?? 1;
    const operation = fields.optionalOneOf('operation', FAULT_OPERATIONS) ?? 'any';
    const outRefundNo = fields.optionalText('outRefundNo', VISIBLE);
    const slowMs = fields.optionalInteger('slowMs', { min: 0, max: MAX_WAIT_MS });
    const delayMs = fields.optionalInteger('delayMs', { min: 0, max: MAX_WAIT_MS });
    fields.end();
    if (!operationsOf(kind).includes(operation))
      throw new InputError('operation', `${kind} can be aimed at ${operationsOf(kind).join(', ')}`);
    if (slowMs !== undefined && kind !== 'slow') throw new InputError('slowMs', 'is for the kind slow');
    if (delayMs !== undefined && kind !== 'lateCallback' && kind !== 'reorderCallbacks') {
      throw new InputError('delayMs', 'is for the kinds lateCallback and reorderCallbacks');
    }
    const fault = state.faults.add({ kind, rate, count, seed, operation, outRefundNo, delayMs: slowMs ?? delayMs });
    return { status: 201, body: { channel, ...fault } };
  }

  private clearFaults(query: URLSearchParams): Record<string, unknown> {
    onlyKnown(query, ['channel', 'id']);
    const id = query.get('id');
    if (id !== null && !/^\d{1,9}$/.test(id)) throw new InputError('id', 'must be an integer');
    let removed = 0;
    for (const { state } of this.selected(query.get('channel')))
      removed += state.faults.clear(id === null ? undefined : Number(id));
    return { removed };
  }

  private changeSettings(fields: Fields): Record<string, unknown> {
    const { channel, state } = this.channelIn(fields);
    const { settings } = state;
    const signErrors = fields.raw('signErrors') ?? settings.signErrors;
    if (signErrors !== true && signErrors !== false && signErrors !== 'authenticated') {
      throw new InputError('signErrors', 'must be true, false or "authenticated"');
    }
    const defaultScript = fields.raw('defaultScript');
    const changed: ChannelSettings = {
      latencyMs: fields.optionalInteger('latencyMs', { min: 0, max: 60_000 }) ?? settings.latencyMs,
      ratePerSecond: fields.optionalInteger('ratePerSecond', { min: 0, max: 1_000_000 }) ?? settings.ratePerSecond,
      failedRatePerSecond:
        fields.optionalInteger('failedRatePerSecond', { min: 0, max: 1_000_000 }) ?? settings.failedRatePerSecond,
      autoPayments: fields.optionalFlag('autoPayments') ?? settings.autoPayments,
      autoCallback: fields.optionalFlag('autoCallback') ?? settings.autoCallback,
      defaultScript: defaultScript === undefined ? settings.defaultScript : scriptIn(defaultScript, 'defaultScript'),
      callbackTimeScale: fields.optionalNumber('callbackTimeScale', { min: 0, max: 10 }) ?? settings.callbackTimeScale,
      callbackTimeoutMs:
        fields.optionalInteger('callbackTimeoutMs', { min: 1, max: 60_000 }) ?? settings.callbackTimeoutMs,
      signErrors,
      callbackKey:
        fields.optionalOneOf('callbackKey', ['auto', 'certificate', 'publicKey', 'replaced']) ?? settings.callbackKey,
      presign: fields.optionalOneOf('presign', ['off', 'certificate', 'publicKey']) ?? settings.presign,
      webhookUrl: fields.optionalText('webhookUrl', { maxLength: 256 }) ?? settings.webhookUrl,
      idempotencyKeyLifetimeMs:
        fields.optionalInteger('idempotencyKeyLifetimeMs', { min: 0, max: MAX_AFTER_MS }) ??
        settings.idempotencyKeyLifetimeMs,
      defectiveSuccess: fields.optionalFlag('defectiveSuccess') ?? settings.defectiveSuccess,
    };
    fields.end();
    if (changed.webhookUrl !== null) loopbackUrlIn('webhookUrl', changed.webhookUrl);
    state.settings = changed;
    return { channel, ...changed };
  }

  private async rotateCertificate(fields: Fields): Promise<Answer> {
    const gateway = this.channelIn(fields);
    const expireOldInMs = fields.optionalInteger('expireOldInMs', { min: 0, max: MAX_AFTER_MS }) ?? DAY_MS;
    fields.end();
    if (!gateway.rotateCertificate) throw new InputError('channel', 'this gateway announces no change of certificates');
    return { status: 201, body: { channel: gateway.channel, ...(await gateway.rotateCertificate(expireOldInMs)) } };
  }

  private async sendCallback(fields: Fields): Promise<Answer> {
    const gateway = this.channelIn(fields);
    const { book, now } = gateway.state;
    const outRefundNo = this.refundNoIn(fields, gateway);
    const tamper = fields.optionalOneOf('tamper', TAMPERINGS);
    const told = fields.optionalOneOf('status', ['success', 'failed', 'closed', 'abnormal']);
    const otherUrl = fields.optionalText('notifyUrl', { maxLength: 256 });
    fields.end();
    const record = book.find(outRefundNo);
    if (!record?.stored) throw new InputError('outRefundNo', 'is not at the gateway', 404);
    const truth = statusAt(record, now());
    const status: RefundStatus = told ?? truth;
    if (status === 'processing' || status === 'notFound')
      throw new InputError(
        'status',
        `the refund is ${status}, of which no gateway tells; name a status to tell it all the same`,
      );
    const notifyUrl = otherUrl ?? record.notifyUrl;
    if (notifyUrl === null) throw new InputError('notifyUrl', 'is missing, and the refund has none');
    const result = await gateway.callbacks.sendNow(
      record,
      loopbackUrlIn('notifyUrl', notifyUrl),
      status,
      now(),
      tamper,
    );
    return ok(result);
  }

  private refund(path: string[]): Record<string, unknown> {
    const [channel, outRefundNo] = path.map((segment) => decode(segment));
    const gateway = this.byChannel(channel);
    const record = gateway.state.book.find(outRefundNo ?? '');
    if (!record) throw new InputError('outRefundNo', 'was never heard of', 404);
    return viewOf(gateway, record);
  }

  private refunds(query: URLSearchParams): Record<string, unknown> {
    onlyKnown(query, ['channel', 'limit']);
    const limit = Number(query.get('limit') ?? LIST_DEFAULT);
    if (!Number.isInteger(limit) || limit < 1 || limit > LIST_MAX)
      throw new InputError('limit', `must be an integer, 1 to ${LIST_MAX}`);
    const items: Record<string, unknown>[] = [];
    let total = 0;
    for (const gateway of this.selected(query.get('channel'))) {
      total += gateway.state.book.size;
      for (const record of gateway.state.book.all()) {
        if (items.length >= limit) break;
        items.push(viewOf(gateway, record));
      }
    }
    return { items, total };
  }

  private stats(): Record<string, unknown> {
    const channels: Record<string, unknown> = {};
    const totals: Record<string, number> = {};
    for (const { channel, state } of this.gateways) {
      const view = { refunds: state.book.size, payments: state.book.paymentCount, ...state.meter.view() };
      channels[channel] = view;
      for (const [name, value] of Object.entries(view)) {
        if (typeof value === 'number') totals[name] = (totals[name] ?? 0) + value;
      }
    }
    return { ...totals, requestsPerSecondPeak: this.meterOfAll.requestsPerSecondPeak, channels };
  }

  private channelIn(fields: Fields): GatewaySimulator {
    return this.byChannel(fields.text('channel'));
  }

  private byChannel(channel: string | undefined): GatewaySimulator {
    const gateway = this.gateways.find((candidate) => candidate.channel === channel);
    if (!gateway)
      throw new InputError('channel', `must be one of ${this.gateways.map((known) => known.channel).join(', ')}`);
    return gateway;
  }

  private selected(channel: string | null): readonly GatewaySimulator[] {
    return channel === null ? this.gateways : [this.byChannel(channel)];
  }

  private refundNoIn(fields: Fields, gateway: GatewaySimulator): string {
    const outRefundNo = fields.text('outRefundNo', VISIBLE);
    const fault = gateway.refundNoFault(outRefundNo);
    if (fault !== undefined) throw new InputError('outRefundNo', fault);
    return outRefundNo;
  }
}

function paymentNoIn(fields: Fields, gateway: GatewaySimulator): string {
  const outTradeNo = fields.text('outTradeNo', VISIBLE);
  const fault = gateway.paymentNoFault?.(outTradeNo);
  if (fault !== undefined) throw new InputError('outTradeNo', fault);
  return outTradeNo;
}

/** A script: steps in order of time, each counted from the start. */
function scriptIn(value: unknown, name: string): ScriptStep[] {
  if (!Array.isArray(value) || value.length === 0 || value.length > MAX_SCRIPT_STEPS) {
    throw new InputError(name, `must be an array of 1 to ${MAX_SCRIPT_STEPS} steps {afterMs, status}`);
  }
  let earliestMs = 0;
  return value.map((step: unknown, index) => {
    const path = `${name}[${index}]`;
    const fields = Fields.of(step, path);
    const afterMs = fields.integer('afterMs', { min: 0, max: MAX_AFTER_MS });
    const status = fields.oneOf('status', REFUND_STATUSES);
    fields.end();
    if (afterMs < earliestMs)
      throw new InputError(`${path}.afterMs`, 'must not be before the step in front of it: steps count from the start');
    earliestMs = afterMs;
    return { afterMs, status };
  });
}

function viewOf(gateway: GatewaySimulator, record: RefundRecord): Record<string, unknown> {
  const { channel, state } = gateway;
  const { book, now } = state;
  const nowMs = now();
  const payment = record.outTradeNo === '' ? undefined : book.payment(record.outTradeNo);
  const ofPayment = payment ? book.refundsOf(payment.outTradeNo, nowMs) : { count: 0, heldAmount: 0 };
  return {
    channel,
    outRefundNo: record.outRefundNo,
    outTradeNo: record.outTradeNo === '' ? null : record.outTradeNo,
    status: statusAt(record, nowMs),
    amount: record.amount,
    currency: record.currency === '' ? null : record.currency,
    gatewayRefundNo: record.gatewayRefundNo,
    ...(gateway.apis ? { api: record.wire ?? gateway.apis[0] } : {}),
    refundsAtGateway: gateway.refundsAtGateway?.(record) ?? (record.stored ? 1 : 0),
    awaitCreate: record.awaitCreate,
    createdAt: record.stored ? new Date(record.createdAtMs).toISOString() : null,
    script: record.script,
    notifyUrl: record.notifyUrl,
    queries: record.queries,
    creates: record.creates,
    redrives: record.redrives,
    maxConcurrentQueries: record.maxConcurrentQueries,
    maxConcurrentCalls: record.maxConcurrentCalls,
    activeCalls: record.activeCalls,
    callbacksSent: record.callbacksSent,
    callbacksAcknowledged: record.callbacksAcknowledged,
    callbacksDropped: record.callbacksDropped,
    callbacksSkipped: record.callbacksSkipped,
    payment: payment
      ? {
          transactionId: payment.transactionId,
          amount: payment.amount,
          currency: payment.currency,
          refunds: ofPayment.count,
          refundedAmount: ofPayment.heldAmount,
        }
      : null,
  };
}

function parse(raw: Buffer): unknown {
  try {
    return JSON.parse(raw.toString('utf8'));
  } catch {
    // The parser's own words name an offset, not a field.
    throw new InputError('body', 'is not JSON');
  }
}

function loopbackUrlIn(field: string, value: string): URL {
  let url: URL;
  try {
    url = new URL(value);
  } catch {
    // Said in the control API's form instead of the parser's.
    throw new InputError(field, 'must be an absolute URL');
  }
  if (!isLoopbackUrl(url))
    throw new InputError(field, 'must be http(s) on localhost, 127.x.x.x or [::1]: the sandbox contacts nothing else');
  if (value.includes('?')) throw new InputError(field, 'must not carry a query');
  return url;
}

function variantIn(query: URLSearchParams): AccountVariant | undefined {
  onlyKnown(query, ['variant']);
  const wanted = query.get('variant');
  if (wanted === null) return undefined;
  const variant = ACCOUNT_VARIANTS.find((known) => known === wanted);
  if (variant === undefined) throw new InputError('variant', `must be one of ${ACCOUNT_VARIANTS.join(', ')}`);
  return variant;
}

function onlyKnown(query: URLSearchParams, names: readonly string[]): void {
  for (const name of query.keys()) {
    if (!names.includes(name)) throw new InputError(name, `is unknown here; known: ${names.join(', ')}`);
  }
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    // A stray %: no stored number is spelt so.
    throw new InputError('outRefundNo', 'is not percent-encoded text');
  }
}

/** Where the caller reached this process is where its connector will: inside containers that is not what it binds to. */
function baseUrlOf(host: string | undefined): string {
  if (host === undefined || !/^[A-Za-z0-9.:[\]_-]+$/.test(host))
    throw new InputError('Host', 'is missing or has characters that no host has');
  return `http://${host}`;
}

function ok(body: unknown): Answer {
  return { status: 200, body };
}

function notFound(): Answer {
  return { status: 404, body: { error: 'path: no such operation of the control API; see sandbox/README.md' } };
}

function faultAnswer(error: unknown): Answer {
  if (error instanceof InputError) return { status: error.status, body: { error: error.message } };
  if (error instanceof BodyTooLarge) return { status: 413, body: { error: `body: ${error.message}` } };
  if (error instanceof BookFull) return { status: 409, body: { error: `refunds: ${error.message}` } };
  if (error instanceof TooManyFaults) return { status: 409, body: { error: `faults: ${error.message}` } };
  throw error;
}
