/** How an edge process is to be started, for the command line and the benchmark: both must run the same thing. */

/** Flags of node. */
export const EDGE_NODE_FLAGS: readonly string[] = ['--max-semi-space-size=1'];

/** Added to the environment. */
export const EDGE_PROCESS_ENVIRONMENT: { readonly [name: string]: string } = {};
