/**
 * Who may import whom (docs: architecture, "Layout"). Run by `npm run boundaries`; a violation prints the comment of
 * the rule it breaks.
 *
 * Specs are no part of the modules' rules: a spec may fetch what it compares with from wherever it is. All other rules
 * hold for them too.
 */

const spec = '[.]spec[.]ts$';
const testCode = [spec, '^test/', '^bench/'];

/** Every module may also import shared, config and database. */
const everyone = ['shared', 'config', 'database'];

const modules = {
  merchant: {
    may: [],
    because: 'Apps and their switches know nothing of refunds or gateways, so that signatures can be checked first.',
  },
  signature: {
    may: ['merchant'],
    because:
      'It signs the merchant API with the secrets of merchant apps. Each gateway signs in its own folder, not here.',
  },
  gateway: {
    may: [],
    because:
      'It owns the port and the Observation type and knows none of our rows: a new gateway must not be able to touch a refund.',
  },
  ledger: {
    may: [],
    because:
      'It chains rows as bytes, whoever wrote them and whatever they mean: it must not be able to write one, nor be in the way of apply().',
  },
  refund: {
    may: ['gateway', 'signature', 'merchant'],
    because:
      'It owns the refund, decide() and apply(); whoever drives it (sync, callback) or reports on it (notification, admin) comes after it.',
  },
  sync: {
    may: ['refund', 'gateway', 'signature'],
    because:
      'It asks the gateway and hands the Observation to refund. What it needs of an app, signature already knows.',
  },
  callback: {
    may: ['refund', 'gateway', 'sync'],
    because:
      'It verifies, stores, acknowledges and then works: on the refund itself, or by asking sync for a fresh look.',
  },
  notification: {
    may: ['refund', 'signature', 'merchant'],
    because: 'It delivers the outbox rows that apply() wrote. It must not know how a refund got its status.',
  },
};

/**
 * These two see every module, through its services. Nobody sees them, so a module that wants to be measured or operated
 * offers a service.
 */
const overviews = ['admin', 'observability'];

/** The folders of src/gateway/ that are one gateway each; a new one goes here. */
const gatewayFolders = ['alipay', 'wechat', 'wechat-v2', 'unionpay', 'stripe', 'paypal', 'adyen'].join('|');

/** Each gateway's own library, behind the port: name of the folder in src/gateway → packages. */
const gatewayLibraries = {
  alipay: ['alipay-sdk'],
  stripe: ['stripe'],
  wechat: ['wechatpay-axios-plugin'],
  'wechat-v2': ['fast-xml-parser'],
};

const folders = (names) => names.map((name) => `^src/${name}/`);
const list = (names) => names.join(', ');

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    {
      name: 'no-circle',
      comment:
        'Two files that need each other are one file, or lack a third. Circles of types count too: they become circles ' +
        'of code with the next edit, and with ES modules a circle is an undefined class in a decorator at start.',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'no-unresolvable',
      comment: 'The import leads nowhere: a misspelt path, or a package that is not installed.',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
    {
      name: 'no-undeclared-package',
      comment:
        'The package is there only because another package brought it. List it in package.json, or it leaves when the other one does.',
      severity: 'error',
      from: {},
      to: { dependencyTypes: ['npm-no-pkg', 'npm-unknown'] },
    },
    {
      name: 'no-dev-package-in-production',
      comment: 'It is in devDependencies, so `npm ci --omit=dev` leaves it out and the service does not start.',
      severity: 'error',
      from: { path: '^(src|sandbox|demo|migrations)/', pathNot: spec },
      to: { dependencyTypes: ['npm-dev'], dependencyTypesNot: ['type-only', 'npm'] },
    },
    {
      name: 'no-test-code-in-production',
      comment: 'Specs, test/ and bench/ are not compiled into dist/: code that is shipped cannot import them.',
      severity: 'error',
      from: { path: '^(src|sandbox|demo|migrations)/', pathNot: spec },
      to: { path: testCode },
    },
    {
      name: 'shared-imports-nothing-of-ours',
      comment: 'shared/ has no business words; everything imports it, so whatever it imported would be everywhere.',
      severity: 'error',
      from: { path: '^src/shared/', pathNot: spec },
      to: { path: '^(src|migrations)/', pathNot: '^src/shared/' },
    },
    {
      name: 'config-imports-shared-only',
      comment: 'config/ is the typed environment: it is read before anything else exists.',
      severity: 'error',
      from: { path: '^src/config/', pathNot: spec },
      to: { path: '^(src|migrations)/', pathNot: folders(['config', 'shared']) },
    },
    {
      name: 'database-imports-entities-only',
      comment:
        'database/ is below all modules: it may import shared, config and the migrations, and, because TypeORM wants the ' +
        'list of entities when the data source is made, the *.entity.ts files of the modules. Nothing else of them.',
      severity: 'error',
      from: { path: '^src/database/', pathNot: spec },
      to: { path: '^src/', pathNot: [...folders(everyone), '[.]entity[.]ts$'] },
    },
    ...Object.entries(modules).map(([name, { may, because }]) => ({
      name: `${name}-imports`,
      comment: `src/${name}/ may import ${list([...may, ...everyone])} and nothing else of ours. ${because}`,
      severity: 'error',
      from: { path: `^src/${name}/`, pathNot: spec },
      to: { path: '^(src|migrations)/', pathNot: folders([name, ...may, ...everyone]) },
    })),
    {
      name: 'new-module-without-a-rule',
      comment:
        'This folder of src/ is not known to .dependency-cruiser.cjs. Say there what it may import, so that it has a place in the order.',
      severity: 'error',
      from: {
        path: '^src/[^/]+/',
        pathNot: folders([...everyone, ...Object.keys(modules), ...overviews]),
      },
      to: {},
    },
    {
      name: 'overviews-use-services',
      comment:
        "admin/ and observability/ read and operate the other modules through their services. Another module's entity is " +
        'for them a type (import type): a query on it, or a write past apply(), would be a second owner of its rows.',
      severity: 'error',
      from: { path: `^src/(${overviews.join('|')})/`, pathNot: spec },
      to: { path: '^src/([^/]+)/.*[.]entity[.]ts$', pathNot: '^src/$1/', dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'root-is-the-top',
      comment:
        'main.ts and app.module.ts put everything together. A module that imports them imports everything, and is a circle.',
      severity: 'error',
      from: { path: '^(src/[^/]+/|sandbox/|demo/|migrations/)', pathNot: spec },
      to: { path: '^src/[^/]+[.]ts$' },
    },
    {
      name: 'migrations-stand-alone',
      comment:
        'A migration must do in a year what it did on its day, so it imports no code that changes meanwhile: of src/ only ' +
        'shared/ and the schema helpers of database/.',
      severity: 'error',
      from: { path: '^migrations/' },
      to: { path: '^(src|sandbox|demo)/', pathNot: folders(['shared', 'database']) },
    },
    {
      name: 'gateways-are-strangers',
      comment:
        'A gateway folder imports no other gateway folder: each can be changed, removed or added alone. What two of them ' +
        'share belongs beside them in src/gateway/.',
      severity: 'error',
      from: { path: `^src/gateway/(${gatewayFolders})/`, pathNot: spec },
      to: { path: `^src/gateway/(${gatewayFolders})/`, pathNot: '^src/gateway/$1/' },
    },
    {
      name: 'gateways-behind-the-port',
      comment:
        'Only src/gateway/ knows that there are several gateways. Elsewhere talk to the port and the registry, or the next ' +
        'gateway means edits all over.',
      severity: 'error',
      from: { path: '^src/[^/]+/', pathNot: [spec, '^src/gateway/'] },
      to: { path: `^src/gateway/(${gatewayFolders})/` },
    },
    ...Object.entries(gatewayLibraries).map(([gateway, packages]) => ({
      name: `${gateway}-library-in-its-folder`,
      comment:
        `${list(packages)} speaks ${gateway} alone: only src/gateway/${gateway}/ imports it. The sandbox must not either, ` +
        'or a fault of the library would be on both sides and no test would see it.',
      severity: 'error',
      from: { pathNot: [`^src/gateway/${gateway}/`, ...testCode] },
      to: { path: packages.map((name) => `^node_modules/${name}(/|$)`) },
    })),
    {
      name: 'opentelemetry-on-demand',
      comment:
        'Who exports no traces loads nothing of OpenTelemetry: its packages are imported by the files that tracing.service.ts imports ' +
        'when it is told to, and by nothing else.',
      severity: 'error',
      from: {
        path: '^(src|sandbox|demo|migrations)/',
        pathNot: [spec, '^src/observability/tracing/(span-recorder|traceparent)[.]ts$'],
      },
      to: {
        path: ['^node_modules/@opentelemetry/', '^src/observability/tracing/(span-recorder|traceparent)[.]ts$'],
        dependencyTypesNot: ['type-only', 'dynamic-import'],
      },
    },
    {
      name: 'sandbox-stands-alone',
      comment:
        'The simulators are the other side of the wire: code shared with the service would hide its faults from the tests, ' +
        'and users get the sandbox as a process of its own.',
      severity: 'error',
      from: { path: '^sandbox/', pathNot: spec },
      to: { path: '^(src|migrations|demo|sdk|console)/' },
    },
    {
      name: 'service-without-sandbox',
      comment: 'The service knows a sandbox by its URL, as it knows a gateway, and starts it as a process.',
      severity: 'error',
      from: { path: '^(src|migrations)/', pathNot: spec },
      to: { path: '^(sandbox|demo|sdk|console)/' },
    },
    {
      name: 'demo-is-a-user',
      comment:
        'The demo shows what a user can do, so it has what a user has: processes, HTTP and the SDK, nothing of src/.',
      severity: 'error',
      from: { path: '^demo/' },
      to: { path: '^(src|migrations)/' },
    },
  ],
  options: {
    doNotFollow: { path: ['node_modules'] },
    exclude: { path: ['^dist/', '^coverage/', '^data/', '^console/', '^docs/', '^scripts/', '^[.][^./]'] },
    // Imports that the compiler removes (types) count: they tie modules together all the same.
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    combinedDependencies: false,
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'node', 'default', 'types'] },
  },
};
