import swc from 'unplugin-swc';
import { defineConfig } from 'vitest/config';

/** SWC compiles the tests because Nest reads decorator metadata, which esbuild does not emit. */
const decorators = swc.vite({
  module: { type: 'es6' },
  jsc: {
    target: 'es2022',
    parser: { syntax: 'typescript', decorators: true },
    transform: { legacyDecorator: true, decoratorMetadata: true, useDefineForClassFields: false },
    keepClassNames: true,
  },
});

export default defineConfig({
  test: {
    projects: [
      {
        plugins: [decorators],
        // A time-out finds what hangs; a slow machine is no fault.
        test: {
          name: 'unit',
          include: ['src/**/*.spec.ts', 'sandbox/**/*.spec.ts'],
          environment: 'node',
          testTimeout: 60_000,
        },
      },
      {
        plugins: [decorators],
        test: {
          name: 'integration',
          include: ['test/**/*.test.ts'],
          exclude: ['test/processes/**'],
          environment: 'node',
          testTimeout: 90_000,
          hookTimeout: 90_000,
          // What comes true by itself comes at once; only a loaded machine takes longer than the default second.
          expect: { poll: { timeout: 10_000, interval: 10 } },
        },
      },
      {
        plugins: [decorators],
        test: {
          name: 'processes',
          include: ['test/processes/*.test.ts'],
          environment: 'node',
          globalSetup: ['test/processes/global-setup.ts'],
          // After the others and one file at a time: each starts servers and processes that want the whole machine.
          sequence: { groupOrder: 1 },
          fileParallelism: false,
          maxWorkers: 1,
          testTimeout: 240_000,
          hookTimeout: 120_000,
        },
      },
    ],
  },
});
