/** Gateway codes and their texts. */
const MESSAGES = {
  '20000': 'Service Currently Unavailable',
  '40001': 'Missing Required Arguments',
  '40002': 'Invalid Arguments',
  '40004': 'Business Failed',
  '40005': 'Call Limited',
} as const;
export type GatewayCode = keyof typeof MESSAGES;

/** An answer of the gateway that is not a success. It is HTTP 200 all the same. */
export class AlipayRefusal extends Error {
  override readonly name = 'AlipayRefusal';

  constructor(
    readonly code: GatewayCode,
    readonly subCode: string,
    message: string,
  ) {
    super(message);
  }

  body(): Record<string, string> {
    return { code: this.code, msg: MESSAGES[this.code], sub_code: this.subCode, sub_msg: this.message };
  }
}

/** 40001: a public parameter is missing. */
export function missing(name: string, text: string): AlipayRefusal {
  return new AlipayRefusal('40001', `isv.missing-${name}`, text);
}

/** 40002: a public parameter cannot be used. */
export function invalid(name: string, text: string): AlipayRefusal {
  return new AlipayRefusal('40002', `isv.invalid-${name}`, text);
}

/** 40004: understood, and not possible. */
export function businessFailed(subCode: string, text: string): AlipayRefusal {
  return new AlipayRefusal('40004', `ACQ.${subCode}`, text);
}

export function invalidParameter(text: string): AlipayRefusal {
  return businessFailed('INVALID_PARAMETER', `参数无效，${text}`);
}

export function tradeNotExist(): AlipayRefusal {
  return businessFailed('TRADE_NOT_EXIST', '交易不存在');
}

export function callLimited(): AlipayRefusal {
  return new AlipayRefusal('40005', 'isv.app-call-limited', '应用调用次数超限，包含调用频率超限');
}
