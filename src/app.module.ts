import { Module, type DynamicModule } from '@nestjs/common';
import { APP_FILTER, APP_PIPE } from '@nestjs/core';
import { AdminModule } from './admin/admin.module.js';
import { CallbackModule } from './callback/callback.module.js';
import type { AppConfig } from './config/app-config.js';
import { ConfigModule } from './config/config.module.js';
import { DatabaseModule } from './database/database.module.js';
import { BuiltInGatewaysModule } from './gateway/built-in-gateways.module.js';
import { GatewayModule } from './gateway/gateway.module.js';
import type { RefundGateway } from './gateway/gateway.port.js';
import { LedgerModule } from './ledger/ledger.module.js';
import { MerchantModule } from './merchant/merchant.module.js';
import { NotificationQueueModule } from './notification/notification-queue.module.js';
import { NotificationModule } from './notification/notification.module.js';
import { ObservabilityModule } from './observability/observability.module.js';
import { RefundModule } from './refund/refund.module.js';
import type { Clock } from './shared/clock.js';
import { DtoPipe } from './shared/http/dto.pipe.js';
import { HttpErrorFilter } from './shared/http/http-error.filter.js';
import { SharedModule } from './shared/shared.module.js';
import { SignatureModule } from './signature/signature.module.js';
import { SyncQueueModule } from './sync/sync-queue.module.js';
import { SyncModule } from './sync/sync.module.js';

/** What tests and benchmarks put in place of the real thing. */
export interface Replacements {
  clock?: Clock;
  gateways?: readonly RefundGateway[];
}

/** The only file that knows all modules. */
@Module({})
export class AppModule {
  static forRoot(config: AppConfig, { clock, gateways }: Replacements = {}): DynamicModule {
    return {
      module: AppModule,
      imports: [
        ConfigModule.forRoot(config),
        SharedModule.forRoot(clock),
        DatabaseModule,
        MerchantModule,
        SignatureModule,
        BuiltInGatewaysModule.forRoot(gateways),
        GatewayModule,
        RefundModule,
        SyncQueueModule.forRoot(config),
        SyncModule,
        CallbackModule,
        LedgerModule,
        NotificationQueueModule.forRoot(config),
        NotificationModule,
        AdminModule,
        ObservabilityModule,
      ],
      providers: [
        { provide: APP_FILTER, useClass: HttpErrorFilter },
        { provide: APP_PIPE, useClass: DtoPipe },
      ],
    };
  }
}
