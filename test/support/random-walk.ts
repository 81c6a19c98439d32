import fc from 'fast-check';
import { expect } from 'vitest';
import { OPERATOR_COMMANDS, type OperatorCommand } from '../../src/refund/decide-command.js';
import { DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS } from '../../src/shared/clock.js';
import { knownPayment, stuckRefund, uniqueNo } from './builders.js';
import type { FakeClock } from './fake-clock.js';
import { callBack, callbacksWorkedOn, CHANNEL, clearFaults, fault, setTruth, truth } from './gateway.js';
import { assertInvariants } from './invariants.js';
import type { TestService } from './service.js';

/** A refund as the walk knows it. */
interface Followed {
  id: string;
  /** The number under which the gateway knows it. */
  no: string;
  refundNo: string;
  businessNo: string;
  /** What the gateway has said it was, the present last; empty while it has never heard of it. */
  truths: string[];
  /** What operators have made of it. */
  settledAs: string[];
}

interface Walk {
  businessNo: string;
  paymentId: string;
  refunds: Followed[];
  /** Something happened after which a person may have to look, whatever the gateway says in the end. */
  mayNeedPerson: boolean;
  startedAtMs: number;
}

type Model = Record<string, never>;

/** Where a refund can go at WeChat Pay: an end is an end. */
const MOVES: Record<string, readonly string[]> = {
  processing: ['success', 'closed', 'abnormal'],
  abnormal: ['success', 'closed'],
};

const FAULTS = [
  'reset',
  'http500',
  'http429',
  'malformed',
  'badSignature',
  'wrongAmount',
  'notFoundThenFound',
  'lostRequest',
  'lostAnswer',
  'refused',
] as const;

/** What the gateway can say of a refund that an operator has closed without taking the close back. */
const CLOSED_STAYS: ReadonlySet<string> = new Set(['notFound', 'closed']);

const MAX_REFUNDS = 5;
const GIVE_UP_MS = 30 * DAY_MS;

/** Random orders of everything that can happen to a handful of refunds of one payment. */
export class RandomWalk {
  /** Statuses that any refund had at any time. */
  readonly visited: string[] = [];
  private walk: Walk = { businessNo: '', paymentId: '', refunds: [], mayNeedPerson: false, startedAtMs: 0 };

  constructor(
    private readonly service: TestService,
    private readonly clock: FakeClock,
  ) {}

  /** A payment of 400, for refunds of 100: the fifth is refused. */
  async begin(): Promise<{ model: Model; real: RandomWalk }> {
    await clearFaults(this.service);
    const { businessNo, id } = await knownPayment(this.service, { amount: 400 });
    this.walk = {
      businessNo,
      paymentId: id,
      refunds: [],
      mayNeedPerson: false,
      startedAtMs: this.clock.now().getTime(),
    };
    return { model: {}, real: this };
  }

  commands() {
    const which = fc.nat(MAX_REFUNDS - 1);
    return fc.commands(
      [
        fc.boolean().map((known) => command(`register(${known})`, (walk) => walk.register(known))),
        fc.constant(command('create', (walk) => walk.create())),
        fc.constant(command('create', (walk) => walk.create())),
        fc
          .tuple(which, fc.constantFrom('merchant', 'operator', 'sweep'))
          .map(([index, by]) => command(`sync(${index}, ${by})`, (walk) => walk.sync(index, by))),
        fc
          .tuple(which, fc.nat(3))
          .map(([index, age]) => command(`callback(${index}, ${age})`, (walk) => walk.callback(index, age))),
        fc
          .tuple(which, fc.nat(2))
          .map(([index, move]) => command(`change(${index}, ${move})`, (walk) => walk.change(index, move))),
        fc
          .tuple(fc.constantFrom(...FAULTS), fc.integer({ min: 1, max: 3 }))
          .map(([kind, count]) => command(`fault(${kind}, ${count})`, (walk) => walk.fault(kind, count))),
        fc
          .constantFrom(20 * SECOND_MS, 2 * MINUTE_MS, HOUR_MS, 7 * HOUR_MS, 2 * DAY_MS)
          .map((ms) => command(`advance(${ms / SECOND_MS} s)`, (walk) => walk.advance(ms))),
        fc
          .tuple(which, fc.constantFrom(...OPERATOR_COMMANDS))
          .map(([index, what]) => command(`resolve(${index}, ${what})`, (walk) => walk.resolve(index, what))),
        fc.constant(command('sweep', (walk) => walk.sweep())),
        which.map((index) => command(`race(${index})`, (walk) => walk.race(index))),
      ],
      { maxCommands: 30, size: 'max' },
    );
  }

  /** Leads a few refunds through every status there is, so that no check depends on where chance goes. */
  async directed(): Promise<void> {
    await this.begin();
    for (const known of [true, true, true, false]) await this.register(known);
    for (const index of [0, 1, 2]) await this.sync(index, 'merchant');
    for (const index of [0, 1, 2]) {
      await this.change(index, index);
      await this.sync(index, 'operator');
    }
    this.clock.advance(25 * HOUR_MS);
    for (let look = 0; look < 5; look += 1) await this.sync(3, 'sweep');
    await this.resolve(3, 'close');
    await this.resolve(2, 'redrive');
    await this.sync(2, 'sweep');
    await this.settle();
  }

  /** The gateway works again and time goes by: now every refund must be where the gateway says it is. */
  async settle(): Promise<void> {
    await clearFaults(this.service);
    for (let day = 0; day < 3; day += 1) {
      this.clock.advance(25 * HOUR_MS);
      await this.sweep();
    }
    const longAgo = this.clock.now().getTime() - this.walk.startedAtMs >= GIVE_UP_MS;
    for (const refund of this.walk.refunds) {
      const { status, createState } = await this.see(refund);
      const now = await truth(this.service, refund.no);
      const allowed = {
        success: ['success'],
        closed: ['fail'],
        processing: ['progress'],
        abnormal: ['review'],
        notFound: createState === 'refused' ? ['fail'] : ['progress', 'review'],
      }[now.status];
      const byOperator = refund.settledAs.filter((settled) => settled !== 'close' || CLOSED_STAYS.has(now.status));
      const person =
        refund.settledAs.length > 0 ||
        this.walk.mayNeedPerson ||
        longAgo ||
        refund.truths.includes('abnormal') ||
        refund.truths.length === 0;
      expect(
        [...(allowed ?? []), ...byOperator, ...(person ? ['review'] : [])],
        `${refund.refundNo} at the gateway: ${now.status}`,
      ).toContain(status);
      // What the service sent has arrived, unless it was refused.
      if (refund.no !== refund.id) continue;
      const arrived = createState !== 'refused';
      // An operator's word ends it, also where nothing has arrived.
      if (refund.settledAs.includes('success')) expect(now.refundsAtGateway).toBeLessThanOrEqual(1);
      else expect(now.refundsAtGateway).toBe(arrived ? 1 : 0);
    }
  }

  private async register(known: boolean): Promise<void> {
    if (this.walk.refunds.length >= MAX_REFUNDS) return;
    const { businessNo, paymentId } = this.walk;
    const fits = (await this.service.payment(paymentId)).refundableBalance >= 100;
    const registering = stuckRefund(this.service, {
      businessNo,
      gateway: known && fits ? 'processing' : 'unknown',
      paymentAmount: 400,
    });
    if (!fits) {
      await expect(registering).rejects.toThrow('409');
      return;
    }
    const refund = await registering;
    this.walk.refunds.push({ ...refund, no: refund.refundNo, truths: known ? ['processing'] : [], settledAs: [] });
  }

  private async create(): Promise<void> {
    if (this.walk.refunds.length >= MAX_REFUNDS) return;
    const { businessNo } = this.walk;
    const refundNo = uniqueNo('R');
    const fields = { businessNo, refundNo, refundChannels: [{ channel: CHANNEL, amount: 100 }] };
    const { code, data, msg } = await this.service.merchant.call<{ refundId: string }>('/unipay/refund', fields);
    if (code !== 0) {
      expect(msg).toContain('可退余额');
      return;
    }
    const id = data?.refundId ?? '';
    this.walk.refunds.push({ id, no: id, refundNo, businessNo, truths: ['processing'], settledAs: [] });
  }

  private async sync(index: number, by: string): Promise<void> {
    const refund = this.walk.refunds[index];
    if (!refund) return;
    if (by === 'merchant') {
      const { code } = await this.service.merchant.syncRefund({ refundNo: refund.refundNo });
      expect([0, 20000, 20042]).toContain(code);
    } else if (by === 'operator') {
      const { httpStatus } = await this.service.admin('POST', `/admin/refunds/${refund.id}/sync`);
      expect(httpStatus).toBe(200);
    } else {
      await this.service.syncs.sync({ refundId: refund.id, source: 'sweep' });
    }
    await this.see(refund);
  }

  /** Of what the gateway has said of it at some time; 0 is the newest. */
  private async callback(index: number, age: number): Promise<void> {
    const refund = this.walk.refunds[index];
    const told = refund?.truths.filter((status) => status !== 'processing').at(-1 - age);
    if (!refund || told === undefined) return;
    expect(await callBack(this.service, refund.no, { status: told })).toMatchObject({ status: 200 });
    await callbacksWorkedOn(this.service);
    await this.see(refund);
  }

  private async change(index: number, move: number): Promise<void> {
    const refund = this.walk.refunds[index];
    if (!refund) return;
    const moves = MOVES[refund.truths.at(-1) ?? ''];
    const next = refund.truths.length === 0 ? 'processing' : moves?.[move % moves.length];
    if (next === undefined) return;
    // A create that was lost has nothing at the gateway that could change.
    if (refund.no === refund.id && (await truth(this.service, refund.no).catch(() => null))?.refundsAtGateway !== 1)
      return;
    await setTruth(this.service, { ...refund, refundNo: refund.no }, next);
    refund.truths.push(next);
  }

  /** As an operator who looks at the case, whether or not it may be. */
  private async resolve(index: number, what: OperatorCommand): Promise<void> {
    const refund = this.walk.refunds[index];
    if (!refund) return;
    const { version } = await this.service.refund(refund.id);
    const path = `/admin/refunds/${refund.id}/resolve`;
    const asked = { command: what, note: 'a walk', expectedVersion: version };
    const shown = await this.service.admin<{ preview?: { digest: string; status: { to: string } } }>('POST', path, {
      ...asked,
      dryRun: true,
      ...(what === 'redrive' ? { redrive: { to: 'merchantAccount' } } : {}),
    });
    expect([200, 409], JSON.stringify(shown.body)).toContain(shown.httpStatus);
    const { preview } = shown.body;
    if (!preview) return;
    const done = await this.service.admin('POST', path, { ...asked, preview: preview.digest });
    expect(done.httpStatus, JSON.stringify(done.body)).toBe(200);
    if (what !== 'keepWaiting') refund.settledAs.push(preview.status.to);
    await this.service.idle();
    if (what === 'redrive') {
      const { status } = await truth(this.service, refund.no);
      if (status !== refund.truths.at(-1)) refund.truths.push(status);
    }
    await this.see(refund);
  }

  private async fault(kind: (typeof FAULTS)[number], count: number): Promise<void> {
    if (kind === 'wrongAmount') this.walk.mayNeedPerson = true;
    await fault(this.service, kind, { count, rate: 0.7, seed: count });
  }

  private async advance(ms: number): Promise<void> {
    this.clock.advance(ms);
  }

  private async sweep(): Promise<void> {
    await this.service.sweeper.sweep();
    await this.service.idle();
    for (const refund of this.walk.refunds) await this.see(refund);
  }

  /** Everybody at once. */
  private async race(index: number): Promise<void> {
    const refund = this.walk.refunds[index];
    if (!refund) return;
    await Promise.all([
      this.service.merchant.syncRefund({ refundNo: refund.refundNo }),
      this.service.syncs.sync({ refundId: refund.id, source: 'sweep' }),
      this.callback(index, 0),
      this.service.sweeper.sweep(),
    ]);
    await this.service.idle();
  }

  private async see(refund: Followed) {
    const row = await this.service.refund(refund.id);
    if (!this.visited.includes(row.status)) this.visited.push(row.status);
    return row;
  }
}

function command(name: string, act: (walk: RandomWalk) => Promise<void>): fc.AsyncCommand<Model, RandomWalk> {
  return { check: () => true, run: (_model, walk) => act(walk), toString: () => name };
}

/** A whole walk, checked at its end. */
export function walks(service: TestService, clock: FakeClock) {
  const walk = new RandomWalk(service, clock);
  const property = fc.asyncProperty(walk.commands(), async (commands) => {
    await fc.asyncModelRun(() => walk.begin(), commands);
    await walk.settle();
    await assertInvariants(service, { now: clock.now() });
  });
  return { walk, property };
}
