import { createSandbox } from './server.js';

/** Own process of the sandbox. SANDBOX_PORT, SANDBOX_HOST, SANDBOX_KEYS_FILE; see README.md beside this file. */
async function main(): Promise<void> {
  // HOST is not read: it belongs to the service that may have started us, and may be public.
  const sandbox = await createSandbox({
    port: portFrom(process.env.SANDBOX_PORT),
    host: process.env.SANDBOX_HOST || '127.0.0.1',
    keysFile: process.env.SANDBOX_KEYS_FILE || undefined,
  });
  let stopping = false;
  const stop = (): void => {
    if (stopping) return;
    stopping = true;
    void sandbox.close().then(() => process.exit(0));
  };
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
  // Started by a service or a test with an IPC channel: when that parent is gone, nobody would ever stop us.
  if (process.send) process.once('disconnect', stop);
  process.send?.({ listening: sandbox.port });
  process.stdout.write(
    `sandbox: simulated payment gateways on ${sandbox.url} (test keys, no real money); control API under /control\n`,
  );
}

function portFrom(value: string | undefined): number {
  if (value === undefined || value === '') return 9100;
  const port = Number(value);
  if (!/^\d+$/.test(value) || port > 65_535) throw new Error(`SANDBOX_PORT: "${value}" is not a port; example: 9100`);
  return port;
}

main().catch((error: unknown) => {
  process.stderr.write(`sandbox: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
});
