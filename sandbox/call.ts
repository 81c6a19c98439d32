import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Fault } from './faults.js';
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

/** What becomes of a call besides an answer: an error page in front of the gateway, a cut connection, or silence. */
export type Interruption = 'errorPage' | 'rst' | 'fin' | 'silence';

/** What a gateway says where a fault makes it say something; each may throw its refusal instead. */
export interface FaultyAnswers<Reply> {
  /** Too many calls. */
  limited(): Reply;
  /** The gateway's own words for "try again". @param turn from 1, for gateways that have several. */
  systemError(turn: number): Reply;
  /** Refused, rightly signed, and nothing happened. */
  refused(): Reply;
  /** Does what was asked for, as well as the fault lets it. */
  answer(): Reply;
}

const DEFAULT_SLOW_MS = 1500;

/** Serves a call under the fault that spoils it, if any: what happens to connections is the same at every gateway. */
export async function underFault<Reply>(
  fault: Fault | null,
  answers: FaultyAnswers<Reply>,
): Promise<Reply | Interruption> {
  switch (fault?.kind) {
    case 'reset':
      return 'rst';
    case 'lostRequest':
      return 'fin';
    case 'http500':
      return 'errorPage';
    case 'http429':
      return answers.limited();
    case 'systemError':
      return answers.systemError(fault.fired);
    case 'refused':
      return answers.refused();
    default:
      break;
  }
  const reply = answers.answer();
  switch (fault?.kind) {
    case 'timeout':
      return 'silence';
    case 'lostAnswer':
      return 'fin';
    case 'slow':
      await sleep(fault.delayMs ?? DEFAULT_SLOW_MS, undefined, { ref: false });
      return reply;
    default:
      return reply;
  }
}

/** Holds back, cuts or delays as the outcome says. @returns what is left to be sent; null when nothing is. */
export async function settle<Reply extends object>(
  { request, response, release }: { request: IncomingMessage; response: ServerResponse; release: () => void },
  outcome: Reply | Interruption,
  latencyMs: number,
): Promise<Reply | 'errorPage' | null> {
  if (outcome === 'silence') {
    holdBack(request, response);
    return null;
  }
  if (outcome === 'rst' || outcome === 'fin') {
    release();
    cutConnection(request, outcome);
    return null;
  }
  if (latencyMs > 0) await sleep(latencyMs, undefined, { ref: false });
  return outcome;
}

/** What is in front of the gateway says so. */
export const ERROR_PAGE = '<html><head><title>500 Internal Server Error</title></head></html>';
