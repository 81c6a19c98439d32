import type { LedgerReason } from '../wechat/wechat.ledger.js';

/** `return_code=FAIL`: the message as such was not accepted. It is answered without code and without signature. */
export class MessageFault extends Error {
  override readonly name = 'MessageFault';
}

/** `result_code=FAIL`: understood and refused, signed. */
export class BusinessRefusal extends Error {
  override readonly name = 'BusinessRefusal';

  constructor(
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

export const LEDGER_CODES: Readonly<Record<LedgerReason, string>> = {
  differs: 'REFUND_FEE_MISMATCH',
  fullyRefunded: 'ERROR',
  tooMuch: 'INVALID_REQUEST',
  tooMany: 'INVALID_REQUEST',
  mismatch: 'INVALID_REQUEST',
  noPayment: 'ORDERNOTEXIST',
};

export const refundNotExist = (): BusinessRefusal => new BusinessRefusal('REFUNDNOTEXIST', 'not exist');
export const frequencyLimited = (): BusinessRefusal => new BusinessRefusal('FREQUENCY_LIMITED', '频率限制');
export const systemError = (): BusinessRefusal => new BusinessRefusal('SYSTEMERROR', '系统超时');
