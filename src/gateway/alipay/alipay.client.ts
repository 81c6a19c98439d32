import { beijingTime } from '../beijing-time.js';
import { fetchOnce } from '../fetch-once.js';
import type { GatewayOperation } from '../refusal-rules.js';
import { ALIPAY_DEFAULT_GATEWAY_URL, alipayKeys, type AlipayConfig, type AlipayKeys } from './alipay.config.js';
import type { AlipayAnswer, AlipayResponse } from './alipay.errors.js';
import { readEnvelope, requestText, signRsa2, verifyRsa2, type Envelope } from './alipay.signature.js';

/**
 * Requests are signed and sent here, with node:crypto and fetch, and not by the official library's `exec`, which
 *
 * - stamps requests with the machine's local time, while Alipay reads GMT+8 (gateways.md §3.1): wrong on every server in UTC;
 * - parses and writes `biz_content` anew, so that a repeated create is not byte for byte what was stored;
 * - takes no AbortSignal, starts its time-out anew with every byte, and reads answers of any size;
 * - answers a refusal that Alipay does not sign with a TypeError, and the refusal is lost;
 * - hands amounts over as JavaScript numbers where Alipay sends numbers.
 *
 * The library still says what the serial numbers of certificates are (alipay.config.ts), and the specs hold the signatures made here
 * against its own.
 */

/** An answer about a refund has about 1 KiB; this leaves room for long lists of how the money was split. */
const MAX_ANSWER_BYTES = 256 * 1024;

const METHODS = {
  query: 'alipay.trade.fastpay.refund.query',
  create: 'alipay.trade.refund',
} as const satisfies Record<GatewayOperation, string>;

export interface AlipayRequest {
  operation: GatewayOperation;
  /** JSON text of the business fields, sent and signed as it stands. */
  bizContent: string;
  signal: AbortSignal;
  timeoutMs: number;
}

export interface AlipayClient {
  /** Sends one request, once. Throws GatewayError when no answer came; never judges an answer. */
  send(request: AlipayRequest): Promise<AlipayAnswer>;
}

export type AlipayTransport = typeof fetch;

/** @param transport replaces the network; specs give one. */
export function alipayClient(config: AlipayConfig, transport: AlipayTransport = fetch): AlipayClient {
  return {
    async send(request) {
      const keys = alipayKeys(config);
      const method = METHODS[request.operation];
      const { url, body } = signedRequest(config, keys, method, request.bizContent);
      const answer = await fetchOnce({
        gateway: 'Alipay',
        call: request,
        url,
        headers: {
          Accept: 'application/json',
          'Content-Type': 'application/x-www-form-urlencoded;charset=utf-8',
        },
        body,
        maxAnswerBytes: MAX_ANSWER_BYTES,
        transport,
      });
      return readAnswer(answer.status, answer.headers, answer.body, method, keys);
    },
  };
}

/** Public parameters in the URL and `biz_content` in the form, as the official libraries place them (gateways.md §3.1). */
function signedRequest(
  config: AlipayConfig,
  keys: AlipayKeys,
  method: string,
  bizContent: string,
): { url: string; body: string } {
  const parameters = {
    app_id: config.appId,
    method,
    format: 'JSON',
    charset: 'utf-8',
    sign_type: 'RSA2',
    timestamp: beijingTime(new Date()),
    version: '1.0',
    ...(keys.certificates && {
      app_cert_sn: keys.certificates.appCertSn,
      alipay_root_cert_sn: keys.certificates.alipayRootCertSn,
    }),
  };
  const sign = signRsa2(requestText({ ...parameters, biz_content: bizContent }), keys.app);
  const query = new URLSearchParams({ ...parameters, sign });
  return {
    url: `${config.gatewayUrl ?? ALIPAY_DEFAULT_GATEWAY_URL}?${query.toString()}`,
    body: new URLSearchParams({ biz_content: bizContent }).toString(),
  };
}

function readAnswer(
  httpStatus: number,
  headers: Headers,
  body: Buffer,
  method: string,
  keys: AlipayKeys,
): AlipayAnswer {
  const envelope = httpStatus === 200 ? readEnvelope(body, method) : undefined;
  return {
    httpStatus,
    response: envelope ? judged(envelope, keys) : null,
    traceId: headers.get('trace_id')?.slice(0, 64) ?? null,
  };
}

function judged(envelope: Envelope, keys: AlipayKeys): AlipayResponse {
  const unverifiedBecause = doubt(envelope, keys);
  return { fields: envelope.fields, verified: unverifiedBecause === null, unverifiedBecause };
}

/** Why an answer cannot be believed; the operator reads it. */
function doubt({ sign, certSn, signedText }: Envelope, keys: AlipayKeys): string | null {
  if (sign === null) return 'it has no signature';
  if (certSn !== null && keys.certificates && certSn !== keys.certificates.alipayCertSn)
    return 'it is signed with an Alipay certificate that is not the configured one';
  return verifyRsa2(signedText, sign, keys.alipay) ? null : 'its signature is wrong';
}
