import { Inject, Injectable } from '@nestjs/common';
import { nothingAlongside, type Alongside } from '../database/alongside.js';
import { Db } from '../database/db.js';
import { CLOCK, SECOND_MS, type Clock } from '../shared/clock.js';
import { DomainError, errorText, invalidField } from '../shared/errors.js';
import { SecretBox } from '../shared/secret-box.js';
import { parseConfig, type ConfigField } from './config-schema.js';
import { GatewayAccount } from './gateway-account.entity.js';
import { GATEWAY_CHANNELS, type GatewayChannel, type RefundGateway } from './gateway.port.js';
import { GatewayRegistry } from './gateway.registry.js';

/** An account with its connector and its opened settings. Lives in memory alone. */
export interface ResolvedAccount {
  account: GatewayAccount;
  gateway: RefundGateway;
  /** The same object as long as the stored settings are the same: connectors cache clients by it. */
  config: unknown;
  /** Values that must never leave the process; for redaction. */
  secrets: readonly string[];
}

export interface PutGatewayAccount {
  appId?: string | null;
  channel: string;
  name?: string;
  config: Record<string, unknown>;
  enabled?: boolean;
  sandbox?: boolean;
  notFoundPolicy?: 'review' | 'close';
  /** Null: as the connector declares. */
  ratePerSecond?: number | null;
  maxConcurrency?: number | null;
}

/** The account cannot be used until an operator acts. The message is safe to show to one. */
export class UnusableAccount extends Error {
  override readonly name = 'UnusableAccount';
}

/** What may be shown of an account: which settings are there, not what they are. */
export interface GatewayAccountView {
  id: string;
  appId: string | null;
  channel: GatewayChannel;
  gateway: string;
  name: string;
  merchantId: string;
  enabled: boolean;
  sandbox: boolean;
  notFoundPolicy: 'review' | 'close';
  ratePerSecond: number | null;
  maxConcurrency: number | null;
  settings: string[];
  callbackPath: string | null;
  createdAt: Date;
  updatedAt: Date;
}

/** A change made by another process is seen after this long at most. */
const CACHE_MS = 2 * SECOND_MS;

@Injectable()
export class GatewayAccountService {
  private readonly cache = new Map<string, { resolved: ResolvedAccount; readAtMs: number }>();

  constructor(
    private readonly db: Db,
    private readonly registry: GatewayRegistry,
    private readonly secretBox: SecretBox,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  /** @throws UnusableAccount when there is no such account, no connector for its channel, or its settings do not open. */
  async resolve(accountId: string): Promise<ResolvedAccount> {
    const cached = this.cache.get(accountId);
    if (cached && Math.abs(Date.now() - cached.readAtMs) < CACHE_MS) return cached.resolved;
    const account = await this.db.read((manager) => manager.findOneBy(GatewayAccount, { id: accountId }));
    // MySQL compares text without its trailing spaces.
    if (account?.id !== accountId) throw new UnusableAccount(`there is no gateway account ${accountId}`);
    const resolved =
      cached && cached.resolved.account.sealedConfig === account.sealedConfig
        ? { ...cached.resolved, account }
        : this.open(account);
    this.cache.set(accountId, { resolved, readAtMs: Date.now() });
    return resolved;
  }

  /**
   * The account that a refund of an app and channel uses.
   *
   * @throws DomainError `invalid` naming the field when the choice is not clear.
   */
  async choose(appId: string, channel: string, accountId: string | undefined): Promise<ResolvedAccount> {
    if (!this.registry.forChannel(channel)) {
      throw invalidField(
        'channel',
        `${channel} has no connector yet; there is one for: ${this.registry.channels().join(', ')}`,
      );
    }
    if (accountId !== undefined) {
      const resolved = await this.resolve(accountId).catch((error: unknown) => {
        if (error instanceof UnusableAccount) throw invalidField('gatewayAccountId', `${accountId} is not known`);
        throw error;
      });
      const { account } = resolved;
      if (account.appId !== null && account.appId !== appId)
        throw invalidField('gatewayAccountId', `${accountId} is not known`);
      if (account.channel !== channel)
        throw invalidField('gatewayAccountId', `${accountId} belongs to channel ${account.channel}, not ${channel}`);
      if (!account.enabled) throw invalidField('gatewayAccountId', `${accountId} is switched off`);
      return resolved;
    }
    const accounts = await this.db.read((manager) =>
      manager.findBy(GatewayAccount, { channel: channel as GatewayChannel, enabled: true }),
    );
    const own = accounts.filter((account) => account.appId === appId);
    const usable = own.length > 0 ? own : accounts.filter((account) => account.appId === null);
    const [only] = usable;
    if (!only)
      throw invalidField('channel', `${channel} has no gateway account; make one with PUT /admin/gateway-accounts/:id`);
    if (usable.length > 1) {
      throw invalidField(
        'gatewayAccountId',
        `is required: ${usable.length} accounts serve ${channel} (${usable.map(({ id }) => id).join(', ')})`,
      );
    }
    return this.resolve(only.id);
  }

  async list(): Promise<GatewayAccountView[]> {
    const accounts = await this.db.read((manager) => manager.find(GatewayAccount, { order: { id: 'ASC' } }));
    return accounts.map((account) => this.view(account));
  }

  async find(id: string): Promise<GatewayAccountView | undefined> {
    const account = await this.db.read((manager) => manager.findOneBy(GatewayAccount, { id }));
    return account ? this.view(account) : undefined;
  }

  /** Makes or replaces an account. Settings that are secret and left out keep their stored value. */
  async put(
    id: string,
    put: PutGatewayAccount,
    alongside: Alongside<{ before: GatewayAccountView | null; after: GatewayAccountView }> = nothingAlongside,
  ): Promise<GatewayAccountView> {
    if (!/^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/.test(id))
      throw invalidField('id', 'must be 1 to 64 letters, digits, - and _, beginning with a letter or digit');
    const gateway = this.registry.forAccount(put.channel, put.config);
    if (!gateway) {
      const known = GATEWAY_CHANNELS.some((channel) => channel === put.channel);
      throw invalidField(
        'channel',
        `${put.channel} ${known ? 'has no connector yet' : 'is not a channel'}; there is one for: ${this.registry.channels().join(', ')}`,
      );
    }
    const view = await this.db.transaction(
      async (manager) => {
        const stored = await manager.findOneBy(GatewayAccount, { id });
        if (stored && stored.channel !== gateway.channel)
          throw invalidField('channel', `of account ${id} is ${stored.channel} and cannot be changed`);
        const kept = stored ? this.keepSecrets(stored, gateway) : {};
        const parsed = parseConfig(gateway.config, { ...kept, ...put.config });
        if (parsed.faults.length > 0) {
          const faults = parsed.faults.map(({ field, fault }) => ({ field: `config.${field}`, fault }));
          throw new DomainError('invalid', faults.map(({ field, fault }) => `${field} ${fault}`).join('; '), {
            faults,
          });
        }
        const merchantId = gateway.merchantId(parsed.config);
        if (stored && stored.merchantId !== merchantId) {
          throw invalidField(
            'config',
            `names merchant ${merchantId}, but account ${id} belongs to ${stored.merchantId}: make another account`,
          );
        }
        const now = this.clock.now();
        const limits = limitsWithin(gateway, {
          ratePerSecond: put.ratePerSecond === undefined ? (stored?.ratePerSecond ?? null) : put.ratePerSecond,
          maxConcurrency: put.maxConcurrency === undefined ? (stored?.maxConcurrency ?? null) : put.maxConcurrency,
        });
        const row = manager.create(GatewayAccount, {
          id,
          appId: put.appId ?? stored?.appId ?? null,
          channel: gateway.channel,
          name: put.name ?? stored?.name ?? id,
          sealedConfig: this.secretBox.seal(JSON.stringify(parsed.config), `gateway_account:${id}`),
          merchantId,
          enabled: put.enabled ?? stored?.enabled ?? true,
          sandbox: put.sandbox ?? stored?.sandbox ?? false,
          notFoundPolicy: put.notFoundPolicy ?? stored?.notFoundPolicy ?? 'review',
          ...limits,
          createdAt: stored?.createdAt ?? now,
          updatedAt: now,
        });
        const before = stored ? this.view(stored) : null;
        const after = this.view(await manager.save(GatewayAccount, row));
        await alongside({ before, after });
        return after;
      },
      { retryDuplicates: true },
    );
    this.cache.delete(id);
    return view;
  }

  private open(account: GatewayAccount): ResolvedAccount {
    let config: Record<string, unknown>;
    try {
      config = this.openConfig(account);
    } catch (error) {
      throw new UnusableAccount(`gateway account ${account.id} cannot be opened: ${errorText(error)}`);
    }
    const gateway = this.registry.forAccount(account.channel, config);
    if (!gateway)
      throw new UnusableAccount(`channel ${account.channel} of gateway account ${account.id} has no connector`);
    const fields = gateway.config as Record<string, ConfigField>;
    const secrets = Object.entries(config)
      .filter(([name]) => fields[name]?.secret === true)
      // A setting may hold several, with commas between them.
      .flatMap(([, value]) =>
        typeof value === 'string' ? [value, ...value.split(',').map((part) => part.trim())] : [],
      );
    return { account, gateway, config, secrets };
  }

  private openConfig(account: GatewayAccount): Record<string, unknown> {
    return JSON.parse(this.secretBox.open(account.sealedConfig, `gateway_account:${account.id}`)) as Record<
      string,
      unknown
    >;
  }

  /** One account that cannot be opened must not keep the others from being shown. */
  private openedOrEmpty(account: GatewayAccount): Record<string, unknown> {
    try {
      return this.openConfig(account);
    } catch {
      return {};
    }
  }

  private keepSecrets(stored: GatewayAccount, gateway: RefundGateway): Record<string, unknown> {
    const fields = gateway.config as Record<string, ConfigField>;
    return Object.fromEntries(
      Object.entries(this.openConfig(stored)).filter(([name]) => fields[name]?.secret === true),
    );
  }

  private view(account: GatewayAccount): GatewayAccountView {
    const config = this.openedOrEmpty(account);
    const gateway = this.registry.forAccount(account.channel, config);
    return {
      id: account.id,
      appId: account.appId,
      channel: account.channel,
      gateway: gateway?.code ?? 'none',
      name: account.name,
      merchantId: account.merchantId,
      enabled: account.enabled,
      sandbox: account.sandbox,
      notFoundPolicy: account.notFoundPolicy,
      ratePerSecond: account.ratePerSecond,
      maxConcurrency: account.maxConcurrency,
      settings: gateway ? Object.keys(config) : [],
      callbackPath: gateway?.callback ? `/callback/${gateway.code}/${account.id}` : null,
      createdAt: account.createdAt,
      updatedAt: account.updatedAt,
    };
  }
}

/** What a connector declares is the most that its gateway bears. */
function limitsWithin<Limits extends Pick<GatewayAccount, 'ratePerSecond' | 'maxConcurrency'>>(
  { policy, displayName }: RefundGateway,
  limits: Limits,
): Limits {
  const ceilings = { ratePerSecond: policy.rate.perSecond, maxConcurrency: policy.rate.concurrency };
  for (const field of ['ratePerSecond', 'maxConcurrency'] as const) {
    const value = limits[field];
    if (value !== null && value > ceilings[field])
      throw invalidField(field, `must not exceed ${ceilings[field]}, which is what ${displayName} bears`);
  }
  return limits;
}
