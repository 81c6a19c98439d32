import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** Sends what `send` makes somebody send, to nobody. @returns the bytes and headers that came. */
export async function caughtRequest(
  send: (url: string) => Promise<unknown>,
): Promise<{ headers: Record<string, string | undefined>; body: Buffer }> {
  let caught: { headers: Record<string, string | undefined>; body: Buffer } | undefined;
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.once('end', () => {
      const headers = Object.entries(request.headers).map(([name, value]) => [name, [value].flat().join(', ')]);
      caught = { headers: Object.fromEntries(headers) as Record<string, string>, body: Buffer.concat(chunks) };
      response.writeHead(204).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  await send(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  if (!caught) throw new Error('nothing was sent');
  return caught;
}
