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
        test: { name: 'unit', include: ['src/**/*.spec.ts', 'sandbox/**/*.spec.ts'], environment: 'node' },
      },
      {
        plugins: [decorators],
        test: {
          name: 'integration',
          include: ['test/**/*.test.ts'],
          exclude: ['test/processes/**'],
          environment: 'node',
          testTimeout: 30_000,
          hookTimeout: 60_000,
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
          testTimeout: 120_000,
          hookTimeout: 120_000,
        },
      },
    ],
  },
});
