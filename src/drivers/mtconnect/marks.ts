/**
 * The marks of this driver's readings (`model/read-from.ts`): by these the log tells after a crash which observations
 * it has. An observation is known by the agent's instanceId and its sequence number.
 *
 *     <instanceId>/<first>-<last>          a sample with what the observations of these numbers filled
 *     <instanceId>/<sequence>/<kind>       the condition (c), message (m), program (p) or state (s) event of one, or a
 *                                          sample with nothing but the state (v)
 *     <instanceId>/gap/<first>-<last>      the gap event of lost numbers
 *     <instanceId>/restart                 the gap event of an agent that was restarted to this instance
 *     <instanceId>/cleared/<item>/<code>   the end of a condition that nobody has seen ending
 *     said/<state>                         a state by the gateway's own clock
 */
import type { MachineState } from '../../model/signals.ts';

export type EventKind = 'c' | 'm' | 'p' | 's' | 'v';

export const mark: {
  readonly sample: (instance: string, first: number, last: number) => string;
  readonly event: (instance: string, sequence: number, kind: EventKind) => string;
  readonly gap: (instance: string, first: number, last: number) => string;
  readonly restart: (instance: string) => string;
  readonly cleared: (instance: string, item: string, code: string) => string;
  readonly said: (state: MachineState) => string;
} = {
  sample: (instance, first, last) => `${instance}/${first}-${last}`,
  event: (instance, sequence, kind) => `${instance}/${sequence}/${kind}`,
  gap: (instance, first, last) => `${instance}/gap/${first}-${last}`,
  restart: (instance) => `${instance}/restart`,
  cleared: (instance, item, code) => `${instance}/cleared/${item}/${code}`,
  said: (state) => `said/${state}`,
};

/** What the log has beyond what is remembered, found once at the start. */
export class FoundMarks {
  readonly #exact = new Set<string>();
  /** By instanceId, in the order of the log. */
  readonly #ranges = new Map<string, { first: number; last: number }[]>();
  readonly #newest = new Map<string, number>();
  #said: string | undefined;

  add(text: string): void {
    this.#exact.add(text);
    const said = /^said\/(\w+)$/.exec(text)?.[1];
    if (said !== undefined) this.#said = said;
    const match = /^(\d+)\/(?:(gap)\/)?(\d+)(?:-(\d+))?(?:\/([cmpsv]))?$/.exec(text);
    if (match === null) return;
    const [, instance = '', gap, first = '', last = first, kind] = match;
    this.#newest.set(instance, Math.max(this.#newest.get(instance) ?? 0, Number(last)));
    if (gap !== undefined || kind !== undefined) return;
    const ranges = this.#ranges.get(instance) ?? [];
    ranges.push({ first: Number(first), last: Number(last) });
    this.#ranges.set(instance, ranges);
  }

  get isAny(): boolean {
    return this.#exact.size > 0;
  }

  has(text: string): boolean {
    return this.#exact.has(text);
  }

  /** Whether what the observation filled is in a sample of the log. */
  hasSample(instance: string, sequence: number): boolean {
    return this.#ranges.get(instance)?.some(({ first, last }) => first <= sequence && sequence <= last) ?? false;
  }

  /** The highest number of which there is anything in the log; 0 for none. */
  newest(instance: string): number {
    return this.#newest.get(instance) ?? 0;
  }

  /** The state that was said last by the gateway's clock. */
  get said(): string | undefined {
    return this.#said;
  }

  /** Ranges that lie below are of no more use. */
  forgetBelow(instance: string, sequence: number): void {
    const ranges = this.#ranges.get(instance);
    if (ranges === undefined || ranges.length === 0) return;
    const left = ranges.filter(({ last }) => last >= sequence);
    if (left.length < ranges.length) this.#ranges.set(instance, left);
  }
}
