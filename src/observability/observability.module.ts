import { Module } from '@nestjs/common';
import { GatewayModule } from '../gateway/gateway.module.js';
import { LedgerModule } from '../ledger/ledger.module.js';
import { NotificationModule } from '../notification/notification.module.js';
import { RefundModule } from '../refund/refund.module.js';
import { SyncModule } from '../sync/sync.module.js';
import { HealthController } from './health.controller.js';
import { EventMetrics } from './metrics/event-metrics.js';
import { HttpMetrics } from './metrics/http-metrics.js';
import { LedgerMetrics } from './metrics/ledger-metrics.js';
import { MetricsController } from './metrics/metrics.controller.js';
import { MetricsRegistry } from './metrics/metrics.registry.js';
import { MetricsService } from './metrics/metrics.service.js';
import { NotificationMetrics } from './metrics/notification-metrics.js';
import { ProcessMetrics } from './metrics/process-metrics.js';
import { RefundMetrics } from './metrics/refund-metrics.js';
import { VigilanceMetrics } from './metrics/vigilance-metrics.js';
import { ReadinessService } from './readiness.service.js';
import { Tracing } from './tracing/tracing.service.js';

@Module({
  imports: [GatewayModule, LedgerModule, NotificationModule, RefundModule, SyncModule],
  controllers: [HealthController, MetricsController],
  providers: [
    EventMetrics,
    HttpMetrics,
    LedgerMetrics,
    MetricsRegistry,
    MetricsService,
    NotificationMetrics,
    ProcessMetrics,
    ReadinessService,
    RefundMetrics,
    Tracing,
    VigilanceMetrics,
  ],
})
export class ObservabilityModule {}
