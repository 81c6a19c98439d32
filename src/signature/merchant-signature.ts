import { timingSafeEqual } from 'node:crypto';
import { JsonNumber, type JsonObject, type JsonValue } from '../shared/lossless-json.js';
import { isSignName, signString, type SignDialect, type SignForm } from './canonical.js';
import { digestHex, requireSecret, requireSupported, type SignType } from './digest.js';

export interface SignRequest {
  dialect: SignDialect;
  signType: SignType;
  secret: string;
  /** The message as parsed; a top-level `sign` in it takes no part. */
  fields: JsonObject;
}

export interface VerifyRequest extends SignRequest {
  /** Names of the fields of the interface, for callers that sign only those (rule 12). */
  knownFields?: readonly string[];
}

/**
 * Signs an outgoing message the SDK's way: the empty text is kept, nested objects of `daxpay-v3` in the order they are
 * written.
 *
 * @returns lower-case hex, 32 characters for MD5, 64 for the others.
 * @throws {SignatureConfigError} when the secret is empty or the dialect does not know the digest.
 */
export function sign({ dialect, signType, secret, fields }: SignRequest): string {
  requireSupported(dialect, signType);
  requireSecret(secret);
  return digestHex(signType, signString(dialect, fields, secret), secret);
}

/**
 * Whether the message's own top-level `sign` belongs to it, in any form that an honest client may have signed: with or
 * without empty texts (rule 3), nested names as written or sorted (`daxpay-v3`), all fields or the known ones alone
 * (rule 12).
 *
 * False when `sign` is absent, null, empty, not a text, not shaped as this digest, or there twice in different case.
 * For `daxpay-v2` the hex must be lower-case, `daxpay-v3` ignores its case.
 *
 * @throws {SignatureConfigError} when the secret is empty or the dialect does not know the digest.
 */
export function verify({ dialect, signType, secret, fields, knownFields }: VerifyRequest): boolean {
  requireSupported(dialect, signType);
  requireSecret(secret);
  const given = givenSignature(fields);
  if (given === undefined) return false;
  const expected = dialect === 'daxpay-v3' ? given.toLowerCase() : given;
  if (!(signType === 'MD5' ? HEX_32 : HEX_64).test(expected)) return false;

  const expectedBytes = Buffer.from(expected, 'latin1');
  let matches = 0;
  // No early exit: the time taken must not tell which form came close. Which forms differ at all is seen in the
  // message and not in the secret, so leaving out equal ones tells nothing.
  for (const text of candidateStrings(dialect, secret, fields, knownFields)) {
    const actualBytes = Buffer.from(digestHex(signType, text, secret), 'latin1');
    matches |= timingSafeEqual(actualBytes, expectedBytes) ? 1 : 0;
  }
  return matches === 1;
}

const HEX_32 = /^[0-9a-f]{32}$/;
const HEX_64 = /^[0-9a-f]{64}$/;

/** Two names `sign` and `Sign` are refused: which of them is the signature would depend on who reads. */
function givenSignature(fields: JsonObject): string | undefined {
  let given: JsonValue | undefined;
  for (const [name, value] of fields) {
    if (!isSignName(name)) continue;
    if (given !== undefined) return undefined;
    given = value;
  }
  return typeof given === 'string' ? given : undefined;
}

function candidateStrings(
  dialect: SignDialect,
  secret: string,
  fields: JsonObject,
  knownFields?: readonly string[],
): string[] {
  let hasEmptyText = false;
  let hasNested = false;
  let hasUnknown = false;
  for (const [name, value] of fields) {
    if (isSignName(name)) continue;
    if (value === '') hasEmptyText = true;
    else if (value !== null && typeof value === 'object' && !(value instanceof JsonNumber)) hasNested = true;
    if (knownFields !== undefined && !knownFields.includes(name)) hasUnknown = true;
  }

  const forms: SignForm[] = [{}];
  if (hasEmptyText) forms.push({ emptyText: 'drop' });
  if (hasNested && dialect === 'daxpay-v3') {
    for (const form of [...forms]) forms.push({ ...form, nestedOrder: 'sorted' });
  }

  const strings: string[] = [];
  for (const form of forms) strings.push(signString(dialect, fields, secret, form));
  if (hasUnknown && knownFields !== undefined) {
    const known: JsonObject = new Map();
    for (const [name, value] of fields) if (knownFields.includes(name)) known.set(name, value);
    for (const form of forms) strings.push(signString(dialect, known, secret, form));
  }
  return strings;
}
