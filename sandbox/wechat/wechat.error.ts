/** An answer of the platform that is not a success. `code` and `message` go on the wire as they are. */
export class WechatRefusal extends Error {
  override readonly name = 'WechatRefusal';

  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly detail?: Readonly<Record<string, unknown>>,
  ) {
    super(message);
  }

  body(): Record<string, unknown> {
    return this.detail
      ? { code: this.code, detail: this.detail, message: this.message }
      : { code: this.code, message: this.message };
  }
}

/** 400 PARAM_ERROR naming the field by JSON pointer (body) or name (url). */
export function paramError(
  field: string,
  value: unknown,
  issue: string,
  location: 'body' | 'url' | 'header' = 'body',
): WechatRefusal {
  return new WechatRefusal(400, 'PARAM_ERROR', '参数错误', {
    field,
    issue,
    location,
    value: value === undefined ? null : value,
  });
}

/** 400 INVALID_REQUEST: well-formed, but not possible for this order. */
export function invalidRequest(message: string): WechatRefusal {
  return new WechatRefusal(400, 'INVALID_REQUEST', message);
}

export function signError(message: string, detail?: Readonly<Record<string, unknown>>): WechatRefusal {
  return new WechatRefusal(401, 'SIGN_ERROR', message, detail);
}

export function frequencyLimited(): WechatRefusal {
  return new WechatRefusal(429, 'FREQUENCY_LIMITED', '频率超限，请降低频率后重试');
}
