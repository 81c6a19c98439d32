import { createHmac, hkdfSync, timingSafeEqual } from 'node:crypto';
import { GENESIS_HASH } from './canonical.js';

export interface SignedHead {
  seq: number;
  hash: string;
  mac: string | null;
}

/**
 * Signs the end of the chain with a key derived from MASTER_KEY: whoever can write the whole database but does not know the key can compute
 * a new chain, but not this.
 */
export class HeadSigner {
  private readonly key: Buffer;

  /** @param masterKey 32 bytes. */
  constructor(masterKey: Buffer) {
    this.key = Buffer.from(hkdfSync('sha256', masterKey, '', 'refund-sync ledger head v1', 32));
  }

  /** Lower-case hex. */
  mac(seq: number, hash: string): string {
    return createHmac('sha256', this.key).update(`refund-sync ledger head v1:${seq}:${hash}`).digest('hex');
  }

  /** The head of an empty chain is known without a key. */
  isGenuine({ seq, hash, mac }: SignedHead): boolean {
    if (seq === 0) return hash === GENESIS_HASH;
    if (mac === null || !/^[0-9a-f]{64}$/.test(mac)) return false;
    return timingSafeEqual(Buffer.from(mac, 'hex'), Buffer.from(this.mac(seq, hash), 'hex'));
  }
}
