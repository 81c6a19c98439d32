import { requestMessage, verifyMessage } from './alipay.crypto.js';
import { AlipayRefusal, invalid, missing } from './alipay.error.js';
import type { AlipayKeys } from './alipay.keys.js';

export type Parameters = ReadonlyMap<string, string>;

/** How far a timestamp may be off. The documents give no number; a client in a wrong time zone is let through, a garbled date is not. */
const MAX_TIMESTAMP_OFFSET_MS = 24 * 3_600_000;
const BEIJING_OFFSET_MS = 8 * 3_600_000;

/** Who calls: seen at the real gateway to come before anything else, and to be answered without a signature. */
export function checkApplication(parameters: Parameters, keys: AlipayKeys): void {
  const appId = parameters.get('app_id') ?? '';
  if (appId === '') throw missing('app-id', '缺少AppID参数');
  if (appId !== keys.appId) throw invalid('app-id', '无效的AppID参数');
}

/** @throws AlipayRefusal when the request does not come from the application as it is. */
export function checkRequest(parameters: Parameters, keys: AlipayKeys, nowMs: number): void {
  const value = (name: string): string => parameters.get(name) ?? '';
  const signType = value('sign_type');
  if (signType === '') throw missing('signature-type', '缺少签名类型参数');
  if (signType !== 'RSA2') throw invalid('signature-type', '无效的签名类型');
  const sign = value('sign');
  if (sign === '') throw missing('signature', '缺少签名参数');
  if (value('timestamp') === '') throw missing('timestamp', '缺少时间戳参数');
  const timestampMs = parseTimestamp(value('timestamp'));
  if (timestampMs === undefined || Math.abs(nowMs - timestampMs) > MAX_TIMESTAMP_OFFSET_MS)
    throw invalid('timestamp', '非法的时间戳参数');
  if (value('version') === '') throw missing('version', '缺少版本参数');
  if (value('version') !== '1.0') throw invalid('parameter', '参数无效，version');
  if (value('charset').toLowerCase() !== 'utf-8') throw invalid('charset', '字符集错误');
  if (value('format') !== '' && value('format').toUpperCase() !== 'JSON') throw invalid('format', '无效的数据格式');
  checkCertificates(value('app_cert_sn'), value('alipay_root_cert_sn'), keys);
  const message = requestMessage(parameters);
  if (!verifyMessage(message, sign, keys.app.publicKey)) {
    const shown = message.replaceAll('&', '&amp;').replaceAll('"', '&quot;');
    throw invalid(
      'signature',
      `验签出错，建议检查签名字符串或签名私钥与应用公钥是否匹配，网关生成的验签字符串为：${shown}`,
    );
  }
}

/** Certificate mode names both certificates, key mode names none. */
function checkCertificates(appCertSn: string, alipayRootCertSn: string, { certificates }: AlipayKeys): void {
  if (appCertSn === '' && alipayRootCertSn === '') return;
  if (appCertSn !== certificates.appCertSn)
    throw new AlipayRefusal('40002', 'isv.invalid-app-cert-sn', '应用公钥证书序列号不匹配');
  if (alipayRootCertSn !== certificates.alipayRootCertSn)
    throw new AlipayRefusal('40002', 'isv.invalid-alipay-root-cert-sn', '支付宝根证书序列号不匹配');
}

/** `yyyy-MM-dd HH:mm:ss` in GMT+8, a day that there is. @returns milliseconds since the epoch. */
function parseTimestamp(text: string): number | undefined {
  if (!/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/.test(text)) return undefined;
  const iso = `${text.replace(' ', 'T')}.000Z`;
  const asUtcMs = Date.parse(iso);
  if (Number.isNaN(asUtcMs) || new Date(asUtcMs).toISOString() !== iso) return undefined;
  return asUtcMs - BEIJING_OFFSET_MS;
}
