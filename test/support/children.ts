import { spawn, type ChildProcess } from 'node:child_process';
import { createServer, type AddressInfo } from 'node:net';
import { createInterface } from 'node:readline';

export interface Exit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

export interface ChildOptions {
  env?: NodeJS.ProcessEnv;
  cwd?: string;
  /** Opens an IPC channel; `message` then resolves with the first message. */
  ipc?: boolean;
}

/** What a program said is kept up to this many lines: a test that goes wrong must not fill the memory. */
const MAX_LOG_LINES = 50_000;
const TERM_WAIT_MS = 15_000;

/** A program that a test has started. It ends with the test at the latest, also when the test itself is killed. */
export class Child {
  readonly pid: number;
  /** stdout and stderr, line by line. */
  readonly logs: string[] = [];
  readonly ended: Promise<Exit>;
  /** The first message over IPC. */
  readonly message: Promise<unknown>;
  private running = true;

  private constructor(
    readonly name: string,
    child: ChildProcess,
  ) {
    if (child.pid === undefined) throw new Error(`${name} could not be started`);
    this.pid = child.pid;
    this.message = new Promise((resolve) => child.once('message', resolve));
    this.ended = new Promise((resolve) => {
      child.once('exit', (code, signal) => {
        this.running = false;
        reaper.forget(this.pid);
        resolve({ code, signal });
      });
    });
    for (const stream of [child.stdout, child.stderr]) {
      if (!stream) continue;
      createInterface({ input: stream }).on('line', (line) => {
        if (this.logs.length < MAX_LOG_LINES) this.logs.push(line);
      });
    }
  }

  static async start(
    name: string,
    command: string,
    args: readonly string[],
    options: ChildOptions = {},
  ): Promise<Child> {
    const child = spawn(command, args, {
      cwd: options.cwd,
      env: options.env ?? process.env,
      stdio: ['ignore', 'pipe', 'pipe', ...(options.ipc ? (['ipc'] as const) : [])],
    });
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', reject);
    });
    const started = new Child(name, child);
    reaper.remember(started.pid);
    return started;
  }

  get isRunning(): boolean {
    return this.running;
  }

  signal(signal: NodeJS.Signals): void {
    if (this.running) process.kill(this.pid, signal);
  }

  /** As the kernel's memory killer does it: no goodbye. */
  async kill(): Promise<Exit> {
    this.signal('SIGKILL');
    return this.ended;
  }

  /** As a deploy does it. @throws when it has not ended in time; it is killed then. */
  async terminate(withinMs = TERM_WAIT_MS): Promise<Exit & { tookMs: number }> {
    const startedAt = performance.now();
    this.signal('SIGTERM');
    const exit = await within(this.ended, withinMs);
    if (exit) return { ...exit, tookMs: performance.now() - startedAt };
    await this.kill();
    throw new Error(`${this.name} did not end within ${withinMs} ms of SIGTERM. It said last:\n${this.tail()}`);
  }

  /** Waits for a line that has been said or will be. @throws when the program ends first or the time is over. */
  async line(wanted: (line: string) => boolean, withinMs: number): Promise<string> {
    const until = performance.now() + withinMs;
    for (let next = 0; ;) {
      for (; next < this.logs.length; next += 1) {
        const line = this.logs[next];
        if (line !== undefined && wanted(line)) return line;
      }
      if (!this.running) throw new Error(`${this.name} has ended. It said last:\n${this.tail()}`);
      if (performance.now() > until)
        throw new Error(`${this.name} did not say it within ${withinMs} ms:\n${this.tail()}`);
      await sleep(20);
    }
  }

  tail(lines = 20): string {
    return this.logs.slice(-lines).join('\n');
  }
}

/**
 * Ends what a test started when the test process is gone, however that went: a shell that reads pids from a pipe, and kills those
 * that are left when the pipe is closed.
 */
class Reaper {
  private shell: ChildProcess | undefined;

  remember(pid: number): void {
    this.write(`+ ${pid}`);
  }

  forget(pid: number): void {
    this.write(`- ${pid}`);
  }

  /** A folder that goes too. */
  rememberFolder(path: string): void {
    this.write(`d ${path}`);
  }

  private write(line: string): void {
    this.shell ??= this.start();
    this.shell.stdin?.write(`${line}\n`);
  }

  private start(): ChildProcess {
    const script = `declare -A pids; folders=()
      while read -r what value; do
        case $what in +) pids[$value]=1 ;; -) unset "pids[$value]" ;; d) folders+=("$value") ;; esac
      done
      [ \${#pids[@]} -eq 0 ] || kill -KILL "\${!pids[@]}" 2>/dev/null
      [ \${#folders[@]} -eq 0 ] || rm -rf -- "\${folders[@]}"`;
    const shell = spawn('bash', ['-c', script], { stdio: ['pipe', 'ignore', 'ignore'], detached: true });
    shell.unref();
    (shell.stdin as unknown as { unref?: () => void }).unref?.();
    return shell;
  }
}

export const reaper = new Reaper();

/** @returns undefined when the time is over first. */
export async function within<T>(work: Promise<T>, ms: number): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), ms);
  });
  try {
    return await Promise.race([work, timeout]);
  } finally {
    clearTimeout(timer);
  }
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Asks until the answer is wanted. @throws with `what` when the time is over. */
export async function until<T>(
  what: string,
  ask: () => Promise<T | undefined | false>,
  limits: { withinMs: number; everyMs?: number },
): Promise<T> {
  const deadline = performance.now() + limits.withinMs;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined && answer !== false) return answer;
    if (performance.now() > deadline) throw new Error(`within ${limits.withinMs} ms it did not come true that ${what}`);
    await sleep(limits.everyMs ?? 50);
  }
}

/** A port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
