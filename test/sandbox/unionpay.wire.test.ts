import { createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { signedText, signText, verifyText } from '../../sandbox/unionpay/unionpay.crypto.js';
import vectors from '../vectors/unionpay.json' with { type: 'json' };
import { pause, send, until, type Json } from './support.js';
import { beijing, UnionpayMerchant, type Fields, type Reply } from './unionpay.support.js';

const PAYMENT = '012401051658420000001';
const R1 = 'REFUND01';

let merchant: UnionpayMerchant;
beforeAll(async () => {
  merchant = await UnionpayMerchant.start();
});
afterAll(() => merchant.sandbox.close());
beforeEach(async () => {
  await merchant.gateway.reset();
  await merchant.gateway.payment('T1', { transactionId: PAYMENT });
});

const told = ({ status, fields }: Reply): string =>
  [status, fields.respCode, fields.origRespCode].filter(Boolean).join(' ');
const stats = async (): Promise<Json> =>
  ((await (await fetch(`${merchant.sandbox.url}/control/stats`)).json()) as { channels: { union_pay: Json } }).channels
    .union_pay;

describe('the published vectors', () => {
  const { keyA, real, own } = vectors;
  const publicKey = createPublicKey({
    key: Buffer.from(real.merchantPublicKey, 'base64'),
    format: 'der',
    type: 'spki',
  });

  it('U-REAL-1 to U-REAL-3, which the real gateway and a merchant signed, are verified', () => {
    for (const { text, signature } of [real.refundRequest, real.queryRequest]) {
      const form = Object.fromEntries(new URLSearchParams(text));
      expect(signedText({ ...form, signature, reserved: '' })).toBe(text);
      expect(verifyText(text, signature, publicKey)).toBe(true);
      expect(verifyText(`${text}x`, signature, publicKey)).toBe(false);
    }
    const { text, signature, certificate } = real.reply;
    expect(verifyText(text, signature, new X509Certificate(certificate).publicKey)).toBe(true);
  });

  it('U-OWN is signed byte for byte', async () => {
    expect(await signText(own.text, createPrivateKey(keyA.privateKey))).toBe(own.signature);
    expect(verifyText(own.text, '<script>', createPublicKey(keyA.publicKey))).toBe(false);
  });
});

describe('the sandbox’s own certificates', () => {
  it('are a chain: root, middle, and two leaves of which one names UnionPay', async () => {
    const { rootCert, middleCert, signCert, privateKey } = merchant.settings;
    const [root, middle, own] = [rootCert, middleCert, signCert].map((pem) => new X509Certificate(pem));
    if (!root || !middle || !own) throw new Error('no certificates');
    expect(root.checkIssued(root) && root.verify(root.publicKey)).toBe(true);
    expect(middle.checkIssued(root) && middle.verify(root.publicKey)).toBe(true);
    expect(own.checkIssued(middle) && own.verify(middle.publicKey)).toBe(true);
    expect(own.checkPrivateKey(createPrivateKey(privateKey))).toBe(true);
    await merchant.gateway.refund(R1, 'T1', 'success');
    const { fields } = await merchant.query(R1);
    // As the real one sends it: Windows line ends, and none after the last line.
    expect(fields.signPubKeyCert).toMatch(/^-----BEGIN CERTIFICATE-----\r\n[^]*\r\n-----END CERTIFICATE-----$/);
    const signer = new X509Certificate(fields.signPubKeyCert ?? '');
    expect(signer.checkIssued(middle) && signer.verify(middle.publicKey)).toBe(true);
    expect(signer.subject).toContain('@中国银联股份有限公司@');
    for (const certificate of [root, middle, own, signer])
      expect(new Date(certificate.validTo).getTime()).toBeGreaterThan(Date.now());
  });
});

describe('who may call', () => {
  beforeEach(() => merchant.gateway.refund(R1, 'T1', 'success'));

  it('a signed request is answered: not URL-encoded, signed, with traps for parsers', async () => {
    const reply = await merchant.query(R1);
    expect(reply).toMatchObject({ status: 200, verified: true });
    expect(reply.headers['content-type']).toBe('text/html;charset=UTF-8');
    expect(reply.fields).toMatchObject({
      merId: merchant.settings.merId,
      orderId: R1,
      respCode: '00',
      respMsg: '成功[0000000]',
      origRespCode: '00',
      txnAmt: '100',
      currencyCode: '156',
      settleDate: expect.stringMatching(/^\d{4}$/) as string,
      traceTime: expect.stringMatching(/^\d{10}$/) as string,
      queryId: expect.stringMatching(/^\d{21}$/) as string,
      reserved: '{cardType=01&issuer=[a&b]&note=x=y}',
    });
  });

  it.each<[string, Record<string, string | null>]>([
    ['13', { version: null }],
    ['10', { version: '5.0.0' }],
    ['13', { encoding: null }],
    ['10', { encoding: 'GBK' }],
    ['10', { signMethod: '11' }],
    ['13', { merId: null }],
    ['10', { merId: '123' }],
    ['31', { merId: '777290058110049' }],
    ['13', { certId: null }],
    ['10', { certId: 'AB12' }],
    ['11', { certId: '1' }],
    ['13', { signature: null }],
    ['10', { txnType: '04' }],
    ['10', { txnSubType: '01' }],
    ['13', { bizType: null }],
    ['10', { accessType: '3' }],
    ['13', { orderId: null }],
    ['10', { orderId: 'SHORT' }],
    ['10', { orderId: 'WITH-DASH' }],
    ['10', { orderId: 'X'.repeat(41) }],
    ['13', { txnTime: null }],
    ['10', { txnTime: '20240230000000' }],
    ['10', { txnTime: '2024-01-01' }],
  ])('%s to %j', async (code, fields) => {
    const reply = await merchant.query(R1, undefined, { fields });
    expect(told(reply)).toBe(`200 ${code}`);
    expect(reply.verified).toBe(true);
  });

  it.each<[string, Fields]>([
    ['another number', { orderId: 'REFUND02' }],
    ['one field more', { reserved: 'x' }],
    ['a broken signature', { signature: 'QUJD' }],
    ['no base64', { signature: '<>' }],
  ])('a signature that is not over %s is wrong', async (_what, unsigned) => {
    expect(told(await merchant.query(R1, undefined, { unsigned }))).toBe('200 11');
    expect(await stats()).toMatchObject({ refusedSignatures: 1, queries: 0 });
  });

  it('a form that is none, or says something twice, is 10; other addresses are nobody’s', async () => {
    expect(told(await merchant.query(R1, undefined, { contentType: 'application/json' }))).toBe('200 10');
    const form = 'application/x-www-form-urlencoded';
    const path = '/gateway/api/queryTrans.do';
    const twice = await send(merchant.sandbox.url, 'POST', path, { 'Content-Type': form }, 'a=1&a=2');
    expect(twice.body).toContain('respCode=10');
    expect((await send(merchant.sandbox.url, 'GET', path, {}, undefined)).body).toContain('respCode=10');
    expect((await send(merchant.sandbox.url, 'POST', '/gateway/api/appTransReq.do', {}, '')).status).toBe(404);
  });

  it('signErrors: which refusals are signed', async () => {
    const unsigned = { signature: 'QUJD' };
    await merchant.gateway.settings({ signErrors: false });
    const refused = await merchant.query('REFUND99');
    expect(refused.fields).toMatchObject({ respCode: '34' });
    expect(refused.fields).not.toHaveProperty('signature');
    expect(await merchant.query(R1)).toMatchObject({ verified: true });
    await merchant.gateway.settings({ signErrors: 'authenticated' });
    expect(await merchant.query('REFUND99')).toMatchObject({ verified: true });
    expect(await merchant.query(R1, undefined, { unsigned })).toMatchObject({ verified: false });
  });
});

describe('a query', () => {
  it.each([
    ['success', '200 00 00'],
    ['processing', '200 00 05'],
    ['abnormal', '200 00 04'],
    ['failed', '200 00 61'],
    ['closed', '200 00 35'],
    ['notFound', '200 34'],
  ])('of a refund that is %s: %s', async (status, expected) => {
    await merchant.gateway.refund(R1, 'T1', status);
    expect(told(await merchant.query(R1))).toBe(expected);
  });

  it('of a number nobody sent is 34', async () => {
    expect(told(await merchant.query('REFUND99'))).toBe('200 34');
  });

  it('a success can have a defect', async () => {
    await merchant.gateway.refund(R1, 'T1', 'success');
    await merchant.gateway.settings({ defectiveSuccess: true });
    expect(told(await merchant.query(R1))).toBe('200 00 A6');
  });

  it('finds a created refund by its number and its time, and by nothing less', async () => {
    const txnTime = beijing();
    await merchant.refund(R1, PAYMENT, { fields: { txnTime } });
    expect(told(await merchant.query(R1, txnTime))).toBe('200 00 05');
    expect(told(await merchant.query(R1, beijing(Date.now() - 60_000)))).toBe('200 34');
  });

  it('asked too often is 37', async () => {
    await merchant.gateway.refund(R1, 'T1', 'success');
    await merchant.gateway.settings({ ratePerSecond: 2 });
    await until(
      async () => told(await merchant.query(R1)),
      (answer) => answer === '200 37',
    );
    expect((await stats()).rateLimited).toBeGreaterThan(0);
  });
});

describe('a refund', () => {
  it('is accepted, with a number of its own', async () => {
    const reply = await merchant.refund(R1, PAYMENT);
    expect(reply).toMatchObject({
      verified: true,
      fields: {
        respCode: '00',
        orderId: R1,
        origQryId: PAYMENT,
        txnAmt: '100',
        queryId: expect.stringMatching(/^05\d{19}$/) as string,
      },
    });
    expect(reply.fields).not.toHaveProperty('origRespCode');
    expect(await merchant.gateway.truth(R1)).toMatchObject({
      amount: 100,
      creates: 1,
      refundsAtGateway: 1,
      notifyUrl: 'http://127.0.0.1:1/notify',
      gatewayRefundNo: reply.fields.queryId,
    });
  });

  it('sent again is a duplicate, whatever its time and amount: 12, and one refund', async () => {
    await merchant.refund(R1, PAYMENT);
    const others: Fields[] = [{}, { txnTime: beijing(Date.now() + 1_000) }, { txnAmt: '200' }];
    for (const fields of others) expect(told(await merchant.refund(R1, PAYMENT, { fields }))).toBe('200 12');
    expect(await merchant.gateway.truth(R1)).toMatchObject({
      creates: 4,
      refundsAtGateway: 1,
      payment: { refundedAmount: 100 },
    });
  });

  it.each<[string, Record<string, string | null>]>([
    ['13', { txnAmt: null }],
    ['10', { txnAmt: '1.00' }],
    ['10', { txnAmt: '0' }],
    ['10', { txnAmt: '-1' }],
    ['10', { txnAmt: '1234567890123' }],
    ['13', { origQryId: null }],
    ['10', { origQryId: '1' }],
    ['13', { backUrl: null }],
    ['10', { backUrl: 'nowhere' }],
    ['10', { backUrl: 'http://shop.example.com/notify' }],
    ['10', { backUrl: `https://shop.example.com/${'x'.repeat(256)}` }],
    ['10', { channelType: '01' }],
    ['13', { channelType: null }],
    ['10', { currencyCode: '840' }],
    ['10', { reqReserved: 'a=b' }],
    ['10', { txnType: '00' }],
    // UTC instead of Beijing, and a time of long ago.
    ['10', { txnTime: new Date().toISOString().slice(0, 19).replace(/\D/g, '') }],
    ['10', { txnTime: '20240101000000' }],
  ])('%s to %j', async (code, fields) => {
    expect(told(await merchant.refund(R1, PAYMENT, { fields }))).toBe(`200 ${code}`);
    expect((await stats()).creates).toBe(0);
  });

  it('takes no more than the payment has', async () => {
    await merchant.gateway.payment('T1', { amount: 150 });
    expect(told(await merchant.refund(R1, PAYMENT))).toBe('200 00');
    expect(told(await merchant.refund('REFUND02', PAYMENT))).toBe('200 36');
    expect(told(await merchant.refund('REFUND03', PAYMENT, { fields: { txnAmt: '50' } }))).toBe('200 00');
    expect(told(await merchant.refund('REFUND04', PAYMENT, { fields: { txnAmt: '1' } }))).toBe('200 45');
    expect(await merchant.gateway.truth(R1)).toMatchObject({ payment: { refundedAmount: 150, refunds: 2 } });
  });

  it('of a payment nobody declared is believed, where the settings say so', async () => {
    const unknown = '9'.repeat(21);
    expect(told(await merchant.refund(R1, unknown))).toBe('200 00');
    await merchant.gateway.settings({ autoPayments: false });
    expect(told(await merchant.refund('REFUND02', '8'.repeat(21)))).toBe('200 35');
  });

  it('numbers that no UnionPay refund has cannot be registered', async () => {
    await expect(merchant.gateway.refund('R-1', 'T1', 'success')).rejects.toThrow(/8 to 40 letters and digits/);
  });
});

describe('answers that go wrong', () => {
  beforeEach(() => merchant.gateway.refund(R1, 'T1', 'success'));

  /** What the client saw: an HTTP status and codes, or how the connection ended. */
  const outcome = (call: Promise<Reply>): Promise<string> =>
    call.then(told, (error: unknown) => (error as { code?: string }).code ?? String(error));

  it.each([
    ['reset', 'ECONNRESET'],
    ['http500', '500'],
    ['http429', '200 37'],
    ['systemError', '200 06'],
  ])('%s: the client sees %s, then the truth', async (kind, seen) => {
    await merchant.gateway.fault(kind, { count: 1 });
    expect(await outcome(merchant.query(R1))).toBe(seen);
    expect(await outcome(merchant.query(R1))).toBe('200 00 00');
  });

  it('systemError speaks both of the gateway’s ways to say so, signed', async () => {
    await merchant.gateway.fault('systemError', { count: 2 });
    expect(await merchant.query(R1)).toMatchObject({ verified: true, fields: { respCode: '06' } });
    expect(await merchant.query(R1)).toMatchObject({ verified: true, fields: { respCode: '02' } });
  });

  it('timeout: never answers, and the call counts as under way until the client leaves', async () => {
    await merchant.gateway.fault('timeout', { count: 1 });
    const left = new AbortController();
    const call = outcome(merchant.query(R1, undefined, { signal: left.signal }));
    const active = (count: number) =>
      until(
        async () => (await merchant.gateway.truth(R1)).activeCalls,
        (calls) => calls === count,
      );
    await active(1);
    left.abort();
    await active(0);
    expect(await call).toBe('ABORT_ERR');
  });

  it('slow, malformed, badSignature, wrongAmount', async () => {
    await merchant.gateway.fault('slow', { count: 1, slowMs: 60 });
    const startedAt = Date.now();
    expect(await outcome(merchant.query(R1))).toBe('200 00 00');
    expect(Date.now() - startedAt).toBeGreaterThanOrEqual(55);
    await merchant.gateway.fault('malformed', { count: 1 });
    expect(await merchant.query(R1)).toMatchObject({ status: 200, verified: false });
    await merchant.gateway.fault('badSignature', { count: 1 });
    const forged = await merchant.query(R1);
    expect(forged).toMatchObject({ verified: false, fields: { origRespCode: '00' } });
    await merchant.gateway.fault('wrongAmount', { count: 1 });
    expect(await merchant.query(R1)).toMatchObject({ verified: true, fields: { txnAmt: '101' } });
  });

  it('found late, and taken back', async () => {
    await merchant.gateway.fault('notFoundThenFound', { count: 1 });
    expect(await outcome(merchant.query(R1))).toBe('200 34');
    await merchant.gateway.fault('successThenFailed', { count: 1 });
    expect(await outcome(merchant.query(R1))).toBe('200 00 00');
    expect(await outcome(merchant.query(R1))).toBe('200 00 61');
  });

  it.each([
    ['lostRequest', 0],
    ['lostAnswer', 1],
  ])('%s: the connection is cut, and the gateway has %i', async (kind, refundsAtGateway) => {
    await merchant.gateway.fault(kind, { count: 1 });
    expect(await outcome(merchant.refund('REFUND02', PAYMENT))).toBe('ECONNRESET');
    expect(await merchant.gateway.truth('REFUND02')).toMatchObject({ creates: 1, refundsAtGateway });
  });

  it('refused: signed whatever the settings say, and nothing happens', async () => {
    await merchant.gateway.settings({ signErrors: false });
    await merchant.gateway.fault('refused', { count: 1 });
    expect(await merchant.refund('REFUND02', PAYMENT)).toMatchObject({ verified: true, fields: { respCode: '33' } });
    expect(await merchant.gateway.truth('REFUND02')).toMatchObject({ refundsAtGateway: 0 });
  });

  it('the same seed spoils the same calls', async () => {
    const run = async () => {
      await merchant.gateway.clearFaults();
      await merchant.gateway.fault('http500', { rate: 0.5, seed: 7 });
      const seen: string[] = [];
      for (let call = 0; call < 12; call += 1) seen.push(await outcome(merchant.query(R1)));
      return seen;
    };
    const first = await run();
    expect(new Set(first)).toEqual(new Set(['500', '200 00 00']));
    expect(await run()).toEqual(first);
  });
});

describe('a notice', () => {
  let server: Server;
  const received: { form: Fields; contentType: string | undefined; text: string }[] = [];
  /** HTTP statuses of the answers, the last one for ever. */
  let answers: number[] = [200];
  beforeAll(async () => {
    server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.once('end', () => {
        const text = Buffer.concat(chunks).toString('utf8');
        const form = Object.fromEntries(new URLSearchParams(text));
        received.push({ form, contentType: request.headers['content-type'], text });
        response.writeHead((answers.length > 1 ? answers.shift() : answers[0]) ?? 200).end('ok');
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  });
  afterAll(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  beforeEach(() => {
    received.length = 0;
    answers = [200];
  });
  const backUrl = () => `http://127.0.0.1:${(server.address() as AddressInfo).port}/notify`;
  const arrived = (count: number) =>
    until(
      () => received,
      (all) => all.length >= count,
    );

  it('of a created refund’s success: urlencoded, signed, complete, of its time', async () => {
    const txnTime = beijing();
    await merchant.refund(R1, PAYMENT, { fields: { backUrl: backUrl(), txnTime } });
    await merchant.gateway.refund(R1, 'T1', 'success');
    const [notice] = await arrived(1);
    expect(notice?.contentType).toContain('application/x-www-form-urlencoded');
    expect(notice?.text).toMatch(/signPubKeyCert=-----BEGIN\+CERTIFICATE-----%0D%0A/);
    expect(notice?.form).toMatchObject({
      accessType: '0',
      bizType: '000201',
      currencyCode: '156',
      encoding: 'UTF-8',
      merId: merchant.settings.merId,
      orderId: R1,
      origQryId: PAYMENT,
      queryId: expect.stringMatching(/^\d{21}$/) as string,
      respCode: '00',
      signMethod: '01',
      txnAmt: '100',
      txnTime,
      txnType: '04',
      version: '5.1.0',
    });
    expect(merchant.verifies(notice?.form ?? {})).toBe(true);
    await until(
      async () => (await merchant.gateway.truth(R1)).callbacksAcknowledged,
      (count) => count === 1,
    );
  });

  it('of a failure is sent too; of what is still open none', async () => {
    await merchant.gateway.refund(R1, 'T1', 'processing', { notifyUrl: backUrl() });
    await merchant.gateway.refund(R1, 'T1', 'failed', { notifyUrl: backUrl() });
    const [notice] = await arrived(1);
    expect(notice?.form.respCode).toBe('61');
    expect(received).toHaveLength(1);
  });

  it('is repeated until HTTP 200 or 302, five times at most', async () => {
    await merchant.gateway.settings({ callbackTimeScale: 0.0001 });
    answers = [500, 401, 302];
    await merchant.gateway.refund(R1, 'T1', 'success', { notifyUrl: backUrl() });
    await arrived(3);
    await pause(60);
    expect(received).toHaveLength(3);
    expect(received.every(({ form }) => merchant.verifies(form))).toBe(true);

    received.length = 0;
    answers = [500];
    await merchant.gateway.refund('REFUND02', 'T1', 'success', { notifyUrl: backUrl() });
    await arrived(5);
    await pause(60);
    expect(received).toHaveLength(5);
  });

  it.each(['signature', 'ciphertext', 'tag', 'nonce', 'timestamp', 'probe', 'serial', 'truncated'])(
    'tampered with by %s does not verify',
    async (tamper) => {
      await merchant.gateway.refund(R1, 'T1', 'success');
      await merchant.gateway.callBack(R1, backUrl(), { tamper });
      const [notice] = await arrived(1);
      expect(merchant.verifies(notice?.form ?? {})).toBe(false);
    },
  );

  it('untampered does', async () => {
    await merchant.gateway.refund(R1, 'T1', 'success');
    expect(await merchant.gateway.callBack(R1, backUrl())).toMatchObject({ status: 200, acknowledged: true });
    expect(merchant.verifies((await arrived(1))[0]?.form ?? {})).toBe(true);
  });

  it('dropped, duplicated, with a wrong amount', async () => {
    await merchant.gateway.fault('dropCallback', { count: 1 });
    await merchant.gateway.refund(R1, 'T1', 'success', { notifyUrl: backUrl() });
    await until(
      async () => (await merchant.gateway.truth(R1)).callbacksDropped,
      (count) => count === 1,
    );
    await merchant.gateway.fault('duplicateCallback', { count: 1 });
    await merchant.gateway.refund('REFUND02', 'T1', 'success', { notifyUrl: backUrl() });
    await arrived(2);
    await merchant.gateway.fault('wrongAmount', { count: 1, operation: 'callback' });
    await merchant.gateway.refund('REFUND03', 'T1', 'success', { notifyUrl: backUrl() });
    const notices = await arrived(3);
    expect(notices.map(({ form }) => [form.orderId, form.txnAmt])).toEqual([
      ['REFUND02', '100'],
      ['REFUND02', '100'],
      ['REFUND03', '101'],
    ]);
  });
});
