import { createHash } from 'node:crypto';
import { Injectable, Logger, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { SchedulerRegistry } from '@nestjs/schedule';
import { Db } from '../database/db.js';
import type { RawCallback } from '../gateway/gateway.port.js';
import { SECOND_MS } from '../shared/clock.js';
import { errorText } from '../shared/errors.js';
import { CallbackRefusal, type RefusedSample } from './callback-refusal.entity.js';

/** Anybody can send rubbish: it is counted in memory and written once in a while, so that a flood writes no more than a trickle. */
const WRITE_INTERVAL_MS = 10 * SECOND_MS;
const MAX_HEADER_NAMES = 40;

/** Counts callbacks that were refused, per account. Accounts are the operator's: nobody else can make the list grow. */
@Injectable()
export class CallbackRefusals implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly logger = new Logger(CallbackRefusals.name);
  private unwritten = new Map<string, CallbackRefusal>();

  constructor(
    private readonly db: Db,
    private readonly scheduler: SchedulerRegistry,
  ) {}

  onApplicationBootstrap(): void {
    this.scheduler.addInterval(
      'callback-refusals',
      setInterval(() => void this.write(), WRITE_INTERVAL_MS),
    );
  }

  async onApplicationShutdown(): Promise<void> {
    await this.write();
  }

  /** @param reason safe to log and to show: no secret, nothing of the body. */
  count(gateway: string, gatewayAccountId: string, reason: string, raw: RawCallback): void {
    const before = this.unwritten.get(gatewayAccountId);
    this.unwritten.set(gatewayAccountId, {
      gatewayAccountId,
      gateway,
      count: (before?.count ?? 0) + 1,
      lastReason: reason.slice(0, 300),
      lastSample: sampleOf(raw),
      firstAt: before?.firstAt ?? raw.receivedAt,
      lastAt: raw.receivedAt,
    });
  }

  /** All accounts that have refused callbacks, with what this process has not written yet. */
  async list(): Promise<CallbackRefusal[]> {
    await this.write();
    return this.db.read((manager) => manager.find(CallbackRefusal, { order: { gatewayAccountId: 'ASC' } }));
  }

  /** Never throws: what could not be written is added to what comes next. */
  private async write(): Promise<void> {
    const toWrite = this.unwritten;
    this.unwritten = new Map();
    for (const refusal of toWrite.values()) {
      try {
        await this.add(refusal);
      } catch (error) {
        const since = this.unwritten.get(refusal.gatewayAccountId);
        this.unwritten.set(
          refusal.gatewayAccountId,
          since ? { ...since, count: since.count + refusal.count, firstAt: refusal.firstAt } : refusal,
        );
        this.logger.error({ msg: 'refused callbacks could not be counted yet', error: errorText(error) });
      }
    }
  }

  private async add({ count, firstAt, ...last }: CallbackRefusal): Promise<void> {
    const { gatewayAccountId } = last;
    await this.db.transaction(
      async (manager) => {
        const written = await manager.increment(CallbackRefusal, { gatewayAccountId }, 'count', count);
        if (written.affected === 0) await manager.insert(CallbackRefusal, { ...last, count, firstAt });
        else await manager.update(CallbackRefusal, { gatewayAccountId }, last);
      },
      { retryDuplicates: true },
    );
  }
}

function sampleOf({ headers, body }: RawCallback): RefusedSample {
  return {
    bytes: body.length,
    sha256: createHash('sha256').update(body).digest('hex'),
    contentType: headers['content-type']?.slice(0, 100) ?? null,
    headerNames: Object.keys(headers)
      .sort()
      .slice(0, MAX_HEADER_NAMES)
      .map((name) => name.slice(0, 64)),
  };
}
