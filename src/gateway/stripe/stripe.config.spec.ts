import { describe, expect, it } from 'vitest';

import { parseConfig } from '../config-schema.js';
import { isLive, stripeConfig, webhookSecrets, type StripeConfig } from './stripe.config.js';

const settings = { secretKey: 'sk_test_4eC39HqLyjWDarjtT1zdp7dc', webhookSecret: 'whsec_test_secret' };
const parsed = (over: Record<string, unknown> = {}) => parseConfig(stripeConfig, { ...settings, ...over });

describe('Stripe settings', () => {
  it.each<[string, Record<string, unknown>]>([
    ['a secret key and a webhook secret', {}],
    ['a live key', { secretKey: 'sk_live_4eC39HqLyjWDarjtT1zdp7dc' }],
    ['a restricted key', { secretKey: 'rk_live_4eC39HqLyjWDarjtT1zdp7dc' }],
    ['both secrets of a rotation', { webhookSecret: 'whsec_old_secret1, whsec_new_secret2' }],
    ['a connected account', { accountId: 'acct_1032D82eZvKYlo2C' }],
    ['the sandbox', { baseUrl: 'http://127.0.0.1:9100' }],
    ['another host', { baseUrl: 'https://api.stripe.example:8443/' }],
  ])('take %s', (_, over) => {
    expect(parsed(over).faults).toEqual([]);
  });

  it.each<[string, string, unknown, RegExp]>([
    ['no key', 'secretKey', undefined, /required/],
    ['a publishable key', 'secretKey', 'pk_test_TYooMQauvdEDq54NiTphI7jx', /publishable/],
    ['a webhook secret in place of a key', 'secretKey', 'whsec_test_secret', /sk_test_/],
    ['a key with a line break', 'secretKey', 'sk_test_4eC39HqLyjWDarjtT1zdp7dc\n', /sk_test_/],
    ['no webhook secret', 'webhookSecret', undefined, /required/],
    ['a key in place of a webhook secret', 'webhookSecret', 'sk_test_4eC39HqLyjWDarjtT1zdp7dc', /whsec_/],
    ['a comma with nothing behind it', 'webhookSecret', 'whsec_test_secret,', /whsec_/],
    ['a list of secrets as JSON', 'webhookSecret', ['whsec_test_secret'], /must be a text/],
    ['six webhook secrets', 'webhookSecret', Array(6).fill('whsec_test_secret').join(), /at most 5/],
    ['an account that is none', 'accountId', 'stripe', /acct_/],
    ['plain http to another machine', 'baseUrl', 'http://api.stripe.com', /https/],
    ['an address with a path', 'baseUrl', 'https://api.stripe.com/v1', /path/],
    ['an address with a query', 'baseUrl', 'https://api.stripe.com?x=1', /query/],
    ['a callback address, which is set at Stripe', 'notifyUrl', 'https://a.example/cb', /not a setting/],
  ])('refuse %s, naming it', (_, field, value, fault) => {
    expect(parsed({ [field]: value }).faults).toEqual([{ field, fault: expect.stringMatching(fault) as string }]);
  });

  it('repeat no secret in a fault', () => {
    const { faults } = parsed({ secretKey: 'pk_live_VERYSECRET', webhookSecret: 'VERYSECRET' });
    expect(faults).toHaveLength(2);
    expect(JSON.stringify(faults)).not.toContain('VERYSECRET');
  });

  it('mark exactly the two secrets', () => {
    const secret = Object.entries(stripeConfig).filter(([, field]) => field.secret);
    expect(secret.map(([name]) => name)).toEqual(['secretKey', 'webhookSecret']);
  });

  it('tell live from test', () => {
    const of = (secretKey: string): StripeConfig => ({ ...settings, secretKey });
    expect(['sk_live_12345678', 'rk_live_12345678'].map((key) => isLive(of(key)))).toEqual([true, true]);
    expect(['sk_test_live_1234', 'rk_test_12345678'].map((key) => isLive(of(key)))).toEqual([false, false]);
  });

  it('hold as many webhook secrets as there are commas', () => {
    expect(webhookSecrets({ ...settings, webhookSecret: 'whsec_old_secret1, whsec_new_secret2' })).toEqual([
      'whsec_old_secret1',
      'whsec_new_secret2',
    ]);
  });
});
