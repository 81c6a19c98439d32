import type { GatewayError } from './gateway.error.js';
import { unanswered, type GatewayOperation } from './refusal-rules.js';
import { startDeadline, transportFault } from './transport.js';

export interface OneRequest {
  /** Name of the gateway in a sentence. */
  gateway: string;
  call: { operation: GatewayOperation; signal: AbortSignal; timeoutMs: number };
  url: string;
  headers: Readonly<Record<string, string>>;
  body: string;
  maxAnswerBytes: number;
  transport: typeof fetch;
}

/** Posts once, follows nothing, repeats nothing. @throws GatewayError when no whole answer came in time. */
export async function fetchOnce(request: OneRequest): Promise<{ status: number; headers: Headers; body: Buffer }> {
  const deadline = startDeadline(request.call);
  try {
    const response = await request.transport(request.url, {
      method: 'POST',
      headers: { ...request.headers, 'User-Agent': 'refund-sync' },
      body: request.body,
      redirect: 'manual',
      signal: deadline.signal,
    });
    const body = await readBody(response, request.maxAnswerBytes);
    return { status: response.status, headers: response.headers, body };
  } catch (error) {
    throw readFault(request, error, deadline.signal);
  } finally {
    deadline.stop();
  }
}

class TooLarge extends Error {}

async function readBody(response: Response, maxBytes: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  // Leaving the loop cancels the rest of the answer.
  for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
    size += chunk.length;
    if (size > maxBytes) throw new TooLarge();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** What a transport error means. Only its code and message stay as the cause: a URL can hold a signature. */
function readFault(
  { gateway, call: { operation }, maxAnswerBytes }: OneRequest,
  error: unknown,
  signal: AbortSignal,
): GatewayError {
  if (signal.aborted) {
    return memberOf(signal.reason, 'name') === 'TimeoutError'
      ? unanswered(operation, 'timeout', `${gateway} did not answer in time.`)
      : unanswered(operation, 'aborted', `The call to ${gateway} was given up.`);
  }
  if (error instanceof TooLarge)
    return unanswered(operation, 'too_large', `${gateway} answered more than ${maxAnswerBytes} bytes.`);
  // fetch says "fetch failed" or "terminated"; what happened is its cause.
  const failure = memberOf(error, 'cause') ?? error;
  const cause = { code: textOf(memberOf(failure, 'code')), message: textOf(memberOf(failure, 'message')) };
  const fault = transportFault(gateway, cause.code);
  return unanswered(operation, fault.code, fault.message, cause);
}

function memberOf(thing: unknown, name: string): unknown {
  return typeof thing === 'object' && thing !== null ? (thing as Record<string, unknown>)[name] : undefined;
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value.slice(0, 200) : '';
}
