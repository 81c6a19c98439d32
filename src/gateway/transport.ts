/** What a connector's transport needs, whatever library moves the bytes. */

/**
 * A signal that fires when the caller gives up, and after `timeoutMs` whatever happens: the time-outs of HTTP libraries start again with
 * every byte, so that an answer which drips would never end. The reason of a time-out is a DOMException called `TimeoutError`.
 */
export function startDeadline(call: { signal: AbortSignal; timeoutMs: number }): { signal: AbortSignal; stop(): void } {
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(new DOMException('timeout', 'TimeoutError')), call.timeoutMs);
  const giveUp = () => controller.abort(call.signal.reason);
  if (call.signal.aborted) giveUp();
  else call.signal.addEventListener('abort', giveUp, { once: true });
  return {
    signal: controller.signal,
    stop() {
      clearTimeout(timer);
      call.signal.removeEventListener('abort', giveUp);
    },
  };
}

interface TransportFault {
  /** For GatewayError.code. */
  code: string;
  message: string;
}

const FAULTS: readonly { codes: RegExp; code: string; message: (gateway: string) => string }[] = [
  {
    codes: /^(ECONNABORTED|ETIMEDOUT|ESOCKETTIMEDOUT|UND_ERR_(CONNECT|HEADERS|BODY)_TIMEOUT)$/,
    code: 'timeout',
    message: (gateway) => `${gateway} did not answer in time.`,
  },
  {
    codes: /^(ECONNRESET|EPIPE|UND_ERR_SOCKET|UND_ERR_RES_CONTENT_LENGTH_MISMATCH)$/,
    code: 'reset',
    message: (gateway) => `The connection to ${gateway} was cut.`,
  },
  {
    codes: /^(ECONNREFUSED|EHOSTUNREACH|ENETUNREACH|ENOTFOUND|EAI_AGAIN)$/,
    code: 'unreachable',
    message: (gateway) => `${gateway} could not be reached.`,
  },
  {
    codes: /CERT|TLS|SSL|^EPROTO$/,
    code: 'tls',
    message: (gateway) => `The TLS connection to ${gateway} could not be trusted.`,
  },
  { codes: /^HPE_/, code: 'malformed', message: (gateway) => `${gateway} answered something that is not HTTP.` },
];

/** What the error code of Node or undici (`ECONNRESET`) means. @param gateway its name in a sentence. */
export function transportFault(gateway: string, errorCode: string): TransportFault {
  const fault = FAULTS.find(({ codes }) => codes.test(errorCode));
  return fault
    ? { code: fault.code, message: fault.message(gateway) }
    : { code: 'transport', message: `The call to ${gateway} failed.` };
}
