import { applyDecorators, SetMetadata } from '@nestjs/common';
import { ApiProblems } from './problem.doc.js';

/** What a caller of the internal API may do; each includes the ones before it. */
export const ADMIN_ROLES = ['viewer', 'operator', 'admin'] as const;
export type AdminRole = (typeof ADMIN_ROLES)[number];

export const MIN_ROLE = 'adminMinRole';
/** Declared by routes that nobody has to be logged in for. */
export const NO_ROLE = 'none';

/**
 * The least role that may use a route of the internal API: reading is for viewers, what changes a refund for operators, settings, users
 * and tokens for admins. On a controller it holds for every route that declares none. A route without it is refused to everybody.
 */
export const MinRole = (role: AdminRole) =>
  applyDecorators(
    SetMetadata(MIN_ROLE, role),
    ApiProblems({ 401: 'No valid token and no session', 403: `The caller's role is less than ${role}` }),
  );

/** For the route by which one logs in. */
export const Unauthenticated = () => SetMetadata(MIN_ROLE, NO_ROLE);

export function roleIncludes(held: AdminRole, needed: AdminRole): boolean {
  return ADMIN_ROLES.indexOf(held) >= ADMIN_ROLES.indexOf(needed);
}
