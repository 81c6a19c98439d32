import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const OWN = join(ROOT, 'node_modules/.cache/lifecycle-tests');

/**
 * The compiled service: `dist/` when it was built from the sources as they are now, else a build of the tests' own beside it. A stale
 * build would be tested for what it was.
 *
 * @returns the folder in which `src/main.js` is.
 */
export async function builtService(): Promise<string> {
  const isCurrent = await run(process.execPath, ['scripts/dist-stamp.mjs', 'check'], { cwd: ROOT }).then(
    () => true,
    () => false,
  );
  if (isCurrent) return join(ROOT, 'dist');
  const outDir = join(OWN, 'build');
  const output = ['--outDir', outDir, '--tsBuildInfoFile', join(OWN, 'build.tsbuildinfo')];
  // Types are the business of `npm run types`.
  await run(
    process.execPath,
    ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json', ...output, '--noCheck'],
    {
      cwd: ROOT,
    },
  );
  // Below node_modules no package.json of ours is in sight, and without "type" these would be CommonJS.
  await writeFile(join(outDir, 'package.json'), '{"type":"module"}\n');
  return outDir;
}
