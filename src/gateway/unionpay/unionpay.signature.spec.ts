import { createHash, createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto';
import { describe, expect, it } from 'vitest';

import vectors from '../../../test/vectors/unionpay.json' with { type: 'json' };
import { SignerCheck } from './unionpay.certificate.js';
import { certIdOf, UNIONPAY_SIGNER_NAME } from './unionpay.config.js';
import { messageText, readFields, signMessage, verifyMessage } from './unionpay.signature.js';

const { keyA, real, own, chain } = vectors;
const merchantKey = createPublicKey({
  key: Buffer.from(real.merchantPublicKey, 'base64'),
  format: 'der',
  type: 'spki',
});
const latin1 = (text: string) => Buffer.from(text).toString('latin1');

describe('the signature, hashed twice', () => {
  it.each([
    ['U-REAL-1, a refund', real.refundRequest],
    ['U-REAL-2, a query', real.queryRequest],
  ])('%s: what a merchant sent to the real gateway verifies', (_name, { text, sha256, signature }) => {
    expect(createHash('sha256').update(text).digest('hex')).toBe(sha256);
    expect(verifyMessage(text, signature, merchantKey)).toBe(true);
    expect(verifyMessage(`${text} `, signature, merchantKey)).toBe(false);
  });

  it('U-OWN is made byte for byte', () => {
    expect(signMessage(own.text, createPrivateKey(keyA.privateKey))).toBe(own.signature);
    expect(verifyMessage(own.text, own.signature, createPublicKey(keyA.publicKey))).toBe(true);
  });

  it('takes no text that is no signature', () => {
    expect(verifyMessage('x', '', merchantKey)).toBe(false);
    expect(verifyMessage('x', 'no base64 at all', merchantKey)).toBe(false);
  });
});

describe('the text of a message', () => {
  it('is that of U-REAL-1, whatever the order of the fields', () => {
    const { text } = real.refundRequest;
    const fields = [...(readFields(text) ?? [])];
    expect(messageText(new Map(fields))).toBe(text);
    expect(messageText(new Map(fields.reverse()))).toBe(text);
  });

  it('has neither the signature nor what is empty, and the values as they are', () => {
    const fields = { version: '5.1.0', signature: 'x', reserved: '', certId: '1', respMsg: '成功 & = %' };
    expect(messageText(new Map(Object.entries(fields)))).toBe('certId=1&respMsg=成功 & = %&version=5.1.0');
  });
});

describe('an answer taken apart', () => {
  it('U-REAL-3, with a certificate in CRLF lines and Chinese text, verifies under the certificate that it carries', () => {
    const { text, signature, certificate } = real.reply;
    // As on the wire: not encoded, the signature in its place among the others.
    const wire = latin1(text.replace('&txnAmt=', `&signature=${signature}&txnAmt=`));
    const fields = readFields(wire) ?? new Map<string, string>();
    expect(fields.get('signPubKeyCert')).toBe(certificate);
    expect(fields.get('signature')).toBe(signature);
    const signed = Buffer.from(messageText(fields), 'latin1');
    expect(signed.toString()).toBe(text);
    expect(verifyMessage(signed, signature, new X509Certificate(certificate).publicKey)).toBe(true);
  });

  it('keeps & and = inside brackets', () => {
    const fields = readFields('a={x=1&y=[2&3]&z=b=c}&b=[&]&c=d==');
    expect(Object.fromEntries(fields ?? [])).toEqual({ a: '{x=1&y=[2&3]&z=b=c}', b: '[&]', c: 'd==' });
  });

  it.each([
    ['nothing', ''],
    ['a page', '<html><head></head></html>'],
    ['words', 'Invalid request.'],
    ['a name twice', 'a=1&b=2&a=1'],
    ['a pair without a name', 'a=1&=2'],
    ['a piece without =', 'a=1&b'],
    ['a bracket that nobody closes', 'a={1&b=2'],
    ['a bracket that nobody opened', 'a=1}&b=2'],
  ])('is none: %s', (_what, text) => {
    expect(readFields(text)).toBeUndefined();
  });
});

describe('the certificate of whoever signed', () => {
  const NOW = new Date('2026-06-01T00:00:00Z');
  const checkOf = (signerName = UNIONPAY_SIGNER_NAME) =>
    new SignerCheck({
      root: new X509Certificate(chain.root),
      middle: new X509Certificate(chain.middle),
      signerName,
    });

  it('is believed below the configured certificates, in UnionPay’s name', () => {
    const signer = checkOf().keyOf(chain.signer.certificate, NOW);
    const text = 'a=1';
    const signature = signMessage(text, createPrivateKey(chain.signer.privateKey));
    expect('key' in signer && verifyMessage(text, signature, signer.key)).toBe(true);
  });

  it.each([
    ['of another authority with the same names', chain.forged.certificate, 'was not issued'],
    ['of a merchant of the same authority', chain.merchant.certificate, 'is not one of UnionPay'],
    ['that has expired', chain.expired.certificate, 'not valid at this time'],
    ['of UnionPay’s test environment', real.reply.certificate, 'was not issued'],
    ['that is the middle one itself', chain.middle, 'was not issued'],
    ['that is none', 'MII', 'cannot be read'],
    ['that is missing', '', 'cannot be read'],
  ])('is refused: one %s', (_what, certificate, doubt) => {
    expect(checkOf().keyOf(certificate, NOW)).toEqual({ doubt: expect.stringContaining(doubt) as string });
  });

  it('is looked at anew each time: known once is not valid for ever', () => {
    const check = checkOf();
    expect(check.keyOf(chain.expired.certificate, new Date('2024-06-01T00:00:00Z'))).toHaveProperty('key');
    expect(check.keyOf(chain.expired.certificate, NOW)).toHaveProperty('doubt');
    expect(check.keyOf(chain.signer.certificate, new Date('2100-06-01T00:00:00Z'))).toHaveProperty('doubt');
  });

  it('has the name that the account expects', () => {
    expect(checkOf('00040000:SIGN').keyOf(chain.signer.certificate, NOW)).toHaveProperty('doubt');
  });

  it('is named by its serial number in decimal', () => {
    expect(certIdOf(new X509Certificate(chain.merchant.certificate))).toBe(chain.merchant.certId);
  });
});
