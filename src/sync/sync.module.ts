import { Inject, Logger, Module, type OnApplicationShutdown, type OnModuleInit } from '@nestjs/common';
import { ScheduleModule } from '@nestjs/schedule';
import { APP_CONFIG, type AppConfig } from '../config/app-config.js';
import { GatewayModule } from '../gateway/gateway.module.js';
import { RefundModule } from '../refund/refund.module.js';
import { newTraceId, runWithTrace } from '../shared/trace.js';
import { SignatureModule } from '../signature/signature.module.js';
import { InlineSyncQueue } from './inline.sync-queue.js';
import { Sweeper } from './sweeper.js';
import { SyncController } from './sync.controller.js';
import { SyncGateway } from './sync-gateway.service.js';
import { SYNC_QUEUE, type SyncQueue } from './sync-queue.port.js';
import { SyncRequestService } from './sync-request.service.js';
import { SyncService } from './sync.service.js';

@Module({
  imports: [ScheduleModule.forRoot(), GatewayModule, RefundModule, SignatureModule],
  controllers: [SyncController],
  providers: [
    {
      provide: SYNC_QUEUE,
      inject: [APP_CONFIG],
      useFactory: (config: AppConfig): SyncQueue => {
        const logger = new Logger('SyncQueue');
        return new InlineSyncQueue(config.syncConcurrency, (refundId, error) =>
          logger.error({ msg: 'a sync failed inside the service; the refund keeps its next look', refundId, error }),
        );
      },
    },
    Sweeper,
    SyncGateway,
    SyncRequestService,
    SyncService,
  ],
  exports: [SYNC_QUEUE, Sweeper, SyncRequestService, SyncService],
})
export class SyncModule implements OnModuleInit, OnApplicationShutdown {
  constructor(
    @Inject(SYNC_QUEUE) private readonly queue: SyncQueue,
    private readonly syncs: SyncService,
  ) {}

  async onModuleInit(): Promise<void> {
    // Each job has a trace of its own: it outlives the request that asked for it, and the sweep has none.
    await this.queue.start((job) =>
      runWithTrace(newTraceId(), async () => {
        await this.syncs.sync(job);
      }),
    );
  }

  async onApplicationShutdown(): Promise<void> {
    await this.queue.stop();
  }
}
