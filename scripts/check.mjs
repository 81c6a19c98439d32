/**
 * `npm run check`: everything that needs no database and no Redis, as many steps at a time as there are cores.
 * A step that passes prints one line; a step that fails prints all it said, and the others still run.
 */
import { spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';

// The slowest first, so that it does not run alone at the end.
const waiting = ['lint', 'test:unit', 'types', 'boundaries', 'format:check'];
const failed = [];
const startedAt = Date.now();

const seconds = (sinceMs) => `${((Date.now() - sinceMs) / 1000).toFixed(1)} s`;

function run(step) {
  const since = Date.now();
  return new Promise((resolve) => {
    const child = spawn('npm', ['run', '--silent', step], {
      stdio: ['ignore', 'pipe', 'pipe'],
      shell: process.platform === 'win32',
      env: { ...process.env, ...(process.stdout.isTTY && { FORCE_COLOR: '1' }) },
    });
    const output = [];
    child.stdout.on('data', (chunk) => output.push(chunk));
    child.stderr.on('data', (chunk) => output.push(chunk));
    child.on('error', (error) => output.push(Buffer.from(`${error.message}\n`)));
    child.on('close', (code) => {
      if (code !== 0) {
        failed.push(step);
        process.stdout.write(Buffer.concat(output));
      }
      console.log(`${code === 0 ? 'ok    ' : 'FAILED'} ${step} (${seconds(since)})`);
      resolve();
    });
  });
}

async function worker() {
  for (let step = waiting.shift(); step; step = waiting.shift()) await run(step);
}

await Promise.all(Array.from({ length: Math.max(2, availableParallelism()) }, worker));
console.log(
  failed.length === 0
    ? `check passed (${seconds(startedAt)})`
    : `check failed: ${failed.join(', ')} (${seconds(startedAt)})`,
);
process.exitCode = failed.length === 0 ? 0 : 1;
