import type { WriteStream } from 'node:tty';

const BAR_WIDTH = 24;
const CLEAR_LINE = '\r\u001b[2K';

/** How far we are: one line that is drawn over on a terminal, one line for each phase elsewhere (logs, pipes). */
export class Progress {
  private phase = '';
  private total = 0;
  private done = 0;
  private beganAtMs = 0;

  constructor(private readonly out: WriteStream | NodeJS.WriteStream) {}

  begin(phase: string, total = 0): void {
    this.finishPhase();
    Object.assign(this, { phase, total, done: 0, beganAtMs: Date.now() });
    if (this.out.isTTY) this.draw();
  }

  step(): void {
    this.done += 1;
    if (this.out.isTTY) this.draw();
  }

  end(): void {
    this.finishPhase();
    if (this.out.isTTY) this.out.write(CLEAR_LINE);
  }

  private draw(): void {
    const filled = this.total === 0 ? 0 : Math.round((BAR_WIDTH * this.done) / this.total);
    const bar = `[${'#'.repeat(filled)}${'-'.repeat(BAR_WIDTH - filled)}]`;
    // Cut to the terminal: a line that wraps cannot be drawn over.
    const line = `${this.total === 0 ? '' : `${bar} ${this.done}/${this.total} `}${this.phase} …`;
    this.out.write(CLEAR_LINE + line.slice(0, (this.out.columns ?? 80) - 1));
  }

  private finishPhase(): void {
    if (this.phase !== '' && !this.out.isTTY) {
      const count = this.total === 0 ? '' : ` (${this.done})`;
      this.out.write(`${this.phase}${count}: ${((Date.now() - this.beganAtMs) / 1000).toFixed(1)} s\n`);
    }
    this.phase = '';
  }
}
