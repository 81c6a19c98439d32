import fc from 'fast-check';
import { GATEWAY_ERROR_KINDS } from '../../src/gateway/gateway.error.js';
import type { EchoedIdentity, Observation } from '../../src/gateway/observation.js';
import type { DecideInput, DecisionPolicy, RefundFacts } from '../../src/refund/decide.js';
import { REFUND_STATUSES } from '../../src/refund/refund-status.js';
import type { Refund } from '../../src/refund/refund.entity.js';
import { DAY_MS, HOUR_MS, MINUTE_MS } from '../../src/shared/clock.js';
import { ago, aGatewayPolicy, ahead, aPolicy, aRefund, MERCHANT_ID } from './refund-builders.js';

/** Everything that decide() is asked, at NOW. */
export interface Question {
  facts: RefundFacts;
  input: DecideInput;
  policy: DecisionPolicy;
}

/** Where the rules have their edges. */
const past = fc
  .constantFrom(0, 1, MINUTE_MS, HOUR_MS, DAY_MS - 1, DAY_MS, 3 * DAY_MS, 29 * DAY_MS, 30 * DAY_MS, 60 * DAY_MS)
  .map((ms) => ago(ms));
const around = fc.integer({ min: -60 * DAY_MS, max: 5 * DAY_MS }).map((ms) => ahead(ms));
/** What is usual, and once in a while what is not. */
const mostly = <T>(usual: readonly T[], unusual: readonly T[]): fc.Arbitrary<T> =>
  fc.nat(19).chain((n) => fc.constantFrom(...(n === 0 ? unusual : usual)));
const maybe = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | null> => fc.option(arbitrary, { nil: null });
/** Texts of gateways are as long as gateways like. */
const text = fc.constantFrom('', 'SYSTEM_ERROR', '退款失败', 'long '.repeat(200));

/** Rows as apply() can have written them: what is reserved follows from the status. */
const refunds: fc.Arbitrary<Refund> = fc
  .record({
    status: fc.constantFrom(...Array.from({ length: 4 }, () => 'progress' as const), ...REFUND_STATUSES),
    reservedInReview: fc.boolean(),
    version: fc.nat(9),
    source: fc.constantFrom('created', 'registered'),
    createState: fc.constantFrom('none', 'inFlight', 'unknown', 'unknown', 'acknowledged', 'refused'),
    createAttempts: fc.constantFrom(0, 1, 1, 2),
    lastCreateAt: maybe(past),
    createdAt: past,
    registeredAt: past,
    statusChangedAt: past,
    nextSyncAt: maybe(around),
    gatewayRefundNo: mostly(['G1', null], ['G2']),
    refundTime: maybe(past),
    notFoundCount: fc.constantFrom(0, 3, 4, 8),
    notFoundSince: maybe(past),
  })
  .map(({ reservedInReview, ...row }) => {
    const reserved = row.status === 'review' ? reservedInReview : row.status === 'progress' || row.status === 'success';
    return aRefund({ ...row, reserved });
  });

const identities: fc.Arbitrary<EchoedIdentity> = fc
  .record({
    gatewayRequestNo: mostly(['R1', undefined], ['X']),
    gatewayRefundNo: mostly(['G1', undefined], ['X']),
    outTradeNo: mostly(['T1', undefined], ['X']),
    gatewayPaymentNo: mostly(['GP1', undefined], ['X']),
    merchantId: mostly([MERCHANT_ID, undefined], ['X']),
  })
  .map((identity) => Object.fromEntries(Object.entries(identity).filter(([, value]) => value !== undefined)));

const answerBase = {
  authenticated: fc.constantFrom(true, true, false),
  identity: identities,
  raw: fc.record({ code: text, message: text, body: fc.constant({}) }),
};
const gatewayRefundNo = mostly(['G1', null], ['G2', 'G'.repeat(65), 'G1 ']);

const observations: fc.Arbitrary<Observation> = fc.oneof(
  fc.record({
    ...answerBase,
    kind: fc.constant('success' as const),
    amountMinor: mostly([100], [99, 101, 0, -100, NaN]),
    currency: mostly(['CNY'], ['USD', 'cny', '']),
    gatewayRefundNo,
    finishedAt: maybe(past),
  }),
  fc.record({ ...answerBase, kind: fc.constant('failed' as const), code: text, message: text, gatewayRefundNo }),
  fc.record({ ...answerBase, kind: fc.constant('processing' as const), gatewayRefundNo }),
  { weight: 2, arbitrary: fc.record({ ...answerBase, kind: fc.constant('notFound' as const) }) },
  fc.record({ ...answerBase, kind: fc.constant('abnormal' as const), message: text, gatewayRefundNo }),
);

const inputs = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('observation' as const),
      via: fc.constantFrom('query', 'query', 'query', 'callback', 'create', 'redrive'),
      observation: observations,
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('fault' as const),
      via: fc.constantFrom('query', 'create', 'redrive'),
      fault: fc.record({
        kind: fc.constantFrom('rejected' as const, ...GATEWAY_ERROR_KINDS),
        code: text,
        message: text,
        retryAfterMs: fc.option(fc.nat(HOUR_MS), { nil: undefined }),
        nothingHappened: fc.boolean(),
        notAsked: mostly([false], [true]),
      }),
    }),
  },
);

const pauses = fc.array(fc.integer({ min: 1, max: 2 * DAY_MS }), { minLength: 1, maxLength: 3 });

const policies: fc.Arbitrary<DecisionPolicy> = fc
  .record({
    scheduleMs: pauses,
    createReplay: fc.oneof(
      fc.constant({ mode: 'forever' as const }),
      fc.constant({ mode: 'never' as const }),
      fc.integer({ min: MINUTE_MS, max: 30 * DAY_MS }).map((ttlMs) => ({ mode: 'ttl' as const, ttlMs })),
    ),
    notFoundIsDistinguishable: fc.constantFrom(true, true, false),
    lateFailure: fc.boolean(),
    verifyAfterEnd: fc.option(fc.record({ scheduleMs: pauses, forMs: fc.nat(30 * DAY_MS) }), { nil: undefined }),
    notFoundGraceMs: fc.constantFrom(0, HOUR_MS, DAY_MS),
    notFoundPolicy: fc.constantFrom('review' as const, 'close' as const, 'close' as const),
    giveUpMs: fc.constantFrom(DAY_MS, 30 * DAY_MS, 90 * DAY_MS, 90 * DAY_MS),
    merchantId: maybe(fc.constant(MERCHANT_ID)),
    jitter: fc.constantFrom(-1, -0.3, 0, 1),
  })
  .map(({ scheduleMs, createReplay, notFoundIsDistinguishable, lateFailure, verifyAfterEnd, ...policy }) =>
    aPolicy(
      policy,
      aGatewayPolicy({ scheduleMs, createReplay, notFoundIsDistinguishable, lateFailure, verifyAfterEnd }),
    ),
  );

export const questions: fc.Arbitrary<Question> = fc
  .record({
    refund: refunds,
    refundableBalance: fc.constantFrom(0, 99, 100, 900),
    gatewayPaymentNo: mostly([null, 'GP1'], ['GP2']),
    gatewayRefundNoTaken: mostly([false], [true]),
    input: inputs,
    versionsAgo: mostly([0], [1, 2]),
    policy: policies,
  })
  .map(({ refund, refundableBalance, gatewayPaymentNo, gatewayRefundNoTaken, input, versionsAgo, policy }) => ({
    facts: { refund, refundableBalance, gatewayPaymentNo, gatewayRefundNoTaken },
    input: { ...input, askedAtVersion: refund.version - versionsAgo },
    policy,
  }));
