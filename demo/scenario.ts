import type { Credentials } from './signed-client.js';

/** Status of a refund in the words of the sandbox; `absent`: the gateway never heard of it. */
export type GatewayTruth = 'success' | 'closed' | 'processing' | 'abnormal' | 'absent';

/** What one sync must answer. The last four are members of `data`, so they go with code 0 alone. */
export interface ExpectedAnswer {
  code: number;
  gatewayStatus?: 'refund_success' | 'refund_fail' | 'refund_progress' | 'pay_not_found';
  success?: boolean;
  repair?: boolean;
}

/** A refund, what happens to it, and what must come of it. Amounts in fen. */
export interface RefundPlan {
  refundNo: string;
  /** For the table: what is special about it. */
  story: string;
  amount: number;
  /** `registered`: the merchant sent it, the service follows. `created`: by POST /unipay/refund. */
  way: 'registered' | 'created';
  truth: GatewayTruth;
  /** What the gateway holds, where that is not what was asked for. */
  gatewayAmount?: number;
  /** What goes wrong once, and in which call. */
  fault?: { operation: 'query' | 'create'; kind: string; slowMs?: number };
  /** How the merchant names the refund; `refundIdNumber` is the id as a bare JSON integer. */
  namedBy: 'refundNo' | 'refundId' | 'refundIdNumber';
  /** One for each sync. */
  calls: ExpectedAnswer[];
  /** The second sync is sent while the first one is under way. */
  overlapping?: boolean;
  end: {
    /** As operators see it: `review` is `progress` to merchants. */
    status: 'progress' | 'success' | 'fail' | 'review';
    /** Whether its amount is still taken from the payment's balance. */
    reserved: boolean;
    /** Status changes, each with one repair number. */
    changes: number;
  };
  /** Calls that the gateway may count. */
  most: { queries: number; creates: number };
}

export interface PaymentPlan {
  businessNo: string;
  app: keyof typeof APPS;
  channel: 'wechat_pay' | 'union_pay' | 'cash_pay';
  amount: number;
  refunds: RefundPlan[];
}

/** Two merchant systems, so that both digests are used. */
export const APPS = {
  default: { appId: 'default', signType: 'MD5' },
  branch: { appId: 'branch', signType: 'HMAC_SHA256' },
} as const satisfies Record<string, Omit<Credentials, 'secret'>>;

type Story = Omit<RefundPlan, 'refundNo' | 'amount' | 'namedBy'>;

const SUCCEEDS: ExpectedAnswer = { code: 0, gatewayStatus: 'refund_success', success: true, repair: true };
const FAILS: ExpectedAnswer = { code: 0, gatewayStatus: 'refund_fail', success: true, repair: true };
const WAITS: ExpectedAnswer = { code: 0, gatewayStatus: 'refund_progress', success: true, repair: false };
const NOT_FOUND: ExpectedAnswer = { code: 0, gatewayStatus: 'pay_not_found', success: true, repair: false };
const TO_A_PERSON: ExpectedAnswer = { code: 0, gatewayStatus: 'refund_progress', success: false, repair: false };
const COULD_NOT_ASK: ExpectedAnswer = { code: 20000 };
const IS_RUNNING: ExpectedAnswer = { code: 10007 };
const SETTLES_AT_ONCE: ExpectedAnswer = { code: 20030 };

const ASKED_ONCE = { queries: 1, creates: 0 };
const ASKED_TWICE = { queries: 2, creates: 0 };

const success: Story = {
  story: 'success',
  way: 'registered',
  truth: 'success',
  calls: [SUCCEEDS],
  end: { status: 'success', reserved: true, changes: 1 },
  most: ASKED_ONCE,
};
const closed: Story = {
  story: 'closed',
  way: 'registered',
  truth: 'closed',
  calls: [FAILS],
  end: { status: 'fail', reserved: false, changes: 1 },
  most: ASKED_ONCE,
};
const processing: Story = {
  story: 'processing',
  way: 'registered',
  truth: 'processing',
  calls: [WAITS],
  end: { status: 'progress', reserved: true, changes: 0 },
  most: ASKED_ONCE,
};
/** "Not found" is never "failed": it may be replication delay. The refund stays and is asked again later. */
const notFound: Story = {
  story: 'not found',
  way: 'registered',
  truth: 'absent',
  calls: [NOT_FOUND],
  end: { status: 'progress', reserved: true, changes: 0 },
  most: ASKED_ONCE,
};
const review: RefundPlan['end'] = { status: 'review', reserved: true, changes: 1 };
const abnormal: Story = {
  ...success,
  story: 'abnormal',
  truth: 'abnormal',
  calls: [TO_A_PERSON],
  end: review,
};
const otherAmount: Story = {
  ...success,
  story: 'success, another amount',
  gatewayAmount: 1,
  calls: [TO_A_PERSON],
  end: review,
};
/** A first answer that proves nothing changes nothing; the second one does. */
function after(kind: string, story: string): Story {
  return {
    ...success,
    story,
    fault: { operation: 'query', kind },
    calls: [COULD_NOT_ASK, SUCCEEDS],
    most: ASKED_TWICE,
  };
}
const late: Story = {
  ...success,
  story: 'found on the second look',
  fault: { operation: 'query', kind: 'notFoundThenFound' },
  calls: [NOT_FOUND, SUCCEEDS],
  most: ASKED_TWICE,
};
const takenBack: Story = {
  ...success,
  story: 'success, then failed',
  fault: { operation: 'query', kind: 'successThenFailed' },
  // Merchants saw `success` and now see `progress`: a repair, and a person must look.
  calls: [SUCCEEDS, { ...TO_A_PERSON, repair: true }],
  end: { status: 'review', reserved: true, changes: 2 },
  most: ASKED_TWICE,
};
const askedTwice: Story = {
  ...success,
  story: 'success, synced twice',
  calls: [SUCCEEDS, { ...SUCCEEDS, repair: false }],
  most: ASKED_TWICE,
};
const atTheSameTime: Story = {
  ...success,
  story: 'success, two syncs at once',
  fault: { operation: 'query', kind: 'slow', slowMs: 1_500 },
  calls: [SUCCEEDS, IS_RUNNING],
  overlapping: true,
};

const created = { way: 'created', most: { queries: 1, creates: 1 } } as const;
const lostAnswer: Story = {
  ...success,
  ...created,
  story: 'created, answer lost',
  fault: { operation: 'create', kind: 'lostAnswer' },
};
const lostRequest: Story = {
  ...success,
  ...created,
  story: 'created, request lost',
  fault: { operation: 'create', kind: 'lostRequest' },
  // The sync finds nothing and sends the very same request once more.
  most: { queries: 1, creates: 2 },
};
const refused: Story = {
  ...closed,
  ...created,
  story: 'created, refused',
  truth: 'absent',
  fault: { operation: 'create', kind: 'refused' },
  // It failed when it was created; the sync only confirms that there is nothing.
  calls: [NOT_FOUND],
};
/** UnionPay must not be sent a refund twice: one that got lost stays open, and after a day of "not found" a person looks. */
const lostForGood: Story = {
  ...notFound,
  ...created,
  story: 'created, lost, not sent again',
  fault: { operation: 'create', kind: 'lostRequest' },
};
/** "See the reconciliation file": as good as no answer, so it is asked again. */
const unclear: Story = { ...processing, story: 'state unclear', truth: 'abnormal' };

const cash: Story = {
  story: 'cash, settled at once',
  way: 'registered',
  truth: 'absent',
  calls: [SETTLES_AT_ONCE],
  end: { status: 'success', reserved: true, changes: 1 },
  most: { queries: 0, creates: 0 },
};

/** Payments by app and channel, each with its refunds. */
const PLAN: readonly [PaymentPlan['app'], PaymentPlan['channel'], Story[]][] = [
  ['default', 'wechat_pay', [success, closed, processing]],
  ['default', 'wechat_pay', [success, success, success]],
  ['default', 'wechat_pay', [closed, closed, closed]],
  ['default', 'wechat_pay', [notFound, otherAmount, abnormal]],
  ['default', 'wechat_pay', [success, notFound, processing]],
  ['default', 'wechat_pay', [after('badSignature', 'success, first a forged answer'), success, late]],
  ['default', 'wechat_pay', [after('http500', 'success, first a 500'), closed, takenBack]],
  ['default', 'wechat_pay', [after('reset', 'success, first a cut line'), askedTwice, atTheSameTime]],
  ['default', 'wechat_pay', [{ ...success, ...created, story: 'created' }, lostAnswer, lostRequest]],
  ['default', 'wechat_pay', [{ ...closed, ...created, story: 'created, closed' }, refused, success]],
  ['default', 'wechat_pay', [{ ...processing, ...created, story: 'created, processing' }, abnormal, otherAmount]],
  ['branch', 'wechat_pay', [success, closed, processing]],
  ['branch', 'wechat_pay', [success, { ...closed, ...created, story: 'created, closed' }, notFound]],
  ['default', 'union_pay', [success, closed, after('badSignature', 'success, first a forged answer')]],
  ['branch', 'union_pay', [lostAnswer, lostForGood, unclear]],
  ['default', 'cash_pay', [cash, cash, { ...cash, way: 'created', story: 'created, cash' }]],
];

const PAYMENT_AMOUNT = 10_000;
const NAMED_BY = ['refundNo', 'refundId', 'refundIdNumber'] as const;

/**
 * What the demo does, and what truth demands of it.
 *
 * @param forCurl number of one more refund, that is left for the reader to repair.
 */
export function scenario(forCurl: string): PaymentPlan[] {
  let count = 0;
  const payments = PLAN.map(([app, channel, stories], at): PaymentPlan => ({
    businessNo: `PAY-${String(at + 1).padStart(4, '0')}`,
    app,
    channel,
    amount: PAYMENT_AMOUNT,
    refunds: stories.map((story) => {
      count += 1;
      const number = String(count).padStart(3, '0');
      return {
        ...story,
        // Merchants number their refunds as they like; here and there one is Chinese.
        refundNo: count % 10 === 0 ? `退款${number}` : `R-${number}`,
        amount: 1_000 + 10 * count,
        ...(story.gatewayAmount === undefined ? {} : { gatewayAmount: 990 + 10 * count }),
        namedBy: NAMED_BY[count % NAMED_BY.length] ?? 'refundNo',
      };
    }),
  }));
  const last: RefundPlan = { ...success, refundNo: forCurl, amount: 1_000, namedBy: 'refundNo', calls: [] };
  payments.push({ businessNo: 'PAY-CURL', app: 'default', channel: 'wechat_pay', amount: 1_000, refunds: [last] });
  return payments;
}
