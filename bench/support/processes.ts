import { fork, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export interface BenchProcess {
  child: ChildProcess;
  /** What it said when it was ready. */
  ready: Record<string, unknown>;
  /** Asks for one message and waits for the answer. */
  ask(question: string): Promise<Record<string, unknown>>;
  /** Waits for the next message. */
  next(): Promise<Record<string, unknown>>;
  stop(): Promise<void>;
}

const START_TIMEOUT_MS = 60_000;

/** Starts one of the programs of this folder and waits until it says that it is ready. */
export async function start(
  program: string,
  env: Record<string, string>,
  nodeArgs: string[] = [],
): Promise<BenchProcess> {
  const path = fileURLToPath(new URL(`../${program}.js`, import.meta.url));
  const child = fork(path, [], {
    env: { ...process.env, ...env },
    execArgv: nodeArgs,
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const next = (): Promise<Record<string, unknown>> =>
    new Promise((resolve, reject) => {
      const onExit = (code: number | null): void => reject(new Error(`${program} ended with code ${String(code)}`));
      child.once('exit', onExit);
      child.once('message', (message) => {
        child.off('exit', onExit);
        resolve(message as Record<string, unknown>);
      });
    });
  const timeout = setTimeout(() => child.kill('SIGKILL'), START_TIMEOUT_MS);
  const ready = await next();
  clearTimeout(timeout);
  return {
    child,
    ready,
    next,
    ask: (question) => {
      const answer = next();
      child.send(question);
      return answer;
    },
    stop: () =>
      new Promise((resolve) => {
        if (child.exitCode !== null || child.signalCode !== null) return resolve();
        const kill = setTimeout(() => child.kill('SIGKILL'), 15_000);
        child.once('exit', () => {
          clearTimeout(kill);
          resolve();
        });
        child.kill('SIGTERM');
      }),
  };
}
