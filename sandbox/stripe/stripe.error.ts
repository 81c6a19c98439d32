export type StripeErrorType = 'api_error' | 'idempotency_error' | 'invalid_request_error';

/** An answer of the API that is not a success. Type, code, message and parameter go on the wire as they are. */
export class StripeRefusal extends Error {
  override readonly name = 'StripeRefusal';
  readonly type: StripeErrorType;
  readonly code: string | undefined;
  readonly param: string | undefined;

  constructor(
    readonly status: number,
    message: string,
    more: { type?: StripeErrorType; code?: string; param?: string } = {},
  ) {
    super(message);
    this.type = more.type ?? 'invalid_request_error';
    this.code = more.code;
    this.param = more.param;
  }

  body(requestId: string): Record<string, unknown> {
    const { code, message, param, type } = this;
    return {
      error: {
        ...(code === undefined
          ? {}
          : { code, doc_url: `https://stripe.com/docs/error-codes/${code.replaceAll('_', '-')}` }),
        message,
        ...(param === undefined ? {} : { param }),
        request_log_url: `https://dashboard.stripe.com/test/logs/${requestId}`,
        type,
      },
    };
  }
}

export function badParameter(param: string, code: string, message: string): StripeRefusal {
  return new StripeRefusal(400, message, { code, param });
}

export function resourceMissing(what: string, id: string, param: string): StripeRefusal {
  return new StripeRefusal(404, `No such ${what}: '${id}'`, { code: 'resource_missing', param });
}

export function rateLimited(): StripeRefusal {
  return new StripeRefusal(
    429,
    'Request rate limit exceeded. Learn more about rate limits here https://stripe.com/docs/rate-limits.',
    {
      code: 'rate_limit',
    },
  );
}

/** Another request holds the object: what a write is answered in place of a rate limit. */
export function lockTimeout(): StripeRefusal {
  return new StripeRefusal(
    429,
    'This object cannot be accessed right now because another API request or Stripe process is currently accessing it. If you see this error intermittently, retry the request.',
    { code: 'lock_timeout' },
  );
}

export function apiError(): StripeRefusal {
  return new StripeRefusal(500, 'An unknown error occurred', { type: 'api_error' });
}
