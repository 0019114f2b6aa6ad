/** Packages that are ES modules, which Node does not accept in a CommonJS test. */
const esModules = [
  '@jupyter/',
  '@jupyterlab/',
  '@microsoft/',
  '@rjsf/',
  'exenv-es6',
  'lib0',
  'nanoid',
  'vscode-ws-jsonrpc',
  'y-protocols',
  'y-websocket',
  'yjs'
].join('|');

/** @type {import('jest').Config} */
module.exports = {
  testEnvironment: 'jsdom',
  testRegex: 'src/.*\\.spec\\.tsx?$',
  setupFilesAfterEnv: ['<rootDir>/src/testing/setup.ts'],
  moduleNameMapper: {
    '\\.(css|less)$': '<rootDir>/src/testing/empty.ts',
    '\\.svg$': '<rootDir>/src/testing/empty.ts'
  },
  transform: {
    '\\.[jt]sx?$': [
      'ts-jest',
      {
        // Types are checked by `jlpm typecheck`.
        diagnostics: false,
        tsconfig: {
          allowJs: true,
          esModuleInterop: true,
          isolatedModules: true,
          jsx: 'react',
          module: 'CommonJS',
          target: 'ES2020'
        }
      }
    ]
  },
  transformIgnorePatterns: [`/node_modules/(?!${esModules})`],
  // A machine may be busy; what hangs is found out all the same.
  testTimeout: 60_000
};
