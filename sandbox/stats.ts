/** Counters of one channel, and the requests of the current second. */
export class Meter {
  requests = 0;
  requestsPerSecondPeak = 0;
  queries = 0;
  creates = 0;
  redrives = 0;
  /** Lists of certificates. */
  certificateLists = 0;
  /** Answers 429, by limit or by fault. */
  rateLimited = 0;
  /** Answers 401: bad signature, serial, timestamp, or a replayed nonce. */
  refusedSignatures = 0;
  replayedNonces = 0;
  callbacksSent = 0;
  callbacksAcknowledged = 0;
  faults: Record<string, number> = {};

  private second = 0;
  private inSecond = 0;
  private failedInSecond = 0;

  /** Counts one request. @returns how many there were in its second, itself included. */
  countRequest(nowMs: number): number {
    this.turnTo(nowMs);
    this.requests += 1;
    this.inSecond += 1;
    if (this.inSecond > this.requestsPerSecondPeak) this.requestsPerSecondPeak = this.inSecond;
    return this.inSecond;
  }

  /** Counts one refused call. @returns how many there were in its second, itself included. */
  countRefusal(nowMs: number): number {
    this.turnTo(nowMs);
    this.failedInSecond += 1;
    return this.failedInSecond;
  }

  countFault(kind: string): void {
    this.faults[kind] = (this.faults[kind] ?? 0) + 1;
  }

  clear(): void {
    // Every counter is a field, so a new meter's fields are the cleared ones; the object itself is shared and stays.
    Object.assign(this, new Meter());
  }

  view(): Record<string, unknown> {
    return {
      requests: this.requests,
      requestsPerSecondPeak: this.requestsPerSecondPeak,
      queries: this.queries,
      creates: this.creates,
      redrives: this.redrives,
      certificateLists: this.certificateLists,
      rateLimited: this.rateLimited,
      refusedSignatures: this.refusedSignatures,
      replayedNonces: this.replayedNonces,
      callbacksSent: this.callbacksSent,
      callbacksAcknowledged: this.callbacksAcknowledged,
      faults: { ...this.faults },
    };
  }

  private turnTo(nowMs: number): void {
    const second = Math.floor(nowMs / 1000);
    if (second === this.second) return;
    this.second = second;
    this.inSecond = 0;
    this.failedInSecond = 0;
  }
}
