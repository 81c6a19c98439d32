import { Global, Module, type DynamicModule } from '@nestjs/common';
import { Alerts } from './alerts.js';
import { CLOCK, systemClock, type Clock } from './clock.js';
import { IdGenerator } from './ids.js';

/** Clock, ids and alerts for everybody. Tests give their own clock. */
@Global()
@Module({})
export class SharedModule {
  static forRoot(clock: Clock = systemClock): DynamicModule {
    return {
      module: SharedModule,
      providers: [
        Alerts,
        { provide: CLOCK, useValue: clock },
        { provide: IdGenerator, useFactory: () => new IdGenerator(clock) },
      ],
      exports: [Alerts, CLOCK, IdGenerator],
    };
  }
}
