import { createHmac, timingSafeEqual } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RefundPlan } from './scenario.js';

/** A notification as it came in, verified. */
export interface Notice {
  refundNo: string;
  status: string;
  body: string;
}

const TIMEOUT_MS = 15_000;
const POLL_MS = 20;
const MAX_AGE_S = 300;

/** What the merchants listen with: verifies each notification as docs/notifications.md says, and acknowledges it. */
export class MerchantReceiver {
  readonly notices: Notice[] = [];
  /** What was refused, with why. */
  readonly refused: string[] = [];
  /** By path, which is the app's id. */
  private readonly secrets = new Map<string, string>();
  private readonly seen = new Set<string>();
  private readonly server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const isTaken = this.take(request.url ?? '', request.headers, Buffer.concat(chunks).toString('utf8'));
      response.writeHead(isTaken ? 200 : 401).end(isTaken ? 'SUCCESS' : 'bad signature');
    });
  });

  async start(): Promise<void> {
    this.server.listen(0, '127.0.0.1');
    await once(this.server, 'listening');
    // The demo ends when it has said what it has to say.
    this.server.unref();
  }

  /** @returns the address to which the app's notifications go. */
  addressFor(appId: string, secret: string): string {
    this.secrets.set(`/${appId}`, secret);
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}/${appId}`;
  }

  /** Waits for the notifications that truth demands. @returns one line for everything that is otherwise. */
  async differencesFrom(subjects: readonly { plan: RefundPlan }[]): Promise<string[]> {
    const expected = subjects.flatMap(({ plan }) => endsOf(plan).map((status) => `${plan.refundNo} ${status}`)).sort();
    const actual = (): string[] => this.notices.map(({ refundNo, status }) => `${refundNo} ${status}`).sort();
    for (let waitedMs = 0; waitedMs < TIMEOUT_MS && actual().length < expected.length; waitedMs += POLL_MS)
      await sleep(POLL_MS);
    const came = new Set(actual());
    return [
      ...this.refused.map((why) => `a notification was refused: ${why}`),
      ...expected.filter((one) => !came.has(one)).map((one) => `no notification: ${one}`),
      ...[...came]
        .filter((one) => !expected.includes(one))
        .map((one) => `a notification of what did not happen: ${one}`),
    ];
  }

  private take(path: string, headers: IncomingHttpHeaders, body: string): boolean {
    const id = String(headers['webhook-id']);
    const timestamp = String(headers['webhook-timestamp']);
    const secret = this.secrets.get(path);
    if (secret === undefined || !(Math.abs(Date.now() / 1000 - Number(timestamp)) <= MAX_AGE_S)) {
      this.refused.push(`${path} at ${timestamp}`);
      return false;
    }
    const expected = createHmac('sha256', secret).update(`${id}.${timestamp}.${body}`).digest();
    const given = Buffer.from(String(headers['webhook-signature']).replace(/^v1,/, ''), 'base64');
    if (given.length !== expected.length || !timingSafeEqual(given, expected)) {
      this.refused.push(`${path}: the signature is wrong`);
      return false;
    }
    // Delivered at least once: what was seen is acknowledged and not done again.
    if (!this.seen.has(id)) {
      this.seen.add(id);
      const { refundNo, status } = JSON.parse(body) as Pick<Notice, 'refundNo' | 'status'>;
      this.notices.push({ refundNo, status, body });
    }
    return true;
  }
}

/** Ends that the merchant must be told of. One that was taken back later was an end, too. */
function endsOf({ end, calls }: RefundPlan): string[] {
  if (end.status === 'success' || end.status === 'fail') return [end.status];
  return calls.some(({ repair, gatewayStatus }) => repair === true && gatewayStatus === 'refund_success')
    ? ['success']
    : [];
}
