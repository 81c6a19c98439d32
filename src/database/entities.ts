import { AdminSession } from '../admin/access/admin-session.entity.js';
import { AdminUser } from '../admin/access/admin-user.entity.js';
import { ApiToken } from '../admin/access/api-token.entity.js';
import { LoginFailure } from '../admin/access/login-failure.entity.js';
import { AuditEntry } from '../admin/audit-entry.entity.js';
import { CaseProposal } from '../admin/cases/case-proposal.entity.js';
import { CallbackRecord } from '../callback/callback-record.entity.js';
import { CallbackRefusal } from '../callback/callback-refusal.entity.js';
import { GatewayAccount } from '../gateway/gateway-account.entity.js';
import { LedgerHead } from '../ledger/ledger-head.entity.js';
import { InterfaceSetting } from '../merchant/interface-setting.entity.js';
import { MerchantApp } from '../merchant/merchant-app.entity.js';
import { NotificationAttempt } from '../notification/notification-attempt.entity.js';
import { NotificationEndpoint } from '../notification/notification-endpoint.entity.js';
import { HealthProbe } from '../observability/health-probe.entity.js';
import { Notification } from '../refund/notification.entity.js';
import { Payment } from '../refund/payment.entity.js';
import { Refund } from '../refund/refund.entity.js';
import { RepairRecord } from '../refund/repair-record.entity.js';
import { SyncRecord } from '../refund/sync-record.entity.js';

/** Every table of the service; each entity lives in the module that writes it. */
export const ENTITIES = [
  AdminSession,
  AdminUser,
  ApiToken,
  AuditEntry,
  CallbackRecord,
  CallbackRefusal,
  CaseProposal,
  GatewayAccount,
  HealthProbe,
  InterfaceSetting,
  LedgerHead,
  LoginFailure,
  MerchantApp,
  Notification,
  NotificationAttempt,
  NotificationEndpoint,
  Payment,
  Refund,
  RepairRecord,
  SyncRecord,
];
