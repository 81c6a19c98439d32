import { describe, expect, it } from 'vitest';
import { errorEnvelope, languageOf, successEnvelope, type Language } from './envelope.js';
import { ConflictError, DomainError, NotFoundError, type ErrorCode } from './errors.js';

const TRACE = 'vHugexb46msh';
const of = (code: ErrorCode, text: string | { zh: string; en: string } = '', language: Language = 'zh') =>
  errorEnvelope(new DomainError(code, text), language, TRACE);

describe('the envelope', () => {
  it('of a success holds the data, code 0 and an empty message', () => {
    const data = { repair: true };
    expect(successEnvelope(data, TRACE)).toEqual({ msg: '', code: 0, data, sign: '', traceId: TRACE });
    expect(successEnvelope(data, TRACE, 'abc').sign).toBe('abc');
  });

  // Wire protocol §2: the number and the text that merchants' code compares.
  it.each([
    ['internal', 10001, '系统错误'],
    ['unauthenticated', 10004, '认证失败'],
    ['unreadable', 10005, '参数解析失败'],
    ['invalid', 10006, '参数校验失败'],
    ['syncRunning', 10007, '支付同步处理中，请勿重复操作'],
    ['tooManyRequests', 10429, '请求过于频繁'],
    ['failed', 20000, '失败'],
    ['instantChannel', 20030, '订单没有异步通道的退款，不需要同步'],
    ['refundNotFound', 20041, '未查询到退款订单'],
    ['refundClosed', 20042, '订单已经关闭，不需要同步'],
    ['badSignature', 20052, '验签失败'],
  ] as const)('of %s is %i %s', (code, number, msg) => {
    expect(of(code)).toEqual({ msg, code: number, data: null, sign: '', traceId: TRACE });
  });

  it.each(['unreadable', 'invalid', 'badSignature', 'unauthenticated'] as const)(
    'of %s goes on with what is wrong',
    (code) => {
      expect(of(code, 'refundId must be digits').msg).toBe(`${of(code).msg}: refundId must be digits`);
    },
  );

  it.each(['internal', 'syncRunning', 'refundNotFound', 'refundClosed', 'instantChannel', 'tooManyRequests'] as const)(
    'of %s never shows what was behind it',
    (code) => {
      expect(of(code, 'SELECT * FROM refund').msg).toBe(of(code).msg);
    },
  );

  it('of a failure says what failed, without "failed" before it', () => {
    expect(of('failed', { zh: '同步失败: 限流', en: 'the sync did not succeed' }).msg).toBe('同步失败: 限流');
  });

  it('speaks the language of the caller', () => {
    expect(of('refundNotFound', '', 'en').msg).toBe('no such refund');
    expect(of('invalid', { zh: '必填', en: 'is required' }, 'en').msg).toBe('invalid parameter: is required');
    expect(of('invalid', { zh: '必填', en: 'is required' }, 'zh').msg).toBe('参数校验失败: 必填');
  });

  it('takes the errors that have names of their own', () => {
    expect(errorEnvelope(new NotFoundError('refund 7'), 'zh', TRACE)).toMatchObject({
      code: 20041,
      msg: '未查询到退款订单',
    });
    expect(errorEnvelope(new ConflictError('amount', 'is too much'), 'en', TRACE)).toMatchObject({
      code: 20000,
      msg: 'amount is too much',
    });
  });
});

describe('the language', () => {
  it.each(['en', 'en-US,en;q=0.9', ' EN', 'en;q=0.8'])('is English for %j', (header) => {
    expect(languageOf(header)).toBe('en');
  });

  it.each([undefined, '', '*', 'zh-CN,zh;q=0.9,en;q=0.8', 'fr', 'end', 'x-en'])('is Chinese for %j', (header) => {
    expect(languageOf(header)).toBe('zh');
  });
});
