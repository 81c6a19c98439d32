import { createPrivateKey, generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import { AlipaySdk } from 'alipay-sdk';
import { describe, expect, it } from 'vitest';

import vectors from '../../../test/vectors/alipay.json' with { type: 'json' };
import { CallbackRejected, type CallbackMessage } from '../gateway.port.js';
import { alipayCallback } from './alipay.callback.js';
import type { AlipayConfig } from './alipay.config.js';

const config: AlipayConfig = {
  appId: '2021000000000000',
  privateKey: vectors.keyA.privateKey,
  alipayPublicKey: vectors.keyA.publicKey,
};
const alipayKey = createPrivateKey(vectors.keyA.privateKey);

type Form = Record<string, string>;

/** Vector A3: a refund of 1.00 of 8.88. */
const A3: Form = Object.fromEntries(
  vectors.signatures.A3.text.split('&').map((pair) => pair.split('=') as [string, string]),
);

function signed(form: Form, key: KeyObject = alipayKey): Form {
  const text = Object.keys(form)
    .sort()
    .map((name) => `${name}=${form[name]}`)
    .join('&');
  return { ...form, sign_type: 'RSA2', sign: sign('RSA-SHA256', Buffer.from(text), key).toString('base64') };
}

const encoded = (form: Form) => new URLSearchParams(form).toString();
const receive = (body: string | Buffer, account: AlipayConfig = config) =>
  alipayCallback.receive({ headers: {}, body: Buffer.from(body), receivedAt: new Date() }, account);
/** A notice that is about a refund. */
function receiveForm(form: Form, account: AlipayConfig = config): CallbackMessage {
  const message = receive(encoded(form), account);
  if (!message) throw new Error('it is about no refund');
  return message;
}
const with_ = (over: Form, without: string[] = []) =>
  signed(Object.fromEntries(Object.entries({ ...A3, ...over }).filter(([name]) => !without.includes(name))));

function refused(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    if (error instanceof CallbackRejected) return error.message;
    throw error;
  }
  throw new Error('it was believed');
}

describe('a refund notice', () => {
  it('is vector A3 as it comes: urlencoded, Chinese and all', () => {
    const form = { ...A3, sign_type: 'RSA2', sign: vectors.signatures.A3.signature };
    expect(receiveForm(form)).toEqual({
      eventKey: '2024010100222080006000000000000001',
      eventType: 'trade_status_sync.TRADE_SUCCESS',
      gatewayRequestNo: 'TESTREFUND0001',
      gatewayRefundNo: null,
      outTradeNo: 'TESTORDER0001',
      observation: {
        kind: 'processing',
        authenticated: true,
        gatewayRefundNo: null,
        identity: {
          merchantId: '2021000000000000',
          gatewayRequestNo: 'TESTREFUND0001',
          outTradeNo: 'TESTORDER0001',
          gatewayPaymentNo: '2024010122001400000000000001',
        },
        raw: {
          code: 'TRADE_SUCCESS',
          message: '',
          body: {
            notify_id: '2024010100222080006000000000000001',
            notify_type: 'trade_status_sync',
            notify_time: '2024-01-01 08:00:06',
            app_id: '2021000000000000',
            trade_status: 'TRADE_SUCCESS',
            trade_no: '2024010122001400000000000001',
            out_trade_no: 'TESTORDER0001',
            out_biz_no: 'TESTREFUND0001',
            total_amount: '8.88',
            refund_fee: '1.00',
            gmt_refund: '2024-01-01 08:00:05.123',
          },
        },
      },
    });
  });

  it('is signed as the official library verifies it', () => {
    const sdk = new AlipaySdk({ appId: config.appId, privateKey: 'none', alipayPublicKey: vectors.keyA.publicKey });
    const form = with_({ subject: 'a=b&c%20+d' });
    expect(sdk.checkNotifySignV2(form)).toBe(true);
    expect(receiveForm(form).eventKey).toBe(A3.notify_id);
  });

  it.each([
    ['this refund’s amount', '1.00'],
    ['the sum of several refunds', '3.50'],
    ['all of the payment', '8.88'],
  ])(
    'with %s as refund_fee proves no amount, because it is cumulative: the service has to ask',
    (_what, refund_fee) => {
      const { observation } = receiveForm(with_({ refund_fee }));
      expect(observation.kind).toBe('processing');
      expect(observation.raw.body.refund_fee).toBe(refund_fee);
    },
  );

  it('of a full refund is a TRADE_CLOSED that names the refund', () => {
    const message = receiveForm(
      with_({ trade_status: 'TRADE_CLOSED', refund_fee: '8.88', gmt_close: '2024-01-01 08:00:05' }),
    );
    expect(message).toMatchObject({ gatewayRequestNo: 'TESTREFUND0001', eventType: 'trade_status_sync.TRADE_CLOSED' });
  });

  it('may say only when the money went back', () => {
    expect(receiveForm(with_({}, ['refund_fee'])).gatewayRequestNo).toBe('TESTREFUND0001');
  });

  it('sent again has the same key, whatever its time', () => {
    const first = receiveForm(with_({}));
    const again = receiveForm(with_({ notify_time: '2024-01-01 08:04:06' }));
    expect(again.eventKey).toBe(first.eventKey);
  });

  it('keeps nothing of the buyer', () => {
    const form = with_({
      buyer_id: '2088102534368455',
      buyer_logon_id: 'xud***@126.com',
      fund_bill_list: '[{"amount":"1"}]',
    });
    const kept = JSON.stringify(receiveForm(form));
    for (const secret of ['2088102534368455', 'xud***', 'fund_bill_list', '测试']) expect(kept).not.toContain(secret);
  });

  it('is verified over its bytes, also where its charset is GBK', () => {
    const subject = Buffer.from([0xb2, 0xe2, 0xca, 0xd4]);
    const form: Form = { ...A3, charset: 'GBK' };
    delete form.subject;
    const text = Object.keys({ ...form, subject: '' })
      .sort()
      .map((name) =>
        Buffer.concat([Buffer.from(`${name}=`), name === 'subject' ? subject : Buffer.from(form[name] ?? '')]),
      )
      .reduce((left, right) => Buffer.concat([left, Buffer.from('&'), right]));
    const signature = sign('RSA-SHA256', text, alipayKey).toString('base64');
    const body = `${encoded({ ...form, sign: signature, sign_type: 'RSA2' })}&subject=%B2%E2%CA%D4`;
    expect(receive(body)?.gatewayRequestNo).toBe('TESTREFUND0001');
  });
});

describe('other notices of the same payment are acknowledged and forgotten', () => {
  const refundFields = ['out_biz_no', 'refund_fee', 'gmt_refund'];

  it.each([
    ['a payment that was made', with_({ trade_status: 'TRADE_SUCCESS' }, refundFields)],
    [
      'TRADE_CLOSED without refund fields: a payment that nobody made',
      with_({ trade_status: 'TRADE_CLOSED' }, refundFields),
    ],
    ['a notice that names a business number and no refund', with_({}, ['refund_fee', 'gmt_refund'])],
    [
      'a message of another kind',
      with_({ msg_method: 'alipay.trade.refund.depositback.completed' }, [...refundFields, 'notify_type']),
    ],
  ])('%s', (_what, form) => {
    expect(receive(encoded(form))).toBeNull();
  });

  it('when they are genuine, which is looked at first', () => {
    const form = with_({ trade_status: 'TRADE_CLOSED' }, refundFields);
    expect(refused(() => receive(encoded({ ...form, total_amount: '9.99' })))).toMatch(/signature is wrong/);
    expect(refused(() => receive(encoded(with_({ app_id: '2021999999999999' }, refundFields))))).toMatch(
      /another application/,
    );
  });
});

describe('a callback is refused', () => {
  const stranger = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
  const genuine = with_({});

  it.each<[string, () => string | Buffer, RegExp]>([
    ['that is empty', () => '', /no signature/],
    ['without a signature', () => encoded({ ...genuine, sign: '' }), /no signature/],
    ['that somebody else signed', () => encoded(signed(A3, stranger)), /signature is wrong/],
    ['whose amount was changed', () => encoded({ ...genuine, refund_fee: '9.99' }), /signature is wrong/],
    ['whose number was changed', () => encoded({ ...genuine, out_biz_no: 'OTHER' }), /signature is wrong/],
    ['to which something was added', () => `${encoded(genuine)}&extra=1`, /signature is wrong/],
    ['from which something was taken', () => encoded(genuine).replace(/&refund_fee=[^&]*/, ''), /signature is wrong/],
    ['that was cut off', () => encoded(genuine).slice(0, 300), /no signature|signature is wrong/],
    ['with a parameter twice', () => `${encoded(genuine)}&out_biz_no=OTHER`, /twice/],
    ['with more parameters than any notice', () => 'a=1&'.repeat(300), /too many/],
    [
      'for another application, though Alipay signed it',
      () => encoded(with_({ app_id: '2021999999999999' })),
      /another application/,
    ],
    ['without an application', () => encoded(with_({}, ['app_id'])), /another application/],
    ['without a notify_id', () => encoded(with_({}, ['notify_id'])), /notify_id/],
    ['with a notify_id too long to store', () => encoded(with_({ notify_id: '1'.repeat(129) })), /notify_id/],
    ['with a number too long to be one', () => encoded(with_({ out_biz_no: 'R'.repeat(65) })), /too long/],
    ['that is JSON', () => JSON.stringify(genuine), /no signature/],
  ])('%s', (_what, body, reason) => {
    expect(refused(() => receive(body()))).toMatch(reason);
  });

  it('for another seller, where the account names one', () => {
    const account = { ...config, sellerId: '2088000000000000' };
    expect(receiveForm(with_({ seller_id: '2088000000000000' }), account).eventKey).toBe(A3.notify_id);
    expect(refused(() => receiveForm(with_({ seller_id: '2088111111111111' }), account))).toMatch(/another seller/);
    expect(refused(() => receiveForm(with_({}), account))).toMatch(/another seller/);
  });

  it('when the keys of the account cannot be read', () => {
    const broken = { ...config, alipayPublicKey: 'broken' };
    expect(refused(() => receiveForm(genuine, broken))).toMatch(/keys of this account/);
  });

  it('without a word of what it said', () => {
    const reason = refused(() => receive(encoded({ ...genuine, subject: 'SECRET', sign: 'QUJD' })));
    expect(reason).not.toMatch(/SECRET|QUJD/);
  });
});

describe('what Alipay reads', () => {
  it('is exactly success, or fail', () => {
    expect(alipayCallback.accepted).toEqual({ status: 200, contentType: 'text/plain; charset=utf-8', body: 'success' });
    expect(alipayCallback.rejected).toEqual({ status: 400, contentType: 'text/plain; charset=utf-8', body: 'fail' });
  });
});
