import { createServer } from 'node:http';

/**
 * A gateway that answers at once, without signatures: what is measured is this service, not RSA. Query parameter `latencyMs` at the
 * start (BENCH_GATEWAY_LATENCY_MS) delays answers; BENCH_GATEWAY_RATE refuses what is above that many requests a second with 429.
 */
const latencyMs = Number(process.env.BENCH_GATEWAY_LATENCY_MS ?? 0);
const ratePerSecond = Number(process.env.BENCH_GATEWAY_RATE ?? 0);

const stats = { requests: 0, refused: 0, firstAtMs: 0, lastAtMs: 0 };
let second = 0;
let inSecond = 0;

function allowed(nowMs: number): boolean {
  if (ratePerSecond === 0) return true;
  const current = Math.floor(nowMs / 1000);
  if (current !== second) {
    second = current;
    inSecond = 0;
  }
  inSecond += 1;
  return inSecond <= ratePerSecond;
}

const server = createServer((request, response) => {
  const url = request.url ?? '/';
  if (url === '/stats') {
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify(stats));
    return;
  }
  if (url === '/reset') {
    Object.assign(stats, { requests: 0, refused: 0, firstAtMs: 0, lastAtMs: 0 });
    response.end('{}');
    return;
  }
  const nowMs = Date.now();
  const [, , refundNo = '', amount = '0'] = url.split('/');
  stats.requests += 1;
  if (stats.firstAtMs === 0) stats.firstAtMs = nowMs;
  stats.lastAtMs = nowMs;
  const accepted = allowed(nowMs);
  if (!accepted) stats.refused += 1;
  const answer = (): void => {
    response.writeHead(accepted ? 200 : 429, { 'content-type': 'application/json' });
    response.end(
      accepted
        ? `{"status":"SUCCESS","refundNo":"${refundNo}","gatewayRefundNo":"G${refundNo}","amount":${amount},"currency":"CNY"}`
        : '{"code":"FREQUENCY_LIMITED"}',
    );
  };
  if (latencyMs > 0) setTimeout(answer, latencyMs);
  else answer();
});
server.keepAliveTimeout = 60_000;
server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  if (address !== null && typeof address === 'object') process.send?.({ port: address.port });
});
process.on('disconnect', () => process.exit(0));
