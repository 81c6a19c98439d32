import { sign, type KeyObject } from 'node:crypto';

/** A name in a certificate, in its order. */
export type Name = readonly (readonly [part: keyof typeof NAME_PARTS, value: string])[];

export interface CertificateInput {
  serial: bigint;
  issuer: Name;
  subject: Name;
  publicKey: KeyObject;
  /** Key of the issuer; RSA, or EC where the gateway's own are of no use to whoever verifies the chain. */
  signingKey: KeyObject;
  /** End of it, milliseconds since the epoch; default: long after all of us. */
  expiresAtMs?: number;
}

/** Ends of the names' object identifiers, all below 2.5.4. */
const NAME_PARTS = { C: 6, O: 10, OU: 11, CN: 3 } as const;
const SHA256_WITH_RSA = tlv(0x30, oid(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b), tlv(0x05));
const ECDSA_WITH_SHA256 = tlv(0x30, oid(0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02));
/** The same bytes after every start, so that a certificate that a service has stored is still ours. */
const NOT_BEFORE = '20240101000000Z';
const NOT_AFTER = '20991231235959Z';

/** An X.509 certificate of version 1, which has no extensions, as PEM. node:crypto reads certificates but makes none. */
export function makeCertificate(input: CertificateInput): string {
  const { serial, issuer, subject, publicKey, signingKey, expiresAtMs } = input;
  const notAfter =
    expiresAtMs === undefined ? NOT_AFTER : `${new Date(expiresAtMs).toISOString().replace(/\D/g, '').slice(0, 14)}Z`;
  const algorithm = signingKey.asymmetricKeyType === 'rsa' ? SHA256_WITH_RSA : ECDSA_WITH_SHA256;
  const toBeSigned = tlv(
    0x30,
    integer(serial),
    algorithm,
    nameOf(issuer),
    tlv(0x30, tlv(0x18, Buffer.from(NOT_BEFORE)), tlv(0x18, Buffer.from(notAfter))),
    nameOf(subject),
    publicKey.export({ type: 'spki', format: 'der' }),
  );
  const signature = sign('sha256', toBeSigned, signingKey);
  const der = tlv(0x30, toBeSigned, algorithm, tlv(0x03, Buffer.from([0]), signature));
  const lines = der.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}

function nameOf(name: Name): Buffer {
  return tlv(
    0x30,
    ...name.map(([part, value]) =>
      tlv(0x31, tlv(0x30, oid(0x55, 0x04, NAME_PARTS[part]), tlv(part === 'C' ? 0x13 : 0x0c, Buffer.from(value)))),
    ),
  );
}

/** Positive; a leading zero keeps a high first bit from being its sign. */
function integer(value: bigint): Buffer {
  const hex = value.toString(16);
  const even = hex.length % 2 === 0 ? hex : `0${hex}`;
  const bytes = Buffer.from(even, 'hex');
  return tlv(0x02, ...((bytes[0] ?? 0) >= 0x80 ? [Buffer.from([0]), bytes] : [bytes]));
}

function oid(...bytes: number[]): Buffer {
  return tlv(0x06, Buffer.from(bytes));
}

/** DER: tag, length, value. */
function tlv(tag: number, ...parts: Buffer[]): Buffer {
  const value = Buffer.concat(parts);
  const { length } = value;
  const size =
    length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, Math.floor(length / 0x100), length % 0x100];
  return Buffer.concat([Buffer.from([tag, ...size]), value]);
}
