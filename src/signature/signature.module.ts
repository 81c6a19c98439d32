import { Module } from '@nestjs/common';
import { MerchantModule } from '../merchant/merchant.module.js';
import { EnvelopeInterceptor } from './envelope.interceptor.js';
import { SignatureGuard } from './signature.guard.js';

@Module({
  imports: [MerchantModule],
  providers: [SignatureGuard, EnvelopeInterceptor],
  exports: [SignatureGuard, EnvelopeInterceptor, MerchantModule],
})
export class SignatureModule {}
