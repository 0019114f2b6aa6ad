/**
 * The extension's icons. They are text, so that no bundler's loader for SVG files is needed.
 */

import { LabIcon } from '@jupyterlab/ui-components';

/** A clock with the gap of a power switch at its top. */
export const timerIcon = new LabIcon({
  name: 'sagemaker-autoshutdown:timer',
  svgstr: `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24">
  <g class="jp-icon3" fill="#616161">
    <path d="M11 2h2v8h-2z"/>
    <path d="M16.2 4.1l-1 1.75a7.5 7.5 0 1 1-6.4 0l-1-1.75a9.5 9.5 0 1 0 8.4 0z"/>
    <path d="M11 12.2h6v1.8h-6z"/>
  </g>
</svg>`
});

/** An i in a circle. JupyterLab 3 has none. */
export const infoIcon = new LabIcon({
  name: 'sagemaker-autoshutdown:info',
  svgstr: `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24">
  <g class="jp-icon3" fill="#616161">
    <path fill-rule="evenodd" d="M12 2a10 10 0 1 0 0 20a10 10 0 1 0 0-20zm0 2a8 8 0 1 1 0 16a8 8 0 1 1 0-16z"/>
    <path d="M11 7h2v2h-2zm0 4h2v6h-2z"/>
  </g>
</svg>`
});
