import { fetchOnce } from '../fetch-once.js';
import type { GatewayOperation } from '../refusal-rules.js';
import {
  UNIONPAY_DEFAULT_GATEWAY_URL,
  unionpayKeys,
  type UnionpayConfig,
  type UnionpayKeys,
} from './unionpay.config.js';
import type { UnionpayAnswer, UnionpayMessage } from './unionpay.errors.js';
import { messageText, readFields, signMessage, verifyMessage, type Fields } from './unionpay.signature.js';

/** An answer has about 3 KiB, most of it the certificate. */
const MAX_ANSWER_BYTES = 64 * 1024;

/** Refunds and queries have addresses of their own (gateways.md §4.2, §4.3). */
const PATHS = { create: '/backTransReq.do', query: '/queryTrans.do' } as const satisfies Record<
  GatewayOperation,
  string
>;

export interface UnionpayRequest {
  operation: GatewayOperation;
  /** What differs from call to call; version, merchant, certificate and signature are added. */
  fields: Readonly<Record<string, string>>;
  signal: AbortSignal;
  timeoutMs: number;
}

export interface UnionpayClient {
  /** Sends one request, once. Throws GatewayError when no answer came; never judges an answer. */
  send(request: UnionpayRequest): Promise<UnionpayAnswer>;
}

/** @param transport replaces the network; specs give one. */
export function unionpayClient(config: UnionpayConfig, transport: typeof fetch = fetch): UnionpayClient {
  return {
    async send(request) {
      const keys = unionpayKeys(config);
      const answer = await fetchOnce({
        gateway: 'UnionPay',
        call: request,
        url: `${config.gatewayUrl ?? UNIONPAY_DEFAULT_GATEWAY_URL}${PATHS[request.operation]}`,
        headers: { 'Content-Type': 'application/x-www-form-urlencoded; charset=UTF-8' },
        body: signedForm(config, keys, request.fields),
        maxAnswerBytes: MAX_ANSWER_BYTES,
        transport,
      });
      const fields = answer.status === 200 ? readFields(answer.body.toString('latin1')) : undefined;
      return { httpStatus: answer.status, message: fields ? judged(fields, keys, new Date()) : null };
    },
  };
}

function signedForm(config: UnionpayConfig, keys: UnionpayKeys, own: Readonly<Record<string, string>>): string {
  const fields = new Map(
    Object.entries({
      version: '5.1.0',
      encoding: 'UTF-8',
      signMethod: '01',
      certId: keys.certId,
      // A merchant of its own. Acquirers (1) and platforms (2) have more to send than this connector does.
      accessType: '0',
      merId: config.merId,
      ...own,
    }),
  );
  fields.set('signature', signMessage(messageText(fields), keys.merchant));
  return [...fields].map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join('&');
}

/**
 * An answer or a callback whose signature has been looked at.
 *
 * @param fields bytes as latin1 text, as they came.
 */
export function judged(fields: Fields, keys: UnionpayKeys, now: Date): UnionpayMessage {
  const texts = new Map([...fields].map(([name, value]) => [name, Buffer.from(value, 'latin1').toString('utf8')]));
  return { fields: texts, ...doubtOf(fields, keys, now) };
}

function doubtOf(fields: Fields, keys: UnionpayKeys, now: Date): Pick<UnionpayMessage, 'signature' | 'doubt'> {
  const signature = fields.get('signature') ?? '';
  const certificate = fields.get('signPubKeyCert') ?? '';
  const wrong = (doubt: string) => ({ signature: 'wrong', doubt }) as const;
  if (signature === '') {
    // A certificate without a signature is what is left of an answer that was cut off.
    return certificate === ''
      ? { signature: 'absent', doubt: 'it has no signature' }
      : wrong('its signature is missing');
  }
  if (fields.get('version') !== '5.1.0' || fields.get('signMethod') !== '01')
    return wrong('it is not signed in the way that was asked for');
  const signer = keys.signer.keyOf(certificate, now);
  if ('doubt' in signer) return wrong(signer.doubt);
  return verifyMessage(Buffer.from(messageText(fields), 'latin1'), signature, signer.key)
    ? { signature: 'right', doubt: null }
    : wrong('its signature is wrong');
}
