import { Inject, Injectable } from '@nestjs/common';
import { MerchantAppService } from '../merchant/merchant-app.service.js';
import { CLOCK, type Clock } from '../shared/clock.js';
import { secretsOf } from '../signature/app-signature.js';
import { KeyLimit } from './key-limit.js';
import { signedNotice } from './notice.js';
import { NotificationSender, type DeliveryResult } from './notification.sender.js';
import { originOf, Outbox } from './outbox.service.js';

/** Requests that one process has open to one receiver. */
const MAX_PER_RECEIVER = 4;

/** Delivers one notification, once. */
@Injectable()
export class NotificationDelivery {
  private readonly receivers = new KeyLimit(MAX_PER_RECEIVER);

  constructor(
    private readonly outbox: Outbox,
    private readonly apps: MerchantAppService,
    private readonly sender: NotificationSender,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  async deliver(id: string): Promise<void> {
    const notification = await this.outbox.find(id);
    if (notification?.state !== 'pending') return;
    const { appId, refundId } = notification;
    const url = notification.url ?? (await this.apps.resolve(appId))?.notifyUrl ?? null;
    await this.receivers.run(url === null ? appId : originOf(url), () => this.deliverNow(id, appId, refundId));
  }

  /** Those that wait for their turn stay in the outbox. */
  dismiss(): void {
    this.receivers.close();
  }

  private async deliverNow(id: string, appId: string, refundId: string): Promise<void> {
    const app = await this.apps.resolve(appId);
    const turn = await this.outbox.take(id, refundId, app);
    if (!turn) return;
    const startedAt = this.clock.now();
    const origin = turn.url === null ? turn.notification.receiver : originOf(turn.url);
    const result =
      app && turn.url !== null
        ? await this.sender.send({
            url: turn.url,
            ...signedNotice(app, id, turn.notification.snapshot, startedAt),
          })
        : APP_SWITCHED_OFF;
    await this.outbox.finish(turn, { startedAt, origin, result, secrets: app ? secretsOf(app) : [] });
  }
}

const APP_SWITCHED_OFF: DeliveryResult = {
  fault: 'appSwitchedOff',
  detail: 'the app is switched off, so there is no secret to sign with',
  statusCode: null,
  durationMs: 0,
  answer: '',
};
