import { createHash } from 'node:crypto';
import autocannon from 'autocannon';
import { startService } from './drain.js';
import { clearTables, seedRefunds, type BenchDatabase } from './support/database.js';
import { start } from './support/processes.js';

export interface OnDemandFigures {
  requestsPerSecond: number;
  p50Ms: number;
  p99Ms: number;
}

export interface OnDemandResult {
  raw: OnDemandFigures;
  service: OnDemandFigures;
}

const SECRET = 'bench-secret';
const DUE_LATER_MS = 3_600_000;

/** Signed syncRefund calls for refunds that hang, each once, beside the bare handler. */
export async function onDemand(
  database: BenchDatabase,
  environment: Record<string, string>,
  refunds: number,
  connections: number,
): Promise<OnDemandResult> {
  const gateway = await start('servers/instant-gateway', {});
  const gatewayUrl = `http://127.0.0.1:${String(gateway.ready['port'])}`;
  await prepare(database, refunds);
  const rawServer = await start('raw/on-demand', { DATABASE_URL: database.url, BENCH_GATEWAY_URL: gatewayUrl });
  const raw = await load(String(rawServer.ready['url']), refunds, connections);
  await rawServer.stop();
  await prepare(database, refunds);
  const serviceServer = await startService(environment, gatewayUrl, 64);
  const service = await load(String(serviceServer.ready['url']), refunds, connections);
  await serviceServer.stop();
  await gateway.stop();
  return { raw, service };
}

async function prepare(database: BenchDatabase, refunds: number): Promise<void> {
  await clearTables(database.pool);
  await seedRefunds(database.pool, refunds, new Date(Date.now() + DUE_LATER_MS));
}

async function load(url: string, refunds: number, connections: number): Promise<OnDemandFigures> {
  const bodies = Array.from({ length: refunds }, (_, number) => signedBody(`R${number}`));
  let position = 0;
  const result = await autocannon({
    url: `${url}/unipay/syncRefund`,
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    connections,
    amount: refunds,
    setupClient: (client) => {
      const nextBody = (): void => {
        client.setBody(bodies[position % refunds]);
        position += 1;
      };
      nextBody();
      client.on('response', nextBody);
    },
    verifyBody: (body) => String(body).includes('"code":0'),
  });
  if (result.mismatches > 0 || result.errors > 0 || result.non2xx > 0) {
    throw new Error(`${result.mismatches} answers were not code 0, ${result.errors} errors, ${result.non2xx} not 200`);
  }
  return { requestsPerSecond: result['2xx'] / result.duration, p50Ms: result.latency.p50, p99Ms: result.latency.p99 };
}

function signedBody(refundNo: string): string {
  const reqTime = Math.floor(Date.now() / 1_000);
  const sign = createHash('md5').update(`refundNo=${refundNo}&reqTime=${reqTime}&key=${SECRET}`).digest('hex');
  return JSON.stringify({ refundNo, reqTime, sign });
}
