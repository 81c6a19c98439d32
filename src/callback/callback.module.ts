import { Module } from '@nestjs/common';
import { GatewayModule } from '../gateway/gateway.module.js';
import { RefundModule } from '../refund/refund.module.js';
import { SyncModule } from '../sync/sync.module.js';
import { CallbackController } from './callback.controller.js';
import { CallbackApplying } from './callback-applying.service.js';
import { CallbackQueryService } from './callback-query.service.js';
import { CallbackRefusals } from './callback-refusals.service.js';
import { CallbackProcessor } from './callback.processor.js';
import { CallbackService } from './callback.service.js';
import { CallbackStore } from './callback.store.js';

@Module({
  imports: [GatewayModule, RefundModule, SyncModule],
  controllers: [CallbackController],
  providers: [
    CallbackApplying,
    CallbackProcessor,
    CallbackQueryService,
    CallbackRefusals,
    CallbackService,
    CallbackStore,
  ],
  exports: [CallbackProcessor, CallbackQueryService, CallbackRefusals, CallbackStore],
})
export class CallbackModule {}
