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
  private readonly oldKeys: readonly Buffer[];

  /**
   * @param masterKey 32 bytes; signs.
   * @param oldMasterKeys 32 bytes each; what they signed is genuine.
   */
  constructor(masterKey: Buffer, oldMasterKeys: readonly Buffer[] = []) {
    this.key = derived(masterKey);
    this.oldKeys = oldMasterKeys.map(derived);
  }

  /** Lower-case hex. */
  mac(seq: number, hash: string): string {
    return macWith(this.key, seq, hash).toString('hex');
  }

  /** The head of an empty chain is known without a key. */
  isGenuine({ seq, hash, mac }: SignedHead): boolean {
    if (seq === 0) return hash === GENESIS_HASH;
    if (mac === null || !/^[0-9a-f]{64}$/.test(mac)) return false;
    const given = Buffer.from(mac, 'hex');
    return [this.key, ...this.oldKeys].some((key) => timingSafeEqual(given, macWith(key, seq, hash)));
  }
}

function derived(masterKey: Buffer): Buffer {
  return Buffer.from(hkdfSync('sha256', masterKey, '', 'refund-sync ledger head v1', 32));
}

function macWith(key: Buffer, seq: number, hash: string): Buffer {
  return createHmac('sha256', key).update(`refund-sync ledger head v1:${seq}:${hash}`).digest();
}
