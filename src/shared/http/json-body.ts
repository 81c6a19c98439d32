import type { FastifyRequest } from 'fastify';
import { DomainError } from '../errors.js';
import { JsonFault, parseJson, type JsonObject } from '../lossless-json.js';
import { rawBodyOf } from './http-surface.js';

const JSON_TYPE = /^application\/json\s*(?:;|$)/i;
const UTF8_CHARSET = /;\s*charset\s*=\s*"?utf-?8"?\s*(?:;|$)/i;

/**
 * Reads a body as a JSON object without losing a digit.
 *
 * @throws DomainError `unreadable` saying what is wrong and where.
 */
export function readJsonObject(request: FastifyRequest): JsonObject {
  const contentType = request.headers['content-type'] ?? '';
  if (!JSON_TYPE.test(contentType) || (/charset/i.test(contentType) && !UTF8_CHARSET.test(contentType))) {
    throw new DomainError('unreadable', {
      zh: 'Content-Type 必须是 application/json（UTF-8）',
      en: 'Content-Type must be application/json (UTF-8)',
    });
  }
  try {
    const value = parseJson(rawBodyOf(request));
    if (value instanceof Map) return value;
  } catch (error) {
    if (error instanceof JsonFault) throw new DomainError('unreadable', error.message, { cause: error });
    throw error;
  }
  throw new DomainError('unreadable', { zh: '请求体必须是 JSON 对象', en: 'the body must be a JSON object' });
}
