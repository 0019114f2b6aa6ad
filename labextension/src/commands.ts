/** The names of our commands. */
export namespace CommandIDs {
  /** Open the panel. */
  export const open = 'sagemaker-autoshutdown:open';
  /** Open the panel, or close it if it is open. */
  export const toggle = 'sagemaker-autoshutdown:toggle';
  /** Keep an app (`appName`), or all running apps, for another hour. */
  export const keepRunning = 'sagemaker-autoshutdown:keep-running';
  /** Shut an app (`appName`) down; asks first. Without a name, the only running one. */
  export const shutDown = 'sagemaker-autoshutdown:shut-down';
  /** Let the server check now. */
  export const refresh = 'sagemaker-autoshutdown:refresh';
}
