import { createDecipheriv, verify, type KeyObject } from 'node:crypto';

import { CallbackRejected, type CallbackHandler, type CallbackMessage, type RawCallback } from '../gateway.port.js';
import { isRecord, parseObject } from '../json-object.js';
import { merchantIdOf } from '../wechat-pay.js';
import { wechatKeys, type WechatConfig, type WechatKeys } from './wechat.config.js';
import { CALLBACK, observe, readRefund } from './wechat.status.js';

/** gateways.md §1.4. */
const MAX_CLOCK_OFFSET_S = 300;
const GCM_NONCE_BYTES = 12;
const GCM_TAG_BYTES = 16;

/** What an event may say of the refund inside it. Another pairing contradicts itself. */
const EVENT_STATUSES: Readonly<Record<string, readonly string[]>> = {
  'REFUND.SUCCESS': ['SUCCESS'],
  'REFUND.ABNORMAL': ['ABNORMAL'],
  'REFUND.CLOSED': ['CLOSED', 'CLOSE'],
};

export const wechatCallback = {
  receive,
  accepted: { status: 200, contentType: 'application/json', body: '{"code":"SUCCESS","message":"成功"}' },
  rejected: { status: 401, contentType: 'application/json', body: '{"code":"FAIL","message":"验签失败"}' },
} satisfies CallbackHandler<WechatConfig>;

/**
 * Refund result notification (退款结果通知), gateways.md §1.8: signature over the exact bytes, then AES-256-GCM, then the content.
 * WeChat Pay's signature probes (`WECHATPAY/SIGNTEST/…`) need no rule of their own: their signature is wrong.
 */
function receive(raw: RawCallback, config: WechatConfig): CallbackMessage {
  const keys = keysOf(config);
  verifySignature(raw, keys);
  const event = parseObject(raw.body.toString('utf8')) ?? refuse('the body is not a JSON object');
  const eventKey = event.id;
  if (typeof eventKey !== 'string' || eventKey.length < 1 || eventKey.length > 128)
    return refuse('the event has no usable id');
  const eventType = event.event_type;
  if (typeof eventType !== 'string' || !Object.hasOwn(EVENT_STATUSES, eventType))
    return refuse('the event is not about a refund');

  const content = decrypt(event.resource, keys.apiV3);
  const refund = readRefund(content, CALLBACK);
  if ('badField' in refund) return refuse(`the refund's ${refund.badField} is missing or malformed`);
  if (!EVENT_STATUSES[eventType]?.includes(refund.status))
    return refuse('event type and refund status contradict each other');
  const mchId = content.mchid ?? content.sp_mchid;
  if (typeof mchId !== 'string' || mchId === '') return refuse('it names no merchant');
  // A sub-merchant's refunds are another account's, also where that account is not set up: the same number may be used twice.
  if ((content.sub_mchid ?? undefined) !== config.subMchId) return refuse('it is for another sub-merchant');

  return {
    eventKey,
    eventType,
    gatewayRequestNo: refund.outRefundNo,
    gatewayRefundNo: refund.refundId,
    outTradeNo: refund.outTradeNo,
    observation: observe(refund, {
      merchantId: merchantIdOf(mchId, config.subMchId),
      rawBody: { event_type: eventType },
    }),
  };
}

function refuse(reason: string): never {
  throw new CallbackRejected(`WeChat Pay callback refused: ${reason}.`);
}

function keysOf(config: WechatConfig): WechatKeys {
  try {
    return wechatKeys(config);
  } catch {
    return refuse('the keys of this account cannot be read');
  }
}

function verifySignature(raw: RawCallback, keys: WechatKeys): void {
  const timestamp = raw.headers['wechatpay-timestamp'] ?? '';
  const nonce = raw.headers['wechatpay-nonce'] ?? '';
  const serial = raw.headers['wechatpay-serial'] ?? '';
  const signature = raw.headers['wechatpay-signature'] ?? '';
  if (!timestamp || !nonce || !serial || !signature) refuse('signature headers are missing');
  if (!/^\d{1,12}$/.test(timestamp)) refuse('the timestamp is not a number');
  if (Math.abs(Math.floor(raw.receivedAt.getTime() / 1000) - Number(timestamp)) > MAX_CLOCK_OFFSET_S) {
    refuse(`the timestamp is more than ${MAX_CLOCK_OFFSET_S} s away`);
  }
  // A line break in the nonce could shift bytes between nonce and body under the same signature.
  if (!/^[\x21-\x7e]{1,128}$/.test(nonce)) refuse('the nonce is malformed');
  const key = keys.platform.get(serial) ?? refuse('it is signed with a key that is not configured');
  // Over the bytes as received: decoding them first would let other bytes pass as the same text.
  const signed = Buffer.concat([Buffer.from(`${timestamp}\n${nonce}\n`), raw.body, Buffer.from('\n')]);
  if (!verify('RSA-SHA256', signed, key, Buffer.from(signature, 'base64'))) refuse('the signature is wrong');
}

function decrypt(resource: unknown, key: KeyObject): Record<string, unknown> {
  if (!isRecord(resource)) return refuse('it has no resource');
  const { algorithm, ciphertext, nonce, original_type: originalType, associated_data: associatedData } = resource;
  if (algorithm !== 'AEAD_AES_256_GCM') return refuse('the algorithm is not AEAD_AES_256_GCM');
  if (originalType !== undefined && originalType !== 'refund') return refuse('the resource is not a refund');
  if (typeof ciphertext !== 'string' || typeof nonce !== 'string') return refuse('ciphertext or nonce is missing');
  if (Buffer.byteLength(nonce) !== GCM_NONCE_BYTES) return refuse('the nonce of the resource is malformed');
  let text: string;
  try {
    text = openAead(key, nonce, typeof associatedData === 'string' ? associatedData : '', ciphertext);
  } catch {
    return refuse('the resource cannot be decrypted (tampered with, or a wrong apiV3Key)');
  }
  return parseObject(text) ?? refuse('the decrypted resource is not a JSON object');
}

/**
 * AEAD_AES_256_GCM as WeChat Pay packs it: base64(ciphertext ‖ 16-byte tag), gateways.md §1.8.
 *
 * @throws when ciphertext, tag, nonce or associated data are not what was sealed.
 */
export function openAead(key: KeyObject, nonce: string, associatedData: string, ciphertext: string): string {
  const sealed = Buffer.from(ciphertext, 'base64');
  const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: GCM_TAG_BYTES });
  decipher.setAAD(Buffer.from(associatedData));
  decipher.setAuthTag(sealed.subarray(-GCM_TAG_BYTES));
  // final() checks the tag.
  return Buffer.concat([decipher.update(sealed.subarray(0, -GCM_TAG_BYTES)), decipher.final()]).toString('utf8');
}
