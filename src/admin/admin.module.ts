import { Module } from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import { CallbackModule } from '../callback/callback.module.js';
import { GatewayModule } from '../gateway/gateway.module.js';
import { LedgerModule } from '../ledger/ledger.module.js';
import { MerchantModule } from '../merchant/merchant.module.js';
import { RefundModule } from '../refund/refund.module.js';
import { SyncModule } from '../sync/sync.module.js';
import { AdminLedgerController } from './admin-ledger.controller.js';
import { AdminRefundController } from './admin-refund.controller.js';
import { AdminSettingsController } from './admin-settings.controller.js';
import { AdminGuard } from './admin.guard.js';
import { AuditService } from './audit.service.js';
import { RefundIntake } from './refund-intake.service.js';
import { RefundOperations } from './refund-operations.service.js';
import { RefundRecords } from './refund-records.service.js';

@Module({
  imports: [CallbackModule, GatewayModule, LedgerModule, MerchantModule, RefundModule, SyncModule],
  controllers: [AdminLedgerController, AdminRefundController, AdminSettingsController],
  providers: [
    { provide: APP_GUARD, useClass: AdminGuard },
    AuditService,
    RefundIntake,
    RefundOperations,
    RefundRecords,
  ],
})
export class AdminModule {}
