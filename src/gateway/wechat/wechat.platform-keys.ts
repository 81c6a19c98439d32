import { X509Certificate, type KeyObject } from 'node:crypto';

import { rsaFault } from '../config-checks.js';
import { isRecord, parseObject } from '../json-object.js';
import { CERTIFICATE_SERIAL, wechatKeys, type PlatformKey, type WechatConfig } from './wechat.config.js';
import { openAead } from './wechat.encryption.js';

/** However many messages under unknown keys arrive, forged ones included: the list of certificates is asked for once in this time. */
const REFRESH_INTERVAL_MS = 5 * 60_000;
/** Two while one replaces the other; more would be odd, and very many an attack. */
const MAX_CERTIFICATES = 20;

/**
 * The keys that prove what WeChat Pay sends: those of the settings, and the certificates that it has issued since. While it changes its
 * certificate, messages under the old and the new one come side by side; each is good until it expires.
 *
 * In the memory of this process: another one finds out by itself.
 */
export class PlatformKeys {
  private readonly issued = new Map<string, PlatformKey>();
  private refreshing: Promise<void> | undefined;
  private lastRefreshMs = -Infinity;
  /** Why the last refresh brought nothing; for the operator who reads that a key is not known. */
  refreshFault: string | undefined;

  constructor(
    private readonly config: WechatConfig,
    private readonly nowMs: () => number = () => performance.now(),
  ) {}

  find(serial: string, at: Date): KeyObject | 'unknown' | 'expired' {
    const key = this.issued.get(serial) ?? wechatKeys(this.config).platform.get(serial);
    if (!key) return 'unknown';
    return at.getTime() > key.expiresAtMs ? 'expired' : key.key;
  }

  /** For what we encrypt: the public key where there is one, because it replaces the certificates; else the one that lasts longest. */
  forEncryption(at: Date): { serial: string; key: KeyObject } | undefined {
    const all = [...wechatKeys(this.config).platform, ...this.issued].filter(
      ([, { expiresAtMs }]) => expiresAtMs > at.getTime(),
    );
    const preferred = all.find(([serial]) => serial === this.config.publicKeyId);
    const [serial, key] = preferred ?? all.sort(([, a], [, b]) => b.expiresAtMs - a.expiresAtMs)[0] ?? [];
    return serial === undefined || key === undefined ? undefined : { serial, key: key.key };
  }

  /**
   * Asks for the certificates of the moment because a message was signed under `serial`, unless it has been asked a short while ago.
   * Public keys (`PUB_KEY_ID_…`) are in no list: the merchant platform shows them.
   *
   * @param download gives the body of the list; it throws when there is none.
   * @returns when the refresh under way is over; at once when there is none to make. Never rejects.
   */
  refresh(serial: string, download: (known: PlatformKeys) => Promise<string>): Promise<void> {
    if (this.refreshing) return this.refreshing;
    if (!CERTIFICATE_SERIAL.test(serial) || this.nowMs() - this.lastRefreshMs < REFRESH_INTERVAL_MS)
      return Promise.resolve();
    this.lastRefreshMs = this.nowMs();
    this.refreshing = download(this)
      .then((body) => this.adopt(readCertificates(body, this.config)))
      .then(
        () => (this.refreshFault = undefined),
        (error: unknown) => {
          this.refreshFault = error instanceof Error ? error.message : 'the list of certificates could not be read';
        },
      )
      .then(() => (this.refreshing = undefined));
    return this.refreshing;
  }

  /** What a list says, and nothing else of it: it is kept only by whoever has verified it. */
  withCertificates(certificates: ReadonlyMap<string, PlatformKey>): PlatformKeys {
    const with_ = new PlatformKeys(this.config);
    with_.adopt(new Map([...this.issued, ...certificates]));
    return with_;
  }

  private adopt(certificates: ReadonlyMap<string, PlatformKey>): void {
    for (const [serial, key] of certificates) this.issued.set(serial, key);
    for (const [serial, { expiresAtMs }] of this.issued) if (expiresAtMs < Date.now()) this.issued.delete(serial);
  }
}

const keysOfConfig = new WeakMap<WechatConfig, PlatformKeys>();

/** One per config object: what its connections learn, its callbacks know. */
export function platformKeysOf(config: WechatConfig): PlatformKeys {
  let keys = keysOfConfig.get(config);
  if (!keys) {
    keys = new PlatformKeys(config);
    keysOfConfig.set(config, keys);
  }
  return keys;
}

/**
 * The certificates of a list (获取平台证书列表). Each is encrypted with the APIv3 key under an authenticated cipher, so that only WeChat Pay
 * and the merchant can have made it; what does not decrypt, or is not what its number says, is left out.
 *
 * @throws Error when none is left. The message holds nothing of the list.
 */
export function readCertificates(body: string, config: WechatConfig): Map<string, PlatformKey> {
  const data = parseObject(body)?.data;
  const entries: unknown[] = Array.isArray(data) ? data : [];
  const certificates = new Map<string, PlatformKey>();
  for (const entry of entries.slice(0, MAX_CERTIFICATES)) {
    const certificate = readCertificate(entry, config);
    if (certificate) certificates.set(...certificate);
  }
  if (certificates.size === 0) throw new Error('the list of certificates holds none that the apiV3Key opens');
  return certificates;
}

function readCertificate(entry: unknown, config: WechatConfig): [string, PlatformKey] | undefined {
  if (!isRecord(entry) || !isRecord(entry.encrypt_certificate)) return undefined;
  const { serial_no: serial, expire_time: expireTime } = entry;
  const { algorithm, nonce, associated_data: associatedData, ciphertext } = entry.encrypt_certificate;
  if (algorithm !== 'AEAD_AES_256_GCM' || typeof nonce !== 'string' || typeof ciphertext !== 'string') return undefined;
  if (typeof serial !== 'string' || serial === config.serialNo) return undefined;
  try {
    const pem = openAead(
      wechatKeys(config).apiV3,
      nonce,
      typeof associatedData === 'string' ? associatedData : '',
      ciphertext,
    );
    const certificate = new X509Certificate(pem);
    if (certificate.serialNumber !== serial || rsaFault(certificate.publicKey) !== undefined) return undefined;
    // WeChat Pay moves the end of the old one forward a day before it takes the new one.
    const endMs = typeof expireTime === 'string' ? Date.parse(expireTime) : NaN;
    const validToMs = Date.parse(certificate.validTo);
    const expiresAtMs = Number.isNaN(endMs) ? validToMs : Math.min(endMs, validToMs);
    return [serial, { key: certificate.publicKey, expiresAtMs }];
  } catch {
    // Not decrypted with our key, or no certificate: the caller says when none was.
    return undefined;
  }
}
