import { createDecipheriv, createHash } from 'node:crypto';

import { CallbackRejected, type CallbackHandler, type CallbackMessage, type RawCallback } from '../gateway.port.js';
import type { WechatV2Config } from './wechat-v2.config.js';
import { echoedMerchant, observe, readNotified } from './wechat-v2.status.js';
import { readXml } from './wechat-v2.xml.js';

/** The notices that refunds cause; PROCESSING is not told. */
const NOTIFIED = ['SUCCESS', 'CHANGE', 'REFUNDCLOSE'];

export const wechatV2Callback = {
  receive,
  accepted: { status: 200, contentType: 'text/xml; charset=utf-8', body: answerXml('SUCCESS', 'OK') },
  rejected: { status: 401, contentType: 'text/xml; charset=utf-8', body: answerXml('FAIL', '验证失败') },
} satisfies CallbackHandler<WechatV2Config>;

/**
 * Refund result notification (退款结果通知), gateways.md §2.5. It is not signed; that it decrypts shows that its maker has the key.
 *
 * Its cipher has no protection against being changed: blocks of 16 bytes can be left out, repeated, or taken from another notice. So nothing of
 * it is believed: it is a reason to ask, and the signed answer decides.
 */
function receive(raw: RawCallback, config: WechatV2Config): CallbackMessage {
  const envelope = readXml(raw.body.toString('utf8'), 'xml') ?? refuse('the body is not a message of WeChat Pay');
  if (envelope.get('return_code') !== 'SUCCESS') return refuse('it reports no result');
  if (envelope.get('mch_id') !== config.mchId || envelope.get('appid') !== config.appId)
    return refuse('it is for another merchant');
  if (envelope.get('sub_mch_id') !== config.subMchId) return refuse('it is for another sub-merchant');

  const content =
    readXml(decrypt(envelope.get('req_info') ?? '', config.apiKey), 'root') ??
    refuse('what was decrypted is not a refund');
  const refund = readNotified(content);
  if ('badField' in refund) return refuse(`the refund's ${refund.badField} is missing or malformed`);
  if (!NOTIFIED.includes(refund.status)) return refuse('its refund status is not one that is notified');

  return {
    eventKey: eventKeyOf([refund.outRefundNo, refund.refundId, refund.status, content.get('success_time')]),
    eventType: `REFUND.${refund.status}`,
    gatewayRequestNo: refund.outRefundNo,
    gatewayRefundNo: refund.refundId,
    outTradeNo: refund.outTradeNo,
    observation: observe(refund, { authenticated: false, ...echoedMerchant(envelope, config) }),
  };
}

/** A notice has no number of its own. What it tells is the same in every repetition, whatever its nonce. */
function eventKeyOf(told: readonly (string | null | undefined)[]): string {
  return createHash('sha256')
    .update(JSON.stringify(told.map((part) => part ?? null)))
    .digest('hex');
}

/** AES-256-ECB with PKCS#7 padding; the key is the 32 lower-case hex digits of the API key's MD5. */
export function decrypt(reqInfo: string, apiKey: string): string {
  if (!/^[A-Za-z0-9+/\s]+={0,2}\s*$/.test(reqInfo)) return refuse('req_info is missing or malformed');
  const key = createHash('md5').update(apiKey, 'utf8').digest('hex');
  try {
    const decipher = createDecipheriv('aes-256-ecb', Buffer.from(key), null);
    return Buffer.concat([decipher.update(Buffer.from(reqInfo, 'base64')), decipher.final()]).toString('utf8');
  } catch {
    return refuse('req_info cannot be decrypted (tampered with, or a wrong apiKey)');
  }
}

function refuse(reason: string): never {
  throw new CallbackRejected(`WeChat Pay callback refused: ${reason}.`);
}

function answerXml(code: string, message: string): string {
  return `<xml><return_code><![CDATA[${code}]]></return_code><return_msg><![CDATA[${message}]]></return_msg></xml>`;
}
