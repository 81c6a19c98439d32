/**
 * Money is an integer of minor units (fen, cents) with an ISO 4217 currency. It is a JavaScript number because every amount
 * that passes `isAmount` is far below 2^53; text to integer conversion never goes through a fraction.
 */
export const MAX_AMOUNT_MINOR = 999_999_999_999_999;

export function isAmount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value > 0 && value <= MAX_AMOUNT_MINOR;
}

export function isCurrency(value: string): boolean {
  return /^[A-Z]{3}$/.test(value) && CURRENCIES.has(value);
}

const CURRENCIES = new Set(Intl.supportedValuesOf('currency'));

/**
 * Exponents of ISO 4217 that are not 2. Not taken from Intl, which gives the digits that people write: 0 for HUF, IDR and PKR, whose
 * gateways count in hundredths all the same.
 */
const EXPONENTS: ReadonlyMap<string, number> = new Map([
  ...'BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF'.split(' ').map((code) => [code, 0] as const),
  ...'BHD IQD JOD KWD LYD OMR TND'.split(' ').map((code) => [code, 3] as const),
  ...'CLF UYW'.split(' ').map((code) => [code, 4] as const),
]);

/** Digits after the decimal point of a currency: CNY 2, JPY 0, KWD 3. */
export function currencyExponent(currency: string): number {
  return EXPONENTS.get(currency) ?? 2;
}

/**
 * Decimal text to minor units: `"1.1"` CNY → 110.
 *
 * @returns undefined when the text is no plain non-negative decimal, has more digits than the currency, or is too large.
 */
export function decimalToMinor(text: string, currency: string): number | undefined {
  const match = /^(\d{1,15})(?:\.(\d{1,6}))?$/.exec(text);
  if (!match) return undefined;
  const exponent = currencyExponent(currency);
  const fraction = (match[2] ?? '').replace(/0+$/, '');
  if (fraction.length > exponent) return undefined;
  const minor = Number(`${match[1]}${fraction.padEnd(exponent, '0')}`);
  return Number.isSafeInteger(minor) && minor <= MAX_AMOUNT_MINOR ? minor : undefined;
}

/** Minor units to decimal text with all digits of the currency: 110 CNY → `"1.10"`. */
export function minorToDecimal(amountMinor: number, currency: string): string {
  const exponent = currencyExponent(currency);
  if (exponent === 0) return String(amountMinor);
  const digits = String(amountMinor).padStart(exponent + 1, '0');
  return `${digits.slice(0, -exponent)}.${digits.slice(-exponent)}`;
}

/** Columns hold amounts as BIGINT, which drivers hand over as text (MySQL) or number (SQLite). */
export const amountTransformer = {
  to: (value: number | undefined): number | undefined => value,
  from: (value: string | number | null): number => {
    const amount = Number(value);
    if (!Number.isSafeInteger(amount))
      throw new Error(`amount in the database is not a safe integer: ${String(value)}`);
    return amount;
  },
};
