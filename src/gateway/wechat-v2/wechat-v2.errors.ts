import { GatewayError, type GatewayErrorKind } from '../gateway.error.js';
import type { NotFoundObservation, RawAnswer } from '../observation.js';
import { harmless } from '../plain-text.js';
import {
  ANY_BODY,
  ANY_CODE,
  BOTH,
  CREATE,
  findRefusalRule,
  kindFor,
  QUERY,
  rateLimitPauseMs,
  type GatewayOperation,
  type RefusalRule,
} from '../refusal-rules.js';
import { RATE_LIMIT_PAUSE_MS } from '../wechat-pay.js';
import type { XmlFields } from './wechat-v2.xml.js';

/** An HTTP answer before anybody judged it. */
export interface WechatV2Answer {
  httpStatus: number;
  /** Undefined when the body is no message of the API. */
  fields: XmlFields | undefined;
  /** True when it is signed with the account's key. */
  verified: boolean;
  retryAfter: string | null;
}

/** Business refusals come with HTTP 200. gateways.md §2.4; the first rule that fits decides. */
const refused = (
  code: string,
  on: readonly GatewayOperation[],
  outcome: RefusalRule['outcome'],
  reason: string,
  nothingHappened = false,
): RefusalRule => ({ http: 200, code, on, outcome, nothingHappened, reason });

export const WECHAT_V2_REFUSALS: readonly RefusalRule[] = [
  refused('REFUNDNOTEXIST', QUERY, 'notFound', 'The refund is not found.'),
  refused('SYSTEMERROR', BOTH, 'unavailable', 'WeChat Pay has an error of its own.'),
  refused('BIZERR_NEED_RETRY', BOTH, 'unavailable', 'WeChat Pay wants the same request again.'),
  refused(
    'ORDER_NOT_READY',
    CREATE,
    'unavailable',
    'The payment is still being worked on; send the same number again.',
  ),
  refused('ERROR', CREATE, 'unavailable', 'WeChat Pay names no cause: the refund may have been made.'),
  refused('INVALID_REQ_TOO_MUCH', BOTH, 'rateLimited', 'Too many requests were wrong.'),
  refused('FREQUENCY_LIMITED', BOTH, 'rateLimited', 'WeChat Pay wants fewer calls.'),
  refused('FREQ_LIMIT', BOTH, 'rateLimited', 'WeChat Pay wants fewer calls.'),

  // Proven refusals. The vendor's words: 请求参数错误 … 再调用退款申请; 此状态代表退款申请失败，商户可自行处理退款; 请选择其他方式自行退款.
  refused('PARAM_ERROR', CREATE, 'rejected', 'A parameter is not allowed; nothing was booked.', true),
  refused('USER_ACCOUNT_ABNORMAL', CREATE, 'rejected', 'The payer’s account is closed; refund by other means.', true),
  refused('TRADE_OVERDUE', CREATE, 'rejected', 'The payment is too old to be refunded (a year).', true),

  // The same number goes through later, or has gone through with other amounts: nothing is proven.
  refused('NOTENOUGH', CREATE, 'rejected', 'The merchant account has too little money; send the same number again.'),
  refused('REFUND_FEE_MISMATCH', CREATE, 'rejected', 'The number is in use with other amounts.'),
  refused('INVALID_REQUEST', CREATE, 'rejected', 'Not possible for this payment, or the number is in use.'),
  refused('INVALID_TRANSACTIONID', BOTH, 'rejected', 'The payment’s number is not one of WeChat Pay.'),
  // As in APIv3 this can be short-lived after the payment.
  refused('ORDERNOTEXIST', CREATE, 'ambiguous', 'The payment is not found; this can be short-lived.'),

  // Settings: nothing is known of the refund, and once they are right the same number can be sent again.
  ...['SIGNERROR', 'APPID_NOT_EXIST', 'MCHID_NOT_EXIST', 'APPID_MCHID_NOT_MATCH', 'NOAUTH', 'CERT_ERROR'].map((code) =>
    refused(
      code,
      BOTH,
      'badConfig',
      'The account’s settings are not accepted; check appId, mchId, apiKey and certificate.',
    ),
  ),
  ...['REQUIRE_POST_METHOD', 'XML_FORMAT_ERROR', 'POST_DATA_EMPTY', 'NOT_UTF8', 'LACK_PARAMS'].map((code) =>
    refused(code, BOTH, 'badConfig', 'The request did not arrive as it was sent; is there a proxy at baseUrl?'),
  ),
  // Understood and refused with a code that is not in the list: it proves nothing.
  refused(ANY_CODE, BOTH, 'rejected', 'WeChat Pay refused the request.'),
  { ...refused(ANY_BODY, BOTH, 'rateLimited', 'WeChat Pay wants fewer calls.'), http: 429 },
  // What nginx says to a client without a certificate, on /secapi.
  {
    ...refused(ANY_BODY, CREATE, 'badConfig', 'Refunds are taken over mutual TLS; check clientCertificate.'),
    http: 400,
  },
  { ...refused(ANY_BODY, BOTH, 'unavailable', 'WeChat Pay has an error of its own.'), http: '5xx' },
];

/**
 * `return_code=FAIL` says that the message as such was not accepted. It has no code and no signature, only a text: so it proves nothing, and
 * its words only sort it.
 */
const RETURN_FAULTS: readonly { says: RegExp; kind: GatewayErrorKind; reason: string }[] = [
  { says: /签名|sign/i, kind: 'badConfig', reason: 'The signature was not accepted; check apiKey and signType.' },
  { says: /证书|cert/i, kind: 'badConfig', reason: 'The client certificate was not accepted.' },
  { says: /appid|mch_?id|商户号/i, kind: 'badConfig', reason: 'appId and mchId are not accepted.' },
  { says: /频率|频繁|freq|too m/i, kind: 'rateLimited', reason: 'WeChat Pay wants fewer calls.' },
  { says: /系统|system/i, kind: 'unavailable', reason: 'WeChat Pay has an error of its own.' },
  { says: /^/, kind: 'rejected', reason: 'WeChat Pay did not accept the message.' },
];

/** What an answer other than `result_code=SUCCESS` means: that the refund is not found, or an error (returned, not thrown). */
export function readRefusal(operation: GatewayOperation, answer: WechatV2Answer): NotFoundObservation | GatewayError {
  const { fields, httpStatus, verified } = answer;
  if (httpStatus === 200 && fields?.get('return_code') === 'FAIL') return returnFault(operation, answer, fields);
  const code = codeOf(fields);
  const rule = findRefusalRule(WECHAT_V2_REFUSALS, operation, httpStatus, code);
  const raw: RawAnswer = { code: code ?? `http_${httpStatus}`, message: textOf(fields, 'err_code_des'), body: {} };
  if (rule.outcome === 'notFound') return { kind: 'notFound', authenticated: verified, identity: {}, raw };
  return errorOf(operation, answer, rule.outcome, rule.reason, {
    raw,
    nothingHappened: rule.outcome === 'rejected' && rule.nothingHappened && verified && operation === 'create',
  });
}

function returnFault(operation: GatewayOperation, answer: WechatV2Answer, fields: XmlFields): GatewayError {
  const message = textOf(fields, 'return_msg');
  const fault = RETURN_FAULTS.find(({ says }) => says.test(message));
  return errorOf(operation, answer, fault?.kind ?? 'rejected', fault?.reason ?? '', {
    raw: { code: 'return_fail', message, body: {} },
    nothingHappened: false,
  });
}

function errorOf(
  operation: GatewayOperation,
  answer: WechatV2Answer,
  kind: GatewayErrorKind,
  reason: string,
  { raw, nothingHappened }: { raw: RawAnswer; nothingHappened: boolean },
): GatewayError {
  return new GatewayError(
    kindFor(operation, kind),
    `WeChat Pay answered the ${operation} with ${raw.code}: ${reason}`,
    {
      code: raw.code,
      raw,
      nothingHappened,
      ...(kind === 'rateLimited' ? { retryAfterMs: rateLimitPauseMs(answer.retryAfter, RATE_LIMIT_PAUSE_MS) } : {}),
    },
  );
}

function codeOf(fields: XmlFields | undefined): string | undefined {
  const code = fields?.get('err_code');
  return code !== undefined && /^[A-Z][A-Z0-9_]{0,63}$/.test(code) ? code : undefined;
}

function textOf(fields: XmlFields | undefined, name: string): string {
  return harmless(fields?.get(name) ?? '', 500);
}
