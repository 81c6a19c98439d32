import { Inject, Injectable } from '@nestjs/common';
import { APP_CONFIG, type AppConfig } from '../config/app-config.js';
import { errorText } from '../shared/errors.js';
import { GatewayError, type GatewayErrorKind } from './gateway.error.js';
import { gatewayCalls } from './gateway.telemetry.js';
import type { RedriveTarget, RefundOrder } from './gateway.port.js';
import type { Observation } from './observation.js';
import { redactObservation, redactRaw } from './observation-redaction.js';
import { GatewayPacing } from './pacing/gateway-pacing.service.js';
import type { Turn, TurnOutcome } from './pacing/turn.js';
import { redactText } from './redaction.js';
import { kindFor, type GatewayCallKind } from './refusal-rules.js';
import type { ResolvedAccount } from './gateway-account.service.js';

/**
 * The one wrapper around every connector: the account's pace, a hard deadline, redaction, and nothing but Observations and
 * GatewayErrors to the outside. It never repeats a call: what a missing answer means is decided elsewhere.
 */
@Injectable()
export class GatewayCaller {
  constructor(
    private readonly pacing: GatewayPacing,
    @Inject(APP_CONFIG) private readonly config: AppConfig,
  ) {}

  /**
   * @param turn that the caller has waited for and ends; without one the call waits for its own.
   * @throws GatewayError
   */
  async query(account: ResolvedAccount, order: RefundOrder, turn?: Turn): Promise<Observation> {
    const { gateway, config } = account;
    return this.paced(account, 'query', turn, (signal, timeoutMs) =>
      gateway.queryRefund({ config, order, signal, timeoutMs }),
    );
  }

  /** @throws GatewayError */
  async create(account: ResolvedAccount, order: RefundOrder, payload: string): Promise<Observation> {
    const { gateway, config } = account;
    return this.paced(account, 'create', undefined, async (signal, timeoutMs) => {
      if (!gateway.sendCreate) {
        throw new GatewayError('rejected', `${gateway.displayName} takes no refunds through this service`, {
          code: 'not_offered',
        });
      }
      return gateway.sendCreate({ config, order, signal, timeoutMs }, payload);
    });
  }

  /**
   * Sends an abnormal refund on its way again.
   *
   * @throws GatewayError `rejected`, code `not_offered`, where the gateway has no such operation.
   */
  async redrive(account: ResolvedAccount, order: RefundOrder, target: RedriveTarget): Promise<Observation> {
    const { gateway, config } = account;
    // What the gateway says of the card must not repeat it.
    const secrets =
      target.to === 'payerCard' ? [...account.secrets, target.accountNo, target.holderName] : account.secrets;
    return this.paced({ ...account, secrets }, 'redrive', undefined, async (signal, timeoutMs) => {
      if (!gateway.redrive) {
        throw new GatewayError('rejected', `${gateway.displayName} cannot send a refund on its way again`, {
          code: 'not_offered',
        });
      }
      return gateway.redrive({ config, order, signal, timeoutMs }, target);
    });
  }

  private async paced(
    account: ResolvedAccount,
    operation: GatewayCallKind,
    given: Turn | undefined,
    call: (signal: AbortSignal, timeoutMs: number) => Promise<Observation>,
  ): Promise<Observation> {
    const turn = given ?? (await this.pacing.turn(account));
    try {
      await turn.begin();
      const { gateway } = account;
      const observation = await gatewayCalls.run(
        { channel: gateway.channel, gateway: gateway.code, accountId: account.account.id, operation },
        () => this.guarded(account, operation, call),
      );
      turn.over({ kind: 'answered' });
      return observation;
    } catch (error) {
      turn.over(outcomeOf(error));
      throw error;
    } finally {
      if (!given) turn.end();
    }
  }

  private async guarded(
    account: ResolvedAccount,
    operation: GatewayCallKind,
    call: (signal: AbortSignal, timeoutMs: number) => Promise<Observation>,
  ): Promise<Observation> {
    const timeoutMs = Math.min(account.gateway.policy.timeoutMs, this.config.gatewayTimeoutMs);
    // A lost answer to a create or re-drive leaves its outcome open; a lost answer to a query leaves nothing.
    const lost = kindFor(operation, 'unavailable');
    const abort = new AbortController();
    let timer: NodeJS.Timeout | undefined;
    const deadline = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => {
        reject(new GatewayError(lost, `no answer within ${timeoutMs} ms`, { code: 'timeout' }));
        abort.abort();
      }, timeoutMs);
    });
    try {
      const observation = await Promise.race([call(abort.signal, timeoutMs), deadline]);
      return redactObservation(observation, account.secrets);
    } catch (error) {
      // What the connector has left under way, if anything. A call that ended well has nothing: an abort costs more than the check.
      abort.abort();
      throw redactError(error, lost, account.secrets);
    } finally {
      clearTimeout(timer);
    }
  }
}

/** What a fault says of the gateway, whatever it says of the refund. */
function outcomeOf(error: unknown): TurnOutcome {
  if (!(error instanceof GatewayError) || error.notAsked) return { kind: 'untold' };
  switch (error.kind) {
    case 'unavailable':
      return { kind: 'failed' };
    case 'rateLimited':
      return { kind: 'limited', retryAfterMs: error.retryAfterMs ?? 0 };
    case 'ambiguous':
      // A create that was lost, or answered with what may be a fault of the gateway or of the order.
      return { kind: error.raw ? 'untold' : 'failed' };
    case 'rejected':
    case 'badConfig':
      return { kind: error.raw ? 'answered' : 'untold' };
  }
}

/** Whatever a connector throws leaves as a GatewayError without its cause: causes hold requests, and requests hold keys. */
function redactError(error: unknown, lost: GatewayErrorKind, secrets: readonly string[]): GatewayError {
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
