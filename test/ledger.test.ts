import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadDatabaseEnvironment } from '../src/config/environment.js';
import { readOnly } from '../src/database/read-only.js';
import { canonicalEntry, entryHash, GENESIS_HASH, sealedColumns, SEALED_TABLES } from '../src/ledger/canonical.js';
import { HeadSigner } from '../src/ledger/head-mac.js';
import { Sealer, UntrustedHead } from '../src/ledger/sealer.service.js';
import { verifyLedger, type Anchor, type LedgerReport } from '../src/ledger/verify.js';
import { IdGenerator } from '../src/shared/ids.js';
import { stuckRefund } from './support/builders.js';
import { builtService } from './support/built-service.js';
import { FakeClock } from './support/fake-clock.js';
import { ADMIN_TOKEN, logLines, startService, type TestService } from './support/service.js';
import { hasMysql } from './support/services.js';
import { testDatabase, type TestDatabase } from './support/test-database.js';

const ids = new IdGenerator();

describe.each(['sqlite', 'mysql'])('the ledger on %s', async (kind) => {
  const available = kind === 'sqlite' || (await hasMysql());
  describe.runIf(available)('of a running service', () => {
    const clock = new FakeClock();
    let database: TestDatabase;
    let service: TestService;
    let sealer: Sealer;

    beforeAll(async () => {
      database = await testDatabase(kind);
      service = await startService({ database, clock });
      sealer = service.app.get(Sealer);
    });
    afterAll(async () => {
      await service.close();
      await database.drop();
    });

    const environment = (): NodeJS.ProcessEnv => ({ ...database.env, DATA_DIR: service.dataDir });
    const sql = <T = unknown[]>(text: string, parameters: unknown[] = []): Promise<T> =>
      service.db.read((manager) => manager.query(text, parameters));
    const signer = (): HeadSigner =>
      new HeadSigner(loadDatabaseEnvironment(environment()).masterKey ?? Buffer.alloc(0));
    const verify = (anchor?: Anchor, withKey = true): Promise<LedgerReport> =>
      readOnly(loadDatabaseEnvironment(environment()), (manager) =>
        verifyLedger(manager, { signer: withKey ? signer() : undefined, anchor }),
      );
    const head = async (): Promise<Anchor & { unsealed: number }> =>
      (await service.admin<Anchor & { unsealed: number }>('GET', '/admin/ledger/head')).body;
    const rowCount = async (): Promise<number> => {
      let rows = 0;
      for (const table of SEALED_TABLES) {
        const [counted] = await sql<[{ n: unknown }]>(`SELECT COUNT(*) AS n FROM ${table}`);
        rows += Number(counted.n);
      }
      return rows;
    };
    /** Audit entries as the internal API writes them. */
    const audit = async (count: number, id = () => ids.next()): Promise<void> => {
      const rows = Array.from({ length: count }, () => `('${id()}','t','test','refund','1','2026-01-31 08:00:00.000')`);
      await sql(
        `INSERT INTO audit_entry (id, actor, action, targetType, targetId, createdAt) VALUES ${rows.join(',')}`,
      );
    };

    it('takes in what the service wrote, and can be checked while it runs', async () => {
      for (const gateway of ['success', 'failed', 'abnormal'] as const) {
        const { refundNo } = await stuckRefund(service, { gateway });
        await service.merchant.syncRefund({ refundNo });
      }
      const rows = await rowCount();
      expect(rows).toBeGreaterThanOrEqual(6);
      expect(await head()).toMatchObject({ seq: 0, hash: GENESIS_HASH, genuine: true, unsealed: rows });
      expect(await verify()).toMatchObject({ ok: true, verified: 0, unsealed: { count: rows } });

      expect(await sealer.seal()).toBe(rows);

      const sealed = await head();
      expect(sealed).toMatchObject({ seq: rows, genuine: true, unsealed: 0, oldestUnsealedAt: null });
      expect(await verify(sealed)).toMatchObject({
        ok: true,
        verified: rows,
        headSignature: 'genuine',
        anchor: 'matches',
        break: null,
        unsealed: { count: 0, oldestId: null },
      });
      expect(await verify(undefined, false)).toMatchObject({ ok: true, headSignature: 'unchecked' });
      expect(await sealer.seal()).toBe(0);
      const said = logLines.map((line) => JSON.parse(line) as Record<string, unknown>);
      expect(said).toContainEqual(expect.objectContaining({ msg: 'ledger sealed', seq: rows, hash: sealed.hash }));
    });

    it('covers every column of its tables', async () => {
      for (const table of SEALED_TABLES) {
        const stored = await service.db.read(async (manager) => {
          const runner = manager.dataSource.createQueryRunner();
          const found = await runner.getTable(table);
          // SQLite has one runner, which stays with the service.
          if (kind === 'mysql') await runner.release();
          return found?.columns.map(({ name }) => name) ?? [];
        });
        const covered = await service.db.read(async (manager) => sealedColumns(manager.dataSource.getMetadata(table)));
        expect([...covered.map(({ name }) => name), 'seq', 'hash', 'prevHash'].sort()).toEqual(stored.sort());
      }
    });

    it('seals a row exactly once when two seal at once, more than a batch of them', async () => {
      const other = await startService({ beside: service, database, clock });
      try {
        const second = other.app.get(Sealer);
        await audit(450);
        const rounds = await Promise.all([
          sealer.seal(),
          second.seal(),
          (async () => {
            for (let i = 0; i < 10; i += 1) await audit(5);
            return 0;
          })(),
        ]);
        expect(rounds).toContain('held');
        clock.advance(20_000);
        await Promise.all([second.seal(), sealer.seal(), second.seal(), sealer.seal()]);
        clock.advance(20_000);
        await sealer.seal();

        const rows = await rowCount();
        expect(await head()).toMatchObject({ seq: rows, unsealed: 0 });
        expect(await verify()).toMatchObject({ ok: true, verified: rows });
      } finally {
        await other.stop();
      }
    });

    it('is taken over when its sealer dies, and at once when it stops', async () => {
      const other = await startService({ beside: service, database, clock });
      const second = other.app.get(Sealer);
      clock.advance(20_000);
      await audit(1);
      expect(await second.seal()).toBe(1);
      await audit(1);
      expect(await sealer.seal()).toBe('held');
      clock.advance(10_100);
      expect(await sealer.seal()).toBe(1);
      // What the dead one would do now: it holds no lease, and nothing of it gets in.
      await audit(1);
      expect(await second.seal()).toBe('held');
      clock.advance(10_100);
      expect(await second.seal()).toBe(1);
      await other.stop();
      await audit(1);
      expect(await sealer.seal()).toBe(1);
      expect(await verify()).toMatchObject({ ok: true });
    });

    it('gives a row that was committed late its place behind those that were sealed before', async () => {
      const late = ids.next();
      let commit: () => void = () => undefined;
      let isOpen: () => void = () => undefined;
      const opened = new Promise<void>((resolve) => (isOpen = resolve));
      const insert = `INSERT INTO audit_entry (id, actor, action, targetType, targetId, createdAt) VALUES ('${late}','late','test','refund','1','2026-01-31 08:00:00.000')`;
      let written: Promise<unknown> = Promise.resolve();
      if (kind === 'mysql') {
        written = service.db.transaction(async (manager) => {
          await manager.query(insert);
          isOpen();
          await new Promise<void>((resolve) => (commit = resolve));
        });
        await opened;
      }
      await audit(3);
      expect(await sealer.seal()).toBe(3);
      commit();
      await written;
      // SQLite has one writer: there a row is late when another process made its id before.
      if (kind === 'sqlite') await sql(insert);
      expect(await sealer.seal()).toBe(1);
      const [row] = await sql<[{ seq: unknown }]>(`SELECT seq FROM audit_entry WHERE id = '${late}'`);
      expect(Number(row.seq)).toBe((await head()).seq);
      expect(await verify()).toMatchObject({ ok: true });
    });

    it('is the same chain on every database', async () => {
      const row = {
        id: '1753370980523324312',
        actor: '运营 "A"',
        action: 'refund.resolve',
        targetType: 'refund',
        targetId: 'R1',
        before: '{"b":1.0,"a":[]}',
        createdAt: '2026-01-31 08:00:00.120',
      };
      const names = Object.keys(row).map((name) => `\`${name}\``);
      await sql(`INSERT INTO audit_entry (${names.join(',')}) VALUES (?,?,?,?,?,?,?)`, Object.values(row));
      const canonical = await service.db.read(async (manager) => {
        const [raw] = await manager.query<[Record<string, unknown>]>(
          `SELECT * FROM audit_entry WHERE id = '${row.id}'`,
        );
        const columns = sealedColumns(manager.dataSource.getMetadata('audit_entry'));
        return canonicalEntry({ seq: 1, prevHash: GENESIS_HASH }, 'audit_entry', columns, raw);
      });
      await sql(`DELETE FROM audit_entry WHERE id = '${row.id}'`);
      expect(canonical).toBe(
        `{"ledger":"v1","seq":"1","prev":"${GENESIS_HASH}","table":"audit_entry","row":{"action":"refund.resolve",` +
          `"actor":"运营 \\"A\\"","before":{"a":[],"b":1.0},"createdAt":"2026-01-31T08:00:00.120Z",` +
          `"id":"1753370980523324312","targetId":"R1","targetType":"refund"}}`,
      );
      expect(entryHash(canonical)).toHaveLength(64);
    });

    describe('shows', () => {
      let last: number;
      /** A repair in the middle of the chain. */
      let middle: number;

      beforeAll(async () => {
        last = (await head()).seq;
        const [found] = await sql<[{ seq: unknown }]>('SELECT MIN(seq) AS seq FROM repair_record WHERE seq > 2');
        middle = Number(found.seq);
        expect(await verify()).toMatchObject({ ok: true, verified: last });
      });

      /** Does something to the stored rows, looks, and puts everything back. */
      async function after(tamper: () => Promise<void>, anchor?: Anchor): Promise<LedgerReport> {
        const saved = new Map<string, Record<string, unknown>[]>();
        for (const table of [...SEALED_TABLES, 'ledger_head']) saved.set(table, await sql(`SELECT * FROM ${table}`));
        try {
          await tamper();
          return await verify(anchor);
        } finally {
          for (const [table, rows] of saved) {
            await sql(`DELETE FROM ${table}`);
            for (const row of rows) {
              const names = Object.keys(row).map((name) => `\`${name}\``);
              const places = names.map(() => '?').join(',');
              await sql(`INSERT INTO ${table} (${names.join(',')}) VALUES (${places})`, Object.values(row));
            }
          }
        }
      }
      const brokenAt = (seq: number, fault: RegExp): object => ({
        ok: false,
        verified: seq - 1,
        break: { seq, fault: expect.stringMatching(fault) as string },
      });

      it.each([
        ['explanation', "'nothing happened'"],
        ['balanceAfter', 'balanceAfter + 1'],
        ['statusAfter', "'fail'"],
        ['createdAt', "'2020-01-01 00:00:00.000'"],
        ['syncRecordId', "'1753370980523324312'"],
        ['hash', `'${'ab'.repeat(32)}'`],
      ])('that %s of a sealed row was changed', async (column, value) => {
        const report = await after(async () => {
          await sql(`UPDATE repair_record SET ${column} = ${value} WHERE seq = ${middle}`);
        });
        expect(report).toMatchObject(brokenAt(middle, /changed after it was sealed/));
        expect(report.break?.table).toBe('repair_record');
      });

      it('that a row was deleted, in the middle', async () => {
        const report = await after(async () => {
          await sql(`DELETE FROM repair_record WHERE seq = ${middle}`);
        });
        expect(report).toMatchObject(brokenAt(middle, /is missing/));
      });

      it('that the newest rows were deleted', async () => {
        const report = await after(async () => {
          for (const table of SEALED_TABLES) await sql(`DELETE FROM ${table} WHERE seq > ${last - 2}`);
        });
        expect(report).toMatchObject(brokenAt(last - 1, /the tail was deleted/));
      });

      it('that the newest rows were deleted and the head with them, when the head was noted elsewhere', async () => {
        const anchor = await head();
        const cut = async (): Promise<void> => {
          for (const table of SEALED_TABLES) await sql(`DELETE FROM ${table} WHERE seq > 2`);
          const rows = await Promise.all(
            SEALED_TABLES.map((table) => sql<{ hash: string }[]>(`SELECT hash FROM ${table} WHERE seq = 2`)),
          );
          const hash = rows.flat()[0]?.hash ?? '';
          // Somebody who kept an old head, signature and all.
          await sql('UPDATE ledger_head SET seq = 2, hash = ?, mac = ?', [hash, signer().mac(2, hash)]);
        };
        expect(await after(cut)).toMatchObject({ ok: true });
        const report = await after(cut, anchor);
        expect(report).toMatchObject({ ...brokenAt(3, /the chain ends at 2/), anchor: 'differs' });
      });

      it('that a row was put in', async () => {
        const [row] = await sql<Record<string, unknown>[]>(`SELECT * FROM repair_record WHERE seq = ${middle}`);
        const copy = { ...row, id: ids.next(), repairNo: ids.next() };
        const report = await after(async () => {
          const names = Object.keys(copy).map((name) => `\`${name}\``);
          await sql(
            `INSERT INTO repair_record (${names.join(',')}) VALUES (${names.map(() => '?').join(',')})`,
            Object.values(copy),
          );
        });
        expect(report.ok).toBe(false);
        expect(report.break?.seq).toBe(middle);
      });

      it('that two rows changed their places', async () => {
        const report = await after(async () => {
          await sql(`UPDATE repair_record SET seq = -1 WHERE seq = ${middle}`);
          for (const table of SEALED_TABLES) await sql(`UPDATE ${table} SET seq = ${middle} WHERE seq = ${middle + 1}`);
          await sql(`UPDATE repair_record SET seq = ${middle + 1} WHERE seq = -1`);
        });
        expect(report).toMatchObject(brokenAt(middle, /does not name the hash/));
      });

      it('that a row was taken out of the chain to be changed', async () => {
        const report = await after(async () => {
          await sql(
            `UPDATE repair_record SET seq = NULL, hash = NULL, prevHash = NULL, explanation = 'x' WHERE seq = ${middle}`,
          );
        });
        expect(report).toMatchObject({ ...brokenAt(middle, /is missing/), unsealed: { count: 1 } });
      });

      it('that the whole chain was computed anew by somebody without the key, and the sealer does not continue it', async () => {
        const anchor = await head();
        const rewrite = async (): Promise<void> => {
          await sql(`UPDATE repair_record SET explanation = 'x' WHERE seq = ${middle}`);
          let prevHash = GENESIS_HASH;
          for (let seq = 1; seq <= last; seq += 1) {
            for (const table of SEALED_TABLES) {
              const [raw] = await sql<Record<string, unknown>[]>(`SELECT * FROM ${table} WHERE seq = ${seq}`);
              if (!raw) continue;
              const hash = await service.db.read(async (manager) => {
                const columns = sealedColumns(manager.dataSource.getMetadata(table));
                return entryHash(canonicalEntry({ seq, prevHash }, table, columns, raw));
              });
              await sql(`UPDATE ${table} SET hash = ?, prevHash = ? WHERE seq = ?`, [hash, prevHash, seq]);
              prevHash = hash;
            }
          }
          await sql('UPDATE ledger_head SET hash = ?', [prevHash]);
          await audit(1);
          clock.advance(20_000);
          await expect(sealer.seal()).rejects.toThrow(UntrustedHead);
          expect(await head()).toMatchObject({ genuine: false, unsealed: 1 });
        };
        expect(await after(rewrite)).toMatchObject({ ok: false, headSignature: 'forged', break: { seq: last } });
        expect(await after(rewrite, anchor)).toMatchObject({ ok: false, anchor: 'differs' });
      });
    });

    it('is checked by npm run verify-ledger, which says by its exit code how that went', async () => {
      const main = join(await builtService(), 'src/verify-ledger.js');
      const run = async (...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> => {
        const env = { PATH: process.env.PATH, ...environment() };
        return promisify(execFile)(process.execPath, [main, ...args], { env }).then(
          ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
          (error: { code: number; stdout: string; stderr: string }) => error,
        );
      };
      await audit(1);
      const { seq, hash } = await head();

      const whole = await run('--json', '--anchor', `${seq}:${hash}`);
      expect(whole.stderr).toBe('');
      expect(whole.code).toBe(0);
      expect(JSON.parse(whole.stdout)).toMatchObject({
        ok: true,
        verified: seq,
        anchor: 'matches',
        unsealed: { count: 1 },
      });

      const [first] = await sql<[{ seq: unknown }]>('SELECT MIN(seq) AS seq FROM repair_record');
      await sql(`UPDATE repair_record SET explanation = 'changed' WHERE seq = ${Number(first.seq)}`);
      const broken = await run();
      expect(broken.code).toBe(1);
      expect(broken.stdout).toMatch(
        /^THE LEDGER IS BROKEN.*\nEntry \d+ \(repair_record \d{19}\) was changed after it was sealed/,
      );
      expect(broken.stdout + broken.stderr).not.toContain(ADMIN_TOKEN);

      expect((await run('--anchor', 'nonsense')).code).toBe(2);
    }, 120_000);
  });
});
