import { Module, type OnModuleInit } from '@nestjs/common';
import { GatewayModule } from '../gateway/gateway.module.js';
import { MerchantModule } from '../merchant/merchant.module.js';
import { SignatureModule } from '../signature/signature.module.js';
import { ApplyService } from './apply.service.js';
import { CaseQueries } from './case-query.service.js';
import { CreateSender } from './create-sender.service.js';
import { CreateWriter } from './create-writer.service.js';
import { CreateService } from './create.service.js';
import { DueRefundService } from './due-refund.service.js';
import { InstantSettlement } from './instant-settlement.service.js';
import { LeaseService } from './lease.service.js';
import { OperatorCommands } from './operator-command.service.js';
import { PaymentService } from './payment.service.js';
import { PolicyService } from './policy.service.js';
import { RedriveSender } from './redrive-sender.service.js';
import { RefundAges } from './refund-age.service.js';
import { RefundController } from './refund.controller.js';
import { RefundListService } from './refund-list.service.js';
import { RefundLookup } from './refund-lookup.service.js';
import { RefundQueryService } from './refund-query.service.js';
import { RefundStatistics } from './refund-statistics.service.js';
import { RegisterService } from './register.service.js';
import { SilentRefunds } from './silent-refund.service.js';
import { assertTableIsTotal } from './transition-table.js';

@Module({
  imports: [GatewayModule, MerchantModule, SignatureModule],
  controllers: [RefundController],
  providers: [
    ApplyService,
    CaseQueries,
    CreateSender,
    CreateService,
    CreateWriter,
    DueRefundService,
    InstantSettlement,
    LeaseService,
    OperatorCommands,
    PaymentService,
    PolicyService,
    RedriveSender,
    RefundListService,
    RefundLookup,
    RefundAges,
    RefundQueryService,
    RefundStatistics,
    RegisterService,
    SilentRefunds,
  ],
  exports: [
    ApplyService,
    CaseQueries,
    CreateSender,
    DueRefundService,
    LeaseService,
    OperatorCommands,
    PaymentService,
    PolicyService,
    RedriveSender,
    RefundListService,
    RefundLookup,
    RefundAges,
    RefundQueryService,
    RefundStatistics,
    RegisterService,
    SilentRefunds,
  ],
})
export class RefundModule implements OnModuleInit {
  onModuleInit(): void {
    assertTableIsTotal();
  }
}
