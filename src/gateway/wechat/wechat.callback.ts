import type { KeyObject } from 'node:crypto';

import { CallbackRejected, type CallbackHandler, type CallbackMessage, type RawCallback } from '../gateway.port.js';
import { isRecord, parseObject } from '../json-object.js';
import { merchantIdOf } from '../wechat-pay.js';
import { refreshPlatformKeys } from './wechat.client.js';
import { wechatKeys, type WechatConfig, type WechatKeys } from './wechat.config.js';
import { GCM_NONCE_BYTES, openAead } from './wechat.encryption.js';
import { platformKeysOf } from './wechat.platform-keys.js';
import { MAX_CLOCK_OFFSET_S, signatureFault, type SignatureFault } from './wechat.signature.js';
import { CALLBACK, observe, readRefund } from './wechat.status.js';

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
 */
function receive(raw: RawCallback, config: WechatConfig): CallbackMessage {
  const keys = keysOf(config);
  verifySignature(raw, config);
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

const SIGNATURE_FAULTS: Readonly<Record<SignatureFault, string>> = {
  incomplete: 'signature headers are missing',
  timestampForm: 'the timestamp is not a number',
  timestampOffset: `the timestamp is more than ${MAX_CLOCK_OFFSET_S} s away`,
  nonceForm: 'the nonce is malformed',
  unknownKey: 'it is signed with a key that is not configured',
  expiredKey: 'it is signed with a certificate that has expired',
  wrong: 'the signature is wrong',
};

/**
 * A key that we do not know may be WeChat Pay's next certificate: the list is asked for, in the background and not for every such callback,
 * and the callback is refused. The genuine one comes again in a quarter of a minute.
 */
function verifySignature(raw: RawCallback, config: WechatConfig): void {
  const serial = raw.headers['wechatpay-serial'] ?? '';
  const message = {
    timestamp: raw.headers['wechatpay-timestamp'] ?? '',
    nonce: raw.headers['wechatpay-nonce'] ?? '',
    serial,
    signature: raw.headers['wechatpay-signature'] ?? '',
    body: raw.body,
  };
  const fault = signatureFault(message, platformKeysOf(config), raw.receivedAt);
  if (fault === 'unknownKey' || fault === 'expiredKey') void refreshPlatformKeys(config, serial);
  if (fault !== undefined) refuse(SIGNATURE_FAULTS[fault]);
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
