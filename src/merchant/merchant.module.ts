import { Module } from '@nestjs/common';
import { MerchantAppService } from './merchant-app.service.js';

@Module({ providers: [MerchantAppService], exports: [MerchantAppService] })
export class MerchantModule {}
