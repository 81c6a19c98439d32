import { Module } from '@nestjs/common';
import { LedgerTables } from './ledger-tables.service.js';
import { LedgerService } from './ledger.service.js';
import { Sealer } from './sealer.service.js';

@Module({
  providers: [LedgerService, LedgerTables, Sealer],
  exports: [LedgerService, Sealer],
})
export class LedgerModule {}
