import { createServer, type Server } from 'node:net';
import { inspect } from 'node:util';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import type { AccountVariant } from '../../sandbox/gateway.js';
import { createSandbox, type Sandbox } from '../../sandbox/server.js';
import type { ConfigField } from '../../src/gateway/config-schema.js';
import { parseConfig } from '../../src/gateway/config-schema.js';
import { GatewayAccountService } from '../../src/gateway/gateway-account.service.js';
import { GatewayError, type GatewayErrorKind } from '../../src/gateway/gateway.error.js';
import {
  CallbackRejected,
  type RawCallback,
  type RefundGateway,
  type RefundOrder,
} from '../../src/gateway/gateway.port.js';
import type { Observation, ObservationKind } from '../../src/gateway/observation.js';
import { DAY_MS, HOUR_MS, MINUTE_MS } from '../../src/shared/clock.js';
import { uniqueNo } from './builders.js';
import { probe, settingsFor } from './connector-probe.js';
import { FakeClock } from './fake-clock.js';
import { caughtRequest } from './caught-request.js';
import { assertInvariants } from './invariants.js';
import { startService, type TestService } from './service.js';
import { steer, type Json, type Steering } from './steer.js';

/** What the sandbox has of a refund. */
const TRUTHS = ['processing', 'success', 'failed', 'closed', 'abnormal', 'notFound'] as const;
type Truth = (typeof TRUTHS)[number];

/** What a gateway differs in; everything else every connector must do alike. */
export interface ContractSubject<Config> {
  gateway: RefundGateway<Config>;
  /** Of the sandbox's account, where the gateway can be spoken to in two ways. */
  variant?: AccountVariant;
  /** Settings that the sandbox cannot know. */
  settings?: Json;
  /** The refund that is asked about on the wire: 100 of 1000 minor units. */
  order: RefundOrder;
  /** What a proven answer says of each of the sandbox's truths, in the words that the gateway has. */
  statuses: Readonly<Record<Truth, ObservationKind>>;
  /** Settings of somebody else: what is signed or sent with them must be refused. */
  wrongCredentials: Json;
  /** False where TLS alone proves an answer (Stripe): then no answer has a signature to be wrong. */
  signsAnswers?: boolean;
  /** What the control API must know of the payment of `order`. */
  payment?: Json;
  /** What the control API must know of a refund, so that it calls back in this way. */
  refund?: Json;
  /** What the gateway calls a new payment, where creates name it by the gateway's number: `own` where it has no other. */
  gatewayPaymentNo?: { own: boolean; next: () => string };
  /** The sandbox goes by the service's clock, which is moved along: where a request names a time and no signature does. */
  sharesClock?: true;
}

const TIMEOUT_MS = 400;

/**
 * What every connector must do, on the wire and with the service behind it. A connector joins with one file that calls this; what its gateway
 * does that no other does has tests of its own.
 */
export function gatewayContract<Config>(subject: ContractSubject<Config>): void {
  const { gateway } = subject;
  const currency = subject.order.currency;
  describe(`the contract: ${gateway.displayName}`, () => {
    let sandbox: Sandbox;
    let config: Config;
    let control: Steering;
    beforeAll(async () => {
      sandbox = await createSandbox();
      config = settingsFor(sandbox, gateway, {
        ...(subject.variant === undefined ? {} : { variant: subject.variant }),
        ...(subject.settings === undefined ? {} : { more: subject.settings }),
      });
      control = steer(sandbox, gateway.channel, currency);
    });
    afterAll(() => sandbox.close());
    const { gatewayRequestNo: refundNo, outTradeNo } = subject.order;
    beforeEach(async () => {
      await control.reset();
      await control.settings({ autoCallback: false });
      await control.payment(outTradeNo, subject.payment);
    });

    const { query, create, order } = probe(gateway, () => config, subject.order);
    const secretsOf = (): string[] => {
      const fields = gateway.config as Record<string, ConfigField>;
      return Object.entries(config as Record<string, unknown>).flatMap(([name, value]) =>
        fields[name]?.secret === true && typeof value === 'string'
          ? value.split('\n').filter((line) => line.length > 5)
          : [],
      );
    };
    const expectNoSecret = (what: unknown): void => {
      const text = inspect(what, { depth: 12, showHidden: true, maxStringLength: null });
      for (const secret of secretsOf()) expect(text).not.toContain(secret);
    };
    async function errorOf(call: Promise<Observation>): Promise<GatewayError> {
      const outcome: unknown = await call.catch((error: unknown) => error);
      expect(outcome).toBeInstanceOf(GatewayError);
      expectNoSecret(outcome);
      return outcome as GatewayError;
    }
    const atGateway = async (): Promise<unknown> => (await control.truth(refundNo)).refundsAtGateway;

    describe('settings', () => {
      it('say of each what it is, with an example, and which are secret', () => {
        const fields = Object.entries(gateway.config as Record<string, ConfigField>);
        expect(fields.length).toBeGreaterThan(0);
        for (const [name, { description, example }] of fields)
          expect([name, description.length > 5, example.length > 0]).toEqual([name, true, true]);
        expect(secretsOf().length).toBeGreaterThan(0);
      });

      it('that are missing, unknown or of the wrong kind are named', () => {
        const required = Object.entries(gateway.config as Record<string, ConfigField>).filter(
          ([, field]) => field.required,
        );
        const named = (input: Json) => parseConfig(gateway.config, input).faults.map(({ field }) => field);
        expect(named({})).toEqual(expect.arrayContaining(required.map(([name]) => name)));
        expect(named({ ...(config as Json), nonsense: 'x' })).toEqual(['nonsense']);
        const [first = ''] = Object.keys(config as Json);
        expect(named({ ...(config as Json), [first]: 42 })).toContain(first);
        expect(named(config as Json)).toEqual([]);
      });
    });

    describe('a query', () => {
      it.each(TRUTHS)('about a refund that is %s says so in our words, proven, and names no secret', async (truth) => {
        const expected = subject.statuses[truth];
        await control.refund(refundNo, outTradeNo, truth);
        const observation = await query();
        expect(observation).toMatchObject({ kind: expected, authenticated: true });
        expect(observation.raw.code.length).toBeGreaterThan(0);
        expect(observation.raw.code.length).toBeLessThanOrEqual(64);
        expect(JSON.stringify(observation.raw.body).length).toBeLessThanOrEqual(4_096);
        expectNoSecret(observation);
      });

      it('that finds a success has its amount and currency, and echoes the number', async () => {
        await control.refund(refundNo, outTradeNo, 'success');
        expect(await query()).toMatchObject({
          ...{ kind: 'success', amountMinor: 100, currency },
          identity: { gatewayRequestNo: refundNo },
        });
      });

      it('that finds another amount says which', async () => {
        await control.refund(refundNo, outTradeNo, 'success', { amount: 101 });
        expect(await query()).toMatchObject({ kind: 'success', amountMinor: 101 });
      });

      const FAULTS: [fault: string, kind: GatewayErrorKind][] = [
        ['timeout', 'unavailable'],
        ['reset', 'unavailable'],
        ['http500', 'unavailable'],
        ['malformed', 'unavailable'],
        ['http429', 'rateLimited'],
        ...(subject.signsAnswers === false ? [] : [['badSignature', 'unavailable'] as [string, GatewayErrorKind]]),
      ];
      it.each(FAULTS)('that meets %s is %s, was sent once, and says nothing of the refund', async (fault, kind) => {
        await control.refund(refundNo, outTradeNo, 'failed');
        await control.fault(fault, { count: 1, operation: 'query' });
        const error = await errorOf(query({}, config, TIMEOUT_MS));
        expect(error).toMatchObject({ kind, nothingHappened: false, notAsked: false });
        expect(error.message.length).toBeLessThanOrEqual(300);
        expect(await control.truth(refundNo)).toMatchObject({ queries: 1 });
        expect(await query()).toMatchObject({ kind: subject.statuses.failed });
      });

      it('with the settings of somebody else is refused as such', async () => {
        await control.refund(refundNo, outTradeNo, 'success');
        const error = await errorOf(query({}, { ...config, ...subject.wrongCredentials }));
        expect(error.kind).toBe('badConfig');
      });

      it('ends at its time-out, however the answer comes, and when it is given up', async () => {
        await control.refund(refundNo, outTradeNo, 'success');
        await control.fault('timeout', { operation: 'query' });
        const startedMs = performance.now();
        expect(await errorOf(query({}, config, TIMEOUT_MS))).toMatchObject({ kind: 'unavailable', code: 'timeout' });
        const abort = new AbortController();
        setTimeout(() => abort.abort(), 100);
        const givenUp = gateway.queryRefund({ config, order: order(), signal: abort.signal, timeoutMs: 30_000 });
        expect((await errorOf(givenUp)).kind).toBe('unavailable');
        expect(performance.now() - startedMs).toBeLessThan(10_000);
      });
    });

    describe('a create', () => {
      it('is prepared the same each time, and taken', async () => {
        const prepared = () => gateway.prepareCreate?.(order(), config);
        expect(prepared()).toBe(prepared());
        const observation = await create();
        expect(observation).toMatchObject({ authenticated: true });
        expect(observation.kind).toBeOneOf(['processing', 'success']);
        expectNoSecret([observation, prepared()]);
        expect(await control.truth(refundNo)).toMatchObject({ creates: 1, refundsAtGateway: 1, amount: 100 });
      });

      it('that is repeated is one refund', async () => {
        await create();
        const outcome = await create().catch((error: unknown) => error);
        if (gateway.policy.createReplay.mode === 'never')
          expect(outcome).toMatchObject({ name: 'GatewayError', nothingHappened: false });
        else expect(outcome).toMatchObject({ authenticated: true });
        expect(await atGateway()).toBe(1);
      });

      it.each([{ amountMinor: 0 }, { amountMinor: 1.5 }, { amountMinor: NaN }, { gatewayRequestNo: '' }])(
        'that cannot be expressed (%o) is refused before anything is sent',
        (over) => {
          const prepare = (): unknown => gateway.prepareCreate?.(order(over), config);
          expect(prepare).toThrow(GatewayError);
          expect(prepare).toThrow(expect.objectContaining({ kind: 'rejected', nothingHappened: true }) as Error);
        },
      );

      const FAULTS: [fault: string, kind: GatewayErrorKind, made: number | 'any'][] = [
        ['lostRequest', 'ambiguous', 0],
        ['lostAnswer', 'ambiguous', 1],
        ['timeout', 'ambiguous', 'any'],
        ['reset', 'ambiguous', 'any'],
        ['http500', 'ambiguous', 'any'],
        ['malformed', 'ambiguous', 'any'],
        ['http429', 'rateLimited', 0],
        ...(subject.signsAnswers === false
          ? []
          : [['badSignature', 'ambiguous', 'any'] as [string, GatewayErrorKind, 'any']]),
      ];
      it.each(FAULTS)('that meets %s is %s, and was sent once', async (fault, kind, made) => {
        await control.fault(fault, { count: 1, operation: 'create' });
        expect(await errorOf(create({}, config, TIMEOUT_MS))).toMatchObject({ kind, nothingHappened: false });
        if (made !== 'any') expect(await atGateway()).toBe(made);
      });

      it('that is refused with a code that means so made nothing', async () => {
        await control.fault('refused', { count: 1, operation: 'create' });
        expect(await errorOf(create())).toMatchObject({ kind: 'rejected', nothingHappened: true });
        expect(await atGateway()).toBe(0);
      });
    });

    describe('proxies', () => {
      const NAMES = ['HTTP_PROXY', 'HTTPS_PROXY', 'ALL_PROXY', 'http_proxy', 'https_proxy', 'all_proxy'];
      afterEach(() => vi.unstubAllEnvs());

      /** What is signed for a gateway goes to the address in its settings, and not by whoever sets a variable. */
      it('of the environment get to see nothing', async () => {
        let visits = 0;
        const trap: Server = createServer((socket) => {
          visits += 1;
          socket.destroy();
        });
        await new Promise<void>((resolve) => trap.listen(0, '127.0.0.1', resolve));
        for (const name of NAMES) vi.stubEnv(name, `http://127.0.0.1:${(trap.address() as AddressInfo).port}`);
        for (const name of ['NO_PROXY', 'no_proxy']) vi.stubEnv(name, '');
        // A config of its own: connectors keep their connections by it.
        expect(await create({}, { ...config })).toMatchObject({ authenticated: true });
        await query({}, { ...config });
        expect(visits).toBe(0);
        await new Promise((resolve) => trap.close(resolve));
      });
    });

    describe('a callback', () => {
      const handler = gateway.callback;

      async function caught(truth: Truth, more: Json = {}): Promise<RawCallback> {
        await control.refund(refundNo, outTradeNo, truth, subject.refund);
        const { headers, body } = await caughtRequest((url) => control.callBack(refundNo, url, more));
        return { headers, body, receivedAt: new Date() };
      }
      const receive = (raw: RawCallback) => handler?.receive(raw, config) ?? null;

      it('that is genuine says which refund, and no secret; sent again it has the same key', async () => {
        const raw = await caught('success');
        const message = receive(raw);
        expect(message?.eventKey.length).toBeGreaterThan(0);
        expect(message?.eventKey.length).toBeLessThanOrEqual(128);
        expect(message?.gatewayRequestNo ?? message?.gatewayRefundNo).not.toBeNull();
        expect(message?.observation.kind).toBeOneOf(['success', 'processing']);
        expectNoSecret(message);
        expect(receive(raw)?.eventKey).toBe(message?.eventKey);
      });

      const SPOILED: [string, (raw: RawCallback) => RawCallback][] = [
        ['without its body', (raw) => ({ ...raw, body: Buffer.alloc(0) })],
        ['cut short', (raw) => ({ ...raw, body: raw.body.subarray(0, Math.floor(raw.body.length / 2)) })],
        ['of no form at all', (raw) => ({ ...raw, body: Buffer.from('[]') })],
        [
          'with bytes that are no text',
          (raw) => ({ ...raw, body: Buffer.concat([Buffer.from([0xff, 0xfe]), raw.body]) }),
        ],
      ];
      it.each(SPOILED)('%s is refused', async (_how, spoil) => {
        const raw = await caught('success');
        expect(() => receive(spoil(raw))).toThrow(CallbackRejected);
      });

      it.each(['signature', 'serial', 'truncated'])(
        'whose %s was tampered with is refused, and says why',
        async (tamper) => {
          const raw = await caught('success', { tamper });
          expect(() => receive(raw)).toThrow(CallbackRejected);
          expect(() => receive(raw)).toThrow(expect.not.objectContaining({ message: '' }) as Error);
        },
      );

      it('of another merchant’s gateway is refused', async () => {
        const other = await createSandbox();
        const elsewhere = steer(other, gateway.channel, currency);
        await elsewhere.settings({ autoCallback: false });
        await elsewhere.payment(outTradeNo, subject.payment);
        await elsewhere.refund(refundNo, outTradeNo, 'success', subject.refund);
        const foreign = await caughtRequest((url) => elsewhere.callBack(refundNo, url));
        await other.close();
        expect(() => receive({ ...foreign, receivedAt: new Date() })).toThrow(CallbackRejected);
      });

      it('is acknowledged and refused in the gateway’s own form', () => {
        expect(handler?.accepted.status).toBeGreaterThanOrEqual(200);
        expect(handler?.accepted.status).toBeLessThan(300);
        expect(handler?.rejected).not.toEqual(handler?.accepted);
        for (const { contentType, body } of [handler?.accepted, handler?.rejected].filter((one) => one !== undefined))
          expect([contentType.includes('/'), typeof body]).toEqual([true, 'string']);
      });
    });
  });

  oneIntentOneRefund(subject);
}

/** I8 with the service: whatever is lost, repeated or refused, the gateway has one refund for one intent, or none and a person is asked. */
function oneIntentOneRefund<Config>(subject: ContractSubject<Config>): void {
  const { gateway } = subject;
  const { mode } = gateway.policy.createReplay;
  const account = 'contract';
  describe(`I8: ${gateway.displayName}`, () => {
    const clock = new FakeClock();
    let sandbox: Sandbox;
    let service: TestService;
    let control: Steering;
    beforeAll(async () => {
      sandbox = await createSandbox(subject.sharesClock === true ? { now: () => clock.now().getTime() } : {});
      // The merchant's clock is not moved along.
      service = await startService({ clock, sandbox, env: { REQ_TIME_WINDOW_S: '0' } });
      control = steer(sandbox, gateway.channel, subject.order.currency);
      const config = settingsFor(sandbox, gateway, {
        ...(subject.variant === undefined ? {} : { variant: subject.variant }),
        more: { ...subject.settings },
      });
      await service.app.get(GatewayAccountService).put(account, { channel: gateway.channel, config: config as Json });
    });
    beforeEach(async () => {
      await control.clearFaults();
      await control.settings({ autoCallback: false, defaultScript: [{ afterMs: 0, status: 'success' }] });
    });
    afterAll(async () => {
      await service.close();
      await sandbox.close();
    });

    const created = async (): Promise<string> => {
      const { currency } = subject.order;
      const businessNo = uniqueNo('PAYMENT');
      const number = subject.gatewayPaymentNo?.next();
      if (number !== undefined && subject.gatewayPaymentNo?.own === true) await control.payment(number);
      else await control.payment(businessNo, number === undefined ? {} : { transactionId: number });
      const known = await service.admin('POST', '/admin/payments', {
        ...{ businessNo, channel: gateway.channel, amount: 1000, currency, gatewayAccountId: account },
        ...(number === undefined ? {} : { gatewayPaymentNo: number }),
      });
      expect(known.httpStatus, JSON.stringify(known.body)).toBe(201);
      const { data, text } = await service.merchant.call<{ refundId: string }>('/unipay/refund', {
        ...{ businessNo, refundAll: false, refundNo: uniqueNo('REFUND') },
        refundChannels: [{ channel: gateway.channel, amount: 100 }],
      });
      expect(data?.refundId, text).toBeDefined();
      return data?.refundId ?? '';
    };
    const look = (refundId: string) => service.syncs.sync({ refundId, source: 'operator' });
    /** Looks whenever the refund is due, until it has ended, a person is asked, or `forMs` are over. */
    const seeThrough = async (id: string, forMs: number): Promise<string> => {
      const until = clock.now().getTime() + forMs;
      for (;;) {
        const { status, nextSyncAt } = await service.refund(id);
        if (status !== 'progress' || nextSyncAt === null || nextSyncAt.getTime() > until) return status;
        clock.advance(Math.max(1_000, nextSyncAt.getTime() - clock.now().getTime()));
        await look(id);
      }
    };
    const counted = async (id: string) => {
      const { refundsAtGateway, creates } = await control.truth(id);
      return { refunds: Number(refundsAtGateway), creates: Number(creates) };
    };

    it('nothing is lost', async () => {
      const id = await created();
      expect(await seeThrough(id, DAY_MS)).toBe('success');
      expect(await counted(id)).toEqual({ refunds: 1, creates: 1 });
    });

    it('the request is lost', async () => {
      await control.fault('lostRequest', { count: 1, operation: 'create' });
      const id = await created();
      expect(await seeThrough(id, 3 * DAY_MS)).toBe(mode === 'never' ? 'review' : 'success');
      expect(await counted(id)).toEqual(mode === 'never' ? { refunds: 0, creates: 1 } : { refunds: 1, creates: 2 });
    });

    it('the answer is lost', async () => {
      await control.fault('lostAnswer', { count: 1, operation: 'create' });
      const id = await created();
      expect(await seeThrough(id, DAY_MS)).toBe('success');
      expect(await counted(id)).toEqual({ refunds: 1, creates: 1 });
    });

    it('the request is lost, and then the answer of its repeat', async () => {
      await control.fault('lostRequest', { count: 1, operation: 'create' });
      const id = await created();
      await control.fault('lostAnswer', { count: 1, operation: 'create' });
      expect(await seeThrough(id, 3 * DAY_MS)).toBe(mode === 'never' ? 'review' : 'success');
      expect(await counted(id)).toEqual(mode === 'never' ? { refunds: 0, creates: 1 } : { refunds: 1, creates: 2 });
    });

    it('the answer is lost, the gateway finds it late, and refuses the repeat', async () => {
      await control.fault('lostAnswer', { count: 1, operation: 'create' });
      await control.fault('notFoundThenFound', { count: 2 });
      const id = await created();
      await control.fault('refused', { count: 1, operation: 'create' });
      expect(await seeThrough(id, 3 * DAY_MS)).toBe('success');
      expect((await counted(id)).refunds).toBe(1);
    });

    it('the request is lost, and every repeat refused: a person is asked, and told why', async () => {
      await control.fault('lostRequest', { count: 1, operation: 'create' });
      const id = await created();
      await control.fault('refused', { operation: 'create' });
      expect(await seeThrough(id, 5 * DAY_MS)).toBe('review');
      expect(await service.refund(id)).toMatchObject({ reserved: true, reviewCode: 'createUnknown' });
      expect((await counted(id)).refunds).toBe(0);
    });

    it.runIf(mode === 'ttl')(
      'the gateway forgets the key: nothing is sent after that, and a person is asked',
      async () => {
        await control.fault('lostRequest', { operation: 'create' });
        const id = await created();
        const { createReplay } = gateway.policy;
        const ttlMs = createReplay.mode === 'ttl' ? createReplay.ttlMs : 0;
        expect(await seeThrough(id, ttlMs - MINUTE_MS)).toBe('progress');
        const { creates } = await counted(id);
        expect(creates).toBeGreaterThan(1);
        await control.clearFaults();
        clock.advance(2 * HOUR_MS);
        await look(id);
        expect(await service.refund(id)).toMatchObject({ status: 'review', reserved: true });
        expect(await counted(id)).toEqual({ refunds: 0, creates });
      },
    );

    it.runIf(mode === 'forever')(
      'the gateway never forgets: three days later the same request is one refund',
      async () => {
        await control.fault('lostRequest', { operation: 'create' });
        const id = await created();
        expect(await seeThrough(id, 3 * DAY_MS)).toBe('progress');
        await control.clearFaults();
        expect(await seeThrough(id, 3 * DAY_MS)).toBe('success');
        expect((await counted(id)).refunds).toBe(1);
      },
    );

    it('leaves every invariant standing', () => assertInvariants(service, { now: clock.now() }));
  });
}
