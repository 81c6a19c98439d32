import { errorText } from '../../shared/errors.js';
import type { PaceRequest } from './pace.js';
import type { PacedAccount, Pacer, PacerReply } from './pacer.port.js';

/** So many processes may pace themselves apart and together still keep an account's limits. */
const SHARE = 4;
/** Redis is tried again after this long. */
const RETRY_MS = 1_000;

/** Goes on with a quarter of every limit in this process alone while the shared pace cannot be reached. */
export class FallbackPacer implements Pacer {
  private awayUntilMs: number | undefined;

  constructor(
    private readonly shared: Pacer,
    private readonly local: Pacer,
    private readonly onChange: (away: boolean, why: string) => void,
    private readonly nowMs: () => number = () => performance.now(),
  ) {}

  async exchange(account: PacedAccount, request: Omit<PaceRequest, 'process'>): Promise<PacerReply> {
    const { awayUntilMs } = this;
    if (awayUntilMs === undefined || this.nowMs() >= awayUntilMs) {
      // One at a time finds out whether Redis is back; the others do not wait for that.
      if (awayUntilMs !== undefined) this.awayUntilMs = this.nowMs() + RETRY_MS;
      try {
        const reply = await this.shared.exchange(account, request);
        if (this.awayUntilMs !== undefined) this.onChange(false, '');
        this.awayUntilMs = undefined;
        return reply;
      } catch (error) {
        if (this.awayUntilMs === undefined) this.onChange(true, errorText(error));
        this.awayUntilMs = this.nowMs() + RETRY_MS;
      }
    }
    return this.local.exchange(quarterOf(account), request);
  }

  async close(): Promise<void> {
    await this.shared.close();
    await this.local.close();
  }
}

function quarterOf({ id, limits }: PacedAccount): PacedAccount {
  const { perSecond, concurrency } = limits;
  return { id, limits: { perSecond: perSecond / SHARE, concurrency: Math.max(1, Math.floor(concurrency / SHARE)) } };
}
