/** Waits no longer than this. The work itself goes on; its late failure is nobody's business any more. */
export async function within<T>(work: Promise<T>, ms: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([work, timeout]);
  } finally {
    clearTimeout(timer);
  }
}

/** Work whose last result is good enough for a while, and that runs once however many ask for it meanwhile. */
export class Shared<T> {
  private current: { work: Promise<T>; startedAtMs: number } | undefined;

  constructor(
    private readonly work: () => Promise<T>,
    private readonly goodForMs: number,
  ) {}

  get(): Promise<T> {
    const nowMs = performance.now();
    if (!this.current || nowMs - this.current.startedAtMs >= this.goodForMs) {
      this.current = { work: this.work(), startedAtMs: nowMs };
    }
    return this.current.work;
  }
}
