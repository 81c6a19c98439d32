import { Module } from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import { CallbackModule } from '../callback/callback.module.js';
import { GatewayModule } from '../gateway/gateway.module.js';
import { LedgerModule } from '../ledger/ledger.module.js';
import { MerchantModule } from '../merchant/merchant.module.js';
import { NotificationModule } from '../notification/notification.module.js';
import { RefundModule } from '../refund/refund.module.js';
import { SyncModule } from '../sync/sync.module.js';
import { AdminImportController } from './admin-import.controller.js';
import { AdminRecordController } from './admin-record.controller.js';
import { AdminGatewayAccountController } from './admin-gateway-account.controller.js';
import { AdminLedgerController } from './admin-ledger.controller.js';
import { AdminNotificationController } from './admin-notification.controller.js';
import { AdminRefundController } from './admin-refund.controller.js';
import { AdminSettingsController } from './admin-settings.controller.js';
import { AccessController } from './access/access.controller.js';
import { LoginThrottle } from './access/login-throttle.service.js';
import { SessionController } from './access/session.controller.js';
import { SessionService } from './access/session.service.js';
import { TokenService } from './access/token.service.js';
import { UserService } from './access/user.service.js';
import { CaseController } from './cases/case.controller.js';
import { CaseDesk } from './cases/case-desk.service.js';
import { CommandCalls } from './cases/command-call.service.js';
import { ProposalStore } from './cases/proposal.store.js';
import { ResolutionService } from './cases/resolution.service.js';
import { AdminGuard } from './admin.guard.js';
import { AuditService } from './audit.service.js';
import { RefundImport } from './refund-import.service.js';
import { RefundSelection } from './refund-selection.service.js';
import { RefundIntake } from './refund-intake.service.js';
import { RefundOperations } from './refund-operations.service.js';
import { RefundRecords } from './refund-records.service.js';

@Module({
  imports: [CallbackModule, GatewayModule, LedgerModule, MerchantModule, NotificationModule, RefundModule, SyncModule],
  controllers: [
    AccessController,
    AdminImportController,
    AdminGatewayAccountController,
    AdminLedgerController,
    AdminNotificationController,
    AdminRecordController,
    AdminRefundController,
    AdminSettingsController,
    CaseController,
    SessionController,
  ],
  providers: [
    { provide: APP_GUARD, useClass: AdminGuard },
    AuditService,
    CaseDesk,
    CommandCalls,
    LoginThrottle,
    ProposalStore,
    ResolutionService,
    SessionService,
    TokenService,
    UserService,
    RefundImport,
    RefundIntake,
    RefundOperations,
    RefundRecords,
    RefundSelection,
  ],
})
export class AdminModule {}
