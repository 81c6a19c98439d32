import { SetMetadata } from '@nestjs/common';

/** What a caller of the internal API may do; each includes the ones before it. */
export const ADMIN_ROLES = ['viewer', 'operator', 'admin'] as const;
export type AdminRole = (typeof ADMIN_ROLES)[number];

export const MIN_ROLE = 'adminMinRole';

/**
 * The least role that may use a route of the internal API: reading is for viewers, what changes a refund for operators, settings, users
 * and tokens for admins. On a controller it holds for every route that declares none. A route without it is refused to everybody.
 */
export const MinRole = (role: AdminRole) => SetMetadata(MIN_ROLE, role);

export function roleIncludes(held: AdminRole, needed: AdminRole): boolean {
  return ADMIN_ROLES.indexOf(held) >= ADMIN_ROLES.indexOf(needed);
}
