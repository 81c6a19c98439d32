import { Inject, Module, type BeforeApplicationShutdown, type OnApplicationBootstrap } from '@nestjs/common';
import { ScheduleModule } from '@nestjs/schedule';
import { GatewayModule } from '../gateway/gateway.module.js';
import { RefundModule } from '../refund/refund.module.js';
import { newTraceId, runWithTrace } from '../shared/trace.js';
import { SignatureModule } from '../signature/signature.module.js';
import { RefundWatch } from './refund-watch.js';
import { Sweeper } from './sweeper.js';
import { SyncController } from './sync.controller.js';
import { SyncGateway } from './sync-gateway.service.js';
import { SYNC_QUEUE, type SyncQueue } from './sync-queue.port.js';
import { SyncRequestService } from './sync-request.service.js';
import { SyncTurns } from './sync-turn.service.js';
import { SyncService } from './sync.service.js';
import { syncRuns } from './sync.telemetry.js';

@Module({
  imports: [ScheduleModule.forRoot(), GatewayModule, RefundModule, SignatureModule],
  controllers: [SyncController],
  providers: [RefundWatch, Sweeper, SyncGateway, SyncRequestService, SyncService, SyncTurns],
  exports: [RefundWatch, Sweeper, SyncRequestService, SyncService],
})
export class SyncModule implements OnApplicationBootstrap, BeforeApplicationShutdown {
  constructor(
    @Inject(SYNC_QUEUE) private readonly queue: SyncQueue,
    private readonly syncs: SyncService,
    private readonly sweeper: Sweeper,
    private readonly turns: SyncTurns,
  ) {}

  async onApplicationBootstrap(): Promise<void> {
    // The sweep and callbacks ask without a request: their jobs get a trace of their own.
    await this.queue.start((job) =>
      runWithTrace({ traceId: job.traceId ?? newTraceId(), refundId: job.refundId }, async () => {
        await syncRuns.run({ ...job }, () => this.syncs.sync(job));
      }),
    );
  }

  /** Before the database closes: running syncs finish and write what they learned. */
  async beforeApplicationShutdown(): Promise<void> {
    await this.sweeper.stop();
    this.turns.dismiss();
    await this.queue.stop();
  }
}
