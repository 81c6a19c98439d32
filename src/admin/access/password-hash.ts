import { randomBytes, scrypt, timingSafeEqual, type ScryptOptions } from 'node:crypto';
import { promisify } from 'node:util';

/** As OWASP's Password Storage Cheat Sheet has it: 32 MiB and three passes. */
const PARAMETERS = { ln: 15, r: 8, p: 3 };
const KEY_BYTES = 32;
const SALT_BYTES = 16;
const MAX_MEMORY_BYTES = 128 * 1024 * 1024;
const STORED = /^\$scrypt\$ln=(\d{1,2}),r=(\d{1,2}),p=(\d{1,2})\$([\w-]{1,64})\$([\w-]{1,128})$/;

const derive = promisify<string, Buffer, number, ScryptOptions, Buffer>(scrypt);

interface StoredPassword {
  parameters: { ln: number; r: number; p: number };
  salt: Buffer;
  hash: Buffer;
}

/** @returns `$scrypt$ln=15,r=8,p=3$<salt>$<hash>`: it carries its parameters, so that they can grow. */
export async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(SALT_BYTES);
  const { ln, r, p } = PARAMETERS;
  const hash = await key(password, { parameters: PARAMETERS, salt, hash: Buffer.alloc(KEY_BYTES) });
  return `$scrypt$ln=${ln},r=${r},p=${p}$${salt.toString('base64url')}$${hash.toString('base64url')}`;
}

/** @param stored undefined where there is no such user: it takes as long and is never right. */
export async function verifyPassword(password: string, stored: string | undefined): Promise<boolean> {
  const parts = parse(stored ?? NOBODY);
  const given = await key(password, parts);
  return timingSafeEqual(given, parts.hash) && stored !== undefined;
}

/** True when the parameters have grown since. */
export function isOutdated(stored: string): boolean {
  const { parameters } = parse(stored);
  return parameters.ln !== PARAMETERS.ln || parameters.r !== PARAMETERS.r || parameters.p !== PARAMETERS.p;
}

const NOBODY = `$scrypt$ln=${PARAMETERS.ln},r=${PARAMETERS.r},p=${PARAMETERS.p}$${randomBytes(SALT_BYTES).toString('base64url')}$${randomBytes(KEY_BYTES).toString('base64url')}`;

function key(password: string, { parameters: { ln, r, p }, salt, hash }: StoredPassword): Promise<Buffer> {
  // The same character can be typed as one code point or as two.
  return derive(password.normalize('NFKC'), salt, hash.length, { N: 2 ** ln, r, p, maxmem: MAX_MEMORY_BYTES });
}

function parse(stored: string): StoredPassword {
  const [, ln, r, p, salt, hash] = STORED.exec(stored) ?? [];
  if (salt === undefined || hash === undefined) throw new Error('not a stored password');
  return {
    parameters: { ln: Number(ln), r: Number(r), p: Number(p) },
    salt: Buffer.from(salt, 'base64url'),
    hash: Buffer.from(hash, 'base64url'),
  };
}
