import { fetchOnce } from '../../../src/gateway/fetch-once.js';
import type { GatewayOperation } from '../../../src/gateway/refusal-rules.js';
import { ACME_DEFAULT_BASE_URL, type AcmeConfig } from './acme.config.js';
import { isGenuine, sign } from './acme.signature.js';

export interface AcmeAnswer {
  httpStatus: number;
  body: string;
  /** The signature over the body is right. */
  verified: boolean;
}

export interface AcmeRequest {
  operation: GatewayOperation;
  /** JSON, sent and signed as it stands. */
  body: string;
  signal: AbortSignal;
  timeoutMs: number;
}

export interface AcmeClient {
  /** Sends one request, once. Throws GatewayError when no answer came; never judges an answer. */
  send(request: AcmeRequest): Promise<AcmeAnswer>;
}

const MAX_ANSWER_BYTES = 64 * 1024;
const PATHS = { query: '/refunds/query', create: '/refunds' } as const satisfies Record<GatewayOperation, string>;

/** @param transport replaces the network; specs give one. */
export function acmeClient(config: AcmeConfig, transport: typeof fetch = fetch): AcmeClient {
  return {
    async send({ operation, body, signal, timeoutMs }) {
      const answer = await fetchOnce({
        gateway: 'Acme Pay',
        call: { operation, signal, timeoutMs },
        url: `${config.baseUrl ?? ACME_DEFAULT_BASE_URL}${PATHS[operation]}`,
        headers: {
          'Content-Type': 'application/json',
          'Acme-Merchant': config.merchantNo,
          'Acme-Signature': sign(body, config.signingKey),
        },
        body,
        maxAnswerBytes: MAX_ANSWER_BYTES,
        transport,
      });
      return {
        httpStatus: answer.status,
        body: answer.body.toString('utf8'),
        verified: isGenuine(answer.body, answer.headers.get('acme-signature') ?? undefined, config.signingKey),
      };
    },
  };
}
