import 'reflect-metadata';
import { parseArgs } from 'node:util';
import { EnvironmentError, loadDatabaseEnvironment } from './config/environment.js';
import { readOnly } from './database/read-only.js';
import { HeadSigner } from './ledger/head-mac.js';
import { verifyLedger, type Anchor, type LedgerReport } from './ledger/verify.js';
import { errorText } from './shared/errors.js';

const USAGE = `npm run verify-ledger [-- --json] [--anchor <seq>:<hash>]

Recomputes the hash chain over repair records and audit entries, on DATABASE_URL or the SQLite file in DATA_DIR, without the
service and without writing. With MASTER_KEY (or the key file in DATA_DIR) also the signature of its head.

Exit code: 0 the chain is whole, 1 it is broken, 2 it could not be read.
`;

const EXIT = { whole: 0, broken: 1, unreadable: 2 } as const;

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: { json: { type: 'boolean' }, anchor: { type: 'string' }, help: { type: 'boolean' } },
  });
  if (values.help) {
    process.stdout.write(USAGE);
    return EXIT.whole;
  }
  const anchor = values.anchor === undefined ? undefined : anchorOf(values.anchor);
  const { databaseUrl, dataDir, masterKey, masterKeysOld } = loadDatabaseEnvironment(process.env);
  const signer = masterKey && new HeadSigner(masterKey, masterKeysOld);
  const report = await readOnly({ databaseUrl, dataDir }, (manager) => verifyLedger(manager, { signer, anchor }));
  process.stdout.write(values.json ? `${JSON.stringify(report)}\n` : textOf(report));
  return report.ok ? EXIT.whole : EXIT.broken;
}

function anchorOf(text: string): Anchor {
  const [, seq, hash] = /^(\d{1,15}):([0-9a-f]{64})$/.exec(text) ?? [];
  if (seq === undefined || hash === undefined)
    throw new Error('--anchor must be <seq>:<hash>, as GET /admin/ledger/head answers them');
  return { seq: Number(seq), hash };
}

function textOf({ ok, verified, head, headSignature, anchor, break: broken, unsealed }: LedgerReport): string {
  const lines = [
    ok
      ? `The ledger is whole: ${verified} entries.`
      : `THE LEDGER IS BROKEN. ${verified} entries before the break are whole.`,
  ];
  if (broken) {
    const row = broken.table === null ? '' : ` (${broken.table} ${broken.id})`;
    lines.push(`Entry ${broken.seq}${row} ${broken.fault}.`);
  }
  lines.push(`Head: ${head.seq}:${head.hash}`);
  lines.push(
    `Signature of the head: ${headSignature}${headSignature === 'unchecked' ? ' (MASTER_KEY is not set)' : ''}`,
  );
  if (anchor !== 'none') lines.push(`Anchor: ${anchor}`);
  lines.push(
    unsealed.count === 0
      ? 'Unsealed: none'
      : `Unsealed: ${unsealed.count} rows from ${unsealed.oldestId} on are not part of the chain yet`,
  );
  return `${lines.join('\n')}\n`;
}

main().then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    process.stderr.write(
      `${error instanceof EnvironmentError ? error.message : `the ledger could not be read: ${errorText(error)}`}\n`,
    );
    process.exitCode = EXIT.unreadable;
  },
);
