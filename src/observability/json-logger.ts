import type { LoggerService } from '@nestjs/common';
import { pino, type DestinationStream, type Logger as Pino } from 'pino';
import type { LogLevel } from '../config/app-config.js';
import { redactText } from '../gateway/redaction.js';
import { currentTrace } from '../shared/trace.js';

/** Names under which secrets travel. */
const SECRET_NAMES: ReadonlySet<string> = new Set([
  'adminToken',
  'apiKey',
  'apiV3Key',
  'authorization',
  'config',
  'cookie',
  'masterKey',
  'password',
  'privateKey',
  'secret',
  'sealedConfig',
  'sealedSignSecret',
  'sign',
  'signSecret',
  'token',
  'webhookSecret',
]);
/** What shows by itself that a text holds a key or a token; looked for first, because nearly no text does. */
const SUSPICIOUS = /-----BEGIN |\b(?:Bearer|Basic|WECHATPAY2-SHA256-RSA2048)\s|\b(?:[sr]k_(?:test|live)|whsec)_/i;
const MASK = '***';
const MAX_DEPTH = 8;

/**
 * The line without the values of such names, at any depth. pino's own redaction tries every path on every line, which costs more than the
 * rest of the line; this looks at the names that are there.
 */
function withoutSecrets(value: object, depth = 0): object {
  if (depth > MAX_DEPTH || value instanceof Date || value instanceof Error) return value;
  if (Array.isArray(value)) return value.map((entry: unknown) => withoutSecret(entry, depth));
  const clean: Record<string, unknown> = {};
  for (const [name, entry] of Object.entries(value) as [string, unknown][]) {
    if (SECRET_NAMES.has(name)) clean[name] = MASK;
    else clean[name] = withoutSecret(entry, depth);
  }
  return clean;
}

function withoutSecret(entry: unknown, depth: number): unknown {
  if (typeof entry === 'string') return cleanText(entry);
  return typeof entry === 'object' && entry !== null ? withoutSecrets(entry, depth + 1) : entry;
}

function cleanText(text: string): string {
  return SUSPICIOUS.test(text) ? redactText(text, []) : text;
}

/** What Nest says of its own start interests nobody who runs the service. */
const NEST_INTERNALS: ReadonlySet<unknown> = new Set([
  'InstanceLoader',
  'NestApplication',
  'NestFactory',
  'RouterExplorer',
  'RoutesResolver',
]);

const BUFFER_BYTES = 4_096;
const FLUSH_MS = 100;

/** Lines leave together: a busy service would spend more on writing each by itself than on making it. The end of the process writes the rest. */
function standardOutput(): ReturnType<typeof pino.destination> {
  return pino.destination({ fd: 1, sync: true, minLength: BUFFER_BYTES, periodicFlush: FLUSH_MS });
}

/** Structured logs, one JSON object a line, each with the trace of its request or job. */
export class JsonLogger implements LoggerService {
  private readonly pino: Pino;

  constructor(
    level: LogLevel,
    private readonly destination: DestinationStream & { flushSync?: () => void } = standardOutput(),
  ) {
    this.pino = pino(
      {
        level,
        base: undefined,
        timestamp: pino.stdTimeFunctions.isoTime,
        formatters: { level: (label) => ({ level: label }) },
        mixin: () => {
          const { traceId, refundId, traceparent } = currentTrace() ?? {};
          // pino leaves out what is undefined. The id of the exported trace is the second part of its traceparent.
          return { traceId, refundId, otelTraceId: traceparent?.split('-')[1] };
        },
      },
      destination,
    );
  }

  log(message: unknown, ...context: unknown[]): void {
    this.write(NEST_INTERNALS.has(context.at(-1)) ? 'debug' : 'info', message, context);
  }
  /** What is wrong is written at once: it may be the last that the process says. */
  error(message: unknown, ...context: unknown[]): void {
    this.write('error', message, context);
    this.destination.flushSync?.();
  }
  warn(message: unknown, ...context: unknown[]): void {
    this.write('warn', message, context);
    this.destination.flushSync?.();
  }
  debug(message: unknown, ...context: unknown[]): void {
    this.write('debug', message, context);
  }
  verbose(message: unknown, ...context: unknown[]): void {
    this.write('trace', message, context);
  }
  fatal(message: unknown, ...context: unknown[]): void {
    this.write('fatal', message, context);
    this.destination.flushSync?.();
  }

  /** Nest hands over the logger's name as the last argument, and stacks of its own errors before it. */
  private write(
    level: 'info' | 'error' | 'warn' | 'debug' | 'trace' | 'fatal',
    message: unknown,
    context: unknown[],
  ): void {
    if (!this.pino.isLevelEnabled(level)) return;
    const module = typeof context.at(-1) === 'string' ? context.at(-1) : undefined;
    const more = context.slice(0, -1).filter((entry) => entry !== undefined);
    if (typeof message === 'object' && message !== null && !(message instanceof Error)) {
      this.pino[level]({ module, ...withoutSecrets(message) });
      return;
    }
    const text = message instanceof Error ? `${message.name}: ${message.message}` : String(message);
    this.pino[level](
      { module, ...(more.length > 0 ? { more: more.map(String).map(cleanText) } : {}) },
      cleanText(text),
    );
  }
}
