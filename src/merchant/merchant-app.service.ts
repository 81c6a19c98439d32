import { randomBytes } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import { APP_CONFIG, isLoopbackHost, type AppConfig } from '../config/app-config.js';
import type { EntityManager } from 'typeorm';
import { nothingAlongside, type Alongside } from '../database/alongside.js';
import { Db, isDuplicate } from '../database/db.js';
import { CLOCK, SECOND_MS, type Clock } from '../shared/clock.js';
import { ConflictError, invalidField, NotFoundError } from '../shared/errors.js';
import { OutboundPolicy } from '../shared/outbound/outbound-policy.js';
import { SecretBox } from '../shared/secret-box.js';
import { SIGN_TYPES, type SignType } from '../shared/sign-type.js';
import { InterfaceSetting } from './interface-setting.entity.js';
import { MerchantApp } from './merchant-app.entity.js';
import { INTERFACE_CODES, SIGN_DIALECT_NAMES, type InterfaceCode, type SignDialectName } from './merchant-codes.js';

export const DEFAULT_APP_ID = 'default';

export interface InterfaceSwitches {
  enabled: boolean;
  requestSign: boolean;
  responseSign: boolean;
}

/** An app with its opened secret and switches. Lives in memory alone. */
export interface ResolvedApp {
  id: string;
  enabled: boolean;
  dialect: SignDialectName;
  signType: SignType;
  /** Signs, and verifies. */
  signSecret: string;
  /** Verifies too, until it is retired. */
  previousSignSecret: string | null;
  reqTimeWindowS: number;
  notifyUrl: string | null;
  interfaces: Record<InterfaceCode, InterfaceSwitches>;
}

export interface PutApp {
  name?: string;
  dialect?: SignDialectName;
  signType?: SignType;
  signSecret?: string;
  reqTimeWindowS?: number;
  notifyUrl?: string | null;
  enabled?: boolean;
}

/** What may be shown of an app. */
export type AppView = Omit<ResolvedApp, 'signSecret' | 'previousSignSecret'> & {
  name: string;
  /** Since when the secret is the one it is. */
  signSecretSince: Date;
  /** True while the secret before it is accepted too. */
  previousSignSecretAccepted: boolean;
  createdAt: Date;
  updatedAt: Date;
};

/** For what goes along with a change: before is null where there was nothing. */
export interface AppChange {
  before: AppView | null;
  after: AppView;
}

/** A switch turned by another process works after this long at most; 5 s are promised. */
const CACHE_MS = 2 * SECOND_MS;
/** Bounds the cache against callers that invent app ids. */
const MAX_CACHED = 1_000;
const SWITCH_DEFAULTS: InterfaceSwitches = { enabled: true, requestSign: true, responseSign: false };
const MIN_SECRET_LENGTH = 6;
const GENERATED_SECRET_BYTES = 24;

@Injectable()
export class MerchantAppService {
  private readonly cache = new Map<string, { app: ResolvedApp | undefined; readAtMs: number }>();

  constructor(
    private readonly db: Db,
    private readonly secretBox: SecretBox,
    @Inject(APP_CONFIG) private readonly config: AppConfig,
    @Inject(CLOCK) private readonly clock: Clock,
    private readonly outbound: OutboundPolicy,
  ) {}

  /**
   * Makes the app `default` at the very first start, from SIGN_SECRET, SIGN_TYPE, SIGN_REQUIRED and REQ_TIME_WINDOW_S.
   *
   * @returns the generated secret when none was given and the profile is embedded: it must be shown once.
   */
  async ensureFirstApp(): Promise<{ generatedSecret?: string }> {
    const exists = await this.db.read((manager) => manager.findOneBy(MerchantApp, { id: DEFAULT_APP_ID }));
    if (exists) return {};
    const { signSecret, signType, signRequired, reqTimeWindowS } = this.config.firstApp;
    if (signSecret === undefined && this.config.databaseUrl !== undefined) {
      throw new Error(
        'SIGN_SECRET is required at the first start: it becomes the secret of the app "default" (example: SIGN_SECRET=a-long-random-text)',
      );
    }
    const secret = signSecret ?? generatedSecret();
    try {
      await this.put(DEFAULT_APP_ID, {
        name: 'Default',
        dialect: 'daxpay-v2',
        signType,
        signSecret: secret,
        reqTimeWindowS,
      });
    } catch (error) {
      // Another process was first.
      if (isDuplicate(error)) return {};
      throw error;
    }
    if (!signRequired) {
      for (const code of INTERFACE_CODES) {
        if (this.mayBeUnsigned(code)) await this.setInterface(DEFAULT_APP_ID, code, { requestSign: false });
      }
    }
    return signSecret === undefined ? { generatedSecret: secret } : {};
  }

  /** The app that a request names; undefined when there is none, or it is switched off. */
  async resolve(appId: string): Promise<ResolvedApp | undefined> {
    const cached = this.cache.get(appId);
    if (cached && Math.abs(Date.now() - cached.readAtMs) < CACHE_MS) return cached.app;
    const app = await this.load(appId);
    if (this.cache.size >= MAX_CACHED) this.cache.clear();
    this.cache.set(appId, { app, readAtMs: Date.now() });
    return app;
  }

  async list(): Promise<AppView[]> {
    const apps = await this.db.read((manager) => manager.find(MerchantApp, { order: { id: 'ASC' } }));
    return Promise.all(apps.map((app) => this.view(app)));
  }

  async find(id: string): Promise<AppView | undefined> {
    const app = await this.row(id);
    return app ? this.view(app) : undefined;
  }

  /** Makes an app or changes the given members of one. A new app needs `signSecret`. */
  async put(id: string, put: PutApp, alongside: Alongside<AppChange> = nothingAlongside): Promise<AppView> {
    checkApp(id, put);
    this.outbound.check('notifyUrl', put.notifyUrl);
    const view = await this.db.transaction(async (manager) => {
      const stored = await this.locked(manager, id);
      const before = stored ? await this.view(stored) : null;
      const signSecret = put.signSecret ?? (stored ? this.openSecret(stored) : undefined);
      if (signSecret === undefined) throw invalidField('signSecret', 'is required for a new app');
      const dialect = put.dialect ?? stored?.dialect ?? 'daxpay-v2';
      const signType = put.signType ?? stored?.signType ?? 'MD5';
      if (signType === 'SM3' && dialect !== 'daxpay-v3')
        throw invalidField('signType', 'SM3 belongs to dialect daxpay-v3');
      const now = this.clock.now();
      // Given like this a secret replaces the one before it at once; a rotation lets both open for a while.
      const replaced = stored !== null && put.signSecret !== undefined;
      const row = manager.create(MerchantApp, {
        id,
        name: put.name ?? stored?.name ?? id,
        dialect,
        signType,
        sealedSignSecret: this.secretBox.seal(signSecret, `merchant_app:${id}`),
        sealedPreviousSignSecret: replaced ? null : (stored?.sealedPreviousSignSecret ?? null),
        signSecretRotatedAt: replaced ? now : (stored?.signSecretRotatedAt ?? null),
        reqTimeWindowS: put.reqTimeWindowS ?? stored?.reqTimeWindowS ?? 300,
        notifyUrl: put.notifyUrl === undefined ? (stored?.notifyUrl ?? null) : put.notifyUrl,
        enabled: put.enabled ?? stored?.enabled ?? true,
        createdAt: stored?.createdAt ?? now,
        updatedAt: now,
      });
      if (stored) await manager.save(MerchantApp, row);
      else await manager.insert(MerchantApp, row);
      const after = await this.view(row);
      await alongside({ before, after });
      return after;
    });
    this.cache.delete(id);
    return view;
  }

  /**
   * Begins a rotation: the new secret signs answers and notifications from now on, the old one still verifies requests until it is retired.
   *
   * @param signSecret generated when it is left out.
   * @returns the secret, to be shown this once.
   * @throws ConflictError while a rotation is under way: a third secret would shut out whoever still uses the first.
   */
  async rotateSecret(
    id: string,
    signSecret: string = generatedSecret(),
    alongside: Alongside<AppChange> = nothingAlongside,
  ): Promise<{ app: AppView; signSecret: string }> {
    checkApp(id, { signSecret });
    const app = await this.changeSecret(id, alongside, (stored) => {
      if (stored.sealedPreviousSignSecret !== null)
        throw new ConflictError('signSecret', `of ${id} is being rotated already: retire the previous one first`);
      if (this.openSecret(stored) === signSecret) throw invalidField('signSecret', 'is the one there is');
      stored.sealedPreviousSignSecret = stored.sealedSignSecret;
      stored.sealedSignSecret = this.secretBox.seal(signSecret, `merchant_app:${id}`);
      stored.signSecretRotatedAt = this.clock.now();
    });
    return { app, signSecret };
  }

  /** Ends a rotation: the old secret opens nothing any more. Without a rotation nothing changes. */
  async retireSecret(id: string, alongside: Alongside<AppChange> = nothingAlongside): Promise<AppView> {
    return this.changeSecret(id, alongside, (stored) => {
      stored.sealedPreviousSignSecret = null;
    });
  }

  /** Turns switches of one interface for one app; members left out stay as they are. */
  async setInterface(
    appId: string,
    code: InterfaceCode,
    change: Partial<InterfaceSwitches>,
    alongside: Alongside<{ before: InterfaceSwitches; after: InterfaceSwitches }> = nothingAlongside,
  ): Promise<InterfaceSwitches> {
    if (change.requestSign === false && !this.mayBeUnsigned(code)) {
      throw invalidField(
        'requestSign',
        `of ${code} can be switched off only while HOST is loopback: anybody could refund`,
      );
    }
    const switches = await this.db.transaction(
      async (manager) => {
        if (!(await manager.existsBy(MerchantApp, { id: appId }))) throw new NotFoundError(`no app ${appId}`);
        const stored = await manager.findOneBy(InterfaceSetting, { appId, code });
        const before = this.effective(code, stored);
        const next = { ...before, ...change };
        await manager.save(
          InterfaceSetting,
          manager.create(InterfaceSetting, { appId, code, ...next, updatedAt: this.clock.now() }),
        );
        await alongside({ before, after: next });
        return next;
      },
      { retryDuplicates: true },
    );
    this.cache.delete(appId);
    return switches;
  }

  private async changeSecret(
    id: string,
    alongside: Alongside<AppChange>,
    change: (stored: MerchantApp) => void,
  ): Promise<AppView> {
    const view = await this.db.transaction(async (manager) => {
      const stored = await this.locked(manager, id);
      if (!stored) throw new NotFoundError(`no app ${id.slice(0, 64)}`);
      const before = await this.view(stored);
      change(stored);
      stored.updatedAt = this.clock.now();
      await manager.save(MerchantApp, stored);
      const after = await this.view(stored);
      await alongside({ before, after });
      return after;
    });
    this.cache.delete(id);
    return view;
  }

  private async locked(manager: EntityManager, id: string): Promise<MerchantApp | null> {
    const query = manager.createQueryBuilder(MerchantApp, 'app').where('app.id = :id', { id });
    const app = await this.db.forUpdate(query).getOne();
    return app?.id === id ? app : null;
  }

  private async load(appId: string): Promise<ResolvedApp | undefined> {
    const app = await this.row(appId);
    if (!app?.enabled) return undefined;
    const { sealedPreviousSignSecret: previous } = app;
    return {
      ...(await this.publicPart(app)),
      signSecret: this.openSecret(app),
      previousSignSecret: previous === null ? null : this.secretBox.open(previous, `merchant_app:${app.id}`),
    };
  }

  private async row(id: string): Promise<MerchantApp | undefined> {
    const app = await this.db.read((manager) => manager.findOneBy(MerchantApp, { id }));
    // MySQL compares text without its trailing spaces.
    return app?.id === id ? app : undefined;
  }

  private async publicPart(app: MerchantApp): Promise<Omit<ResolvedApp, 'signSecret' | 'previousSignSecret'>> {
    const settings = await this.db.read((manager) => manager.findBy(InterfaceSetting, { appId: app.id }));
    const of = (code: InterfaceCode): InterfaceSwitches =>
      this.effective(code, settings.find((setting) => setting.code === code) ?? null);
    return {
      id: app.id,
      enabled: app.enabled,
      dialect: app.dialect,
      signType: app.signType,
      reqTimeWindowS: app.reqTimeWindowS,
      notifyUrl: app.notifyUrl,
      interfaces: {
        syncRefund: of('syncRefund'),
        refund: of('refund'),
        queryRefund: of('queryRefund'),
        events: of('events'),
      },
    };
  }

  /** Anybody who reaches the service could refund: unsigned is for a machine that nobody else reaches. */
  private mayBeUnsigned(code: InterfaceCode): boolean {
    return code === 'syncRefund' || isLoopbackHost(this.config.host);
  }

  /** A switch that was turned while HOST was loopback does not hold once it is not. */
  private effective(code: InterfaceCode, stored: InterfaceSetting | null): InterfaceSwitches {
    const switches = stored ? pick(stored) : SWITCH_DEFAULTS;
    return this.mayBeUnsigned(code) ? switches : { ...switches, requestSign: true };
  }

  private async view(app: MerchantApp): Promise<AppView> {
    return {
      ...(await this.publicPart(app)),
      name: app.name,
      signSecretSince: app.signSecretRotatedAt ?? app.createdAt,
      previousSignSecretAccepted: app.sealedPreviousSignSecret !== null,
      createdAt: app.createdAt,
      updatedAt: app.updatedAt,
    };
  }

  private openSecret(app: MerchantApp): string {
    return this.secretBox.open(app.sealedSignSecret, `merchant_app:${app.id}`);
  }
}

function generatedSecret(): string {
  return randomBytes(GENERATED_SECRET_BYTES).toString('base64url');
}

function pick({ enabled, requestSign, responseSign }: InterfaceSwitches): InterfaceSwitches {
  return { enabled, requestSign, responseSign };
}

function checkApp(id: string, put: PutApp): void {
  if (!/^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/.test(id))
    throw invalidField('id', 'must be 1 to 64 letters, digits, - and _, beginning with a letter or digit');
  if (put.signSecret !== undefined && put.signSecret.length < MIN_SECRET_LENGTH) {
    throw invalidField('signSecret', `must have at least ${MIN_SECRET_LENGTH} characters`);
  }
  if (put.dialect !== undefined && !SIGN_DIALECT_NAMES.includes(put.dialect)) {
    throw invalidField('dialect', `must be one of ${SIGN_DIALECT_NAMES.join(', ')}`);
  }
  if (put.signType !== undefined && !SIGN_TYPES.includes(put.signType))
    throw invalidField('signType', `must be one of ${SIGN_TYPES.join(', ')}`);
}
