import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { mulberry32 } from '../../sandbox/random.js';
import { createBody, json, Merchant, pause, until, type Json, type RawAnswer } from './support.js';

let merchant: Merchant;
/** The sandbox's clock stands still at this time, when it is set: limits count by calendar second. */
let stoppedAtMs: number | null = null;

beforeAll(async () => {
  merchant = await Merchant.start({ now: () => stoppedAtMs ?? Date.now() });
});
afterAll(() => merchant.sandbox.close());
beforeEach(async () => {
  stoppedAtMs = null;
  await merchant.control('POST', '/reset', { settings: true });
  await merchant.register('R1', 'success');
});

/** What the client saw: an HTTP status and word, or how the connection ended. */
async function outcome(call: Promise<RawAnswer>): Promise<string> {
  try {
    const answer = await call;
    const { status, code } = json(answer);
    return `${answer.status} ${String(code ?? status)}`;
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
}

describe('answers that go wrong', () => {
  it('timeout: never answers, and the call counts as under way until the client leaves', async () => {
    await merchant.fault('timeout', { count: 1 });
    const left = new AbortController();
    const call = merchant.query('R1', { signal: left.signal });
    const gone = expect(call).rejects.toThrow();
    await until(
      () => merchant.truth('R1'),
      ({ activeCalls }) => activeCalls === 1,
    );
    expect(await merchant.truth('R1')).toMatchObject({ queries: 1 });
    await pause(50);
    expect(await merchant.truth('R1')).toMatchObject({ activeCalls: 1 });
    left.abort();
    await gone;
    expect(await outcome(merchant.query('R1'))).toBe('200 SUCCESS');
    expect(await merchant.truth('R1')).toMatchObject({ queries: 2, activeCalls: 0, maxConcurrentQueries: 1 });
  });

  it('a client that gives up and asks again at once is never two calls', async () => {
    await merchant.fault('timeout', { rate: 0.5, seed: 3 });
    for (let round = 0; round < 10; round += 1) {
      await merchant.query('R1', { signal: AbortSignal.timeout(60) }).catch(() => undefined);
    }
    expect(await merchant.truth('R1')).toMatchObject({ queries: 10, maxConcurrentQueries: 1, maxConcurrentCalls: 1 });
  });

  it('two queries at once are counted', async () => {
    await merchant.fault('slow', { slowMs: 200 });
    await Promise.all([merchant.query('R1'), merchant.query('R1'), merchant.query('R1')]);
    expect(await merchant.truth('R1')).toMatchObject({
      queries: 3,
      maxConcurrentQueries: 3,
      maxConcurrentCalls: 3,
      activeCalls: 0,
    });
  });

  it('slow: answers after slowMs', async () => {
    await merchant.fault('slow', { slowMs: 120, count: 1 });
    const begun = Date.now();
    expect(await outcome(merchant.query('R1'))).toBe('200 SUCCESS');
    expect(Date.now() - begun).toBeGreaterThanOrEqual(118);
  });

  it.each([
    ['reset', 'ECONNRESET'],
    ['http500', '500 SYSTEM_ERROR'],
    ['http429', '429 FREQUENCY_LIMITED'],
  ])('%s: the client sees %s', async (kind, seen) => {
    await merchant.fault(kind, { count: 1 });
    expect(await outcome(merchant.query('R1'))).toBe(seen);
    expect(await outcome(merchant.query('R1'))).toBe('200 SUCCESS');
  });

  it('malformed: half the JSON under a good signature', async () => {
    await merchant.fault('malformed');
    const answer = await merchant.query('R1');
    expect(answer.status).toBe(200);
    expect(() => json(answer)).toThrow();
    expect(merchant.verifies(answer)).toBe(true);
  });

  it('badSignature: a good answer under nobody’s key, with a serial that is known', async () => {
    await merchant.fault('badSignature');
    const answer = await merchant.query('R1');
    expect([answer.status, json(answer).status]).toEqual([200, 'SUCCESS']);
    expect(Object.keys(merchant.config.platformCertificates)).toContain(answer.headers['wechatpay-serial']);
    expect(answer.headers['wechatpay-signature']).toMatch(/^[A-Za-z0-9+/]{342}==$/);
    expect(merchant.verifies(answer)).toBe(false);
  });

  it('wrongAmount: one fen more, signed', async () => {
    await merchant.fault('wrongAmount');
    const answer = await merchant.query('R1');
    expect((json(answer).amount as Json).refund).toBe(101);
    expect(merchant.verifies(answer)).toBe(true);
    expect((await merchant.truth('R1')).amount).toBe(100);
  });

  it('notFoundThenFound: the first queries of each refund find nothing', async () => {
    await merchant.register('R2', 'success');
    await merchant.fault('notFoundThenFound');
    for (const number of ['R1', 'R2']) {
      const seen = [];
      for (let index = 0; index < 4; index += 1) seen.push(await outcome(merchant.query(number)));
      expect(seen).toEqual(['404 RESOURCE_NOT_EXISTS', '404 RESOURCE_NOT_EXISTS', '200 SUCCESS', '200 SUCCESS']);
    }
  });

  it('successThenFailed: success is answered once, then the truth is failed', async () => {
    await merchant.fault('successThenFailed');
    expect(await outcome(merchant.query('R1'))).toBe('200 SUCCESS');
    expect(await outcome(merchant.query('R1'))).toBe('200 CLOSED');
    expect((await merchant.truth('R1')).status).toBe('failed');
  });
});

describe('creates that go wrong', () => {
  beforeEach(() => merchant.settings({ defaultScript: [{ afterMs: 0, status: 'processing' }] }));

  it.each([
    ['lostRequest', 'ECONNRESET', 0],
    ['reset', 'ECONNRESET', 0],
    ['lostAnswer', 'ECONNRESET', 1],
    ['http500', '500 SYSTEM_ERROR', 0],
    ['http429', '429 FREQUENCY_LIMITED', 0],
    ['refused', '400 PARAM_ERROR', 0],
  ])(
    '%s: the client sees %s and the gateway has %i refunds; the same create again succeeds',
    async (kind, seen, stored) => {
      await merchant.fault(kind, { operation: 'create', count: 1 });
      expect(await outcome(merchant.create(createBody('R9')))).toBe(seen);
      expect(await merchant.truth('R9')).toMatchObject({ creates: 1, refundsAtGateway: stored });
      expect(await outcome(merchant.query('R9'))).toBe(stored === 1 ? '200 PROCESSING' : '404 RESOURCE_NOT_EXISTS');
      expect(await outcome(merchant.create(createBody('R9')))).toBe('200 PROCESSING');
      expect(await merchant.truth('R9')).toMatchObject({
        creates: 2,
        refundsAtGateway: 1,
        payment: { refunds: 1, refundedAmount: 100 },
      });
    },
  );

  it('timeout: stored, never answered', async () => {
    await merchant.fault('timeout', { count: 1 });
    await expect(merchant.create(createBody('R9'), { signal: AbortSignal.timeout(60) })).rejects.toThrow();
    expect(await outcome(merchant.query('R9'))).toBe('200 PROCESSING');
  });

  it('refused is signed even where errors are not: it is the final word on that create', async () => {
    await merchant.settings({ signErrors: false });
    await merchant.fault('refused', { count: 1 });
    expect(merchant.verifies(await merchant.create(createBody('R9')))).toBe(true);
  });

  it('does not touch queries, and a fault aimed at queries does not touch creates', async () => {
    await merchant.fault('lostAnswer');
    await merchant.fault('http500', { operation: 'query', outRefundNo: 'R2' });
    expect(await outcome(merchant.query('R1'))).toBe('200 SUCCESS');
    await merchant.control('DELETE', '/faults?id=1');
    await merchant.control('DELETE', '/faults');
    await merchant.fault('http500', { operation: 'query', outRefundNo: 'R2' });
    expect(await outcome(merchant.create(createBody('R2')))).toBe('200 PROCESSING');
    expect(await outcome(merchant.query('R2'))).toBe('500 SYSTEM_ERROR');
    expect(await outcome(merchant.query('R1'))).toBe('200 SUCCESS');
  });
});

describe('the plan', () => {
  async function pattern(calls: number): Promise<string> {
    let seen = '';
    for (let index = 0; index < calls; index += 1) seen += (await merchant.query('R1')).status === 200 ? '.' : 'x';
    return seen;
  }

  it('is the known generator', () => {
    // The public-domain reference, written as it is usually printed.
    let state = 42;
    const reference = (): number => {
      state |= 0;
      state = (state + 0x6d2b79f5) | 0;
      let t = Math.imul(state ^ (state >>> 15), 1 | state);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
    const own = mulberry32(42);
    for (let index = 0; index < 1000; index += 1) expect(own()).toBe(reference());
  });

  it('repeats a run for the same seed and sequence, and differs for another seed', async () => {
    const runs: string[] = [];
    for (const seed of [7, 7, 8]) {
      await merchant.control('DELETE', '/faults');
      await merchant.fault('http500', { rate: 0.4, seed });
      runs.push(await pattern(40));
    }
    expect(runs[0]).toBe(runs[1]);
    expect(runs[0]).not.toBe(runs[2]);
    expect([...(runs[0] ?? '')].filter((mark) => mark === 'x').length).toBeGreaterThan(8);
  });

  it('gives every fault its own draws: a second fault does not move the first one’s', async () => {
    await merchant.fault('http500', { rate: 0.3, seed: 5 });
    const alone = await pattern(30);
    await merchant.control('DELETE', '/faults');
    await merchant.fault('http500', { rate: 0.3, seed: 5 });
    await merchant.fault('slow', { rate: 0.5, seed: 6, slowMs: 0 });
    expect(await pattern(30)).toBe(alone);
  });

  it('counts what each fault saw and spoiled, and stops at count', async () => {
    await merchant.fault('http500', { count: 2 });
    expect(await pattern(5)).toBe('xx...');
    const { json: list } = await merchant.control('GET', '/faults');
    expect(list.items).toMatchObject([
      {
        id: expect.any(Number) as number,
        channel: 'wechat_pay',
        kind: 'http500',
        rate: 1,
        count: 2,
        seed: 1,
        operation: 'any',
        seen: 5,
        fired: 2,
      },
    ]);
    const { json: stats } = await merchant.control('GET', '/stats');
    expect(stats.channels).toMatchObject({ wechat_pay: { faults: { http500: 2 } } });
  });

  it('leaves other refunds alone when it names one', async () => {
    await merchant.register('R2', 'success');
    await merchant.fault('http500', { outRefundNo: 'R2' });
    expect(await outcome(merchant.query('R1'))).toBe('200 SUCCESS');
    expect(await outcome(merchant.query('R2'))).toBe('500 SYSTEM_ERROR');
  });
});

describe('limits', () => {
  it('answers 429 above ratePerSecond and counts it', async () => {
    await merchant.settings({ ratePerSecond: 5 });
    // The next whole second, so that no earlier request counts in it.
    stoppedAtMs = Math.ceil(Date.now() / 1000) * 1000;
    const seen = await Promise.all(Array.from({ length: 12 }, () => outcome(merchant.query('R1'))));
    expect(seen.filter((word) => word === '200 SUCCESS').length).toBe(5);
    expect(seen.filter((word) => word === '429 FREQUENCY_LIMITED').length).toBe(7);
    stoppedAtMs += 1000;
    expect(await outcome(merchant.query('R1'))).toBe('200 SUCCESS');
    const { json: stats } = await merchant.control('GET', '/stats');
    expect(stats).toMatchObject({ rateLimited: 7, requestsPerSecondPeak: 12 });
  });

  it('has a lower limit for creates that fail, as WeChat does', async () => {
    await merchant.settings({ failedRatePerSecond: 3 });
    stoppedAtMs = Math.ceil(Date.now() / 1000) * 1000;
    const seen = [];
    for (let index = 0; index < 5; index += 1) seen.push(await outcome(merchant.create(createBody('R 1'))));
    expect(seen).toEqual([
      '400 PARAM_ERROR',
      '400 PARAM_ERROR',
      '400 PARAM_ERROR',
      '429 FREQUENCY_LIMITED',
      '429 FREQUENCY_LIMITED',
    ]);
    expect(await outcome(merchant.create(createBody('R2')))).toBe('200 PROCESSING');
  });

  it('adds latencyMs to every answer', async () => {
    await merchant.settings({ latencyMs: 70 });
    const begun = Date.now();
    await merchant.query('R1');
    expect(Date.now() - begun).toBeGreaterThanOrEqual(68);
  });
});
