import type { FastifyRequest } from 'fastify';

/** The template of a request's route (`/admin/refunds/:id`); `other` for what no route of ours answers. */
export function routeOf(request: FastifyRequest): string {
  const { url } = request.routeOptions;
  // Nest and the static files of the docs catch the rest with wildcards.
  return url === undefined || request.is404 || url === '*' || url === '/*' ? 'other' : url;
}
