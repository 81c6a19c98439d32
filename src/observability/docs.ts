import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { DocumentBuilder, SwaggerModule, type OpenAPIObject } from '@nestjs/swagger';

/** The API described from its routes and DTOs. */
export function openApiDocument(app: NestFastifyApplication): OpenAPIObject {
  const options = new DocumentBuilder()
    .setTitle('Refund Sync')
    .setDescription(
      'Makes sure every refund reaches its true end. Merchant API: signed, HTTP 200 for every answer. Internal API: bearer token, problem documents (RFC 9457).',
    )
    .setVersion('1')
    .addBearerAuth({ type: 'http', scheme: 'bearer', description: 'ADMIN_TOKEN, or a token of POST /admin/tokens' })
    .addCookieAuth(
      'refund_sync_session',
      { type: 'apiKey', in: 'cookie', description: 'Of POST /admin/session; changes need the header X-Requested-With' },
      'cookie',
    )
    .build();
  return SwaggerModule.createDocument(app, options);
}

/** Serves `/docs` and `/docs-json`. */
export function serveDocs(app: NestFastifyApplication, document: OpenAPIObject): void {
  SwaggerModule.setup('docs', app, document, { jsonDocumentUrl: 'docs-json' });
}
