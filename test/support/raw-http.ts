import { connect, type Socket } from 'node:net';

export interface RawExchange {
  /** Everything that came back until the connection ended. */
  received: string;
  /** False when the server kept the connection open until the time was over. */
  closed: boolean;
  tookMs: number;
}

export interface RawOptions {
  /** Says after the bytes that no more will come, as a client that gives up does. */
  finish?: boolean;
  /** Gives up waiting for the end of the connection after this long. */
  withinMs?: number;
}

/** Sends bytes to the service and reads until the connection ends. */
export async function exchange(url: string, bytes: string, options: RawOptions = {}): Promise<RawExchange> {
  const { finish = false, withinMs = 10_000 } = options;
  const startedAt = performance.now();
  const socket = await open(url);
  const chunks: Buffer[] = [];
  socket.on('data', (chunk) => chunks.push(chunk));
  const closed = new Promise<boolean>((resolve) => {
    // A reset ends the connection too.
    socket.on('error', () => resolve(true));
    socket.on('close', () => resolve(true));
  });
  socket.write(bytes);
  if (finish) socket.end();
  let timer: NodeJS.Timeout | undefined;
  const outOfTime = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), withinMs);
  });
  const ended = await Promise.race([closed, outOfTime]);
  clearTimeout(timer);
  socket.destroy();
  return {
    received: Buffer.concat(chunks).toString('utf8'),
    closed: ended,
    tookMs: performance.now() - startedAt,
  };
}

/** A connection that is open and silent, for the caller to use and destroy. */
export async function open(url: string): Promise<Socket> {
  const { hostname, port } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port), allowHalfOpen: true });
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('error', reject);
  });
  return socket;
}

/** The head of a POST to the merchant API with these further header lines. */
export function head(path: string, ...lines: string[]): string {
  return [`POST ${path} HTTP/1.1`, 'Host: shop.example', 'Content-Type: application/json', ...lines, '', ''].join(
    '\r\n',
  );
}
