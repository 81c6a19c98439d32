import type { LoggerService } from '@nestjs/common';
import { pino, type Logger as Pino } from 'pino';
import type { LogLevel } from '../config/app-config.js';
import { currentTraceId } from '../shared/trace.js';

/** Names under which secrets travel; pino replaces their values wherever a log line holds one at these depths. */
const SECRET_PATHS = [
  'signSecret',
  'privateKey',
  'apiV3Key',
  'config',
  'authorization',
  'password',
  'token',
  'sign',
].flatMap((name) => [name, `*.${name}`, `*.*.${name}`]);

/** What Nest says of its own start interests nobody who runs the service. */
const NEST_INTERNALS: ReadonlySet<unknown> = new Set([
  'InstanceLoader',
  'NestApplication',
  'NestFactory',
  'RouterExplorer',
  'RoutesResolver',
]);

/** Structured logs, one JSON object a line, each with the trace of its request or job. */
export class JsonLogger implements LoggerService {
  private readonly pino: Pino;

  constructor(level: LogLevel, destination: NodeJS.WritableStream = process.stdout) {
    this.pino = pino(
      {
        level,
        base: undefined,
        timestamp: pino.stdTimeFunctions.isoTime,
        formatters: { level: (label) => ({ level: label }) },
        redact: { paths: SECRET_PATHS, censor: '***' },
        mixin: () => {
          const traceId = currentTraceId();
          return traceId === undefined ? {} : { traceId };
        },
      },
      destination,
    );
  }

  log(message: unknown, ...context: unknown[]): void {
    this.write(NEST_INTERNALS.has(context.at(-1)) ? 'debug' : 'info', message, context);
  }
  error(message: unknown, ...context: unknown[]): void {
    this.write('error', message, context);
  }
  warn(message: unknown, ...context: unknown[]): void {
    this.write('warn', message, context);
  }
  debug(message: unknown, ...context: unknown[]): void {
    this.write('debug', message, context);
  }
  verbose(message: unknown, ...context: unknown[]): void {
    this.write('trace', message, context);
  }
  fatal(message: unknown, ...context: unknown[]): void {
    this.write('fatal', message, context);
  }

  /** Nest hands over the logger's name as the last argument, and stacks of its own errors before it. */
  private write(
    level: 'info' | 'error' | 'warn' | 'debug' | 'trace' | 'fatal',
    message: unknown,
    context: unknown[],
  ): void {
    const module = typeof context.at(-1) === 'string' ? context.at(-1) : undefined;
    const more = context.slice(0, -1).filter((entry) => entry !== undefined);
    if (typeof message === 'object' && message !== null && !(message instanceof Error)) {
      this.pino[level]({ module, ...message });
      return;
    }
    const text = message instanceof Error ? `${message.name}: ${message.message}` : String(message);
    this.pino[level]({ module, ...(more.length > 0 ? { more: more.map(String) } : {}) }, text);
  }
}
