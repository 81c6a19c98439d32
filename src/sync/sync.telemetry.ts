import type { Applied } from '../refund/apply.service.js';
import { OperationChannel } from '../shared/telemetry.js';
import type { SyncJob } from './sync-queue.port.js';

/** Jobs of the queue that run. */
export const syncRuns = new OperationChannel<SyncJob, Applied | 'busy' | 'absent' | 'postponed'>('sync-run');
