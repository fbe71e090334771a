/** How Node is started for an edge. */
import { SINKS } from '../sinks/registry.ts';
import type { EdgeSettings } from './settings.ts';

/**
 * V8 flags of the edge's process, measured with `npm run bench -- edge`.
 *
 * The optimizing compilers are off: at 1,000 readings a second they would take the processor's load from 8 % of a core
 * to 6 %, for 10 MB more of resident memory, most of it pages of the binary that only they touch. The young generation
 * is 1 MB instead of 16, since a reading lives for 200 ms at most; the old one is kept tight (2 to 4 MB less); one helper
 * thread is enough for the little there is. `main.ts` collects garbage at its own pace, for which it must be let.
 */
export const EDGE_NODE_FLAGS: readonly string[] = [
  '--max-semi-space-size=1',
  '--optimize-for-size',
  '--v8-pool-size=1',
  '--no-opt',
  '--no-maglev',
  '--expose-gc',
];

const FOR_SIZE: readonly string[] = ['--no-opt', '--no-maglev', '--optimize-for-size'];

/** With a server of our own in the edge, the compilers are worth their memory (decision 023). */
export function edgeNodeFlags({ sinks }: Pick<EdgeSettings, 'sinks'>): readonly string[] {
  const serves = sinks.some(({ type }) => SINKS[type]?.isServing === true);
  return serves ? EDGE_NODE_FLAGS.filter((flag) => !FOR_SIZE.includes(flag)) : EDGE_NODE_FLAGS;
}
