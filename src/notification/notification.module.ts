import { Inject, Module, type BeforeApplicationShutdown, type OnApplicationBootstrap } from '@nestjs/common';
import { SchedulerRegistry } from '@nestjs/schedule';
import { MerchantModule } from '../merchant/merchant.module.js';
import { OutboundPolicy } from '../shared/outbound/outbound-policy.js';
import { newTraceId, runWithTrace } from '../shared/trace.js';
import { SignatureModule } from '../signature/signature.module.js';
import { EventFeed } from './event-feed.service.js';
import { EventsController } from './events.controller.js';
import { NotificationDelivery } from './notification-delivery.service.js';
import { NotificationEndpoints } from './notification-endpoint.service.js';
import { NOTIFICATION_QUEUE, type NotificationQueue } from './notification-queue.port.js';
import { NotificationRecords } from './notification-records.service.js';
import { NotificationRelay } from './notification.relay.js';
import { NotificationSender } from './notification.sender.js';
import { Outbox } from './outbox.service.js';

@Module({
  imports: [MerchantModule, SignatureModule],
  controllers: [EventsController],
  providers: [
    EventFeed,
    NotificationDelivery,
    NotificationEndpoints,
    NotificationRecords,
    NotificationRelay,
    Outbox,
    {
      provide: NotificationSender,
      useFactory: (policy: OutboundPolicy) => new NotificationSender(policy),
      inject: [OutboundPolicy],
    },
  ],
  exports: [NotificationEndpoints, NotificationRecords, NotificationRelay],
})
export class NotificationModule implements OnApplicationBootstrap, BeforeApplicationShutdown {
  constructor(
    @Inject(NOTIFICATION_QUEUE) private readonly queue: NotificationQueue,
    private readonly relay: NotificationRelay,
    private readonly delivery: NotificationDelivery,
    private readonly sender: NotificationSender,
    private readonly scheduler: SchedulerRegistry,
  ) {}

  async onApplicationBootstrap(): Promise<void> {
    await this.queue.start((id) => runWithTrace(newTraceId(), () => this.delivery.deliver(id)));
    this.relay.start(this.scheduler);
  }

  /** Before the database closes: what is being delivered is finished and kept; the rest stays in the outbox. */
  async beforeApplicationShutdown(): Promise<void> {
    await this.relay.stop();
    this.delivery.dismiss();
    await this.queue.stop();
    await this.sender.close();
  }
}
