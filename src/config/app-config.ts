import type { AllowList } from '../shared/outbound/allow-list.js';
import type { SignType } from '../shared/sign-type.js';

export const APP_CONFIG = Symbol('AppConfig');

export const ROLES = ['all', 'api', 'worker'] as const;
export type Role = (typeof ROLES)[number];

/** What a connector may declare at most. */
export const MAX_GATEWAY_TIMEOUT_MS = 15_000;

export const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Milliseconds. */
export interface StuckAfter {
  default: number | undefined;
  byChannel: Readonly<Record<string, number>>;
}

/** The typed environment. Durations are milliseconds unless the name says otherwise. */
export interface AppConfig {
  production: boolean;
  port: number;
  host: string;
  dataDir: string;
  /** Absent: SQLite in `dataDir`. */
  databaseUrl: string | undefined;
  /** Absent: the in-process queue. */
  redisUrl: string | undefined;
  /** Of all keys of the queue; services with different databases must not share one. */
  redisPrefix: string;
  role: Role;
  /** 32 bytes. */
  masterKey: Buffer;
  /** Keys that MASTER_KEY replaced, 32 bytes each: they open what was sealed before, and seal nothing. */
  masterKeysOld: readonly Buffer[];
  /** Absent: no bootstrap operator. */
  adminToken: string | undefined;
  firstApp: {
    signSecret: string | undefined;
    signType: SignType;
    signRequired: boolean;
    reqTimeWindowS: number;
  };
  syncWaitMs: number;
  syncConcurrency: number;
  syncGiveUpMs: number;
  /** What one operator decides on a case, another one must confirm. */
  reviewFourEyes: boolean;
  /** A proposal that nobody has confirmed by then is void. */
  reviewProposalTtlMs: number;
  /** How long a refund may be open before it counts as stuck: per channel, and for the others; absent: as each gateway declares. */
  stuckAfter: StuckAfter;
  sweepIntervalMs: number;
  /** The longest that one call to a gateway may take; a connector may declare less. */
  gatewayTimeoutMs: number;
  /** How long one process may hold a refund without a sign of life. Follows from `gatewayTimeoutMs`. */
  leaseMs: number;
  /** A claimed refund is due again after this long, should its job be lost. Follows from `gatewayTimeoutMs`. */
  claimMs: number;
  /** Overrides what each gateway declares; absent: the gateway's own. */
  notFoundGraceMs: number | undefined;
  /** Not public, and merchants may be notified there all the same. */
  notifyAllow: AllowList;
  /** How often the outbox is looked at for what is due. */
  notifyIntervalMs: number;
  /** Notifications that one process has in hand at once. */
  notifyConcurrency: number;
  /** A receiver that has failed for so long, without one success, is paused. */
  notifyPauseAfterMs: number;
  /** Absent: no sandbox is used. */
  sandboxPort: number | undefined;
  /** Pause between two looks of the sealer for rows without a place in the ledger. */
  ledgerSealIntervalMs: number;
  /** Bearer of `GET /metrics`; absent: for the machine itself alone. */
  metricsToken: string | undefined;
  /** Absent: no traces. */
  otel: { /** With path; may hold credentials. */ tracesUrl: string; serviceName: string } | undefined;
  logLevel: LogLevel;
}

/** True when the service can be reached from this machine alone. */
export function isLoopbackHost(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(host);
}
