import { Injectable } from '@nestjs/common';
import { Db } from '../database/db.js';
import { Notification } from './notification.entity.js';
import { Payment } from './payment.entity.js';
import { Refund } from './refund.entity.js';
import { RepairRecord } from './repair-record.entity.js';
import { SyncRecord } from './sync-record.entity.js';

export interface RefundHistory {
  syncs: SyncRecord[];
  repairs: RepairRecord[];
  notifications: Notification[];
}

/** A timeline is bounded: a refund that hung for a month has thousands of looks, and the newest tell. */
const HISTORY_LIMIT = 500;

/** Reads refunds, payments and their records; writes nothing. */
@Injectable()
export class RefundQueryService {
  constructor(private readonly db: Db) {}

  async find(id: string): Promise<Refund | null> {
    return this.db.read((manager) => manager.findOneBy(Refund, { id }));
  }

  /** By the number under which the gateway knows it, else by the gateway's own. */
  async findAtGateway(
    gatewayAccountId: string,
    by: { gatewayRequestNo: string | null; outTradeNo: string | null; gatewayRefundNo: string | null },
  ): Promise<Refund | null> {
    const { gatewayRequestNo, outTradeNo, gatewayRefundNo } = by;
    if (gatewayRequestNo !== null) {
      const where = { gatewayAccountId, gatewayRequestNo, ...(outTradeNo === null ? {} : { outTradeNo }) };
      const found = await this.db.read((manager) => manager.find(Refund, { where, take: 2 }));
      // Without the payment's number two payments may have a refund of this number: then nobody is meant for certain.
      if (found.length === 1) return found[0] ?? null;
    }
    if (gatewayRefundNo === null) return null;
    return this.db.read((manager) => manager.findOneBy(Refund, { gatewayAccountId, gatewayRefundNo }));
  }

  async payment(id: string): Promise<Payment> {
    return this.db.read((manager) => manager.findOneByOrFail(Payment, { id }));
  }

  /** The newest records of a refund, oldest first. */
  async history(refundId: string): Promise<RefundHistory> {
    const newest = { where: { refundId }, order: { id: 'DESC' as const }, take: HISTORY_LIMIT };
    const syncs = await this.db.read((manager) => manager.find(SyncRecord, newest));
    const repairs = await this.db.read((manager) => manager.find(RepairRecord, newest));
    const notifications = await this.db.read((manager) => manager.find(Notification, newest));
    return { syncs: syncs.reverse(), repairs: repairs.reverse(), notifications: notifications.reverse() };
  }
}
