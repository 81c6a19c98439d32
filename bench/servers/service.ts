import 'reflect-metadata';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { loadEnvironment } from '../../src/config/environment.js';
import { createApp } from '../../src/create-app.js';
import { GatewayAccountService } from '../../src/gateway/gateway-account.service.js';
import type { RefundGateway } from '../../src/gateway/gateway.port.js';
import { JsonLogger } from '../../src/observability/json-logger.js';
import { benchGateway } from './bench.gateway.js';

/** The service as it runs in production, but for the connector. Environment as usual, and BENCH_GATEWAY_URL. */
const { config } = loadEnvironment(process.env);
const ratePerSecond = Number(process.env.BENCH_ACCOUNT_RATE ?? 1_000_000);
const gateway = benchGateway(config.syncConcurrency, { perSecond: ratePerSecond, concurrency: 1_000 }) as RefundGateway;
const { app }: { app: NestFastifyApplication } = await createApp(config, new JsonLogger(config.logLevel), {
  gateways: [gateway],
});
await app
  .get(GatewayAccountService)
  .put('bench', { channel: 'wechat_pay', config: { baseUrl: process.env.BENCH_GATEWAY_URL } });
app.enableShutdownHooks();
await app.listen(config.port, '127.0.0.1');
process.send?.({ url: await app.getUrl() });
process.on('disconnect', () => process.exit(0));
process.on('message', (message) => {
  if (message === 'rss') process.send?.({ rss: process.memoryUsage().rss });
});
