import type { GatewayErrorKind } from '../../src/gateway/gateway.error.js';
import type { GatewayPolicy } from '../../src/gateway/gateway.port.js';
import type {
  AbnormalObservation,
  FailedObservation,
  NotFoundObservation,
  Observation,
  ObservationKind,
  ProcessingObservation,
  SuccessObservation,
} from '../../src/gateway/observation.js';
import type { GatewayCallKind } from '../../src/gateway/refusal-rules.js';
import type { AnswerSource, DecideInput, DecisionPolicy, GatewayFault, RefundFacts } from '../../src/refund/decide.js';
import { newRefund } from '../../src/refund/new-refund.js';
import { Payment } from '../../src/refund/payment.entity.js';
import type { Refund } from '../../src/refund/refund.entity.js';
import type { RefundStatus } from '../../src/refund/refund-status.js';
import { addMs, DAY_MS, HOUR_MS, MINUTE_MS } from '../../src/shared/clock.js';

/** The moment at which the stories about one refund are told. */
export const NOW = new Date('2026-03-01T12:00:00.000Z');
export const ago = (ms: number): Date => addMs(NOW, -ms);
export const ahead = (ms: number): Date => addMs(NOW, ms);

export const AMOUNT = 100;
export const MERCHANT_ID = 'MCH1';

/** In progress, registered an hour ago; 100 fen of a payment of 1000. */
export function aRefund(changes: Partial<Refund> = {}): Refund {
  const payment: Payment = Object.assign(new Payment(), {
    id: '1000000000000000001',
    appId: 'default',
    businessNo: 'P1',
    channel: 'wechat_pay',
    gatewayAccountId: 'wechat-main',
    outTradeNo: 'T1',
    currency: 'CNY',
    amount: 1000,
  });
  const registeredAt = changes.registeredAt ?? ago(HOUR_MS);
  const refund = newRefund(
    {
      id: '1000000000000000002',
      refundNo: 'R1',
      gatewayRequestNo: 'R1',
      amount: AMOUNT,
      source: 'registered',
      createdAt: registeredAt,
      nextSyncAt: NOW,
      version: 3,
    },
    payment,
    registeredAt,
  );
  return Object.assign(refund, changes);
}

/** A refund that we made ourselves and whose create got no believable answer. */
export function aLostCreate(changes: Partial<Refund> = {}): Refund {
  const sentAt = changes.createdAt ?? ago(HOUR_MS);
  return aRefund({
    source: 'created',
    createState: 'unknown',
    createAttempts: 1,
    createdAt: sentAt,
    registeredAt: sentAt,
    lastCreateAt: sentAt,
    createPayload: '{}',
    ...changes,
  });
}

/** A refund whose create is under way for the first time. */
export function aFirstSend(changes: Partial<Refund> = {}): Refund {
  return aLostCreate({ createdAt: NOW, createState: 'inFlight', ...changes });
}

/** A refund as it plausibly stands in a status; ends are two hours old. */
export function aRefundIn(status: RefundStatus, changes: Partial<Refund> = {}): Refund {
  const ended = { status, statusChangedAt: ago(2 * HOUR_MS), registeredAt: ago(3 * HOUR_MS), nextSyncAt: null };
  switch (status) {
    case 'progress':
      return aRefund(changes);
    case 'success':
      return aRefund({ ...ended, refundTime: ago(3 * HOUR_MS), gatewayRefundNo: 'G1', ...changes });
    case 'fail':
      return aRefund({ ...ended, reserved: false, errorCode: 'CLOSED', errorMsg: 'closed', ...changes });
    case 'close':
      return aRefund({ ...ended, reserved: false, nextSyncAt: ahead(HOUR_MS), ...changes });
    case 'review':
      return aRefund({
        ...ended,
        nextSyncAt: NOW,
        statusBeforeReview: 'progress',
        reviewCode: 'abnormal',
        reviewReason: 'the gateway reports an abnormal refund',
        ...changes,
      });
  }
}

export function factsOf(refund: Refund, changes: Partial<RefundFacts> = {}): RefundFacts {
  return { refund, refundableBalance: 900, gatewayPaymentNo: null, gatewayRefundNoTaken: false, ...changes };
}

/** What a gateway says of the refund of aRefund(), signed. */
const base = { authenticated: true, identity: {} };
export const said = {
  success: (changes: Partial<SuccessObservation> = {}): SuccessObservation => ({
    ...base,
    kind: 'success',
    amountMinor: AMOUNT,
    currency: 'CNY',
    gatewayRefundNo: 'G1',
    finishedAt: ago(10 * MINUTE_MS),
    raw: { code: 'SUCCESS', message: '', body: {} },
    ...changes,
  }),
  failed: (changes: Partial<FailedObservation> = {}): FailedObservation => ({
    ...base,
    kind: 'failed',
    code: 'CLOSED',
    message: 'the gateway closed it',
    gatewayRefundNo: 'G1',
    raw: { code: 'CLOSED', message: '', body: {} },
    ...changes,
  }),
  processing: (changes: Partial<ProcessingObservation> = {}): ProcessingObservation => ({
    ...base,
    kind: 'processing',
    gatewayRefundNo: 'G1',
    raw: { code: 'PROCESSING', message: '', body: {} },
    ...changes,
  }),
  notFound: (changes: Partial<NotFoundObservation> = {}): NotFoundObservation => ({
    ...base,
    kind: 'notFound',
    raw: { code: 'RESOURCE_NOT_EXISTS', message: 'no such refund', body: {} },
    ...changes,
  }),
  abnormal: (changes: Partial<AbnormalObservation> = {}): AbnormalObservation => ({
    ...base,
    kind: 'abnormal',
    message: 'the card is void',
    gatewayRefundNo: 'G1',
    raw: { code: 'ABNORMAL', message: '', body: {} },
    ...changes,
  }),
};

export function saidThat(kind: ObservationKind, changes: Partial<Observation> = {}): Observation {
  return { ...said[kind](), ...changes } as Observation;
}

export type Via = AnswerSource;

/** The answer to a question that was asked of this very version of the refund. */
export function answered(refund: Refund, observation: Observation, via: Via = 'query'): DecideInput {
  return { kind: 'observation', via, observation, askedAtVersion: refund.version };
}

export function aFault(kind: GatewayErrorKind, changes: Partial<GatewayFault> = {}): GatewayFault {
  return { kind, code: 'timeout', message: 'no answer within 10000 ms', nothingHappened: false, ...changes };
}

export function faulted(refund: Refund, fault: GatewayFault, via: GatewayCallKind = 'query'): DecideInput {
  return { kind: 'fault', via, fault, askedAtVersion: refund.version };
}

/** Looks after 1, 3, 8 minutes, then every ten. */
export function aGatewayPolicy(changes: Partial<GatewayPolicy> = {}): GatewayPolicy {
  return {
    timeoutMs: 10_000,
    scheduleMs: [MINUTE_MS, 2 * MINUTE_MS, 5 * MINUTE_MS, 10 * MINUTE_MS],
    notFoundGraceMs: DAY_MS,
    createReplay: { mode: 'never' },
    notFoundIsDistinguishable: true,
    lateFailure: false,
    rate: { perSecond: 100, concurrency: 20 },
    ...changes,
  };
}

export function aPolicy(changes: Partial<DecisionPolicy> = {}, gateway: Partial<GatewayPolicy> = {}): DecisionPolicy {
  return {
    gateway: aGatewayPolicy(gateway),
    notFoundGraceMs: DAY_MS,
    notFoundPolicy: 'review',
    giveUpMs: 30 * DAY_MS,
    merchantId: MERCHANT_ID,
    offersRedrive: false,
    jitter: 0,
    ...changes,
  };
}

/** A write to a frozen value throws: what must not be changed is handed over frozen. */
export function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) {
    Object.values(value).forEach(deepFreeze);
    Object.freeze(value);
  }
  return value;
}
