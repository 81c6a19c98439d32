/**
 * Tells whether dist/ was built from the sources as they are now, so that `npm start` and `npm run demo` compile only
 * when there is something to compile.
 *
 *   node scripts/dist-stamp.mjs write   after a successful build: remembers what was built
 *   node scripts/dist-stamp.mjs check   exit 0: dist/ is current; exit 1: build first
 *
 * It compares content, not modification times: a release unpacked over an older one, `git stash pop` and `cp -p` all
 * bring sources that are older than the dist/ they should replace.
 */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const stampFile = join(root, 'dist', '.sources');
const folders = ['src', 'migrations', 'sandbox', 'demo'];
const settings = ['tsconfig.json', 'tsconfig.build.json', 'nest-cli.json'];

function sources() {
  const found = folders
    .filter((folder) => existsSync(join(root, folder)))
    .flatMap((folder) =>
      readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile() && !entry.name.endsWith('.spec.ts'))
        .map((entry) => join(entry.parentPath, entry.name)),
    );
  return [...found, ...settings.map((name) => join(root, name)).filter((file) => existsSync(file))].sort();
}

function stamp() {
  const hash = createHash('sha256');
  for (const file of sources()) {
    hash.update(file.slice(root.length)).update('\0').update(readFileSync(file)).update('\0');
  }
  return hash.digest('hex');
}

const command = process.argv[2];
if (command === 'write') {
  writeFileSync(stampFile, stamp());
} else if (command === 'check') {
  // An image that ships dist/ alone has nothing to compare it with, and nothing to build it from.
  const current = existsSync(join(root, 'src'))
    ? existsSync(stampFile) && readFileSync(stampFile, 'utf8') === stamp()
    : existsSync(join(root, 'dist'));
  process.exitCode = current ? 0 : 1;
} else {
  console.error('usage: node scripts/dist-stamp.mjs write|check');
  process.exitCode = 2;
}
