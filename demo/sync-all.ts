import { setTimeout as sleep } from 'node:timers/promises';
import type { Operator, RefundDetail } from './operator.js';
import type { Subject } from './setup.js';
import type { Answer, Fields, SyncAnswer } from './signed-client.js';

/** One signed POST /unipay/syncRefund, with the status before and after. */
export interface SyncCall {
  before: string;
  answer: Answer<SyncAnswer>;
  after: string;
}

export interface SyncedRefund {
  subject: Subject;
  calls: SyncCall[];
  end: RefundDetail;
}

/** Refunds synced side by side; the calls of one refund come one after the other. */
const CONCURRENCY = 8;
const POLL_MS = 20;
const UNDER_WAY_TIMEOUT_MS = 5_000;

/** Syncs every refund as often as its plan says. Results are in the order of the subjects. */
export async function syncAll(
  operator: Operator,
  subjects: readonly Subject[],
  onCall: () => void,
): Promise<SyncedRefund[]> {
  const results: SyncedRefund[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let at = next++; at < subjects.length; at = next++) {
      const subject = subjects[at];
      if (!subject) return;
      const calls = subject.plan.overlapping
        ? await overlapping(operator, subject, onCall)
        : await oneByOne(operator, subject, onCall);
      results[at] = { subject, calls, end: await operator.refund(subject.id) };
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, worker));
  return results;
}

async function oneByOne(operator: Operator, subject: Subject, onCall: () => void): Promise<SyncCall[]> {
  const calls: SyncCall[] = [];
  let { status } = await operator.refund(subject.id);
  for (let sent = 0; sent < subject.plan.calls.length; sent += 1) {
    const before = status;
    const answer = await sync(subject);
    ({ status } = await operator.refund(subject.id));
    calls.push({ before, answer, after: status });
    onCall();
  }
  return calls;
}

async function overlapping(operator: Operator, subject: Subject, onCall: () => void): Promise<SyncCall[]> {
  const before = (await operator.refund(subject.id)).status;
  const first = sync(subject);
  await untilUnderWay(operator, subject);
  const second = await sync(subject);
  const meanwhile = (await operator.refund(subject.id)).status;
  const answer = await first;
  const after = (await operator.refund(subject.id)).status;
  onCall();
  onCall();
  return [
    { before, answer, after },
    { before, answer: second, after: meanwhile },
  ];
}

/** Until the gateway is being asked: only then is there something to overlap with. */
async function untilUnderWay(operator: Operator, { payment, gatewayRequestNo }: Subject): Promise<void> {
  for (let waitedMs = 0; waitedMs < UNDER_WAY_TIMEOUT_MS; waitedMs += POLL_MS) {
    if ((await operator.gatewayRecord(payment.channel, gatewayRequestNo)).activeCalls > 0) return;
    await sleep(POLL_MS);
  }
}

function sync({ merchant, plan, id }: Subject): Promise<Answer<SyncAnswer>> {
  const name: Record<Subject['plan']['namedBy'], Fields> = {
    refundNo: { refundNo: plan.refundNo },
    refundId: { refundId: id, clientIp: '127.0.0.1' },
    refundIdNumber: { refundId: BigInt(id) },
  };
  return merchant.call<SyncAnswer>('/unipay/syncRefund', name[plan.namedBy]);
}
