const TIMEOUT_MS = 20_000;

/** One JSON request. Any HTTP status is an answer; no answer is an error. */
export async function requestJson<T>(
  method: string,
  url: string,
  options: { token?: string; body?: unknown } = {},
): Promise<{ status: number; body: T }> {
  const response = await fetch(url, {
    method,
    headers: {
      ...(options.token === undefined ? {} : { authorization: `Bearer ${options.token}` }),
      ...(options.body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    body: options.body === undefined ? undefined : JSON.stringify(options.body),
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  const text = await response.text();
  try {
    return { status: response.status, body: JSON.parse(text) as T };
  } catch (cause) {
    throw new Error(`${method} ${url}: HTTP ${response.status} is not JSON: ${text.slice(0, 200)}`, { cause });
  }
}
