import { Controller, Get } from '@nestjs/common';
import { ApiBearerAuth, ApiOkResponse, ApiOperation, ApiProperty, ApiTags } from '@nestjs/swagger';
import { LedgerService, UNSEALED_CAP, type LedgerState } from '../ledger/ledger.service.js';
import { MinRole } from './min-role.js';

class LedgerHeadModel implements LedgerState {
  @ApiProperty({ description: 'Number of the last sealed entry; 0 before the first', example: 1042 })
  seq: number;

  @ApiProperty({
    description: 'Its hash: 64 hex digits. Note it elsewhere as `<seq>:<hash>` for `npm run verify-ledger -- --anchor`',
    example: '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08',
  })
  hash: string;

  @ApiProperty({
    type: String,
    format: 'date-time',
    nullable: true,
    description: 'When it was sealed; null before the first',
    example: '2026-01-31T08:00:00.123Z',
  })
  sealedAt: Date | null;

  @ApiProperty({
    description: 'False: the head was not written with this MASTER_KEY, and nothing is sealed',
    example: true,
  })
  genuine: boolean;

  @ApiProperty({ description: `Rows that wait for their place, counted up to ${UNSEALED_CAP} a table`, example: 0 })
  unsealed: number;

  @ApiProperty({
    type: String,
    format: 'date-time',
    nullable: true,
    description: 'When the oldest of them was written; null when none waits',
    example: null,
  })
  oldestUnsealedAt: Date | null;
}

@ApiTags('Internal API: audit')
@ApiBearerAuth()
@Controller('admin/ledger')
export class AdminLedgerController {
  constructor(private readonly ledger: LedgerService) {}

  @Get('head')
  @MinRole('viewer')
  @ApiOperation({
    summary: 'The end of the hash chain over repair records and audit entries: an anchor to be noted elsewhere',
  })
  @ApiOkResponse({ type: LedgerHeadModel, description: 'The end of the chain' })
  async head(): Promise<LedgerState> {
    return this.ledger.state();
  }
}
