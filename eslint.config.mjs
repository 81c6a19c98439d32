import js from '@eslint/js';
import { defineConfig } from 'eslint/config';
import tseslint from 'typescript-eslint';

const code = ['src/**/*.ts', 'sandbox/**/*.ts', 'demo/**/*.ts', 'migrations/**/*.ts'];
const tests = ['**/*.spec.ts', 'test/**/*.ts', 'bench/**/*.ts'];

const why =
  'Go through the helpers of src/database. better-sqlite3 has one connection: a statement beside an open transaction ' +
  'becomes part of it and is rolled back with it, so on SQLite every statement passes one mutex, and src/database ' +
  'holds it (architecture §4, "Two profiles, one code").';

/** What reaches the database beside the mutex of src/database. */
const aroundTheMutex = {
  paths: [
    {
      name: 'typeorm',
      importNames: ['Repository', 'TreeRepository', 'MongoRepository', 'DataSource', 'BaseEntity'],
      message: why,
    },
    {
      name: '@nestjs/typeorm',
      importNames: [
        'InjectRepository',
        'InjectDataSource',
        'InjectConnection',
        'InjectEntityManager',
        'getRepositoryToken',
        'getCustomRepositoryToken',
        'getDataSourceToken',
        'getConnectionToken',
        'getEntityManagerToken',
      ],
      message: why,
    },
  ],
  patterns: [
    { group: ['typeorm/*'], message: `Import from 'typeorm' itself, so that the ban on what it exports holds. ${why}` },
  ],
};

/** Not a path of aroundTheMutex: allowTypeImports holds for a whole module, so it would let `type Repository` through. */
const injectedManager = {
  selector:
    'ImportDeclaration[source.value="typeorm"][importKind!="type"] > ImportSpecifier[importKind!="type"][imported.name="EntityManager"]',
  message: `Import it as a type: the transaction helper hands you one, Nest must not inject one. ${why}`,
};

const focused = 'leaves other tests out of the run without a word. Use skipIf/runIf for what needs a service.';
const testFunction = '/^(describe|it|test|suite|bench)$/';

export default defineConfig(
  {
    ignores: ['dist/', 'coverage/', 'data/', 'console/', 'sdk/dist/'],
  },
  {
    linterOptions: { reportUnusedDisableDirectives: 'error' },
  },
  js.configs.recommended,
  tseslint.configs.recommendedTypeChecked,
  {
    languageOptions: {
      parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname },
    },
  },
  {
    files: ['**/*.ts'],
    rules: {
      eqeqeq: ['error', 'always', { null: 'ignore' }],

      // A promise that nobody awaits loses its error, and here errors decide over money.
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/only-throw-error': 'error',

      // A new status must be answered everywhere, also where a default already says "unknown".
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: false, requireDefaultForNonUnion: true },
      ],

      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],

      // A port's method is async in the port; an implementation that has nothing to wait for is no mistake.
      '@typescript-eslint/require-await': 'off',

      // consistent-type-imports stays off: Nest reads constructor types at run time (emitDecoratorMetadata), and an
      // `import type` there compiles, then fails at start.
    },
  },
  {
    // A simulator that reacts to two faults of fifteen says so with a default.
    files: ['sandbox/**/*.ts', 'demo/**/*.ts', ...tests],
    rules: {
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true, requireDefaultForNonUnion: true },
      ],
    },
  },
  {
    files: ['src/**/*.ts', 'sandbox/**/*.ts'],
    ignores: tests,
    rules: { 'no-console': 'error' },
  },
  {
    files: code,
    ignores: ['src/database/**', 'migrations/**'],
    rules: {
      '@typescript-eslint/no-restricted-imports': ['error', aroundTheMutex],
      'no-restricted-syntax': ['error', injectedManager],
    },
  },
  {
    files: tests,
    rules: {
      // Tests look into bodies and doubles whose types are not worth writing down.
      '@typescript-eslint/no-explicit-any': 'off',
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-call': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/no-unsafe-return': 'off',
      '@typescript-eslint/unbound-method': 'off',

      'no-restricted-syntax': [
        'error',
        {
          // it.only, and behind one modifier: it.concurrent.skip
          selector: `MemberExpression[property.name=/^(only|skip|todo)$/]:matches([object.name=${testFunction}], [object.object.name=${testFunction}])`,
          message: `.only/.skip/.todo ${focused}`,
        },
        {
          // it('…', { skip: true }, …)
          selector: `CallExpression[callee.name=${testFunction}] > ObjectExpression > Property[key.name=/^(only|skip|todo)$/]`,
          message: `only/skip/todo ${focused}`,
        },
        {
          selector: 'CallExpression[callee.name=/^(xit|xtest|xdescribe|fit|fdescribe)$/]',
          message: `This ${focused}`,
        },
      ],
    },
  },
  {
    files: ['**/*.{js,mjs,cjs}'],
    extends: [tseslint.configs.disableTypeChecked],
    languageOptions: {
      globals: {
        Buffer: 'readonly',
        URL: 'readonly',
        console: 'readonly',
        process: 'readonly',
        module: 'writable',
        require: 'readonly',
      },
    },
    rules: { eqeqeq: 'error' },
  },
);
