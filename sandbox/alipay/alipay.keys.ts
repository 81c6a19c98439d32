import { makeCertificate, type Name } from '../certificate.js';
import { keyFingerprint, type KeyRing, type RsaPair } from '../keys.js';
import { certificateNumber } from './alipay.crypto.js';

export interface AlipayKeys {
  appId: string;
  sellerId: string;
  /** The merchant's application. What must be refused as Alipay's is signed with it too: a good key, but not Alipay's. */
  app: RsaPair;
  alipay: RsaPair;
  certificates: AlipayCertificates;
}

/** PEM, and the numbers that certificate mode sends instead of them. */
export interface AlipayCertificates {
  appCert: string;
  alipayPublicCert: string;
  alipayRootCert: string;
  appCertSn: string;
  alipayCertSn: string;
  alipayRootCertSn: string;
}

const APP_ID = '2021000100000001';
const SELLER_ID = '2088000100000001';
const ROOT: Name = [
  ['C', 'CN'],
  ['O', 'Refund Sandbox'],
  ['OU', 'Certification Authority'],
  ['CN', 'Refund Sandbox Certification Authority R1'],
];

export async function openAlipayKeys(ring: KeyRing): Promise<AlipayKeys> {
  const [app, alipay] = await Promise.all([ring.rsa('alipay.app'), ring.rsa('alipay.platform')]);
  return { appId: APP_ID, sellerId: SELLER_ID, app, alipay, certificates: certificatesOf(app, alipay) };
}

/** The platform's key is the authority's too: the certificates are for their numbers, and a key more is a slower start. */
function certificatesOf(app: RsaPair, alipay: RsaPair): AlipayCertificates {
  const issue = (subject: string, pair: RsaPair): { pem: string; sn: string } => {
    const serial = BigInt(`0x${keyFingerprint(pair.publicKey).slice(0, 32)}`);
    const pem = makeCertificate({
      serial,
      issuer: ROOT,
      subject: [...ROOT.slice(0, 2), ['CN', subject]],
      publicKey: pair.publicKey,
      signingKey: alipay.privateKey,
    });
    return { pem, sn: certificateNumber(issuerParts(), serial) };
  };
  const leafOfApp = issue(APP_ID, app);
  const leafOfAlipay = issue('Refund Sandbox Alipay', alipay);
  const rootSerial = 1n;
  return {
    appCert: leafOfApp.pem,
    appCertSn: leafOfApp.sn,
    alipayPublicCert: leafOfAlipay.pem,
    alipayCertSn: leafOfAlipay.sn,
    alipayRootCert: makeCertificate({
      serial: rootSerial,
      issuer: ROOT,
      subject: ROOT,
      publicKey: alipay.publicKey,
      signingKey: alipay.privateKey,
    }),
    alipayRootCertSn: certificateNumber(issuerParts(), rootSerial),
  };
}

function issuerParts(): string[] {
  return ROOT.map(([part, value]) => `${part}=${value}`);
}
