import { Inject, Injectable } from '@nestjs/common';
import { CLOCK, type Clock } from '../shared/clock.js';
import { IdGenerator } from '../shared/ids.js';
import { UnusableAccount, GatewayAccountService, type ResolvedAccount } from './gateway-account.service.js';
import { GatewayCaller } from './gateway.caller.js';
import { GatewayError, type GatewayErrorKind } from './gateway.error.js';
import type { RefundOrder } from './gateway.port.js';
import type { Observation } from './observation.js';

/** What a connection test found. Null: it could not be told. */
export interface ProbeResult {
  /** All three of the following are true. */
  ok: boolean;
  /** The gateway answered. */
  reachable: boolean | null;
  /** It knows the merchant and accepted our signature or key. */
  credentialsAccepted: boolean | null;
  /** Its answer was proven to be its own, by its signature or, where it signs nothing (Stripe), by TLS. */
  answerVerified: boolean | null;
  /** From the question to the answer, or to the fault; the wait for the account's turn included. */
  latencyMs: number;
  /** What is wrong, for an operator: no secret. Null when all is well. */
  fault: { kind: GatewayErrorKind; code: string; message: string } | null;
  testedAt: Date;
}

type Verdict = Pick<ProbeResult, 'reachable' | 'credentialsAccepted' | 'answerVerified' | 'fault'>;

/** Faults of ours and of the way there; with any other code something was answered. */
const NO_ANSWER = new Set(['timeout', 'reset', 'unreachable', 'tls', 'transport']);
const NOT_BELIEVED = new Set(['bad_signature', 'malformed']);

/** Tests an account by the one question that is harmless everywhere: for a refund that cannot exist. */
@Injectable()
export class AccountProbe {
  constructor(
    private readonly accounts: GatewayAccountService,
    private readonly caller: GatewayCaller,
    private readonly ids: IdGenerator,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  /** Through the same door as every call: the account's pace, the deadline, redaction. */
  async test(accountId: string): Promise<ProbeResult> {
    const testedAt = this.clock.now();
    const startedMs = performance.now();
    const verdict = await this.ask(accountId);
    return {
      ok: verdict.reachable === true && verdict.credentialsAccepted === true && verdict.answerVerified === true,
      ...verdict,
      latencyMs: Math.round(performance.now() - startedMs),
      testedAt,
    };
  }

  private async ask(accountId: string): Promise<Verdict> {
    let account: ResolvedAccount;
    try {
      account = await this.accounts.resolve(accountId);
    } catch (error) {
      if (!(error instanceof UnusableAccount)) throw error;
      return untold({ kind: 'badConfig', code: 'account_unusable', message: error.message });
    }
    try {
      return ofAnswer(await this.caller.query(account, this.impossible(account)));
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error;
      return ofFault(error);
    }
  }

  private impossible({ gateway }: ResolvedAccount): RefundOrder {
    return {
      gatewayRequestNo: `PROBE${this.ids.next()}`,
      gatewayRequestTime: this.clock.now(),
      gatewayRefundNo: null,
      outTradeNo: `PROBE${this.ids.next()}`,
      gatewayPaymentNo: null,
      amountMinor: 1,
      paymentAmountMinor: 1,
      currency: 'CNY',
      reason: null,
      clientIp: null,
      ...gateway.probe,
    };
  }
}

function untold(fault: ProbeResult['fault']): Verdict {
  return { reachable: null, credentialsAccepted: null, answerVerified: null, fault };
}

/** Whatever it says of the refund: it was asked, understood the question and answered it. */
function ofAnswer({ authenticated, raw }: Observation): Verdict {
  if (authenticated) return { reachable: true, credentialsAccepted: true, answerVerified: true, fault: null };
  const message = `The gateway answered "${raw.code}", but nothing proves that it was the gateway.`;
  return {
    reachable: true,
    credentialsAccepted: null,
    answerVerified: false,
    fault: { kind: 'unavailable', code: 'unsigned', message },
  };
}

function ofFault({ kind, code, message, raw, notAsked }: GatewayError): Verdict {
  const fault = { kind, code, message };
  if (notAsked) return untold(fault);
  if (NOT_BELIEVED.has(code)) return { reachable: true, credentialsAccepted: null, answerVerified: false, fault };
  if (raw === undefined) {
    const reachable = NO_ANSWER.has(code) ? false : code.startsWith('http_') ? true : null;
    return { ...untold(fault), reachable };
  }
  // A refusal proves that it listened; whether it was the gateway's own is told by an answer alone.
  const credentialsAccepted = kind === 'badConfig' ? false : kind === 'rejected' ? true : null;
  return { reachable: true, credentialsAccepted, answerVerified: null, fault };
}
