import { METHOD_METADATA, PATH_METADATA } from '@nestjs/common/constants.js';
import { ModulesContainer } from '@nestjs/core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ADMIN_ROLES, MIN_ROLE } from '../src/admin/min-role.js';
import { startService, type TestService } from './support/service.js';

let service: TestService;
beforeAll(async () => {
  service = await startService();
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
    expect(routes.filter(({ role }) => !ADMIN_ROLES.includes(role as never))).toEqual([]);
  });
});
