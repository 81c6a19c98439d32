import { once } from 'node:events';
import { Logger, Module } from '@nestjs/common';
import { Redis } from 'ioredis';
import { APP_CONFIG, type AppConfig } from '../../config/app-config.js';
import { FallbackPacer } from './fallback.pacer.js';
import { GatewayPacing } from './gateway-pacing.service.js';
import { MemoryPacer } from './memory.pacer.js';
import { PACER, type Pacer } from './pacer.port.js';
import { RedisPacer } from './redis.pacer.js';

const COMMAND_TIMEOUT_MS = 1_000;
const CONNECT_WAIT_MS = 2_000;
const RECONNECT_MAX_MS = 1_000;

/** The pace of every account: in Redis where there is one, else in this process. */
@Module({
  providers: [{ provide: PACER, useFactory: createPacer, inject: [APP_CONFIG] }, GatewayPacing],
  exports: [GatewayPacing],
})
export class PacingModule {}

async function createPacer({ redisUrl, redisPrefix }: AppConfig): Promise<Pacer> {
  if (redisUrl === undefined) return new MemoryPacer();
  const logger = new Logger('GatewayPacing');
  const redis = new Redis(redisUrl, {
    commandTimeout: COMMAND_TIMEOUT_MS,
    // Nobody waits for a Redis that is away, and no call is counted twice.
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    retryStrategy: (times) => Math.min(times * 100, RECONNECT_MAX_MS),
  });
  // What a lost connection means is told by the commands that fail.
  redis.on('error', () => undefined);
  await once(redis, 'ready', { signal: AbortSignal.timeout(CONNECT_WAIT_MS) }).catch(() => undefined);
  return new FallbackPacer(new RedisPacer(redis, redisPrefix), new MemoryPacer(), (away, why) => {
    if (away)
      logger.warn({ msg: 'Redis is away: this process paces its gateway calls alone, at a quarter of the rate', why });
    else logger.log({ msg: 'Redis is back: gateway calls are paced together again' });
  });
}
