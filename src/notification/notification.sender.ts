import { lookup as dnsLookup } from 'node:dns';
import type { LookupAddress } from 'node:dns';
import type { LookupFunction } from 'node:net';
import { isIP } from 'node:net';
import { Agent, buildConnector, request, type Dispatcher } from 'undici';
import { errorText } from '../shared/errors.js';
import { bareHostname, type OutboundPolicy } from '../shared/outbound/outbound-policy.js';
import type { DeliveryFault } from './notification-attempt.entity.js';

/** From the first look at the name to the last byte of the answer; the receiver's word counts only within it. */
const TOTAL_TIMEOUT_MS = 5_000;
const MAX_ANSWER_BYTES = 64 * 1024;
const MAX_DETAIL = 300;

export interface Delivery {
  url: string;
  headers: Readonly<Record<string, string>>;
  body: string;
}

export interface DeliveryResult {
  /** Null: delivered. */
  fault: DeliveryFault | null;
  detail: string | null;
  statusCode: number | null;
  durationMs: number;
  /** The answer's body as far as it was read; empty when there was none. */
  answer: string;
}

/** All addresses of a host name. */
export type Resolver = (hostname: string, callback: (error: Error | null, addresses: LookupAddress[]) => void) => void;

const systemResolver: Resolver = (hostname, callback) =>
  dnsLookup(hostname, { all: true, verbatim: true }, (error, addresses) => callback(error, addresses));

/** The name leads to an address that may not be called. */
class ForbiddenAddress extends Error {
  override readonly name = 'ForbiddenAddress';
  readonly code = 'FORBIDDEN_ADDRESS';
}

/**
 * Posts a notification to an address that a stranger gave. The name is resolved here and the connection goes to the very addresses that were
 * judged, so a name that answers otherwise the next time (rebinding) gains nothing. Redirects are not followed, proxies of the
 * environment are not used, the answer is read up to 64 KiB, and all of it takes five seconds at most.
 */
export class NotificationSender {
  private readonly agent: Agent;

  constructor(
    private readonly policy: OutboundPolicy,
    private readonly options: { resolve?: Resolver; timeoutMs?: number } = {},
  ) {
    const timeoutMs = options.timeoutMs ?? TOTAL_TIMEOUT_MS;
    const connectTo = buildConnector({
      timeout: timeoutMs,
      // Several addresses are tried one after the other.
      autoSelectFamily: true,
      lookup: this.lookup,
    });
    this.agent = new Agent({
      connections: 16,
      pipelining: 1,
      keepAliveTimeout: 4_000,
      headersTimeout: timeoutMs,
      bodyTimeout: timeoutMs,
      connect: (target, callback) => {
        // A host that is an address already is not looked up.
        const hostname = target.hostname.replace(/^\[|\]$/g, '');
        const fault = isIP(hostname) === 0 ? undefined : policy.addressFault(hostname, hostname);
        if (fault === undefined) connectTo(target, callback);
        else callback(new ForbiddenAddress(`${hostname} is ${fault}`), null);
      },
    });
  }

  /** Never rejects: whatever happens is a fact about this attempt. */
  async send({ url, headers, body }: Delivery): Promise<DeliveryResult> {
    const startedAt = performance.now();
    const failed = (fault: DeliveryFault, detail: string, statusCode: number | null = null, answer = '') => ({
      fault,
      detail: detail.slice(0, MAX_DETAIL),
      statusCode,
      durationMs: Math.round(performance.now() - startedAt),
      answer,
    });
    const urlFault = this.policy.urlFault(url);
    if (urlFault) return failed('badUrl', `the address ${urlFault.en}`);
    let response: Dispatcher.ResponseData | undefined;
    try {
      response = await request(url, {
        method: 'POST',
        headers,
        body,
        dispatcher: this.agent,
        signal: AbortSignal.timeout(this.options.timeoutMs ?? TOTAL_TIMEOUT_MS),
      });
      const { statusCode } = response;
      const { text, isWhole } = await readCapped(response.body);
      if (!isWhole)
        return failed('answerTooLarge', `the answer is larger than ${MAX_ANSWER_BYTES} bytes`, statusCode, text);
      if (statusCode !== 200) {
        const why = statusCode >= 300 && statusCode < 400 ? '; redirects are not followed' : '';
        return failed('httpStatus', `HTTP ${statusCode} instead of 200${why}`, statusCode, text);
      }
      if (!/^\s*success\s*$/i.test(text))
        return failed('answer', 'the body of the answer is not SUCCESS', statusCode, text);
      return {
        fault: null,
        detail: null,
        statusCode,
        durationMs: Math.round(performance.now() - startedAt),
        answer: text,
      };
    } catch (error) {
      return failed(faultOf(error), detailOf(error, url), response?.statusCode ?? null);
    }
  }

  /** Waits for what is being sent: it ends by itself in time. */
  async close(): Promise<void> {
    await this.agent.close();
  }

  /** All of the addresses must be fit: a name that leads to a private one as well is no honest receiver's. */
  private readonly lookup: LookupFunction = (hostname, lookupOptions, callback) => {
    (this.options.resolve ?? systemResolver)(hostname, (error, addresses) => {
      if (error) return callback(error, [], 0);
      for (const { address } of addresses) {
        const fault = this.policy.addressFault(hostname.replace(/\.$/, ''), address);
        if (fault !== undefined)
          return callback(new ForbiddenAddress(`${hostname} leads to ${address}, ${fault}`), [], 0);
      }
      const [first] = addresses;
      if (first === undefined) return callback(new Error(`${hostname} has no address`), [], 0);
      if (lookupOptions.all === true) return callback(null, addresses);
      callback(null, first.address, first.family);
    });
  };
}

async function readCapped(body: Dispatcher.ResponseData['body']): Promise<{ text: string; isWhole: boolean }> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    bytes += chunk.length;
    // Leaving the loop destroys the stream, and the connection with it.
    if (bytes > MAX_ANSWER_BYTES) break;
  }
  const text = Buffer.concat(chunks).subarray(0, MAX_ANSWER_BYTES).toString('utf8');
  return { text, isWhole: bytes <= MAX_ANSWER_BYTES };
}

function faultOf(error: unknown): DeliveryFault {
  const code = codeOf(error);
  if (error instanceof Error && error.name === 'TimeoutError') return 'timeout';
  if (code === 'FORBIDDEN_ADDRESS') return 'forbiddenAddress';
  if (/TIMEOUT|ETIMEDOUT/.test(code)) return 'timeout';
  if (/^(?:ENOTFOUND|EAI_)/.test(code)) return 'unknownHost';
  if (/CERT|TLS|SSL|^EPROTO$|SELF_SIGNED/.test(code)) return 'tls';
  return 'connection';
}

function detailOf(error: unknown, url: string): string {
  const code = codeOf(error);
  const fault = faultOf(error);
  if (fault === 'timeout') return 'no whole answer in time';
  if (fault === 'forbiddenAddress') return `${causeOf(error).message}: no notification is sent there`;
  if (fault === 'unknownHost') return `the name ${bareHostname(new URL(url))} could not be resolved (${code})`;
  return code === '' ? errorText(error) : code;
}

function codeOf(error: unknown): string {
  const { code } = causeOf(error) as Error & { code?: unknown };
  return typeof code === 'string' ? code : '';
}

/** When several addresses of a name were tried in vain, the first tells as well as any. */
function causeOf(error: unknown): Error {
  if (error instanceof AggregateError && error.errors[0] instanceof Error) return error.errors[0];
  return error instanceof Error ? error : new Error(String(error));
}
