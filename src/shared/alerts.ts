import { Injectable, Logger } from '@nestjs/common';

/**
 * What somebody must be woken for, by a code that stays: alert rules and the runbook go by it.
 *
 * - OVER_REFUNDED: more was refunded of a payment than it had
 * - REFUNDS_SILENT: refunds that nobody would ever look at again
 * - REFUNDS_STUCK: refunds that have been open for longer than their gateway's norm
 */
export const ALERT_CODES = ['OVER_REFUNDED', 'REFUNDS_SILENT', 'REFUNDS_STUCK'] as const;
export type AlertCode = (typeof ALERT_CODES)[number];

/** Alerts are log lines of level error with a stable code, and are counted for whoever exports metrics. */
@Injectable()
export class Alerts {
  private readonly logger = new Logger(Alerts.name);
  private readonly raised = new Map<AlertCode, number>();

  /** After the commit of what it is about. @param facts plain values without secrets. */
  raise(code: AlertCode, msg: string, facts: Record<string, unknown>): void {
    this.raised.set(code, (this.raised.get(code) ?? 0) + 1);
    this.logger.error({ code, msg, ...facts });
  }

  /** How often each was raised since this process started. */
  counts(): ReadonlyMap<AlertCode, number> {
    return this.raised;
  }
}
