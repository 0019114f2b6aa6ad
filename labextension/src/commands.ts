/** The names of our commands. */
export namespace CommandIDs {
  /** Open the panel. */
  export const open = 'sagemaker-autoshutdown:open';
  /** Keep an app (`appName`), or all that are up, running for an hour. */
  export const keepRunning = 'sagemaker-autoshutdown:keep-running';
  /** Shut an app (`appName`) down; asks first. Without a name, the only one that is up. */
  export const shutDown = 'sagemaker-autoshutdown:shut-down';
  /** Ask the server for the status. */
  export const refresh = 'sagemaker-autoshutdown:refresh';
}
