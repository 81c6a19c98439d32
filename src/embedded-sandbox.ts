import { fork, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { PutGatewayAccount } from './gateway/gateway-account.service.js';

/** What `GET /control/accounts` of the sandbox answers for each gateway that it plays. */
interface SandboxAccount {
  channel: string;
  gateway: string;
  config: Record<string, unknown>;
  /** Where to call back is set in the gateway's account and not in the connector's settings. */
  webhook?: boolean;
}

const START_TIMEOUT_MS = 15_000;
const SANDBOX_MAIN = fileURLToPath(new URL('../sandbox/main.js', import.meta.url));

/** The gateway sandbox of the embedded profile, in a process of its own. */
export class EmbeddedSandbox {
  private constructor(
    readonly url: string,
    private readonly child: ChildProcess | undefined,
  ) {}

  /** Uses a sandbox that already listens on the port, else starts one. @throws Error with one line when neither works. */
  static async start(port: number): Promise<EmbeddedSandbox> {
    const url = `http://127.0.0.1:${port}`;
    if (await isSandbox(url)) return new EmbeddedSandbox(url, undefined);
    if (!existsSync(SANDBOX_MAIN))
      throw new Error(`the sandbox is not built: ${SANDBOX_MAIN} is missing (npm run build)`);
    const child = fork(SANDBOX_MAIN, [], {
      env: { ...sandboxEnvironment(), SANDBOX_PORT: String(port) },
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Error(`the sandbox did not start within ${START_TIMEOUT_MS} ms`)),
        START_TIMEOUT_MS,
      );
      child.once('message', () => {
        clearTimeout(timer);
        resolve();
      });
      child.once('exit', (code) => {
        clearTimeout(timer);
        reject(
          new Error(`the sandbox could not start on port ${port} (exit code ${code}); SANDBOX_PORT chooses another`),
        );
      });
    });
    return new EmbeddedSandbox(url, child);
  }

  /** Accounts for every gateway that the sandbox plays, with the callback address of this service. */
  async accounts(callbackBaseUrl: string): Promise<{ id: string; put: PutGatewayAccount }[]> {
    const response = await fetch(`${this.url}/control/accounts`);
    const { items } = (await response.json()) as { items: SandboxAccount[] };
    for (const { channel, gateway } of items.filter(({ webhook }) => webhook)) {
      const webhookUrl = `${callbackBaseUrl}/callback/${gateway}/sandbox-${gateway}`;
      await fetch(`${this.url}/control/settings`, { method: 'POST', body: JSON.stringify({ channel, webhookUrl }) });
    }
    return items.map(({ channel, gateway, config, webhook }) => {
      const id = `sandbox-${gateway}`;
      const notifyUrl = `${callbackBaseUrl}/callback/${gateway}/${id}`;
      return {
        id,
        put: {
          channel,
          name: `Sandbox ${gateway} (no money moves)`,
          config: webhook ? config : { ...config, notifyUrl },
          enabled: true,
          sandbox: true,
        },
      };
    });
  }

  /** Ends the process if it was started here. */
  stop(): void {
    this.child?.removeAllListeners('exit');
    this.child?.kill('SIGTERM');
  }
}

/** What the sandbox needs; the secrets of the service are none of its business. */
function sandboxEnvironment(): NodeJS.ProcessEnv {
  const allowed = Object.entries(process.env).filter(
    ([name]) => name.startsWith('SANDBOX_') || name === 'PATH' || name === 'NODE_OPTIONS',
  );
  return Object.fromEntries(allowed);
}

async function isSandbox(url: string): Promise<boolean> {
  try {
    const response = await fetch(`${url}/control/health`, { signal: AbortSignal.timeout(1_000) });
    return response.ok;
  } catch {
    return false;
  }
}
