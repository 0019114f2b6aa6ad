import config from './playwright.config';

/** Renews the pictures of README and docs: `jlpm docs`. */
export default { ...config, testDir: 'docs', testMatch: '*.ts' };
