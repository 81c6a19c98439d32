import 'reflect-metadata';
import { Logger } from '@nestjs/common';
import { EnvironmentError, loadEnvironment } from './config/environment.js';
import { createApp } from './create-app.js';
import { EmbeddedSandbox } from './embedded-sandbox.js';
import { GatewayAccountService } from './gateway/gateway-account.service.js';
import { JsonLogger } from './observability/json-logger.js';
import { errorText } from './shared/errors.js';

async function main(): Promise<void> {
  const { config, generated } = loadEnvironment(process.env);
  const nestLogger = new JsonLogger(config.logLevel);
  const logger = new Logger('Start');
  const { app, generatedSecret } = await createApp(config, nestLogger);
  const sandbox = config.sandboxPort === undefined ? undefined : await EmbeddedSandbox.start(config.sandboxPort);
  // Nest would send itself the signal once more: exit code 143, no 'exit' event, and as process 1 of a container no end at all.
  app.enableShutdownHooks([], { useProcessExit: true });
  await app.listen(config.port, config.host);
  const url = await app.getUrl();
  if (sandbox) {
    const accounts = app.get(GatewayAccountService);
    for (const { id, put } of await sandbox.accounts(url.replace('[::1]', '127.0.0.1'))) await accounts.put(id, put);
    logger.warn({ msg: 'SANDBOX: the gateways are simulated, no money moves', sandbox: sandbox.url });
    process.once('exit', () => sandbox.stop());
  }
  logger.log({
    msg: 'listening',
    url,
    docs: `${url}/docs`,
    database: config.databaseUrl ? 'mysql' : `sqlite in ${config.dataDir}`,
    role: config.role,
  });
  // Shown once, and on purpose not through the log: logs are collected.
  if (generated.adminToken !== undefined)
    process.stderr.write(`ADMIN_TOKEN (shown once, kept in ${config.dataDir}/admin.token): ${generated.adminToken}\n`);
  if (generatedSecret !== undefined)
    process.stderr.write(`SIGN_SECRET of app "default" (shown once): ${generatedSecret}\n`);
}

main().catch((error: unknown) => {
  process.stderr.write(
    `${error instanceof EnvironmentError ? error.message : `refund-sync could not start: ${errorText(error)}`}\n`,
  );
  process.exit(1);
});
