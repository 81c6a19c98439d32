import { Injectable } from '@nestjs/common';
import { GatewayAccountService } from '../gateway/gateway-account.service.js';
import type { Observation } from '../gateway/observation.js';
import { ApplyService } from '../refund/apply.service.js';
import { PolicyService } from '../refund/policy.service.js';
import type { Refund } from '../refund/refund.entity.js';
import type { CallbackRecord } from './callback-record.entity.js';

/** One callback through decide and apply. */
@Injectable()
export class CallbackApplying {
  constructor(
    private readonly accounts: GatewayAccountService,
    private readonly applyService: ApplyService,
    private readonly policies: PolicyService,
  ) {}

  async apply(record: CallbackRecord, refund: Refund): Promise<{ outcome: string; askNow: boolean }> {
    const account = await this.accounts.resolve(record.gatewayAccountId);
    const observation = revive(record.observation);
    const { decision } = await this.applyService.apply(
      refund.id,
      refund.paymentId,
      { kind: 'observation', via: 'callback', observation, askedAtVersion: refund.version },
      {
        source: 'callback',
        policy: this.policies.forAccount(account),
        startedAt: record.receivedAt,
        answer: observation.raw,
      },
    );
    return { outcome: decision.explanation, askNow: decision.effect !== 'changed' };
  }
}

/** A stored observation has its time as text. */
function revive(observation: Observation): Observation {
  if (observation.kind !== 'success' || observation.finishedAt === null) return observation;
  return { ...observation, finishedAt: new Date(observation.finishedAt) };
}
