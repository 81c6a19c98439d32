import { clearTimeout, setImmediate, setTimeout } from 'node:timers';

/** A round that lasts longer keeps nobody else waiting. */
const HELD_UP_MS = 50;

interface Waiting<In, Out> {
  item: In;
  resolve: (result: Out) => void;
  reject: (error: unknown) => void;
}

/**
 * Does together what is asked for at the same time. Nothing waits on purpose: a round starts as soon as the answers that have come in
 * together were all read, and what arrives while it is running goes together in the next one.
 *
 * When a round fails, each of its items is done alone, so that one bad item spoils nobody else's.
 */
export class Batcher<In, Out> {
  private readonly waiting: Waiting<In, Out>[] = [];
  private running = 0;
  /** Of these, rounds that last longer than one should: they wait for a lock that somebody else holds. */
  private heldUp = 0;
  private isPlanned = false;

  /**
   * @param run answers one result per item, in their order.
   * @param limits.maxBatch items in one round; `limits.maxParallel` rounds at once. A further round beside a running one starts only for
   *   `limits.worthwhile` items, since fewer cost less when they wait for the running one, or when that one is held up.
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
      this.plan();
    });
  }

  /**
   * After this turn of the event loop: answers of several gateways that lie ready are read one after the other, and where the database works
   * in this very process a round is over before the next one would be read.
   */
  private plan(): void {
    if (this.isPlanned) return;
    this.isPlanned = true;
    setImmediate(() => {
      this.isPlanned = false;
      this.pump();
    });
  }

  private pump(): void {
    const { maxParallel, worthwhile = 1 } = this.limits;
    while (this.running < maxParallel && this.waiting.length >= (this.running === this.heldUp ? 1 : worthwhile)) {
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
    let isHeldUp = false;
    const timer = setTimeout(() => {
      isHeldUp = true;
      this.heldUp += 1;
      this.plan();
    }, HELD_UP_MS);
    try {
      await this.together(batch);
    } finally {
      clearTimeout(timer);
      if (isHeldUp) this.heldUp -= 1;
      this.running -= 1;
      this.plan();
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
