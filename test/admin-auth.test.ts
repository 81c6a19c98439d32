import { METHOD_METADATA, PATH_METADATA } from '@nestjs/common/constants.js';
import { ModulesContainer } from '@nestjs/core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LoginFailure } from '../src/admin/access/login-failure.entity.js';
import { ADMIN_ROLES, MIN_ROLE, NO_ROLE } from '../src/admin/min-role.js';
import { uniqueNo } from './support/builders.js';
import { FakeClock } from './support/fake-clock.js';
import { logLines, startService, type TestService } from './support/service.js';
import { allRows } from './support/tables.js';

const HOUR_MS = 3_600_000;
const clock = new FakeClock();
let service: TestService;
beforeAll(async () => {
  service = await startService({ clock });
});
afterAll(() => service.close());

/** Every route below /admin as the running service has it, with the role it declares. */
function adminRoutes(): { route: string; role: unknown }[] {
  const routes: { route: string; role: unknown }[] = [];
  for (const module of service.app.get(ModulesContainer).values()) {
    for (const { metatype } of module.controllers.values()) {
      if (typeof metatype !== 'function') continue;
      const controllerPath = String(Reflect.getMetadata(PATH_METADATA, metatype));
      const prototype = metatype.prototype as Record<string, unknown>;
      for (const name of Object.getOwnPropertyNames(prototype)) {
        const handler = prototype[name];
        if (typeof handler !== 'function' || !Reflect.hasMetadata(METHOD_METADATA, handler)) continue;
        const paths = [Reflect.getMetadata(PATH_METADATA, handler) as string | string[]].flat();
        for (const path of paths) {
          const route = `/${controllerPath}/${path}`.replace(/\/+/g, '/');
          if (!/^\/admin(\/|$)/.test(route)) continue;
          const role = (Reflect.getMetadata(MIN_ROLE, handler) ?? Reflect.getMetadata(MIN_ROLE, metatype)) as unknown;
          routes.push({ route, role });
        }
      }
    }
  }
  return routes;
}

describe('roles', () => {
  it('every route of the internal API declares one', () => {
    const routes = adminRoutes();
    expect(routes.length).toBeGreaterThanOrEqual(9);
    const open = [{ route: '/admin/session/', role: NO_ROLE }];
    expect(routes.filter(({ role }) => !ADMIN_ROLES.includes(role as never))).toEqual(open);
  });
});

interface Answer<T = Record<string, unknown>> {
  status: number;
  body: T;
  headers: Headers;
}

const call = async <T = Record<string, unknown>>(
  method: string,
  path: string,
  options: { headers?: Record<string, string>; body?: unknown; at?: TestService } = {},
): Promise<Answer<T>> => {
  const { headers, body, at = service } = options;
  const response = await fetch(`${at.url}${path}`, {
    method,
    headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  return { status: response.status, body: (text === '' ? {} : JSON.parse(text)) as T, headers: response.headers };
};

const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

async function newToken(
  role: string,
  more: Record<string, unknown> = {},
): Promise<{ id: string; token: string; name: string }> {
  const name = uniqueNo('token-');
  const { httpStatus, body } = await service.admin<{ id: string; token: string }>('POST', '/admin/tokens', {
    name,
    role,
    ...more,
  });
  expect(httpStatus, JSON.stringify(body)).toBe(201);
  return { ...body, name };
}

const PASSWORD = 'correct horse battery';

async function newUser(role = 'operator', password = PASSWORD): Promise<{ id: string; name: string }> {
  const name = uniqueNo('user-');
  const { httpStatus, body } = await service.admin<{ id: string }>('POST', '/admin/users', { name, role, password });
  expect(httpStatus, JSON.stringify(body)).toBe(201);
  return { id: body.id, name };
}

const logIn = (name: string, password = PASSWORD, headers: Record<string, string> = { 'x-requested-with': 'test' }) =>
  call('POST', '/admin/session', { body: { name, password }, headers });

function cookieOf({ headers }: Answer): string {
  return (headers.get('set-cookie') ?? '').split(';')[0] ?? '';
}

const XRW = { 'x-requested-with': 'test' };

describe('bearer tokens', () => {
  it('each role may do what is its own and nothing more', async () => {
    const routes: [string, string, string, unknown?][] = [
      ['viewer', 'GET', '/admin/refunds'],
      ['viewer', 'GET', '/admin/apps'],
      ['operator', 'POST', '/admin/payments', {}],
      ['admin', 'PUT', '/admin/apps/default', {}],
      ['admin', 'GET', '/admin/tokens'],
      ['admin', 'GET', '/admin/users'],
    ];
    for (const role of ADMIN_ROLES) {
      const { token } = await newToken(role);
      for (const [needed, method, path, body] of routes) {
        const allowed = ADMIN_ROLES.indexOf(role) >= ADMIN_ROLES.indexOf(needed as never);
        const { status } = await call(method, path, { headers: bearer(token), body });
        expect(status === 403, `${role} ${method} ${path}: ${status}`).toBe(!allowed);
        expect(status).not.toBe(401);
      }
    }
  });

  it('is shown once, kept as a hash, and its use is noted', async () => {
    const { id, token } = await newToken('viewer');
    expect(token).toMatch(/^rs_[\w-]{43}$/);
    await call('GET', '/admin/refunds', { headers: bearer(token) });
    const { body } = await service.admin<{ items: { id: string; lastUsedAt: string | null }[] }>(
      'GET',
      '/admin/tokens?limit=500',
    );
    expect(JSON.stringify(body)).not.toContain(token);
    expect(body.items.find((item) => item.id === id)?.lastUsedAt).not.toBeNull();
    expect(await allRows(service)).not.toContain(token);
    expect(logLines.join('')).not.toContain(token);
  });

  it('ends when it is revoked, at once and for every process', async () => {
    const other = await startService({ beside: service, clock });
    try {
      const { id, token } = await newToken('viewer');
      expect((await call('GET', '/admin/refunds', { headers: bearer(token), at: other })).status).toBe(200);
      expect((await service.admin('DELETE', `/admin/tokens/${id}`)).httpStatus).toBe(200);
      for (const at of [service, other])
        expect((await call('GET', '/admin/refunds', { headers: bearer(token), at })).status).toBe(401);
    } finally {
      await other.close();
    }
  });

  it('ends when it expires', async () => {
    const { token } = await newToken('viewer', { expiresAt: new Date(clock.now().getTime() + 60_000).toISOString() });
    expect((await call('GET', '/admin/refunds', { headers: bearer(token) })).status).toBe(200);
    clock.advance(61_000);
    expect((await call('GET', '/admin/refunds', { headers: bearer(token) })).status).toBe(401);
  });

  it('a name is given once', async () => {
    const { name } = await newToken('viewer');
    const again = await service.admin<{ errors: { field: string }[] }>('POST', '/admin/tokens', {
      name,
      role: 'viewer',
    });
    expect(again.httpStatus).toBe(409);
    expect(again.body.errors[0]?.field).toBe('name');
  });

  it.each(['1', 'x', '2124609641629716480', '2124609641629716480%20'])('404 for token %s', async (id) => {
    expect((await service.admin('DELETE', `/admin/tokens/${id}`)).httpStatus).toBe(404);
  });
});

describe('users', () => {
  it('log in, are somebody, and log out', async () => {
    const { name } = await newUser('viewer');
    const login = await logIn(name.toUpperCase());
    expect(login).toMatchObject({ status: 200, body: { actor: `user:${name}`, role: 'viewer' } });
    const attributes = login.headers.get('set-cookie') ?? '';
    expect(attributes).toMatch(/; Path=\/admin; HttpOnly; SameSite=Strict$/);
    const cookie = cookieOf(login);
    expect((await call('GET', '/admin/session', { headers: { cookie } })).body).toMatchObject({
      actor: `user:${name}`,
    });
    expect((await call('GET', '/admin/users', { headers: { cookie } })).status).toBe(403);
    expect((await call('DELETE', '/admin/session', { headers: { cookie, ...XRW } })).status).toBe(204);
    expect((await call('GET', '/admin/session', { headers: { cookie } })).status).toBe(401);
  });

  it('passwords and sessions are kept as hashes', async () => {
    const password = `${PASSWORD} ${uniqueNo('p')}`;
    const { name } = await newUser('viewer', password);
    const value = cookieOf(await logIn(name, password)).split('=')[1] ?? '';
    expect(value).toMatch(/^[\w-]{43}$/);
    for (const text of [await allRows(service), logLines.join('')]) {
      expect(text).not.toContain(password);
      expect(text).not.toContain(value);
    }
    expect(await allRows(service)).toContain('$scrypt$ln=15,r=8,p=3$');
  });

  it('what another site makes a browser send changes nothing', async () => {
    const { name } = await newUser('admin');
    const cookie = cookieOf(await logIn(name));
    const put = (headers: Record<string, string>) =>
      call('PUT', '/admin/apps/default', { headers: { cookie, ...headers }, body: {} });
    expect((await put({})).status).toBe(403);
    expect((await put({ ...XRW, 'sec-fetch-site': 'cross-site' })).status).toBe(403);
    expect((await put({ ...XRW, 'sec-fetch-site': 'same-site' })).status).toBe(403);
    expect((await put({ ...XRW, 'sec-fetch-site': 'same-origin' })).status).toBe(200);
    expect((await logIn(name, PASSWORD, {})).status).toBe(403);
  });

  it('every session ends with a new password, after hours, after idling, and with the user', async () => {
    const { id, name } = await newUser();
    const first = cookieOf(await logIn(name));
    const second = cookieOf(await logIn(name));
    const isOpen = async (cookie: string) =>
      (await call('GET', '/admin/session', { headers: { cookie } })).status === 200;
    const change = (currentPassword: string, newPassword: string) =>
      call('PUT', '/admin/session/password', {
        headers: { cookie: first, ...XRW },
        body: { currentPassword, newPassword },
      });
    expect((await change('not the password', 'another long password')).status).toBe(400);
    expect(await isOpen(second)).toBe(true);
    const changed = await change(PASSWORD, 'another long password');
    expect(changed.status).toBe(200);
    expect([await isOpen(first), await isOpen(second), await isOpen(cookieOf(changed))]).toEqual([false, false, true]);
    expect((await logIn(name)).status).toBe(401);

    const idle = cookieOf(await logIn(name, 'another long password'));
    clock.advance(2 * HOUR_MS + 1_000);
    expect(await isOpen(idle)).toBe(false);
    const long = cookieOf(await logIn(name, 'another long password'));
    for (let hour = 0; hour < 11; hour += 1) {
      clock.advance(HOUR_MS);
      expect(await isOpen(long)).toBe(true);
    }
    clock.advance(HOUR_MS);
    expect(await isOpen(long)).toBe(false);

    const last = cookieOf(await logIn(name, 'another long password'));
    expect((await service.admin('PATCH', `/admin/users/${id}`, { enabled: false })).httpStatus).toBe(200);
    expect(await isOpen(last)).toBe(false);
    expect((await logIn(name, 'another long password')).status).toBe(401);
    await service.admin('PATCH', `/admin/users/${id}`, { enabled: true });
    expect(await isOpen(last)).toBe(false);
  });

  it('a role that is taken away is gone at the next request', async () => {
    const { id, name } = await newUser('admin');
    const cookie = cookieOf(await logIn(name));
    expect((await call('GET', '/admin/users', { headers: { cookie } })).status).toBe(200);
    await service.admin('PATCH', `/admin/users/${id}`, { role: 'viewer' });
    expect((await call('GET', '/admin/users', { headers: { cookie } })).status).toBe(403);
  });

  it('a name is locked after five failures, whether there is such a user or not, on every process, for a while', async () => {
    const { name } = await newUser();
    const other = await startService({ beside: service, clock });
    try {
      const answers = async (user: string) => {
        const seen: unknown[] = [];
        for (let i = 0; i < 7; i += 1) {
          const at = i % 2 === 0 ? service : other;
          const body = { name: user, password: `wrong password ${i}` };
          const { status, body: problem, headers } = await call('POST', '/admin/session', { body, headers: XRW, at });
          seen.push([status, problem.detail, headers.has('retry-after')]);
        }
        return seen;
      };
      const known = await answers(name);
      expect(known.map((entry) => (entry as unknown[])[0])).toEqual([401, 401, 401, 401, 401, 429, 429]);
      expect(await answers(uniqueNo('nobody-'))).toEqual(known);
      expect((await logIn(name)).status).toBe(429);
      clock.advance(16 * 60_000);
      expect((await logIn(name)).status).toBe(200);
      // The count begins anew after a right password.
      expect((await logIn(name, 'wrong')).status).toBe(401);
    } finally {
      await other.close();
    }
  });

  it('of many guesses at once no more than five are looked at', async () => {
    const { name } = await newUser();
    const answers = await Promise.all(Array.from({ length: 12 }, (_, i) => logIn(name, `guess number ${i}`)));
    expect(answers.filter(({ status }) => status === 401)).toHaveLength(5);
    expect(answers.filter(({ status }) => status === 429)).toHaveLength(7);
  });

  it('an address is locked after fifty failures over any names', async () => {
    clock.advance(HOUR_MS);
    const { name } = await newUser();
    const db = service.db;
    expect((await logIn(uniqueNo('nobody-'))).status).toBe(401);
    // Forty-eight more would take a quarter of a minute of hashing.
    await db.transaction((manager) => manager.update(LoginFailure, { id: 'ip:127.0.0.1' }, { failures: 49 }));
    expect((await logIn(uniqueNo('nobody-'))).status).toBe(401);
    expect((await logIn(name)).status).toBe(429);
    clock.advance(16 * 60_000);
    expect((await logIn(name)).status).toBe(200);
  });

  it.each([
    [{ name: 'x y', role: 'viewer', password: PASSWORD }, 'name'],
    [{ name: 'xy', role: 'root', password: PASSWORD }, 'role'],
    [{ name: 'xy', role: 'viewer', password: 'too short' }, 'password'],
  ])('%j is refused', async (body, field) => {
    const answer = await service.admin<{ errors: { field: string }[] }>('POST', '/admin/users', body);
    expect(answer.httpStatus).toBe(400);
    expect(answer.body.errors.map((fault) => fault.field)).toEqual([field]);
    expect(JSON.stringify(answer.body)).not.toContain(body.password);
  });
});
