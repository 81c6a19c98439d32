/** Runs at most so many works at once for each key; the others wait in line. */
export class KeyLimit {
  private readonly running = new Map<string, number>();
  private readonly lines = new Map<string, ((run: boolean) => void)[]>();
  private closed = false;

  constructor(private readonly max: number) {}

  /** @returns undefined when the line was closed before it was the work's turn. */
  async run<T>(key: string, work: () => Promise<T>): Promise<T | undefined> {
    if (this.closed || !(await this.turn(key))) return undefined;
    try {
      return await work();
    } finally {
      this.next(key);
    }
  }

  /** Whoever waits goes away; what runs goes on. */
  close(): void {
    this.closed = true;
    for (const line of this.lines.values()) for (const take of line) take(false);
    this.lines.clear();
  }

  private turn(key: string): Promise<boolean> {
    const running = this.running.get(key) ?? 0;
    if (running < this.max) {
      this.running.set(key, running + 1);
      return Promise.resolve(true);
    }
    return new Promise((resolve) => {
      const line = this.lines.get(key);
      if (line) line.push(resolve);
      else this.lines.set(key, [resolve]);
    });
  }

  /** The place goes to the first in line, or is given up. */
  private next(key: string): void {
    const line = this.lines.get(key);
    const first = line?.shift();
    if (line?.length === 0) this.lines.delete(key);
    if (first) return first(true);
    const running = (this.running.get(key) ?? 1) - 1;
    if (running === 0) this.running.delete(key);
    else this.running.set(key, running);
  }
}
