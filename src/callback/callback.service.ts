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
import { CLOCK, type Clock } from '../shared/clock.js';
import { NotFoundError } from '../shared/errors.js';
import { IdGenerator } from '../shared/ids.js';
import { currentTraceId } from '../shared/trace.js';
import { CallbackRecord } from './callback-record.entity.js';

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
      // Nothing of it is stored or believed, and no call to the gateway is caused.
      this.logger.warn({
        msg: 'callback refused',
        gateway: gatewayCode,
        accountId,
        reason: error.message,
        bytes: raw.body.length,
      });
      return { answer: handler.rejected, record: null };
    }
    const record = message && (await this.store(gatewayCode, accountId, message, receivedAt));
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
    gatewayAccountId: string,
    message: CallbackMessage,
    receivedAt: Date,
  ): Promise<CallbackRecord | null> {
    const record: CallbackRecord = {
      id: this.ids.next(),
      gateway,
      gatewayAccountId,
      eventKey: message.eventKey,
      eventType: message.eventType.slice(0, 64),
      gatewayRequestNo: message.gatewayRequestNo,
      gatewayRefundNo: message.gatewayRefundNo,
      outTradeNo: message.outTradeNo,
      refundId: null,
      observation: message.observation,
      state: 'stored',
      outcome: null,
      deliveries: 1,
      traceId: currentTraceId() ?? null,
      receivedAt,
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
        manager.increment(CallbackRecord, { gateway, gatewayAccountId, eventKey: message.eventKey }, 'deliveries', 1),
      );
      return null;
    }
  }
}
