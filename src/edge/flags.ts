/**
 * V8 flags of the edge's process: a young generation of 1 MB instead of 16, since a reading lives for 200 ms at most, and
 * one helper thread, since there is little for more of them to do.
 */
export const EDGE_NODE_FLAGS: readonly string[] = ['--max-semi-space-size=1', '--v8-pool-size=1'];
