/**
 * Cuts between characters, never inside one. Lone surrogates, which UTF-8 cannot carry, and control characters are replaced.
 * For what we send: reasons and the like.
 */
export function shorten(text: string, maxBytes: number): string {
  const clean = text
    .replace(/\p{Surrogate}/gu, '\uFFFD')
    .replace(/\p{Cc}+/gu, ' ')
    .trim();
  let kept = '';
  let bytes = 0;
  for (const character of clean) {
    bytes += Buffer.byteLength(character);
    if (bytes > maxBytes) break;
    kept += character;
  }
  return kept.trimEnd();
}

/** Free text of an answer that may not even be the gateway's: no control characters, nothing that looks like a key or a signature. */
export function harmless(text: string, maxChars: number): string {
  return text
    .replace(/\p{Cc}+/gu, ' ')
    .replace(/[A-Za-z0-9+/=_-]{40,}/g, '[redacted]')
    .slice(0, maxChars);
}
