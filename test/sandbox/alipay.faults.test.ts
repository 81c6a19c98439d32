import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { AlipayMerchant, type Reply } from './alipay.support.js';
import { until } from './support.js';

let merchant: AlipayMerchant;
/** The sandbox's clock stands still at this time, when it is set: limits count by calendar second. */
let stoppedAtMs: number | null = null;

beforeAll(async () => {
  merchant = await AlipayMerchant.start({ now: () => stoppedAtMs ?? Date.now() });
});
afterAll(() => merchant.sandbox.close());
beforeEach(async () => {
  stoppedAtMs = null;
  await merchant.control('POST', '/reset', { settings: true });
  await merchant.register('R1', 'success');
});

const query = (): Promise<Reply> => merchant.query({ out_trade_no: 'TRADE-R1', out_request_no: 'R1' });
const refund = (outRefundNo = 'R2'): Promise<Reply> =>
  merchant.refund({ out_trade_no: 'TRADE-R1', out_request_no: outRefundNo, refund_amount: '1.00' });

/** What the client saw: an HTTP status and word, or how the connection ended. */
async function outcome(call: Promise<Reply>): Promise<string> {
  try {
    const { status, response } = await call;
    return [status, response.code, response.sub_code ?? response.refund_status ?? response.fund_change]
      .filter(Boolean)
      .join(' ');
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
}

describe('answers that go wrong', () => {
  it.each([
    ['reset', 'ECONNRESET'],
    ['http500', '500'],
    ['http429', '200 40005 isv.app-call-limited'],
    ['systemError', '200 40004 ACQ.SYSTEM_ERROR'],
  ])('%s: the client sees %s, then the truth', async (kind, seen) => {
    await merchant.fault(kind, { count: 1 });
    expect(await outcome(query())).toBe(seen);
    expect(await outcome(query())).toBe('200 10000 REFUND_SUCCESS');
  });

  it('http500 is an error page of something in front of the gateway', async () => {
    await merchant.fault('http500');
    expect(await query()).toMatchObject({ status: 500, body: expect.stringMatching(/^<html>/) as string });
  });

  it('systemError speaks both of the gateway’s ways to say so, signed', async () => {
    await merchant.fault('systemError', { count: 2 });
    expect(await query()).toMatchObject({ verified: true, response: { sub_code: 'ACQ.SYSTEM_ERROR' } });
    expect(await query()).toMatchObject({ verified: true, response: { code: '20000', sub_code: 'aop.unknow-error' } });
  });

  it('timeout: never answers, and the call counts as under way until the client leaves', async () => {
    await merchant.fault('timeout', { count: 1 });
    const left = new AbortController();
    const gone = expect(
      merchant.query({ out_trade_no: 'TRADE-R1', out_request_no: 'R1' }, { signal: left.signal }),
    ).rejects.toThrow();
    await until(
      () => merchant.truth('R1'),
      ({ activeCalls }) => activeCalls === 1,
    );
    left.abort();
    await gone;
    await until(
      () => merchant.truth('R1'),
      ({ activeCalls }) => activeCalls === 0,
    );
    expect(await merchant.truth('R1')).toMatchObject({ queries: 1, maxConcurrentQueries: 1 });
  });

  it('slow: answers after slowMs', async () => {
    await merchant.fault('slow', { slowMs: 120, count: 1 });
    const begun = Date.now();
    expect(await outcome(query())).toBe('200 10000 REFUND_SUCCESS');
    expect(Date.now() - begun).toBeGreaterThanOrEqual(118);
  });

  it('malformed: half an answer', async () => {
    await merchant.fault('malformed');
    const { status, body } = await query();
    expect(status).toBe(200);
    expect(body).toMatch(/^\{"alipay_trade_fastpay_refund_query_response":\{"code"/);
    expect(() => JSON.parse(body) as unknown).toThrow();
  });

  it('badSignature: a good answer under another key', async () => {
    await merchant.fault('badSignature');
    const reply = await query();
    expect(reply.response.refund_status).toBe('REFUND_SUCCESS');
    expect(reply.sign).toMatch(/^[A-Za-z0-9+/]{342}==$/);
    expect(reply.verified).toBe(false);
  });

  it('wrongAmount: one fen more, signed', async () => {
    await merchant.fault('wrongAmount');
    expect(await query()).toMatchObject({ verified: true, response: { refund_amount: '1.01' } });
    expect((await merchant.truth('R1')).amount).toBe(100);
  });

  it('notFoundThenFound: the first queries say nothing of the refund', async () => {
    await merchant.fault('notFoundThenFound');
    const seen = [await outcome(query()), await outcome(query()), await outcome(query())];
    expect(seen).toEqual(['200 10000', '200 10000', '200 10000 REFUND_SUCCESS']);
  });

  it('successThenFailed: success is answered once, then the refund is failed', async () => {
    await merchant.fault('successThenFailed');
    expect(await outcome(query())).toBe('200 10000 REFUND_SUCCESS');
    expect(await outcome(query())).toBe('200 10000 REFUND_FAIL');
  });
});

describe('creates that go wrong', () => {
  it.each([
    ['lostRequest', 'ECONNRESET', 0],
    ['reset', 'ECONNRESET', 0],
    ['http500', '500', 0],
    ['systemError', '200 40004 ACQ.SYSTEM_ERROR', 0],
    ['refused', '200 40004 ACQ.INVALID_PARAMETER', 0],
    ['lostAnswer', 'ECONNRESET', 1],
    ['malformed', '200', 1],
    ['badSignature', '200 10000 N', 1],
  ])('%s: the client sees %s, the gateway has %d', async (kind, seen, refundsAtGateway) => {
    await merchant.fault(kind, { count: 1, operation: 'create' });
    expect(await outcome(refund())).toBe(seen);
    expect(await merchant.truth('R2')).toMatchObject({ creates: 1, refundsAtGateway });
    expect(await outcome(refund())).toBe('200 10000 N');
    expect(await merchant.truth('R2')).toMatchObject({ creates: 2, refundsAtGateway: 1 });
  });

  it('refused is signed, whatever signErrors says', async () => {
    await merchant.setUp({ signErrors: false });
    await merchant.fault('refused');
    expect(await refund()).toMatchObject({ verified: true, response: { sub_code: 'ACQ.INVALID_PARAMETER' } });
  });
});

describe('limits', () => {
  it('more calls in a second than ratePerSecond are told to slow down', async () => {
    stoppedAtMs = Date.now();
    await merchant.control('POST', '/reset');
    await merchant.register('R1', 'success');
    await merchant.setUp({ ratePerSecond: 2 });
    const seen = [await outcome(query()), await outcome(query()), await outcome(query())];
    expect(seen).toEqual(['200 10000 REFUND_SUCCESS', '200 10000 REFUND_SUCCESS', '200 40005 isv.app-call-limited']);
    expect((await merchant.control('GET', '/stats')).json).toMatchObject({ rateLimited: 1 });
  });
});
