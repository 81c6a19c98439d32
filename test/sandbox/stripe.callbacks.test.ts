import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { json, pause, Receiver, until, type Json, type Received } from './support.js';
import { StripeMerchant } from './stripe.support.js';

let merchant: StripeMerchant;
let receiver: Receiver;

beforeAll(async () => {
  merchant = await StripeMerchant.start();
  receiver = await Receiver.start();
});
afterAll(async () => {
  await merchant.sandbox.close();
  await receiver.stop();
});
beforeEach(async () => {
  await merchant.control('POST', '/reset', { settings: true });
  receiver.forget();
});

async function arrived(count: number): Promise<Received[]> {
  return [
    ...(await until(
      () => receiver.received,
      (received) => received.length >= count,
    )),
  ];
}

/** Type of each event, and what it says of the refund. */
const told = (received: Received[]): string[] =>
  received.map((one) => `${String(json(one).type)} ${String(((json(one).data as Json).object as Json).status)}`);

const CREATE = { payment_intent: 'pi_1', amount: '100', 'metadata[refund_no]': 'R1' };

describe('an event', () => {
  it('tells of a refund that was made, at the address of the account', async () => {
    await merchant.settings({
      webhookUrl: receiver.url,
      defaultScript: [
        { afterMs: 0, status: 'processing' },
        { afterMs: 60, status: 'success' },
      ],
    });
    const created = json(await merchant.create(CREATE));
    const received = await arrived(2);
    expect(told(received)).toEqual(['refund.created pending', 'refund.updated succeeded']);
    for (const one of received) {
      expect(merchant.verifies(one).ok).toBe(true);
      expect(one.headers['stripe-signature']).toMatch(/^t=\d+,v1=[0-9a-f]{64},v0=[0-9a-f]{64}$/);
      expect(json(one)).toMatchObject({
        object: 'event',
        livemode: false,
        id: expect.stringMatching(/^evt_[0-9A-Za-z]{24}$/) as string,
      });
    }
    expect((json(received[1] as Received).data as Json).object).toMatchObject({
      id: created.id,
      metadata: { refund_no: 'R1' },
    });
    await until(
      () => merchant.truth('R1'),
      ({ callbacksAcknowledged }) => callbacksAcknowledged === 2,
    );
  });

  it('comes once for a refund that succeeds at once', async () => {
    await merchant.settings({ webhookUrl: receiver.url, defaultScript: [{ afterMs: 0, status: 'success' }] });
    await merchant.create(CREATE);
    await arrived(1);
    await pause(40);
    expect(told(receiver.received)).toEqual(['refund.created succeeded']);
  });

  it('comes for no refund of a script where no address is set', async () => {
    await merchant.settings({ defaultScript: [{ afterMs: 0, status: 'success' }] });
    await merchant.create(CREATE);
    await pause(40);
    expect(receiver.received).toEqual([]);
  });

  it.each([
    ['failed', 'refund.failed failed'],
    ['closed', 'refund.updated canceled'],
    ['abnormal', 'refund.updated requires_action'],
    ['success', 'refund.updated succeeded'],
  ])('of %s is %s', async (status, wanted) => {
    await merchant.register(
      'R1',
      [
        { afterMs: 0, status: 'processing' },
        { afterMs: 30, status },
      ],
      { notifyUrl: receiver.url },
    );
    expect(told(await arrived(1))).toEqual([wanted]);
  });

  it('tells of a failure after success', async () => {
    const { gatewayRefundNo } = await merchant.register('R1', 'success', { notifyUrl: receiver.url });
    await arrived(1);
    await merchant.fault('successThenFailed');
    await merchant.retrieve(gatewayRefundNo);
    expect(told(await arrived(2)).at(-1)).toBe('refund.failed failed');
  });

  it('is sent again with a fresh signature until a 2xx', async () => {
    await merchant.settings({ callbackTimeScale: 0.001 });
    receiver.answers = [500, 400, 302, 204];
    await merchant.register('R1', 'success', { notifyUrl: receiver.url });
    const received = await arrived(4);
    expect(new Set(received.map(({ body }) => body)).size).toBe(1);
    for (const one of received) expect(merchant.verifies(one).ok).toBe(true);
    await until(
      () => merchant.truth('R1'),
      ({ callbacksAcknowledged }) => callbacksAcknowledged === 1,
    );
    expect(await merchant.truth('R1')).toMatchObject({ callbacksSent: 4 });
  });

  it('may come after a newer one, twice, or not at all', async () => {
    await merchant.fault('reorderCallbacks', { delayMs: 1000, count: 2 });
    await merchant.register(
      'R1',
      [
        { afterMs: 0, status: 'success' },
        { afterMs: 60, status: 'failed' },
      ],
      { notifyUrl: receiver.url },
    );
    expect(told(await arrived(2))).toEqual(['refund.failed failed', 'refund.created succeeded']);
    await merchant.control('DELETE', '/faults');
    receiver.forget();
    await merchant.fault('duplicateCallback', { count: 1 });
    await merchant.register('R2', 'success', { notifyUrl: receiver.url });
    expect(new Set((await arrived(2)).map((one) => json(one).id)).size).toBe(1);
    await merchant.fault('dropCallback', { count: 1 });
    await merchant.register('R3', 'success', { notifyUrl: receiver.url });
    await until(
      () => merchant.truth('R3'),
      ({ callbacksDropped }) => callbacksDropped === 1,
    );
  });
});

describe('POST /control/callbacks', () => {
  it.each<[string, (received: Received) => boolean]>([
    ['signature', (received) => !merchant.verifies(received).ok],
    ['nonce', (received) => !merchant.verifies(received).ok],
    ['serial', (received) => !merchant.verifies(received).ok],
    ['ciphertext', (received) => !merchant.verifies(received).ok],
    ['tag', (received) => !merchant.verifies(received).ok],
    ['probe', (received) => !String(received.headers['stripe-signature']).includes('v1=')],
    ['timestamp', (received) => merchant.verifies(received).ok && merchant.verifies(received).ageSeconds > 301],
    ['truncated', (received) => merchant.verifies(received).ok && isBroken(received)],
  ])('tamper %s is wrong in just that way', async (tamper, isWrong) => {
    await merchant.register('R1', 'success');
    receiver.answers = [400];
    const answer = await merchant.told('/callbacks', { outRefundNo: 'R1', notifyUrl: receiver.url, tamper });
    expect(answer).toMatchObject({ status: 400, acknowledged: false });
    const [received] = receiver.received;
    expect(received && isWrong(received)).toBe(true);
  });

  it('can tell what is not true', async () => {
    await merchant.register('R1', 'processing');
    await merchant.told('/callbacks', { outRefundNo: 'R1', notifyUrl: receiver.url, status: 'failed' });
    expect(told(receiver.received)).toEqual(['refund.failed failed']);
  });

  it('contacts this machine only', async () => {
    for (const webhookUrl of ['https://merchant.example/n', 'http://10.0.0.1/n', 'ftp://127.0.0.1/n', 'x']) {
      const { status, json: answer } = await merchant.control('POST', '/settings', { channel: 'stripe', webhookUrl });
      expect([status, String(answer.error).split(':')[0]]).toEqual([400, 'webhookUrl']);
    }
  });
});

function isBroken(received: Received): boolean {
  try {
    json(received);
    return false;
  } catch {
    // Exactly what the tampering is for.
    return true;
  }
}
