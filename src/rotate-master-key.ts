import 'reflect-metadata';
import { parseArgs } from 'node:util';
import { EnvironmentError, loadDatabaseEnvironment } from './config/environment.js';
import type { Db } from './database/db.js';
import { forTool } from './database/for-tool.js';
import { resealEverything, type ResealReport } from './database/reseal.js';
import { HeadSigner } from './ledger/head-mac.js';
import { LEDGER_HEAD_ID, LedgerHead } from './ledger/ledger-head.entity.js';
import { errorText } from './shared/errors.js';
import { SecretBox } from './shared/secret-box.js';

const USAGE = `npm run rotate-master-key

Encrypts anew with MASTER_KEY whatever a key of MASTER_KEY_OLD has encrypted: settings of gateway accounts, secrets of apps, and
the signature of the ledger's head. The service may run meanwhile, as long as every process has the same two variables. A run that
was broken off is started again. Afterwards MASTER_KEY_OLD is needed no longer.

Exit code: 0 everything is under MASTER_KEY, 1 something could not be opened, 2 it could not be run.
`;

const EXIT = { done: 0, left: 1, unable: 2 } as const;

async function main(): Promise<number> {
  const { values } = parseArgs({ options: { help: { type: 'boolean' } } });
  if (values.help) {
    process.stdout.write(USAGE);
    return EXIT.done;
  }
  const { databaseUrl, dataDir, masterKey, masterKeysOld } = loadDatabaseEnvironment(process.env);
  if (masterKey === undefined)
    throw new Error('MASTER_KEY is not set, and there is no key file in DATA_DIR: there is nothing to encrypt with');
  const secretBox = new SecretBox(masterKey, masterKeysOld);
  return forTool({ databaseUrl, dataDir }, async (db, entities) => {
    const reports = await resealEverything(db, secretBox, entities);
    for (const report of reports) process.stdout.write(textOf(report, secretBox.keyId));
    const head = await signHead(db, new HeadSigner(masterKey, masterKeysOld));
    process.stdout.write(`ledger head: ${head}\n`);
    return head !== 'not genuine' && reports.every(({ failed }) => failed.length === 0) ? EXIT.done : EXIT.left;
  });
}

function textOf({ table, column, resealed, current, failed }: ResealReport, keyId: string): string {
  const counts = `${resealed} encrypted anew, ${current} had key ${keyId}, ${failed.length} could not be opened`;
  return [`${table}.${column}: ${counts}`, ...failed.map(({ id, fault }) => `  ${id}: ${fault}`), ''].join('\n');
}

/** The end of the chain is signed with a key that follows from MASTER_KEY: without this nothing could be added to it any more. */
async function signHead(db: Db, signer: HeadSigner): Promise<'empty' | 'signed' | 'not genuine'> {
  return db.transaction(async (manager) => {
    const query = manager.createQueryBuilder(LedgerHead, 'head').where('head.id = :id', { id: LEDGER_HEAD_ID });
    const head = await db.forUpdate(query).getOne();
    if (head === null || head.seq === 0) return 'empty';
    if (!signer.isGenuine(head)) return 'not genuine';
    await manager.update(LedgerHead, { id: LEDGER_HEAD_ID }, { mac: signer.mac(head.seq, head.hash) });
    return 'signed';
  });
}

main().then(
  (code) => (process.exitCode = code),
  (error: unknown) => {
    const message =
      error instanceof EnvironmentError ? error.message : `the rotation could not be run: ${errorText(error)}`;
    process.stderr.write(`${message}\n`);
    process.exitCode = EXIT.unable;
  },
);
