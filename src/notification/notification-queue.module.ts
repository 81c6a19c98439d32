import { BullModule, getQueueToken } from '@nestjs/bull';
import { Logger, Module, type DynamicModule } from '@nestjs/common';
import type { Queue } from 'bull';
import type { Redis } from 'ioredis';
import type { AppConfig } from '../config/app-config.js';
import { redisQueueOptions } from '../shared/redis-queue.js';
import { BULL_NOTIFICATION_QUEUE, BullNotificationQueue, type NotificationJob } from './bull.notification-queue.js';
import { InlineNotificationQueue } from './inline.notification-queue.js';
import { NOTIFICATION_QUEUE } from './notification-queue.port.js';

/** Its own connections: the sync queue closes those that it has made. */
const CONFIG_KEY = 'notification';
/** A dead worker's jobs are run again after this; they find in the outbox whether there is still something to do. */
const LOCK_MS = 10_000;

/** The queue of notifications: Bull where there is a Redis, else in this process. */
@Module({})
export class NotificationQueueModule {
  static forRoot(config: AppConfig): DynamicModule {
    const logger = new Logger('NotificationQueue');
    const { redisUrl } = config;
    const connections: Redis[] = [];
    const onError = (what: string, error: string): void =>
      logger.error({ msg: 'queue error; the outbox keeps what is due', what, error });
    if (redisUrl === undefined) {
      const useFactory = (): InlineNotificationQueue => new InlineNotificationQueue(config.notifyConcurrency, onError);
      return {
        module: NotificationQueueModule,
        global: true,
        providers: [{ provide: NOTIFICATION_QUEUE, useFactory }],
        exports: [NOTIFICATION_QUEUE],
      };
    }
    return {
      module: NotificationQueueModule,
      global: true,
      imports: [
        BullModule.forRoot(CONFIG_KEY, {
          ...redisQueueOptions(redisUrl, config.redisPrefix, connections),
          settings: { lockDuration: LOCK_MS, stalledInterval: LOCK_MS / 2, maxStalledCount: 2, drainDelay: 5 },
        }),
        BullModule.registerQueue({ name: BULL_NOTIFICATION_QUEUE, configKey: CONFIG_KEY }),
      ],
      providers: [
        {
          provide: NOTIFICATION_QUEUE,
          useFactory: (queue: Queue<NotificationJob>) =>
            new BullNotificationQueue(queue, {
              concurrency: config.role === 'api' ? 0 : config.notifyConcurrency,
              connections,
              onError,
            }),
          inject: [getQueueToken(BULL_NOTIFICATION_QUEUE)],
        },
      ],
      exports: [NOTIFICATION_QUEUE],
    };
  }
}
