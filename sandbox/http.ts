import type { IncomingMessage, ServerResponse } from 'node:http';

/** A body larger than the reader accepts. */
export class BodyTooLarge extends Error {
  override readonly name = 'BodyTooLarge';
}

const EMPTY = Buffer.alloc(0);

/** The exact bytes of a request's body: signatures are over bytes, so nothing here decodes. */
export function readBody(request: IncomingMessage, maxBytes: number): Promise<Buffer> {
  if (request.headers['content-length'] === undefined && request.headers['transfer-encoding'] === undefined) {
    return Promise.resolve(EMPTY);
  }
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    request.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size > maxBytes) {
        // The rest is read and thrown away: an answer to a half-read request reaches no client.
        chunks.length = 0;
        return;
      }
      chunks.push(chunk);
    });
    request.once('end', () => {
      if (size > maxBytes) reject(new BodyTooLarge(`more than ${maxBytes} bytes`));
      else resolve(chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks));
    });
    request.once('error', reject);
  });
}

export function sendJson(response: ServerResponse, status: number, value: unknown): void {
  const body = JSON.stringify(value);
  response.writeHead(status, {
    'Content-Type': 'application/json; charset=utf-8',
    'Content-Length': Buffer.byteLength(body),
  });
  response.end(body);
}

/** Cuts the connection without an answer: `rst` = connection reset, `fin` = closed by the other side. */
export function cutConnection(request: IncomingMessage, how: 'rst' | 'fin'): void {
  if (how === 'rst') request.socket.resetAndDestroy();
  else request.socket.destroy();
}

/**
 * Runs `release` once, as soon as the answer is on its way or the client is gone. The returned function is called just
 * before the answer is written.
 *
 * The socket's own `end` and `error` are watched besides the response's `close`, because a client that gives up on one
 * connection and asks again on another would otherwise look like two calls at once: `close` comes a turn of the event
 * loop later than the first byte of the next request can.
 */
export function whenAnsweredOrGone(
  request: IncomingMessage,
  response: ServerResponse,
  release: () => void,
): () => void {
  const socket = request.socket;
  let open = true;
  const done = (): void => {
    if (!open) return;
    open = false;
    socket.off('end', done);
    socket.off('error', done);
    response.off('close', done);
    release();
  };
  socket.on('end', done);
  socket.on('error', done);
  response.on('close', done);
  return done;
}

/**
 * Whether a URL points at this machine, by its literal host alone. Names other than `localhost` are not looked up:
 * what they resolve to can change between the check and the call.
 */
export function isLoopbackUrl(url: URL): boolean {
  if (url.protocol !== 'http:' && url.protocol !== 'https:') return false;
  return (
    url.hostname === 'localhost' || url.hostname === '[::1]' || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(url.hostname)
  );
}
