import { Agent as HttpAgent, request as httpRequest, type RequestOptions } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import type { LookupFunction } from 'node:net';
import type {
  CallbackFormat,
  CallbackResult,
  ChannelState,
  ComposedCallback,
  SignedCallback,
  Tampering,
} from './gateway.js';
import { isLoopbackUrl } from './http.js';
import { transitionsOf, type RefundRecord, type RefundStatus } from './refund-book.js';

interface Delivery {
  record: RefundRecord;
  url: URL;
  composed: ComposedCallback;
  attempts: number;
  /** Spoils the first attempt only: gateways send the genuine message again. */
  tamper: Tampering | undefined;
  /** Runs when the first attempt is over. */
  afterFirst?: () => void;
}

const MAX_TIMER_MS = 2_147_483_647;
const MAX_ANSWER_BYTES = 64 * 1024;
const LATE_MS = 2000;
const REORDER_HOLD_MS = 1000;

/** `localhost` without a resolver: what a hosts file or a DNS server says about it is not part of the rule. */
const loopbackLookup: LookupFunction = (_hostname, options, callback) => {
  if (options.all === true) {
    callback(null, [
      { address: '127.0.0.1', family: 4 },
      { address: '::1', family: 6 },
    ]);
    return;
  }
  callback(null, '127.0.0.1', 4);
};

/**
 * Tells merchants what became of their refunds, as badly as the faults say. Only URLs on this machine are ever
 * contacted: a test double that posts to the URLs in its test data would one day post to a real shop.
 */
export class CallbackSender {
  private readonly http = new HttpAgent({ keepAlive: true, maxSockets: 64 });
  private readonly https = new HttpsAgent({ keepAlive: true, maxSockets: 64 });
  /** The timer of a refund's next scripted change. */
  private readonly watched = new Map<RefundRecord, NodeJS.Timeout>();
  private readonly timers = new Set<NodeJS.Timeout>();
  /** First of two callbacks that change places, by refund. */
  private readonly held = new Map<RefundRecord, { delivery: Delivery; timer: NodeJS.Timeout }>();
  private stop = new AbortController();

  constructor(
    private readonly state: ChannelState,
    private readonly format: CallbackFormat,
  ) {}

  /** Calls back at every change of status that the refund's script still has before it. */
  watch(record: RefundRecord, before: RefundStatus | undefined): void {
    this.unwatch(record);
    if (record.notifyUrl === null || !record.stored) return;
    const worthTelling = transitionsOf(record, before).filter(({ status }) => this.format.notifies(status));
    this.armNext(record, worthTelling);
  }

  /** The same for a refund whose notify URL became known late: what has changed already is not told again. */
  watchFromNow(record: RefundRecord): void {
    this.unwatch(record);
    const nowMs = this.state.now();
    const ahead = transitionsOf(record, undefined).filter(
      ({ atMs, status }) => atMs > nowMs && this.format.notifies(status),
    );
    this.armNext(record, ahead);
  }

  /** No more callbacks from the script. */
  unwatch(record: RefundRecord): void {
    const timer = this.watched.get(record);
    if (timer === undefined) return;
    clearTimeout(timer);
    this.watched.delete(record);
  }

  /** A change outside the script: a call or a fault made it. */
  announce(record: RefundRecord, status: RefundStatus, atMs: number): void {
    if (!this.state.settings.autoCallback || record.notifyUrl === null || !this.format.notifies(status)) return;
    const url = new URL(record.notifyUrl);
    if (!isLoopbackUrl(url)) {
      record.callbacksSkipped += 1;
      return;
    }
    const fault = this.state.faults.pick({ operation: 'callback', outRefundNo: record.outRefundNo, status });
    if (fault) this.state.meter.countFault(fault.kind);
    const composed = this.format.compose(record, status, atMs, { wrongAmount: fault?.kind === 'wrongAmount' });
    const delivery: Delivery = { record, url, composed, attempts: 0, tamper: undefined };
    switch (fault?.kind) {
      case 'dropCallback':
        record.callbacksDropped += 1;
        return;
      case 'lateCallback':
        this.later(fault.delayMs ?? LATE_MS, () => this.deliver(delivery));
        return;
      case 'duplicateCallback':
        this.deliver(delivery);
        this.deliver({ ...delivery });
        return;
      case 'reorderCallbacks':
        if (!this.held.has(record)) {
          this.hold(delivery, fault.delayMs ?? REORDER_HOLD_MS);
          return;
        }
        break;
      case 'badSignature':
        delivery.tamper = 'signature';
        break;
      case 'malformed':
        delivery.tamper = 'truncated';
        break;
      default:
        break;
    }
    const held = this.held.get(record);
    if (held) {
      this.held.delete(record);
      this.cancel(held.timer);
      delivery.afterFirst = () => this.deliver(held.delivery);
    }
    this.deliver(delivery);
  }

  /** One attempt now, for tests that want the receiver's answer. Not repeated, and no fault applies. */
  async sendNow(
    record: RefundRecord,
    url: URL,
    status: RefundStatus,
    atMs: number,
    tamper: Tampering | undefined,
  ): Promise<CallbackResult> {
    const composed = this.format.compose(record, status, atMs, { wrongAmount: false });
    return this.attempt({ record, url, composed, attempts: 0, tamper });
  }

  /** Forgets everything that is waiting or under way. */
  reset(): void {
    for (const timer of this.watched.values()) clearTimeout(timer);
    for (const timer of this.timers) clearTimeout(timer);
    this.watched.clear();
    this.timers.clear();
    this.held.clear();
    this.stop.abort();
    this.stop = new AbortController();
  }

  close(): void {
    this.reset();
    this.stop.abort();
    this.http.destroy();
    this.https.destroy();
  }

  private armNext(record: RefundRecord, transitions: { atMs: number; status: RefundStatus }[]): void {
    const next = transitions[0];
    if (!next) return;
    const waitMs = Math.min(Math.max(next.atMs - this.state.now(), 0), MAX_TIMER_MS);
    const timer = setTimeout(() => {
      this.watched.delete(record);
      // Timers may fire early, and not at all for very long pauses: a callback must never be ahead of the truth.
      if (this.state.now() < next.atMs) {
        this.armNext(record, transitions);
        return;
      }
      this.armNext(record, transitions.slice(1));
      this.announce(record, next.status, next.atMs);
    }, waitMs);
    this.watched.set(record, timer);
  }

  private hold(delivery: Delivery, maxMs: number): void {
    const timer = this.later(maxMs, () => {
      this.held.delete(delivery.record);
      this.deliver(delivery);
    });
    this.held.set(delivery.record, { delivery, timer });
  }

  private deliver(delivery: Delivery): void {
    const stop = this.stop.signal;
    void this.attempt(delivery).then((result) => {
      if (stop.aborted) return;
      delivery.afterFirst?.();
      const pauseSeconds = this.format.retryAfterSeconds[delivery.attempts - 1];
      if (result.acknowledged || pauseSeconds === undefined) return;
      const again: Delivery = { ...delivery, tamper: undefined, afterFirst: undefined };
      this.later(pauseSeconds * 1000 * this.state.settings.callbackTimeScale, () => this.deliver(again));
    });
  }

  /** Never rejects: a receiver that cannot be reached is a result. */
  private async attempt(delivery: Delivery): Promise<CallbackResult> {
    const { record, composed } = delivery;
    const signal = this.stop.signal;
    delivery.attempts += 1;
    const result: CallbackResult = {
      id: composed.id,
      eventType: composed.eventType,
      status: null,
      body: '',
      acknowledged: false,
    };
    try {
      const message = await this.format.sign(record, composed, delivery.tamper);
      if (signal.aborted) return { ...result, error: 'the sandbox was reset' };
      record.callbacksSent += 1;
      this.state.meter.callbacksSent += 1;
      const answer = await this.post(delivery.url, message, signal);
      const acknowledged = this.format.isAcknowledged(answer.status, answer.body, record);
      if (acknowledged) {
        record.callbacksAcknowledged += 1;
        this.state.meter.callbacksAcknowledged += 1;
      }
      return { ...result, ...answer, acknowledged };
    } catch (error) {
      return { ...result, error: error instanceof Error ? error.message : String(error) };
    }
  }

  private post(url: URL, message: SignedCallback, stop: AbortSignal): Promise<{ status: number; body: string }> {
    if (!isLoopbackUrl(url)) return Promise.reject(new Error('only URLs on this machine are contacted'));
    const secure = url.protocol === 'https:';
    const body = Buffer.from(message.body);
    const timeoutMs = this.state.settings.callbackTimeoutMs;
    const options: RequestOptions = {
      method: 'POST',
      agent: secure ? this.https : this.http,
      lookup: loopbackLookup,
      headers: { ...message.headers, 'Content-Length': String(body.length) },
      signal: AbortSignal.any([stop, AbortSignal.timeout(timeoutMs)]),
    };
    return new Promise((resolve, reject) => {
      const outgoing = (secure ? httpsRequest : httpRequest)(url, options, (incoming) => {
        const chunks: Buffer[] = [];
        let size = 0;
        incoming.on('data', (chunk: Buffer) => {
          size += chunk.length;
          if (size <= MAX_ANSWER_BYTES) chunks.push(chunk);
        });
        incoming.once('end', () =>
          resolve({ status: incoming.statusCode ?? 0, body: Buffer.concat(chunks).toString('utf8') }),
        );
        incoming.once('error', reject);
      });
      outgoing.once('error', (error) =>
        reject(
          error.name === 'AbortError' && !stop.aborted
            ? new Error(`no answer in ${timeoutMs} ms`, { cause: error })
            : error,
        ),
      );
      outgoing.end(body);
    });
  }

  private later(delayMs: number, run: () => void): NodeJS.Timeout {
    const timer = setTimeout(
      () => {
        this.timers.delete(timer);
        run();
      },
      Math.min(delayMs, MAX_TIMER_MS),
    );
    this.timers.add(timer);
    return timer;
  }

  private cancel(timer: NodeJS.Timeout): void {
    clearTimeout(timer);
    this.timers.delete(timer);
  }
}
