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
    const expiresAtMs = this.expiries.get(nonce);
    if (expiresAtMs !== undefined && expiresAtMs >= nowMs) return false;
    if (this.expiries.size >= MAX_NONCES) return false;
    this.expiries.delete(nonce);
    this.expiries.set(nonce, nowMs + ttlMs);
    return true;
  }

  /**
   * Insertion order is nearly the order of expiry, so the first that is still good ends the search. Nearly: apps have windows of their own,
   * and a long one must not keep the memory full, so then all are looked at.
   */
  private forgetExpired(nowMs: number): void {
    const isFull = this.expiries.size >= MAX_NONCES;
    for (const [nonce, expiresAtMs] of this.expiries) {
      // The last moment counts as in the window, as it does for who checks the time stamp.
      if (expiresAtMs < nowMs) this.expiries.delete(nonce);
      else if (!isFull) return;
    }
  }
}
