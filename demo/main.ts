import { parseArgs } from 'node:util';
import { readBalances } from './balances.js';
import { requestJson } from './http.js';
import { MerchantReceiver } from './merchant-receiver.js';
import { Operator } from './operator.js';
import { Progress } from './progress.js';
import { balanceTable, colours, refundTable, type Paint } from './report.js';
import { scenario } from './scenario.js';
import { ServiceProcess } from './service-process.js';
import { merchants, setUp } from './setup.js';
import { formatCurl, type SignedClient, type SyncAnswer } from './signed-client.js';
import { syncAll } from './sync-all.js';
import { differencesOf } from './verdict.js';

const USAGE = `Usage: npm run demo [-- --once]

Starts the service, a gateway sandbox and a database of its own, registers and creates refunds that hang, syncs each of
them with signed requests, and shows what became of them and what the merchants were told. Nothing is left behind.

  --once   end after the report: exit code 0 when every refund ended as it must, else 1. Without it the service keeps
           running until Ctrl-C, so that you can try it.
  --help   show this text.

Environment: PORT and SANDBOX_PORT (default: free ones), NO_COLOR.
`;

/** Not synced by the demo: it is left for the printed curl. */
const REFUND_FOR_CURL = 'R-CURL';
const SYNC_PATH = '/unipay/syncRefund';
/** Ctrl-C while the demo is at work; once all is shown, it ends with the verdict instead. */
const INTERRUPTED = 130;

class Demo {
  private readonly service = new ServiceProcess();
  private readonly operator = new Operator(this.service);
  private readonly receiver = new MerchantReceiver();
  private readonly paint: Paint = colours(process.stdout);
  private interruptedCode = INTERRUPTED;

  constructor(private readonly once: boolean) {}

  /** Never rejects: ends the process when all is done, whatever happens. */
  async run(): Promise<void> {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
      process.once(signal, () => void this.end(this.interruptedCode));
    try {
      const { client, verdict } = await this.show();
      await this.end(this.once ? await this.tryCurl(client, verdict) : await this.stayOpen(client, verdict));
    } catch (error) {
      // What fails because Ctrl-C took the service away is no news.
      if (this.service.stopping) return;
      const text = error instanceof Error ? error.message : String(error);
      process.stderr.write(`\n\ndemo: ${text}\n${this.service.output()}`);
      await this.end(1);
    }
  }

  private async end(exitCode: number): Promise<never> {
    await this.service.stop();
    process.exit(exitCode);
  }

  /** The whole story, up to the verdict: 0 when every refund ended as it must. */
  private async show(): Promise<{ client: SignedClient; verdict: number }> {
    const { service, operator, receiver, paint } = this;
    const progress = new Progress(process.stderr);
    const payments = scenario(REFUND_FOR_CURL);
    progress.begin('starting the service, its database and the gateway sandbox');
    await service.start();
    await receiver.start();
    const clients = await merchants(operator, service.url, service.signSecret, receiver);
    progress.begin('registering and creating refunds', payments.flatMap(({ refunds }) => refunds).length);
    const subjects = await setUp(operator, clients, payments, () => progress.step());
    const toSync = subjects.filter(({ plan }) => plan.calls.length > 0);
    const before = await readBalances(operator, toSync);
    progress.begin('sending signed syncs', toSync.flatMap(({ plan }) => plan.calls).length);
    const refunds = await syncAll(operator, toSync, () => progress.step());
    progress.begin('comparing with the truth');
    const after = await readBalances(operator, toSync);
    const differences = await differencesOf(operator, refunds, after);
    progress.begin("waiting for the merchants' notifications");
    differences.push(...(await receiver.differencesFrom(toSync)));
    progress.end();

    print('', refundTable(refunds, paint), '', balanceTable(before, after, paint), '');
    if (differences.length === 0)
      print(paint.green(`All ${refunds.length} refunds ended as the truth at the gateway demands.`));
    else print(paint.red(`${differences.length} differences:`), ...differences.map((difference) => `  ${difference}`));
    const [first] = receiver.notices;
    print(
      '',
      `${receiver.notices.length} ends were announced to the merchants; every signature was verified. The first:`,
    );
    if (first) print('', first.body);
    print('', `API documentation: ${service.url}/docs`, '', 'One more refund hangs. This signed request repairs it:');
    return { client: clients.default, verdict: differences.length === 0 ? 0 : 1 };
  }

  private printCurl(body: string): void {
    print('', formatCurl(this.service.url + SYNC_PATH, body), '');
  }

  /** Sends the very bytes that were printed. */
  private async tryCurl(client: SignedClient, verdict: number): Promise<number> {
    const body = client.body({ refundNo: REFUND_FOR_CURL });
    this.printCurl(body);
    const answer = await client.send<SyncAnswer>(SYNC_PATH, body);
    print('Sent as printed:', '', JSON.stringify(answer));
    const docs = await requestJson('GET', `${this.service.url}/docs-json`);
    const works = answer.code === 0 && answer.data?.repair === true && docs.status === 200;
    if (!works) print(this.paint.red('It must answer code 0 with a repair, and the documentation must be there.'));
    return works ? verdict : 1;
  }

  /** Until Ctrl-C; returns only when the service ends by itself. */
  private async stayOpen(client: SignedClient, verdict: number): Promise<number> {
    const { service } = this;
    const show = () => this.printCurl(client.body({ refundNo: REFUND_FOR_CURL }));
    show();
    print(
      `It is valid for 300 s${process.stdin.isTTY ? ' (Enter prints a fresh one)' : ''}; SIGN_SECRET=${service.signSecret}`,
      'Refunds that need a person, from the internal API:',
      '',
      `curl -s -H 'authorization: Bearer ${service.adminToken}' '${service.url}/admin/refunds?status=review'`,
      '',
      'Running until Ctrl-C.',
    );
    if (process.stdin.isTTY) process.stdin.on('data', show);
    this.interruptedCode = verdict;
    const code = await service.ended;
    if (!service.stopping) throw new Error(`the service ended by itself, exit code ${code}`);
    return verdict;
  }
}

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
if ('exitCode' in flags) process.exitCode = flags.exitCode;
else void new Demo(flags.once).run();
