import { Validator } from '@seriousme/openapi-schema-validator';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ADMIN_TOKEN, startService, WECHAT_ACCOUNT, type TestService } from './support/service.js';

interface Schema {
  $ref?: string;
  type?: string;
  allOf?: Schema[];
  items?: Schema;
  enum?: unknown[];
  description?: string;
  example?: unknown;
  required?: string[];
  nullable?: boolean;
  properties?: Record<string, Schema>;
}

interface Content {
  schema?: Schema;
  example?: unknown;
  examples?: Record<string, { value: unknown }>;
}

interface Operation {
  operationId: string;
  summary?: string;
  parameters?: {
    name: string;
    in: string;
    description?: string;
    example?: unknown;
    schema?: Schema;
    required?: boolean;
  }[];
  requestBody?: { content: Record<string, Content> };
  responses: Record<string, { description?: string; content?: Record<string, Content> }>;
  security?: unknown[];
}

interface Document {
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, Schema> };
}

let service: TestService;
let document: Document;
let routes: { name: string; path: string; method: string; operation: Operation }[];
beforeAll(async () => {
  service = await startService();
  document = (await (await fetch(`${service.url}/docs-json`)).json()) as Document;
  routes = Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => ({ name: `${method} ${path}`, path, method, operation })),
  );
});
afterAll(() => service.close());

const isAdmin = ({ path }: { path: string }): boolean => path.startsWith('/admin');

/** Health and metrics: their answers have no fields to be described. */
const isForMachines = (path: string): boolean => path.startsWith('/health') || path === '/metrics';

function resolve(schema: Schema): Schema {
  const ref = schema.$ref ?? schema.allOf?.[0]?.$ref;
  return ref === undefined ? schema : (document.components.schemas[ref.split('/').at(-1) ?? ''] ?? {});
}

/** What the document gives as an example of a schema, built from the examples of its members. */
function exampleOf(schema: Schema): unknown {
  if (schema.example !== undefined) return schema.example;
  const resolved = resolve(schema);
  if (resolved.items) return [exampleOf(resolved.items)];
  if (!resolved.properties) return resolved.example;
  return Object.fromEntries(Object.entries(resolved.properties).map(([name, property]) => [name, exampleOf(property)]));
}

describe('the document', () => {
  it('is valid OpenAPI', async () => {
    expect(await new Validator().validate(document as never)).toMatchObject({ valid: true });
  });

  it('says of every route what it does, what it takes and what it answers', () => {
    const faults: string[] = [];
    for (const { name, path, operation } of routes) {
      if (!operation.summary) faults.push(`${name}: no summary`);
      for (const parameter of operation.parameters ?? []) {
        const example = parameter.example ?? parameter.schema?.example;
        if (!parameter.description) faults.push(`${name}: parameter ${parameter.name} has no description`);
        if (example === undefined) faults.push(`${name}: parameter ${parameter.name} has no example`);
      }
      for (const [status, response] of Object.entries(operation.responses)) {
        if (!response.description && !isForMachines(path)) faults.push(`${name}: ${status} has no description`);
        const isProblem = response.content?.['application/problem+json'] !== undefined;
        if (isAdmin({ path }) && status >= '400' && !isProblem)
          faults.push(`${name}: ${status} is no problem document`);
        if (isAdmin({ path }) && status < '400' && status !== '204' && !response.content)
          faults.push(`${name}: ${status} has no content`);
      }
    }
    expect(faults).toEqual([]);
  });

  it('lists what every route of the internal API refuses', () => {
    const missing = routes
      .filter(isAdmin)
      .filter(({ operation }) => !('401' in operation.responses && '403' in operation.responses))
      .map(({ name }) => name);
    expect(missing).toEqual([]);
    const withoutAuth = routes.filter(isAdmin).filter(({ operation }) => (operation.security ?? []).length === 0);
    expect(withoutAuth.map(({ name }) => name)).toEqual(['post /admin/session']);
  });

  it('describes every field, with an example', () => {
    const faults: string[] = [];
    for (const [name, schema] of Object.entries(document.components.schemas)) {
      for (const [field, property] of Object.entries(schema.properties ?? {})) {
        const isComposed = resolve(property).properties !== undefined || property.items?.$ref !== undefined;
        if (!property.description && !property.$ref) faults.push(`${name}.${field}: no description`);
        if (property.example === undefined && property.enum === undefined && !('default' in property) && !isComposed)
          faults.push(`${name}.${field}: no example`);
      }
    }
    expect(faults).toEqual([]);
  });
});

describe('the page', () => {
  it('is served with all that it loads, and its policy allows it', async () => {
    const page = await fetch(`${service.url}/docs`);
    const html = await page.text();
    expect(page.status).toBe(200);
    const policy = page.headers.get('content-security-policy') ?? '';
    expect(policy).toContain("script-src 'self'");
    expect(policy).not.toContain('upgrade-insecure-requests');
    const loaded = [...html.matchAll(/(?:src|href)="\.(\/docs\/[^"]+)"/g)].map(([, path]) => path ?? '');
    expect(loaded.length).toBeGreaterThanOrEqual(4);
    // No script stands in the page itself: the policy would not let it run.
    expect([...html.matchAll(/<script([^>]*)>/g)].every(([, attributes]) => attributes?.includes('src='))).toBe(true);
    for (const path of loaded) expect((await fetch(`${service.url}${path}`)).status, path).toBe(200);
  });
});

/**
 * The examples are executed: parameters and bodies as they stand in the document, but for ids, which name what is there. A route that has
 * no example that can be done by itself says here why.
 */
describe('the examples', () => {
  /** Where something must be there first: what stands instead of the example's id. */
  const ids: Record<string, () => Promise<string>> = {
    '/admin/tokens/{id}': async () => made('/admin/tokens', { name: 'of-the-examples', role: 'viewer' }),
    '/admin/users/{id}': async () =>
      made('/admin/users', { name: 'of-the-examples', role: 'viewer', password: 'correct horse battery' }),
    '/admin/refunds/{id}': refund,
    '/admin/refunds/{id}/sync': refund,
    '/admin/gateway-accounts/{id}': () => Promise.resolve(WECHAT_ACCOUNT),
    '/admin/gateway-accounts/{id}/test': () => Promise.resolve(WECHAT_ACCOUNT),
  };
  const ELSEWHERE: Record<string, string> = {
    'put /admin/gateway-accounts/{id}': 'needs keys; test/gateway-accounts.test.ts',
    'put /admin/session/password': 'needs a session; test/admin-auth.test.ts',
    'delete /admin/session': 'needs a session; test/admin-auth.test.ts',
    'get /admin/notifications/{id}': 'needs a notification; test/notifications.test.ts',
    'post /admin/notifications/{id}/redeliver': 'needs a notification; test/notifications.test.ts',
    'post /admin/notification-endpoints/{id}/resume': 'needs a paused receiver; test/notifications.test.ts',
    'post /admin/notification-endpoints/resume': 'needs a paused receiver; test/notifications.test.ts',
  };

  const isCase = (path: string): boolean => path.startsWith('/admin/cases/') || path.endsWith('/resolve');

  async function made(path: string, body: unknown): Promise<string> {
    const { httpStatus, body: answer } = await service.admin<{ id: string }>('POST', path, body);
    expect(httpStatus, JSON.stringify(answer)).toBe(201);
    return answer.id;
  }

  let refundId: Promise<string> | undefined;
  function refund(): Promise<string> {
    refundId ??= made('/admin/refunds', {
      refundNo: 'R-of-the-examples',
      channel: 'wechat_pay',
      amount: 1,
      payment: { businessNo: 'P-of-the-examples', amount: 1 },
    });
    return refundId;
  }

  async function run(name: string, contentType?: string, body?: unknown): Promise<{ status: number; text: string }> {
    const route = routes.find((entry) => entry.name === name);
    if (!route) throw new Error(`no route ${name}`);
    const { path, method, operation } = route;
    const query = new URLSearchParams();
    let target = path;
    for (const parameter of operation.parameters ?? []) {
      const example = parameter.example ?? parameter.schema?.example;
      if (parameter.in === 'query') query.set(parameter.name, String(example));
      if (parameter.in !== 'path') continue;
      const value = parameter.name === 'id' && ids[path] ? await ids[path]() : String(example);
      target = target.replace(`{${parameter.name}}`, encodeURIComponent(value));
    }
    const response = await fetch(`${service.url}${target}?${query.toString()}`, {
      method: method.toUpperCase(),
      headers: {
        authorization: `Bearer ${ADMIN_TOKEN}`,
        'x-requested-with': 'test',
        ...(contentType === undefined ? {} : { 'content-type': contentType }),
      },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    return { status: response.status, text: await response.text() };
  }

  it('are accepted by every route of the internal API, and the answers are as described', async () => {
    // Some change what others need: whoever logs in must be there, and rotation comes before retirement.
    const order = (name: string): number =>
      name === 'post /admin/session' ? 2 : name.startsWith('delete') ? 3 : name.includes('/secret') ? 1 : 0;
    const runnable = routes
      .filter(isAdmin)
      .filter(({ name, path }) => !(name in ELSEWHERE) && !isCase(path))
      .sort((a, b) => order(a.name) - order(b.name));
    expect(runnable.length).toBeGreaterThan(30);
    const faults: string[] = [];
    for (const { name, operation } of runnable) {
      for (const [contentType, content] of Object.entries(operation.requestBody?.content ?? { '': {} })) {
        const examples = content.examples
          ? Object.entries(content.examples)
              .filter(([key]) => contentType === 'application/json' || contentType.includes(key))
              .map(([, { value }]) => value)
          : [content.example ?? (content.schema ? exampleOf(content.schema) : undefined)];
        for (const body of examples) {
          const { status, text } = await run(name, contentType === '' ? undefined : contentType, body);
          const documented = operation.responses[String(status)];
          if (status >= 400 || !documented) faults.push(`${name}: ${status} ${text.slice(0, 300)}`);
          else if (documented.content?.['application/json']?.schema)
            faults.push(...differences(name, documented.content['application/json'].schema, JSON.parse(text)));
        }
      }
    }
    expect(faults).toEqual([]);
  });

  it('every route left out above is there, or the list is out of date', () => {
    const names = routes.map(({ name }) => name);
    const gone = Object.keys(ELSEWHERE).filter((name) => !names.includes(name));
    expect(gone.filter((name) => name !== 'post /admin/notification-endpoints/resume')).toEqual([]);
  });

  /** Members that are answered and not described, or described as required and not answered. */
  function differences(where: string, schema: Schema, value: unknown): string[] {
    const resolved = resolve(schema);
    if (value === null) return [];
    if (Array.isArray(value))
      return value
        .slice(0, 1)
        .flatMap((item) => (resolved.items ? differences(`${where}[]`, resolved.items, item) : []));
    if (!resolved.properties || typeof value !== 'object') return [];
    const { properties, required = [] } = resolved;
    const members = Object.entries(value as Record<string, unknown>);
    return [
      ...members.filter(([name]) => !(name in properties)).map(([name]) => `${where}: ${name} is not described`),
      ...required
        .filter((name) => !members.some(([member]) => member === name))
        .map((name) => `${where}: ${name} is not answered`),
      ...members.flatMap(([name, member]) => differences(`${where}.${name}`, properties[name] ?? {}, member)),
    ];
  }
});
