import { expect } from 'vitest';
import { Notification } from '../../src/refund/notification.entity.js';
import { NotificationAttempt } from '../../src/notification/notification-attempt.entity.js';
import { NOTIFICATION_QUEUE, type NotificationQueue } from '../../src/notification/notification-queue.port.js';
import { NotificationRelay } from '../../src/notification/notification.relay.js';
import { uniqueNo } from './builders.js';
import type { TestService } from './service.js';

export interface EndedRefund {
  refundId: string;
  refundNo: string;
  notificationId: string;
}

/** A refund that has come to its end at once (cash), with its row in the outbox. */
export async function endedRefund(service: TestService, more: Record<string, unknown> = {}): Promise<EndedRefund> {
  const refundNo = uniqueNo('N');
  const { httpStatus, body } = await service.admin<{ id: string; detail?: string }>('POST', '/admin/refunds', {
    refundNo,
    channel: 'cash_pay',
    amount: 100,
    payment: { businessNo: uniqueNo('P'), amount: 1_000 },
    ...more,
  });
  if (httpStatus !== 201) throw new Error(`not registered: ${httpStatus} ${body.detail}`);
  const row = await service.db.read((manager) => manager.findOneByOrFail(Notification, { refundId: body.id }));
  return { refundId: body.id, refundNo, notificationId: row.id };
}

/** One more change of an ended refund: a notification that comes after those that it has. */
export async function laterNotification(
  service: TestService,
  refundId: string,
  change: Partial<Notification> = {},
): Promise<string> {
  return service.db.transaction(async (manager) => {
    const rows = await manager.find(Notification, { where: { refundId }, order: { refundVersion: 'DESC' }, take: 1 });
    const [last] = rows;
    if (!last) throw new Error('the refund has no notification');
    const id = String(BigInt(last.id) + 1n);
    await manager.insert(Notification, {
      ...last,
      id,
      repairNo: id,
      refundVersion: last.refundVersion + 1,
      refundStatus: 'fail',
      snapshot: { ...last.snapshot, status: 'fail' },
      state: 'pending',
      attempts: 0,
      nextAttemptAt: new Date(Date.now() - 1_000),
      position: null,
      leaseUntil: null,
      leaseToken: null,
      deliveredAt: null,
      ...change,
    });
    return id;
  });
}

/** Delivers what is due, and waits until nothing is in hand. */
export async function relayed(service: TestService): Promise<void> {
  await service.app.get(NotificationRelay).relay();
  await settled(service);
}

export async function settled(service: TestService): Promise<void> {
  const queue = service.app.get<NotificationQueue>(NOTIFICATION_QUEUE);
  await expect.poll(() => queue.inHand(), { timeout: 20_000, interval: 5 }).toBe(0);
}

export function notificationOf(service: TestService, id: string): Promise<Notification> {
  return service.db.read((manager) => manager.findOneByOrFail(Notification, { id }));
}

export function attemptsOf(service: TestService, notificationId: string): Promise<NotificationAttempt[]> {
  return service.db.read((manager) =>
    manager.find(NotificationAttempt, { where: { notificationId }, order: { id: 'ASC' } }),
  );
}
