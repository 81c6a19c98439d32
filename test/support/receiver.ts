import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Received {
  path: string;
  headers: IncomingHttpHeaders;
  /** The exact body. */
  body: string;
  /** As parsed; 19-digit ids lose digits here. */
  notice: Record<string, unknown>;
  atMs: number;
}

/** How a receiver answers one notification. */
export type Answer = (response: ServerResponse, received: Received) => void | Promise<void>;

export const accept: Answer = (response) => void response.end('SUCCESS');
export const refuse: Answer = (response) => void response.writeHead(500).end('not today');
export function say(status: number, body: string, headers: Record<string, string> = {}): Answer {
  return (response) => void response.writeHead(status, headers).end(body);
}

/** A merchant's endpoint on this machine. Answers by its script, and with `otherwise` when that is over. */
export class Receiver {
  readonly received: Received[] = [];
  readonly script: Answer[] = [];
  otherwise: Answer = accept;
  /** Requests that are open now, and the most that were at once, by the path they went to. */
  readonly mostAtOnce = new Map<string, number>();
  private readonly open = new Map<string, number>();

  private constructor(private readonly server: ReturnType<typeof createServer>) {}

  static async start(host = '127.0.0.1'): Promise<Receiver> {
    const server = createServer();
    const receiver = new Receiver(server);
    server.on('request', (request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const path = request.url ?? '';
        receiver.enter(path);
        response.once('close', () => receiver.leave(path));
        const body = Buffer.concat(chunks).toString('utf8');
        const received: Received = {
          path,
          headers: request.headers,
          body,
          notice: JSON.parse(body) as Record<string, unknown>,
          atMs: performance.now(),
        };
        receiver.received.push(received);
        void (receiver.script.shift() ?? receiver.otherwise)(response, received);
      });
    });
    server.listen(0, host);
    await once(server, 'listening');
    return receiver;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  url(path = '/notify'): string {
    return `http://127.0.0.1:${this.port}${path}`;
  }

  /** What came in for one refund, in order. */
  of(refundNo: string): Received[] {
    return this.received.filter(({ notice }) => notice['refundNo'] === refundNo);
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    this.server.close();
    await once(this.server, 'close');
  }

  private enter(path: string): void {
    const now = (this.open.get(path) ?? 0) + 1;
    this.open.set(path, now);
    this.mostAtOnce.set(path, Math.max(now, this.mostAtOnce.get(path) ?? 0));
  }

  private leave(path: string): void {
    this.open.set(path, (this.open.get(path) ?? 1) - 1);
  }
}
