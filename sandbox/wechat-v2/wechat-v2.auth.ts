import { timingSafeEqual } from 'node:crypto';
import { signedText, signText, type SignType } from './wechat-v2.crypto.js';
import { MessageFault } from './wechat-v2.error.js';
import type { WechatV2Keys } from './wechat-v2.keys.js';

export interface Sender {
  signType: SignType;
  isPartner: boolean;
}

/**
 * Who sent it, and that it arrived as it was sent. The order in which the platform complains: form, application, merchant, signature.
 *
 * @returns the kind of signature, which the answer has as well, and whether it is the service provider who asks.
 * @throws MessageFault
 */
export function authenticate(members: Readonly<Record<string, string>>, keys: WechatV2Keys): Sender {
  const { appid, mch_id: mchId, nonce_str: nonce, sign_type: signType = 'MD5', sign } = members;
  if (!appid) throw new MessageFault('缺少参数appid');
  if (!mchId) throw new MessageFault('缺少参数mch_id');
  if (!nonce) throw new MessageFault('缺少参数nonce_str');
  if (nonce.length > 32) throw new MessageFault('nonce_str参数长度有误');
  if (!sign) throw new MessageFault('缺少参数sign');
  if (signType !== 'MD5' && signType !== 'HMAC-SHA256') throw new MessageFault('sign_type参数格式错误');
  if (appid !== keys.appId) throw new MessageFault('appid不存在');
  const isPartner = mchId === keys.partner.mchId;
  if (!isPartner && mchId !== keys.mchId) throw new MessageFault('商户号mch_id或sub_mch_id不存在');
  const expected = Buffer.from(signText(signedText(members, keys.apiKey), keys.apiKey, signType));
  const given = Buffer.from(sign);
  if (given.length !== expected.length || !timingSafeEqual(given, expected))
    throw new MessageFault('签名错误，请检查后再试');
  if ((members.sub_mch_id ?? '') !== (isPartner ? keys.partner.subMchId : ''))
    throw new MessageFault('商户号mch_id或sub_mch_id不存在');
  return { signType, isPartner };
}
