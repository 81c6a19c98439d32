/** Codes that this simulator answers, with their texts and the longer code that real answers have in brackets. */
const MESSAGES = {
  '02': '系统未开放或暂时关闭，请稍后再试',
  '06': '系统繁忙，请稍后再试',
  '10': '报文格式错误',
  '11': '验证签名失败',
  '12': '重复交易',
  '13': '报文交易要素缺失',
  '31': '商户状态不正确',
  '33': '交易金额超限',
  '34': '查无此交易',
  '35': '原交易不存在或状态不正确',
  '36': '与原交易信息不符',
  '37': '已超过最大查询次数或操作过于频繁',
  '45': '原交易已被成功退货或已被成功撤销',
} as const;
export type RefusalCode = keyof typeof MESSAGES;

/** An answer of the gateway that is not `00`. It is HTTP 200 all the same. */
export class UnionpayRefusal extends Error {
  override readonly name = 'UnionpayRefusal';

  /** @param about what is wrong, in brackets after the text; real answers have a seven-digit code there. */
  constructor(
    readonly code: RefusalCode,
    about: string,
  ) {
    super(`${MESSAGES[code]}[${about}]`);
  }
}
