import { describe, expect, it } from 'vitest';

import vectors from '../../../test/vectors/stripe.json' with { type: 'json' };
import { currencyExponent } from '../../shared/money.js';
import {
  fromStripeAmount,
  kindOfStatus,
  observe,
  publicFields,
  readRefund,
  STRIPE_STATUS,
  toStripeAmount,
  type KnownPayment,
} from './stripe.status.js';

const refund = (over: Record<string, unknown> = {}): Record<string, unknown> => ({ ...vectors.refund, ...over });

function observation(over: Record<string, unknown> = {}, evidence: Parameters<typeof observe>[1] = {}) {
  const read = readRefund(refund(over));
  if ('badField' in read) throw new Error(`bad field ${read.badField}`);
  return observe(read, evidence);
}

describe('the status map', () => {
  it('is this, and nothing else', () => {
    expect(STRIPE_STATUS).toEqual({
      succeeded: 'success',
      failed: 'failed',
      canceled: 'failed',
      pending: 'processing',
      requires_action: 'processing',
    });
  });

  it.each(['Succeeded', 'succeeded ', 'cancelled', 'reversed', 'constructor', '__proto__', 'toString'])(
    'takes the unknown status %j for processing and keeps it',
    (status) => {
      expect(kindOfStatus(status)).toBe('processing');
      expect(observation({ status })).toMatchObject({ kind: 'processing', raw: { code: status } });
    },
  );

  it('takes null, which the type allows, for processing', () => {
    expect(observation({ status: null })).toMatchObject({ kind: 'processing', raw: { code: 'null' } });
  });
});

describe('a refund object', () => {
  it('that succeeded carries amount and currency, and no time, for it names none', () => {
    expect(observation()).toEqual({
      kind: 'success',
      authenticated: true,
      amountMinor: 1000,
      currency: 'USD',
      gatewayRefundNo: 're_3MmlLrLkdIwHu7ix0uke3Ezy',
      finishedAt: null,
      identity: {
        gatewayRequestNo: 'TESTREFUND0001',
        gatewayRefundNo: 're_3MmlLrLkdIwHu7ix0uke3Ezy',
        gatewayPaymentNo: 'pi_3MmlLrLkdIwHu7ix0XtBUWVl',
        gatewayPaymentNoAlias: 'ch_3MmlLrLkdIwHu7ix0snN0B15',
      },
      raw: {
        code: 'succeeded',
        message: '',
        body: {
          id: 're_3MmlLrLkdIwHu7ix0uke3Ezy',
          amount: 1000,
          currency: 'usd',
          status: 'succeeded',
          reason: null,
          created: 1679692280,
          payment_intent: 'pi_3MmlLrLkdIwHu7ix0XtBUWVl',
          charge: 'ch_3MmlLrLkdIwHu7ix0snN0B15',
          balance_transaction: 'txn_3MmlLrLkdIwHu7ix0oRV5zcB',
          'metadata.refund_no': 'TESTREFUND0001',
        },
      },
    });
  });

  it.each<[string, Record<string, unknown>, Record<string, unknown>]>([
    [
      'failed, with its reason',
      { status: 'failed', failure_reason: 'expired_or_canceled_card' },
      {
        kind: 'failed',
        code: 'expired_or_canceled_card',
        message: expect.stringMatching(/expired.*balance/) as string,
      },
    ],
    ['failed, without one', { status: 'failed' }, { kind: 'failed', code: 'failed' }],
    ['failed, with a new one', { status: 'failed', failure_reason: 'toString' }, { kind: 'failed', code: 'toString' }],
    ['canceled', { status: 'canceled' }, { kind: 'failed', code: 'canceled' }],
    ['pending', { status: 'pending', pending_reason: 'insufficient_funds' }, { kind: 'processing' }],
    ['requires_action', { status: 'requires_action' }, { kind: 'processing', raw: { code: 'requires_action' } }],
  ])('that is %s', (_, over, wanted) => {
    expect(observation(over)).toMatchObject({ ...wanted, gatewayRefundNo: 're_3MmlLrLkdIwHu7ix0uke3Ezy' });
  });

  it.each<[string, Record<string, unknown>, string]>([
    ['of another kind', { object: 'charge' }, 'object'],
    ['without an id', { id: undefined }, 'id'],
    ['with an id that is a number', { id: 3 }, 'id'],
    ['with an id that is too long', { id: `re_${'x'.repeat(62)}` }, 'id'],
    ['without a status', { status: undefined }, 'status'],
    ['with a status that is a number', { status: 1 }, 'status'],
    ['in success without an amount', { amount: undefined }, 'amount'],
    ['in success with an amount as text', { amount: '1000' }, 'amount'],
    ['in success with a broken amount', { amount: 10.5 }, 'amount'],
    ['in success with nothing', { amount: 0 }, 'amount'],
    ['in success with less than nothing', { amount: -1000 }, 'amount'],
    ['in success with an unsafe amount', { amount: 2 ** 53 }, 'amount'],
    ['in success without a currency', { currency: undefined }, 'currency'],
    ['in success with a currency in capitals', { currency: 'USD' }, 'currency'],
  ])('%s is not used', (_, over, badField) => {
    expect(readRefund(refund(over))).toEqual({ badField });
  });

  it.each([undefined, null, [], 'text', 1])('cannot be %j', (value) => {
    expect(readRefund(value)).toEqual({ badField: 'body' });
  });

  it('may lack metadata, or have others', () => {
    for (const metadata of [undefined, null, {}, { refund_no: '' }, { refund_no: 7 }, { refund_no: 'x'.repeat(65) }])
      expect(observation({ metadata }).identity).not.toHaveProperty('gatewayRequestNo');
  });

  it('may have its ids expanded', () => {
    const { identity } = observation({ payment_intent: { id: 'pi_9', object: 'payment_intent', customer: 'cus_1' } });
    expect(identity.gatewayPaymentNo).toBe('pi_9');
  });
});

describe('the payment that an answer names', () => {
  const payment = (reference: string): KnownPayment => ({ reference, outTradeNo: 'ORDER-1' });
  it.each<[string, string, Record<string, unknown>, string | undefined]>([
    ['is the known intent', 'pi_3MmlLrLkdIwHu7ix0XtBUWVl', {}, 'ORDER-1'],
    ['is the known charge', 'ch_3MmlLrLkdIwHu7ix0snN0B15', {}, 'ORDER-1'],
    ['is another intent: its own number shows', 'pi_other', {}, 'pi_3MmlLrLkdIwHu7ix0XtBUWVl'],
    ['is another charge', 'ch_other', {}, 'ch_3MmlLrLkdIwHu7ix0snN0B15'],
    ['has no intent to compare', 'pi_other', { payment_intent: null }, undefined],
  ])('%s', (_, reference, over, outTradeNo) => {
    expect(observation(over, { payment: payment(reference) }).identity.outTradeNo).toBe(outTradeNo);
  });

  it('is compared with nothing when we know none', () => {
    expect(observation().identity).not.toHaveProperty('outTradeNo');
  });
});

describe('amounts', () => {
  it.each<[string, number, number | undefined]>([
    ['USD', 1050, 1050],
    ['JPY', 500, 500],
    ['KRW', 500, 500],
    ['HUF', 1045, 1045],
    ['TWD', 80045, 80045],
    ['KWD', 5120, 5120],
    ['KWD', 5124, undefined],
    ['ISK', 5, 500],
    ['UGX', 5, 500],
    ['MGA', 500, 5],
    ['MGA', 550, undefined],
    ['USD', 0, undefined],
    ['ISK', Number.MAX_SAFE_INTEGER, undefined],
  ])('of %s: our %d is Stripe’s %s', (currency, ours, stripes) => {
    expect(toStripeAmount(ours, currency)).toBe(stripes);
    if (stripes !== undefined) expect(fromStripeAmount(stripes, currency)).toBe(ours);
  });

  it('of fractions of a króna, as they were once allowed, are nothing that can be compared', () => {
    expect(readRefund(refund({ currency: 'isk', amount: 4010 }))).toEqual({ badField: 'amount' });
    expect(observation({ currency: 'isk', amount: 4000 })).toMatchObject({ amountMinor: 40, currency: 'ISK' });
  });

  it('stand on the exponents of ISO 4217, which are the ones of the service', () => {
    const exponents = { USD: 2, JPY: 0, HUF: 2, TWD: 2, IDR: 2, KWD: 3, ISK: 0, UGX: 0, MGA: 2 };
    for (const [currency, exponent] of Object.entries(exponents))
      expect([currency, currencyExponent(currency)]).toEqual([currency, exponent]);
  });
});

describe('evidence', () => {
  it('holds no personal and no unknown field', () => {
    const kept = publicFields(
      refund({
        instructions_email: 'jenny@example.com',
        next_action: {
          type: 'display_details',
          display_details: { email_sent: { email_sent_to: 'jenny@example.com' } },
        },
        description: 'for Jenny Rosen',
        charge: { id: 'ch_1', billing_details: { name: 'Jenny Rosen' } },
        new_field: 'x',
      }),
    );
    expect(JSON.stringify(kept)).not.toMatch(/jenny|cus_|4000002500003155|internal_note|new_field|destination/i);
    expect(kept.charge).toBe('ch_1');
  });

  it('stays below 4 KiB, whatever is sent', () => {
    const long = Object.fromEntries(Object.keys(refund()).map((name) => [name, '元'.repeat(9999)]));
    expect(Buffer.byteLength(JSON.stringify(publicFields(long)))).toBeLessThan(4096);
  });
});
