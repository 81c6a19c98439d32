import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';

import { GatewayError } from '../gateway.error.js';
import {
  createStripeClient,
  STRIPE_API_VERSION,
  stripeClient,
  type StripeQuestion,
  type StripeReply,
  type StripeRequest,
  type StripeTransport,
  type StripeWire,
} from './stripe.client.js';
import type { StripeConfig } from './stripe.config.js';

const config: StripeConfig = { secretKey: 'sk_test_4eC39HqLyjWDarjtT1zdp7dc', webhookSecret: 'whsec_test_secret' };
const payload = 'payment_intent=pi_1&amount=100&metadata[refund_no]=R-1';

const retrieve: StripeQuestion = { kind: 'retrieve', refundId: 're_1' };
const list: StripeQuestion = { kind: 'list', of: { payment_intent: 'pi_1' } };
const create = { kind: 'create', payload, idempotencyKey: 'refund-sync:R-1' } as const;

/** A network of one exchange: keeps what was sent, answers what the test says. */
function network(reply: Partial<StripeReply> | (() => never) = {}) {
  const sent: StripeWire[] = [];
  const transport: StripeTransport = async (wire) => {
    await Promise.resolve();
    sent.push(wire);
    if (typeof reply === 'function') return reply();
    return { status: 200, headers: {}, body: '{}', ...reply };
  };
  return { transport, sent };
}

const asked = (question: StripeQuestion, over: Partial<StripeRequest> = {}): StripeRequest =>
  ({ ...question, signal: new AbortController().signal, timeoutMs: 1000, ...over }) as StripeRequest;

async function exchange(
  question: StripeQuestion,
  reply?: Partial<StripeReply> | (() => never),
  over: Partial<StripeConfig> = {},
) {
  const { transport, sent } = network(reply);
  const answer = await createStripeClient({ ...config, ...over }, transport).send(asked(question));
  return { answer, sent: sent[0] as StripeWire, times: sent.length };
}

async function failure(question: StripeQuestion, reply: () => never): Promise<{ error: GatewayError; times: number }> {
  const { transport, sent } = network(reply);
  const error: unknown = await createStripeClient(config, transport)
    .send(asked(question))
    .catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(GatewayError);
  return { error: error as GatewayError, times: sent.length };
}

describe('a request', () => {
  it('for one refund asks for it by its id', async () => {
    const { sent } = await exchange(retrieve);
    expect(sent).toMatchObject({ method: 'GET', url: 'https://api.stripe.com/v1/refunds/re_1', body: '' });
  });

  it.each<[StripeQuestion, string]>([
    [list, 'payment_intent=pi_1&limit=100'],
    [{ kind: 'list', of: { charge: 'ch_1' }, startingAfter: 're_9' }, 'charge=ch_1&limit=100&starting_after=re_9'],
  ])('for the refunds of a payment takes large pages: %j', async (question, query) => {
    expect((await exchange(question)).sent.url).toBe(`https://api.stripe.com/v1/refunds?${query}`);
  });

  it('to create sends exactly the given text under the given key', async () => {
    const { sent } = await exchange(create);
    expect(sent).toMatchObject({ method: 'POST', url: 'https://api.stripe.com/v1/refunds', body: payload });
    expect(sent.headers).toMatchObject({
      'Idempotency-Key': 'refund-sync:R-1',
      'Content-Type': 'application/x-www-form-urlencoded',
      'Content-Length': String(payload.length),
    });
  });

  it.each([
    ['spaced with +', 'payment_intent=pi_1&amount=100&metadata[refund_no]=R+1'],
    ['encoded otherwise', 'payment_intent=pi_1&amount=100&metadata%5Brefund_no%5D=R-1'],
    ['with a name twice', 'payment_intent=pi_1&amount=100&amount=100'],
  ])('to create is not sent with a text %s, which the library would send as another one', async (_, text) => {
    const { transport, sent } = network();
    const sending = createStripeClient(config, transport).send(asked({ ...create, payload: text }));
    await expect(sending).rejects.toMatchObject({ kind: 'rejected', code: 'invalid_payload' });
    expect(sent).toEqual([]);
  });

  it('carries the key, and the API version that the answers are read in', async () => {
    const { sent } = await exchange(retrieve);
    expect(sent.headers).toMatchObject({
      Authorization: `Bearer ${config.secretKey}`,
      'Stripe-Version': STRIPE_API_VERSION,
      'User-Agent': expect.stringMatching(/refund-sync/) as string,
    });
    for (const name of ['Stripe-Account', 'Idempotency-Key', 'X-Stripe-Client-Telemetry'])
      expect(sent.headers).not.toHaveProperty(name);
  });

  it('on behalf of a connected account names it', async () => {
    const { sent } = await exchange(create, {}, { accountId: 'acct_1' });
    expect(sent.headers['Stripe-Account']).toBe('acct_1');
  });

  it('sends no telemetry, also not with the second request', async () => {
    const { transport, sent } = network({ headers: { 'request-id': 'req_1' } });
    const client = createStripeClient(config, transport);
    await client.send(asked(retrieve));
    await client.send(asked(retrieve));
    for (const { headers } of sent) expect(JSON.stringify(headers)).not.toMatch(/telemetry|platform|last_request/i);
  });

  it.each([
    ['http://127.0.0.1:9100', 'http://127.0.0.1:9100/v1/refunds/re_1'],
    ['https://stripe.example:8443/', 'https://stripe.example:8443/v1/refunds/re_1'],
  ])('goes to %s when it is told to', async (baseUrl, url) => {
    expect((await exchange(retrieve, {}, { baseUrl })).sent.url).toBe(url);
  });

  it('never goes to another machine over plain http, where nothing would prove the answer', () => {
    expect(() => createStripeClient({ ...config, baseUrl: 'http://api.stripe.com' })).toThrow(GatewayError);
  });

  it('uses few connections and reads answers of bounded size', async () => {
    const { sent } = await exchange(retrieve);
    expect(sent).toMatchObject({ maxAnswerBytes: 2_097_152, agent: { keepAlive: true, maxSockets: 10 } });
  });
});

describe('an answer', () => {
  it.each([200, 302, 400, 401, 404, 409, 429, 500, 503])(
    'of status %i is handed on as received, asked for once',
    async (status) => {
      const body = '{"error": {"type": "api_error"}}';
      const headers = {
        'request-id': 'req_1',
        'stripe-should-retry': 'true',
        'idempotent-replayed': 'true',
        'retry-after': '7',
      };
      const { answer, times } = await exchange(create, { status, body, headers });
      expect(answer).toEqual({
        httpStatus: status,
        body,
        requestId: 'req_1',
        account: null,
        replayed: true,
        retryAfter: '7',
      });
      expect(times).toBe(1);
    },
  );

  it.each(['', '<html>', '{"half":', 'null'])('whose body is %j is handed on too', async (body) => {
    expect((await exchange(retrieve, { body })).answer).toMatchObject({ httpStatus: 200, body, replayed: false });
  });

  it('names the connected account where one was asked for', async () => {
    const headers = { 'stripe-account': 'acct_2' };
    expect((await exchange(retrieve, { headers }, { accountId: 'acct_1' })).answer.account).toBe('acct_2');
    expect((await exchange(retrieve, { headers })).answer.account).toBeNull();
  });
});

describe('a failed call', () => {
  const fail =
    (code: string, message = 'no') =>
    (): never => {
      throw Object.assign(new Error(message), { code, config: { headers: { Authorization: config.secretKey } } });
    };

  it.each([
    ['ETIMEDOUT', 'timeout'],
    ['ECONNRESET', 'reset'],
    ['EPIPE', 'reset'],
    ['ECONNREFUSED', 'unreachable'],
    ['ENOTFOUND', 'unreachable'],
    ['CERT_HAS_EXPIRED', 'tls'],
    ['HPE_INVALID_CONSTANT', 'malformed'],
    ['E_NEW', 'transport'],
  ])('with %s is %s, sent once: a query unavailable, a create ambiguous', async (transportCode, code) => {
    // The library would send it a second time with ECONNRESET and EPIPE, whatever maxNetworkRetries says.
    const query = await failure(retrieve, fail(transportCode));
    expect([query.error.kind, query.error.code, query.times]).toEqual(['unavailable', code, 1]);
    const creation = await failure(create, fail(transportCode));
    expect([creation.error.kind, creation.error.code, creation.times]).toEqual(['ambiguous', code, 1]);
    expect(creation.error.nothingHappened).toBe(false);
  });

  it('that was given up before it was sent says so', async () => {
    const { transport } = network(fail('ABORT_ERR'));
    const request = asked(retrieve, { signal: AbortSignal.abort() });
    await expect(createStripeClient(config, transport).send(request)).rejects.toMatchObject({ code: 'aborted' });
  });

  it('ends at its time limit whatever the transport does', async () => {
    const stuck: StripeTransport = ({ signal }) =>
      new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('aborted'))));
    const sending = createStripeClient(config, stuck).send(asked(create, { timeoutMs: 20 }));
    await expect(sending).rejects.toMatchObject({ kind: 'ambiguous', code: 'timeout' });
  });

  it('leaves nothing of the request in its error', async () => {
    const { error } = await failure(create, fail('ECONNRESET', 'socket hang up'));
    expect(error.cause).toEqual({ code: 'ECONNRESET', message: 'socket hang up' });
    const text = inspect(error, { depth: 12, showHidden: true });
    for (const secret of [config.secretKey, 'Authorization', 'headers', 'pi_1']) expect(text).not.toContain(secret);
  });
});

describe('the client of an account', () => {
  it('is made once per config object', () => {
    expect(stripeClient(config)).toBe(stripeClient(config));
    expect(stripeClient({ ...config })).not.toBe(stripeClient(config));
  });
});
