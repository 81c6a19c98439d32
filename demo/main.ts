import { parseArgs } from 'node:util';
import { requestJson } from './http.js';
import { Progress } from './progress.js';
import { APPS, scenario } from './scenario.js';
import { ServiceProcess } from './service-process.js';
import { MerchantClients, Setup } from './setup.js';
import { formatCurl, type SyncAnswer } from './signed-client.js';
import { syncAll } from './sync-all.js';
import { balanceTable, colours, refundTable } from './report.js';
import { differencesOf } from './verdict.js';

const USAGE = `Usage: npm run demo [-- --once]

Starts the service, a gateway sandbox and a database of its own, registers and creates refunds that hang, syncs each of
them with signed requests, and shows what became of them. Nothing is left behind.

  --once   end after the report: exit code 0 when every refund ended as it must, else 1. Without it the service keeps
           running until Ctrl-C, so that you can try it.
  --help   show this text.

Environment: PORT and SANDBOX_PORT (default: free ones), NO_COLOR.
`;

/** Keeps its place at the end of the table: the printed curl repairs it. */
const FOR_CURL = 'R-CURL';

async function main(once: boolean, service: ServiceProcess): Promise<number> {
  const progress = new Progress(process.stderr);
  const paint = colours(process.stdout);
  const payments = scenario(FOR_CURL);

  progress.begin('starting the service, its database and the gateway sandbox');
  await service.start();
  const clients = new MerchantClients(service);
  const setup = new Setup(service, clients);
  progress.begin('registering and creating refunds', payments.flatMap(({ refunds }) => refunds).length);
  const subjects = await setup.run(payments, () => progress.step());
  const toSync = subjects.filter(({ plan }) => plan.calls.length > 0);
  progress.begin('syncing', toSync.flatMap(({ plan }) => plan.calls).length);
  const results = await syncAll(service, clients, toSync, () => progress.step());
  progress.begin('comparing with what the gateway knows');
  const balances = await setup.balances(payments);
  const differences = await differencesOf(service, results, balances);
  progress.end();

  print(refundTable(results, paint));
  print(balanceTable(balances, paint));
  if (differences.length === 0) {
    print(paint.green(`All ${results.length} refunds ended as the gateway's truth demands, each change once.`));
  } else {
    print(paint.red(`${differences.length} differences:`), ...differences.map((difference) => `  ${difference}`));
  }

  const merchant = clients.of('default');
  const curl = () => formatCurl(`${service.url}/unipay/syncRefund`, merchant.body({ refundNo: FOR_CURL }));
  print('', `API documentation: ${service.url}/docs`, '', 'One more refund hangs. This signed request repairs it:', '');
  if (!once) {
    print(curl(), '');
    return stayOpen(service, curl, differences.length === 0 ? 0 : 1);
  }
  const body = merchant.body({ refundNo: FOR_CURL });
  print(formatCurl(`${service.url}/unipay/syncRefund`, body), '');
  const answer = await merchant.send<SyncAnswer>('/unipay/syncRefund', body);
  const docs = await requestJson('GET', `${service.url}/docs-json`);
  const works = answer.code === 0 && answer.data?.repair === true && docs.status === 200;
  print(`Sent as printed: ${JSON.stringify(answer)}`);
  if (!works) print(paint.red('  it should have answered code 0 with a repair, and the documentation HTTP 200'));
  return differences.length === 0 && works ? 0 : 1;
}

/** Until Ctrl-C, or until the service ends by itself. */
async function stayOpen(service: ServiceProcess, curl: () => string, exitCode: number): Promise<number> {
  const app = APPS.default;
  print(
    `The signature holds for 300 s.${process.stdin.isTTY ? ' Press Enter for a fresh one.' : ''} The secret is ${service.secretOf(app)}; how to sign: docs/merchant-api.md.`,
    `Internal API: curl -s -H 'authorization: Bearer ${service.adminToken}' '${service.url}/admin/refunds?status=review'`,
    '',
    'Running until Ctrl-C.',
  );
  if (process.stdin.isTTY) process.stdin.on('data', () => print('', curl()));
  interrupted.exitCode = exitCode;
  const code = await service.ended;
  throw new Error(`the service ended by itself (exit code ${code})\n${service.output()}`);
}

/** What Ctrl-C exits with: 130 while the demo is at work, its verdict once all is shown. */
const interrupted = { exitCode: 130 };

function print(...lines: string[]): void {
  process.stdout.write(`${lines.join('\n')}\n`);
}

function readFlags(): { once: boolean } | { exitCode: number } {
  try {
    const { values } = parseArgs({ options: { once: { type: 'boolean' }, help: { type: 'boolean' } } });
    if (values.help !== true) return { once: values.once === true };
    process.stdout.write(USAGE);
    return { exitCode: 0 };
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n\n${USAGE}`);
    return { exitCode: 2 };
  }
}

const flags = readFlags();
if ('exitCode' in flags) {
  process.exitCode = flags.exitCode;
} else {
  const service = new ServiceProcess();
  const end = async (exitCode: number) => {
    await service.stop();
    process.exit(exitCode);
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.once(signal, () => void end(interrupted.exitCode));
  main(flags.once, service).then(end, async (error: unknown) => {
    // What fails because Ctrl-C took the service away is no news.
    if (!service.stopping)
      process.stderr.write(`\ndemo: ${error instanceof Error ? error.message : String(error)}\n${service.output()}`);
    await end(1);
  });
}
