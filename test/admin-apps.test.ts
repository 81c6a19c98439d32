import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stuckRefund, uniqueNo } from './support/builders.js';
import { MerchantClient } from './support/merchant-client.js';
import { logLines, startService, WECHAT_ACCOUNT, type TestService } from './support/service.js';
import { digest, signText, type Fields } from './support/wire.js';
import { allRows } from './support/tables.js';

const WITHIN_5_S = { timeout: 5_000, interval: 50 };

let service: TestService;
let other: TestService;
let refundNo: string;
beforeAll(async () => {
  service = await startService();
  other = await startService({ beside: service });
  ({ refundNo } = await stuckRefund(service));
});
afterAll(async () => {
  await other.close();
  await service.close();
});

/** What each process answers to a request that is signed with this secret. */
async function codes(secret: string): Promise<number[]> {
  const answers: number[] = [];
  for (const { url } of [service, other])
    answers.push((await new MerchantClient(url, secret).call('/unipay/syncRefund', { refundNo })).code);
  return answers;
}

const ACCEPTED = [0, 0];
const REFUSED = [20052, 20052];

async function audit(targetId: string, action: string): Promise<Record<string, unknown>[]> {
  const { body } = await service.admin<{ items: Record<string, unknown>[] }>(
    'GET',
    `/admin/audit?targetType=app&targetId=${targetId}&action=${action}`,
  );
  return body.items;
}

/** As a merchant computes it over what was answered. */
function signatureOf({ text }: { text: string }, secret: string): string {
  const { data } = JSON.parse(text) as { data: Fields };
  return digest('MD5', signText(data, secret, 'daxpay-v2'), secret);
}

describe('the secret of an app', () => {
  it('is rotated with an overlap in which both verify, in every process', async () => {
    const old = '123456';
    const next = `next secret ${uniqueNo('s')}`;
    expect([await codes(old), await codes(next)]).toEqual([ACCEPTED, REFUSED]);

    const rotated = await service.admin('POST', '/admin/apps/default/secret', { signSecret: next });
    expect(rotated).toMatchObject({ httpStatus: 200, body: { signSecret: next, previousSignSecretAccepted: true } });
    await expect.poll(() => codes(next), WITHIN_5_S).toEqual(ACCEPTED);
    expect(await codes(old)).toEqual(ACCEPTED);
    const again = await service.admin('POST', '/admin/apps/default/secret', {});
    expect(again).toMatchObject({ httpStatus: 409, body: { errors: [{ field: 'signSecret' }] } });

    const retired = await service.admin('DELETE', '/admin/apps/default/secret/previous');
    expect(retired).toMatchObject({ httpStatus: 200, body: { previousSignSecretAccepted: false } });
    expect(retired.body).not.toHaveProperty('signSecret');
    await expect.poll(() => codes(old), WITHIN_5_S).toEqual(REFUSED);
    expect(await codes(next)).toEqual(ACCEPTED);

    const generated = await service.admin<{ signSecret: string; signSecretSince: string }>(
      'POST',
      '/admin/apps/default/secret',
      {},
    );
    expect(generated.body.signSecret).toMatch(/^[\w-]{32}$/);
    expect(Date.parse(generated.body.signSecretSince)).toBeGreaterThan(Date.now() - 60_000);
    await expect.poll(() => codes(generated.body.signSecret), WITHIN_5_S).toEqual(ACCEPTED);

    for (const text of [await allRows(service), logLines.join('')])
      for (const secret of [next, generated.body.signSecret]) expect(text).not.toContain(secret);
    expect(await audit('default', 'app.rotateSecret')).toHaveLength(2);
    expect(await audit('default', 'app.retireSecret')).toHaveLength(1);

    // Given directly it replaces both at once.
    await service.admin('PUT', '/admin/apps/default', { signSecret: old });
    await expect.poll(() => codes(old), WITHIN_5_S).toEqual(ACCEPTED);
    expect([await codes(next), await codes(generated.body.signSecret)]).toEqual([REFUSED, REFUSED]);
  });

  it('answers are signed with the new one from the start', async () => {
    const next = `next secret ${uniqueNo('s')}`;
    await service.admin('PUT', '/admin/apps/default/interfaces/syncRefund', { responseSign: true });
    await service.admin('POST', '/admin/apps/default/secret', { signSecret: next });
    await expect.poll(() => codes(next), WITHIN_5_S).toEqual(ACCEPTED);
    const answer = await new MerchantClient(service.url, '123456').call('/unipay/syncRefund', { refundNo });
    expect(answer.sign).not.toBe('');
    expect(answer.sign).toBe(signatureOf(answer, next));
    expect(answer.sign).not.toBe(signatureOf(answer, '123456'));
    await service.admin('PUT', '/admin/apps/default', { signSecret: '123456' });
    await service.admin('PUT', '/admin/apps/default/interfaces/syncRefund', { responseSign: false });
  });
});

describe('switches', () => {
  it('work in every process within five seconds', async () => {
    const enabled = () => codes('123456');
    expect(await enabled()).toEqual(ACCEPTED);
    await service.admin('PUT', '/admin/apps/default/interfaces/syncRefund', { enabled: false });
    await expect.poll(enabled, WITHIN_5_S).toEqual([20000, 20000]);
    await other.admin('PUT', '/admin/apps/default/interfaces/syncRefund', { enabled: true });
    await expect.poll(enabled, WITHIN_5_S).toEqual(ACCEPTED);
    const entries = await audit('default', 'interface.put');
    expect(entries[0]).toMatchObject({
      actor: 'bootstrap',
      before: { code: 'syncRefund', enabled: false },
      after: { code: 'syncRefund', enabled: true },
    });
  });
});

describe('one of them', () => {
  it('an app and an account are read by id', async () => {
    const app = await service.admin('GET', '/admin/apps/default');
    expect(app).toMatchObject({ httpStatus: 200, body: { id: 'default', interfaces: { refund: { enabled: true } } } });
    const account = await service.admin('GET', `/admin/gateway-accounts/${WECHAT_ACCOUNT}`);
    expect(account).toMatchObject({ httpStatus: 200, body: { id: WECHAT_ACCOUNT, channel: 'wechat_pay' } });
    for (const path of ['/admin/apps/nobody', '/admin/gateway-accounts/nobody', '/admin/apps/default%20'])
      expect((await service.admin('GET', path)).httpStatus).toBe(404);
  });

  it('a change that fails leaves no entry in the audit', async () => {
    const entries = await audit('default', 'app.put');
    expect(
      (await service.admin('PUT', '/admin/apps/default', { dialect: 'daxpay-v2', signType: 'SM3' })).httpStatus,
    ).toBe(400);
    expect(await audit('default', 'app.put')).toHaveLength(entries.length);
  });
});
