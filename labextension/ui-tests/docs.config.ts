import config from './playwright.config';

/** Makes the README's pictures anew: `jlpm docs`. */
export default { ...config, testDir: 'docs', testMatch: '*.ts' };
