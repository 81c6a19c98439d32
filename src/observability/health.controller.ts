import { Controller, Get, Inject, Res } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import { Db } from '../database/db.js';
import { errorText } from '../shared/errors.js';
import { SYNC_QUEUE, type SyncQueue } from '../sync/sync-queue.port.js';

const PROBE_TIMEOUT_MS = 2_000;

interface Readiness {
  status: 'ready' | 'notReady';
  /** `ok`, or what is wrong. */
  checks: Record<string, string>;
}

@ApiTags('Machines')
@Controller('health')
export class HealthController {
  constructor(
    private readonly db: Db,
    @Inject(SYNC_QUEUE) private readonly queue: SyncQueue,
  ) {}

  @Get('live')
  @ApiOperation({ summary: 'The process answers' })
  live(): { status: 'live' } {
    return { status: 'live' };
  }

  @Get('ready')
  @ApiOperation({ summary: 'The process can work: database and queue answer within two seconds' })
  async ready(@Res({ passthrough: true }) reply: FastifyReply): Promise<Readiness> {
    const [database, queue] = await Promise.all([
      probe(() => this.db.read((manager) => manager.query('SELECT 1'))),
      probe(() => this.queue.ping()),
    ]);
    const status = database === 'ok' && queue === 'ok' ? 'ready' : 'notReady';
    void reply.status(status === 'ready' ? 200 : 503);
    return { status, checks: { database, queue } };
  }
}

async function probe(work: () => Promise<unknown>): Promise<string> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${PROBE_TIMEOUT_MS} ms`)), PROBE_TIMEOUT_MS);
  });
  try {
    await Promise.race([work(), timeout]);
    return 'ok';
  } catch (error) {
    return errorText(error).slice(0, 100);
  } finally {
    clearTimeout(timer);
  }
}
