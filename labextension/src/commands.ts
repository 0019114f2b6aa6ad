/** The names of our commands. */
export namespace CommandIDs {
  /** Open the panel. */
  export const open = 'sagemaker-autoshutdown:open';
  /** Open the panel, or close it if it is open. */
  export const toggle = 'sagemaker-autoshutdown:toggle';
  /** Keep an app (`appName`), or all that are up, for an hour more. */
  export const keepRunning = 'sagemaker-autoshutdown:keep-running';
  /** Shut an app (`appName`) down; asks first. Without a name, the only one that is up. */
  export const shutDown = 'sagemaker-autoshutdown:shut-down';
  /** Let the server look now. */
  export const refresh = 'sagemaker-autoshutdown:refresh';
}
