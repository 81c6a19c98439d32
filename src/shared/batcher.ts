interface Waiting<In, Out> {
  item: In;
  resolve: (result: Out) => void;
  reject: (error: unknown) => void;
}

/**
 * Does together what is asked for at the same time. Nothing waits on purpose: the first item starts at once, and what arrives while it is
 * running goes together in the next round.
 *
 * When a round fails, each of its items is done alone, so that one bad item spoils nobody else's.
 */
export class Batcher<In, Out> {
  private readonly waiting: Waiting<In, Out>[] = [];
  private running = 0;

  /**
   * @param run answers one result per item, in their order.
   * @param limits.maxBatch items in one round; `limits.maxParallel` rounds at once. A further round beside a running one starts only for
   *   `limits.worthwhile` items: fewer cost less when they wait for the running one.
   * @param keyOf two items with the same key never share a round.
   */
  constructor(
    private readonly run: (items: readonly In[]) => Promise<readonly Out[]>,
    private readonly limits: { maxBatch: number; maxParallel: number; worthwhile?: number },
    private readonly keyOf: (item: In) => string,
  ) {}

  submit(item: In): Promise<Out> {
    return new Promise<Out>((resolve, reject) => {
      this.waiting.push({ item, resolve, reject });
      this.pump();
    });
  }

  private pump(): void {
    const { maxParallel, worthwhile = 1 } = this.limits;
    while (this.running < maxParallel && this.waiting.length >= (this.running === 0 ? 1 : worthwhile)) {
      this.running += 1;
      void this.round(this.take());
    }
  }

  /** The oldest items with keys of their own; the others keep their place. */
  private take(): Waiting<In, Out>[] {
    const keys = new Set<string>();
    const batch: Waiting<In, Out>[] = [];
    for (let index = 0; index < this.waiting.length && batch.length < this.limits.maxBatch;) {
      const one = this.waiting[index] as Waiting<In, Out>;
      const key = this.keyOf(one.item);
      if (keys.has(key)) {
        index += 1;
        continue;
      }
      keys.add(key);
      batch.push(one);
      this.waiting.splice(index, 1);
    }
    return batch;
  }

  private async round(batch: Waiting<In, Out>[]): Promise<void> {
    try {
      await this.together(batch);
    } finally {
      this.running -= 1;
      this.pump();
    }
  }

  private async together(batch: Waiting<In, Out>[]): Promise<void> {
    try {
      const results = await this.run(batch.map(({ item }) => item));
      if (results.length !== batch.length)
        throw new Error(`${batch.length} items were asked for, ${results.length} results came`);
      batch.forEach(({ resolve }, index) => resolve(results[index] as Out));
    } catch (error) {
      const [only] = batch;
      if (batch.length === 1) only?.reject(error);
      else for (const one of batch) await this.together([one]);
    }
  }
}
