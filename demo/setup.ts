import { randomBytes } from 'node:crypto';
import type { MerchantReceiver } from './merchant-receiver.js';
import type { Operator } from './operator.js';
import { APPS, type PaymentPlan, type RefundPlan } from './scenario.js';
import { SignedClient, type RefundAnswer } from './signed-client.js';

/** A refund that the service and the sandbox know of. */
export interface Subject {
  plan: RefundPlan;
  payment: PaymentPlan;
  merchant: SignedClient;
  /** Of the service, 19 digits. */
  id: string;
  /** The number under which the gateway knows it. */
  gatewayRequestNo: string;
}

export type Merchants = Record<keyof typeof APPS, SignedClient>;

/** A client for each app, both with an address for notifications; the second app is made here. */
export async function merchants(
  operator: Operator,
  url: string,
  defaultSecret: string,
  receiver: MerchantReceiver,
): Promise<Merchants> {
  const branchSecret = randomBytes(16).toString('hex');
  const { appId, signType } = APPS.branch;
  await operator.admin('PUT', `/admin/apps/${appId}`, { name: 'Branch', signType, signSecret: branchSecret });
  for (const [id, secret] of [
    [APPS.default.appId, defaultSecret],
    [appId, branchSecret],
  ] as const)
    await operator.admin('PUT', `/admin/apps/${id}`, { notifyUrl: receiver.addressFor(id, secret) });
  return {
    default: new SignedClient(url, { ...APPS.default, secret: defaultSecret }),
    branch: new SignedClient(url, { ...APPS.branch, secret: branchSecret }),
  };
}

/** Brings the sandbox and the service to where the story begins: refunds that hang, and a gateway that knows better. */
export async function setUp(
  operator: Operator,
  clients: Merchants,
  payments: readonly PaymentPlan[],
  onRefund: () => void,
): Promise<Subject[]> {
  // A gateway that never calls back, and works on what it was sent until it is told what becomes of it.
  for (const channel of ['wechat_pay', 'union_pay']) {
    const defaultScript = script('processing');
    await operator.sandbox('POST', '/control/settings', { channel, autoCallback: false, defaultScript });
  }
  const subjects: Subject[] = [];
  for (const payment of payments) {
    await makePayment(operator, payment);
    for (const plan of payment.refunds) {
      const merchant = clients[payment.app];
      const subject =
        plan.way === 'registered'
          ? await register(operator, payment, plan)
          : await create(operator, merchant, payment, plan);
      if (plan.fault?.operation === 'query') await addFault(operator, payment, plan.fault, subject.gatewayRequestNo);
      subjects.push({ ...subject, plan, payment, merchant });
      onRefund();
    }
  }
  return subjects;
}

/** A payment that the gateway has taken, and the service is told of. */
async function makePayment(operator: Operator, { businessNo, channel, amount, app }: PaymentPlan): Promise<void> {
  // UnionPay refunds a payment by its own number of it.
  const queryId = channel === 'union_pay' ? businessNo.replace(/\D/g, '').padStart(21, '0') : undefined;
  if (channel !== 'cash_pay') {
    const payment = { channel, outTradeNo: businessNo, amount, currency: 'CNY' };
    await operator.sandbox('POST', '/control/payments', queryId ? { ...payment, transactionId: queryId } : payment);
  }
  const payment = { appId: app, businessNo, channel, amount };
  await operator.admin('POST', '/admin/payments', queryId ? { ...payment, gatewayPaymentNo: queryId } : payment);
}

/** Gateways take ASCII alone, and UnionPay letters and digits, eight at least: merchants with other numbers send another one there. */
function numberAtGateway(refundNo: string, channel: PaymentPlan['channel']): string {
  return channel === 'union_pay'
    ? `DEMO${refundNo.replace(/\D/g, '').padStart(4, '0')}`
    : refundNo.replace('退款', 'CN-');
}

type Made = Pick<Subject, 'id' | 'gatewayRequestNo'>;

/** Follow mode: the gateway has the refund from the merchant, the service is told to follow it. */
async function register(operator: Operator, payment: PaymentPlan, plan: RefundPlan): Promise<Made> {
  const { businessNo, channel, app } = payment;
  const { refundNo, amount } = plan;
  const gatewayRequestNo = numberAtGateway(refundNo, channel);
  if (plan.truth !== 'absent') await tellGateway(operator, payment, plan, gatewayRequestNo);
  const { id } = await operator.admin<{ id: string }>('POST', '/admin/refunds', {
    appId: app,
    refundNo,
    channel,
    amount,
    ...(gatewayRequestNo === refundNo ? {} : { gatewayRequestNo }),
    // UnionPay finds a refund by its number and the time at which it was sent.
    ...(channel === 'union_pay' ? { gatewayRequestTime: new Date().toISOString() } : {}),
    payment: { businessNo, amount: payment.amount },
  });
  return { id, gatewayRequestNo };
}

/** Full mode: the service itself sends the refund to the gateway, under its own id. */
async function create(
  operator: Operator,
  merchant: SignedClient,
  payment: PaymentPlan,
  plan: RefundPlan,
): Promise<Made> {
  const { refundNo, amount, fault } = plan;
  if (fault?.operation === 'create') await addFault(operator, payment, fault);
  const answer = await merchant.call<RefundAnswer>('/unipay/refund', {
    businessNo: payment.businessNo,
    refundNo,
    refundAll: false,
    refundChannels: [{ channel: payment.channel, amount }],
    reason: 'demo',
  });
  if (answer.code !== 0 || answer.data === null)
    throw new Error(`${refundNo} was not created: ${JSON.stringify(answer)}`);
  const { refundId } = answer.data;
  if (plan.truth !== 'absent') await tellGateway(operator, payment, plan, refundId);
  return { id: refundId, gatewayRequestNo: refundId };
}

/** What the gateway holds from now on; of a create that was lost on the way, what it will hold once that arrives. */
async function tellGateway(
  operator: Operator,
  payment: PaymentPlan,
  plan: RefundPlan,
  outRefundNo: string,
): Promise<void> {
  await operator.sandbox('POST', '/control/refunds', {
    channel: payment.channel,
    outRefundNo,
    outTradeNo: payment.businessNo,
    amount: plan.gatewayAmount ?? plan.amount,
    currency: 'CNY',
    script: script(plan.truth),
    ...(plan.fault?.kind === 'lostRequest' ? { awaitCreate: true } : {}),
  });
}

function addFault(
  operator: Operator,
  { channel }: PaymentPlan,
  fault: NonNullable<RefundPlan['fault']>,
  outRefundNo?: string,
): Promise<unknown> {
  const aim = outRefundNo === undefined ? {} : { outRefundNo };
  return operator.sandbox('POST', '/control/faults', { channel, rate: 1, count: 1, ...fault, ...aim });
}

function script(status: string): { afterMs: number; status: string }[] {
  return [{ afterMs: 0, status }];
}
