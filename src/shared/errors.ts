/**
 * Errors of the domain. They carry a stable code and know no HTTP: one filter per surface maps them
 * (merchant API: the numbers of the reference system; internal API: problem documents).
 */
export const ERROR_CODES = {
  internal: 10001,
  unauthenticated: 10004,
  unreadable: 10005,
  invalid: 10006,
  syncRunning: 10007,
  tooManyRequests: 10429,
  failed: 20000,
  instantChannel: 20030,
  refundNotFound: 20041,
  refundClosed: 20042,
  badSignature: 20052,
} as const;

export type ErrorCode = keyof typeof ERROR_CODES;

export interface FieldFault {
  field: string;
  fault: string;
}

export interface DomainErrorDetails {
  faults?: readonly FieldFault[];
  retryAfterS?: number;
  cause?: unknown;
}

/** A text for merchants in the two languages that the merchant API speaks. */
export interface LocalText {
  zh: string;
  en: string;
}

export class DomainError extends Error {
  override readonly name: string = 'DomainError';
  readonly faults: readonly FieldFault[];
  readonly retryAfterS: number | undefined;

  readonly text: LocalText;

  /** @param text one sentence for the caller: no secret, no SQL, no stack. */
  constructor(
    readonly code: ErrorCode,
    text: string | LocalText,
    details: DomainErrorDetails = {},
  ) {
    super(typeof text === 'string' ? text : text.en, { cause: details.cause });
    this.text = typeof text === 'string' ? { zh: text, en: text } : text;
    this.faults = details.faults ?? [];
    this.retryAfterS = details.retryAfterS;
  }
}

/** A field is missing or malformed. What merchants read is said in both languages. */
export function invalidField(field: string, fault: string | LocalText): DomainError {
  const { zh, en } = typeof fault === 'string' ? { zh: fault, en: fault } : fault;
  return new DomainError('invalid', { zh: `${field} ${zh}`, en: `${field} ${en}` }, { faults: [{ field, fault: en }] });
}

/** The request contradicts what is stored: other content under the same number, more than the refundable balance. */
export class ConflictError extends DomainError {
  override readonly name = 'ConflictError';
  constructor(field: string, fault: string) {
    super('failed', `${field} ${fault}`, { faults: [{ field, fault }] });
  }
}

/** The thing that was asked for by its id does not exist. */
export class NotFoundError extends DomainError {
  override readonly name = 'NotFoundError';
  constructor(what: string) {
    super('refundNotFound', what);
  }
}

/** Who asks is known, and may not. */
export class ForbiddenError extends DomainError {
  override readonly name = 'ForbiddenError';
  constructor(text: string) {
    super('unauthenticated', text);
  }
}

/** The body is in a form that the route does not read. */
export class UnsupportedTypeError extends DomainError {
  override readonly name = 'UnsupportedTypeError';
  constructor(text: string) {
    super('unreadable', text);
  }
}

/** A text of an unknown error, for logs: never the whole object, which may hold credentials. */
export function errorText(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}`.slice(0, 500) : String(error).slice(0, 500);
}
