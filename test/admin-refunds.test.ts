import { QueryFailedError } from 'typeorm';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { RefundLookup } from '../src/refund/refund-lookup.service.js';
import { RefundListService } from '../src/refund/refund-list.service.js';
import { knownPayment, stuckRefund, uniqueNo } from './support/builders.js';
import { FakeClock } from './support/fake-clock.js';
import {
  callbacksWorkedOn,
  callbackUrl,
  callBack,
  clearFaults,
  fault,
  setTruth,
  truth,
  untilAsked,
} from './support/gateway.js';
import { assertInvariants } from './support/invariants.js';
import { newMerchant } from './support/merchants.js';
import { ADMIN_TOKEN, logLines, startService, WECHAT_ACCOUNT, type TestService } from './support/service.js';
import { rowCounts } from './support/tables.js';

const REFUNDS = '/admin/refunds';
const PAYMENTS = '/admin/payments';
const HOUR_MS = 3_600_000;

interface PaymentView {
  id: string;
  businessNo: string;
  refundableBalance: number;
  [name: string]: unknown;
}

interface RefundView {
  id: string;
  refundNo: string;
  status: string;
  payment: PaymentView;
  [name: string]: unknown;
}

interface Problem {
  type: string;
  title: string;
  status: number;
  detail: string;
  traceId: string;
  errors?: { field: string; fault: string }[];
}

type Body = Record<string, unknown>;

const clock = new FakeClock();
let service: TestService;
beforeAll(async () => {
  service = await startService({ clock });
});
afterAll(() => service.close());
afterEach(() => clearFaults(service));

/** What POST /admin/refunds needs. */
function registration(
  changes: Body = {},
): Body & { refundNo: string; payment: { businessNo: string; amount: number } } {
  return {
    refundNo: uniqueNo('R'),
    channel: 'wechat_pay',
    amount: 100,
    payment: { businessNo: uniqueNo('P'), amount: 1000 },
    ...changes,
  };
}

const post = <T = RefundView>(path: string, body: unknown) => service.admin<T>('POST', path, body);

/** Refused with a problem document that names the field; nothing was written. */
async function expectRefused(httpStatus: number, field: string, path: string, body: unknown): Promise<void> {
  const before = await rowCounts(service);
  const answer = await post<Problem>(path, body);
  expect(answer.httpStatus, JSON.stringify(answer.body)).toBe(httpStatus);
  expect(answer.body.errors?.map((fault) => fault.field.split('.').at(-1))).toContain(field);
  expect(answer.body.detail).toContain(field);
  expect(await rowCounts(service)).toEqual(before);
}

describe('following a refund', () => {
  it('201, with everything that was left out filled in', async () => {
    const body = registration();
    const registered = await post(REFUNDS, body);
    expect(registered.httpStatus).toBe(201);
    expect(registered.body).toMatchObject({
      id: expect.stringMatching(/^\d{19}$/) as string,
      appId: 'default',
      refundNo: body.refundNo,
      gatewayRequestNo: body.refundNo,
      gatewayRequestTime: null,
      gatewayRefundNo: null,
      channel: 'wechat_pay',
      gatewayAccountId: WECHAT_ACCOUNT,
      amount: 100,
      currency: 'CNY',
      status: 'progress',
      source: 'registered',
      reason: null,
      attach: null,
      notifyUrl: null,
      payment: {
        businessNo: body.payment.businessNo,
        outTradeNo: body.payment.businessNo,
        gatewayPaymentNo: null,
        title: null,
        channel: 'wechat_pay',
        amount: 1000,
        currency: 'CNY',
        refundableBalance: 900,
        refundedAmount: 0,
        spentBefore: 0,
        overRefunded: 0,
        status: 'success',
      },
    });
    const { createdAt, nextSyncAt } = registered.body as unknown as { createdAt: string; nextSyncAt: string };
    expect(Math.abs(Date.parse(createdAt) - clock.now().getTime())).toBeLessThan(5_000);
    // It may have hung for days: the first look is soon.
    expect(Date.parse(nextSyncAt) - clock.now().getTime()).toBeLessThan(60_000);
    expect(registered.body).not.toHaveProperty('leaseToken');
    expect(registered.body).not.toHaveProperty('createPayload');
  });

  it('keeps what was given', async () => {
    const given = {
      gatewayRequestNo: uniqueNo('OUT'),
      gatewayRequestTime: '2026-01-01T08:00:00.123Z',
      gatewayRefundNo: uniqueNo('GW'),
      reason: '由'.repeat(300),
      attach: '😀'.repeat(1000),
      notifyUrl: 'http://127.0.0.1:8080/n?a=1',
      createdAt: '2026-01-01T16:00:00.456+08:00',
      currency: 'USD',
      gatewayAccountId: WECHAT_ACCOUNT,
    };
    const payment = {
      businessNo: `单号 ${uniqueNo('P')} ～`,
      amount: 999_999_999_999_999,
      title: '票'.repeat(200),
      outTradeNo: uniqueNo('T'),
      gatewayPaymentNo: uniqueNo('4200'),
      refundedAmount: 999,
    };
    const registered = await post(REFUNDS, registration({ ...given, payment }));
    expect(registered.httpStatus, JSON.stringify(registered.body)).toBe(201);
    const { refundedAmount, ...stored } = payment;
    expect(registered.body).toMatchObject({
      ...given,
      createdAt: '2026-01-01T08:00:00.456Z',
      payment: {
        ...stored,
        spentBefore: refundedAmount,
        refundableBalance: 999_999_999_998_900,
        status: 'partial_refund',
      },
    });
    expect(await service.admin('GET', `${REFUNDS}/${registered.body.id}`)).toMatchObject({
      body: { ...given, createdAt: '2026-01-01T08:00:00.456Z', payment: stored },
    });
  });

  it('takes seconds since 1970 for a time', async () => {
    const { httpStatus, body } = await post(REFUNDS, registration({ createdAt: 1_767_254_400 }));
    expect([httpStatus, body.createdAt]).toEqual([201, '2026-01-01T08:00:00.000Z']);
  });

  it('the same again: 200, the same refund, nothing reserved twice', async () => {
    const body = registration({
      createdAt: '2026-01-01T08:00:00Z',
      gatewayRequestTime: '2026-01-01T08:00:01Z',
      reason: 'r',
    });
    const first = await post(REFUNDS, body);
    const before = await rowCounts(service);
    const again = await post(REFUNDS, body);
    expect([first.httpStatus, again.httpStatus]).toEqual([201, 200]);
    expect(again.body).toEqual(first.body);
    expect(await rowCounts(service)).toEqual(before);
    // Also after its end, when the balance would no longer allow it.
    await setTruth(service, { refundNo: body.refundNo, businessNo: body.payment.businessNo }, 'success');
    await post(`${REFUNDS}/${first.body.id}/sync`, {});
    const rest = registration({ amount: 900, payment: body.payment });
    expect((await post(REFUNDS, rest)).httpStatus).toBe(201);
    expect(await post(REFUNDS, body)).toMatchObject({
      httpStatus: 200,
      body: { id: first.body.id, status: 'success' },
    });
  });

  describe('the same number with other content: 409 names the field', () => {
    const other = uniqueNo('X');
    it.each([
      ['amount', { amount: 101 }],
      ['currency', { currency: 'USD' }],
      ['channel', { channel: 'cash_pay' }],
      ['gatewayRequestNo', { gatewayRequestNo: other }],
      ['gatewayRequestTime', { gatewayRequestTime: '2026-01-02T00:00:00Z' }],
      ['gatewayRefundNo', { gatewayRefundNo: other }],
      ['reason', { reason: 'another' }],
      ['attach', { attach: 'another' }],
      ['notifyUrl', { notifyUrl: 'https://shop.example/another' }],
      ['createdAt', { createdAt: '2026-01-02T00:00:00Z' }],
      ['businessNo', { payment: { businessNo: other, amount: 1000 } }],
    ] as [string, Body][])('%s', async (field, change) => {
      const body = registration({
        gatewayRefundNo: uniqueNo('GW'),
        gatewayRequestTime: '2026-01-01T00:00:00Z',
        createdAt: '2026-01-01T00:00:00Z',
        reason: 'r',
        attach: 'a',
        notifyUrl: 'https://shop.example/n',
      });
      expect((await post(REFUNDS, body)).httpStatus).toBe(201);
      await expectRefused(409, field, REFUNDS, { ...body, ...change });
    });

    it.each([
      ['amount', { amount: 1001 }],
      ['outTradeNo', { outTradeNo: other }],
      ['title', { title: 'another' }],
      ['gatewayPaymentNo', { gatewayPaymentNo: other }],
      ['refundedAmount', { refundedAmount: 1 }],
    ] as [string, Body][])('%s of a payment that is known', async (field, change) => {
      const payment = { businessNo: uniqueNo('P'), amount: 1000, title: 't', gatewayPaymentNo: uniqueNo('42') };
      expect((await post(REFUNDS, registration({ payment }))).httpStatus).toBe(201);
      await expectRefused(409, field, REFUNDS, registration({ payment: { ...payment, ...change } }));
      await expectRefused(409, field, PAYMENTS, { ...payment, channel: 'wechat_pay', ...change });
    });

    it('the number at the gateway belongs to one refund of a payment', async () => {
      const body = registration();
      expect((await post(REFUNDS, body)).httpStatus).toBe(201);
      const twin = registration({ gatewayRequestNo: body.refundNo, payment: body.payment });
      await expectRefused(409, 'gatewayRequestNo', REFUNDS, twin);
      // Of another payment it is another refund.
      expect((await post(REFUNDS, registration({ gatewayRequestNo: body.refundNo }))).httpStatus).toBe(201);
    });

    it('and so does the gateway’s own number, of an account', async () => {
      const gatewayRefundNo = uniqueNo('GW');
      expect((await post(REFUNDS, registration({ gatewayRefundNo }))).httpStatus).toBe(201);
      await expectRefused(409, 'gatewayRefundNo', REFUNDS, registration({ gatewayRefundNo }));
    });

    it('in another app it is another refund', async () => {
      const { appId } = await newMerchant(service);
      const body = registration();
      const mine = await post(REFUNDS, body);
      const theirs = await post(REFUNDS, {
        ...body,
        appId,
        gatewayRequestNo: uniqueNo('G'),
        payment: registration().payment,
      });
      expect([mine.httpStatus, theirs.httpStatus]).toEqual([201, 201]);
      expect(theirs.body.id).not.toBe(mine.body.id);
    });
  });

  it('what a payment did not know is learned, and not forgotten', async () => {
    const payment = { businessNo: uniqueNo('P'), amount: 1000 };
    expect((await post(REFUNDS, registration({ payment }))).httpStatus).toBe(201);
    const told = await post(
      REFUNDS,
      registration({ payment: { ...payment, title: 'Two tickets', gatewayPaymentNo: '42' } }),
    );
    expect(told.body.payment).toMatchObject({ title: 'Two tickets', gatewayPaymentNo: '42' });
    const untold = await post(REFUNDS, registration({ payment }));
    expect(untold.body.payment).toMatchObject({ title: 'Two tickets', gatewayPaymentNo: '42', refundableBalance: 700 });
  });

  it('two refunds of one payment share its balance; more than it is 409', async () => {
    const payment = { businessNo: uniqueNo('P'), amount: 1000 };
    const first = await post(REFUNDS, registration({ amount: 600, payment }));
    await expectRefused(409, 'amount', REFUNDS, registration({ amount: 401, payment }));
    const second = await post(REFUNDS, registration({ amount: 400, payment }));
    expect(second.body.payment).toMatchObject({ id: first.body.payment.id, refundableBalance: 0 });
    await expectRefused(409, 'amount', REFUNDS, registration({ amount: 1, payment }));
  });

  it('what was refunded before counts as spent', async () => {
    const payment = { businessNo: uniqueNo('P'), amount: 1000, refundedAmount: 950 };
    await expectRefused(409, 'amount', REFUNDS, registration({ amount: 51, payment }));
    expect((await post(REFUNDS, registration({ amount: 50, payment }))).httpStatus).toBe(201);
    await expectRefused(
      400,
      'refundedAmount',
      REFUNDS,
      registration({
        payment: { businessNo: uniqueNo('P'), amount: 1000, refundedAmount: 1001 },
      }),
    );
  });

  it('a payment that is more than refunded by its first refund is not made', async () => {
    await expectRefused(409, 'amount', REFUNDS, registration({ amount: 1001 }));
  });

  it('a channel that settles at once is over when it is registered', async () => {
    const registered = await post(REFUNDS, registration({ channel: 'wallet_pay', amount: 1000 }));
    expect(registered).toMatchObject({
      httpStatus: 201,
      body: { status: 'success', gatewayAccountId: null, nextSyncAt: null, payment: { status: 'refunded' } },
    });
    await expectRefused(
      400,
      'gatewayAccountId',
      REFUNDS,
      registration({ channel: 'cash_pay', gatewayAccountId: WECHAT_ACCOUNT }),
    );
  });

  describe('what is malformed is named: 400', () => {
    const soon = (ms: number): string => new Date(clock.now().getTime() + ms).toISOString();
    it.each([
      ['refundNo', { refundNo: undefined }],
      ['refundNo', { refundNo: '' }],
      ['refundNo', { refundNo: 1 }],
      ['refundNo', { refundNo: 'R1 ' }],
      ['refundNo', { refundNo: 'R\u0000' }],
      ['refundNo', { refundNo: 'R'.repeat(101) }],
      ['channel', { channel: undefined }],
      ['channel', { channel: 'paypal' }],
      ['channel', { channel: ['wechat_pay'] }],
      ['amount', { amount: undefined }],
      ['amount', { amount: 0 }],
      ['amount', { amount: -1 }],
      ['amount', { amount: 1.5 }],
      ['amount', { amount: '100' }],
      ['amount', { amount: 1_000_000_000_000_000 }],
      ['amount', { amount: 9_007_199_254_740_992 }],
      ['currency', { currency: 'cny' }],
      ['currency', { currency: 'XYZ' }],
      ['currency', { currency: 1 }],
      ['appId', { appId: 'nobody' }],
      ['appId', { appId: 'default ' }],
      ['appId', { appId: 'DEFAULT' }],
      ['appId', { appId: 1 }],
      ['gatewayAccountId', { gatewayAccountId: 'nobody' }],
      ['gatewayAccountId', { gatewayAccountId: `${WECHAT_ACCOUNT} ` }],
      ['gatewayRequestNo', { gatewayRequestNo: 'ü' }],
      ['gatewayRequestNo', { gatewayRequestNo: 'R'.repeat(65) }],
      ['gatewayRefundNo', { gatewayRefundNo: 'a b' }],
      ['gatewayRequestTime', { gatewayRequestTime: 'yesterday' }],
      ['gatewayRequestTime', { gatewayRequestTime: () => soon(400_000) }],
      ['createdAt', { createdAt: '2026-13-01T00:00:00Z' }],
      ['createdAt', { createdAt: '2026-01-01' }],
      ['createdAt', { createdAt: '2026-01-01T08:00:00' }],
      ['createdAt', { createdAt: '0001-01-01T00:00:00Z' }],
      ['createdAt', { createdAt: -62_135_596_800 }],
      ['createdAt', { createdAt: 1e15 }],
      ['createdAt', { createdAt: true }],
      ['createdAt', { createdAt: '9999-01-01T00:00:00Z' }],
      ['createdAt', { createdAt: () => soon(400_000) }],
      ['reason', { reason: 'x'.repeat(301) }],
      ['attach', { attach: 'x'.repeat(2001) }],
      ['notifyUrl', { notifyUrl: 'shop.example' }],
      ['notifyUrl', { notifyUrl: 'javascript:alert(1)' }],
      ['payment', { payment: undefined }],
      ['payment', { payment: null }],
      ['payment', { payment: [] }],
      ['payment', { payment: 'P1' }],
      ['businessNo', { payment: { amount: 1 } }],
      ['businessNo', { payment: { businessNo: ' P1', amount: 1000 } }],
      ['amount', { payment: { businessNo: 'P1' } }],
      ['amount', { payment: { businessNo: 'P1', amount: 0 } }],
      ['title', { payment: { businessNo: 'P1', amount: 1000, title: 'x'.repeat(201) } }],
      ['outTradeNo', { payment: { businessNo: 'P1', amount: 1000, outTradeNo: 'x'.repeat(65) } }],
      ['outTradeNo', { payment: { businessNo: 'x'.repeat(65), amount: 1000 } }],
      ['gatewayPaymentNo', { payment: { businessNo: 'P1', amount: 1000, gatewayPaymentNo: '' } }],
      ['refundedAmount', { payment: { businessNo: 'P1', amount: 1000, refundedAmount: -1 } }],
    ] as [string, Body][])('%s: %j', async (field, change) => {
      const values = Object.entries(change).map(([name, value]) => [
        name,
        typeof value === 'function' ? (value as () => unknown)() : value,
      ]);
      await expectRefused(400, field, REFUNDS, registration(Object.fromEntries(values) as Body));
    });

    it('every fault at once', async () => {
      const { httpStatus, body } = await post<Problem>(REFUNDS, { amount: 'x', payment: { amount: 'y' } });
      expect(httpStatus).toBe(400);
      expect(body.errors?.map(({ field }) => field).sort()).toEqual(
        ['amount', 'channel', 'payment.amount', 'payment.businessNo', 'refundNo'].sort(),
      );
    });

    it('a clock that runs a little ahead is forgiven', async () => {
      expect((await post(REFUNDS, registration({ createdAt: soon(200_000) }))).httpStatus).toBe(201);
    });

    it('which account, when several serve the channel', async () => {
      const { appId } = await newMerchant(service);
      const config = service.sandbox.accounts().find(({ gateway }) => gateway === 'wechat')?.config ?? {};
      const account = { appId, channel: 'wechat_pay', config: { ...config, notifyUrl: 'https://shop.example/c' } };
      for (const id of ['one', 'two']) await service.admin('PUT', `/admin/gateway-accounts/${appId}-${id}`, account);
      await expectRefused(400, 'gatewayAccountId', REFUNDS, registration({ appId }));
      const chosen = `${appId}-two`;
      expect(await post(REFUNDS, registration({ appId, gatewayAccountId: chosen }))).toMatchObject({
        httpStatus: 201,
        body: { gatewayAccountId: chosen },
      });
      // The account of one app is no account for another.
      await expectRefused(400, 'gatewayAccountId', REFUNDS, registration({ gatewayAccountId: chosen }));
    });
  });

  it('20 at once never oversell a payment that nobody knew', async () => {
    const payment = { businessNo: uniqueNo('P'), amount: 1000 };
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => post<RefundView & Problem>(REFUNDS, registration({ amount: 130, payment }))),
    );
    const made = answers.filter(({ httpStatus }) => httpStatus === 201);
    expect(made).toHaveLength(7);
    for (const { httpStatus, body } of answers.filter((answer) => !made.includes(answer)))
      expect([httpStatus, body.errors?.[0]?.field]).toEqual([409, 'amount']);
    expect(new Set(made.map(({ body }) => body.payment.id)).size).toBe(1);
    expect((await service.payment(made[0]?.body.payment.id ?? '')).refundableBalance).toBe(90);
  });

  it('20 times the same at once: one refund, one 201', async () => {
    const body = registration();
    const answers = await Promise.all(Array.from({ length: 20 }, () => post(REFUNDS, body)));
    expect(answers.map(({ httpStatus }) => httpStatus).sort()).toEqual([...Array.from({ length: 19 }, () => 200), 201]);
    expect(new Set(answers.map((answer) => answer.body.id)).size).toBe(1);
    expect((await service.payment(answers[0]?.body.payment.id ?? '')).refundableBalance).toBe(900);
  });
});

describe('making a payment known', () => {
  it('201, then 200 for the same, then 409 for another', async () => {
    const body = { businessNo: uniqueNo('P'), channel: 'wechat_pay', amount: 1000, refundedAmount: 100 };
    const first = await post<PaymentView>(PAYMENTS, body);
    expect(first).toMatchObject({
      httpStatus: 201,
      body: {
        id: expect.stringMatching(/^\d{19}$/) as string,
        appId: 'default',
        currency: 'CNY',
        outTradeNo: body.businessNo,
        gatewayAccountId: WECHAT_ACCOUNT,
        refundableBalance: 900,
        refundedAmount: 100,
        status: 'partial_refund',
      },
    });
    expect(await post<PaymentView>(PAYMENTS, body)).toEqual({ httpStatus: 200, body: first.body });
    await expectRefused(409, 'amount', PAYMENTS, { ...body, amount: 1001 });
    await expectRefused(409, 'channel', PAYMENTS, { ...body, channel: 'cash_pay' });
    await expectRefused(409, 'currency', PAYMENTS, { ...body, currency: 'EUR' });
    const followed = await post(REFUNDS, registration({ payment: { businessNo: body.businessNo, amount: 1000 } }));
    expect(followed.body.payment).toMatchObject({ id: first.body.id, refundableBalance: 800 });
  });

  it.each([
    ['businessNo', { businessNo: '' }],
    ['channel', { channel: 'paypal' }],
    ['amount', { amount: 0 }],
    ['currency', { currency: 'yuan' }],
    ['appId', { appId: 'nobody' }],
    ['gatewayAccountId', { gatewayAccountId: 'nobody' }],
    ['refundedAmount', { refundedAmount: 1001 }],
  ] as [string, Body][])('%s malformed: 400', async (field, change) => {
    await expectRefused(400, field, PAYMENTS, {
      businessNo: uniqueNo('P'),
      channel: 'wechat_pay',
      amount: 1000,
      ...change,
    });
  });

  it('10 times at once: one payment', async () => {
    const body = { businessNo: uniqueNo('P'), channel: 'wechat_pay', amount: 1000 };
    const answers = await Promise.all(Array.from({ length: 10 }, () => post<PaymentView>(PAYMENTS, body)));
    expect(answers.filter(({ httpStatus }) => httpStatus === 201)).toHaveLength(1);
    expect(answers.filter(({ httpStatus }) => httpStatus === 200)).toHaveLength(9);
    expect(new Set(answers.map((answer) => answer.body.id)).size).toBe(1);
  });

  it('is read back by the merchant who refunds it', async () => {
    const payment = await knownPayment(service, { channel: 'cash_pay' });
    const answer = await service.merchant.call('/unipay/refund', {
      paymentId: payment.id,
      refundAll: true,
      reqTime: Math.floor(clock.now().getTime() / 1000),
    });
    expect(answer).toMatchObject({ code: 0, data: { businessNo: payment.businessNo, amount: 1000 } });
  });
});

describe('who may', () => {
  it.each([
    ['no header', {}],
    ['another token', { authorization: 'Bearer another-token-of-the-tests' }],
    ['part of the token', { authorization: `Bearer ${ADMIN_TOKEN.slice(0, -1)}` }],
    ['the token and more', { authorization: `Bearer ${ADMIN_TOKEN}x` }],
    ['no scheme', { authorization: ADMIN_TOKEN }],
    ['another scheme', { authorization: `Basic ${Buffer.from(`admin:${ADMIN_TOKEN}`).toString('base64')}` }],
    ['an empty token', { authorization: 'Bearer ' }],
    ['two tokens', { authorization: `Bearer x ${ADMIN_TOKEN}` }],
  ] as [string, Record<string, string>][])('%s: 401, nothing is told, nothing is done', async (_case, headers) => {
    const { id } = await stuckRefund(service, { gateway: 'success' });
    const before = await rowCounts(service);
    const requests: [string, string, unknown?][] = [
      ['POST', REFUNDS, registration()],
      ['POST', PAYMENTS, { businessNo: uniqueNo('P'), channel: 'cash_pay', amount: 1 }],
      ['GET', REFUNDS],
      ['GET', `${REFUNDS}?token=${ADMIN_TOKEN}&access_token=${ADMIN_TOKEN}`],
      ['GET', `${REFUNDS}/${id}`],
      ['GET', `${REFUNDS}/1`],
      ['POST', `${REFUNDS}/${id}/sync`],
      ['GET', '/admin/apps'],
      ['PUT', '/admin/apps/default', { signSecret: 'of an intruder' }],
      ['PUT', '/admin/apps/default/interfaces/syncRefund', { requestSign: false }],
      ['GET', '/admin/gateway-accounts'],
      ['PUT', `/admin/gateway-accounts/${WECHAT_ACCOUNT}`, { channel: 'wechat_pay', config: {} }],
      // Before the body is looked at: strangers learn nothing of what it should be.
      ['POST', REFUNDS, '{'],
    ];
    for (const [method, path, body] of requests) {
      const response = await fetch(`${service.url}${path}`, {
        method,
        headers: { ...headers, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
        ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      });
      expect(response.status, `${method} ${path}`).toBe(401);
      expect(response.headers.get('www-authenticate')).toBe('Bearer');
      expect(response.headers.get('content-type')).toBe('application/problem+json; charset=utf-8');
      const problem = (await response.json()) as Problem;
      expect(problem).toMatchObject({ title: 'Unauthorized', status: 401 });
      expect(JSON.stringify(problem)).not.toContain(ADMIN_TOKEN);
    }
    expect(await rowCounts(service)).toEqual(before);
    expect((await service.refund(id)).status).toBe('progress');
  });

  it('the scheme may be written in any case', async () => {
    const response = await fetch(`${service.url}${REFUNDS}?limit=1`, {
      headers: { authorization: `bearer ${ADMIN_TOKEN}` },
    });
    expect(response.status).toBe(200);
  });

  it('a merchant’s signature opens nothing here, and the token nothing there', async () => {
    const { refundNo } = await stuckRefund(service);
    const body = service.merchant.body({ refundNo });
    expect(
      (
        await fetch(`${service.url}${REFUNDS}`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body,
        })
      ).status,
    ).toBe(401);
    expect(
      await service.merchant.post('/unipay/syncRefund', JSON.stringify({ refundNo, reqTime: 1 }), {
        authorization: `Bearer ${ADMIN_TOKEN}`,
      }),
    ).toMatchObject({ code: 20052 });
  });
});

describe('one refund', () => {
  interface Detail extends RefundView {
    timeline: { type: string; at: string; entry: Record<string, unknown> }[];
  }

  it('tells all that happened to it, in order', async () => {
    const refund = await stuckRefund(service, { callbackUrl: callbackUrl(service) });
    await fault(service, 'http500', { operation: 'query', outRefundNo: refund.refundNo, count: 1 });
    const reqTime = (): number => Math.floor(clock.now().getTime() / 1000);
    await service.merchant.syncRefund({ refundNo: refund.refundNo, reqTime: reqTime() });
    await post(`${REFUNDS}/${refund.id}/sync`, {});
    await callBack(service, refund.refundNo, { status: 'success' });
    await callbacksWorkedOn(service);

    const { httpStatus, body } = await service.admin<Detail>('GET', `${REFUNDS}/${refund.id}`);
    expect(httpStatus).toBe(200);
    expect(body).toMatchObject({
      id: refund.id,
      status: 'success',
      payment: { id: refund.paymentId, status: 'partial_refund' },
    });
    const moments = body.timeline.map(({ at }) => Date.parse(at));
    expect(moments).toEqual([...moments].sort((left, right) => left - right));
    expect(
      body.timeline.map(({ type, entry }) => [type, entry.source ?? entry.action ?? entry.eventType ?? entry.state]),
    ).toEqual([
      ['audit', 'refund.register'],
      ['sync', 'merchant'],
      ['audit', 'refund.sync'],
      ['sync', 'operator'],
      ['callback', 'REFUND.SUCCESS'],
      ['sync', 'callback'],
      ['repair', 'callback'],
      ['repair', 'callback'],
      ['notification', expect.any(String)],
    ]);
    expect(body.timeline[1]?.entry).toMatchObject({ result: 'error', errorKind: 'unavailable', effect: 'unchanged' });
    expect(body.timeline[0]?.entry).toMatchObject({ actor: 'bootstrap', targetId: refund.id });
    expect(JSON.stringify(body)).not.toMatch(/leaseToken|createPayload|sealed|BEGIN [A-Z ]*KEY/);
  });

  it.each([
    '1',
    '0',
    '9999999999999999999',
    '99999999999999999999',
    'abc',
    '1e3',
    "1'%20OR%20'1'='1",
    '%00',
    '-1',
    '..%2fapps',
  ])('%s: 404', async (id) => {
    for (const [method, path] of [
      ['GET', `${REFUNDS}/${id}`],
      ['POST', `${REFUNDS}/${id}/sync`],
    ] as const) {
      const { httpStatus, body } = await service.admin<Problem>(method, path);
      expect(httpStatus, path).toBe(404);
      expect(body).toMatchObject({ status: 404, title: 'Not Found' });
    }
  });

  it('its neighbours are other refunds', async () => {
    const { id } = await stuckRefund(service);
    for (const neighbour of [BigInt(id) - 1n, BigInt(id) + 1n])
      expect((await service.admin('GET', `${REFUNDS}/${neighbour}`)).httpStatus).toBe(404);
    expect((await service.admin('GET', `${REFUNDS}/${id}`)).httpStatus).toBe(200);
  });
});

describe('syncing a refund by hand', () => {
  interface Synced {
    state: string;
    refund: RefundView;
    records: Record<string, unknown>[];
  }

  it('200: what came back and what became of it', async () => {
    const { id } = await stuckRefund(service, { gateway: 'success' });
    const first = await post<Synced>(`${REFUNDS}/${id}/sync`, undefined);
    expect(first).toMatchObject({
      httpStatus: 200,
      body: {
        state: 'done',
        refund: { id, status: 'success' },
        records: [{ source: 'operator', result: 'success', effect: 'changed', statusBefore: 'progress' }],
      },
    });
    const again = await post<Synced>(`${REFUNDS}/${id}/sync`, {});
    expect(again.body.records).toMatchObject([{ effect: 'unchanged', statusBefore: 'success', repairNo: null }]);
  });

  it('200 too when the gateway could not be asked: the record says so', async () => {
    const { id, refundNo } = await stuckRefund(service);
    await fault(service, 'badSignature', { operation: 'query', outRefundNo: refundNo });
    const { httpStatus, body } = await post<Synced>(`${REFUNDS}/${id}/sync`, {});
    expect(httpStatus).toBe(200);
    expect(body).toMatchObject({
      refund: { status: 'progress' },
      records: [{ result: 'error', errorKind: 'unavailable' }],
    });
  });

  it('202 when the wait ran out, 409 while it goes on', async () => {
    const impatient = await startService({ env: { SYNC_WAIT_MS: '200' }, sandbox: service.sandbox });
    try {
      const { id, refundNo } = await stuckRefund(impatient, { gateway: 'success' });
      await fault(impatient, 'slow', { outRefundNo: refundNo, slowMs: 1_500 });
      const sync = () => impatient.admin<Synced & Problem>('POST', `${REFUNDS}/${id}/sync`, {});
      const { httpStatus, body } = await sync();
      expect([httpStatus, body.state]).toEqual([202, 'goesOn']);
      const again = await sync();
      expect([again.httpStatus, again.body.title]).toEqual([409, 'Conflict']);
      expect(again.body.detail).toContain('running');
      expect((await truth(impatient, refundNo)).activeCalls).toBe(1);
      await impatient.idle();
      expect((await impatient.refund(id)).status).toBe('success');
    } finally {
      await impatient.close();
    }
  });

  it('409 while a merchant’s is running', async () => {
    const { id, refundNo } = await stuckRefund(service);
    await fault(service, 'slow', { outRefundNo: refundNo, slowMs: 800 });
    const running = service.merchant.syncRefund({ refundNo, reqTime: Math.floor(clock.now().getTime() / 1000) });
    await untilAsked(service, refundNo);
    expect((await post(`${REFUNDS}/${id}/sync`, {})).httpStatus).toBe(409);
    expect(await running).toMatchObject({ code: 0 });
  });

  it('409 for a channel that settles at once', async () => {
    const { body } = await post(REFUNDS, registration({ channel: 'cash_pay' }));
    expect((await post(`${REFUNDS}/${body.id}/sync`, {})).httpStatus).toBe(409);
  });
});

describe('problem documents (RFC 9457)', () => {
  const raw = (path: string, init: RequestInit = {}): Promise<Response> =>
    fetch(`${service.url}${path}`, {
      ...init,
      headers: { authorization: `Bearer ${ADMIN_TOKEN}`, 'content-type': 'application/json', ...init.headers },
    });

  it.each([
    ['no JSON', 400, REFUNDS, { method: 'POST', body: '{' }],
    ['a list', 400, REFUNDS, { method: 'POST', body: '[]' }],
    ['a name twice', 400, REFUNDS, { method: 'POST', body: '{"amount":1,"amount":1}' }],
    ['__proto__', 400, REFUNDS, { method: 'POST', body: '{"__proto__":{"amount":1}}' }],
    ['another content type', 400, REFUNDS, { method: 'POST', body: 'a=1', headers: { 'content-type': 'text/plain' } }],
    ['a field', 400, REFUNDS, { method: 'POST', body: '{}' }],
    ['no body at all', 400, REFUNDS, { method: 'POST' }],
    ['too large', 413, REFUNDS, { method: 'POST', body: ' '.repeat(70_000) }],
    ['no such route', 404, '/admin/refundz', {}],
    ['another method', 404, REFUNDS, { method: 'DELETE' }],
    ['no such refund', 404, `${REFUNDS}/1`, {}],
    ['a path that cannot be decoded', 400, '/admin/%zz', {}],
    ['no such app', 404, '/admin/apps/nobody/interfaces/refund', { method: 'PUT', body: '{}' }],
  ] as [string, number, string, RequestInit][])('%s: %i', async (_case, status, path, init) => {
    const before = await rowCounts(service);
    const response = await raw(path, init);
    expect(response.status).toBe(status);
    expect(response.headers.get('content-type')).toBe('application/problem+json; charset=utf-8');
    const text = await response.text();
    const problem = JSON.parse(text) as Problem;
    expect(problem).toMatchObject({
      type: 'about:blank',
      title: expect.stringMatching(/^[A-Z][A-Za-z ]+$/) as string,
      status,
      detail: expect.stringMatching(/./) as string,
      traceId: expect.stringMatching(/^[A-Za-z0-9]{12}$/) as string,
    });
    expect(response.headers.get('x-trace-id')).toBe(problem.traceId);
    expect(text).not.toMatch(/node_modules|\.[jt]s:\d|SELECT|INSERT|FST_|class-validator/);
    expect(await rowCounts(service)).toEqual(before);
  });

  it('an error of ours: 500 without its text, here and for merchants', async () => {
    const sql = 'SELECT * FROM `refund` WHERE secret = ?';
    const list = vi.spyOn(service.app.get(RefundListService), 'refunds');
    const find = vi.spyOn(service.app.get(RefundLookup), 'findForApp');
    for (const bug of [
      new QueryFailedError(sql, ['parameter'], new Error('near "secret": syntax error')),
      new TypeError("Cannot read properties of undefined (reading 'secret')"),
      Object.assign(new Error('secret'), { statusCode: 500 }),
    ]) {
      list.mockRejectedValueOnce(bug);
      const response = await raw(REFUNDS);
      expect(response.status).toBe(500);
      const text = await response.text();
      expect(text).not.toMatch(/secret|SELECT|parameter|\.ts|at /);
      expect(JSON.parse(text)).toMatchObject({ title: 'Internal Server Error', status: 500 });

      find.mockRejectedValueOnce(bug);
      const answer = await service.merchant.syncRefund({
        refundNo: 'R1',
        reqTime: Math.floor(clock.now().getTime() / 1000),
      });
      expect(answer).toMatchObject({ code: 10001, msg: '系统错误' });
      // The trace finds what really happened.
      const logged = logLines.filter((line) => line.includes(answer.traceId));
      expect(logged.map((line) => (JSON.parse(line) as { error: string }).error)).toEqual([
        expect.stringContaining(bug.message.slice(0, 20)),
      ]);
    }
    list.mockRestore();
    find.mockRestore();
  });
});

describe('the description of the API', () => {
  it('is valid JSON and lists the routes', async () => {
    const response = await fetch(`${service.url}/docs-json`);
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toContain('application/json');
    const document = (await response.json()) as {
      openapi: string;
      paths: Record<string, Record<string, { responses: Record<string, unknown>; requestBody?: unknown }>>;
      components: { schemas: Record<string, unknown>; securitySchemes: Record<string, unknown> };
    };
    expect(document.openapi).toMatch(/^3\./);
    const routes = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );
    expect(routes).toEqual(
      expect.arrayContaining([
        'POST /unipay/syncRefund',
        'POST /unipay/syncPay',
        'POST /unipay/refund',
        'POST /uni/query/refundOrder',
        'POST /callback/{gateway}/{accountId}',
        'POST /admin/payments',
        'POST /admin/refunds',
        'GET /admin/refunds',
        'GET /admin/refunds/{id}',
        'POST /admin/refunds/{id}/sync',
        'GET /admin/apps',
        'PUT /admin/apps/{id}',
        'PUT /admin/apps/{id}/interfaces/{code}',
        'GET /admin/gateway-accounts',
        'PUT /admin/gateway-accounts/{id}',
        'GET /health/live',
        'GET /health/ready',
      ]),
    );
    // Every reference leads somewhere.
    const text = JSON.stringify(document);
    const references = [...text.matchAll(/"#\/components\/schemas\/([^"]+)"/g)].map(([, name]) => name ?? '');
    expect(references.length).toBeGreaterThan(5);
    for (const name of references) expect(Object.keys(document.components.schemas)).toContain(name);
    expect(Object.keys(document.paths['/unipay/syncRefund']?.post?.responses ?? {})).toEqual(['200']);
    expect(document.paths['/unipay/refund']?.post?.requestBody).toBeDefined();
    expect(text).not.toContain(ADMIN_TOKEN);
  });

  it('is a page for people', async () => {
    const response = await fetch(`${service.url}/docs`);
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toContain('text/html');
  });
});

// Last: it moves the clock ahead, and callbacks that are hours old are refused.
describe('the list', () => {
  interface Page {
    items: RefundView[];
    nextCursor: string | null;
  }
  let appId: string;
  /** In the order of registration. */
  let ids: string[];
  const list = async (query: string): Promise<Page> => {
    const { httpStatus, body } = await service.admin<Page>('GET', `${REFUNDS}?${query}`);
    expect(httpStatus, JSON.stringify(body)).toBe(200);
    return body;
  };
  const idsOf = async (query: string): Promise<string[]> => (await list(query)).items.map(({ id }) => id);
  const times: Date[] = [];

  beforeAll(async () => {
    ({ appId } = await newMerchant(service));
    const merchant = { appId };
    const made: string[] = [];
    const note = (): void => void times.push(clock.now());
    note();
    made.push((await stuckRefund(service, { gateway: 'success', more: merchant })).id);
    clock.advance(HOUR_MS);
    note();
    made.push((await stuckRefund(service, { gateway: 'failed', more: merchant })).id);
    clock.advance(HOUR_MS);
    note();
    made.push((await stuckRefund(service, { gateway: 'abnormal', more: merchant })).id);
    made.push((await stuckRefund(service, { gateway: 'processing', more: merchant })).id);
    const cash = await post(REFUNDS, registration({ ...merchant, channel: 'cash_pay' }));
    made.push(cash.body.id);
    clock.advance(2 * HOUR_MS);
    made.push((await stuckRefund(service, { gateway: 'processing', more: merchant })).id);
    for (const id of made.slice(0, 3)) await post(`${REFUNDS}/${id}/sync`, {});
    ids = made;
  });

  const at = (...indices: number[]): string[] => indices.map((index) => ids[index] ?? '');

  it('of an app, in the order of registration', async () => {
    expect(await idsOf(`appId=${appId}`)).toEqual(ids);
    expect(await idsOf('appId=nobody')).toEqual([]);
    const { items, nextCursor } = await list(`appId=${appId}`);
    expect(nextCursor).toBeNull();
    expect(items[0]).not.toHaveProperty('leaseToken');
    expect(items[0]).not.toHaveProperty('createPayload');
  });

  it.each([
    ['status=success', [0, 4]],
    ['status=fail', [1]],
    ['status=review', [2]],
    ['status=progress', [3, 5]],
    ['status=close', []],
    ['channel=cash_pay', [4]],
    ['channel=wechat_pay', [0, 1, 2, 3, 5]],
    ['channel=wechat_pay&status=success', [0]],
    // In progress or review, since then: the review began at its sync, just now.
    ['stuckFor=1h', [3]],
    ['stuckFor=999999d', []],
    ['stuckFor=1d', []],
  ] as [string, number[]][])('%s', async (query, indices) => {
    expect(await idsOf(`appId=${appId}&${query}`)).toEqual(at(...indices));
  });

  it('from and to: registered at or after, and before', async () => {
    const [first, second, third] = times.map((time) => encodeURIComponent(time.toISOString())) as [
      string,
      string,
      string,
    ];
    expect(await idsOf(`appId=${appId}&from=${second}`)).toEqual(at(1, 2, 3, 4, 5));
    expect(await idsOf(`appId=${appId}&to=${second}`)).toEqual(at(0));
    expect(await idsOf(`appId=${appId}&from=${second}&to=${third}`)).toEqual(at(1));
    expect(await idsOf(`appId=${appId}&from=${first}&to=${first}`)).toEqual([]);
    // In another zone it is the same moment.
    const [beijing] = new Date((times[1]?.getTime() ?? 0) + 8 * HOUR_MS).toISOString().split('Z');
    expect(await idsOf(`appId=${appId}&from=${encodeURIComponent(`${beijing}+08:00`)}`)).toEqual(at(1, 2, 3, 4, 5));
  });

  it.each([1, 2, 5, 6, 7, 500])('in pages of %i: every refund once', async (limit) => {
    const seen: string[] = [];
    let cursor: string | null = null;
    for (let page = 0; page < 10; page += 1) {
      const { items, nextCursor }: Page = await list(
        `appId=${appId}&limit=${limit}${cursor === null ? '' : `&cursor=${cursor}`}`,
      );
      expect(items.length).toBeLessThanOrEqual(limit);
      seen.push(...items.map(({ id }) => id));
      cursor = nextCursor;
      if (cursor === null) break;
    }
    expect(cursor).toBeNull();
    expect(seen).toEqual(ids);
  });

  it.each([
    ['status', 'status=done'],
    ['status', 'status=success&status=fail'],
    ['channel', 'channel=paypal'],
    ['from', 'from=yesterday'],
    ['from', 'from=2026-01-01T00:00:00'],
    ['to', 'to=2026-13-01T00:00:00Z'],
    ['stuckFor', 'stuckFor=24'],
    ['stuckFor', 'stuckFor=0s'],
    ['stuckFor', 'stuckFor=-1h'],
    ['cursor', 'cursor=abc'],
    ['cursor', "cursor=1'--"],
    ['limit', 'limit=0'],
    ['limit', 'limit=501'],
    ['limit', 'limit=1.5'],
    ['limit', 'limit=all'],
    ['appId', `appId=${'x'.repeat(65)}`],
  ])('%s malformed (%s): 400', async (field, query) => {
    const { httpStatus, body } = await service.admin<Problem>('GET', `${REFUNDS}?${query}`);
    expect(httpStatus).toBe(400);
    expect(body.errors?.map((fault) => fault.field)).toContain(field);
  });
});

it('every invariant holds after all of this', () => assertInvariants(service, { now: clock.now() }));
