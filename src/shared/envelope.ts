import { ERROR_CODES, type DomainError, type ErrorCode, type LocalText } from './errors.js';

/** The answer of the merchant API, always with HTTP 200: its real client throws away the body of any other status. */
export interface Envelope {
  msg: string;
  code: number;
  /** Null unless `code` is 0. */
  data: object | null;
  /** Over `data`, where the app wants answers signed; else empty. */
  sign: string;
  traceId: string;
}

export type Language = 'zh' | 'en';

const TEXTS: Record<ErrorCode, LocalText> = {
  internal: { zh: '系统错误', en: 'internal error' },
  unauthenticated: { zh: '认证失败', en: 'authentication failed' },
  unreadable: { zh: '参数解析失败', en: 'the body cannot be read' },
  invalid: { zh: '参数校验失败', en: 'invalid parameter' },
  syncRunning: { zh: '支付同步处理中，请勿重复操作', en: 'a sync of this refund is running, please do not repeat it' },
  tooManyRequests: { zh: '请求过于频繁', en: 'too many requests' },
  failed: { zh: '失败', en: 'failed' },
  instantChannel: {
    zh: '订单没有异步通道的退款，不需要同步',
    en: 'the channel settles at once, there is nothing to sync',
  },
  refundNotFound: { zh: '未查询到退款订单', en: 'no such refund' },
  refundClosed: { zh: '订单已经关闭，不需要同步', en: 'the refund is closed, there is nothing to sync' },
  badSignature: { zh: '验签失败', en: 'the signature is missing, wrong or out of time' },
};

/** Texts that say everything by themselves; the others are followed by what is wrong in this very request. */
const COMPLETE: ReadonlySet<ErrorCode> = new Set([
  'internal',
  'syncRunning',
  'tooManyRequests',
  'instantChannel',
  'refundNotFound',
  'refundClosed',
]);

/** Chinese, unless the caller asks for English. */
export function languageOf(acceptLanguage: string | undefined): Language {
  return /^\s*en\b/i.test(acceptLanguage ?? '') ? 'en' : 'zh';
}

export function successEnvelope(data: object, traceId: string, sign = ''): Envelope {
  return { msg: '', code: 0, data, sign, traceId };
}

export function errorEnvelope(
  error: Pick<DomainError, 'code' | 'text'>,
  language: Language,
  traceId: string,
): Envelope {
  const general = TEXTS[error.code][language];
  const detail = error.text[language];
  // "failed" has no text of its own worth reading when the detail says what failed.
  const msg =
    COMPLETE.has(error.code) || detail === '' ? general : error.code === 'failed' ? detail : `${general}: ${detail}`;
  return { msg, code: ERROR_CODES[error.code], data: null, sign: '', traceId };
}
