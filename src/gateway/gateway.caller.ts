import { Injectable } from '@nestjs/common';
import { errorText } from '../shared/errors.js';
import { GatewayError } from './gateway.error.js';
import type { RefundOrder } from './gateway.port.js';
import type { Observation, RawAnswer } from './observation.js';
import { redactBody, redactText } from './redaction.js';
import type { ResolvedAccount } from './gateway-account.service.js';

/**
 * The one wrapper around every connector: a hard deadline, redaction, and nothing but Observations and GatewayErrors to the outside.
 * It never repeats a call: what a missing answer means is decided elsewhere.
 */
@Injectable()
export class GatewayCaller {
  /** @throws GatewayError */
  async query(account: ResolvedAccount, order: RefundOrder): Promise<Observation> {
    const { gateway, config } = account;
    return this.guarded(account, 'query', (signal) =>
      gateway.queryRefund({ config, order, signal, timeoutMs: gateway.policy.timeoutMs }),
    );
  }

  /** @throws GatewayError */
  async create(account: ResolvedAccount, order: RefundOrder, payload: string): Promise<Observation> {
    const { gateway, config } = account;
    return this.guarded(account, 'create', async (signal) => {
      if (!gateway.sendCreate) {
        throw new GatewayError('rejected', `${gateway.displayName} takes no refunds through this service`, {
          code: 'not_offered',
        });
      }
      return gateway.sendCreate({ config, order, signal, timeoutMs: gateway.policy.timeoutMs }, payload);
    });
  }

  private async guarded(
    account: ResolvedAccount,
    operation: 'query' | 'create',
    call: (signal: AbortSignal) => Promise<Observation>,
  ): Promise<Observation> {
    const { timeoutMs } = account.gateway.policy;
    // A lost answer to a create leaves its outcome open; a lost answer to a query leaves nothing.
    const lost = operation === 'create' ? 'ambiguous' : 'unavailable';
    const abort = new AbortController();
    let timer: NodeJS.Timeout | undefined;
    const deadline = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => {
        reject(new GatewayError(lost, `no answer within ${timeoutMs} ms`, { code: 'timeout' }));
        abort.abort();
      }, timeoutMs);
    });
    try {
      const observation = await Promise.race([call(abort.signal), deadline]);
      return { ...observation, raw: redactRaw(observation.raw, account.secrets) };
    } catch (error) {
      throw redactError(error, lost, account.secrets);
    } finally {
      clearTimeout(timer);
      abort.abort();
    }
  }
}

function redactRaw(raw: RawAnswer, secrets: readonly string[]): RawAnswer {
  return {
    code: redactText(raw.code, secrets).slice(0, 64),
    message: redactText(raw.message, secrets),
    body: redactBody(raw.body, secrets),
  };
}

/** Whatever a connector throws leaves as a GatewayError without its cause: causes hold requests, and requests hold keys. */
function redactError(error: unknown, lost: 'ambiguous' | 'unavailable', secrets: readonly string[]): GatewayError {
  if (error instanceof GatewayError) {
    return new GatewayError(error.kind, redactText(error.message, secrets).slice(0, 300), {
      code: redactText(error.code, secrets).slice(0, 64),
      nothingHappened: error.nothingHappened,
      ...(error.retryAfterMs === undefined ? {} : { retryAfterMs: error.retryAfterMs }),
      ...(error.raw === undefined ? {} : { raw: redactRaw(error.raw, secrets) }),
    });
  }
  return new GatewayError(lost, `the connector failed: ${redactText(errorText(error), secrets).slice(0, 250)}`, {
    code: 'connector_fault',
  });
}
