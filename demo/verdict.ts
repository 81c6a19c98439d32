import type { Balance } from './balances.js';
import type { Operator, RefundDetail } from './operator.js';
import type { ExpectedAnswer } from './scenario.js';
import type { Answer, SyncAnswer } from './signed-client.js';
import type { SyncedRefund } from './sync-all.js';

/** @returns one line for everything that is not as the truth demands; none when all is well. */
export async function differencesOf(
  operator: Operator,
  refunds: readonly SyncedRefund[],
  balances: readonly Balance[],
): Promise<string[]> {
  const found: string[] = [];
  const seen = new Set<string>();
  for (const refund of refunds) {
    const { plan } = refund.subject;
    const faults = [
      ...answerFaults(refund),
      ...endFaults(refund),
      ...repairFaults(refund, seen),
      ...(await gatewayFaults(operator, refund)),
    ];
    found.push(...faults.map((fault) => `${plan.refundNo} (${plan.story}): ${fault}`));
  }
  for (const { plan, refundable, overRefunded } of balances) {
    const spent = plan.refunds.filter(({ end }) => end.reserved).reduce((sum, { amount }) => sum + amount, 0);
    const due = plan.amount - spent;
    if (refundable !== due || overRefunded !== 0)
      found.push(`${plan.businessNo}: ${refundable} is refundable (over-refunded: ${overRefunded}), must be ${due}`);
  }
  return found;
}

function answerFaults({ subject, calls }: SyncedRefund): string[] {
  const { plan } = subject;
  if (calls.length !== plan.calls.length) return [`${calls.length} syncs, must be ${plan.calls.length}`];
  return calls.flatMap(({ answer }, at) => {
    const expected = plan.calls[at];
    const actual = expected && shortened(answer, expected);
    return JSON.stringify(actual) === JSON.stringify(expected)
      ? []
      : [`sync ${at + 1} answered ${JSON.stringify(answer)}, must be ${JSON.stringify(expected)}`];
  });
}

/** Of an answer the members that are expected, in the same order. */
function shortened({ code, data }: Answer<SyncAnswer>, expected: ExpectedAnswer): ExpectedAnswer {
  const all: Record<string, unknown> = { code, ...data };
  return Object.fromEntries(Object.keys(expected).map((name) => [name, all[name]])) as unknown as ExpectedAnswer;
}

function endFaults({ subject, end }: SyncedRefund): string[] {
  const { status } = subject.plan.end;
  return end.status === status ? [] : [`ended as ${end.status}, must be ${status}`];
}

/** One repair number for each change, two records for each number, and the answers named the right ones. */
function repairFaults({ subject, calls, end }: SyncedRefund, seen: Set<string>): string[] {
  const { changes } = subject.plan.end;
  const repairs = repairsOf(end);
  const faults: string[] = [];
  if (repairs.size !== changes) faults.push(`${repairs.size} repair numbers, must be ${changes}`);
  for (const [number, targets] of repairs) {
    if (seen.has(number)) faults.push(`the repair number ${number} belongs to another change too`);
    seen.add(number);
    if (targets.join() !== 'payment,refund') faults.push(`repair ${number} has records for: ${targets.join()}`);
  }
  const named = calls.flatMap(({ answer }) => answer.data?.repairOrderNo ?? []);
  const claimed = calls.filter(({ answer }) => answer.data?.repair === true).length;
  if (named.length !== claimed) faults.push(`${claimed} answers with repair, ${named.length} with a repair number`);
  if (new Set(named).size !== named.length) faults.push('two answers name the same repair');
  for (const number of named) if (!repairs.has(number)) faults.push(`repair ${number} is not in the records`);
  return faults;
}

/** Repair numbers of a refund, each with the things it repaired. */
function repairsOf({ timeline }: RefundDetail): Map<string, string[]> {
  const repairs = new Map<string, string[]>();
  for (const { type, entry } of timeline) {
    if (type !== 'repair' || entry.repairNo === undefined) continue;
    repairs.set(entry.repairNo, [...(repairs.get(entry.repairNo) ?? []), entry.target ?? '?'].sort());
  }
  return repairs;
}

/** The gateway was not asked more often than needed, never twice at once, and has the refund at most once. */
async function gatewayFaults(operator: Operator, { subject }: SyncedRefund): Promise<string[]> {
  const { payment, plan, gatewayRequestNo } = subject;
  if (payment.channel === 'cash_pay') return [];
  const record = await operator.gatewayRecord(payment.channel, gatewayRequestNo);
  const { queries, creates, maxConcurrentCalls, refundsAtGateway } = record;
  const limits: [string, number, number][] = [
    ['queries', queries, plan.most.queries],
    ['creates', creates, plan.most.creates],
    ['calls at the same time', maxConcurrentCalls, 1],
    ['refunds at the gateway', refundsAtGateway, 1],
  ];
  return limits.flatMap(([what, count, most]) => (count > most ? [`${count} ${what}, must be at most ${most}`] : []));
}
