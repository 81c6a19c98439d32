import { request as httpRequest, type ClientRequest, type IncomingMessage } from 'node:http';
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { uniqueNo } from './support/builders.js';
import { assertInvariants } from './support/invariants.js';
import { ADMIN_TOKEN, startService, type TestService } from './support/service.js';
import { rowCounts } from './support/tables.js';

const NDJSON = 'application/x-ndjson';

interface Line {
  line?: number;
  outcome?: string;
  refundNo?: string;
  id?: string;
  errors?: { field: string; fault: string }[];
  summary?: Record<string, unknown>;
}

let service: TestService;
beforeAll(async () => {
  service = await startService();
});
afterAll(async () => {
  await assertInvariants(service);
  await service.close();
});

function open(query = '', contentType = NDJSON): ClientRequest {
  return httpRequest(`${service.url}/admin/refunds/import${query}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${ADMIN_TOKEN}`, 'content-type': contentType },
  });
}

async function report(request: ClientRequest): Promise<{ status: number; lines: Line[] }> {
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  let text = '';
  for await (const chunk of response) text += String(chunk);
  const lines = text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Line);
  return { status: response.statusCode ?? 0, lines };
}

async function send(body: string | Buffer, query = '', contentType = NDJSON) {
  const request = open(query, contentType);
  request.end(body);
  return report(request);
}

function refund(changes: Record<string, unknown> = {}): Record<string, unknown> & { refundNo: string } {
  return {
    refundNo: uniqueNo('R'),
    channel: 'wechat_pay',
    amount: 100,
    payment: { businessNo: uniqueNo('P'), amount: 1000 },
    ...changes,
  };
}

/** Rows of the tables that an import writes. */
async function counts() {
  const { payment, refund, notification, audit_entry: audit } = await rowCounts(service);
  return {
    payment: Number(payment),
    refund: Number(refund),
    notification: Number(notification),
    audit_entry: Number(audit),
  };
}

const ndjson = (rows: readonly unknown[]): string => rows.map((row) => `${JSON.stringify(row)}\n`).join('');

describe('NDJSON', () => {
  it('registers each line and says so, and the same again is known', async () => {
    const rows = [refund(), refund({ notifyUrl: 'https://shop.example/n' }), refund({ channel: 'cash_pay' })];
    const first = await send(ndjson(rows));
    expect(first.status).toBe(200);
    expect(first.lines.slice(0, 3)).toEqual(
      rows.map(({ refundNo }, index) => ({
        line: index + 1,
        outcome: 'created',
        refundNo,
        id: expect.stringMatching(/^\d{19}$/) as string,
      })),
    );
    expect(first.lines[3]).toEqual({
      summary: { lines: 3, created: 3, known: 0, refused: 0, dryRun: false, complete: true },
    });
    const before = await counts();
    const again = await send(ndjson(rows));
    expect(again.lines.map(({ outcome, id }) => [outcome, id])).toEqual([
      ...first.lines.slice(0, 3).map(({ id }) => ['known', id]),
      [undefined, undefined],
    ]);
    // But for the import's own entry in the audit nothing was written.
    expect(await counts()).toEqual({ ...before, audit_entry: before.audit_entry + 1 });
    const { body } = await service.admin<{ items: { actor: string }[] }>(
      'GET',
      `/admin/audit?targetType=refund&targetId=${first.lines[0]?.id}`,
    );
    expect(body.items).toMatchObject([{ actor: 'bootstrap', action: 'refund.register' }]);
  });

  it('names the line, the field and the fault, and takes the others', async () => {
    const known = refund();
    const tight = uniqueNo('P');
    const rows: [string | Buffer, string?, string?][] = [
      [JSON.stringify(known)],
      [''],
      ['{"refundNo":', 'line', 'position'],
      ['[]', 'line', 'JSON object'],
      [JSON.stringify(refund({ amount: 1.5 })), 'amount', 'integer'],
      [JSON.stringify(refund({ refundNo: undefined })), 'refundNo', 'required'],
      [JSON.stringify(refund({ payment: { businessNo: 'P' } })), 'payment.amount', 'required'],
      [JSON.stringify(refund({ channel: 'paypal' })), 'channel', ''],
      [JSON.stringify(refund({ appId: 'nobody' })), 'appId', 'not a known app'],
      [JSON.stringify(refund({ createdAt: '2099-01-01T00:00:00Z' })), 'createdAt', 'future'],
      [JSON.stringify({ ...known, amount: 99 }), 'amount', 'differs'],
      [JSON.stringify(refund({ amount: 90, payment: { businessNo: tight, amount: 100 } }))],
      [JSON.stringify(refund({ amount: 20, payment: { businessNo: tight, amount: 100 } })), 'amount', 'only 10'],
      [JSON.stringify(refund({ payment: { businessNo: tight, amount: 101 } })), 'payment.amount', 'known with 100'],
      [JSON.stringify({ ...refund(), attach: 'x'.repeat(70_000) }), 'line', 'longer than'],
      [Buffer.from([0x7b, 0xff, 0x7d]), 'line', ''],
      [JSON.stringify(refund())],
    ];
    const body = Buffer.concat(rows.flatMap(([row]) => [Buffer.from(row), Buffer.from('\n')]));
    const { lines } = await send(body);
    const expected = rows
      .map(([row, field, fault], index) => ({ row, line: index + 1, field, fault }))
      .filter(({ row }) => row.length > 0);
    expect(lines.slice(0, -1).map(({ line, errors }) => [line, errors?.[0]?.field])).toEqual(
      expected.map(({ line, field }) => [line, field]),
    );
    for (const [index, { fault }] of expected.entries())
      if (fault) expect(lines[index]?.errors?.[0]?.fault).toContain(fault);
    expect(lines.at(-1)?.summary).toMatchObject({ lines: 16, created: 3, refused: 13, complete: true });
  });

  it('a refused line leaves no payment behind', async () => {
    const before = await rowCounts(service);
    const tooMuch = refund({ amount: 100, payment: { businessNo: uniqueNo('P'), amount: 99 } });
    const { lines } = await send(ndjson([tooMuch]));
    expect(lines[0]?.outcome).toBe('refused');
    expect(await rowCounts(service)).toMatchObject({ payment: before.payment, refund: before.refund });
  });

  it('a dry run says the same and keeps nothing', async () => {
    const tight = uniqueNo('P');
    const rows = [
      refund(),
      refund({ amount: 60, payment: { businessNo: tight, amount: 100 } }),
      refund({ amount: 60, payment: { businessNo: tight, amount: 100 } }),
      refund({ amount: 0 }),
    ];
    const before = await counts();
    const dry = await send(ndjson(rows), '?dryRun=true');
    expect(dry.lines.map(({ outcome, id }) => [outcome, id])).toEqual([
      ['created', undefined],
      ['created', undefined],
      ['refused', undefined],
      ['refused', undefined],
      [undefined, undefined],
    ]);
    expect(dry.lines.at(-1)?.summary).toMatchObject({ created: 2, refused: 2, dryRun: true });
    expect(await counts()).toEqual({ ...before, audit_entry: before.audit_entry + 1 });
    const wet = await send(ndjson(rows));
    expect(wet.lines.map(({ outcome }) => outcome)).toEqual(dry.lines.map(({ outcome }) => outcome));
  });

  it('reports only what was refused when that is asked', async () => {
    const { lines } = await send(ndjson([refund(), refund({ amount: -1 }), refund()]), '?report=refused');
    expect(lines).toMatchObject([{ line: 2, outcome: 'refused' }, { summary: { created: 2, refused: 1 } }]);
  });

  it('answers while it is still being sent', async () => {
    const request = open();
    const answered = once(request, 'response') as Promise<[IncomingMessage]>;
    request.write(ndjson(Array.from({ length: 60 }, () => refund())));
    const [response] = await answered;
    const [chunk] = (await once(response, 'data')) as [Buffer];
    expect(String(chunk).split('\n')[0]).toContain('"line":1,"outcome":"created"');
    request.end(ndjson([refund()]));
    let rest = '';
    for await (const more of response) rest += String(more);
    expect(rest).toContain('"lines":61');
  });

  it('an upload that breaks off leaves whole refunds and no half ones, and can be sent again', async () => {
    const rows = Array.from({ length: 120 }, () => refund());
    const request = open();
    const answered = once(request, 'response') as Promise<[IncomingMessage]>;
    const text = ndjson(rows);
    // The last line is cut in its middle.
    request.write(text.slice(0, -40));
    const [response] = await answered;
    response.on('error', () => undefined);
    await once(response, 'data');
    request.on('error', () => undefined);
    request.destroy();
    const entry = async () =>
      (
        await service.admin<{ items: { after: { complete: boolean; lines: number } }[] }>(
          'GET',
          '/admin/audit?action=refunds.import&limit=1',
        )
      ).body.items[0]?.after;
    await expect.poll(async () => (await entry())?.complete).toBe(false);
    await assertInvariants(service);
    const { lines } = await send(text);
    const counts = lines.at(-1)?.summary as { created: number; known: number };
    expect(counts.created + counts.known).toBe(120);
    expect(counts.known).toBeGreaterThanOrEqual(50);
    expect(counts.known).toBeLessThan(120);
  });
});

describe('CSV', () => {
  const header = 'refundNo,channel,amount,createdAt,reason,payment.businessNo,payment.amount,payment.title';

  it('reads quoted cells, empty ones and both kinds of time', async () => {
    const [first, second] = [uniqueNo('R'), uniqueNo('R')];
    const csv = [
      `\ufeff${header}`,
      `${first},wechat_pay,100,2026-01-01T08:00:00Z,"said ""no"", then",${uniqueNo('P')},1000,`,
      `${second},wechat_pay,100,1767225600,,${uniqueNo('P')},1000,票`,
    ].join('\r\n');
    const { lines } = await send(csv, '', 'text/csv; charset=utf-8');
    expect(lines).toMatchObject([
      { line: 2, outcome: 'created', refundNo: first },
      { line: 3, outcome: 'created', refundNo: second },
      { summary: { created: 2 } },
    ]);
    const stored = await service.refund(lines[0]?.id ?? '');
    expect(stored).toMatchObject({ reason: 'said "no", then', createdAt: new Date('2026-01-01T08:00:00Z') });
    expect((await service.refund(lines[1]?.id ?? '')).createdAt).toEqual(new Date('2026-01-01T00:00:00Z'));
  });

  it('a column that is not known stops it before the first row', async () => {
    const csv = `refundNo,chanel,amount\nR1,wechat_pay,1\n`;
    const { lines } = await send(csv, '', 'text/csv');
    expect(lines).toMatchObject([{ line: 1, errors: [{ field: 'chanel' }] }, { summary: { lines: 1, refused: 1 } }]);
  });

  it('names faults by row, and goes on', async () => {
    const csv = [
      header,
      'R1,wechat_pay',
      `${uniqueNo('R')},wechat_pay,1.5,,,P1,1000,`,
      `${uniqueNo('R')},wechat_pay,1,,,${uniqueNo('P')},1000,`,
    ].join('\n');
    const { lines } = await send(csv, '', 'text/csv');
    expect(lines.map(({ line, errors }) => [line, errors?.[0]?.field])).toEqual([
      [2, 'line'],
      [3, 'amount'],
      [4, undefined],
      [undefined, undefined],
    ]);
  });
});

describe('the request', () => {
  it.each([
    ['', 'application/json', 415],
    ['', 'text/plain', 415],
    ['?dryRun=maybe', NDJSON, 400],
  ])('%s with %s: %i', async (query, contentType, status) => {
    const request = open(query, contentType);
    request.end('{}');
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    response.resume();
    expect(response.statusCode).toBe(status);
    expect(response.headers['content-type']).toBe('application/problem+json; charset=utf-8');
  });

  it('a streamed body opens no other route', async () => {
    for (const path of ['/admin/refunds', '/unipay/syncRefund', '/callback/wechat/x']) {
      const response = await fetch(`${service.url}${path}`, {
        method: 'POST',
        headers: { authorization: `Bearer ${ADMIN_TOKEN}`, 'content-type': 'text/csv' },
        body: 'x'.repeat(100_000),
      });
      expect(response.status, path).toBe(path.startsWith('/unipay') ? 200 : 415);
    }
  });
});
