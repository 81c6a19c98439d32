/** Far above what one process can verify within a window. */
const MAX_NONCES = 200_000;

/**
 * Nonces seen within their window, in this process. A repeat that reaches another process is not noticed here; handling is idempotent, so
 * it does no harm. When the memory is full, new nonces are refused rather than old ones forgotten.
 */
export class NonceMemory {
  private readonly expiries = new Map<string, number>();

  /** @returns false when the nonce was seen before. */
  remember(nonce: string, nowMs: number, ttlMs: number): boolean {
    this.forgetExpired(nowMs);
    if (this.expiries.has(nonce) || this.expiries.size >= MAX_NONCES) return false;
    this.expiries.set(nonce, nowMs + ttlMs);
    return true;
  }

  /** Insertion order is nearly the order of expiry, so the first that is still good ends the search. */
  private forgetExpired(nowMs: number): void {
    for (const [nonce, expiresAtMs] of this.expiries) {
      if (expiresAtMs > nowMs) return;
      this.expiries.delete(nonce);
    }
  }
}
