import { EventChannel } from '../shared/telemetry.js';
import type { SyncRecord } from './sync-record.entity.js';

/** One answer of a gateway (or its lack) that was applied and committed. */
export interface AppliedEvent {
  /** As merchants call it: `wechat_pay`. */
  channel: string;
  record: SyncRecord;
}

export const appliedAnswers = new EventChannel<AppliedEvent>('applied');
