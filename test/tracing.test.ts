import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Logger } from '@nestjs/common';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { knownPayment, stuckRefund } from './support/builders.js';
import { ADMIN_TOKEN, logLines, SIGN_SECRET, startService, type TestService } from './support/service.js';
import { hasMysql, hasRedis, redisPrefix, TEST_REDIS_URL } from './support/services.js';
import { testDatabase } from './support/test-database.js';

interface Span {
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  name: string;
  kind: number;
  attributes: { key: string; value: { stringValue?: string; intValue?: number } }[];
}

const SERVER = 2;
const CLIENT = 3;
const CONSUMER = 5;

/** Takes OTLP over HTTP in JSON, as a collector does. */
class Receiver {
  readonly spans: Span[] = [];
  readonly bodies: string[] = [];
  private constructor(
    private readonly server: Server,
    readonly url: string,
  ) {}

  static async start(): Promise<Receiver> {
    const server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const body = Buffer.concat(chunks).toString('utf8');
        receiver.bodies.push(body);
        const { resourceSpans } = JSON.parse(body) as { resourceSpans: { scopeSpans: { spans: Span[] }[] }[] };
        if (request.url === '/v1/traces')
          receiver.spans.push(...resourceSpans.flatMap((one) => one.scopeSpans.flatMap(({ spans }) => spans)));
        response.setHeader('content-type', 'application/json').end('{}');
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const receiver = new Receiver(server, `http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    return receiver;
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

const attribute = (span: Span, key: string): unknown => {
  const value = span.attributes.find((one) => one.key === key)?.value;
  return value?.stringValue ?? value?.intValue;
};

const hasServers = (await hasRedis()) && (await hasMysql());

describe('log lines', () => {
  it('of a sync tell trace and refund, through the queue too, and no secret', async () => {
    const service = await startService();
    try {
      const { id, refundNo } = await stuckRefund(service, { gateway: 'success' });
      logLines.length = 0;
      const { traceId } = await service.merchant.syncRefund({ refundNo });
      const lines = logLines.map((line) => JSON.parse(line) as Record<string, unknown>);
      const ofJob = lines.filter(({ module }) => module === 'SyncService');
      expect(ofJob.length).toBeGreaterThan(0);
      for (const line of ofJob) expect(line).toMatchObject({ traceId, refundId: id });

      const logger = new Logger('Test');
      const pem = '-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg\n-----END PRIVATE KEY-----';
      logger.warn({ msg: 'calls', deep: { list: [{ webhookSecret: 'hush-hush' }] }, header: 'Bearer abc.def', pem });
      logger.error(new Error(`refused: sk_live_51abcdef ${pem}`));
      logger.log('Authorization: Bearer abc.def');
      const said = logLines.slice(-3).join('');
      expect(said).toContain('"module":"Test"');
      expect(said).not.toMatch(/hush-hush|abc\.def|MIIE|51abc/);
    } finally {
      await service.close();
    }
  });
});

describe('traces', () => {
  let receiver: Receiver;
  beforeAll(async () => {
    receiver = await Receiver.start();
  });
  afterAll(() => receiver.close());

  const CALLER = '4bf92f3577b34da6a3ce929d0e0e4736';
  const CALLER_SPAN = '00f067aa0ba902b7';

  /** A sync that a merchant asks for, with a trace of its own; the service then ends, and so sends its spans. */
  async function syncOnce(service: TestService, refundNo: string): Promise<Span[]> {
    const seen = receiver.spans.length;
    const answer = await service.merchant.call(
      '/unipay/syncRefund',
      { refundNo },
      { traceparent: `00-${CALLER}-${CALLER_SPAN}-01` },
    );
    expect(answer).toMatchObject({ code: 0 });
    await service.stop();
    return receiver.spans.slice(seen);
  }

  function expectOneTrace(spans: Span[], refundId: string): void {
    const of = (kind: number): Span => {
      const found = spans.filter((span) => span.kind === kind && span.traceId === CALLER);
      expect(found).toHaveLength(1);
      return found[0] as Span;
    };
    const [request, job, call] = [of(SERVER), of(CONSUMER), of(CLIENT)];
    expect(request).toMatchObject({ name: 'POST /unipay/syncRefund', parentSpanId: CALLER_SPAN });
    expect(attribute(request, 'http.response.status_code')).toBe(200);
    expect(job).toMatchObject({ name: 'sync refund', parentSpanId: request.spanId });
    expect(attribute(job, 'refund_sync.refund_id')).toBe(refundId);
    expect(attribute(job, 'refund_sync.outcome')).toBe('success');
    // Ours too, so that the log lines of a trace are found.
    expect(attribute(job, 'refund_sync.trace_id')).toBe(attribute(request, 'refund_sync.trace_id'));
    expect(call).toMatchObject({ name: 'wechat query', parentSpanId: job.spanId });
    expect(attribute(call, 'refund_sync.outcome')).toBe('success');
  }

  it('go from the caller through request and queue to the call to the gateway, and tell no secret', async () => {
    const service = await startService({ env: { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url } });
    try {
      const { id, refundNo } = await stuckRefund(service, { gateway: 'success' });
      const { businessNo } = await knownPayment(service);
      await service.control('/control/faults', {
        channel: 'wechat_pay',
        kind: 'badSignature',
        rate: 1,
        count: 1,
        operation: 'create',
      });
      await service.merchant
        .call('/unipay/refund', {
          businessNo,
          refundAll: true,
          refundChannels: [{ channel: 'wechat_pay', amount: 1000 }],
        })
        .catch(() => undefined);
      const spans = await syncOnce(service, refundNo);
      expectOneTrace(spans, id);
      const create = spans.find(({ name }) => name === 'wechat create');
      const creator = spans.find(({ name }) => name === 'POST /unipay/refund');
      expect(create?.parentSpanId).toBe(creator?.spanId);
      expect(create?.traceId).not.toBe(CALLER);

      const exported = receiver.bodies.join('\n');
      expect(exported).toContain('"refund-sync"');
      const secrets = service.sandbox.accounts().flatMap(({ config }) => Object.values(config));
      for (const secret of [ADMIN_TOKEN, SIGN_SECRET, businessNo, refundNo, ...secrets])
        if (typeof secret === 'string' && secret.length >= 6) expect(exported).not.toContain(secret);
      expect(exported).not.toMatch(/health|PRIVATE KEY|Bearer|sign/);
    } finally {
      await service.close();
    }
  });

  it.runIf(hasServers)('go through Redis as well', async () => {
    const { prefix, removeKeys } = redisPrefix();
    const database = await testDatabase('mysql');
    const service = await startService({
      database,
      env: {
        ...{ ...database.env, REDIS_URL: TEST_REDIS_URL, REDIS_PREFIX: prefix },
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `${receiver.url}/v1/traces`,
      },
    });
    try {
      const { id, refundNo } = await stuckRefund(service, { gateway: 'success' });
      expectOneTrace(await syncOnce(service, refundNo), id);
    } finally {
      await service.close();
      await database.drop();
      await removeKeys();
    }
  });

  it('are not made where nobody wants them, and a receiver that is away is in nobody’s way', async () => {
    const seen = receiver.bodies.length;
    const off = await startService();
    const { refundNo } = await stuckRefund(off, { gateway: 'success' });
    await off.merchant.syncRefund({ refundNo });
    await off.close();
    expect(receiver.bodies).toHaveLength(seen);

    const away = await startService({ env: { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9' } });
    const other = await stuckRefund(away, { gateway: 'success' });
    expect(await away.merchant.syncRefund({ refundNo: other.refundNo })).toMatchObject({ code: 0 });
    await away.close();
  });
});
