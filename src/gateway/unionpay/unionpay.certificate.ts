import { X509Certificate, type KeyObject } from 'node:crypto';

/** Who may sign in UnionPay's name: a leaf below these two, with this name in the third part of its CN. */
export interface Trust {
  root: X509Certificate;
  middle: X509Certificate;
  signerName: string;
}

/** The certificate that an answer or a callback carries, judged once; validity dates are looked at again each time. */
interface Signer {
  certificate: X509Certificate;
  key: KeyObject;
}

/** UnionPay signs with one certificate at a time; a few more while it changes. */
const MAX_KNOWN = 8;

/** Checks `signPubKeyCert` (gateways.md §4.1): chain to the configured certificates, validity, name. */
export class SignerCheck {
  private readonly known = new Map<string, Signer>();

  constructor(private readonly trust: Trust) {}

  /** @returns the key, or why nothing that it signs is believed; no part of the certificate. */
  keyOf(pem: string, now: Date): { key: KeyObject } | { doubt: string } {
    const known = this.known.get(pem);
    const judged = known ?? this.judge(pem);
    if ('doubt' in judged) return judged;
    for (const certificate of [judged.certificate, this.trust.middle, this.trust.root])
      if (!isValidAt(certificate, now)) return { doubt: 'a certificate of its chain is not valid at this time' };
    if (!known && this.known.size < MAX_KNOWN) this.known.set(pem, judged);
    return { key: judged.key };
  }

  private judge(pem: string): Signer | { doubt: string } {
    let certificate: X509Certificate;
    try {
      certificate = new X509Certificate(pem);
    } catch {
      return { doubt: 'its certificate cannot be read' };
    }
    const { root, middle, signerName } = this.trust;
    if (!isIssuedBy(certificate, middle) || !isIssuedBy(middle, root))
      return { doubt: 'its certificate was not issued below the configured middleCert and rootCert' };
    // Every merchant has a certificate of the same authority: the chain alone proves nothing.
    if (commonNamePart(certificate) !== signerName) return { doubt: 'its certificate is not one of UnionPay' };
    const key = certificate.publicKey;
    return key.asymmetricKeyType === 'rsa' ? { certificate, key } : { doubt: 'its certificate holds no RSA key' };
  }
}

export function isIssuedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
}

/** `041@8310000000083040@中国银联股份有限公司@00016495`: the third part names who it is. */
function commonNamePart(certificate: X509Certificate): string | undefined {
  const { CN: commonName } = certificate.toLegacyObject().subject as { CN?: unknown };
  return typeof commonName === 'string' ? commonName.split('@')[2] : undefined;
}

function isValidAt(certificate: X509Certificate, now: Date): boolean {
  return Date.parse(certificate.validFrom) <= now.getTime() && now.getTime() <= Date.parse(certificate.validTo);
}
