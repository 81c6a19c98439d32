import { createHash } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { requestMessage, verifyMessage } from './wechat.crypto.js';
import { signError, WechatRefusal } from './wechat.error.js';
import type { WechatKeys } from './wechat.keys.js';

export const SCHEME = 'WECHATPAY2-SHA256-RSA2048';
const WINDOW_SECONDS = 300;
const NONCE_MAX_LENGTH = 32;
const REMEMBERED_NONCES = 2_000_000;
const PARAMETERS = ['mchid', 'nonce_str', 'signature', 'timestamp', 'serial_no'] as const;
type Parameters = Record<(typeof PARAMETERS)[number], string>;

export interface SignedRequest {
  method: string;
  /** Path and query exactly as transmitted. */
  target: string;
  headers: IncomingHttpHeaders;
  body: Buffer;
}

/** The order in which the real platform complains: headers, Authorization's form, its time, its certificate, its signature. */
export class RequestVerifier {
  private readonly nonces = new NonceMemory();

  constructor(
    private readonly keys: WechatKeys,
    private readonly now: () => number,
    private readonly onReplay: () => void,
  ) {}

  /**
   * @returns whose request it is: the direct merchant's, or the service provider's.
   * @throws WechatRefusal when it does not come from one of them as it is.
   */
  verify(request: SignedRequest): 'direct' | 'partner' {
    requireHeaders(request);
    const parameters = parseAuthorization(request.headers.authorization);
    const nowSeconds = Math.floor(this.now() / 1000);
    const timestamp = Number(parameters.timestamp);
    if (Math.abs(nowSeconds - timestamp) > WINDOW_SECONDS)
      throw signError('Http头Authorization中的timestamp与发起请求的时间不得超过5分钟');
    const isPartner = parameters.mchid === this.keys.partner.mchId;
    if (!isPartner && parameters.mchid !== this.keys.mchId)
      throw new WechatRefusal(404, 'MCH_NOT_EXISTS', '商户号不存在，请检查商户号是否正确');
    if (parameters.serial_no !== this.keys.merchantSerial)
      throw signError('商户证书序列号有误。请使用签名私钥匹配的证书序列号');
    const message = requestMessage(
      request.method,
      request.target,
      parameters.timestamp,
      parameters.nonce_str,
      request.body,
    );
    if (!verifyMessage(message, parameters.signature, this.keys.merchant.publicKey)) {
      throw signError('错误的签名，验签失败', mismatchDetail(request, message));
    }
    // Only now: a nonce is used up by a request that proved where it came from.
    if (!this.nonces.use(parameters.nonce_str, timestamp, nowSeconds)) {
      this.onReplay();
      throw signError('Http头Authorization中的nonce_str已被使用');
    }
    return isPartner ? 'partner' : 'direct';
  }
}

/** Seen at the real refund endpoints: this check comes before any look at the signature. */
function requireHeaders({ method, headers }: SignedRequest): void {
  const accepts = headers.accept ?? '';
  if (!headers['user-agent']?.trim() || !/application\/(json|\*)|\*\/\*/i.test(accepts)) {
    throw new WechatRefusal(400, 'INVALID_REQUEST', 'Http头缺少Accept或User-Agent');
  }
  if (method !== 'GET' && !/^application\/json\s*(;|$)/i.test(headers['content-type'] ?? '')) {
    throw new WechatRefusal(400, 'INVALID_REQUEST', 'Http头Content-Type必须为application/json');
  }
}

function parseAuthorization(header: string | undefined): Parameters {
  const parts = /^(\S+)\s+(\S.*)$/.exec(header ?? '');
  const form = 'Http头Authorization值格式错误，请参考《微信支付商户REST API签名规则》';
  if (!parts?.[1] || !parts[2]) throw signError(form);
  if (parts[1] !== SCHEME) throw signError('Http头Authorization认证类型不正确');
  const found = new Map<string, string>();
  for (const pair of parts[2].split(/,\s*(?=[a-z_]+=")/)) {
    const match = /^([a-z_]+)="([^"]*)"\s*$/.exec(pair);
    if (!match?.[1] || match[2] === undefined || found.has(match[1])) throw signError(form);
    found.set(match[1], match[2]);
  }
  const parameters: Parameters = { mchid: '', nonce_str: '', signature: '', timestamp: '', serial_no: '' };
  for (const name of PARAMETERS) {
    const value = found.get(name);
    if (value === undefined || value === '') throw signError(form);
    parameters[name] = value;
  }
  if (found.size !== PARAMETERS.length) throw signError(form);
  if (!/^\d{1,12}$/.test(parameters.timestamp) || parameters.nonce_str.length > NONCE_MAX_LENGTH) throw signError(form);
  return parameters;
}

/** The platform tells what it verified, its body cut short; comparing that with one's own string finds most mistakes. */
function mismatchDetail(request: SignedRequest, message: Buffer): Record<string, unknown> {
  const bodyStart = message.length - request.body.length - 1;
  const shown = message.subarray(0, bodyStart + Math.min(request.body.length, 8));
  return {
    detail: { issue: 'sign not match' },
    field: 'signature',
    location: 'authorization',
    sign_information: {
      method: request.method,
      sign_message_length: message.length,
      truncated_sign_message: `${shown.toString('utf8')}\n`,
      url: request.target,
    },
  };
}

/**
 * Nonces that were used, by the second they were signed for, until that second leaves the window. Fingerprints instead
 * of texts: at thousands of requests a second the texts (slices that keep whole headers alive) would be gigabytes.
 */
class NonceMemory {
  private readonly bySecond = new Map<number, Set<number>>();
  private remembered = 0;

  /** @returns false when the nonce was used before. */
  use(nonce: string, timestamp: number, nowSeconds: number): boolean {
    let used = this.bySecond.get(timestamp);
    if (!used) {
      this.forget(nowSeconds);
      used = new Set();
      this.bySecond.set(timestamp, used);
    }
    const fingerprint = createHash('sha1').update(nonce).digest().readUIntBE(0, 6);
    if (used.has(fingerprint)) return false;
    used.add(fingerprint);
    this.remembered += 1;
    return true;
  }

  /** Runs when a new second opens, so at most once a second in ordinary traffic. */
  private forget(nowSeconds: number): void {
    for (const [second, used] of this.bySecond) {
      const past = second < nowSeconds - WINDOW_SECONDS;
      // A flood loses the oldest memories first; a replay that slips through then harms nobody here.
      if (!past && this.remembered < REMEMBERED_NONCES) continue;
      this.bySecond.delete(second);
      this.remembered -= used.size;
    }
  }
}
