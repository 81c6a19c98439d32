import { createPrivateKey } from 'node:crypto';
import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';

import { unionpayAccount as config } from '../../../test/support/unionpay-account.js';
import vectors from '../../../test/vectors/unionpay.json' with { type: 'json' };
import { CallbackRejected, type CallbackMessage } from '../gateway.port.js';
import { unionpayCallback } from './unionpay.callback.js';
import { messageText, signMessage } from './unionpay.signature.js';

const { chain } = vectors;
const notice: Record<string, string> = {
  accNo: '6216261000000000018',
  accessType: '0',
  bizType: '000201',
  currencyCode: '156',
  encoding: 'UTF-8',
  merId: '777290058110048',
  orderId: 'TESTREFUND0001',
  origQryId: '052401051658427862748',
  queryId: '052401051658427863998',
  respCode: '00',
  respMsg: '成功[0000000] + 50%',
  signMethod: '01',
  txnAmt: '100',
  txnSubType: '00',
  txnTime: '20240105165842',
  txnType: '04',
  version: '5.1.0',
};

function formOf(over: Record<string, string> = {}, signer = chain.signer): URLSearchParams {
  const certificate = signer.certificate.trimEnd().replaceAll('\n', '\r\n');
  const fields = new Map(Object.entries({ ...notice, signPubKeyCert: certificate, ...over }));
  const signature = signMessage(messageText(fields), createPrivateKey(signer.privateKey));
  return new URLSearchParams([...fields, ['signature', signature]]);
}

function receive(body: string | URLSearchParams): CallbackMessage | null {
  const receivedAt = new Date('2026-06-01T00:00:00Z');
  return unionpayCallback.receive({ headers: {}, body: Buffer.from(body.toString()), receivedAt }, config);
}

function changed(name: string, value: string): URLSearchParams {
  const form = formOf();
  form.set(name, value);
  return form;
}

describe('a notice', () => {
  it('is a reason to ask, whatever it says, and keeps nothing of the card', () => {
    for (const respCode of ['00', 'A6', '61']) {
      const message = receive(formOf({ respCode }));
      expect(message).toMatchObject({
        eventKey: `TESTREFUND0001.20240105165842.052401051658427863998.${respCode}`,
        eventType: `refund.${respCode}`,
        gatewayRequestNo: 'TESTREFUND0001',
        gatewayRefundNo: '052401051658427863998',
        outTradeNo: null,
        observation: { kind: 'processing', authenticated: true, raw: { code: respCode, message: notice.respMsg } },
      });
      expect(inspect(message, { depth: 9 })).not.toMatch(/6216|BEGIN|MII/);
    }
  });

  it('of a payment is acknowledged and forgotten', () => {
    expect(receive(formOf({ txnType: '01' }))).toBeNull();
  });

  it('is answered with 200, or with what makes UnionPay send it again', () => {
    expect(unionpayCallback.accepted).toMatchObject({ status: 200, body: 'ok' });
    expect(unionpayCallback.rejected).toMatchObject({ status: 401, body: 'fail' });
  });

  it.each<[string, string | URLSearchParams]>([
    ['a changed amount', changed('txnAmt', '1')],
    ['one field more', changed('reserved', 'x')],
    ['another certificate than the one that signed', changed('signPubKeyCert', chain.forged.certificate)],
    ['a forged certificate', formOf({}, chain.forged)],
    ['the certificate of another merchant', formOf({}, chain.merchant)],
    ['no signature', changed('signature', '')],
    ['another version', formOf({ version: '5.0.0' })],
    ['another merchant', formOf({ merId: '777290058110049' })],
    ['no number', formOf({ orderId: '' })],
    ['a time that is none', formOf({ txnTime: '2024' })],
    ['no code', formOf({ respCode: '' })],
    ['a field twice', `${formOf().toString()}&respCode=00`],
    ['half of it', formOf().toString().slice(0, 900)],
    ['no form at all', '{"respCode":"00"}'],
    ['nothing', ''],
  ])('is refused: %s', (_what, body) => {
    let refusal: unknown;
    try {
      receive(body);
    } catch (error) {
      refusal = error;
    }
    expect(refusal).toBeInstanceOf(CallbackRejected);
    expect(inspect(refusal)).not.toMatch(/MII|BEGIN|6216/);
  });

  it('is refused where the account’s own settings cannot be read', () => {
    const raw = { headers: {}, body: Buffer.from(formOf().toString()), receivedAt: new Date() };
    expect(() => unionpayCallback.receive(raw, { ...config, rootCert: 'x' })).toThrow(CallbackRejected);
  });
});
