import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { makeCertificate, type CertificateInput, type Name } from '../certificate.js';
import { keyFingerprint, type KeyRing, type RsaPair } from '../keys.js';

/** A key and a certificate that says whose it is. */
export interface SigningPair extends RsaPair {
  certificate: string;
}

export interface UnionpayKeys {
  merId: string;
  merchant: SigningPair;
  /** Serial number of the merchant's certificate, in decimal. */
  certId: string;
  /** What answers and callbacks are signed with. */
  unionpay: SigningPair;
  /** The right name under the right issuer's name, but issued by somebody else. The key is the merchant's. */
  forged: SigningPair;
  middleCert: string;
  rootCert: string;
}

const MER_ID = '777290058110048';
const AUTHORITY: Name = [
  ['C', 'CN'],
  ['O', 'Refund Sandbox'],
];
const ROOT: Name = [...AUTHORITY, ['CN', 'Refund Sandbox UnionPay Root']];
const MIDDLE: Name = [...AUTHORITY, ['CN', 'Refund Sandbox UnionPay OCA1']];
/** As in the real ones: whose it is stands between the second and the third @. */
const UNIONPAY: Name = [...AUTHORITY, ['CN', '041@8310000000083040@中国银联股份有限公司@00016495']];
const MERCHANT: Name = [...AUTHORITY, ['CN', `041@8777290058110048@退款沙箱商户@00016493`]];

export async function openUnionpayKeys(ring: KeyRing): Promise<UnionpayKeys> {
  const [merchant, unionpay] = await Promise.all([ring.rsa('unionpay.merchant'), ring.rsa('unionpay.platform')]);
  // The authority signs nothing but certificates: elliptic curves, which are made in no time.
  const root = authority(ring, 'unionpay.root');
  const middle = authority(ring, 'unionpay.middle');
  const stranger = authority(ring, 'unionpay.stranger');
  // Kept like keys: a signature on a curve is another one each time, and a service that was configured before holds these.
  const certificate = (name: string, input: Omit<CertificateInput, 'serial'>): string =>
    ring.text(`unionpay.${name}`, () => makeCertificate({ serial: serialOf(input.publicKey), ...input }));
  const certified = (
    name: string,
    pair: RsaPair,
    subject: Name,
    { privateKey: signingKey }: Authority,
  ): SigningPair => ({
    ...pair,
    certificate: certificate(name, { issuer: MIDDLE, subject, publicKey: pair.publicKey, signingKey }),
  });
  const { publicKey, privateKey: signingKey } = root;
  return {
    merId: MER_ID,
    merchant: certified('merchantCert', merchant, MERCHANT, middle),
    certId: serialOf(merchant.publicKey).toString(),
    unionpay: certified('platformCert', unionpay, UNIONPAY, middle),
    forged: certified('forgedCert', merchant, UNIONPAY, stranger),
    middleCert: certificate('middleCert', { issuer: ROOT, subject: MIDDLE, publicKey: middle.publicKey, signingKey }),
    rootCert: certificate('rootCert', { issuer: ROOT, subject: ROOT, publicKey, signingKey }),
  };
}

type Authority = Pick<RsaPair, 'privateKey' | 'publicKey'>;

function authority(ring: KeyRing, name: string): Authority {
  const pem = ring.text(name, () =>
    generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  );
  const privateKey = createPrivateKey(pem);
  return { privateKey, publicKey: createPublicKey(privateKey) };
}

/** Five bytes, as the real ones have. */
function serialOf(publicKey: KeyObject): bigint {
  return BigInt(`0x10${keyFingerprint(publicKey).slice(0, 8)}`);
}
