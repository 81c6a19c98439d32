import type { IncomingMessage, ServerResponse } from 'node:http';
import { cutConnection, whenAnsweredOrGone } from './http.js';
import type { RefundRecord } from './refund-book.js';

/** A client that gives up has done so long before. */
const MAX_HOLD_MS = 60_000;

/** Counts a call about a refund as under way until it is answered or the client is gone. @returns what to call when it is answered. */
export function trackCall(
  record: RefundRecord,
  isQuery: boolean,
  request: IncomingMessage,
  response: ServerResponse,
): () => void {
  const asks = isQuery ? 1 : 0;
  record.activeCalls += 1;
  record.activeQueries += asks;
  record.maxConcurrentCalls = Math.max(record.maxConcurrentCalls, record.activeCalls);
  record.maxConcurrentQueries = Math.max(record.maxConcurrentQueries, record.activeQueries);
  return whenAnsweredOrGone(request, response, () => {
    record.activeCalls -= 1;
    record.activeQueries -= asks;
  });
}

/** Never answers. The client is expected to give up; it has a minute. */
export function holdBack(request: IncomingMessage, response: ServerResponse): void {
  const timer = setTimeout(() => cutConnection(request, 'fin'), MAX_HOLD_MS);
  response.once('close', () => clearTimeout(timer));
  if (response.destroyed) clearTimeout(timer);
}
