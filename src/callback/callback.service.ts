import { createHash } from 'node:crypto';
import { Inject, Injectable, Logger } from '@nestjs/common';
import { Db, isDuplicate } from '../database/db.js';
import { UnusableAccount, GatewayAccountService, type ResolvedAccount } from '../gateway/gateway-account.service.js';
import {
  CallbackRejected,
  type CallbackAnswer,
  type CallbackHandler,
  type CallbackMessage,
  type RawCallback,
} from '../gateway/gateway.port.js';
import { redactObservation } from '../gateway/observation-redaction.js';
import { redactText } from '../gateway/redaction.js';
import { CLOCK, type Clock } from '../shared/clock.js';
import { NotFoundError } from '../shared/errors.js';
import { IdGenerator } from '../shared/ids.js';
import { currentTraceId } from '../shared/trace.js';
import { CallbackRecord } from './callback-record.entity.js';
import { CallbackRefusals } from './callback-refusals.service.js';

export interface ReceivedCallback {
  answer: CallbackAnswer;
  /** To work on once the gateway has its answer; null when there is nothing to do. */
  record: CallbackRecord | null;
}

/** The inbox: verify the exact bytes, store once, acknowledge. Work comes after. */
@Injectable()
export class CallbackService {
  private readonly logger = new Logger(CallbackService.name);

  constructor(
    private readonly db: Db,
    private readonly accounts: GatewayAccountService,
    private readonly ids: IdGenerator,
    private readonly refusals: CallbackRefusals,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  /** @throws NotFoundError when there is no such account at this gateway. */
  async receive(
    gatewayCode: string,
    accountId: string,
    raw: Omit<RawCallback, 'receivedAt'>,
  ): Promise<ReceivedCallback> {
    const { resolved, handler } = await this.find(gatewayCode, accountId);
    const receivedAt = this.clock.now();
    let message: CallbackMessage | null;
    try {
      message = handler.receive({ ...raw, receivedAt }, resolved.config);
    } catch (error) {
      if (!(error instanceof CallbackRejected)) throw error;
      // Nothing of it is believed, and no call to the gateway is caused.
      const reason = redactText(error.message, resolved.secrets);
      this.refusals.count(gatewayCode, accountId, reason, { ...raw, receivedAt });
      this.logger.warn({
        msg: 'callback refused',
        gateway: gatewayCode,
        accountId,
        reason,
        bytes: raw.body.length,
      });
      return { answer: handler.rejected, record: null };
    }
    const record = message && (await this.store(gatewayCode, resolved, message, receivedAt));
    return { answer: handler.accepted, record };
  }

  private async find(
    gatewayCode: string,
    accountId: string,
  ): Promise<{ resolved: ResolvedAccount; handler: CallbackHandler<unknown> }> {
    const nothing = new NotFoundError(`no gateway account ${accountId.slice(0, 64)} at ${gatewayCode.slice(0, 20)}`);
    const resolved = await this.accounts.resolve(accountId).catch((error: unknown) => {
      throw error instanceof UnusableAccount ? nothing : error;
    });
    const handler = resolved.gateway.callback;
    if (resolved.gateway.code !== gatewayCode || !handler) throw nothing;
    return { resolved, handler };
  }

  /** @returns null for a redelivery: the first one is worked on. */
  private async store(
    gateway: string,
    { account, secrets }: ResolvedAccount,
    message: CallbackMessage,
    receivedAt: Date,
  ): Promise<CallbackRecord | null> {
    const gatewayAccountId = account.id;
    const eventKey = keyOf(message.eventKey);
    const record: CallbackRecord = {
      id: this.ids.next(),
      gateway,
      gatewayAccountId,
      eventKey,
      eventType: message.eventType.slice(0, 64),
      gatewayRequestNo: numberOf(message.gatewayRequestNo),
      gatewayRefundNo: numberOf(message.gatewayRefundNo),
      outTradeNo: numberOf(message.outTradeNo),
      refundId: null,
      observation: redactObservation(message.observation, secrets),
      state: 'stored',
      outcome: null,
      deliveries: 1,
      traceId: currentTraceId() ?? null,
      receivedAt,
      // By this process, as soon as the gateway has its answer.
      claimedAt: receivedAt,
      processedAt: null,
    };
    try {
      await this.db.transaction((manager) =>
        manager.insert(CallbackRecord, manager.create(CallbackRecord, record) as object),
      );
      return record;
    } catch (error) {
      if (!isDuplicate(error)) throw error;
      await this.db.read((manager) =>
        manager.increment(CallbackRecord, { gateway, gatewayAccountId, eventKey }, 'deliveries', 1),
      );
      return null;
    }
  }
}

const MAX_EVENT_KEY = 128;
const MAX_NUMBER = 64;

/** Cut, two events could share a key, and the second would be taken for the first again. */
function keyOf(eventKey: string): string {
  return eventKey.length <= MAX_EVENT_KEY ? eventKey : `sha256:${createHash('sha256').update(eventKey).digest('hex')}`;
}

/** No refund of ours has a number that is longer than its column; cut, it could be the number of one. */
function numberOf(number: string | null): string | null {
  return number === null || number.length > MAX_NUMBER ? null : number;
}
