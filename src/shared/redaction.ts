/**
 * Takes secrets out of texts and answers before they are stored or logged. Connectors keep only the fields they need; this is
 * the second line: whatever slipped through loses the account's secrets and everything that looks like key material.
 */
const MASK = '***';
const KEY_MATERIAL = /-----BEGIN [A-Z ]+-----[\s\S]*?(?:-----END [A-Z ]+-----|$)/g;
const AUTHORIZATION = /\b(?:Bearer|Basic|WECHATPAY2-SHA256-RSA2048)\s+\S.*/gi;
/** Keys that show by themselves that they are some (Stripe); also with most of their characters starred out. */
const API_KEY = /\b(?:[sr]k_(?:test|live)|whsec)_[\w*]+/g;
const MAX_TEXT = 500;
const MAX_BODY_JSON = 4_096;
const MIN_SECRET_LENGTH = 6;

export function redactText(text: string, secrets: readonly string[]): string {
  let clean = text.replace(KEY_MATERIAL, MASK).replace(AUTHORIZATION, MASK).replace(API_KEY, MASK);
  // The longest first: where one secret begins with another, the rest of it must go as well.
  const longestFirst = [...secrets].sort((a, b) => b.length - a.length);
  for (const secret of longestFirst) if (secret.length >= MIN_SECRET_LENGTH) clean = clean.replaceAll(secret, MASK);
  return clean.slice(0, MAX_TEXT);
}

/** Redacts every text in a plain value; what is too large is replaced by a note of its size. */
export function redactBody(body: Record<string, unknown>, secrets: readonly string[]): Record<string, unknown> {
  const clean = redactValue(body, secrets, 0) as Record<string, unknown>;
  const size = JSON.stringify(clean).length;
  return size <= MAX_BODY_JSON ? clean : { omitted: `${size} characters` };
}

function redactValue(value: unknown, secrets: readonly string[], depth: number): unknown {
  if (typeof value === 'string') return redactText(value, secrets);
  if (typeof value !== 'object' || value === null) return typeof value === 'bigint' ? value.toString() : value;
  if (depth >= 6) return MASK;
  if (Array.isArray(value)) return value.slice(0, 50).map((entry) => redactValue(entry, secrets, depth + 1));
  return Object.fromEntries(
    Object.entries(value)
      .slice(0, 100)
      .map(([key, entry]) => [key, redactValue(entry, secrets, depth + 1)]),
  );
}
