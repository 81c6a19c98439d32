import { Inject, Injectable, Logger, type OnApplicationShutdown } from '@nestjs/common';
import type { FastifyInstance } from 'fastify';
import { APP_CONFIG, type AppConfig } from '../../config/app-config.js';
import type { SpanRecorder } from './span-recorder.js';

/** Exports traces where OTEL_EXPORTER_OTLP_ENDPOINT is set. Elsewhere nothing of its SDK is even loaded. */
@Injectable()
export class Tracing implements OnApplicationShutdown {
  private readonly logger = new Logger(Tracing.name);
  private recorder: SpanRecorder | undefined;

  constructor(@Inject(APP_CONFIG) private readonly config: AppConfig) {}

  /** Before requests come in and jobs run. */
  async start(fastify: FastifyInstance): Promise<void> {
    const { otel, role } = this.config;
    if (!otel) return;
    const recorders = await import('./span-recorder.js');
    this.recorder = new recorders.SpanRecorder({ ...otel, role }, () =>
      this.logger.warn({ msg: 'traces could not be exported and are dropped; see OTEL_EXPORTER_OTLP_ENDPOINT' }),
    );
    this.recorder.attach(fastify);
    this.recorder.listen();
  }

  /** What was recorded is sent first; a receiver that is away does not keep the process. */
  async onApplicationShutdown(): Promise<void> {
    await this.recorder?.close();
  }
}
