import { Webhook } from 'standardwebhooks';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { NotificationSender } from '../src/notification/notification.sender.js';
import { LADDER_MS } from '../src/notification/ladder.js';
import { NotificationRelay } from '../src/notification/notification.relay.js';
import { NOTHING_ALLOWED, parseAllowList } from '../src/shared/outbound/allow-list.js';
import { OutboundPolicy } from '../src/shared/outbound/outbound-policy.js';
import { FakeClock } from './support/fake-clock.js';
import {
  attemptsOf,
  endedRefund,
  laterNotification,
  notificationOf,
  relayed,
  settled,
  type EndedRefund,
} from './support/notifications.js';
import { accept, Receiver, refuse, say } from './support/receiver.js';
import { logLines, SIGN_SECRET, startService, type TestService } from './support/service.js';
import { digest, signText, type Fields } from './support/wire.js';

const DAY_MS = 86_400_000;

describe('notifications', () => {
  const clock = new FakeClock();
  let service: TestService;
  let receiver: Receiver;

  beforeAll(async () => {
    service = await startService({ clock });
    receiver = await Receiver.start();
  });
  beforeEach(() => {
    receiver.script.length = 0;
    receiver.otherwise = accept;
  });
  afterAll(async () => {
    await service.close();
    await receiver.close();
  });

  /** An ended refund whose merchant listens at the receiver. */
  const ended = (more: Record<string, unknown> = {}): Promise<EndedRefund> =>
    endedRefund(service, { notifyUrl: receiver.url(), ...more });

  describe('are delivered', () => {
    it('as the reference system does, signed in both ways, once', async () => {
      const { refundId, refundNo, notificationId } = await ended({ attach: '{"order":"1"}' });
      await relayed(service);
      await relayed(service);

      const [received, ...more] = receiver.of(refundNo);
      expect(more).toEqual([]);
      expect(received?.headers).toMatchObject({
        'content-type': 'application/json; charset=utf-8',
        'webhook-id': notificationId,
      });
      const { sign, ...fields } = exact(received?.body ?? '');
      expect(Object.keys(fields)).toEqual([
        ...['refundId', 'refundNo', 'asyncPay', 'amount', 'refundChannels', 'status', 'refundTime', 'createTime'],
        'attach',
      ]);
      expect(fields).toMatchObject({ refundId: BigInt(refundId), refundNo, asyncPay: false, amount: 100 });
      expect(fields).toMatchObject({ status: 'success', refundChannels: [{ channel: 'cash_pay', amount: 100 }] });
      expect(sign).toBe(digest('MD5', signText(fields, SIGN_SECRET), SIGN_SECRET));
      expect(() =>
        webhook(SIGN_SECRET).verify(received?.body ?? '', received?.headers as Record<string, string>),
      ).not.toThrow();
      expect(await notificationOf(service, notificationId)).toMatchObject({
        state: 'delivered',
        attempts: 1,
        nextAttemptAt: null,
        leaseToken: null,
      });
      expect(await attemptsOf(service, notificationId)).toMatchObject([
        { statusCode: 200, fault: null, answer: 'SUCCESS', origin: `http://127.0.0.1:${receiver.port}` },
      ]);
    });

    it('in the dialect, with the digest and the secret of the app', async () => {
      const appId = 'v3-shop';
      await service.admin('PUT', `/admin/apps/${appId}`, {
        ...{ dialect: 'daxpay-v3', signType: 'HMAC_SHA256', signSecret: 'Secret of v3' },
        notifyUrl: receiver.url('/v3'),
      });
      const { refundNo } = await endedRefund(service, { appId });
      await relayed(service);
      const [received] = receiver.of(refundNo);
      expect(received?.path).toBe('/v3');
      const { sign, ...fields } = exact(received?.body ?? '');
      expect(sign).toBe(digest('HMAC_SHA256', signText(fields, 'Secret of v3', 'daxpay-v3'), 'Secret of v3'));
      expect(() =>
        webhook('Secret of v3').verify(received?.body ?? '', received?.headers as Record<string, string>),
      ).not.toThrow();
      expect(() =>
        webhook('another one').verify(received?.body ?? '', received?.headers as Record<string, string>),
      ).toThrow();
    });

    it.each([['success'], [' Success\r\n'], ['\tSUCCESS']])('when the body is %j', async (body) => {
      receiver.script.push(say(200, body));
      const { notificationId } = await ended();
      await relayed(service);
      expect(await notificationOf(service, notificationId)).toMatchObject({ state: 'delivered' });
    });

    it('to nobody where there is no address, which is kept; and not where the merchant wants none', async () => {
      const { notificationId } = await endedRefund(service);
      await relayed(service);
      expect(await notificationOf(service, notificationId)).toMatchObject({ state: 'notNeeded', attempts: 0 });
      expect(await attemptsOf(service, notificationId)).toEqual([]);
    });
  });

  describe('that fail', () => {
    it('twice are delivered by the third attempt, on the ladder', async () => {
      receiver.script.push(refuse, say(200, 'ok'));
      const { notificationId, refundNo } = await ended();
      await relayed(service);
      clock.advance(14_000);
      await relayed(service);
      expect(receiver.of(refundNo)).toHaveLength(1);
      clock.advance(1_000);
      await relayed(service);
      clock.advance(15_000);
      await relayed(service);

      expect(receiver.of(refundNo).map(({ headers }) => headers['webhook-id'])).toEqual(
        Array.from({ length: 3 }, () => notificationId),
      );
      expect(await attemptsOf(service, notificationId)).toMatchObject([
        { statusCode: 500, fault: 'httpStatus', answer: 'not today' },
        { statusCode: 200, fault: 'answer', answer: 'ok' },
        { statusCode: 200, fault: null, answer: 'SUCCESS' },
      ]);
      expect(await notificationOf(service, notificationId)).toMatchObject({ state: 'delivered', attempts: 3 });
    });

    it('always go up the whole ladder and are then given up, kept and logged', async () => {
      receiver.otherwise = refuse;
      const { notificationId, refundNo } = await ended();
      for (const pauseMs of LADDER_MS) {
        clock.advance(Math.max(0, pauseMs - 2_000));
        if (pauseMs > 0) await relayed(service);
        clock.advance(2_000);
        await relayed(service);
      }
      clock.advance(DAY_MS);
      await relayed(service);
      expect(receiver.of(refundNo)).toHaveLength(16);
      expect(await notificationOf(service, notificationId)).toMatchObject({ state: 'exhausted', attempts: 16 });
      expect(logLines.join('')).toContain('NOTIFY_EXHAUSTED');
    });

    it.each([
      ['a redirect, which is not followed', 'httpStatus', () => say(302, '', { location: receiver.url('/other') })],
      ['201', 'httpStatus', () => say(201, 'SUCCESS')],
      ['another body', 'answer', () => say(200, '{"code":0}')],
      ['an empty body', 'answer', () => say(200, '')],
      ['a huge body', 'answerTooLarge', () => say(200, `SUCCESS${' '.repeat(100_000)}`)],
      [
        'a cut line',
        'connection',
        () => (response: { socket: { destroy(): void } | null }) => void response.socket?.destroy(),
      ],
    ] as const)('by %s are kept as such', async (_what, fault, answer) => {
      receiver.script.push(answer());
      const { notificationId, refundNo } = await ended();
      await relayed(service);
      expect(await attemptsOf(service, notificationId)).toMatchObject([{ fault }]);
      expect(await notificationOf(service, notificationId)).toMatchObject({ state: 'pending', attempts: 1 });
      expect(receiver.of(refundNo).map(({ path }) => path)).toEqual(['/notify']);
      clock.advance(15_000);
      await relayed(service);
    });

    it('by an answer that never ends are ended after five seconds', async () => {
      receiver.script.push((response) => {
        response.writeHead(200);
        response.write('SUC');
      });
      const { notificationId } = await ended();
      await relayed(service);
      const [attempt] = await attemptsOf(service, notificationId);
      expect(attempt).toMatchObject({ fault: 'timeout' });
      expect(attempt?.durationMs).toBeGreaterThan(4_500);
      expect(attempt?.durationMs).toBeLessThan(8_000);
      clock.advance(15_000);
      await relayed(service);
    });

    it('show no secret that the answer repeats', async () => {
      receiver.script.push(say(400, `your secret ${SIGN_SECRET} is fine`));
      const { notificationId } = await ended();
      await relayed(service);
      expect((await attemptsOf(service, notificationId))[0]?.answer).toBe('your secret *** is fine');
      clock.advance(15_000);
      await relayed(service);
    });
  });

  describe('of one refund', () => {
    it('come in order: a later one waits until the earlier is delivered', async () => {
      receiver.script.push(refuse);
      const { refundId, refundNo } = await ended();
      const later = await laterNotification(service, refundId);
      await relayed(service);
      await relayed(service);
      expect(receiver.of(refundNo).map(({ notice }) => notice['status'])).toEqual(['success']);
      clock.advance(15_000);
      await relayed(service);
      await relayed(service);
      expect(receiver.of(refundNo).map(({ notice }) => notice['status'])).toEqual(['success', 'success', 'fail']);
      expect(await notificationOf(service, later)).toMatchObject({ state: 'delivered', attempts: 1 });
    });

    it('also when the later one has the smaller id, made by a process whose clock is behind', async () => {
      const { refundId, refundNo, notificationId } = await ended();
      await laterNotification(service, refundId, { id: String(BigInt(notificationId) - 5_000n) });
      await relayed(service);
      await relayed(service);
      expect(receiver.of(refundNo).map(({ notice }) => notice['status'])).toEqual(['success', 'fail']);
    });

    it('come one at a time', async () => {
      receiver.otherwise = async (response) => {
        await new Promise((resolve) => setTimeout(resolve, 50));
        response.end('SUCCESS');
      };
      const { refundId, refundNo } = await ended({ notifyUrl: receiver.url('/one-at-a-time') });
      for (let count = 0; count < 4; count += 1) await laterNotification(service, refundId);
      for (let round = 0; round < 6; round += 1) {
        await relayed(service);
        clock.advance(2_000);
      }
      expect(receiver.of(refundNo)).toHaveLength(5);
      expect(receiver.mostAtOnce.get('/one-at-a-time')).toBe(1);
    });
  });

  it('of a slow receiver hold up no other, and open four requests to it at most', async () => {
    const slow = await Receiver.start();
    let release: () => void = () => undefined;
    const released = new Promise<void>((resolve) => (release = resolve));
    slow.otherwise = async (response) => {
      await released;
      response.end('SUCCESS');
    };
    for (let count = 0; count < 20; count += 1) await ended({ notifyUrl: slow.url() });
    const quick = await ended();
    const relaying = service.app.get(NotificationRelay).relay();
    await expect.poll(() => receiver.of(quick.refundNo).length).toBe(1);
    await expect.poll(() => slow.received.length).toBe(4);
    await expect.poll(async () => (await notificationOf(service, quick.notificationId)).state).toBe('delivered');
    release();
    await relaying;
    await settled(service);
    expect(slow.received).toHaveLength(20);
    expect(slow.mostAtOnce.get('/notify')).toBe(4);
    await slow.close();
  });

  describe('can be delivered again', () => {
    it('one by one, with the same webhook-id and an audit entry', async () => {
      const { notificationId, refundNo } = await ended();
      await relayed(service);
      const path = `/admin/notifications/${notificationId}`;
      expect(await service.admin('POST', `${path}/redeliver`)).toMatchObject({
        httpStatus: 200,
        body: { id: notificationId, state: 'pending', attempts: 0 },
      });
      await relayed(service);
      expect(receiver.of(refundNo).map(({ headers }) => headers['webhook-id'])).toEqual([
        notificationId,
        notificationId,
      ]);
      expect(await service.admin('GET', path)).toMatchObject({
        httpStatus: 200,
        body: { state: 'delivered', attemptList: [{ fault: null }, { fault: null }] },
      });
      expect(await service.admin('POST', '/admin/notifications/1/redeliver')).toMatchObject({ httpStatus: 404 });
    });

    it('by a range that is bounded and says where it goes on', async () => {
      const from = new Date(clock.now().getTime() - 1).toISOString();
      const refunds: EndedRefund[] = [];
      for (let count = 0; count < 5; count += 1) refunds.push(await ended());
      await relayed(service);
      const filter = { from, to: new Date(clock.now().getTime() + 60_000).toISOString(), state: 'delivered' };
      const first = await service.admin<{ redelivered: number; nextCursor: string }>(
        'POST',
        '/admin/notifications/redeliver',
        { ...filter, limit: 3 },
      );
      expect(first).toMatchObject({
        httpStatus: 200,
        body: { redelivered: 3, nextCursor: refunds[2]?.notificationId },
      });
      const second = await service.admin('POST', '/admin/notifications/redeliver', {
        ...filter,
        cursor: first.body.nextCursor,
        limit: 3,
      });
      expect(second.body).toEqual({ redelivered: 2, nextCursor: null });
      await relayed(service);
      for (const { refundNo } of refunds) expect(receiver.of(refundNo)).toHaveLength(2);
    });

    it('but not where the merchant wants none', async () => {
      const { notificationId } = await ended();
      await service.db.read((manager) =>
        manager.query(`UPDATE notification SET state = 'suppressed' WHERE id = '${notificationId}'`),
      );
      expect(await service.admin('POST', `/admin/notifications/${notificationId}/redeliver`)).toMatchObject({
        httpStatus: 409,
      });
    });

    it('and are listed, page by page', async () => {
      const { notificationId, refundId } = await ended();
      const one = await service.admin<{ items: unknown[]; nextCursor: string | null }>(
        'GET',
        `/admin/notifications?refundId=${refundId}&state=pending`,
      );
      expect(one.body).toMatchObject({ items: [{ id: notificationId, state: 'pending' }], nextCursor: null });
      const page = await service.admin<{ items: unknown[]; nextCursor: string | null }>(
        'GET',
        '/admin/notifications?limit=2&appId=default',
      );
      expect(page.body.items).toHaveLength(2);
      expect(page.body.nextCursor).not.toBeNull();
      await relayed(service);
    });
  });

  it('to a receiver that fails for five days are paused with an alert, and go on when it is resumed', async () => {
    const dead = await Receiver.start();
    dead.otherwise = refuse;
    const first = await ended({ notifyUrl: dead.url() });
    await relayed(service);
    for (let day = 0; day < 5; day += 1) {
      clock.advance(DAY_MS);
      await relayed(service);
    }
    expect(await notificationOf(service, first.notificationId)).toMatchObject({ state: 'paused', leaseToken: null });
    const alert = logLines.find((line) => line.includes('NOTIFY_ENDPOINT_PAUSED'));
    expect(JSON.parse(alert ?? '{}')).toMatchObject({ level: 'error', origin: `http://127.0.0.1:${dead.port}` });

    const sent = dead.received.length;
    const second = await ended({ notifyUrl: dead.url() });
    await relayed(service);
    expect(dead.received).toHaveLength(sent);
    expect(await notificationOf(service, second.notificationId)).toMatchObject({ state: 'paused' });
    const { body } = await service.admin<{ items: { id: string; origin: string }[] }>(
      'GET',
      '/admin/notification-endpoints?paused=true',
    );
    expect(body.items).toMatchObject([{ origin: `http://127.0.0.1:${dead.port}` }]);
    expect(await service.admin('POST', `/admin/notifications/${second.notificationId}/redeliver`)).toMatchObject({
      httpStatus: 409,
    });

    dead.otherwise = accept;
    const resume = `/admin/notification-endpoints/${body.items[0]?.id}/resume`;
    expect(await service.admin('POST', resume)).toMatchObject({ httpStatus: 200, body: { pausedAt: null } });
    expect(await service.admin('POST', resume)).toMatchObject({ httpStatus: 409 });
    await relayed(service);
    for (const { refundNo } of [first, second]) expect(dead.of(refundNo).length).toBeGreaterThan(0);
    for (const { notificationId } of [first, second])
      expect(await notificationOf(service, notificationId)).toMatchObject({ state: 'delivered' });
    await dead.close();
  });

  it('that a killed process was delivering are delivered by the next one: at least once', async () => {
    const { notificationId, refundNo } = await ended();
    // What a process leaves behind that dies between the request and its record.
    await service.db.transaction((manager) =>
      manager.query(
        `UPDATE notification SET leaseToken = '1', leaseUntil = ${service.db.sqlNow(15_000)} WHERE id = '${notificationId}'`,
      ),
    );
    await relayed(service);
    expect(receiver.of(refundNo)).toHaveLength(0);
    clock.advance(16_000);
    await relayed(service);
    expect(receiver.of(refundNo)).toHaveLength(1);
  });

  it('of a service that stops are finished, and the others are left for the next', async () => {
    const slow = await Receiver.start();
    slow.otherwise = async (response) => {
      await new Promise((resolve) => setTimeout(resolve, 300));
      response.end('SUCCESS');
    };
    const other = await startService({ beside: service, clock });
    const refunds: EndedRefund[] = [];
    for (let count = 0; count < 8; count += 1) refunds.push(await ended({ notifyUrl: slow.url() }));
    await other.app.get(NotificationRelay).relay();
    await expect.poll(() => slow.received.length).toBe(4);
    await other.stop();
    const states = await Promise.all(
      refunds.map(async ({ notificationId }) => (await notificationOf(service, notificationId)).state),
    );
    expect(states.sort()).toEqual([
      ...Array.from({ length: 4 }, () => 'delivered'),
      ...Array.from({ length: 4 }, () => 'pending'),
    ]);
    clock.advance(31_000);
    await relayed(service);
    for (const { refundNo } of refunds) expect(slow.of(refundNo)).toHaveLength(1);
    await slow.close();
  });
});

describe('addresses that strangers give', () => {
  let service: TestService;
  let receiver: Receiver;
  beforeAll(async () => {
    service = await startService({ env: { NOTIFY_ALLOW: 'none' } });
    receiver = await Receiver.start();
  });
  afterAll(async () => {
    await service.close();
    await receiver.close();
  });

  it.each([
    'http://127.0.0.1:8080/x',
    'http://2130706433/',
    'http://0x7f.1/',
    'http://[::ffff:10.0.0.1]/',
    'http://169.254.169.254/latest/meta-data',
    'http://localhost:9000/x',
    'http://user:pw@shop.example/x',
    'http://shop.example:25/x',
    'https://shop.example/x#part',
  ])('%s is refused when it comes in, with a text that says why', async (notifyUrl) => {
    const refund = { refundNo: 'R-1', channel: 'cash_pay', amount: 1, payment: { businessNo: 'P-1', amount: 1 } };
    const answer = await service.admin<{ errors: unknown }>('POST', '/admin/refunds', { ...refund, notifyUrl });
    expect(answer).toMatchObject({ httpStatus: 400, body: { errors: [{ field: 'notifyUrl' }] } });
    expect(await service.admin('PUT', '/admin/apps/default', { notifyUrl })).toMatchObject({ httpStatus: 400 });
    const created = await service.merchant.call('/unipay/refund', { businessNo: 'P', refundAll: true, notifyUrl });
    expect([created.code, created.msg]).toEqual([10006, expect.stringContaining('notifyUrl')]);
  });

  it('are not called when they lead inside, whatever was stored', async () => {
    const { notificationId } = await endedRefund(service, { notifyUrl: 'https://shop.example/n' });
    for (const url of [receiver.url(), `http://localhost:${receiver.port}/n`]) {
      await service.db.transaction((manager) =>
        manager.query(
          `UPDATE notification SET url = '${url}', state = 'pending', nextAttemptAt = ${service.db.sqlNow()} WHERE id = '${notificationId}'`,
        ),
      );
      await relayed(service);
    }
    expect(receiver.received).toEqual([]);
    expect((await attemptsOf(service, notificationId)).map(({ fault }) => fault)).toEqual(['badUrl', 'badUrl']);
  });

  describe('by a name', () => {
    const notice = { headers: {}, body: '{"refundNo":"R"}' };

    it.each([
      [['127.0.0.1']],
      [['10.1.2.3']],
      [['169.254.169.254']],
      [['100.64.0.1']],
      [['::ffff:127.0.0.1']],
      [['64:ff9b::7f00:1']],
      [['2002:7f00:1::']],
      [['93.184.216.34', '127.0.0.1']],
    ])('that leads to %j are not connected to', async (addresses) => {
      const sender = new NotificationSender(new OutboundPolicy(NOTHING_ALLOWED), {
        resolve: (_name, callback) =>
          callback(
            null,
            addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
          ),
      });
      const result = await sender.send({ url: `http://shop.example:${receiver.port}/n`, ...notice });
      expect(result).toMatchObject({ fault: 'forbiddenAddress', statusCode: null });
      expect(result.detail).toContain('no notification is sent there');
      expect(receiver.received).toEqual([]);
      await sender.close();
    });

    it('that answers otherwise the second time (rebinding) gain nothing: the address that was judged is the one that is called', async () => {
      const allowed = parseAllowList('127.0.0.1');
      if ('badEntry' in allowed) throw new Error('not a list');
      const honest = await Receiver.start('127.0.0.1');
      const inside = await Receiver.start('127.0.0.2');
      const answers = ['127.0.0.1', '127.0.0.2'];
      let asked = 0;
      const sender = new NotificationSender(new OutboundPolicy(allowed), {
        resolve: (_name, callback) => {
          const address = answers[Math.min(asked, 1)] ?? '';
          asked += 1;
          callback(null, [{ address, family: 4 }]);
        },
      });
      expect(await sender.send({ url: `http://shop.example:${honest.port}/n`, ...notice })).toMatchObject({
        fault: null,
      });
      expect(asked).toBe(1);
      expect(await sender.send({ url: `http://shop.example:${inside.port}/n`, ...notice })).toMatchObject({
        fault: 'forbiddenAddress',
      });
      expect([honest.received.length, inside.received.length]).toEqual([1, 0]);
      await sender.close();
      await honest.close();
      await inside.close();
    });
  });
});

function webhook(secret: string): Webhook {
  return new Webhook(`whsec_${Buffer.from(secret).toString('base64')}`);
}

/** The notice with all digits of its id. */
function exact(body: string): Fields {
  const id = /"refundId":(\d+)/.exec(body)?.[1] ?? '';
  return { ...(JSON.parse(body) as Fields), refundId: BigInt(id) };
}
