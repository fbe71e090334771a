/** How an edge process is to be started, for the command line and the benchmark: both must run the same thing. */

/**
 * Flags of node. The optimizing compilers are off: they would halve the processor's load (10 % of a core at 1,000
 * readings a second) for 10 MB more of resident memory, nine of them pages of the binary that only they touch. A small
 * young generation keeps the heap from growing with what lives for a moment.
 */
export const EDGE_NODE_FLAGS: readonly string[] = ['--max-semi-space-size=1', '--no-opt', '--no-maglev'];
