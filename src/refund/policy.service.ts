import { Inject, Injectable } from '@nestjs/common';
import { APP_CONFIG, type AppConfig } from '../config/app-config.js';
import type { GatewayPolicy } from '../gateway/gateway.port.js';
import type { ResolvedAccount } from '../gateway/gateway-account.service.js';
import { HOUR_MS, MINUTE_MS } from '../shared/clock.js';
import type { DecisionPolicy } from './decide.js';

/** Channels that settle at once have no gateway to look at. */
const INSTANT_POLICY: GatewayPolicy = {
  timeoutMs: 1_000,
  scheduleMs: [MINUTE_MS],
  notFoundGraceMs: 0,
  createReplay: { mode: 'never' },
  notFoundIsDistinguishable: false,
  lateFailure: false,
  rate: { perSecond: 1, concurrency: 1 },
};

/** Puts together what decide() must know besides the refund: the gateway's rules, the account's and the operator's. */
@Injectable()
export class PolicyService {
  constructor(@Inject(APP_CONFIG) private readonly config: AppConfig) {}

  forAccount({ account, gateway }: Pick<ResolvedAccount, 'account' | 'gateway'>): DecisionPolicy {
    return {
      gateway: gateway.policy,
      notFoundGraceMs: this.config.notFoundGraceMs ?? gateway.policy.notFoundGraceMs,
      notFoundPolicy: account.notFoundPolicy,
      giveUpMs: this.config.syncGiveUpMs,
      merchantId: account.merchantId,
      offersRedrive: gateway.redrive !== undefined,
      jitter: Math.random() * 2 - 1,
    };
  }

  /** For a refund whose account cannot be opened: nothing is known of the gateway, it is looked at hourly. */
  withoutAccount(): DecisionPolicy {
    return { ...this.forInstantChannel(), gateway: { ...INSTANT_POLICY, scheduleMs: [HOUR_MS] } };
  }

  forInstantChannel(): DecisionPolicy {
    return {
      gateway: INSTANT_POLICY,
      notFoundGraceMs: 0,
      notFoundPolicy: 'review',
      giveUpMs: this.config.syncGiveUpMs,
      merchantId: null,
      offersRedrive: false,
      jitter: 0,
    };
  }
}
