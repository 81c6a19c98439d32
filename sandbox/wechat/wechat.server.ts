import { randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { holdBack, trackCall } from '../call.js';
import { CallbackSender } from '../callbacks.js';
import { FaultPlan, type Fault, type Operation } from '../faults.js';
import {
  DEFAULT_SETTINGS,
  type AccountVariant,
  type ChannelSettings,
  type ChannelState,
  type GatewaySimulator,
} from '../gateway.js';
import { BodyTooLarge, cutConnection, readBody } from '../http.js';
import type { KeyRing } from '../keys.js';
import { randomAlphanumerics } from '../random.js';
import { BookFull, RefundBook, statusAndSince, statusAt, type RefundRecord } from '../refund-book.js';
import { Meter } from '../stats.js';
import { WechatV2Callbacks } from '../wechat-v2/wechat-v2.callback.js';
import { WechatV2Wire } from '../wechat-v2/wechat-v2.server.js';
import { RequestVerifier, SCHEME } from './wechat.auth.js';
import { checkSubMerchant, isRefundNo, parseAbnormal, parseCreate, type AbnormalBody } from './wechat.body.js';
import { EitherFormat, requestId, WechatCallbacks } from './wechat.callback.js';
import { decryptField, encryptResource, replyMessage, signMessage } from './wechat.crypto.js';
import { frequencyLimited, invalidRequest, paramError, WechatRefusal } from './wechat.error.js';
import {
  openWechatKeys,
  platformCertificate,
  type PlatformCertificate,
  type PlatformKey,
  type WechatKeys,
} from './wechat.keys.js';
import { LedgerRefusal, WechatLedger, type WechatCreate } from './wechat.ledger.js';
import { beijingTime, refundObject, wechatStatus } from './wechat.refund.js';

const REFUNDS_PATH = '/v3/refund/domestic/refunds';
const CERTIFICATES_PATH = '/v3/certificates';
const MAX_BODY_BYTES = 64 * 1024;
const DEFAULT_SLOW_MS = 1500;
/** Well inside the five minutes for which receivers accept a timestamp. */
const PRESIGNED_FOR_MS = 240_000;

type Route = { operation: Operation | 'certificates'; segment: string } | { operation: null; status: 404 | 405 };

/** One request on its way through. */
interface Call {
  request: IncomingMessage;
  response: ServerResponse;
  target: string;
  /** Key that signs the answer. */
  replyKey: PlatformKey;
  /** The request's own signature was accepted. */
  authenticated: boolean;
  /** Named by a service provider's requests; undefined for the direct merchant. */
  subMchId: string | undefined;
  /** Ends the count of this call as one under way. */
  release: () => void;
}

interface Reply {
  status: number;
  text: string;
  /** The fault that the sending of it still has to commit. */
  fault: Fault | null;
  /** The refund that it describes, when it does nothing else. */
  about: RefundRecord | null;
}

/** A signature and what it was made of. */
interface Signed {
  text: string;
  serial: string;
  atMs: number;
  headers: Readonly<Record<string, string>>;
}

/** What becomes of a call: an answer, a cut connection, or silence. */
type Outcome = Reply | 'rst' | 'fin' | 'silence';

export interface WechatOptions {
  ring: KeyRing;
  now: () => number;
  settings?: Partial<ChannelSettings>;
}

/** WeChat Pay, refunds of a direct merchant: APIv3 here, APIv2 in `../wechat-v2/`, over one book. */
export class WechatSimulator implements GatewaySimulator {
  readonly channel = 'wechat_pay';
  readonly gateway = 'wechat';
  readonly state: ChannelState;
  readonly callbacks: CallbackSender;
  readonly apis = ['v3', 'v2'] as const;
  private readonly verifier: RequestVerifier;
  private readonly ledger: WechatLedger;
  /** The older door to the same refunds. */
  private readonly v2: WechatV2Wire;
  private readonly presigned = new WeakMap<RefundRecord, Signed>();

  private readonly ring: KeyRing;

  private constructor(
    private readonly keys: WechatKeys,
    options: WechatOptions,
  ) {
    this.ring = options.ring;
    const startedAt = String(options.now()).padStart(13, '0');
    const book = new RefundBook({
      refundNo: (sequence) => `50${startedAt}${String(sequence).padStart(14, '0')}`,
      paymentNo: (sequence) => `4200${startedAt}${String(sequence).padStart(11, '0')}`,
    });
    const settings = { ...DEFAULT_SETTINGS, ...options.settings };
    this.state = { book, faults: new FaultPlan(), meter: new Meter(), settings, now: options.now };
    this.ledger = new WechatLedger(this.state, () => this.callbacks);
    this.callbacks = new CallbackSender(
      this.state,
      new EitherFormat(
        new WechatCallbacks(keys, this.state, this.ledger),
        new WechatV2Callbacks(keys.v2, this.state, this.ledger),
      ),
    );
    this.v2 = new WechatV2Wire(keys.v2, this.state, this.ledger, this.callbacks);
    this.verifier = new RequestVerifier(keys, options.now, () => {
      this.state.meter.replayedNonces += 1;
    });
  }

  static async open(options: WechatOptions): Promise<WechatSimulator> {
    return new WechatSimulator(await openWechatKeys(options.ring), options);
  }

  owns(path: string): boolean {
    return path.startsWith('/v3/') || this.v2.owns(path);
  }

  refundNoFault(outRefundNo: string): string | undefined {
    return isRefundNo(outRefundNo) ? undefined : 'must have 1 to 64 of digits, letters, _ - | * @';
  }

  connectorConfig(baseUrl: string, variant?: AccountVariant): Record<string, unknown> {
    if (variant === 'v2' || variant === 'partnerV2') return this.v2.connectorConfig(baseUrl, variant === 'partnerV2');
    const merchant =
      variant === 'partner'
        ? { mchId: this.keys.partner.mchId, subMchId: this.keys.partner.subMchId }
        : { mchId: this.keys.mchId };
    return {
      ...merchant,
      serialNo: this.keys.merchantSerial,
      privateKey: this.keys.merchant.privatePem,
      apiV3Key: this.keys.apiV3Key,
      platformCertificates: { [this.keys.certificate.serial]: this.keys.certificate.pem },
      publicKeyId: this.keys.publicKey.serial,
      publicKey: this.keys.publicKey.pair.publicPem,
      baseUrl,
    };
  }

  async prepare(record: RefundRecord): Promise<void> {
    const { presign } = this.state.settings;
    if (presign === 'off' || statusAt(record, this.state.now()) === 'notFound') return;
    await this.signatureOf(
      JSON.stringify(this.view(record, null)),
      presign === 'publicKey' ? this.keys.publicKey : this.keys.certificate,
      record,
    );
  }

  async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (this.v2.owns(request.url ?? '/')) return this.v2.serve(request, response);
    const { meter, now, settings } = this.state;
    const inSecond = meter.countRequest(now());
    // The request target as transmitted is what the merchant signed: nothing may decode or normalise it before.
    const target = request.url ?? '/';
    const route = routeOf(request.method ?? '', target.split('?', 1)[0] ?? '');
    if (route.operation === null) {
      // Seen at the real gateway: no JSON and no signature on these two.
      response.writeHead(route.status, { 'Content-Length': 0, 'Request-ID': requestId() }).end();
      return;
    }
    const call: Call = {
      request,
      response,
      target,
      replyKey: this.keys.certificate,
      authenticated: false,
      subMchId: undefined,
      release: () => undefined,
    };
    let outcome: Outcome;
    try {
      const body = await readBody(request, MAX_BODY_BYTES);
      this.authenticate(call, body);
      outcome =
        route.operation === 'certificates'
          ? this.certificates()
          : await this.perform(call, route.operation, route.segment, body, inSecond);
    } catch (error) {
      outcome = this.replyToRefusal(route.operation === 'certificates' ? 'query' : route.operation, error);
    }
    if (outcome === 'silence') {
      holdBack(call.request, call.response);
      return;
    }
    if (outcome === 'rst' || outcome === 'fin') {
      call.release();
      cutConnection(request, outcome);
      return;
    }
    if (settings.latencyMs > 0) await sleep(settings.latencyMs, undefined, { ref: false });
    await this.send(call, outcome);
  }

  private authenticate(call: Call, body: Buffer): void {
    const { headers, method } = call.request;
    const sender = this.verifier.verify({ method: method ?? '', target: call.target, headers, body });
    call.authenticated = true;
    if (sender === 'partner') call.subMchId = this.keys.partner.subMchId;
    const serial = headers['wechatpay-serial'];
    const keys = [this.keys.publicKey, this.keys.certificate, ...this.goodReplaced()];
    const named = serial === undefined ? this.keys.certificate : keys.find((key) => key.serial === serial);
    if (named) call.replyKey = named;
    else {
      throw new WechatRefusal(400, 'PARAM_ERROR', '平台证书序列号Wechatpay-Serial错误');
    }
  }

  private async perform(
    call: Call,
    operation: Operation,
    segment: string,
    body: Buffer,
    inSecond: number,
  ): Promise<Outcome> {
    const { book, faults, meter, now, settings } = this.state;
    let record: RefundRecord;
    let act: (fault: Fault | null) => Record<string, unknown>;
    switch (operation) {
      case 'query':
        checkSubMerchant(subMchIdIn(call), call.subMchId, 'sub_mchid');
        record = book.heardOf(refundNoIn(segment));
        record.queries += 1;
        meter.queries += 1;
        act = (fault) => this.query(record, call, fault);
        break;
      case 'create': {
        const parsed = parseCreate(body, call.subMchId);
        record = book.heardOf(parsed.outRefundNo);
        record.creates += 1;
        meter.creates += 1;
        act = (fault) => this.create(record, parsed, call, fault);
        break;
      }
      case 'redrive': {
        const parsed = parseAbnormal(body, call.subMchId);
        const known = book.findByGatewayNo(segment);
        if (!known) throw refundNotFound();
        record = known;
        record.redrives += 1;
        meter.redrives += 1;
        act = (fault) => this.redrive(record, parsed, call, fault);
        break;
      }
      case 'callback':
        throw new Error('callbacks go out, not in');
    }
    call.release = trackCall(record, operation === 'query', call.request, call.response);
    if (settings.ratePerSecond > 0 && inSecond > settings.ratePerSecond) throw frequencyLimited();

    const fault = faults.pick({ operation, outRefundNo: record.outRefundNo, status: statusAt(record, now()) });
    if (fault) meter.countFault(fault.kind);
    switch (fault?.kind) {
      case 'reset':
        return 'rst';
      case 'lostRequest':
        return 'fin';
      case 'http500':
      case 'systemError':
        throw new WechatRefusal(500, 'SYSTEM_ERROR', '系统异常，请稍后重试');
      case 'http429':
        throw frequencyLimited();
      case 'refused': {
        const refusal = paramError('/reason', null, 'refused by a fault of the sandbox');
        return { status: refusal.status, text: JSON.stringify(refusal.body()), fault, about: null };
      }
      default:
        break;
    }

    let reply: Reply;
    try {
      reply = { status: 200, text: JSON.stringify(act(fault)), fault, about: fault ? null : record };
    } catch (error) {
      reply = { ...this.replyToRefusal(operation, error), fault };
    }
    switch (fault?.kind) {
      case 'timeout':
        return 'silence';
      case 'lostAnswer':
        return 'fin';
      case 'slow':
        await sleep(fault.delayMs ?? DEFAULT_SLOW_MS, undefined, { ref: false });
        return reply;
      case 'malformed':
        // Cut before it is signed: the signature is right, the JSON is not.
        return { ...reply, text: reply.text.slice(0, Math.floor(reply.text.length * 0.6)) };
      default:
        return reply;
    }
  }

  private query(record: RefundRecord, call: Call, fault: Fault | null): Record<string, unknown> {
    const nowMs = this.state.now();
    if (record.stored && !this.ledger.belongsTo(record, call.subMchId !== undefined)) throw refundNotFound();
    if (fault?.kind === 'notFoundThenFound' || statusAt(record, nowMs) === 'notFound') throw refundNotFound();
    const answer = this.view(record, fault);
    if (fault?.kind === 'successThenFailed') {
      record.override = { status: 'failed', atMs: nowMs };
      this.callbacks.unwatch(record);
      this.callbacks.announce(record, 'failed', nowMs);
    }
    return answer;
  }

  private create(record: RefundRecord, body: WechatCreate, call: Call, fault: Fault | null): Record<string, unknown> {
    this.ledger.create(record, body, {
      isPartner: call.subMchId !== undefined,
      secondKey: call.replyKey === this.keys.publicKey,
    });
    return this.view(record, fault);
  }

  private redrive(record: RefundRecord, body: AbnormalBody, call: Call, fault: Fault | null): Record<string, unknown> {
    if (!this.ledger.belongsTo(record, call.subMchId !== undefined)) throw refundNotFound();
    if (body.outRefundNo !== record.outRefundNo) throw invalidRequest('您的请求参数与退款单信息不一致');
    if (!this.ledger.isAbnormal(record)) throw invalidRequest('退款单状态不是退款异常，不能发起异常退款');
    for (const [pointer, ciphertext] of Object.entries({
      '/bank_account': body.bankAccount,
      '/real_name': body.realName,
    })) {
      if (ciphertext === undefined) continue;
      if (call.request.headers['wechatpay-serial'] === undefined) {
        throw new WechatRefusal(400, 'PARAM_ERROR', 'HTTP header缺少微信支付平台证书序列号(Wechatpay-Serial)');
      }
      if (decryptField(ciphertext, call.replyKey.pair.privateKey) === undefined)
        throw paramError(pointer, null, 'cannot be decrypted with the key that Wechatpay-Serial names');
    }
    this.ledger.redrive(record);
    return this.view(record, fault);
  }

  private goodReplaced(): PlatformCertificate[] {
    return this.keys.replaced.filter(({ expiresAtMs }) => expiresAtMs > this.state.now());
  }

  /** 获取平台证书列表: the certificate of the moment, and the old one for as long as it is good; each encrypted with the APIv3 key. */
  private certificates(): Reply {
    this.state.meter.certificateLists += 1;
    const data = [...this.goodReplaced(), this.keys.certificate].map(({ serial, pem, effectiveAtMs, expiresAtMs }) => {
      const nonce = randomAlphanumerics(12);
      return {
        effective_time: beijingTime(effectiveAtMs),
        encrypt_certificate: {
          algorithm: 'AEAD_AES_256_GCM',
          associated_data: 'certificate',
          ciphertext: encryptResource(pem, this.keys.apiV3Key, nonce, 'certificate'),
          nonce,
        },
        expire_time: beijingTime(expiresAtMs),
        serial_no: serial,
      };
    });
    return { status: 200, text: JSON.stringify({ data }), fault: null, about: null };
  }

  async rotateCertificate(expireOldInMs: number): Promise<{ serial: string; replacedSerial: string }> {
    const nowMs = this.state.now();
    const old = this.keys.certificate;
    const next = platformCertificate(await this.ring.passing(), nowMs);
    this.keys.replaced.push({ ...old, expiresAtMs: nowMs + expireOldInMs });
    this.keys.certificate = next;
    return { serial: next.serial, replacedSerial: old.serial };
  }

  private view(record: RefundRecord, fault: Fault | null): Record<string, unknown> {
    const payment = this.state.book.payment(record.outTradeNo);
    if (!payment) throw new Error(`refund ${record.outRefundNo} has no payment`);
    const { status, sinceMs } = statusAndSince(record, this.state.now());
    // A create that a query cannot see yet is answered all the same: that is what replication delay looks like.
    const word = status === 'notFound' ? 'PROCESSING' : wechatStatus(status);
    return refundObject(record, payment, word, sinceMs, fault?.kind === 'wrongAmount' ? 1 : 0);
  }

  private replyToRefusal(operation: Operation, error: unknown): Reply {
    const { meter, now, settings } = this.state;
    let refusal = asRefusal(error);
    if (refusal.status === 401) meter.refusedSignatures += 1;
    if (operation !== 'query' && refusal.status < 500 && refusal.status !== 429) {
      // Failed calls have a limit of their own, far below that of good ones.
      const failed = meter.countRefusal(now());
      if (settings.failedRatePerSecond > 0 && failed > settings.failedRatePerSecond) refusal = frequencyLimited();
    }
    if (refusal.status === 429) meter.rateLimited += 1;
    return { status: refusal.status, text: JSON.stringify(refusal.body()), fault: null, about: null };
  }

  private async send(call: Call, reply: Reply): Promise<void> {
    const { response } = call;
    const body = Buffer.from(reply.text);
    const headers: Record<string, string | number> = {
      'Content-Type': 'application/json; charset=utf-8',
      'Content-Length': body.length,
      'Cache-Control': 'no-cache, must-revalidate',
      'Content-Language': 'zh-CN',
      'X-Content-Type-Options': 'nosniff',
      'Request-ID': requestId(),
    };
    if (this.mustSign(call, reply)) {
      const key = reply.fault?.kind === 'badSignature' ? { ...call.replyKey, pair: this.keys.rogue } : call.replyKey;
      Object.assign(headers, await this.signatureOf(reply.text, key, reply.about));
    }
    // Before the first byte leaves: a client that asks again at once must not look like two calls at the same time.
    call.release();
    if (response.destroyed) return;
    response.writeHead(reply.status, headers);
    response.end(body);
  }

  private async signatureOf(
    text: string,
    key: PlatformKey,
    about: RefundRecord | null,
  ): Promise<Readonly<Record<string, string>>> {
    const nowMs = this.state.now();
    const keeps = about !== null && this.state.settings.presign !== 'off';
    const kept = keeps ? this.presigned.get(about) : undefined;
    if (kept?.text === text && kept.serial === key.serial && nowMs - kept.atMs < PRESIGNED_FOR_MS) return kept.headers;
    const timestamp = String(Math.floor(nowMs / 1000));
    const nonce = randomBytes(16).toString('hex');
    const headers = {
      'Wechatpay-Timestamp': timestamp,
      'Wechatpay-Nonce': nonce,
      'Wechatpay-Signature': await signMessage(replyMessage(timestamp, nonce, text), key.pair.privateKey),
      'Wechatpay-Signature-Type': SCHEME,
      'Wechatpay-Serial': key.serial,
    };
    if (keeps) this.presigned.set(about, { text, serial: key.serial, atMs: nowMs, headers });
    return headers;
  }

  private mustSign(call: Call, reply: Reply): boolean {
    const { signErrors } = this.state.settings;
    if (reply.status < 300 || reply.fault?.kind === 'refused') return true;
    return signErrors === 'authenticated' ? call.authenticated : signErrors;
  }
}

function routeOf(method: string, path: string): Route {
  if (path === CERTIFICATES_PATH)
    return method === 'GET' ? { operation: 'certificates', segment: '' } : { operation: null, status: 405 };
  if (path === REFUNDS_PATH)
    return method === 'POST' ? { operation: 'create', segment: '' } : { operation: null, status: 405 };
  if (!path.startsWith(`${REFUNDS_PATH}/`)) return { operation: null, status: 404 };
  const [segment = '', action, ...more] = path.slice(REFUNDS_PATH.length + 1).split('/');
  if (segment === '' || more.length > 0) return { operation: null, status: 404 };
  if (action === undefined)
    return method === 'GET' ? { operation: 'query', segment } : { operation: null, status: 405 };
  if (action !== 'apply-abnormal-refund') return { operation: null, status: 404 };
  return method === 'POST' ? { operation: 'redrive', segment } : { operation: null, status: 405 };
}

/** Only service providers have one there; what the direct merchant adds to its path is signed and otherwise without meaning. */
function subMchIdIn({ target, subMchId }: Call): string | undefined {
  if (subMchId === undefined) return undefined;
  return new URL(target, 'http://sandbox').searchParams.get('sub_mchid') ?? undefined;
}

function refundNoIn(segment: string): string {
  let outRefundNo: string;
  try {
    outRefundNo = decodeURIComponent(segment);
  } catch {
    // A stray % in the path: the answer below names the member.
    throw paramError('out_refund_no', segment, 'is not percent-encoded text', 'url');
  }
  if (!isRefundNo(outRefundNo))
    throw paramError('out_refund_no', outRefundNo, 'must have 1 to 64 of digits, letters, _ - | * @', 'url');
  return outRefundNo;
}

function asRefusal(error: unknown): WechatRefusal {
  if (error instanceof WechatRefusal) return error;
  if (error instanceof BodyTooLarge) return paramError('/', null, `the body has ${error.message}`);
  if (error instanceof LedgerRefusal) {
    return error.reason === 'noPayment'
      ? new WechatRefusal(404, 'RESOURCE_NOT_EXISTS', error.message)
      : invalidRequest(error.message);
  }
  if (error instanceof BookFull) return new WechatRefusal(500, 'SYSTEM_ERROR', error.message);
  throw error;
}

function refundNotFound(): WechatRefusal {
  return new WechatRefusal(404, 'RESOURCE_NOT_EXISTS', '退款单不存在');
}
