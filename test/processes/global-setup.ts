import { execFile } from 'node:child_process';
import { cp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { TestProject } from 'vitest/node';
import { hasServerBinaries, makeMariadbTemplate } from '../support/private-servers.js';

declare module 'vitest' {
  interface ProvidedContext {
    /** The compiled service, which nobody changes while the tests run. */
    compiledService: string;
    mariadbTemplate: string;
  }
}

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const CACHE = join(ROOT, 'node_modules/.cache/process-tests');

/** Once per run: compiles the service beside `dist/`, which is left alone, and prepares an empty MariaDB. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const run = join(CACHE, `run-${process.pid}`);
  project.provide('compiledService', run);
  if (!hasServerBinaries()) return () => Promise.resolve();
  const [template] = await Promise.all([makeMariadbTemplate(), compile(run)]);
  project.provide('mariadbTemplate', template);
  return async () => {
    await rm(run, { recursive: true, force: true });
    await rm(template, { recursive: true, force: true });
  };
}

/** Types are checked by `npm run types`. A run works on its own copy: another run may compile meanwhile. */
async function compile(run: string): Promise<void> {
  const build = join(CACHE, 'build');
  const tsc = join(ROOT, 'node_modules/typescript/bin/tsc');
  const buildInfo = ['--tsBuildInfoFile', join(CACHE, 'build.tsbuildinfo')];
  const project = ['-p', join(ROOT, 'tsconfig.build.json')];
  await promisify(execFile)(process.execPath, [tsc, ...project, '--outDir', build, ...buildInfo, '--noCheck'], {
    cwd: ROOT,
    timeout: 120_000,
  });
  await cp(build, run, { recursive: true });
  // Below node_modules no package.json of ours is in sight, and without "type" these would be CommonJS.
  await writeFile(join(run, 'package.json'), '{"type":"module"}\n');
}
