import { InitialSchema1795305600000 } from './1795305600000-initial-schema.js';
import { GatewayPacing1795392000000 } from './1795392000000-gateway-pacing.js';
import { AdminAccess1795478400000 } from './1795478400000-admin-access.js';
import { SecretRotation1795478500000 } from './1795478500000-secret-rotation.js';
import { Cases1795482000000 } from './1795482000000-cases.js';
import { Notifications1795485600000 } from './1795485600000-notifications.js';
import { Ledger1795489200000 } from './1795489200000-ledger.js';
import { Observability1795489300000 } from './1795489300000-observability.js';
import { CallbackInbox1795492800000 } from './1795492800000-callback-inbox.js';

/** In the order in which they run. A migration that was released is never changed. */
export const MIGRATIONS = [
  InitialSchema1795305600000,
  GatewayPacing1795392000000,
  AdminAccess1795478400000,
  SecretRotation1795478500000,
  Cases1795482000000,
  Notifications1795485600000,
  Ledger1795489200000,
  Observability1795489300000,
  CallbackInbox1795492800000,
];
