import { createHmac } from 'node:crypto';
import type { ResolvedApp } from '../merchant/merchant-app.service.js';
import type { NotificationSnapshot } from '../refund/notification.entity.js';
import { fromPlain, stringifyJson, type JsonObject } from '../shared/lossless-json.js';
import { secretsOf, signFor } from '../signature/app-signature.js';

/** What is posted: the exact bytes, and the headers that go with them. */
export interface SignedNotice {
  body: string;
  headers: Record<string, string>;
}

/**
 * The refund notice of the reference system (vector `notice-refund-full`): `refundId` a bare integer, amounts in minor units, times
 * in seconds, what is absent left out. Signed in the app's dialect by `sign` in the body, and over the exact body by the headers of
 * Standard Webhooks. While the app's secret is rotated those hold a signature with each of the two; `sign` has room for the new one alone.
 *
 * @param id the same for every attempt, so that the receiver knows what it has seen.
 */
export function signedNotice(app: ResolvedApp, id: string, snapshot: NotificationSnapshot, now: Date): SignedNotice {
  const fields = noticeFields(snapshot);
  fields.set('sign', signFor(app, fields));
  const body = stringifyJson(fields);
  const timestamp = String(seconds(now));
  return {
    body,
    headers: {
      'content-type': 'application/json; charset=utf-8',
      accept: 'text/plain, */*',
      'user-agent': 'refund-sync',
      'webhook-id': id,
      'webhook-timestamp': timestamp,
      'webhook-signature': secretsOf(app)
        .map((secret) => createHmac('sha256', secret).update(`${id}.${timestamp}.${body}`).digest('base64'))
        .map((signature) => `v1,${signature}`)
        .join(' '),
    },
  };
}

/** The fields in the order in which the reference system writes them, without `sign`. */
export function noticeFields(snapshot: NotificationSnapshot): JsonObject {
  const { refundId, refundNo, amount, channel, status, refundTime, createTime, attach } = snapshot;
  const asyncPay = snapshot.asyncPay ?? true;
  return fromPlain({
    refundId: BigInt(refundId),
    refundNo,
    asyncPay,
    asyncChannel: asyncPay ? channel : undefined,
    amount,
    refundChannels: [{ channel, amount }],
    status,
    refundTime: refundTime === null ? undefined : seconds(new Date(refundTime)),
    createTime: seconds(new Date(createTime)),
    attach: attach ?? undefined,
  }) as JsonObject;
}

function seconds(time: Date): number {
  return Math.floor(time.getTime() / 1_000);
}
