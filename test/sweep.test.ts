import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { wechatPolicy } from '../src/gateway/wechat-pay.js';
import { DueRefundService } from '../src/refund/due-refund.service.js';
import type { Refund } from '../src/refund/refund.entity.js';
import { APP_CONFIG, type AppConfig } from '../src/config/app-config.js';
import { DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS } from '../src/shared/clock.js';
import { knownPayment, stuckRefund, uniqueNo, type StuckRefund } from './support/builders.js';
import { FakeClock } from './support/fake-clock.js';
import { changeAccount, clearFaults, fault, setTruth, settings, truth, untilAsked } from './support/gateway.js';
import { assertInvariants } from './support/invariants.js';
import { startService, type TestService } from './support/service.js';

/** A service on a clock of its own, and what time does to its refunds. */
class Timeline {
  constructor(
    readonly service: TestService,
    readonly clock: FakeClock,
  ) {}

  /** Moves to a moment, unless it has passed. */
  to(moment: Date | null): void {
    if (moment === null) throw new Error('there is no such moment');
    this.clock.advance(Math.max(0, moment.getTime() - this.clock.now().getTime()));
  }

  /** Moves to the refund's next look and lets the sweep do it. */
  async nextLook(id: string): Promise<Refund> {
    this.to((await this.service.refund(id)).nextSyncAt);
    expect(await this.service.sweeper.sweep()).toBeGreaterThan(0);
    await this.service.idle();
    return this.service.refund(id);
  }

  ageMs(refund: Refund): number {
    return this.clock.now().getTime() - refund.registeredAt.getTime();
  }
}

describe('two sweepers on one database', () => {
  const clock = new FakeClock();
  let first: TestService;
  let second: TestService;
  beforeAll(async () => {
    first = await startService({ clock });
    second = await startService({ beside: first, clock });
  });
  afterAll(async () => {
    await second.close();
    await first.close();
  });

  it('claim every due refund once, and ask once', async () => {
    const refunds = [];
    for (let index = 0; index < 24; index += 1) refunds.push(await stuckRefund(first, { gateway: 'success' }));
    clock.advance(2 * SECOND_MS);

    const [byFirst, bySecond] = await Promise.all([first.sweeper.sweep(), second.sweeper.sweep()]);
    await Promise.all([first.idle(), second.idle()]);

    expect(byFirst + bySecond).toBe(24);
    for (const { id, refundNo } of refunds) {
      expect(await first.refund(id)).toMatchObject({ status: 'success', version: 1 });
      expect(await truth(first, refundNo)).toMatchObject({ queries: 1 });
      expect((await first.history(id)).syncs).toMatchObject([{ source: 'sweep' }]);
    }
    expect((await first.sweeper.sweep()) + (await second.sweeper.sweep())).toBe(0);
  });

  it('leave alone what is not due, and what somebody else has claimed', async () => {
    const { refundNo } = await stuckRefund(first);
    expect(await first.sweeper.sweep()).toBe(0);
    clock.advance(2 * SECOND_MS);
    const lost = vi.spyOn(first.queue, 'submitMany').mockResolvedValue();
    expect(await first.sweeper.sweep()).toBe(1);
    lost.mockRestore();
    expect(await second.sweeper.sweep()).toBe(0);
    expect(await first.control('/control/stats')).toMatchObject({ queries: 24 });

    clock.advance(first.app.get<AppConfig>(APP_CONFIG).claimMs);
    expect(await second.sweeper.sweep()).toBe(1);
    await second.idle();
    expect(await truth(first, refundNo)).toMatchObject({ queries: 1 });
  });

  it('do not look at a refund that another process is looking at, and do not forget it', async () => {
    const refund = await stuckRefund(first, { gateway: 'success' });
    await fault(first, 'slow', { outRefundNo: refund.refundNo, slowMs: 250, count: 1 });
    const slow = first.syncs.sync({ refundId: refund.id, source: 'operator' });
    await untilAsked(first, refund.refundNo);
    clock.advance(2 * SECOND_MS);
    expect(await second.sweeper.sweep()).toBe(1);
    await second.idle();
    expect(await truth(first, refund.refundNo)).toMatchObject({ queries: 1, maxConcurrentCalls: 1 });
    expect((await first.refund(refund.id)).nextSyncAt).not.toBeNull();
    await slow;
    expect(await first.refund(refund.id)).toMatchObject({ status: 'success' });
    await clearFaults(first);
  });

  it('leaves every invariant standing', () => assertInvariants(first, { now: clock.now() }));
});

describe('a backlog', () => {
  const clock = new FakeClock();
  let service: TestService;
  beforeAll(async () => {
    service = await startService({ clock });
  });
  afterEach(() => clearFaults(service));
  afterAll(() => service.close());

  async function due(count: number): Promise<StuckRefund[]> {
    const refunds = [];
    for (let index = 0; index < count; index += 1) {
      refunds.push(await stuckRefund(service, { gateway: 'success' }));
      clock.advance(5);
    }
    clock.advance(2 * SECOND_MS);
    return refunds;
  }

  it('is worked off oldest first, as far as the queue has room and no further', async () => {
    const refunds = await due(30);
    const submit = vi.spyOn(service.queue, 'submitMany');
    const room = vi.spyOn(service.queue, 'room').mockResolvedValue(0);
    expect(await service.sweeper.sweep()).toBe(0);
    room.mockResolvedValueOnce(7).mockResolvedValueOnce(5);
    expect(await service.sweeper.sweep()).toBe(12);

    const taken = submit.mock.calls.flatMap(([jobs]) => jobs.map(({ refundId }) => refundId));
    expect(taken).toEqual(refunds.slice(0, 12).map(({ id }) => id));
    expect(Math.max(...submit.mock.calls.map(([jobs]) => jobs.length))).toBe(7);
    room.mockRestore();
    submit.mockRestore();
    expect(await service.sweeper.sweep()).toBe(18);
    await service.idle();
    for (const { id, refundNo } of refunds) {
      expect(await service.refund(id)).toMatchObject({ status: 'success' });
      expect(await truth(service, refundNo)).toMatchObject({ queries: 1 });
    }
  });

  it('of a gateway that is down is neither hammered nor forgotten', async () => {
    const refunds = await due(40);
    await fault(service, 'reset');
    const before = await service.control<{ queries: number }>('/control/stats');
    await service.sweeper.sweep();
    await service.idle();

    const during = await service.control<{ queries: number }>('/control/stats');
    expect(during.queries - before.queries).toBeGreaterThan(0);
    expect(during.queries - before.queries).toBeLessThan(40);
    for (const { id } of refunds)
      expect(await service.refund(id)).toMatchObject({ status: 'progress', reserved: true });
    await assertInvariants(service, { now: clock.now() });
    await clearFaults(service);
    // The gateway is left alone for some seconds of real time.
    const ended = async () => {
      clock.advance(2 * MINUTE_MS);
      await service.sweeper.sweep();
      await service.idle();
      const rows = await Promise.all(refunds.map(({ id }) => service.refund(id)));
      return rows.filter(({ status }) => status === 'success').length;
    };
    await expect.poll(ended, { timeout: 10_000, interval: 200 }).toBe(40);
  });

  describe('in a queue that works on one at a time', () => {
    let narrow: TestService;
    beforeAll(async () => {
      narrow = await startService({ beside: service, clock, env: { SYNC_CONCURRENCY: '1' } });
    });
    afterAll(() => narrow.close());

    it('lets people who wait go first', async () => {
      const refunds = await due(12);
      await fault(service, 'slow', { slowMs: 60 });
      const { queries: before } = await service.control<{ queries: number }>('/control/stats');
      const sweeping = narrow.sweeper.sweep();
      await expect.poll(() => service.control('/control/stats')).toMatchObject({ queries: before + 1 });

      const answer = await narrow.merchant.syncRefund({ refundNo: refunds.at(-1)?.refundNo, reqTime: seconds(clock) });

      expect(answer).toMatchObject({ code: 0, data: { gatewayStatus: 'refund_success', repair: true } });
      // The one that was under way, the merchant's, and what began while the answer was on its way.
      const { queries } = await service.control<{ queries: number }>('/control/stats');
      expect(queries - before).toBeLessThan(8);
      await sweeping;
      await narrow.idle();
      for (const { refundNo } of refunds) expect(await truth(service, refundNo)).toMatchObject({ queries: 1 });
    });

    it('that died with its process is found again by the next one, after the claim and not before', async () => {
      const refunds = await due(10);
      await fault(service, 'slow', { slowMs: 300 });
      await narrow.sweeper.sweep();
      await narrow.stop();
      await clearFaults(service);
      const rows = await Promise.all(refunds.map(({ id }) => service.refund(id)));
      const left = rows.filter(({ status }) => status === 'progress');
      // What ran was finished, what waited was not begun.
      expect(left.length).toBeGreaterThanOrEqual(7);
      expect(rows.filter(({ status }) => status === 'success').length).toBeGreaterThanOrEqual(1);
      for (const { nextSyncAt, leaseToken } of left) expect([nextSyncAt === null, leaseToken]).toEqual([false, null]);

      const next = await startService({ beside: service, clock });
      expect(await next.sweeper.sweep()).toBe(0);
      clock.advance(next.app.get<AppConfig>(APP_CONFIG).claimMs + SECOND_MS);
      expect(await next.sweeper.sweep()).toBe(left.length);
      await next.idle();
      for (const { id, refundNo } of refunds) {
        expect(await next.refund(id)).toMatchObject({ status: 'success' });
        expect(await truth(service, refundNo)).toMatchObject({ queries: 1 });
      }
      await next.close();
    });
  });

  it('leaves every invariant standing', () => assertInvariants(service, { now: clock.now() }));
});

function seconds(clock: FakeClock): number {
  return Math.floor(clock.now().getTime() / 1000);
}

describe('the sweep by itself', () => {
  it('goes on after a round that failed, and finds a refund that nobody asks for', async () => {
    const service = await startService({ env: { SWEEP_INTERVAL_MS: '50' } });
    const claim = vi.spyOn(service.app.get(DueRefundService), 'claim');
    claim.mockRejectedValueOnce(new Error('the database is away'));
    const refund = await stuckRefund(service, { gateway: 'success' });
    await expect.poll(async () => (await service.refund(refund.id)).status, { timeout: 5_000 }).toBe('success');
    expect(await claim.mock.results[0]?.value.catch((error: Error) => error.message)).toBe('the database is away');
    expect((await service.history(refund.id)).syncs).toMatchObject([{ source: 'sweep' }]);
    await assertInvariants(service);
    await service.close();
  });
});

describe('time', () => {
  const clock = new FakeClock();
  let service: TestService;
  let time: Timeline;
  beforeAll(async () => {
    service = await startService({ clock });
    time = new Timeline(service, clock);
  });
  afterEach(async () => {
    await clearFaults(service);
    await changeAccount(service, { notFoundPolicy: 'review' });
    // Later tests sweep too: what is left over here is none of theirs.
    await service.db.read((manager) => manager.query("UPDATE refund SET nextSyncAt = NULL WHERE status <> 'progress'"));
  });
  afterAll(() => service.close());

  it('a month of looks follows the gateway’s schedule, then a person is asked, and the looks go on daily', async () => {
    const { id, refundNo } = await stuckRefund(service);
    const pauses: number[] = [];
    let refund = await service.refund(id);
    while (refund.status === 'progress') {
      const before = refund.nextSyncAt?.getTime() ?? NaN;
      refund = await time.nextLook(id);
      if (refund.status === 'progress') pauses.push((refund.nextSyncAt?.getTime() ?? NaN) - before);
      if (pauses.length > 400) throw new Error('it never ends');
    }

    expect(time.ageMs(refund)).toBeGreaterThanOrEqual(30 * DAY_MS);
    expect(time.ageMs(refund)).toBeLessThan(30.5 * DAY_MS);
    expect(refund).toMatchObject({ status: 'review', reserved: true, reviewReason: 'no end after 30 days of asking' });
    // The documented points, each met once within its jitter: 1, 2, 3, 4, 5, 10, 20, 40, 70 min, 24 hours, then every 6 h.
    const { scheduleMs } = wechatPolicy;
    expect(pauses.length).toBeGreaterThan(scheduleMs.length + 100);
    expect(pauses.length).toBeLessThan(scheduleMs.length + 130);
    let pointMs = 0;
    let lookMs = SECOND_MS;
    for (const [index, pauseMs] of pauses.entries()) {
      lookMs += pauseMs;
      const planned = scheduleMs[index];
      if (planned === undefined) {
        expect(pauseMs / (6 * HOUR_MS), `pause ${index}`).toBeGreaterThan(0.89);
        expect(pauseMs / (6 * HOUR_MS), `pause ${index}`).toBeLessThan(1.11);
        continue;
      }
      pointMs += planned;
      expect(Math.abs(lookMs - pointMs), `look ${index} at ${lookMs}, planned ${pointMs}`).toBeLessThan(
        planned * 0.1 + 2 * SECOND_MS,
      );
    }
    expect(await truth(service, refundNo)).toMatchObject({ queries: pauses.length + 1 });

    for (let day = 0; day < 3; day += 1) {
      expect((refund.nextSyncAt?.getTime() ?? NaN) - clock.now().getTime()).toBeGreaterThan(DAY_MS - MINUTE_MS);
      refund = await time.nextLook(id);
      expect(refund).toMatchObject({ status: 'review', version: 1 });
    }
    await assertInvariants(service, { now: clock.now() });
  });

  it('a gateway that cannot be asked for a month is a case too, not a verdict', async () => {
    const { id, refundNo } = await stuckRefund(service);
    await fault(service, 'http500', { outRefundNo: refundNo });
    for (const ageMs of [HOUR_MS, 10 * DAY_MS, 29 * DAY_MS]) {
      time.to(new Date((await service.refund(id)).registeredAt.getTime() + ageMs));
      expect(await time.nextLook(id)).toMatchObject({ status: 'progress' });
    }
    time.to(new Date((await service.refund(id)).registeredAt.getTime() + 30 * DAY_MS));
    const refund = await time.nextLook(id);
    expect(refund).toMatchObject({ status: 'review', reserved: true });
    expect(refund.reviewReason).toMatch(/^no end after 30 days of asking \(SYSTEM_ERROR/);
  });

  it('many merchants’ questions in a minute do not push the next look away', async () => {
    const { id } = await stuckRefund(service);
    for (let question = 0; question < 12; question += 1) await service.syncs.sync({ refundId: id, source: 'merchant' });
    const { nextSyncAt } = await service.refund(id);
    expect((nextSyncAt?.getTime() ?? NaN) - clock.now().getTime()).toBeLessThan(1.2 * MINUTE_MS);
  });

  describe('a refund that the gateway does not find', () => {
    it('is replication delay for a day, however often it is asked', async () => {
      const { id } = await stuckRefund(service, { gateway: 'unknown' });
      let refund = await service.refund(id);
      while (time.ageMs(refund) < DAY_MS) {
        expect(refund).toMatchObject({ status: 'progress', reserved: true });
        refund = await time.nextLook(id);
      }
      expect(refund.notFoundCount).toBeGreaterThan(20);
      expect(refund).toMatchObject({ status: 'review', reserved: true, statusBeforeReview: 'progress' });
      expect(refund.reviewReason).toMatch(
        /has not known this refund for its whole grace period .*: consider closing it/,
      );
      expect(await service.payment(refund.paymentId)).toMatchObject({ refundableBalance: 900 });
    });

    it('must have been missed five times, however old it is', async () => {
      const createdAt = new Date(clock.now().getTime() - 10 * DAY_MS).toISOString();
      const { id } = await stuckRefund(service, { gateway: 'unknown', more: { createdAt } });
      for (let look = 1; look <= 4; look += 1)
        expect(await time.nextLook(id)).toMatchObject({ status: 'progress', notFoundCount: look });
      expect(await time.nextLook(id)).toMatchObject({ status: 'review', notFoundCount: 5 });
    });

    it('and finds later starts again: what is counted is missing in a row', async () => {
      const createdAt = new Date(clock.now().getTime() - 10 * DAY_MS).toISOString();
      const refund = await stuckRefund(service, { gateway: 'unknown', more: { createdAt } });
      for (let look = 1; look <= 4; look += 1) await time.nextLook(refund.id);
      await setTruth(service, refund, 'processing');
      expect(await time.nextLook(refund.id)).toMatchObject({
        status: 'progress',
        notFoundCount: 0,
        notFoundSince: null,
      });
      await setTruth(service, refund, 'notFound');
      for (let look = 1; look <= 4; look += 1)
        expect(await time.nextLook(refund.id)).toMatchObject({ status: 'progress', notFoundCount: look });
    });

    it('is closed instead where the account says so, looked at for 30 days more, and then left in peace', async () => {
      await changeAccount(service, { notFoundPolicy: 'close' });
      const { id } = await stuckRefund(service, { gateway: 'unknown' });
      let refund = await service.refund(id);
      while (refund.status === 'progress') refund = await time.nextLook(id);

      expect(refund).toMatchObject({ status: 'close', reserved: false, errorCode: 'RESOURCE_NOT_EXISTS' });
      expect(await service.payment(refund.paymentId)).toMatchObject({ refundableBalance: 1000, status: 'success' });
      const { repairs, notifications } = await service.history(id);
      expect([repairs.length, notifications.map(({ refundStatus }) => refundStatus)]).toEqual([2, ['close']]);
      expect(await service.merchant.syncRefund({ refundId: id, reqTime: seconds(clock) })).toMatchObject({
        code: 20042,
      });

      const closedAt = clock.now().getTime();
      let looks = 0;
      while (refund.nextSyncAt !== null) {
        refund = await time.nextLook(id);
        looks += 1;
      }
      expect(refund).toMatchObject({ status: 'close', version: 1 });
      expect(looks).toBe(30);
      expect(clock.now().getTime() - closedAt).toBeLessThan(30.1 * DAY_MS);
    });

    it('and that was closed, but then has it after all, is taken from the balance again', async () => {
      await changeAccount(service, { notFoundPolicy: 'close' });
      const createdAt = new Date(clock.now().getTime() - 10 * DAY_MS).toISOString();
      const refund = await stuckRefund(service, { gateway: 'unknown', more: { createdAt } });
      for (let look = 1; look <= 5; look += 1) await time.nextLook(refund.id);
      expect(await service.refund(refund.id)).toMatchObject({ status: 'close' });
      await setTruth(service, refund, 'processing');
      const open = await time.nextLook(refund.id);
      expect(open).toMatchObject({ status: 'progress', reserved: true, errorCode: null });
      expect(await service.payment(refund.paymentId)).toMatchObject({ refundableBalance: 900 });
      // It was reopened, so it is looked at as one in progress is, not as one that had ended.
      expect((open.nextSyncAt?.getTime() ?? NaN) - clock.now().getTime()).toBeLessThan(7 * HOUR_MS);
      await setTruth(service, refund, 'success');
      expect(await time.nextLook(refund.id)).toMatchObject({ status: 'success', nextSyncAt: null });
    });
  });

  describe('a create that is lost again and again', () => {
    async function lostCreate(): Promise<string> {
      await settings(service, { defaultScript: [{ afterMs: 0, status: 'processing' }], autoCallback: false });
      const { businessNo } = await knownPayment(service);
      const created = await service.merchant.call<{ refundId: string }>('/unipay/refund', {
        businessNo,
        refundAll: true,
        refundNo: uniqueNo('R'),
        reqTime: seconds(clock),
      });
      return created.data?.refundId ?? '';
    }

    it('is sent again by the schedule, at ever longer pauses, and arrives once', async () => {
      await fault(service, 'lostRequest', { operation: 'create' });
      const id = await lostCreate();
      let refund = await service.refund(id);
      while (time.ageMs(refund) < 6 * HOUR_MS) refund = await time.nextLook(id);

      expect(refund).toMatchObject({ status: 'progress', createState: 'unknown', reserved: true });
      // Nine points in the first 70 minutes, then every hour.
      const { creates } = await truth(service, id);
      expect(creates).toBe(refund.createAttempts);
      expect(creates).toBeGreaterThan(10);
      expect(creates).toBeLessThan(20);
      await clearFaults(service);
      expect(await time.nextLook(id)).toMatchObject({ createState: 'acknowledged' });
      expect(await truth(service, id)).toMatchObject({
        creates: creates + 1,
        refundsAtGateway: 1,
        payment: { refunds: 1 },
      });
      const arrived = await time.nextLook(id);
      expect(arrived).toMatchObject({ status: 'progress', createState: 'acknowledged' });
    });

    it('is a case after 30 days, and never failed by itself', async () => {
      await fault(service, 'lostRequest', { operation: 'create' });
      const id = await lostCreate();
      time.to(new Date((await service.refund(id)).registeredAt.getTime() + 29 * DAY_MS));
      expect(await time.nextLook(id)).toMatchObject({ status: 'progress', createState: 'unknown' });
      time.to(new Date((await service.refund(id)).registeredAt.getTime() + 30 * DAY_MS));
      expect(await time.nextLook(id)).toMatchObject({ status: 'review', reserved: true });
    });
  });
});
