import { Global, Module, type DynamicModule } from '@nestjs/common';
import { OutboundPolicy } from '../shared/outbound/outbound-policy.js';
import { SecretBox } from '../shared/secret-box.js';
import { APP_CONFIG, type AppConfig } from './app-config.js';

@Global()
@Module({})
export class ConfigModule {
  static forRoot(config: AppConfig): DynamicModule {
    return {
      module: ConfigModule,
      providers: [
        { provide: APP_CONFIG, useValue: config },
        { provide: SecretBox, useFactory: () => new SecretBox(config.masterKey, config.masterKeysOld) },
        { provide: OutboundPolicy, useFactory: () => new OutboundPolicy(config.notifyAllow) },
      ],
      exports: [APP_CONFIG, OutboundPolicy, SecretBox],
    };
  }
}
