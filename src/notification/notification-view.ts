import type { Notification } from '../refund/notification.entity.js';

/** A notification as operators read it: without who is delivering it just now. */
export type NotificationFacts = Omit<
  Notification,
  'refundVersion' | 'receiver' | 'position' | 'leaseUntil' | 'leaseToken'
>;

export function notificationFacts(notification: Notification): NotificationFacts {
  const { refundVersion: _version, receiver: _receiver, position: _position, ...rest } = notification;
  const { leaseUntil: _until, leaseToken: _token, ...facts } = rest;
  return facts;
}
