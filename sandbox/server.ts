import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { AlipaySimulator } from './alipay/alipay.server.js';
import { ControlApi } from './control.js';
import type { AccountVariant, ChannelSettings, ConnectorAccount, GatewaySimulator } from './gateway.js';
import { sendJson } from './http.js';
import { KeyRing } from './keys.js';
import { StripeSimulator } from './stripe/stripe.server.js';
import { UnionpaySimulator } from './unionpay/unionpay.server.js';
import { WechatSimulator } from './wechat/wechat.server.js';

export interface SandboxOptions {
  /** 0 (default) takes a free one. */
  port?: number;
  /** Address to bind; 127.0.0.1 by default. Anything else lets others steer the sandbox. */
  host?: string;
  /** File that keeps the generated keys between starts. */
  keysFile?: string;
  /** Settings to start with, by channel. */
  settings?: Readonly<Record<string, Partial<ChannelSettings>>>;
  /** Milliseconds since the epoch; for tests. Callbacks still wait on real timers. */
  now?: () => number;
}

export interface Sandbox {
  /** Of the gateways and the control API alike: `http://127.0.0.1:9100`. */
  url: string;
  port: number;
  /** What `GET /control/accounts` answers, for tests in the same process. */
  accounts(variant?: AccountVariant): ConnectorAccount[];
  /** Forgets refunds, payments, faults and counters; keys and settings stay. */
  reset(): void;
  /** Stops at once: open connections are cut, callbacks under way are dropped. */
  close(): Promise<void>;
}

/** Starts the simulated gateways and their control API on one port. */
export async function createSandbox(options: SandboxOptions = {}): Promise<Sandbox> {
  const now = options.now ?? Date.now;
  const host = options.host ?? '127.0.0.1';
  const ring = await KeyRing.open(options.keysFile);
  const gateways: GatewaySimulator[] = [
    await WechatSimulator.open({ ring, now, settings: options.settings?.wechat_pay }),
    await AlipaySimulator.open({ ring, now, settings: options.settings?.ali_pay }),
    await UnionpaySimulator.open({ ring, now, settings: options.settings?.union_pay }),
    StripeSimulator.open({ ring, now, settings: options.settings?.stripe }),
  ];
  await ring.save();
  const control = new ControlApi(
    gateways,
    now,
    new Map(gateways.map(({ channel, state }) => [channel, state.settings])),
  );

  const server = createServer((request, response) => {
    const path = request.url ?? '/';
    const gateway = gateways.find((candidate) => candidate.owns(path));
    if (gateway) control.countGatewayRequest();
    const served = gateway
      ? gateway.serve(request, response)
      : control.owns(path.split('?', 1)[0] ?? '')
        ? control.serve(request, response)
        : undefined;
    if (!served) {
      sendJson(response, 404, { error: 'path: belongs to no gateway, and not to /control' });
      return;
    }
    served.catch((error: unknown) => {
      // A client that left in the middle of its own request is its affair; anything else is a bug worth the text.
      if (response.destroyed || response.headersSent) response.destroy();
      else sendJson(response, 500, { error: `sandbox: ${error instanceof Error ? error.message : String(error)}` });
    });
  });
  // Longer than clients keep idle connections: the sandbox cuts connections where a fault says so and nowhere else.
  server.keepAliveTimeout = 75_000;
  server.headersTimeout = 80_000;

  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port ?? 0, host, () => {
      server.off('error', reject);
      resolve();
    });
  });
  const { port } = server.address() as AddressInfo;
  const url = `http://${host.includes(':') ? `[${host}]` : host}:${port}`;

  return {
    url,
    port,
    accounts: (variant) => control.accounts(url, variant),
    reset: () => control.reset(),
    close: () =>
      new Promise((resolve) => {
        for (const { callbacks } of gateways) callbacks.close();
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
