import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { aGatewayPolicy, NOW, said } from '../../test/support/refund-builders.js';
import type { AppConfig } from '../config/app-config.js';
import { GatewayCaller } from './gateway.caller.js';
import { GatewayError } from './gateway.error.js';
import type { ResolvedAccount } from './gateway-account.service.js';
import type { GatewayCall, RefundGateway, RefundOrder } from './gateway.port.js';
import type { Observation } from './observation.js';
import type { GatewayPacing } from './pacing/gateway-pacing.service.js';
import type { Turn } from './pacing/turn.js';

const SECRET = 's3cret-api-key';
const TIMEOUT_MS = 10_000;

const order: RefundOrder = {
  gatewayRequestNo: 'R1',
  gatewayRequestTime: NOW,
  gatewayRefundNo: null,
  outTradeNo: 'T1',
  gatewayPaymentNo: null,
  amountMinor: 100,
  paymentAmountMinor: 1000,
  currency: 'CNY',
  reason: null,
  clientIp: null,
};

/** Every call may go out at once; how calls are paced is told elsewhere. */
const freeTurn = { begin: async () => undefined, over: () => undefined, end: () => undefined } as unknown as Turn;
const freePacing = { turn: async () => freeTurn } as unknown as GatewayPacing;
const caller = new GatewayCaller(freePacing, { gatewayTimeoutMs: 15_000 } as AppConfig);

type Connector = Pick<RefundGateway, 'queryRefund'> & Partial<Pick<RefundGateway, 'sendCreate' | 'redrive'>>;

function anAccount(connector: Partial<Connector>): ResolvedAccount {
  const gateway = {
    code: 'shop',
    channel: 'wechat_pay',
    displayName: 'Shop Pay',
    policy: aGatewayPolicy({ timeoutMs: TIMEOUT_MS }),
    ...connector,
  } as unknown as RefundGateway;
  return {
    account: { id: 'shop-1' },
    gateway,
    config: { key: SECRET },
    secrets: [SECRET],
  } as unknown as ResolvedAccount;
}

type Operation = 'query' | 'create';
const OPERATIONS: readonly Operation[] = ['query', 'create'];

/** One call to a connector that does this, whatever it is asked. */
function calls(
  operation: Operation,
  connector: (call: GatewayCall<unknown>) => Promise<Observation>,
): Promise<Observation> {
  return operation === 'query'
    ? caller.query(anAccount({ queryRefund: connector }), order)
    : caller.create(anAccount({ sendCreate: connector }), order, 'payload');
}

async function errorOf(call: Promise<unknown>): Promise<GatewayError> {
  const error: unknown = await call.then(
    () => 'answered',
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(GatewayError);
  return error as GatewayError;
}

const hangs = (): Promise<never> => new Promise(() => undefined);

describe('a call', () => {
  it('hands the connector what it needs, and its answer back', async () => {
    const queryRefund = vi.fn(async (_call: GatewayCall<unknown>): Promise<Observation> => said.processing());
    await expect(caller.query(anAccount({ queryRefund }), order)).resolves.toEqual(said.processing());
    expect(queryRefund.mock.calls[0]?.[0]).toMatchObject({ config: { key: SECRET }, order, timeoutMs: TIMEOUT_MS });
  });

  it('to create sends the very text that was prepared', async () => {
    const sendCreate = vi.fn(async (_call: GatewayCall<unknown>, _payload: string): Promise<Observation> =>
      said.processing(),
    );
    await caller.create(anAccount({ sendCreate }), order, '{"a": 1 }');
    expect(sendCreate.mock.calls[0]?.[1]).toBe('{"a": 1 }');
  });

  it('is made once, whatever comes of it', async () => {
    const queryRefund = vi.fn(async () => Promise.reject(new GatewayError('unavailable', 'reset', { code: 'reset' })));
    await errorOf(caller.query(anAccount({ queryRefund }), order));
    expect(queryRefund).toHaveBeenCalledTimes(1);
  });

  it('to create is refused, with nothing claimed, where the gateway takes none', async () => {
    const error = await errorOf(caller.create(anAccount({}), order, 'payload'));
    expect(error).toMatchObject({ kind: 'rejected', code: 'not_offered', nothingHappened: false });
  });
});

describe('a re-drive', () => {
  const card = { to: 'payerCard', bankCode: 'ICBC_DEBIT', accountNo: '6222021234567890', holderName: '张三' } as const;

  it('hands the connector the card, and what comes back repeats none of it', async () => {
    const redrive = vi.fn(async () =>
      Promise.reject(new GatewayError('rejected', 'card 6222021234567890 is not served', { code: 'PARAM_ERROR' })),
    );
    const error = await errorOf(caller.redrive(anAccount({ redrive }), order, card));
    expect(redrive).toHaveBeenCalledWith(expect.objectContaining({ order }), card);
    expect(error.message).toBe('card *** is not served');
  });

  it('whose answer is lost is ambiguous; where it is not offered it is refused', async () => {
    const lost = () => Promise.reject(new Error('socket hang up'));
    expect(await errorOf(caller.redrive(anAccount({ redrive: lost }), order, card))).toMatchObject({
      kind: 'ambiguous',
    });
    expect(await errorOf(caller.redrive(anAccount({}), order, card))).toMatchObject({
      kind: 'rejected',
      code: 'not_offered',
    });
  });
});

describe('the deadline', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it.each([
    ['query', 'unavailable'],
    ['create', 'ambiguous'],
  ] as const)('makes a lost answer to a %s %s, and tells the connector to give up', async (operation, kind) => {
    let signal: AbortSignal | undefined;
    const error = errorOf(
      calls(operation, (call) => {
        signal = call.signal;
        return hangs();
      }),
    );
    await vi.advanceTimersByTimeAsync(TIMEOUT_MS - 1);
    expect(signal?.aborted).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    expect(await error).toMatchObject({ kind, code: 'timeout', nothingHappened: false });
    expect(signal?.aborted).toBe(true);
  });

  it('holds although the connector pays no heed to it, and its late answer harms nobody', async () => {
    const late = calls(
      'create',
      () => new Promise((_resolve, reject) => setTimeout(() => reject(new Error('late')), 60_000)),
    );
    const error = errorOf(late);
    await vi.advanceTimersByTimeAsync(120_000);
    expect((await error).kind).toBe('ambiguous');
  });

  it('leaves no timer behind', async () => {
    await calls('query', async () => said.processing());
    await errorOf(calls('query', () => Promise.reject(new Error('at once'))));
    expect(vi.getTimerCount()).toBe(0);
  });

  it('is never later than the service allows', async () => {
    const hurried = new GatewayCaller(freePacing, { gatewayTimeoutMs: 2_000 } as AppConfig);
    const error = errorOf(hurried.query(anAccount({ queryRefund: hangs }), order));
    await vi.advanceTimersByTimeAsync(2_000);
    expect((await error).code).toBe('timeout');
  });
});

describe('what a connector throws', () => {
  it.each([
    ['query', 'unavailable'],
    ['create', 'ambiguous'],
  ] as const)('by mistake in a %s leaves as %s, without its cause', async (operation, kind) => {
    const request = { headers: { authorization: `Bearer ${SECRET}` } };
    const mistake = Object.assign(new TypeError(`cannot read ${SECRET}`), { request, cause: request });
    const error = await errorOf(calls(operation, () => Promise.reject(mistake)));
    expect(error).toMatchObject({ kind, code: 'connector_fault', nothingHappened: false });
    expect(error.message).toBe('the connector failed: TypeError: cannot read ***');
    expect(error.cause).toBeUndefined();
    expect(inspect(error, { depth: 10 })).not.toContain(SECRET);
  });

  it.each(OPERATIONS)('before its first await in a %s leaves in the same way', async (operation) => {
    const error = await errorOf(
      calls(operation, () => {
        throw new RangeError('at once');
      }),
    );
    expect(error.code).toBe('connector_fault');
  });

  it('need not be an error', async () => {
    // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- libraries do.
    const error = await errorOf(calls('query', () => Promise.reject(`status ${SECRET}`)));
    expect(error.message).toBe('the connector failed: status ***');
  });

  it('as a GatewayError keeps what decides, and loses every secret and its cause', async () => {
    const thrown = new GatewayError('rejected', `refused with ${SECRET}`, {
      code: `CODE_${SECRET}`,
      nothingHappened: true,
      retryAfterMs: 5_000,
      raw: { code: `C-${SECRET}`, message: `m ${SECRET}`, body: { deep: { key: [SECRET] }, kept: 1 } },
      cause: { key: SECRET },
    });
    const error = await errorOf(calls('create', () => Promise.reject(thrown)));
    expect(error).toMatchObject({
      kind: 'rejected',
      message: 'refused with ***',
      code: 'CODE_***',
      nothingHappened: true,
      retryAfterMs: 5_000,
      raw: { code: 'C-***', message: 'm ***', body: { deep: { key: ['***'] }, kept: 1 } },
    });
    expect(error.cause).toBeUndefined();
    expect(inspect(error, { depth: 10 })).not.toContain(SECRET);
  });

  it('claims nothing that was not said', async () => {
    const error = await errorOf(
      calls('create', () => Promise.reject(new GatewayError('rejected', 'no', { code: 'NO' }))),
    );
    expect([error.nothingHappened, error.retryAfterMs, error.raw]).toEqual([false, undefined, undefined]);
  });

  it('is cut to what a record can hold', async () => {
    const thrown = new GatewayError('rejected', 'm'.repeat(900), { code: 'C'.repeat(900) });
    const error = await errorOf(calls('query', () => Promise.reject(thrown)));
    expect([error.message.length, error.code.length]).toEqual([300, 64]);
  });
});

describe('what a gateway answers', () => {
  const raw = { code: `C-${SECRET}`, message: `m ${SECRET}`, body: { echo: SECRET, kept: 1 } };
  const clean = { code: 'C-***', message: 'm ***', body: { echo: '***', kept: 1 } };

  it.each(['success', 'processing', 'notFound'] as const)(
    'as %s is kept, its raw answer without secrets',
    async (kind) => {
      const answer = said[kind]();
      await expect(calls('query', async () => ({ ...answer, raw }))).resolves.toEqual({ ...answer, raw: clean });
    },
  );

  // Only the raw answer was redacted, but code and message of a failure are stored with the refund and answered to merchants.
  it('as a failure has its code and message without secrets, too', async () => {
    const answer = said.failed({ raw, code: `F-${SECRET}`, message: `failed with ${SECRET}` });
    await expect(calls('query', async () => answer)).resolves.toEqual({
      ...answer,
      raw: clean,
      code: 'F-***',
      message: 'failed with ***',
    });
  });

  it('as abnormal has its message without secrets, too', async () => {
    const answer = said.abnormal({ raw, message: `card ${SECRET}` });
    await expect(calls('query', async () => answer)).resolves.toEqual({ ...answer, raw: clean, message: 'card ***' });
  });
});
