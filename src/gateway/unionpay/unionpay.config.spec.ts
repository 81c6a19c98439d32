import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';

import { unionpayAccount as good } from '../../../test/support/unionpay-account.js';
import vectors from '../../../test/vectors/unionpay.json' with { type: 'json' };
import { parseConfig } from '../config-schema.js';
import { unionpayConfig, unionpayKeys } from './unionpay.config.js';

const { chain, keyA, real } = vectors;
const faultsOf = (over: Record<string, unknown>) => parseConfig(unionpayConfig, { ...good, ...over }).faults;

describe('the settings', () => {
  it('are fine as they come out of the files, with what openssl writes around them', () => {
    const bag = 'Bag Attributes\n    localKeyID: 88 70 53\nsubject=C = CN\n';
    const over = { signCert: `${bag}${good.signCert}`, privateKey: `${bag}${good.privateKey}` };
    expect(faultsOf({})).toEqual([]);
    expect(faultsOf(over)).toEqual([]);
    expect(unionpayKeys({ ...good, ...over }).certId).toBe(chain.merchant.certId);
  });

  it.each(['merId', 'privateKey', 'signCert', 'middleCert', 'rootCert', 'notifyUrl'])('%s is required', (field) => {
    expect(faultsOf({ [field]: undefined })).toEqual([
      { field, fault: expect.stringContaining('is required') as string },
    ]);
  });

  it.each<[string, unknown, string]>([
    ['merId', '77729005811004', '15 digits'],
    ['merId', '77729005811004-', '15 digits'],
    ['privateKey', 'no key!', 'neither PEM nor base64'],
    ['privateKey', chain.merchant.certificate, 'must be a private key, this is a CERTIFICATE'],
    [
      'privateKey',
      '-----BEGIN ENCRYPTED PRIVATE KEY-----\nMII=\n-----END ENCRYPTED PRIVATE KEY-----',
      'encrypted with a passphrase',
    ],
    ['signCert', keyA.publicKey, 'must be PEM text that starts with -----BEGIN CERTIFICATE-----'],
    ['signCert', chain.signer.certificate, 'belongs to another key than privateKey'],
    ['middleCert', 'x', 'must be PEM text'],
    ['middleCert', real.reply.certificate, 'was not issued by rootCert'],
    ['notifyUrl', 'http://refunds.example.com/', 'must be https'],
    ['notifyUrl', 'https://refunds.example.com/?a=b', 'must not have a query'],
    ['notifyUrl', `https://refunds.example.com/${'x'.repeat(256)}`, 'at most 256'],
    ['bizType', '201', '6 digits'],
    ['channelType', '09', 'must be 07 or 08'],
    ['signerName', 'a@b', 'none of them @'],
    ['gatewayUrl', 'http://gateway.95516.com/gateway/api', 'must be https'],
    ['gatewayUrl', 'https://gateway.95516.com/gateway/api/', 'must not end with a slash'],
  ])('%s %j: %s', (field, value, fault) => {
    expect(faultsOf({ [field]: value })).toEqual([{ field, fault: expect.stringContaining(fault) as string }]);
  });

  it('the middle certificate is not the root', () => {
    expect(faultsOf({ rootCert: chain.middle })).toEqual([
      { field: 'middleCert', fault: expect.stringContaining('was not issued by rootCert') as string },
      { field: 'rootCert', fault: expect.stringContaining('is not self-signed') as string },
    ]);
  });

  it('no fault repeats a secret, and parsed keys print nothing', () => {
    const secret = chain.merchant.privateKey.replace('PRIVATE KEY', 'PRIVATE  KEY');
    expect(inspect(faultsOf({ privateKey: secret }))).not.toContain('MII');
    expect(inspect(unionpayKeys(good).merchant, { depth: 9 })).not.toContain('MII');
  });

  it('what cannot be read any more is badConfig, naming the setting', () => {
    for (const setting of ['privateKey', 'signCert', 'middleCert', 'rootCert'] as const)
      expect(() => unionpayKeys({ ...good, [setting]: 'x' })).toThrowError(
        expect.objectContaining({ kind: 'badConfig', message: expect.stringContaining(setting) as string }) as Error,
      );
  });
});
