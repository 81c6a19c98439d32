import { systemClock, type Clock } from '../../src/shared/clock.js';

/** Runs with the system's clock, and can be moved ahead: what a month of waiting does is seen in milliseconds. */
export class FakeClock implements Clock {
  private aheadMs = 0;

  now(): Date {
    return new Date(systemClock.now().getTime() + this.aheadMs);
  }

  advance(ms: number): void {
    this.aheadMs += ms;
  }
}
