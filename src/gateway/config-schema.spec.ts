import { describe, expect, it } from 'vitest';
import { parseConfig, type ConfigSchema } from './config-schema.js';

interface ShopConfig {
  mchId: string;
  apiKey: string;
  notifyUrl?: string;
  certificates?: Record<string, string>;
  publicKey?: string;
}

const schema: ConfigSchema<ShopConfig> = {
  mchId: {
    description: 'Merchant number',
    example: '1900000001',
    required: true,
    secret: false,
    check: (value) => (/^\d+$/.test(value) ? undefined : 'must be digits'),
  },
  apiKey: {
    description: 'API key',
    example: '32 characters',
    required: true,
    secret: true,
    check: (value) => (value.length === 8 ? undefined : `must have 8 characters, has ${value.length}`),
  },
  notifyUrl: { description: 'Callback URL', example: 'https://pay.example/callback', required: false, secret: false },
  certificates: {
    description: 'Certificates by serial number',
    example: '{"5157…": "-----BEGIN…"}',
    required: false,
    secret: false,
    type: 'map',
    check: (value) => (value.startsWith('PEM') ? undefined : 'must be PEM'),
    crossCheck: ({ certificates, publicKey }) =>
      certificates === undefined && publicKey === undefined ? 'is required unless publicKey is given' : undefined,
  },
  publicKey: { description: 'Public key', example: 'PEM', required: false, secret: false },
};

const fine = { mchId: '1900000001', apiKey: '8charact', publicKey: 'PEM' };
const faultsOf = (input: Record<string, unknown>) =>
  parseConfig(schema, input).faults.map(({ field, fault }) => `${field} ${fault}`);

describe('settings', () => {
  it('that are fine come out as they went in', () => {
    const all = { ...fine, notifyUrl: 'https://shop.example', certificates: { AB12: 'PEM 1', CD34: 'PEM 2' } };
    expect(parseConfig(schema, all)).toEqual({ config: all, faults: [] });
  });

  it.each([[undefined], [null], ['']])('that are optional and %j are left out', (notifyUrl) => {
    const { config } = parseConfig(schema, { ...fine, notifyUrl });
    expect(config).toEqual(fine);
    expect(config).not.toHaveProperty('notifyUrl');
  });

  it.each([[undefined], [null], ['']])('that are required and %j are asked for, with an example', (mchId) => {
    expect(faultsOf({ ...fine, mchId })).toEqual(['mchId is required: Merchant number (example: 1900000001)']);
  });

  it('are told all their faults at once, and there is no config then', () => {
    const parsed = parseConfig(schema, { mchId: 'x', apiKey: 'short', notifyUrl: 7 });
    expect(parsed.config).toBeUndefined();
    expect(parsed.faults).toEqual([
      { field: 'mchId', fault: 'must be digits' },
      { field: 'apiKey', fault: 'must have 8 characters, has 5' },
      { field: 'notifyUrl', fault: 'must be a text (example: https://pay.example/callback)' },
    ]);
  });

  it.each([[7], [true], [['a']], [{ a: 'b' }]])('that are %j are no text', (apiKey) => {
    expect(faultsOf({ ...fine, apiKey })).toEqual(['apiKey must be a text (example: 32 characters)']);
  });

  it('that nobody knows are named, with those that there are', () => {
    expect(faultsOf({ ...fine, mchID: '1' })).toEqual([
      'mchID is not a setting of this gateway; known: mchId, apiKey, notifyUrl, certificates, publicKey',
    ]);
  });

  it('are not taken from what every object has', () => {
    const input: Record<string, unknown> = JSON.parse('{"__proto__": {"mchId": "1900000001", "apiKey": "8charact"}}');
    expect(faultsOf({ ...fine, constructor: 'x' })).toHaveLength(1);
    expect(parseConfig(schema, input).config).toBeUndefined();
  });
});

describe('a map', () => {
  it.each([[[]], [['PEM']], ['PEM'], [7]])('is not %j', (certificates) => {
    expect(faultsOf({ ...fine, certificates })).toEqual([
      'certificates must be an object of texts (example: {"5157…": "-----BEGIN…"})',
    ]);
  });

  it('has each entry checked, and the first wrong one named', () => {
    expect(faultsOf({ ...fine, certificates: { AB12: 'PEM', CD34: 'DER', EF56: 7 } })).toEqual([
      'certificates entry CD34: must be PEM',
    ]);
    expect(faultsOf({ ...fine, certificates: { EF56: 7 } })).toEqual(['certificates entry EF56: must be a text']);
  });
});

describe('checks between settings', () => {
  const withoutKey = { mchId: fine.mchId, apiKey: fine.apiKey };

  it('run for a setting that is absent, too', () => {
    expect(faultsOf(withoutKey)).toEqual(['certificates is required unless publicKey is given']);
  });

  it('run once every setting is fine by itself: no guess is made about the rest', () => {
    expect(faultsOf({ ...withoutKey, mchId: 'x' })).toEqual(['mchId must be digits']);
  });

  it('see settings left empty as absent', () => {
    expect(faultsOf({ ...withoutKey, publicKey: '' })).toEqual(['certificates is required unless publicKey is given']);
  });
});
