import { BullModule, getQueueToken } from '@nestjs/bull';
import { Logger, Module, type DynamicModule } from '@nestjs/common';
import type { Queue } from 'bull';
import type { Redis } from 'ioredis';
import type { AppConfig } from '../config/app-config.js';
import { SECOND_MS } from '../shared/clock.js';
import { redisQueueOptions } from '../shared/redis-queue.js';
import { BULL_QUEUE, BullSyncQueue } from './bull.sync-queue.js';
import { InlineSyncQueue } from './inline.sync-queue.js';
import { SYNC_QUEUE, type SyncJob, type SyncQueue } from './sync-queue.port.js';

/** The queue: Bull where there is a Redis, else in this process. */
@Module({})
export class SyncQueueModule {
  static forRoot(config: AppConfig): DynamicModule {
    const { redisUrl } = config;
    const connections: Redis[] = [];
    const bull =
      redisUrl === undefined
        ? []
        : [bullRoot(redisUrl, config, connections), BullModule.registerQueue({ name: BULL_QUEUE })];
    return {
      module: SyncQueueModule,
      global: true,
      imports: bull,
      providers: [
        redisUrl === undefined
          ? { provide: SYNC_QUEUE, useFactory: () => inlineQueue(config) }
          : {
              provide: SYNC_QUEUE,
              useFactory: (queue: Queue<SyncJob>) => bullQueue(config, queue, connections),
              inject: [getQueueToken(BULL_QUEUE)],
            },
      ],
      exports: [SYNC_QUEUE],
    };
  }
}

function inlineQueue(config: AppConfig): SyncQueue {
  const logger = new Logger('SyncQueue');
  return new InlineSyncQueue(config.syncConcurrency, (refundId, error) =>
    logger.error({ msg: 'a sync failed inside the service; the refund keeps its next look', refundId, error }),
  );
}

function bullQueue(config: AppConfig, queue: Queue<SyncJob>, connections: readonly Redis[]): SyncQueue {
  const logger = new Logger('SyncQueue');
  return new BullSyncQueue(queue, {
    concurrency: config.role === 'api' ? 0 : config.syncConcurrency,
    connections,
    onError: (what, error) => logger.error({ msg: 'queue error; the database keeps every next look', what, error }),
  });
}

function bullRoot(
  redisUrl: string,
  { redisPrefix, leaseMs }: AppConfig,
  /** Receives every connection that is made. */
  connections: Redis[],
): DynamicModule {
  return BullModule.forRoot({
    ...redisQueueOptions(redisUrl, redisPrefix, connections),
    settings: {
      // The job of a dead worker is run again when its lease has run out, not a moment before: it would find the refund busy.
      lockDuration: leaseMs + SECOND_MS,
      stalledInterval: leaseMs / 2,
      maxStalledCount: 2,
      guardInterval: 5_000,
      retryProcessDelay: SECOND_MS,
      drainDelay: 5,
    },
  });
}
