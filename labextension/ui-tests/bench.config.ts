import config from './playwright.config';

/** Measures the start of JupyterLab with and without the panel: `jlpm bench`. */
export default {
  ...config,
  testDir: 'bench',
  testMatch: '*.ts',
  reporter: [['line']]
};
