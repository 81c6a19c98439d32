import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { knownPayment, stuckRefund, uniqueNo } from './support/builders.js';
import { clearFaults, fault, setTruth, settings, truth, untilAsked } from './support/gateway.js';
import { assertInvariants } from './support/invariants.js';
import type { Answer } from './support/merchant-client.js';
import { newMerchant, putApp, turn } from './support/merchants.js';
import { startService, type TestService } from './support/service.js';
import { rowCounts } from './support/tables.js';
import { Digits, type Fields, type Wire } from './support/wire.js';

const REFUND = '/unipay/refund';
const QUERY = '/uni/query/refundOrder';

interface RefundData {
  refundId: string;
  refundNo: string;
  paymentId: string;
  businessNo: string;
  title: string | null;
  amount: number;
  currency: string;
  refundableBalance: number;
  asyncPay: boolean;
  asyncChannel: string | null;
  refundChannels: { channel: string; amount: number }[];
  status: string;
  errorCode: string | null;
  errorMsg: string | null;
  refundTime: number | null;
  createTime: number;
  attach: string | null;
}

let service: TestService;
beforeAll(async () => {
  service = await startService();
  // Refunds stay in progress until a test says otherwise.
  await settings(service, { defaultScript: [{ afterMs: 0, status: 'processing' }], autoCallback: false });
});
afterAll(() => service.close());
afterEach(() => clearFaults(service));

const wechat = (amount: Wire): Wire => [{ channel: 'wechat_pay', amount }];

function create(fields: Fields, headers: Record<string, string> = {}): Promise<Answer<RefundData>> {
  return service.merchant.call<RefundData>(REFUND, fields, headers);
}

async function balance(paymentId: string): Promise<number> {
  return (await service.payment(paymentId)).refundableBalance;
}

/** All refunds that the gateway has of a payment. */
async function atGateway(businessNo: string): Promise<{ refunds: number; refundedAmount: number }> {
  const { items } = await service.control<{
    items: { outTradeNo: string; payment: { refunds: number; refundedAmount: number } | null }[];
  }>('/control/refunds?limit=1000');
  const payment = items.find(({ outTradeNo }) => outTradeNo === businessNo)?.payment;
  return payment ?? { refunds: 0, refundedAmount: 0 };
}

describe('a refund of dialect daxpay-v2', () => {
  it('is written, sent under our id, and answered as the gateway took it', async () => {
    const payment = await knownPayment(service);
    const refundNo = uniqueNo('R');
    const sentAtS = Math.floor(Date.now() / 1000);
    const answer = await create({
      businessNo: payment.businessNo,
      refundAll: false,
      refundNo,
      refundChannels: wechat(100),
      reason: '不想要了 "really"',
      attach: '{"order":"订单 1"}',
      notifyUrl: 'https://shop.example/n?a=1&b=%20',
      notNotify: false,
      clientIp: '2001:db8::1',
    });
    expect(answer.code, answer.text).toBe(0);
    expect(answer.data).toEqual({
      refundId: expect.stringMatching(/^\d{19}$/) as string,
      refundNo,
      paymentId: payment.id,
      businessNo: payment.businessNo,
      title: null,
      amount: 100,
      currency: 'CNY',
      refundableBalance: 900,
      asyncPay: true,
      asyncChannel: 'wechat_pay',
      refundChannels: [{ channel: 'wechat_pay', amount: 100 }],
      status: 'progress',
      errorCode: null,
      errorMsg: null,
      refundTime: null,
      createTime: expect.any(Number) as number,
      attach: '{"order":"订单 1"}',
    });
    const { refundId, createTime } = answer.data as RefundData;
    expect(Math.abs(createTime - sentAtS)).toBeLessThanOrEqual(2);
    expect(await truth(service, refundId)).toMatchObject({
      status: 'processing',
      creates: 1,
      queries: 0,
      refundsAtGateway: 1,
      payment: { refunds: 1, refundedAmount: 100 },
    });
    expect(await service.refund(refundId)).toMatchObject({
      source: 'created',
      createState: 'acknowledged',
      createAttempts: 1,
      leaseToken: null,
      reason: '不想要了 "really"',
      clientIp: '2001:db8::1',
      notifyUrl: 'https://shop.example/n?a=1&b=%20',
      notify: true,
    });

    // And the sync drives it to its end.
    await setTruth(service, { refundNo: refundId, businessNo: payment.businessNo }, 'success');
    expect(await service.merchant.syncRefund({ refundNo })).toMatchObject({ data: { repair: true } });
    const read = await service.merchant.call<RefundData>(QUERY, { refundId: BigInt(refundId) });
    expect(read.data).toEqual({ ...answer.data, status: 'success', refundTime: expect.any(Number) as number });
  });

  it('by paymentId, bare or as text, which wins over businessNo', async () => {
    const payment = await knownPayment(service);
    const other = await knownPayment(service);
    for (const paymentId of [BigInt(payment.id), payment.id]) {
      const refundNo = uniqueNo('R');
      const answer = await create({ paymentId, businessNo: other.businessNo, refundNo, refundChannels: wechat(10) });
      expect(answer.data).toMatchObject({ paymentId: payment.id, businessNo: payment.businessNo });
    }
    expect([await balance(payment.id), await balance(other.id)]).toEqual([980, 1000]);
    const neighbour = BigInt(payment.id) + 1n;
    expect(await create({ paymentId: neighbour, refundChannels: wechat(10) })).toMatchObject({ code: 20000 });
  });

  it('without a number of the merchant’s: one request is one refund, however often the client sends it', async () => {
    const payment = await knownPayment(service);
    const fields: Fields = { businessNo: payment.businessNo, refundChannels: wechat(10) };
    const body = service.merchant.body(fields);
    const [first, ...repeats] = await Promise.all([1, 2, 3].map(() => service.merchant.post<RefundData>(REFUND, body)));
    expect(first?.data?.refundNo).toMatch(/^req-[0-9a-f]{32}$/);
    for (const repeat of [...repeats, await service.merchant.post<RefundData>(REFUND, body)])
      expect(repeat.data?.refundId).toBe(first?.data?.refundId);
    expect(await balance(payment.id)).toBe(990);
    expect(await atGateway(payment.businessNo)).toMatchObject({ refunds: 1 });
    expect(await service.merchant.syncRefund({ refundNo: first?.data?.refundNo })).toMatchObject({ code: 0 });

    // Another moment is another request.
    const later = await create({ ...fields, reqTime: Math.floor(Date.now() / 1000) + 5 });
    expect(later.data?.refundId).not.toBe(first?.data?.refundId);
    expect(await balance(payment.id)).toBe(980);
  });

  it('all that is left, sent again by the client itself, is still one refund', async () => {
    const payment = await knownPayment(service);
    const body = service.merchant.body({ businessNo: payment.businessNo, refundAll: true });
    const first = await service.merchant.post<RefundData>(REFUND, body);
    expect((await service.merchant.post(REFUND, body)).data).toEqual(first.data);
    expect(await atGateway(payment.businessNo)).toMatchObject({ refunds: 1, refundedAmount: 1000 });
  });

  it('refundAll takes what is left, whatever the channel says, and once', async () => {
    const payment = await knownPayment(service);
    await create({ businessNo: payment.businessNo, refundChannels: wechat(300) });
    const all = await create({ businessNo: payment.businessNo, refundAll: true, refundChannels: wechat(1) });
    expect(all.data).toMatchObject({ amount: 700, refundableBalance: 0 });
    expect(await atGateway(payment.businessNo)).toMatchObject({ refunds: 2, refundedAmount: 1000 });
    const again = await create({ businessNo: payment.businessNo, refundAll: true, refundNo: uniqueNo('R') });
    expect(again).toMatchObject({ code: 20000 });
    expect(again.msg).toContain('0');
    expect(await atGateway(payment.businessNo)).toMatchObject({ refunds: 2, refundedAmount: 1000 });
  });

  it('more than the balance is refused before anything is written or sent', async () => {
    const payment = await knownPayment(service);
    await create({ businessNo: payment.businessNo, refundChannels: wechat(400) });
    const before = await rowCounts(service);
    for (const amount of [601, 1000, 999_999_999_999_999]) {
      const answer = await create({ businessNo: payment.businessNo, refundChannels: wechat(amount) });
      expect(answer).toMatchObject({ code: 20000 });
      expect(answer.msg).toContain('600');
    }
    expect(await rowCounts(service)).toEqual(before);
    expect(await atGateway(payment.businessNo)).toMatchObject({ refunds: 1 });
    expect(await create({ businessNo: payment.businessNo, refundChannels: wechat(600) })).toMatchObject({
      code: 0,
      data: { refundableBalance: 0 },
    });
  });

  it('a channel that settles at once is over when it is answered', async () => {
    const payment = await knownPayment(service, { channel: 'cash_pay' });
    const answer = await create({ businessNo: payment.businessNo, refundAll: true });
    expect(answer.data).toMatchObject({
      status: 'success',
      asyncPay: false,
      asyncChannel: null,
      refundChannels: [{ channel: 'cash_pay', amount: 1000 }],
      refundTime: expect.any(Number) as number,
    });
    expect(await service.payment(payment.id)).toMatchObject({ refundableBalance: 0, status: 'refunded' });
    expect(await service.merchant.syncRefund({ refundId: answer.data?.refundId })).toMatchObject({ code: 20030 });
  });

  it.each([
    ['no such payment by number', { businessNo: 'nobody', refundAll: true }],
    ['no such payment by id', { paymentId: 42, refundAll: true }],
  ] as [string, Fields][])('%s: 20000', async (_case, fields) => {
    const before = await rowCounts(service);
    expect(await create(fields)).toMatchObject({ code: 20000, msg: expect.stringContaining('支付') as string });
    expect(await rowCounts(service)).toEqual(before);
  });

  it.each([' ', '\u0000', '\t'])('a number with %j behind it is another payment', async (suffix) => {
    const payment = await knownPayment(service);
    expect(await create({ businessNo: payment.businessNo + suffix, refundAll: true })).toMatchObject({ code: 20000 });
    expect(await balance(payment.id)).toBe(1000);
  });

  it('a channel that is not the payment’s: 20000', async () => {
    const payment = await knownPayment(service);
    for (const channel of ['ali_pay', 'cash_pay', 'stripe'])
      expect(await create({ businessNo: payment.businessNo, refundChannels: [{ channel, amount: 1 }] })).toMatchObject({
        code: 20000,
      });
    expect(await balance(payment.id)).toBe(1000);
  });

  describe('what is malformed is named, and nothing is written', () => {
    const channel = { channel: 'wechat_pay', amount: 1 };
    it.each([
      ['two channels', { refundChannels: [channel, { channel: 'ali_pay', amount: 1 }] }, 'refundChannels'],
      ['the same channel twice', { refundChannels: [channel, channel] }, 'refundChannels'],
      ['two channels and refundAll', { refundAll: true, refundChannels: [channel, channel] }, 'refundChannels'],
      ['no channel', {}, 'refundChannels'],
      ['no channel, refundAll false', { refundAll: false }, 'refundChannels'],
      ['an empty list', { refundChannels: [] }, 'refundChannels'],
      ['null for the list', { refundChannels: null }, 'refundChannels'],
      ['a list of null', { refundChannels: [null] }, 'refundChannels'],
      ['a list of null and a channel', { refundChannels: [null, channel] }, 'refundChannels'],
      ['a list of a list', { refundChannels: [[channel]] }, 'refundChannels'],
      ['a list of an empty list', { refundChannels: [[]] }, 'refundChannels'],
      ['a list of texts', { refundChannels: ['wechat_pay'] }, 'refundChannels'],
      ['an object', { refundChannels: channel }, 'refundChannels'],
      ['an object like a list', { refundChannels: { 0: channel, length: 1 } }, 'refundChannels'],
      ['a text', { refundChannels: 'wechat_pay' }, 'refundChannels'],
      ['an empty channel', { refundChannels: [{}] }, 'refundChannels'],
      ['no amount', { refundChannels: [{ channel: 'wechat_pay' }] }, 'amount'],
      ['null as amount', { refundChannels: wechat(null) }, 'amount'],
      ['no name of the channel', { refundChannels: [{ amount: 1 }] }, 'channel'],
      ['an unknown channel', { refundChannels: [{ channel: '现金', amount: 1 }] }, 'channel'],
      ['amount 0', { refundChannels: wechat(0) }, 'amount'],
      ['a negative amount', { refundChannels: wechat(-1) }, 'amount'],
      ['minus zero', { refundChannels: wechat(new Digits('-0')) }, 'amount'],
      ['a fraction', { refundChannels: wechat(1.5) }, 'amount'],
      ['1.0', { refundChannels: wechat(new Digits('1.0')) }, 'amount'],
      ['1e2', { refundChannels: wechat(new Digits('1e2')) }, 'amount'],
      ['digits as text', { refundChannels: wechat('100') }, 'amount'],
      ['2^53 + 1', { refundChannels: wechat(9_007_199_254_740_993n) }, 'amount'],
      ['too large', { refundChannels: wechat(1_000_000_000_000_000) }, 'amount'],
      ['true as amount', { refundChannels: wechat(true) }, 'amount'],
      ['refundAll as text', { refundAll: 'true' }, 'refundAll'],
      ['refundAll as 1', { refundAll: 1 }, 'refundAll'],
      ['notNotify as text', { refundAll: true, notNotify: 'false' }, 'notNotify'],
      ['a refundNo of 101 characters', { refundAll: true, refundNo: 'R'.repeat(101) }, 'refundNo'],
      ['a refundNo with a space behind', { refundAll: true, refundNo: 'R1 ' }, 'refundNo'],
      ['a refundNo with a line break', { refundAll: true, refundNo: 'R\n1' }, 'refundNo'],
      ['a refundNo that is a number', { refundAll: true, refundNo: 1 }, 'refundNo'],
      ['a reason of 301 characters', { refundAll: true, reason: 'x'.repeat(301) }, 'reason'],
      ['an attach of 2001 characters', { refundAll: true, attach: 'x'.repeat(2001) }, 'attach'],
      ['a notifyUrl that is none', { refundAll: true, notifyUrl: 'shop.example/n' }, 'notifyUrl'],
      ['a notifyUrl of another kind', { refundAll: true, notifyUrl: 'file:///etc/passwd' }, 'notifyUrl'],
      [
        'a notifyUrl of 501 characters',
        { refundAll: true, notifyUrl: `https://x.example/${'x'.repeat(490)}` },
        'notifyUrl',
      ],
      ['a clientIp that is none', { refundAll: true, clientIp: '1.2.3' }, 'clientIp'],
      ['a clientIp with a very long zone', { refundAll: true, clientIp: `fe80::1%${'z'.repeat(100)}` }, 'clientIp'],
    ] as [string, Fields, string][])('%s', async (_case, fields, field) => {
      const payment = await knownPayment(service);
      const before = await rowCounts(service);
      for (const language of ['zh', 'en']) {
        const answer = await create({ businessNo: payment.businessNo, ...fields }, { 'accept-language': language });
        expect(answer.code, answer.text).toBe(10006);
        expect(answer.msg).toContain(field);
      }
      expect(await rowCounts(service)).toEqual(before);
      expect(await balance(payment.id)).toBe(1000);
    });

    it('neither paymentId nor businessNo: both are named', async () => {
      for (const fields of [{}, { businessNo: '' }, { paymentId: null }]) {
        const answer = await create({ ...fields, refundAll: true });
        expect(answer).toMatchObject({ code: 10006 });
        expect(answer.msg).toContain('paymentId');
        expect(answer.msg).toContain('businessNo');
      }
    });

    it('reqTime is asked for', async () => {
      expect(await create({ businessNo: 'P', refundAll: true, reqTime: undefined })).toMatchObject({
        code: 10006,
        msg: expect.stringContaining('reqTime') as string,
      });
    });
  });

  it('fields that fit exactly are kept whole', async () => {
    const payment = await knownPayment(service);
    const longest = {
      refundNo: '退'.repeat(100),
      reason: '由'.repeat(300),
      attach: '😀'.repeat(1000),
      notifyUrl: `https://x.example/${'x'.repeat(482)}`,
      clientIp: `fe80::1%${'z'.repeat(56)}`,
    };
    const answer = await create({ businessNo: payment.businessNo, refundChannels: wechat(1), ...longest });
    expect(answer.code, answer.text).toBe(0);
    expect(await service.refund(answer.data?.refundId ?? '')).toMatchObject(longest);
  });
});

describe('one number, one refund', () => {
  it('the same content again answers the same refund, whatever became of it', async () => {
    const payment = await knownPayment(service);
    const fields: Fields = {
      businessNo: payment.businessNo,
      refundNo: uniqueNo('R'),
      refundChannels: wechat(100),
      reason: 'r',
      attach: 'a',
      notifyUrl: 'https://shop.example/n',
    };
    const first = await create(fields);
    expect(first.code).toBe(0);
    expect((await create(fields)).data).toEqual(first.data);
    expect((await create({ ...fields, businessNo: undefined, paymentId: BigInt(payment.id) })).data).toEqual(
      first.data,
    );

    const { refundId } = first.data as RefundData;
    for (const [status, code] of [
      ['failed', 'fail'],
      ['success', 'progress'],
    ] as const) {
      await setTruth(service, { refundNo: refundId, businessNo: payment.businessNo }, status);
      await service.merchant.syncRefund({ refundId });
      // Failed, then against all rules a success: a case, which merchants read as progress.
      expect((await create(fields)).data).toMatchObject({ refundId, status: code });
    }
    expect(await truth(service, refundId)).toMatchObject({ creates: 1 });
    expect(await balance(payment.id)).toBe(1000);
  });

  it.each([
    ['amount', { refundChannels: wechat(101) }],
    ['reason', { reason: 'another' }],
    ['attach', { attach: 'another' }],
    ['notifyUrl', { notifyUrl: 'https://shop.example/another' }],
    ['no reason', { reason: undefined }],
    ['notNotify', { notNotify: true }],
  ] as [string, Fields][])('other content is refused: %s', async (_case, change) => {
    const payment = await knownPayment(service);
    const refundNo = uniqueNo('R');
    const fields: Fields = { businessNo: payment.businessNo, refundNo, refundChannels: wechat(100), reason: 'r' };
    expect((await create(fields)).code).toBe(0);
    const before = await rowCounts(service);
    const answer = await create({ ...fields, ...change });
    expect(answer.code, answer.text).toBe(20000);
    expect(answer.msg).toContain(refundNo);
    expect(await rowCounts(service)).toEqual(before);
    expect(await balance(payment.id)).toBe(900);
  });

  it('of another payment is refused, of another app it is another refund', async () => {
    const payment = await knownPayment(service);
    const other = await knownPayment(service);
    const fields = { refundNo: uniqueNo('R'), refundChannels: wechat(100) };
    expect((await create({ businessNo: payment.businessNo, ...fields })).code).toBe(0);
    expect((await create({ businessNo: other.businessNo, ...fields })).code).toBe(20000);
    expect(await balance(other.id)).toBe(1000);

    const merchant = await newMerchant(service);
    const theirs = await knownPayment(service, { appId: merchant.appId });
    expect(await merchant.client.call(REFUND, { businessNo: theirs.businessNo, ...fields })).toMatchObject({ code: 0 });
  });

  it('and not one that was registered', async () => {
    const followed = await stuckRefund(service, { businessNo: uniqueNo('PAYMENT') });
    const answer = await create({
      businessNo: followed.businessNo,
      refundNo: followed.refundNo,
      refundChannels: wechat(100),
    });
    // The same refund as far as anybody can tell: it is answered and not sent a second time.
    expect(answer).toMatchObject({ code: 0, data: { refundId: followed.id } });
    expect(await truth(service, followed.refundNo)).toMatchObject({ creates: 0 });
    expect(await balance(followed.paymentId)).toBe(900);
  });

  it('10 equal requests at once: one refund here and at the gateway', async () => {
    const payment = await knownPayment(service);
    const body = service.merchant.body({
      businessNo: payment.businessNo,
      refundNo: uniqueNo('R'),
      refundChannels: wechat(100),
    });
    await fault(service, 'slow', { operation: 'create', slowMs: 150, count: 1 });
    const answers = await Promise.all(
      Array.from({ length: 10 }, () => service.merchant.post<RefundData>(REFUND, body)),
    );
    expect(answers.map(({ code }) => code)).toEqual(Array.from({ length: 10 }, () => 0));
    const ids = new Set(answers.map(({ data }) => data?.refundId));
    expect(ids.size).toBe(1);
    expect(await truth(service, [...ids][0] ?? '')).toMatchObject({ creates: 1, maxConcurrentCalls: 1 });
    expect(await atGateway(payment.businessNo)).toMatchObject({ refunds: 1, refundedAmount: 100 });
    expect(await balance(payment.id)).toBe(900);
  });

  it('10 equal requests for all that is left: one refund', async () => {
    const payment = await knownPayment(service);
    const fields = { businessNo: payment.businessNo, refundNo: uniqueNo('R'), refundAll: true };
    const answers = await Promise.all(Array.from({ length: 10 }, () => create(fields)));
    expect(answers.map(({ code }) => code)).toEqual(Array.from({ length: 10 }, () => 0));
    expect(new Set(answers.map(({ data }) => data?.refundId)).size).toBe(1);
    expect(await atGateway(payment.businessNo)).toMatchObject({ refunds: 1, refundedAmount: 1000 });
  });
});

describe('the balance', () => {
  it('is never oversold by different refunds at once', async () => {
    const payment = await knownPayment(service);
    const answers = await Promise.all(
      Array.from({ length: 12 }, (_, index) =>
        create({ businessNo: payment.businessNo, refundNo: uniqueNo('R'), refundChannels: wechat(150 + (index % 3)) }),
      ),
    );
    const taken = answers.filter(({ code }) => code === 0);
    expect(answers.every(({ code }) => code === 0 || code === 20000)).toBe(true);
    expect(taken).toHaveLength(6);
    const sum = taken.reduce((total, { data }) => total + (data?.amount ?? 0), 0);
    expect(await balance(payment.id)).toBe(1000 - sum);
    expect(await atGateway(payment.businessNo)).toMatchObject({ refunds: 6, refundedAmount: sum });
  });

  it('is taken once when all and parts are asked for together', async () => {
    const payment = await knownPayment(service);
    await Promise.all(
      Array.from({ length: 9 }, (_, index) =>
        create({
          businessNo: payment.businessNo,
          refundNo: uniqueNo('R'),
          ...(index % 3 === 0 ? { refundAll: true } : { refundChannels: wechat(400) }),
        }),
      ),
    );
    const { refundedAmount } = await atGateway(payment.businessNo);
    expect(refundedAmount).toBe(1000);
    expect(await balance(payment.id)).toBe(0);
  });

  it('of any sequence of amounts is what remains of the payment', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 500 }),
        fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 6 }),
        async (amount, parts) => {
          const payment = await knownPayment(service, { amount });
          let left = amount;
          for (const part of parts) {
            const answer = await create({
              businessNo: payment.businessNo,
              refundNo: uniqueNo('R'),
              refundChannels: wechat(part),
            });
            expect(answer.code).toBe(part <= left ? 0 : 20000);
            if (answer.code === 0) left -= part;
          }
          expect(await balance(payment.id)).toBe(left);
        },
      ),
      { numRuns: 8 },
    );
  });
});

describe('what the gateway makes of it', () => {
  it('a refusal of the first send: fail with its reason, the amount is back', async () => {
    const payment = await knownPayment(service);
    await fault(service, 'refused', { operation: 'create', count: 1 });
    const answer = await create({ businessNo: payment.businessNo, refundChannels: wechat(100) });
    expect(answer).toMatchObject({
      code: 0,
      data: {
        status: 'fail',
        refundableBalance: 1000,
        errorCode: 'PARAM_ERROR',
        errorMsg: expect.stringMatching(/./) as string,
      },
    });
    expect(await balance(payment.id)).toBe(1000);
    expect(await atGateway(payment.businessNo)).toMatchObject({ refunds: 0 });
  });

  it.each(['lostAnswer', 'http500', 'badSignature', 'malformed', 'lostRequest', 'reset'])(
    '%s: in progress, the amount stays reserved, the sync finds out',
    async (kind) => {
      const payment = await knownPayment(service);
      await fault(service, kind, { operation: 'create', count: 1 });
      const answer = await create({ businessNo: payment.businessNo, refundChannels: wechat(100) });
      expect(answer).toMatchObject({ code: 0, data: { status: 'progress', refundableBalance: 900 } });
      const refundId = answer.data?.refundId ?? '';
      expect(await service.refund(refundId)).toMatchObject({ createState: 'unknown', leaseToken: null });
      await service.merchant.syncRefund({ refundId });
      await service.merchant.syncRefund({ refundId });
      expect(await service.refund(refundId)).toMatchObject({ createState: 'acknowledged', status: 'progress' });
      expect(await atGateway(payment.businessNo)).toMatchObject({ refunds: 1, refundedAmount: 100 });
    },
  );

  it('a sync while the create is under way is 10007, and so is nothing else', async () => {
    const payment = await knownPayment(service);
    const refundNo = uniqueNo('R');
    await fault(service, 'slow', { operation: 'create', slowMs: 1_200, count: 1 });
    const creating = create({ businessNo: payment.businessNo, refundNo, refundChannels: wechat(100) });
    await expect
      .poll(async () => (await service.merchant.call(QUERY, { refundNo })).code, { interval: 10, timeout: 10_000 })
      .toBe(0);
    const { data } = await service.merchant.call<RefundData>(QUERY, { refundNo });
    expect(data).toMatchObject({ status: 'progress', refundableBalance: 900 });
    await untilAsked(service, data?.refundId ?? '');
    expect(await service.merchant.syncRefund({ refundNo })).toMatchObject({ code: 10007 });
    // The same request meanwhile is answered at once.
    expect(await create({ businessNo: payment.businessNo, refundNo, refundChannels: wechat(100) })).toMatchObject({
      code: 0,
      data: { refundId: data?.refundId, status: 'progress' },
    });
    expect((await truth(service, data?.refundId ?? '')).activeCalls).toBe(1);
    expect(await creating).toMatchObject({ code: 0 });
    expect(await truth(service, data?.refundId ?? '')).toMatchObject({ creates: 1, maxConcurrentCalls: 1 });
  });

  it('a payment that the gateway does not know as it is: fail, not an error of ours', async () => {
    const payment = await knownPayment(service);
    await service.control('/control/payments', {
      channel: 'wechat_pay',
      outTradeNo: payment.businessNo,
      amount: 50,
      currency: 'CNY',
    });
    const answer = await create({ businessNo: payment.businessNo, refundChannels: wechat(100) });
    expect(answer).toMatchObject({ code: 0 });
    expect(['fail', 'progress']).toContain(answer.data?.status);
    expect(await atGateway(payment.businessNo)).toMatchObject({ refunds: 0 });
  });

  it('an order that the gateway cannot express is refused before anything is written', async () => {
    // WeChat Pay wants payment numbers of 6 to 32 characters, and CNY.
    for (const facts of [{ businessNo: uniqueNo('退款') }, { businessNo: uniqueNo('PAYMENT'), currency: 'USD' }]) {
      const { httpStatus } = await service.admin('POST', '/admin/payments', {
        channel: 'wechat_pay',
        amount: 1000,
        ...facts,
      });
      expect(httpStatus).toBe(201);
      const before = await rowCounts(service);
      expect(await create({ businessNo: facts.businessNo, refundAll: true })).toMatchObject({ code: 20000 });
      expect(await rowCounts(service)).toEqual(before);
    }
  });

  it('an account that is switched off sends nothing', async () => {
    const account = 'closed-account';
    const config = service.sandbox.accounts().find(({ gateway }) => gateway === 'wechat')?.config ?? {};
    const put = (enabled: boolean) =>
      service.admin('PUT', `/admin/gateway-accounts/${account}`, {
        channel: 'wechat_pay',
        config: { ...config, notifyUrl: 'https://shop.example/callback' },
        enabled,
      });
    expect((await put(true)).httpStatus).toBe(200);
    const businessNo = uniqueNo('PAYMENT');
    const { httpStatus } = await service.admin('POST', '/admin/payments', {
      businessNo,
      channel: 'wechat_pay',
      amount: 1000,
      gatewayAccountId: account,
    });
    expect(httpStatus).toBe(201);
    const sent = { businessNo, refundNo: uniqueNo('R'), refundChannels: wechat(100) };
    const first = await create(sent);
    expect(first.code, first.text).toBe(0);

    expect((await put(false)).httpStatus).toBe(200);
    const before = await rowCounts(service);
    expect(await create({ businessNo, refundAll: true })).toMatchObject({ code: 20000 });
    // What was sent through it before is still answered: 20000 would read as if it had failed.
    expect((await create(sent)).data).toEqual(first.data);
    expect(await rowCounts(service)).toEqual(before);
  });
});

describe('a refund of dialect daxpay-v3', () => {
  let merchant: Awaited<ReturnType<typeof newMerchant>>;
  beforeAll(async () => {
    merchant = await newMerchant(service, { dialect: 'daxpay-v3', signType: 'HMAC_SHA256' });
  });
  const send = (fields: Fields): Promise<Answer<RefundData>> => merchant.client.call<RefundData>(REFUND, fields);
  const newPayment = (amount = 100_000) => knownPayment(service, { appId: merchant.appId, amount });

  it.each([
    ['"1.10"', '1.10', 110],
    ['1.1', 1.1, 110],
    ['1.10', new Digits('1.10'), 110],
    ['0.01', 0.01, 1],
    ['"0.01"', '0.01', 1],
    ['1000', 1000, 100_000],
    ['"1000.00"', '1000.00', 100_000],
    ['"7.000"', '7.000', 700],
  ] as [string, Wire, number][])('takes %s as an amount of yuan', async (_case, amount, minor) => {
    const payment = await newPayment();
    const bizRefundNo = uniqueNo('B');
    // The signature's decimals lose their trailing zeros; the body keeps them.
    const fields: Fields = {
      bizOrderNo: payment.businessNo,
      bizRefundNo,
      amount,
      mchNo: 'M1',
      nonceStr: 'aBcD',
      reqTime: Math.floor(Date.now() / 1000),
    };
    const forSigning = { ...fields, amount: amount instanceof Digits ? Number(amount.text) : amount };
    const body = JSON.stringify({ ...fields, amount: undefined, sign: merchant.client.sign(forSigning) }).replace(
      '}',
      `,"amount":${amount instanceof Digits ? amount.text : JSON.stringify(amount)}}`,
    );
    const answer = await merchant.client.post<RefundData>(REFUND, body);
    expect(answer.code, answer.text).toBe(0);
    expect(answer.data).toMatchObject({ amount: minor, refundNo: bizRefundNo, status: 'progress' });
    expect(await atGateway(payment.businessNo)).toMatchObject({ refunds: 1, refundedAmount: minor });
  });

  it.each([
    ['too many digits', '1.101'],
    ['too many digits, bare', new Digits('0.001')],
    ['zero', '0'],
    ['zero with digits', '0.00'],
    ['bare zero', 0],
    ['a negative amount', '-1'],
    ['an exponent as text', '1E+3'],
    ['a comma', '1,10'],
    ['no digit before the point', '.5'],
    ['no digit behind it', '1.'],
    ['white space', ' 1'],
    ['hexadecimal', '0x10'],
    ['Infinity', 'Infinity'],
    ['full-width digits', '１'],
    ['14 digits before the point', '10000000000000'],
    ['true', true],
    ['a list', ['1']],
    ['missing', undefined],
    ['null', null],
  ] as [string, Wire][])('refuses %s', async (_case, amount) => {
    const payment = await newPayment();
    const before = await rowCounts(service);
    const answer = await send({ bizOrderNo: payment.businessNo, bizRefundNo: uniqueNo('B'), amount });
    expect(answer.code, answer.text).toBe(10006);
    expect(answer.msg).toContain('amount');
    expect(await rowCounts(service)).toEqual(before);
  });

  it('counts by the digits of the currency', async () => {
    const businessNo = uniqueNo('PAYMENT');
    const { httpStatus } = await service.admin('POST', '/admin/payments', {
      appId: merchant.appId,
      businessNo,
      channel: 'cash_pay',
      amount: 5_000,
      currency: 'JPY',
    });
    expect(httpStatus).toBe(201);
    expect(await send({ bizOrderNo: businessNo, bizRefundNo: uniqueNo('B'), amount: '10.5' })).toMatchObject({
      code: 10006,
    });
    expect(await send({ bizOrderNo: businessNo, bizRefundNo: uniqueNo('B'), amount: '10' })).toMatchObject({
      code: 0,
      data: { amount: 10, currency: 'JPY', refundableBalance: 4_990 },
    });
  });

  it('by orderNo, which wins; in Beijing time; idempotent whatever the zeros', async () => {
    const payment = await newPayment();
    const bizRefundNo = uniqueNo('B');
    const reqTime = new Date(Date.now() + 8 * 3_600_000).toISOString().slice(0, 19).replace('T', ' ');
    const first = await send({ orderNo: payment.id, bizOrderNo: 'another', bizRefundNo, amount: '1.10', reqTime });
    expect(first).toMatchObject({ code: 0, data: { paymentId: payment.id } });
    expect((await send({ orderNo: payment.id, bizRefundNo, amount: '1.1' })).data).toEqual(first.data);
    expect(await send({ orderNo: payment.id, bizRefundNo, amount: '1.11' })).toMatchObject({ code: 20000 });
    expect(await atGateway(payment.businessNo)).toMatchObject({ refunds: 1, refundedAmount: 110 });
    expect(await merchant.client.call(QUERY, { bizRefundNo })).toMatchObject({
      code: 0,
      data: { refundId: first.data?.refundId },
    });
  });

  it.each([
    ['bizRefundNo', { bizRefundNo: undefined }],
    ['orderNo', { bizOrderNo: undefined }],
    ['bizOrderNo', { bizOrderNo: undefined }],
  ] as [string, Fields][])('%s is missing: named', async (field, change) => {
    const answer = await send({ bizOrderNo: 'P1', bizRefundNo: uniqueNo('B'), amount: '1', ...change });
    expect(answer).toMatchObject({ code: 10006, msg: expect.stringContaining(field) as string });
  });

  it('more than the balance, and no such payment: 20000', async () => {
    const payment = await newPayment(100);
    const bizRefundNo = uniqueNo('B');
    expect(await send({ bizOrderNo: payment.businessNo, bizRefundNo, amount: '1.01' })).toMatchObject({ code: 20000 });
    expect(await send({ bizOrderNo: 'nobody', bizRefundNo, amount: '1' })).toMatchObject({ code: 20000 });
    expect(await send({ bizOrderNo: payment.businessNo, bizRefundNo, amount: '1' })).toMatchObject({ code: 0 });
  });

  it('does not read the fields of daxpay-v2', async () => {
    const payment = await newPayment();
    expect(await send({ businessNo: payment.businessNo, refundAll: true, refundNo: uniqueNo('R') })).toMatchObject({
      code: 10006,
    });
    expect(await balance(payment.id)).toBe(100_000);
  });
});

describe('what the real clients send', () => {
  interface Vector {
    name: string;
    path: string;
    body: string;
    secret: string;
    md5: string;
    hmacSha256: string;
  }
  const vectors = (file: string): Vector[] =>
    (JSON.parse(readFileSync(new URL(`./vectors/${file}`, import.meta.url), 'utf8')) as Vector[]).filter(({ path }) =>
      [REFUND, QUERY].includes(path),
    );
  const forge = (body: string): string =>
    body.replace(/"sign":"(.)/, (_, digit) => `"sign":"${digit === '0' ? '1' : '0'}`);

  it('of version 2.0 is verified byte for byte, and refused for what is wrong with it', async () => {
    const appId = 'sdk2';
    await putApp(service, appId, { signSecret: '123456', reqTimeWindowS: 0 });
    const headers = { 'x-app-id': appId };
    const { httpStatus } = await service.admin('POST', '/admin/payments', {
      appId,
      businessNo: 'P0001',
      channel: 'wechat_pay',
      amount: 1000,
    });
    expect(httpStatus).toBe(201);
    const before = await rowCounts(service);
    const expected: Record<string, [number, string]> = {
      'query-refund-id': [20041, ''],
      'query-refund-full': [20041, ''],
      'refund-two-channels': [10006, 'refundChannels'],
      'refund-channels-null': [10006, 'refundChannels'],
      'refund-channels-with-null': [10006, 'refundChannels'],
      'refund-channel-null-amount': [10006, 'amount'],
      'refund-channel-empty-string': [10006, 'channel'],
      'refund-channel-han': [10006, 'channel'],
      'refund-channel-control': [10006, 'channel'],
      'refund-channel-slash': [10006, 'channel'],
      'refund-channel-emoji': [10006, 'channel'],
    };
    const sent = vectors('daxpay-2.0.json');
    expect(sent.map(({ name }) => name).sort()).toEqual(Object.keys(expected).sort());
    for (const { name, path, body } of sent) {
      const answer = await service.merchant.post(path, body, headers);
      const [code, field] = expected[name] ?? [];
      expect(answer.code, `${name}: ${answer.text}`).toBe(code);
      expect(answer.msg).toContain(field);
      expect(await service.merchant.post(path, forge(body), headers), name).toMatchObject({ code: 20052 });
    }
    expect(await rowCounts(service)).toEqual(before);
  });

  it('of version 3.0 is verified byte for byte, under the app that it names', async () => {
    const sent = vectors('daxpay-3.0.json');
    expect(sent.length).toBeGreaterThan(6);
    for (const { name, path, body, secret, md5, hmacSha256 } of sent) {
      const { appId = 'default', sign } = JSON.parse(body) as { appId?: string; sign: string };
      const signType = sign === hmacSha256 ? 'HMAC_SHA256' : 'MD5';
      expect([md5, hmacSha256]).toContain(sign);
      const headers: Record<string, string> = appId === 'default' ? { 'x-app-id': 'sdk3' } : {};
      const named = appId === 'default' ? 'sdk3' : appId;
      await putApp(service, named, { dialect: 'daxpay-v3', signType, signSecret: secret, reqTimeWindowS: 0 });
      const answer = await service.merchant.post(path, body, headers);
      // Their payment is none of ours, and its number is no id of ours.
      expect([10006, 20000], `${name}: ${answer.text}`).toContain(answer.code);
      expect(await service.merchant.post(path, forge(body), headers), name).toMatchObject({ code: 20052 });
    }
  });
});

describe('reading a refund', () => {
  it('by id, bare or as text, and by number; the gateway is not asked', async () => {
    const refund = await stuckRefund(service, { gateway: 'success', more: { attach: 'a', reason: 'r' } });
    for (const fields of [
      { refundId: BigInt(refund.id) },
      { refundId: refund.id },
      { refundNo: refund.refundNo },
      { refundId: refund.id, refundNo: 'another' },
    ]) {
      const answer = await service.merchant.call<RefundData>(QUERY, fields);
      expect(answer.data).toEqual({
        refundId: refund.id,
        refundNo: refund.refundNo,
        paymentId: refund.paymentId,
        businessNo: refund.businessNo,
        title: null,
        amount: 100,
        currency: 'CNY',
        refundableBalance: 900,
        asyncPay: true,
        asyncChannel: 'wechat_pay',
        refundChannels: [{ channel: 'wechat_pay', amount: 100 }],
        status: 'progress',
        errorCode: null,
        errorMsg: null,
        refundTime: null,
        createTime: expect.any(Number) as number,
        attach: 'a',
      });
    }
    expect(await truth(service, refund.refundNo)).toMatchObject({ queries: 0 });
    for (const neighbour of [BigInt(refund.id) - 1n, BigInt(refund.id) + 1n])
      expect(await service.merchant.call(QUERY, { refundId: neighbour })).toMatchObject({ code: 20041 });
  });

  it('neither id nor number: 10006 names both', async () => {
    const answer = await service.merchant.call(QUERY, { refundNo: '' });
    expect(answer).toMatchObject({ code: 10006 });
    expect(answer.msg).toContain('refundId');
    expect(answer.msg).toContain('refundNo');
  });

  it('has switches of its own', async () => {
    const { client, appId } = await newMerchant(service);
    const { refundNo } = await stuckRefund(service, { more: { appId } });
    await turn(service, appId, 'queryRefund', { enabled: false });
    expect(await client.call(QUERY, { refundNo })).toMatchObject({ code: 20000 });
    expect(await client.syncRefund({ refundNo })).toMatchObject({ code: 0 });
  });
});

it('every invariant holds after all of this', () => assertInvariants(service));
