import type { Balance } from './balances.js';
import type { SyncedRefund } from './sync-all.js';
import { tableLines, type Cell } from './table.js';

export type Paint = Record<'red' | 'green' | 'yellow' | 'dim', (text: string) => string>;

/** Colours where they can be seen: on a terminal, unless NO_COLOR is set (no-color.org). */
export function colours(out: NodeJS.WriteStream): Paint {
  const on = out.isTTY && !process.env.NO_COLOR && process.env.TERM !== 'dumb';
  const painter = (code: number) => (text: string) => (on ? `\u001b[${code}m${text}\u001b[0m` : text);
  return { red: painter(31), green: painter(32), yellow: painter(33), dim: painter(2) };
}

/** One line for each sync; further syncs of a refund follow below its first. */
export function refundTable(refunds: readonly SyncedRefund[], paint: Paint): string {
  const shownAs: Record<string, Paint[keyof Paint]> = { success: paint.green, fail: paint.red, review: paint.yellow };
  const status = (text: string): Cell => ({ text, paint: shownAs[text] ?? ((plain) => plain) });
  const rows = refunds.flatMap(({ subject, calls }) =>
    calls.map(({ before, answer, after }, at): Cell[] => [
      at === 0 ? subject.plan.refundNo : '',
      at === 0 ? subject.plan.story : '',
      status(before),
      answer.data?.gatewayStatus ?? { text: `code ${answer.code}`, paint: paint.dim },
      status(after),
      answer.data?.repair === true ? 'yes' : 'no',
      answer.data?.repairOrderNo ?? { text: '-', paint: paint.dim },
    ]),
  );
  const titles = ['refund', 'at the gateway', 'before', 'gateway says', 'after', 'repaired', 'repair number'];
  return tableLines(
    titles.map((title) => ({ title })),
    rows,
  ).join('\n');
}

export function balanceTable(before: readonly Balance[], after: readonly Balance[], paint: Paint): string {
  const rows = after.map(({ plan, refundable }, at): Cell[] => {
    const earlier = before[at]?.refundable ?? 0;
    const returned = refundable - earlier;
    return [
      plan.businessNo,
      plan.app,
      plan.channel,
      yuan(plan.amount),
      yuan(earlier),
      yuan(refundable),
      { text: returned === 0 ? '' : `${returned > 0 ? '+' : ''}${yuan(returned)}`, paint: paint.green },
    ];
  });
  return tableLines(
    [
      { title: 'payment' },
      { title: 'app' },
      { title: 'channel' },
      { title: 'amount', align: 'right' },
      { title: 'refundable before', align: 'right' },
      { title: 'after', align: 'right' },
      { title: 'returned', align: 'right' },
    ],
    rows,
  ).join('\n');
}

function yuan(fen: number): string {
  return (fen / 100).toFixed(2);
}
