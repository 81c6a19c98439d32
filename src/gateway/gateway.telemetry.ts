import { OperationChannel } from '../shared/telemetry.js';
import type { Observation } from './observation.js';
import type { GatewayCallKind } from './refusal-rules.js';

/** One call that goes out to a gateway. Holds no setting of the account and nothing that is sent. */
export interface GatewayCallEvent {
  /** As merchants call it: `wechat_pay`. */
  channel: string;
  gateway: string;
  accountId: string;
  operation: GatewayCallKind;
}

/** Calls to gateways; errors are GatewayErrors, redacted. */
export const gatewayCalls = new OperationChannel<GatewayCallEvent, Observation>('gateway-call');
